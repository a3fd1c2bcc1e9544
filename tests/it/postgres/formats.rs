//! The tar format of `pg_dump`, and its directory format as people pack it: found, proven and restored as
//! a custom archive is.

use std::path::Path;

use reinstate::reason::Reason;
use reinstate::runner::engine::postgres::Postgres as Target;
use reinstate::runner::engine::{Context, Engine, Verified};
use reinstate::runner::fault::{Fault, Result};
use reinstate::runner::inventory::{DumpFormat, Proof, SourceEngine};
use reinstate::runner::read::{Examined, Options};

use super::restores::{difference, fresh, settings, source};
use crate::parts::only;
use crate::parts::postgres::{Postgres, SUPERUSER, postgres};
use crate::support::{examine_file, fixtures, ring};

/// How people pack a directory.
#[derive(Clone, Copy, Debug)]
pub(super) enum Packed {
    /// `tar -cf DUMP.tar toc.dat …`
    ContentsFirst,
    /// `tar -C FOLDER -cf DUMP.tar .`, whose order is the file system's.
    ContentsLast,
    /// `tar -cf DUMP.tar FOLDER`
    Folder,
}

/// The directory format in a TAR.
pub(super) fn pack(folder: &Path, how: Packed) -> Vec<u8> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort_by_key(|name| (name == "toc.dat", name.clone()));
    let prefix = match how {
        Packed::ContentsFirst => {
            names.rotate_right(1);
            ""
        }
        Packed::ContentsLast => "./",
        Packed::Folder => {
            let middle = names.len() / 2;
            names.swap(0, middle);
            "dump/"
        }
    };
    let mut builder = tar::Builder::new(Vec::new());
    if !prefix.is_empty() {
        builder.append_dir(prefix, folder).unwrap();
    }
    for name in names {
        builder.append_path_with_name(folder.join(&name), format!("{prefix}{name}")).unwrap();
    }
    builder.into_inner().unwrap()
}

/// Pass 1 on a backup without a sidecar.
pub(super) fn examine(bytes: &[u8]) -> Result<(tempfile::TempDir, Examined)> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("dump.tar"), bytes).unwrap();
    let examined = examine_file(folder.path(), "dump.tar", &ring(&[], false), &Options::default())?;
    Ok((folder, examined))
}

/// Both passes, as a run has them.
fn restore(server: &Postgres, target: &str, bytes: &[u8]) -> Result<Verified> {
    let (_folder, examined) = examine(bytes)?;
    assert_eq!((examined.proof, examined.engine), (Some(Proof::Trailer), Some(SourceEngine::PostgreSQL)));
    let [entry] = examined.databases.as_slice() else { panic!("{} databases", examined.databases.len()) };
    assert_eq!(entry.format, DumpFormat::PostgresArchive);
    let context = Context::default();
    let mut engine = Target::new(settings(server, SUPERUSER, target), context.clone());
    engine.survey()?;
    engine.preflight(only(entry))?;
    engine.load(&[only(entry)], &mut *examined.open_database(0, &context)?)?;
    let verified = engine.verify(only(entry))?;
    engine.switch()?;
    assert_eq!(engine.discard(), Vec::<String>::new());
    Ok(verified)
}

/// Restores, and compares with what was dumped.
fn compare(server: &Postgres, target: &str, bytes: &[u8], expected: &str, what: &str) {
    let verified = restore(server, target, bytes)
        .unwrap_or_else(|fault: Fault| panic!("{what}: {}", fault.full_message()));
    let rows: u64 = verified.tables.iter().map(|table| table.rows).sum();
    assert_eq!(rows, 343, "{what}: {:?}", verified.tables);
    let found = server.canonical(target);
    assert!(found == expected, "{what}\n{}", difference(expected, &found));
    server.sql("postgres", &format!("drop database {target}"));
}

#[test]
fn what_arrives_is_what_was_dumped_in_the_tar_format() {
    let server = postgres(15);
    let source = source(server);
    let expected = server.canonical(&source);
    for client in [15, 16, 18] {
        for arguments in [&["--format=tar"][..], &["--format=tar", "--inserts"]] {
            let bytes = server.dump(client, &source, arguments);
            let target = fresh(&format!("tar_{client}_{}", arguments.len()));
            compare(server, &target, &bytes, &expected, &format!("{client} {arguments:?}"));
        }
    }
}

#[test]
fn what_arrives_is_what_was_dumped_in_the_directory_format_however_it_is_packed() {
    let server = postgres(15);
    let source = source(server);
    let expected = server.canonical(&source);
    for (client, arguments, packed) in [
        (15, &["--compress=0"][..], Packed::ContentsFirst),
        (15, &["--compress=6"], Packed::ContentsLast),
        (15, &["--inserts"], Packed::Folder),
        (16, &["--compress=none"], Packed::Folder),
        (16, &["--compress=gzip"], Packed::ContentsFirst),
        (16, &["--compress=gzip", "--rows-per-insert=10"], Packed::ContentsLast),
        (18, &["--compress=none", "--inserts"], Packed::ContentsLast),
        (18, &["--compress=gzip:9"], Packed::Folder),
        (18, &["--jobs=2"], Packed::ContentsLast),
    ] {
        let folder = server.dump_folder(client, &source, arguments);
        let bytes = pack(&folder.path().join("dump"), packed);
        let target = fresh(&format!("folder_{client}"));
        compare(server, &target, &bytes, &expected, &format!("{client} {arguments:?} {packed:?}"));
    }
}

#[test]
fn every_compression_of_the_directory_format_gives_the_same_database() {
    let server = postgres(18);
    let read = |name: &str| std::fs::read(fixtures().join("postgres").join(name)).unwrap();
    let reference = fresh("lz4_custom");
    restore(server, &reference, &read("17-lz4.dump")).unwrap();
    let expected = server.canonical(&reference);
    for name in
        ["17-zstd.dump", "17-dir-lz4.tar", "17-dir-zstd.tar", "18-dir.tar", "18.tar", "18-inserts.tar"]
    {
        compare(server, &fresh("compressed"), &read(name), &expected, name);
    }
}

#[test]
fn many_large_objects_arrive_whole() {
    let server = postgres(18);
    let source = server.database();
    // More than one entry of large objects has (a thousand each), empty ones, and one over many pieces.
    server.sql(
        &source,
        "select count(lo_from_bytea(100000 + g, convert_to(repeat('x', g % 7), 'UTF8')))
             from generate_series(1, 2500) g;
         select lo_from_bytea(99999, decode(repeat('00ff5c2e', 400000), 'hex'))",
    );
    let digest = "select count(*), md5(string_agg(md5(lo_get(oid)) || oid, ',' order by oid))
                  from pg_largeobject_metadata";
    let expected = server.sql(&source, digest);
    assert!(expected.starts_with("2501|"), "{expected}");
    let folder = server.dump_folder(18, &source, &[]);
    for (what, bytes) in [
        ("tar", server.dump(18, &source, &["--format=tar"])),
        ("late", pack(&folder.path().join("dump"), Packed::ContentsLast)),
        ("folder", pack(&folder.path().join("dump"), Packed::Folder)),
    ] {
        let target = fresh(&format!("many_{what}"));
        restore(server, &target, &bytes).unwrap_or_else(|fault| panic!("{what}: {}", fault.full_message()));
        assert_eq!(server.sql(&target, digest), expected, "{what}");
    }
}

#[test]
fn a_directory_without_one_of_its_files_is_refused_before_a_server_is_asked() {
    let server = postgres(15);
    let folder = server.dump_folder(15, &source(server), &[]);
    let files = folder.path().join("dump");
    let of_table = std::fs::read_dir(&files)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .find(|name| name.starts_with(|first: char| first.is_ascii_digit()))
        .unwrap();
    for (gone, says) in [
        (of_table.as_str(), "it has no file with the data of TABLE DATA"),
        ("blob_900001.dat.gz", "it has no file with large object 900001"),
        ("blobs.toc", "it has no file with the data of BLOBS"),
        ("toc.dat", "it has no toc.dat"),
    ] {
        let kept = std::fs::read(files.join(gone)).unwrap();
        std::fs::remove_file(files.join(gone)).unwrap();
        for packed in [Packed::ContentsLast, Packed::Folder] {
            let fault = examine(&pack(&files, packed)).err().expect("it is refused");
            assert_eq!(fault.reason, Reason::CorruptBackup, "{gone}: {}", fault.message);
            assert!(fault.message.contains(says), "{gone}: {}", fault.message);
        }
        std::fs::write(files.join(gone), kept).unwrap();
    }
}
