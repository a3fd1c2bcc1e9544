//! `reinstate extract`: the decoded dumps of a backup as files, or one on standard output.
//!
//! The backup is proven first; each file appears under its name only when it is whole. Names are
//! made from database names and never hold a path.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::Args;

use super::exit::ExitCode;
use super::keys::KeyFlags;
use super::output::{self, bytes, clean};
use super::progress::Display;
use super::storage_url::{self, StorageFlags};
use super::verify::{Expectations, examine_shown, named};
use super::{report_fault, report_fault_with, signals};
use crate::reason::Reason;
use crate::runner::engine::Context;
use crate::runner::fault::{Fault, Result, Stage};
use crate::runner::inventory::DumpFormat;
use crate::runner::pipe::BUFFER_BYTES;
use crate::runner::read::{Examined, Options, Scope};

/// Longest file name that is made, without its extension, in bytes.
const NAME_LIMIT_BYTES: usize = 200;

/// Writes the decoded dumps of a backup, all or one
#[derive(Args, Clone, Debug)]
pub struct Extract {
    /// A local file, or `s3://BUCKET/KEY`
    #[arg(value_name = "PATH|URL")]
    pub backup: String,
    /// Folder to write to, or `-` for standard output
    #[arg(short = 'd', long = "directory", value_name = "DIR|-")]
    pub directory: PathBuf,
    /// Only this database
    #[arg(long, value_name = "NAME")]
    pub database: Option<String>,
    /// Replace files that exist
    #[arg(long)]
    pub force: bool,
    /// What to expect of the backup.
    #[command(flatten)]
    pub expect: Expectations,
    /// Keys.
    #[command(flatten)]
    pub keys: KeyFlags,
    /// Storage.
    #[command(flatten)]
    pub storage: StorageFlags,
}

/// Runs the command.
pub fn extract(arguments: &Extract) -> ExitCode {
    match carry_out(arguments) {
        Ok(()) => ExitCode::Success,
        // The reason's own hint is about databases.
        Err(fault) if fault.reason == Reason::TargetNotEmpty => {
            report_fault_with(&fault, "Replace it with `--force`, or write to another folder.")
        }
        Err(fault) => report_fault(&named(fault, &arguments.backup)),
    }
}

fn carry_out(arguments: &Extract) -> Result<()> {
    let keys = arguments.keys.read()?;
    let artifact = storage_url::artifact(&arguments.backup, &arguments.storage)?;
    let wanted = arguments.database.clone().map(|name| vec![name]);
    let options = Options { scope: Scope::Databases(wanted), ..arguments.expect.options()? };
    let examined = examine_shown(&artifact, &keys, &options)?;
    let chosen = choose(&examined, arguments.database.as_deref())?;
    let context = Context::default();
    let _signals = signals::cancel_on_signal(&context.cancel, signals::Again::Ends);
    if arguments.directory == Path::new("-") {
        let [index] = chosen.as_slice() else {
            let message =
                format!("{} databases do not fit on standard output; name one with --database", chosen.len());
            return Err(fault(Reason::InvalidSpec, message));
        };
        // Not through `Stdout`: it looks for line ends and copies, and a dump has no use for either.
        let stdout = io::stdout().as_fd().try_clone_to_owned();
        let stdout = stdout.map_err(|error| write_fault(Path::new("the output"), error))?;
        return copy(&examined, *index, &context, &mut File::from(stdout));
    }
    fs::create_dir_all(&arguments.directory).map_err(|error| write_fault(&arguments.directory, error))?;
    let mut taken = BTreeSet::new();
    for index in chosen {
        let name = file_name(&examined, index, &mut taken);
        let path = arguments.directory.join(&name);
        write_file(arguments, &examined, index, (&path, &context))?;
        let size = examined.databases.get(index).map_or(0, |entry| entry.bytes);
        output::note(&format!("wrote {} ({})", clean(&path.display().to_string()), bytes(size)));
    }
    Ok(())
}

fn fault(reason: Reason, message: impl Into<String>) -> Fault {
    Fault::new(Stage::Restore, reason, message)
}

fn write_fault(path: &Path, error: io::Error) -> Fault {
    let reason = match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Reason::PermissionDenied,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Reason::NoRoom,
        io::ErrorKind::AlreadyExists => Reason::TargetNotEmpty,
        _ => Reason::TargetNotFound,
    };
    fault(reason, format!("failed to write {}", path.display())).caused_by(error)
}

fn choose(examined: &Examined, database: Option<&str>) -> Result<Vec<usize>> {
    let all = 0..examined.databases.len();
    if all.is_empty() {
        let message = format!("there is no database in {}", examined.artifact.describe());
        return Err(Fault::new(Stage::Inspect, Reason::DatabaseNotInBackup, message));
    }
    let Some(wanted) = database else { return Ok(all.collect()) };
    let named = |index: &usize| {
        examined.databases.get(*index).is_some_and(|entry| entry.name.as_deref() == Some(wanted))
    };
    let found: Vec<usize> = all.filter(named).collect();
    if found.is_empty() {
        let held: Vec<_> =
            examined.databases.iter().map(|entry| entry.name.as_deref().unwrap_or("-")).collect();
        let message = format!("there is no database {wanted:?} in the backup; it holds: {}", held.join(", "));
        return Err(Fault::new(Stage::Inspect, Reason::DatabaseNotInBackup, message));
    }
    Ok(found)
}

/// The dump's bytes, to the end that pass 2 proves.
fn copy(examined: &Examined, index: usize, context: &Context, target: &mut dyn Write) -> Result<()> {
    context.progress.begin(Stage::Restore, "extracting", examined.bytes_to_read(index));
    let _display = Display::start(&context.progress, false);
    let mut dump = examined.open_database(index, context)?;
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        // A small backup may decode to much: the source is then read long before the end.
        context.cancel.check(Stage::Restore)?;
        let count = dump.read(&mut buffer).map_err(|error| {
            Fault::from_io(error, Stage::Download, Reason::SourceUnavailable, "failed to read the backup")
        })?;
        let part = buffer.get(..count).unwrap_or_default();
        target.write_all(part).map_err(|error| write_fault(Path::new("the output"), error))?;
        if count == 0 {
            return target.flush().map_err(|error| write_fault(Path::new("the output"), error));
        }
    }
}

fn write_file(
    arguments: &Extract,
    examined: &Examined,
    index: usize,
    (path, context): (&Path, &Context),
) -> Result<()> {
    if !arguments.force && path.symlink_metadata().is_ok() {
        return Err(write_fault(path, io::ErrorKind::AlreadyExists.into()));
    }
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    if arguments.force {
        // A run that was killed may have left one; that there is none is as good.
        let _ = fs::remove_file(&part);
    }
    // Only the user: it is a database in plain text.
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&part)
        .map_err(|error| write_fault(&part, error))?;
    let written = copy(examined, index, context, &mut file)
        .and_then(|()| file.sync_all().map_err(|error| write_fault(&part, error)))
        .and_then(|()| publish(&part, path, arguments.force));
    if written.is_err() {
        // The part is of no use; that it could not be removed would hide why it failed.
        let _ = fs::remove_file(&part);
    }
    written
}

/// Gives the whole file its name; without `--force` never over another one.
fn publish(part: &Path, path: &Path, force: bool) -> Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    let flags = if force { RenameFlags::empty() } else { RenameFlags::NOREPLACE };
    renameat_with(CWD, part, CWD, path, flags).map_err(|error| write_fault(path, error.into()))?;
    let folder =
        path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|error| write_fault(path, error))
}

const fn extension(format: DumpFormat) -> &'static str {
    match format {
        DumpFormat::PostgresPlain | DumpFormat::MySQLDump | DumpFormat::SQLiteDump => "sql",
        DumpFormat::PostgresArchive => "dump",
        DumpFormat::Mydumper => "tar",
        DumpFormat::MongoArchive => "archive",
        DumpFormat::SQLiteFile => "sqlite",
        DumpFormat::SQLServerBak => "bak",
        DumpFormat::RedisRdb => "rdb",
        DumpFormat::FirebirdBackup => "fbk",
        DumpFormat::Bacpac => "bacpac",
    }
}

fn file_name(examined: &Examined, index: usize, taken: &mut BTreeSet<String>) -> String {
    let Some(entry) = examined.databases.get(index) else { return String::from("dump") };
    let own = examined.artifact.path.rsplit('/').next().unwrap_or("dump");
    unique(&safe_name(entry.name.as_deref().unwrap_or(own)), extension(entry.format), taken)
}

/// A database's name as one component of a path: no separators, no leading dot, no control
/// characters, not too long.
fn safe_name(name: &str) -> String {
    let mut safe: String =
        name.chars().map(|c| if c.is_control() || matches!(c, '/' | '\\') { '_' } else { c }).collect();
    if safe.starts_with('.') {
        safe.replace_range(..1, "_");
    }
    while safe.len() > NAME_LIMIT_BYTES {
        safe.pop();
    }
    if safe.is_empty() { String::from("_") } else { safe }
}

fn unique(name: &str, extension: &str, taken: &mut BTreeSet<String>) -> String {
    let ending = format!(".{extension}");
    let stem = name.strip_suffix(&ending).unwrap_or(name);
    let mut candidate = format!("{stem}{ending}");
    let mut number = 2;
    while !taken.insert(candidate.clone()) {
        candidate = format!("{stem}_{number}{ending}");
        number += 1;
    }
    candidate
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_from_an_archive_become_plain_file_names() {
        for (name, safe) in [
            ("shop", "shop"),
            ("../../etc/passwd", "_._.._etc_passwd"),
            ("/abs", "_abs"),
            ("..", "_."),
            ("", "_"),
            ("a\nb\\c", "a_b_c"),
            ("žluť-1.x", "žluť-1.x"),
        ] {
            assert_eq!(safe_name(name), safe, "{name:?}");
        }
        let mut taken = BTreeSet::new();
        let names: Vec<_> = ["a/b", "a_b", "app.sqlite"]
            .iter()
            .map(|name| unique(&safe_name(name), "sqlite", &mut taken))
            .collect();
        assert_eq!(names, ["a_b.sqlite", "a_b_2.sqlite", "app.sqlite"]);
    }

    proptest! {
        #[test]
        fn no_name_is_ever_a_path(name in "\\PC*|.*") {
            let safe = safe_name(&name);
            let path = Path::new(&safe);
            prop_assert_eq!(path.components().count(), 1);
            prop_assert!(matches!(path.components().next(), Some(std::path::Component::Normal(_))));
            prop_assert!(safe.len() <= NAME_LIMIT_BYTES);
        }
    }
}
