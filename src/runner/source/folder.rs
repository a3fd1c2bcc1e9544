//! A local folder: a mounted volume, or a folder of this machine.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

use jiff::Timestamp;
use rustix::fs::OFlags;

use super::{ListedObject, ObjectStat, Pin, Readers, Store};
use crate::reason::Reason;
use crate::runner::cancel::Cancel;
use crate::runner::fault::{Fault, Result, Stage};

/// Readers of one file. What one checks at once begins and ends beside the bytes that are wanted.
const READERS: Readers = Readers { limit: 17, worth_bytes: 4 << 20, is_near: true };
/// Deepest nesting of folders that a listing follows.
const MAX_DEPTH: usize = 32;

/// A folder as a storage destination.
#[derive(Clone, Debug)]
pub struct Folder {
    root: PathBuf,
}

impl Folder {
    /// The folder `root`; it is looked at when something is read.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The file of `path`, which may not leave the folder by its text. Symbolic links are followed:
    /// who fills the folder decides what lies in it.
    fn resolve(&self, path: &str) -> Result<PathBuf> {
        let relative = Path::new(path);
        let stays =
            relative.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        if path.is_empty() || path.contains('\0') || !stays {
            let message = format!("the path {path:?} leaves the folder {}", self.root.display());
            return Err(Fault::new(Stage::Resolve, Reason::InvalidSpec, message));
        }
        Ok(self.root.join(relative))
    }

    fn fault(&self, error: io::Error, path: &str) -> Fault {
        if error.kind() == io::ErrorKind::NotFound && !self.root.exists() {
            let message = format!("there is no folder {}", self.root.display());
            return Fault::new(Stage::Download, Reason::SourceNotFound, message).caused_by(error);
        }
        let (reason, what) = match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => (Reason::SourceNotFound, "there is no"),
            io::ErrorKind::PermissionDenied => (Reason::SourceAccessDenied, "may not read"),
            _ => (Reason::SourceUnavailable, "failed to read"),
        };
        let message = format!("{what} {path} in {}", self.root.display());
        Fault::new(Stage::Download, reason, message).caused_by(error)
    }

    fn open_regular(&self, path: &str) -> Result<(File, ObjectStat)> {
        // Without O_NONBLOCK a named pipe in the place of a backup would block for ever.
        let file = File::options()
            .read(true)
            .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
            .open(self.resolve(path)?)
            .map_err(|error| self.fault(error, path))?;
        let metadata = file.metadata().map_err(|error| self.fault(error, path))?;
        if !metadata.is_file() {
            let message = format!("{path} in {} is not a file", self.root.display());
            return Err(Fault::new(Stage::Download, Reason::SourceNotFound, message));
        }
        let nanoseconds = i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec());
        let stat = ObjectStat {
            size: metadata.len(),
            pin: Pin::File {
                device: metadata.dev(),
                inode: metadata.ino(),
                modified: nanoseconds,
                size: metadata.len(),
            },
            modified: Timestamp::from_nanosecond(nanoseconds).ok(),
        };
        Ok((file, stat))
    }
}

impl Store for Folder {
    fn describe(&self) -> String {
        self.root.display().to_string()
    }

    fn stat(&self, path: &str) -> Result<ObjectStat> {
        self.open_regular(path).map(|(_, stat)| stat)
    }

    fn open(
        &self,
        path: &str,
        pin: &Pin,
        range: Range<u64>,
        cancel: &Cancel,
    ) -> Result<Box<dyn Read + Send>> {
        let (mut file, stat) = self.open_regular(path)?;
        if stat.pin != *pin {
            let message =
                format!("{path} in {} is not the file that was looked at first", self.root.display());
            return Err(Fault::new(Stage::Download, Reason::SourceChanged, message));
        }
        file.seek(SeekFrom::Start(range.start)).map_err(|error| self.fault(error, path))?;
        let name = format!("{}/{path}", self.root.display());
        let left = range.end.saturating_sub(range.start);
        Ok(Box::new(cancel.guard(FileRange { file, left, pin: pin.clone(), name })))
    }

    fn readers(&self) -> Option<Readers> {
        Some(READERS)
    }

    fn list(&self, prefix: &str, limit: usize) -> Result<Vec<ListedObject>> {
        let mut found = Vec::new();
        // Links may lead in circles: no folder is looked through twice.
        let mut visited = HashSet::new();
        let mut waiting = vec![(self.root.clone(), String::new(), 0_usize)];
        while let Some((folder, below, depth)) = waiting.pop() {
            let entries = folder
                .read_dir()
                .map_err(|error| self.fault(error, if below.is_empty() { "." } else { &below }))?;
            for entry in entries {
                let entry = entry.map_err(|error| self.fault(error, &below))?;
                // A name that is not UTF-8 cannot be written in a manifest either.
                let Ok(name) = entry.file_name().into_string() else { continue };
                let path = if below.is_empty() { name } else { format!("{below}/{name}") };
                // What vanishes between the two calls is not in the listing.
                let Ok(metadata) = entry.path().metadata() else { continue };
                let leads_there = path.starts_with(prefix) || prefix.starts_with(&format!("{path}/"));
                let to_visit = metadata.is_dir() && leads_there && depth < MAX_DEPTH;
                if to_visit && visited.insert((metadata.dev(), metadata.ino())) {
                    check_limit(visited.len(), limit, &self.describe())?;
                    waiting.push((entry.path(), path, depth + 1));
                } else if metadata.is_file() && path.starts_with(prefix) {
                    found.push(ListedObject {
                        path,
                        size: metadata.len(),
                        modified: metadata.modified().ok().and_then(|time| Timestamp::try_from(time).ok()),
                    });
                    check_limit(found.len(), limit, &self.describe())?;
                }
            }
        }
        found.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(found)
    }
}

/// `LimitExceeded` once a listing has more than `limit` rows.
pub(super) fn check_limit(found: usize, limit: usize, place: &str) -> Result<()> {
    if found > limit {
        let message = format!("more than {limit} files in {place}; name a longer prefix");
        return Err(Fault::new(Stage::Download, Reason::LimitExceeded, message));
    }
    Ok(())
}

/// A range of one file that is checked at its end to be still the same file.
struct FileRange {
    file: File,
    left: u64,
    pin: Pin,
    name: String,
}

impl FileRange {
    fn changed(&self, what: &str) -> io::Error {
        let message = format!("{} {what}", self.name);
        Fault::new(Stage::Download, Reason::SourceChanged, message).into_io()
    }

    fn check_unchanged(&self) -> io::Result<()> {
        let now = self.file.metadata()?;
        if let Pin::File { modified, size, .. } = &self.pin {
            let nanoseconds = i128::from(now.mtime()) * 1_000_000_000 + i128::from(now.mtime_nsec());
            if nanoseconds != *modified || now.len() != *size {
                return Err(self.changed("was written to while it was read"));
            }
        }
        Ok(())
    }
}

impl Read for FileRange {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(target.len());
        let Some(target) = target.get_mut(..most).filter(|target| !target.is_empty()) else {
            return Ok(0);
        };
        let count = self.file.read(target)?;
        if count == 0 {
            return Err(self.changed("became shorter while it was read"));
        }
        self.left -= count as u64;
        if self.left == 0 {
            self.check_unchanged()?;
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder_with(files: &[(&str, &str)]) -> (tempfile::TempDir, Folder) {
        let root = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        let folder = Folder::new(root.path());
        (root, folder)
    }

    #[test]
    fn a_path_that_leaves_the_folder_is_refused() {
        let (_root, folder) = folder_with(&[("a", "x")]);
        for path in ["../a", "/etc/passwd", "a/../../b", "", "a\0b"] {
            assert_eq!(folder.stat(path).unwrap_err().reason, Reason::InvalidSpec, "{path:?}");
        }
        assert_eq!(folder.stat("missing").unwrap_err().reason, Reason::SourceNotFound);
        assert_eq!(folder.stat("a/below").unwrap_err().reason, Reason::SourceNotFound);
    }

    #[test]
    fn only_the_pinned_file_is_read() {
        let (root, folder) = folder_with(&[("a", "0123456789")]);
        let pin = folder.stat("a").unwrap().pin;
        let mut text = String::new();
        folder.open("a", &pin, 2..5, &Cancel::never()).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "234");
        std::fs::remove_file(root.path().join("a")).unwrap();
        std::fs::write(root.path().join("b"), "placeholder").unwrap();
        std::fs::write(root.path().join("a"), "9876543210").unwrap();
        let fault = folder.open("a", &pin, 0..10, &Cancel::never()).map(|_| ()).unwrap_err();
        assert_eq!(fault.reason, Reason::SourceChanged);
    }

    #[test]
    fn a_listing_is_sorted_bounded_and_below_its_prefix() {
        let (_root, folder) = folder_with(&[("shop/b.sql", "1"), ("shop/a.sql", "22"), ("other/c", "3")]);
        let rows: Vec<_> =
            folder.list("shop/", 10).unwrap().into_iter().map(|row| (row.path, row.size)).collect();
        assert_eq!(rows, [("shop/a.sql".to_owned(), 2), ("shop/b.sql".to_owned(), 1)]);
        assert_eq!(folder.list("", 2).unwrap_err().reason, Reason::LimitExceeded);
    }

    #[test]
    fn pipes_and_circles_of_links_do_not_hang() {
        let (root, folder) = folder_with(&[("shop/a.sql", "1")]);
        rustix::fs::mknodat(
            rustix::fs::CWD,
            root.path().join("pipe"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        assert_eq!(folder.stat("pipe").unwrap_err().reason, Reason::SourceNotFound);
        for name in ["a", "b", "shop/c"] {
            std::os::unix::fs::symlink(root.path(), root.path().join(name)).unwrap();
        }
        let rows = folder.list("", 1000).unwrap();
        assert!(rows.len() <= 3, "{rows:?}");
    }
}
