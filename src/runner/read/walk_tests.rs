use super::*;

#[test]
fn sql_server_members_are_named_up_to_the_date() {
    for (file, database) in [
        ("shop_2026-11-22T03-00-00-000.bak", "shop"),
        ("my_db-1_2026-11-22.bak", "my_db-1"),
        ("plain.bak", "plain"),
        ("žluť_2026-01-01x.bak", "žluť"),
    ] {
        assert_eq!(bak_database(file).as_deref(), Some(database));
    }
}

fn tar_of(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = ::tar::Builder::new(Vec::new());
    for (name, content) in members {
        let mut header = ::tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        // Set raw: the builder's own way refuses the hostile names that are wanted here.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        builder.append(&header, *content).unwrap();
    }
    builder.into_inner().unwrap()
}

fn manifest_for(list: &str) -> Vec<u8> {
    format!(r#"{{"version":1,"sourceType":"postgres","databases":[{list}]}}"#).into_bytes()
}

type Members<'a> = Vec<(&'a str, &'a [u8])>;

#[test]
fn a_tar_must_be_what_its_manifest_says() {
    let a = r#"{"name":"a","filename":"a.dump","size":7}"#;
    let dump: &[u8] = b"REDIS01";
    let cases: &[(&str, Members<'_>, Result<usize, Reason>)] = &[
        (a, vec![("a.dump", dump)], Ok(1)),
        (a, vec![], Err(Reason::Truncated)),
        (a, vec![("b.dump", dump)], Err(Reason::CorruptBackup)),
        (a, vec![("a.dump", b"REDIS012")], Err(Reason::CorruptBackup)),
        (a, vec![("a.dump", dump), ("x", b"1")], Err(Reason::CorruptBackup)),
        (a, vec![("../../a.dump", dump)], Err(Reason::CorruptBackup)),
        (
            r#"{"name":"a","filename":"a","size":3},{"name":"a","filename":"a","size":3}"#,
            vec![("a", b"REDIS"); 2],
            Err(Reason::CorruptBackup),
        ),
    ];
    for (list, members, expected) in cases {
        let text = manifest_for(list);
        let mut all: Vec<(&str, &[u8])> = vec![("manifest.json", &text)];
        all.extend(members.iter().copied());
        let found = walk(&tar_of(&all)[..], &Known::default());
        assert_eq!(found.map(|w| w.databases.len()).map_err(|f| f.reason), *expected, "{list} {members:?}");
    }
}

#[test]
fn files_of_pg_dump_within_another_archive_are_read_where_their_contents_come_first() {
    for (fixture, expected) in
        [("18.tar", Ok(vec![8])), ("18-dir.tar", Ok(vec![8])), ("16-dir.tar", Err(Reason::UnsupportedFormat))]
    {
        let path = format!("{}/tests/fixtures/postgres/{fixture}", env!("CARGO_MANIFEST_DIR"));
        let dump = std::fs::read(path).unwrap();
        let list = format!(r#"{{"name":"a","filename":"a.dump","size":{}}}"#, dump.len());
        let backup = tar_of(&[("manifest.json", &manifest_for(&list)), ("a.dump", &dump)]);
        let found = walk(&backup[..], &Known::default()).map_err(|fault| fault.reason);
        let tables = |(database, _): &(DatabaseEntry, _)| database.facts.tables.as_ref().map_or(0, Vec::len);
        let found = found.map(|walked| walked.databases.iter().map(tables).collect::<Vec<_>>());
        assert_eq!(found, expected, "{fixture}");
    }
}
