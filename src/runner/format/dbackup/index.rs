//! The index of a seekable archive: one JSON object a line, under gzip, under a seal if the archive
//! is sealed.
//!
//! It is read line by line and kept compactly, 24 to 56 bytes an entry, because an archive of files
//! can have hundreds of thousands of them.

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader, Read};

use serde::Deserialize;

use super::sidecar::codec;
use super::{corrupt, hex_bytes, unsupported};
use crate::reason::Reason;
use crate::runner::codec::Codec;
use crate::runner::fault::{Fault, Result, Stage};

/// Most entries of one archive: what fits beside the pipeline in the promised memory.
pub const MAX_ENTRIES: usize = 400_000;
/// Most databases of one archive.
pub const MAX_DATABASES: usize = 10_000;
/// Most other archives of the chain.
pub const MAX_BASES: usize = 1024;
/// Longest name of a database or an archive; no engine and no file system allows more.
const NAME_LIMIT_BYTES: usize = 1024;
/// Longest line; a path has at most 4 KiB, six-fold when escaped.
const LINE_LIMIT_BYTES: u64 = 128 * 1024;

/// One stored part of an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Ordinal: part of the nonce.
    pub ordinal: u64,
    /// First byte in the archive.
    pub offset: u64,
    /// Stored bytes, the tag included.
    pub size: u64,
    /// Sealed with a tag of its own.
    pub sealed: bool,
    /// Compression.
    pub codec: Codec,
}

/// One database's dump.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DumpLine {
    /// The database's name.
    pub name: String,
    /// The entry that holds it, an index into [`Index::entries`].
    pub entry: usize,
    /// Decoded bytes.
    pub size: u64,
    /// SHA-256 of the decoded bytes; archives since DBackup 3.4 have it.
    pub sha256: Option<[u8; 32]>,
}

/// The parts of another archive of the chain that this one refers to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Base {
    /// The other archive's file name.
    pub archive: String,
    /// The parts in it.
    pub entries: Vec<Entry>,
    /// Files of this backup that lie in it.
    pub files: u64,
    /// SHA-256 of files by the ordinal of their entry, of files that have an entry of their own.
    pub hashes: HashMap<u64, [u8; 32]>,
}

/// A whole index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Index {
    /// This archive's parts, by offset.
    pub entries: Vec<Entry>,
    /// The databases.
    pub databases: Vec<DumpLine>,
    /// Number of files, symbolic links included.
    pub files: u64,
    /// SHA-256 of files by the ordinal of their entry, of files that have an entry of their own.
    pub file_hashes: HashMap<u64, [u8; 32]>,
    /// Other archives of the chain.
    pub bases: Vec<Base>,
}

#[derive(Deserialize)]
struct Line {
    k: String,
    v: Option<u64>,
    n: Option<u64>,
    a: Option<String>,
    off: Option<u64>,
    size: Option<u64>,
    #[serde(default)]
    sealed: bool,
    comp: Option<String>,
    name: Option<String>,
    s: Option<u64>,
    h: Option<String>,
    o: Option<u64>,
}

impl Index {
    /// Reads an index from its decoded lines.
    pub fn read(inner: impl Read) -> Result<Self> {
        let mut lines = BufReader::new(inner);
        let mut builder = Builder::default();
        let mut line = Vec::new();
        loop {
            line.clear();
            let count =
                lines.by_ref().take(LINE_LIMIT_BYTES).read_until(b'\n', &mut line).map_err(|error| {
                    Fault::from_io(
                        error,
                        Stage::Inspect,
                        Reason::CorruptBackup,
                        "failed to read the archive's index",
                    )
                })?;
            if count == 0 {
                return builder.finish();
            }
            if line.len() as u64 == LINE_LIMIT_BYTES {
                let message =
                    format!("a line of the archive's index is longer than {LINE_LIMIT_BYTES} bytes");
                return Err(Fault::new(Stage::Inspect, Reason::LimitExceeded, message));
            }
            if !line.trim_ascii().is_empty() {
                let parsed = serde_json::from_slice(&line).map_err(|error| {
                    corrupt("a line of the archive's index cannot be read").caused_by(error)
                })?;
                builder.add(parsed)?;
            }
        }
    }
}

#[derive(Default)]
struct Builder {
    index: Index,
    /// Databases before their entries are known: name, ordinal, size, hash.
    dumps: Vec<(String, u64, u64, Option<[u8; 32]>)>,
    count: usize,
    hashes: usize,
    /// Positions in the index's bases by name.
    bases: HashMap<String, usize>,
    headed: bool,
}

/// What is kept of an index stays bounded, however long it is.
fn check_limit(count: usize, limit: usize, what: &str) -> Result<()> {
    if count <= limit {
        return Ok(());
    }
    let message = format!("the archive's index has more than {limit} {what}");
    Err(Fault::new(Stage::Inspect, Reason::LimitExceeded, message))
}

fn missing(what: &str) -> Fault {
    corrupt(format!("a line of the archive's index has no {what}"))
}

impl Builder {
    fn add(&mut self, line: Line) -> Result<()> {
        match line.k.as_str() {
            "h" if line.v == Some(2) => self.headed = true,
            "h" => {
                return Err(unsupported(format!("the archive's index has version {:?}; 2 is known", line.v)));
            }
            "e" => self.add_entry(&line)?,
            "db" => {
                let hash =
                    line.h.as_deref().map(|text| hex_bytes(text, "a hash in the index")).transpose()?;
                let name = line.name.ok_or_else(|| missing("name"))?;
                check_limit(name.len(), NAME_LIMIT_BYTES, "bytes in a name")?;
                check_limit(self.dumps.len() + 1, MAX_DATABASES, "databases")?;
                let (ordinal, size) =
                    (line.n.ok_or_else(|| missing("entry"))?, line.s.ok_or_else(|| missing("size"))?);
                self.dumps.push((name, ordinal, size, hash));
            }
            "f" => self.add_file(&line)?,
            // `deps` repeats what the entries' own references say; `d` describes folders.
            _ => {}
        }
        Ok(())
    }

    fn add_entry(&mut self, line: &Line) -> Result<()> {
        self.count += 1;
        check_limit(self.count, MAX_ENTRIES, "entries")?;
        let entry = Entry {
            ordinal: line.n.ok_or_else(|| missing("ordinal"))?,
            offset: line.off.ok_or_else(|| missing("offset"))?,
            size: line.size.ok_or_else(|| missing("size"))?,
            sealed: line.sealed,
            codec: line.comp.as_deref().map_or(Ok(Codec::None), codec)?,
        };
        if entry.ordinal == 0 || entry.offset.checked_add(entry.size).is_none() {
            return Err(corrupt("an entry of the archive's index is out of range"));
        }
        match &line.a {
            None => self.index.entries.push(entry),
            Some(archive) => self.base(archive)?.entries.push(entry),
        }
        Ok(())
    }

    fn base(&mut self, archive: &str) -> Result<&mut Base> {
        let bases = &mut self.index.bases;
        let at = if let Some(at) = self.bases.get(archive) {
            *at
        } else {
            check_limit(archive.len(), NAME_LIMIT_BYTES, "bytes in a name")?;
            check_limit(bases.len() + 1, MAX_BASES, "archives of its chain")?;
            self.bases.insert(archive.to_owned(), bases.len());
            bases.push(Base { archive: archive.to_owned(), ..Base::default() });
            bases.len() - 1
        };
        let unknown = || Fault::new(Stage::Inspect, Reason::InternalError, "a base archive was lost");
        bases.get_mut(at).ok_or_else(unknown)
    }

    fn add_file(&mut self, line: &Line) -> Result<()> {
        self.index.files += 1;
        if let Some(archive) = &line.a {
            self.base(archive)?.files += 1;
        }
        // A slice of a bundle has no entry of its own; bundles are sealed, their tag proves them.
        if let (Some(ordinal), Some(text), None) = (line.n, &line.h, line.o) {
            let hash = hex_bytes(text, "a hash in the index")?;
            // No two files have one entry: there are not more hashes than entries may be.
            self.hashes += 1;
            check_limit(self.hashes, MAX_ENTRIES, "hashes of files")?;
            match &line.a {
                None => self.index.file_hashes.insert(ordinal, hash),
                Some(archive) => self.base(archive)?.hashes.insert(ordinal, hash),
            };
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Index> {
        if !self.headed {
            return Err(corrupt("the archive's index has no head line"));
        }
        self.index.entries.sort_by_key(|entry| entry.offset);
        let overlaps = |pair: &[Entry]| matches!(pair, [one, two] if one.offset + one.size > two.offset);
        if self.index.entries.windows(2).any(overlaps) {
            return Err(corrupt("entries of the archive's index overlap"));
        }
        let at: HashMap<u64, usize> =
            self.index.entries.iter().enumerate().map(|(at, entry)| (entry.ordinal, at)).collect();
        if at.len() != self.index.entries.len() {
            return Err(corrupt("two entries of the archive's index have one ordinal"));
        }
        let mut taken = HashSet::new();
        for (name, ordinal, size, sha256) in self.dumps {
            let entry = at.get(&ordinal).copied();
            let entry =
                entry.ok_or_else(|| corrupt(format!("the database {name:?} has no entry in the archive")))?;
            if !taken.insert(entry) {
                return Err(corrupt(format!("the database {name:?} has the entry of another one")));
            }
            if self.index.databases.iter().any(|other| other.name == name) {
                return Err(corrupt(format!("the database {name:?} stands twice in the archive's index")));
            }
            self.index.databases.push(DumpLine { name, entry, size, sha256 });
        }
        Ok(self.index)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEAD: &str = "{\"k\":\"h\",\"v\":2}\n";

    #[test]
    fn databases_files_and_bases_are_read() {
        let text = [
            HEAD,
            "{\"k\":\"deps\",\"archives\":[\"full\"]}\n",
            "{\"k\":\"e\",\"n\":1,\"member\":\"d/000001\",\"off\":2048,\"size\":100,\"sealed\":true,\"comp\":\"GZIP\"}\n",
            "{\"k\":\"e\",\"n\":1,\"off\":512,\"size\":9,\"a\":\"full\"}\n",
            "{\"k\":\"db\",\"name\":\"shop\",\"format\":\"sql\",\"n\":1,\"s\":77}\n",
            "{\"k\":\"f\",\"p\":\"x\",\"s\":9,\"n\":1,\"a\":\"full\"}\n{\"k\":\"f\",\"p\":\"l\",\"lnk\":\"x\"}\n",
        ]
        .concat();
        let index = Index::read(text.as_bytes()).unwrap();
        assert_eq!(index.databases[0], DumpLine { name: "shop".into(), entry: 0, size: 77, sha256: None });
        assert_eq!((index.files, index.entries.len(), index.bases[0].entries.len()), (2, 1, 1));
    }

    #[test]
    fn an_index_that_contradicts_itself_is_refused() {
        for (lines, reason) in [
            ("", Reason::CorruptBackup),
            ("{\"k\":\"h\",\"v\":3}", Reason::UnsupportedFormat),
            ("{\"k\":\"h\",\"v\":2}\n{\"k\":\"db\",\"name\":\"a\",\"n\":9,\"s\":1}", Reason::CorruptBackup),
            (
                "{\"k\":\"h\",\"v\":2}\n{\"k\":\"e\",\"n\":1,\"off\":1,\"size\":10}\n{\"k\":\"e\",\"n\":2,\"off\":5,\"size\":1}",
                Reason::CorruptBackup,
            ),
            (
                "{\"k\":\"h\",\"v\":2}\n{\"k\":\"e\",\"n\":1,\"off\":18446744073709551615,\"size\":2}",
                Reason::CorruptBackup,
            ),
            ("{\"k\":\"h\",\"v\":2}\n{\"k\":\"e\",\"n\":0,\"off\":1,\"size\":2}", Reason::CorruptBackup),
            ("{\"k\":\"h\",\"v\":2}\n{\"k\":\"e\",\"n\":-1}", Reason::CorruptBackup),
            (
                "{\"k\":\"h\",\"v\":2}\n{\"k\":\"e\",\"n\":1,\"off\":1,\"size\":1}\n{\"k\":\"db\",\"name\":\"a\",\"n\":1,\"s\":1}\n{\"k\":\"db\",\"name\":\"b\",\"n\":1,\"s\":1}",
                Reason::CorruptBackup,
            ),
        ] {
            assert_eq!(Index::read(lines.as_bytes()).unwrap_err().reason, reason, "{lines}");
        }
    }

    /// Lines of every kind repeated over their limit: an index decodes from almost nothing.
    #[test]
    fn an_index_without_an_end_is_stopped_in_bounded_memory() {
        let hash = "0".repeat(64);
        let kinds: [fn(usize, &str) -> String; 4] = [
            |at, _| format!("{{\"k\":\"e\",\"n\":1,\"off\":{at},\"size\":1}}"),
            |at, _| format!("{{\"k\":\"db\",\"name\":\"d{at}\",\"n\":1,\"s\":1}}"),
            |at, hash| format!("{{\"k\":\"f\",\"n\":{at},\"h\":\"{hash}\"}}"),
            |at, _| format!("{{\"k\":\"f\",\"a\":\"base-{at}\"}}"),
        ];
        for (kind, line) in kinds.into_iter().enumerate() {
            let mut lines = (0..).map(|at| line(at, &hash) + "\n");
            let mut left = HEAD.as_bytes().to_vec();
            let endless = BufReader::new(Endless(move |target: &mut [u8]| {
                while left.is_empty() {
                    left = lines.next().unwrap().into_bytes();
                }
                let count = left.len().min(target.len());
                target[..count].copy_from_slice(&left[..count]);
                left.drain(..count);
                count
            }));
            assert_eq!(Index::read(endless).unwrap_err().reason, Reason::LimitExceeded, "kind {kind}");
        }
        for line in ["\"k\":\"db\",\"n\":1,\"s\":1,\"name\"", "\"k\":\"f\",\"a\""] {
            let text = format!("{HEAD}{{{line}:\"{}\"}}", "x".repeat(2000));
            assert_eq!(Index::read(text.as_bytes()).unwrap_err().reason, Reason::LimitExceeded, "{line}");
        }
        let long = format!("{HEAD}{}", "x".repeat(200_000));
        assert_eq!(Index::read(long.as_bytes()).unwrap_err().reason, Reason::LimitExceeded);
    }

    struct Endless<F>(F);

    impl<F: FnMut(&mut [u8]) -> usize> Read for Endless<F> {
        fn read(&mut self, target: &mut [u8]) -> std::io::Result<usize> {
            Ok((self.0)(target))
        }
    }

    proptest! {
        #[test]
        fn any_lines_end_in_an_index_or_a_fault(data in proptest::collection::vec(any::<u8>(), 0..2048)) {
            let _ = Index::read(&data[..]);
            let _ = Index::read([HEAD.as_bytes(), &data].concat().as_slice());
        }
    }
}
