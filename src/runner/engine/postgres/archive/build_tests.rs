//! Writes archives for tests, in every version and compression.

use std::io::Write;

use super::entry::{Entry, Format, Place, Section};
use crate::runner::codec::BlockCodec;

/// Data of an entry.
#[derive(Clone, Debug)]
pub(in crate::runner::engine::postgres) enum Data {
    Table(Vec<u8>),
    Objects(Vec<(u32, Vec<u8>)>),
}

/// An archive to be.
#[derive(Clone, Debug)]
pub(in crate::runner::engine::postgres) struct Archive {
    version: u8,
    codec: BlockCodec,
    entries: Vec<(Entry, Option<Data>)>,
    /// Numbers of the entries in the order of their blocks; empty: that of the entries.
    pub(in crate::runner::engine::postgres) order: Vec<u32>,
    /// Bytes behind the last block.
    pub(in crate::runner::engine::postgres) tail: Vec<u8>,
    /// Bytes of a chunk.
    pub(in crate::runner::engine::postgres) chunk: usize,
}

/// An entry without data.
pub(in crate::runner::engine::postgres) fn entry(dump_id: u32, desc: &[u8], defn: &[u8]) -> Entry {
    Entry {
        dump_id,
        had_dumper: false,
        catalog_oid: 0,
        oid: 0,
        tag: desc.to_vec(),
        desc: desc.to_vec(),
        section: Section::PreData,
        defn: defn.to_vec(),
        drop_statement: Vec::new(),
        copy_statement: Vec::new(),
        namespace: b"public".to_vec(),
        tablespace: Vec::new(),
        table_am: Vec::new(),
        relkind: 0,
        owner: Vec::new(),
        with_oids: false,
        dependencies: Vec::new(),
        place: Place::NoData,
    }
}

/// The data entry of a table.
pub(in crate::runner::engine::postgres) fn table(dump_id: u32, name: &[u8], copy: &[u8]) -> Entry {
    Entry {
        tag: name.to_vec(),
        section: Section::Data,
        copy_statement: copy.to_vec(),
        had_dumper: true,
        place: Place::Unknown,
        ..entry(dump_id, b"TABLE DATA", b"")
    }
}

/// An entry of large objects.
pub(in crate::runner::engine::postgres) fn objects(dump_id: u32) -> Entry {
    Entry { desc: b"BLOBS".to_vec(), tag: b"BLOBS".to_vec(), ..table(dump_id, b"BLOBS", b"") }
}

/// A TAR of these files.
pub(in crate::runner::engine::postgres) fn tar(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut builder = ::tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = ::tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        if name.ends_with('/') {
            header.set_entry_type(::tar::EntryType::Directory);
        }
        // Set raw: the builder's own way refuses the hostile names that are wanted here.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        builder.append(&header, &content[..]).unwrap();
    }
    builder.into_inner().unwrap()
}

fn int(into: &mut Vec<u8>, value: i64) {
    into.push(u8::from(value < 0));
    into.extend_from_slice(&u32::try_from(value.unsigned_abs()).unwrap().to_le_bytes());
}

fn text(into: &mut Vec<u8>, value: &[u8]) {
    if value.is_empty() {
        return int(into, -1);
    }
    int(into, i64::try_from(value.len()).unwrap());
    into.extend_from_slice(value);
}

impl Archive {
    pub(in crate::runner::engine::postgres) fn new(version: u8, codec: BlockCodec) -> Self {
        Self { version, codec, entries: Vec::new(), order: Vec::new(), tail: Vec::new(), chunk: 4096 }
    }

    pub(in crate::runner::engine::postgres) fn add(&mut self, entry: Entry, data: Option<Data>) {
        self.entries.push((entry, data));
    }

    /// In the custom format.
    pub(in crate::runner::engine::postgres) fn bytes(&self) -> Vec<u8> {
        let mut all = self.contents(Format::Custom);
        let order: Vec<u32> = if self.order.is_empty() {
            self.entries.iter().map(|(entry, _)| entry.dump_id).collect()
        } else {
            self.order.clone()
        };
        for number in order {
            let (_, data) = self.entries.iter().find(|(entry, _)| entry.dump_id == number).unwrap();
            self.block(&mut all, number, data.as_ref());
        }
        all.extend_from_slice(&self.tail);
        all
    }

    /// As files with their names, in the order of the tar format.
    pub(in crate::runner::engine::postgres) fn files(&self) -> Vec<(String, Vec<u8>)> {
        let mut files = vec![("toc.dat".to_owned(), self.contents(Format::Files))];
        let ending = match self.codec {
            BlockCodec::None => "",
            BlockCodec::Zlib | BlockCodec::Gzip => ".gz",
            BlockCodec::Lz4 => ".lz4",
            BlockCodec::Zstd => ".zst",
        };
        for (entry, data) in &self.entries {
            match data {
                None => {}
                Some(Data::Table(data)) => {
                    files.push((format!("{}.dat{ending}", entry.dump_id), self.compressed(data)));
                }
                Some(Data::Objects(objects)) => {
                    let mut list = Vec::new();
                    for (oid, data) in objects {
                        // So does pg_dump with LZ4.
                        let empty = data.is_empty() && self.codec == BlockCodec::Lz4;
                        let stored = if empty { Vec::new() } else { self.compressed(data) };
                        files.push((format!("blob_{oid}.dat{ending}"), stored));
                        writeln!(list, "{oid} blob_{oid}.dat").unwrap();
                    }
                    files.push((self.file(entry), list));
                }
            }
        }
        files
    }

    /// The name of an entry's file, as the table of contents has it.
    fn file(&self, entry: &Entry) -> String {
        match (entry.place, entry.is_large_objects()) {
            (Place::NoData, _) => String::new(),
            (_, false) => format!("{}.dat", entry.dump_id),
            (_, true) if self.version < 16 => "blobs.toc".to_owned(),
            (_, true) => format!("blobs_{}.toc", entry.dump_id),
        }
    }

    /// Header and entries.
    fn contents(&self, format: Format) -> Vec<u8> {
        let number = if format == Format::Custom { 1 } else { 3 };
        let mut all = [&b"PGDMP\x01"[..], &[self.version, 0, 4, 8, number]].concat();
        // Of the files, gzip and zlib have the same number.
        let number = if self.codec == BlockCodec::Gzip { 1 } else { self.codec as u8 };
        if self.version >= 15 {
            all.push(number);
        } else {
            int(&mut all, -i64::from(number));
        }
        (0..7).for_each(|field| int(&mut all, field));
        for value in ["shop", "18.4", "18.4"] {
            text(&mut all, value.as_bytes());
        }
        int(&mut all, i64::try_from(self.entries.len()).unwrap());
        for (entry, _) in &self.entries {
            self.entry(&mut all, entry, format);
        }
        all
    }

    fn entry(&self, all: &mut Vec<u8>, entry: &Entry, format: Format) {
        int(all, entry.dump_id.into());
        int(all, entry.had_dumper.into());
        text(all, entry.catalog_oid.to_string().as_bytes());
        text(all, entry.oid.to_string().as_bytes());
        text(all, &entry.tag);
        text(all, &entry.desc);
        int(all, entry.section as i64 + 1);
        for value in
            [&entry.defn, &entry.drop_statement, &entry.copy_statement, &entry.namespace, &entry.tablespace]
        {
            text(all, value);
        }
        if self.version >= 14 {
            text(all, &entry.table_am);
        }
        if self.version >= 16 {
            int(all, entry.relkind.into());
        }
        text(all, &entry.owner);
        text(all, if entry.with_oids { b"true" } else { b"false" });
        for number in &entry.dependencies {
            text(all, number.to_string().as_bytes());
        }
        text(all, b"");
        if format == Format::Files {
            return text(all, self.file(entry).as_bytes());
        }
        let (kind, offset) = match entry.place {
            Place::Unknown => (1, 0),
            Place::At(offset) => (2, offset),
            Place::NoData | Place::File => (3, 0),
        };
        all.push(kind);
        all.extend_from_slice(&offset.to_le_bytes());
    }

    fn block(&self, all: &mut Vec<u8>, number: u32, data: Option<&Data>) {
        match data {
            None => {}
            Some(Data::Table(data)) => {
                all.push(1);
                int(all, number.into());
                self.chunks(all, data);
            }
            Some(Data::Objects(objects)) => {
                all.push(3);
                int(all, number.into());
                for (oid, data) in objects {
                    // As a signed integer of four bytes.
                    int(all, i64::from(oid.cast_signed()));
                    self.chunks(all, data);
                }
                int(all, 0);
            }
        }
    }

    fn chunks(&self, all: &mut Vec<u8>, data: &[u8]) {
        for chunk in self.compressed(data).chunks(self.chunk) {
            int(all, i64::try_from(chunk.len()).unwrap());
            all.extend_from_slice(chunk);
        }
        int(all, 0);
    }

    fn compressed(&self, data: &[u8]) -> Vec<u8> {
        match self.codec {
            BlockCodec::None => data.to_vec(),
            BlockCodec::Zlib => {
                let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::new(6));
                encoder.write_all(data).unwrap();
                encoder.finish().unwrap()
            }
            BlockCodec::Lz4 => {
                let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
                encoder.write_all(data).unwrap();
                encoder.finish().unwrap()
            }
            BlockCodec::Zstd => zstd::encode_all(data, 3).unwrap(),
            BlockCodec::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
                encoder.write_all(data).unwrap();
                encoder.finish().unwrap()
            }
        }
    }
}
