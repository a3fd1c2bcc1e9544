//! Files beside the target: their names, their creation, the lock, and moves that never replace.
//!
//! All siblings of `NAME` are `.NAME.reinstate-…`, except the kept previous database,
//! `NAME.reinstate-previous-LABEL`, which a person should see.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use crate::reason::Reason;
use crate::runner::fault::{Fault, Result, Stage};

/// What SQLite appends to a database's name for files of its own.
pub(super) const SIDE_SUFFIXES: [&str; 3] = ["-journal", "-wal", "-shm"];
/// Longest file name in bytes: `NAME_MAX` of Linux.
const NAME_LIMIT_BYTES: usize = 255;
/// Hexadecimal digits of the digest in the name of a held load: 128 bits of its SHA-256.
pub(super) const DIGEST_DIGITS: usize = 32;
/// Attempts to lock a file that others remove and make anew.
const LOCK_ATTEMPTS: u32 = 100;

/// Where a target lies; its folder is free of symbolic links.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) folder: PathBuf,
    pub(super) name: OsString,
}

impl Place {
    /// The target itself.
    pub(super) fn target(&self) -> PathBuf {
        self.folder.join(&self.name)
    }

    /// A file of SQLite's own beside the target.
    pub(super) fn side(&self, suffix: &str) -> PathBuf {
        with_suffix(&self.target(), suffix)
    }

    /// The lock that keeps a second run away.
    pub(super) fn lock(&self) -> PathBuf {
        self.hidden("lock")
    }

    /// The file into which run `run_id` loads.
    pub(super) fn shadow(&self, run_id: &str) -> PathBuf {
        self.hidden(&format!("{}.shadow", name_part(run_id)))
    }

    /// What run `run_id` has loaded and left for a later switch; `digest` is of its content.
    pub(super) fn held(&self, run_id: &str, digest: &str) -> PathBuf {
        self.hidden(&format!("{}-{digest}.held", name_part(run_id)))
    }

    /// The copy of the previous database while it is made.
    pub(super) fn part(&self, run_id: &str) -> PathBuf {
        self.hidden(&format!("{}.part", name_part(run_id)))
    }

    /// The kept previous database.
    pub(super) fn previous(&self, label: &str) -> PathBuf {
        with_suffix(&self.target(), &format!(".reinstate-previous-{}", name_part(label)))
    }

    fn hidden(&self, what: &str) -> PathBuf {
        let mut name = OsString::from(".");
        name.push(&self.name);
        name.push(format!(".reinstate-{what}"));
        self.folder.join(name)
    }
}

/// `path` with `suffix` appended to its name.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Text from outside as part of a file name.
fn name_part(text: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':' | '+');
    text.chars().map(|c| if safe(c) { c } else { '_' }).collect()
}

/// The folder and name in a target's path below its root; `None` where the text leaves the root or
/// names no file, or one of SQLite's or ours.
pub(super) fn split_path(path: &str) -> Option<(PathBuf, OsString)> {
    let path = Path::new(path);
    let plain = path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    let name = path.file_name()?;
    let text = name.to_string_lossy();
    let ours = text.contains(".reinstate-");
    let side = SIDE_SUFFIXES.iter().any(|suffix| text.ends_with(suffix));
    let slash = path.as_os_str().to_string_lossy().ends_with('/');
    let nul = text.contains('\0');
    let folder = path.parent().unwrap_or_else(|| Path::new("")).to_owned();
    (plain && !ours && !side && !slash && !nul).then(|| (folder, name.to_owned()))
}

/// Finds the target's folder below `root`, symbolic links followed but not out of it.
pub(super) fn place(root: &Path, path: &str) -> Result<Place> {
    let (folder, name) = split_path(path).ok_or_else(|| {
        let message = format!(
            "the target path {path:?} must be relative, without `..`, and name a file that is not one of SQLite's side files"
        );
        Fault::new(Stage::Preflight, Reason::InvalidSpec, message)
    })?;
    let real = |path: &Path| {
        fs::canonicalize(path).map_err(|error| {
            fault(Stage::Preflight, &format!("failed to open the folder {}", path.display()), error)
        })
    };
    let root = real(root)?;
    let folder = real(&root.join(folder))?;
    if !folder.starts_with(&root) {
        let message = format!("the folder of {path:?} is a link out of {}", root.display());
        return Err(Fault::new(Stage::Preflight, Reason::InvalidSpec, message));
    }
    Ok(Place { folder, name })
}

/// Refuses a target beside whose name the names of this run's files would be too long.
pub(super) fn check_names(place: &Place, run_id: &str, label: Option<&str>) -> Result<()> {
    let names = [
        with_suffix(&place.shadow(run_id), "-journal"),
        place.held(run_id, &"0".repeat(DIGEST_DIGITS)),
        place.previous(label.unwrap_or_default()),
    ];
    let longest = names.iter().filter_map(|path| path.file_name()).map(OsStr::len).max().unwrap_or(0);
    let excess = longest.saturating_sub(NAME_LIMIT_BYTES);
    if excess > 0 {
        let message = format!(
            "the target's name is {excess} bytes too long: the files beside it, such as the kept previous database, \
             take its name with a suffix, and no name may have more than {NAME_LIMIT_BYTES} bytes"
        );
        return Err(Fault::new(Stage::Preflight, Reason::InvalidSpec, message));
    }
    Ok(())
}

/// The fault for a failed file operation at the target.
pub(super) fn fault(stage: Stage, what: &str, error: io::Error) -> Fault {
    let reason = match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Reason::TargetNotFound,
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Reason::PermissionDenied,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            Reason::NoRoom
        }
        _ => Reason::RestoreFailed,
    };
    Fault::new(stage, reason, what).caused_by(error)
}

/// What is at `path`, links not followed; `None` where nothing is.
pub(super) fn look(path: &Path) -> io::Result<Option<Metadata>> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Bytes of the file at `path`, 0 where there is none.
pub(super) fn size(path: &Path) -> io::Result<u64> {
    Ok(look(path)?.map_or(0, |metadata| metadata.len()))
}

/// Whether this process may write the file or folder.
pub(super) fn may_write(path: &Path, folder: bool) -> io::Result<()> {
    let wanted = if folder { Access::WRITE_OK | Access::EXEC_OK } else { Access::WRITE_OK | Access::READ_OK };
    rustix::fs::accessat(CWD, path, wanted, AtFlags::EACCESS).map_err(io::Error::from)
}

/// Makes a file that must not exist yet, readable by this user only.
pub(super) fn create_new(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    Ok(File::from(rustix::fs::openat(CWD, path, flags, Mode::from_raw_mode(0o600))?))
}

/// Opens a regular file to read it; a link or anything else is an error.
pub(super) fn open_regular(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = File::from(rustix::fs::openat(CWD, path, flags, Mode::empty())?);
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is no regular file")) }
}

/// Makes changes of names in `folder` durable.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Bytes that this process may still write in `folder`.
pub(super) fn free_bytes(folder: &Path) -> io::Result<u64> {
    let status = rustix::fs::statvfs(folder)?;
    Ok(status.f_bavail.saturating_mul(status.f_frsize))
}

/// Permission bits of a new database: its group may read it, and write it where the group may
/// write the folder (as on a Kubernetes volume with `fsGroup`). Others may not.
pub(super) fn new_file_mode(folder_mode: u32) -> u32 {
    0o640 | (folder_mode & 0o020)
}

/// Device and number of the file at `path`; `None` where nothing is.
pub(super) fn identity(path: &Path) -> io::Result<Option<(u64, u64)>> {
    Ok(look(path)?.map(|metadata| (metadata.dev(), metadata.ino())))
}

/// Moves `from` to `to` unless something is there (`AlreadyExists`). Where the file system cannot
/// do that in one step, a hard link takes the new name; the old one may then stay.
pub(super) fn rename_no_replace(from: &Path, to: &Path) -> io::Result<()> {
    moved(from, to, || match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => link_over(from, to),
        result => Ok(result?),
    })
}

/// The move by a hard link. The file is in place once that is made, whatever becomes of its old name.
fn link_over(from: &Path, to: &Path) -> io::Result<()> {
    fs::hard_link(from, to)?;
    let _ = fs::remove_file(from);
    Ok(())
}

/// Moves `from` over `to`, which is known to be the file to replace.
pub(super) fn rename_over(from: &Path, to: &Path) -> io::Result<()> {
    moved(from, to, || Ok(rustix::fs::renameat(CWD, from, CWD, to)?))
}

/// Runs a move and takes its error for none where the file is at its new name all the same: the
/// answer of a network file system can be lost, and the repeated request then fails.
fn moved(from: &Path, to: &Path, action: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    let file = identity(from)?;
    match action() {
        Err(error) if file.is_none() || identity(to).ok() != Some(file) => Err(error),
        _ => Ok(()),
    }
}

/// Removes a file; one that is not there is fine.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The held lock of a target. It is released and its file removed when it is dropped.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
    path: PathBuf,
}

impl Lock {
    /// Takes the lock, or gives `None` where another run holds it.
    ///
    /// The holder removes the file before it lets go, so a lock counts only if the file is still
    /// the one under that name: another run may have removed it between open and lock.
    pub(super) fn take(path: &Path) -> io::Result<Option<Self>> {
        for _ in 0..LOCK_ATTEMPTS {
            // Read-only, so that a run of another user can see the lock too.
            let flags = OFlags::RDONLY | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
            let file = File::from(rustix::fs::openat(CWD, path, flags, Mode::from_raw_mode(0o644))?);
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(error),
            }
            if is_current(&file, path)? {
                return Ok(Some(Self { file, path: path.to_owned() }));
            }
        }
        Ok(None)
    }

    /// Whether the lock still excludes others: its file may have been removed and made anew.
    pub(super) fn is_held(&self) -> io::Result<bool> {
        is_current(&self.file, &self.path)
    }
}

fn is_current(file: &File, path: &Path) -> io::Result<bool> {
    let held = file.metadata()?;
    Ok(look(path)?.is_some_and(|named| named.ino() == held.ino() && named.dev() == held.dev()))
}

impl Drop for Lock {
    fn drop(&mut self) {
        if is_current(&self.file, &self.path).unwrap_or(false) {
            // A lock file that stays is harmless: the next run locks it again.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Bytes of a name as text for messages.
pub(super) fn show(name: &OsStr) -> String {
    name.to_string_lossy().escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_below_their_root() {
        for (path, fits) in [
            ("app.db", true),
            ("data/app.db", true),
            ("./app.db", true),
            ("a b'\"?#%.db", true),
            ("", false),
            ("/etc/passwd", false),
            ("../app.db", false),
            ("data/../../app.db", false),
            ("data/..", false),
            ("data/", false),
            ("app.db-wal", false),
            ("app.db-journal", false),
            (".app.db.reinstate-lock", false),
            ("app\0.db", false),
        ] {
            assert_eq!(split_path(path).is_some(), fits, "{path:?}");
        }
    }

    #[test]
    fn a_folder_that_links_out_of_the_root_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        fs::create_dir_all(root.join("inside")).unwrap();
        std::os::unix::fs::symlink(folder.path(), root.join("out")).unwrap();
        std::os::unix::fs::symlink(root.join("inside"), root.join("in")).unwrap();
        assert_eq!(place(&root, "out/app.db").unwrap_err().reason, Reason::InvalidSpec);
        assert_eq!(place(&root, "gone/app.db").unwrap_err().reason, Reason::TargetNotFound);
        assert!(place(&root, "in/app.db").unwrap().folder.ends_with("root/inside"));
    }

    #[test]
    fn a_move_never_replaces() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        fs::write(&from, "new").unwrap();
        fs::write(&to, "old").unwrap();
        assert_eq!(rename_no_replace(&from, &to).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&to).unwrap(), b"old");
        remove(&to).unwrap();
        rename_no_replace(&from, &to).unwrap();
        assert_eq!((fs::read(&to).unwrap(), from.exists()), (b"new".to_vec(), false));
    }

    #[test]
    fn a_move_that_happened_is_none_that_failed() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        let lost = || io::Error::other("the answer was lost");
        fs::write(&from, "new").unwrap();
        assert!(moved(&from, &to, || Err(lost())).is_err());
        fs::write(&to, "old").unwrap();
        assert!(moved(&from, &to, || Err(lost())).is_err());
        moved(&from, &to, || {
            rustix::fs::rename(&from, &to).map_err(io::Error::from).and_then(|()| Err(lost()))
        })
        .unwrap();
        assert_eq!(fs::read(&to).unwrap(), b"new");
        assert!(moved(&from, &to, || Err(lost())).is_err(), "nothing was there to move");
        fs::write(&from, "newer").unwrap();
        assert_eq!(link_over(&from, &to).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        remove(&to).unwrap();
        link_over(&from, &to).unwrap();
        assert_eq!((fs::read(&to).unwrap(), from.exists()), (b"newer".to_vec(), false));
    }

    #[test]
    fn a_lock_excludes_until_it_is_dropped_and_then_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".a.reinstate-lock");
        let lock = Lock::take(&path).unwrap().unwrap();
        assert!(Lock::take(&path).unwrap().is_none());
        drop(lock);
        assert!(!path.exists());
        let again = Lock::take(&path).unwrap().unwrap();
        // A person removed the file and a new run made its own: the old holder leaves that alone.
        assert!(again.is_held().unwrap());
        fs::remove_file(&path).unwrap();
        let other = Lock::take(&path).unwrap().unwrap();
        assert!(!again.is_held().unwrap() && other.is_held().unwrap());
        drop(again);
        assert!(path.exists() && Lock::take(&path).unwrap().is_none());
        drop(other);
    }

    #[test]
    fn a_name_that_leaves_no_room_for_its_siblings_is_refused() {
        let label = "20261123T040000Z-until-20261124T040000Z";
        for (length, run_id, label, fits) in [
            (196, "r", Some(label), true),
            (197, "r", Some(label), false),
            (197, "r", None, true),
            (200, "12345678901234567890123456789012", None, false),
            (255, "r", None, false),
        ] {
            let place = Place { folder: "/data".into(), name: "n".repeat(length).into() };
            let checked = check_names(&place, run_id, label).map_err(|fault| fault.reason);
            let expected = if fits { Ok(()) } else { Err(Reason::InvalidSpec) };
            assert_eq!(checked, expected, "{length} {run_id} {label:?}");
        }
    }

    #[test]
    fn names_of_siblings_hold_nothing_that_leaves_the_folder() {
        let place = Place { folder: "/data".into(), name: "app.db".into() };
        assert_eq!(place.shadow("../x y"), Path::new("/data/.app.db.reinstate-.._x_y.shadow"));
        assert_eq!(
            place.previous("2026-11-23T01:00:00Z"),
            Path::new("/data/app.db.reinstate-previous-2026-11-23T01:00:00Z")
        );
        assert_eq!((new_file_mode(0o755), new_file_mode(0o2775)), (0o640, 0o660));
    }
}
