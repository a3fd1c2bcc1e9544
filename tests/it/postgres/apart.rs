//! Large tables of a dump that is stored as it is: connections read their rows themselves, and all arrives as
//! over one reader.

use std::fmt::Write as _;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use reinstate::reason::Reason;
use reinstate::runner::cancel::Cancel;
use reinstate::runner::engine::postgres::PostgresTarget;
use reinstate::runner::engine::{Context, Engine, Verified};
use reinstate::runner::fault::Result;
use reinstate::runner::inventory::DumpFormat;
use reinstate::runner::read::{Examined, Options, Request, examine};
use reinstate::runner::source::{Artifact, S3, S3Options, Store};

use super::lanes::many_rows;
use super::restores::{Target, databases, difference, fresh, settings};
use crate::parts::minio::minio;
use crate::parts::only;
use crate::parts::postgres::{CREATOR, Postgres, SUPERUSER, own_postgres, postgres};
use crate::parts::wait_until;
use crate::support::examine_file;

/// Tables of some MiB each, one that is larger than the others together, and small ones between them; with what
/// needs rows in their order, all of them, or those of other tables.
fn source(server: &Postgres) -> String {
    let source = server.database();
    let rows = |from: u32, to: u32| {
        format!(
            "select g, g % 977, md5(g::text) || md5('x' || g) || md5('y' || g) from generate_series({from}, {to}) g"
        )
    };
    server.sql(
        &source,
        &format!(
            "create function public.second(v int) returns int language sql immutable as 'select v / 2';
             create table public.a_large (id int primary key, v int, note text); insert into public.a_large {};
             create table public.b_small (id int primary key, a int references public.a_large);
             insert into public.b_small select g, g from generate_series(1, 1000) g;
             create table public.c_ranged (id int, v int, note text); insert into public.c_ranged {};
             create index on public.c_ranged using brin (id);
             create table public.d_parts (id int, v int, note text) partition by range (id);
             create table public.d_first partition of public.d_parts for values from (0) to (60000);
             create table public.d_second partition of public.d_parts for values from (60000) to (200000);
             insert into public.d_parts {};
             alter table public.d_parts add primary key (id);
             create table public.e_huge (id int primary key, v int, note text); insert into public.e_huge {};
             alter table public.a_large add foreign key (id) references public.e_huge;
             create table public.f_part (id int references public.d_parts);
             insert into public.f_part select g from generate_series(1, 1000) g;
             create index on public.e_huge (v); create index on public.e_huge (public.second(v));
             create unique index on public.e_huge (note); comment on index public.e_huge_v_idx is 'by v';
             create view public.latest as select max(id) as id from public.e_huge;
             create materialized view public.counted as select count(*) as rows from public.e_huge",
            rows(1, 90_000),
            rows(1, 90_000),
            rows(1, 119_999),
            rows(1, 400_000),
        ),
    );
    source
}

/// A dump that is stored as it is, after pass 1.
pub(super) fn stored(folder: &Path, dump: &[u8]) -> Examined {
    checked(folder, dump).unwrap_or_else(|fault| panic!("{}", fault.full_message()))
}

/// The same, or what pass 1 finds wrong with it.
pub(super) fn checked(folder: &Path, dump: &[u8]) -> Result<Examined> {
    std::fs::write(folder.join("dump"), dump).unwrap();
    let format = (!dump.starts_with(b"PGDMP")).then_some(DumpFormat::PostgresPlain);
    let options = Options { allow_unproven: true, format, ..Options::default() };
    examine_file(folder, "dump", &crate::support::ring(&[], false), &options)
}

/// The steps of a run up to the switch; what it made is removed where one fails.
fn restore(server: &Postgres, target: &str, lanes: usize, examined: &Examined) -> Result<Verified> {
    let mut settings = settings(server, CREATOR, target);
    settings.lanes = lanes;
    let mut engine = Target::new(settings, Context::default());
    let done = steps(&mut engine, examined, &Context::default());
    assert_eq!(engine.discard(), Vec::<String>::new());
    done
}

pub(super) fn steps(engine: &mut Target, examined: &Examined, context: &Context) -> Result<Verified> {
    let [entry] = examined.databases.as_slice() else { panic!("{} databases", examined.databases.len()) };
    engine.survey()?;
    engine.preflight(only(entry))?;
    engine.load(&[only(entry)], &mut *examined.open_database(0, context)?)?;
    let verified = engine.verify(only(entry))?;
    engine.switch()?;
    Ok(verified)
}

/// Restores a script with this text.
pub(super) fn restore_script(
    server: &Postgres,
    target: &str,
    lanes: usize,
    script: &str,
) -> Result<Verified> {
    let folder = tempfile::tempdir().unwrap();
    restore(server, target, lanes, &stored(folder.path(), script.as_bytes()))
}

pub(super) const HEAD: &str = "-- Dumped from database version 15.1\n";

#[test]
fn what_arrives_is_the_same_whoever_reads_it() {
    // Autovacuum would mark the rows of other tables as those of frozen ones are.
    let server = own_postgres(15, &["autovacuum = off"]);
    let source = source(&server);
    let expected = server.canonical(&source);
    for (number, (arguments, lanes, blocks)) in [
        (&["--no-owner"][..], &[1, 2, 4][..], 5),
        (&["--no-owner", "--format=custom"], &[2, 4], 3),
        (&["--no-owner", "--format=custom", "--compress=0", "--load-via-partition-root"], &[3], 5),
    ]
    .into_iter()
    .enumerate()
    {
        let folder = tempfile::tempdir().unwrap();
        let examined = stored(folder.path(), &server.dump(15, &source, arguments));
        let found = &examined.databases[0].facts.blocks;
        assert_eq!(found.len(), blocks, "{arguments:?}: {found:?}");
        for lanes in lanes {
            let target = fresh(&format!("apart{number}_{lanes}"));
            let what = format!("{arguments:?}, {lanes} lanes");
            restore(&server, &target, *lanes, &examined)
                .unwrap_or_else(|fault| panic!("{what}: {}", fault.full_message()));
            let found = server.canonical(&target).replace(CREATOR, SUPERUSER);
            assert!(found == expected, "{what}\n{}", difference(&expected, &found));
            let writers = |table: &str| {
                server.sql(&target, &format!("select count(distinct xmin::text) from public.{table}"))
            };
            assert_eq!(writers("c_ranged"), "1", "{what}");
            assert_eq!(writers("e_huge") == "1", *lanes < 3, "{what}: {}", writers("e_huge"));
            let frozen = |table: &str| {
                let sql = format!("select relallvisible = relpages from pg_class where relname = '{table}'");
                server.sql(&target, &sql) == "t"
            };
            // Where rows go into partitions by way of their root, no table is emptied first from there on.
            let by_root = arguments.contains(&"--load-via-partition-root");
            let is_block = arguments.len() != 2;
            assert_eq!((frozen("a_large"), frozen("d_first")), (true, is_block && !by_root), "{what}");
            server.sql("postgres", &format!("drop database {target}"));
        }
    }
}

#[test]
fn an_archive_in_a_bucket_is_read_by_several_as_one_in_a_folder_is() {
    let server = postgres(18);
    let source = source(server);
    let expected = server.canonical(&source);
    let bucket = minio().bucket();
    let store: Arc<dyn Store> = Arc::new(S3::connect(S3Options { ..bucket.options() }).unwrap());
    for (name, arguments) in [
        ("a.dump", &["--no-owner", "--format=custom", "--compress=gzip:1"][..]),
        ("b.dump", &["--no-owner", "--format=custom", "--compress=none"]),
        ("c.sql", &["--no-owner"]),
    ] {
        bucket.put(name, &server.dump(18, &source, arguments));
        let artifact = Artifact { store: Arc::clone(&store), path: name.to_owned() };
        let (keys, options, context) =
            (crate::support::ring(&[], false), Options::default(), Context::default());
        let request =
            Request { artifact: &artifact, stat: None, keys: &keys, options: &options, context: &context };
        let examined = examine(request).unwrap();
        assert!(examined.databases[0].facts.blocks.len() >= 3, "{name}");
        let dump = examined.open_database(0, &context).unwrap();
        assert_eq!(
            (dump.parts(3).is_some(), dump.parts(9).is_some()),
            (true, false),
            "its memory is bounded"
        );
        let lanes: &[usize] = if name == "a.dump" { &[2, 8] } else { &[2] };
        for &lanes in lanes {
            let target = fresh(&format!("bucket{lanes}"));
            restore(server, &target, lanes, &examined)
                .unwrap_or_else(|fault| panic!("{name}, {lanes} lanes: {}", fault.full_message()));
            let found = server.canonical(&target).replace(CREATOR, SUPERUSER);
            assert!(found == expected, "{name}, {lanes} lanes\n{}", difference(&expected, &found));
            server.sql("postgres", &format!("drop database {target}"));
        }
    }
}

#[test]
fn rows_that_were_there_before_stay_whatever_block_comes_next() {
    let server = postgres(15);
    let (rows, more) = (many_rows(70_000), "-1\tone more\n-2\tand another\n");
    let table = "CREATE TABLE public.t (a integer, b text);\n";
    let copy = |rows: &str| format!("COPY public.t (a, b) FROM stdin;\n{rows}\\.\n");
    let insert = "INSERT INTO public.t VALUES (-1, 'one more'), (-2, 'and another');\n";
    let parted = "CREATE TABLE public.p (a integer, b text) PARTITION BY RANGE (a);\n\
                  CREATE TABLE public.t (a integer, b text);\n\
                  ALTER TABLE ONLY public.p ATTACH PARTITION public.t DEFAULT;\n";
    let root = format!("COPY public.p (a, b) FROM stdin;\n{more}\\.\n");
    for (number, (before, after)) in [
        (table.to_owned() + &copy(&rows), copy(more)),
        (table.to_owned() + &copy(more), copy(&rows)),
        (table.to_owned() + insert, copy(&rows)),
        (table.to_owned() + &copy(&rows), insert.to_owned()),
        (parted.to_owned() + &root, copy(&rows)),
        (parted.to_owned() + &copy(&rows), root),
    ]
    .into_iter()
    .enumerate()
    {
        for lanes in [1, 2, 3] {
            let target = fresh(&format!("before{number}_{lanes}"));
            restore_script(server, &target, lanes, &format!("{HEAD}{before}{after}"))
                .unwrap_or_else(|fault| panic!("{number}, {lanes} lanes: {}", fault.full_message()));
            let found = server.sql(&target, "select count(*), count(distinct a), min(a) from public.t");
            assert_eq!(found, "70002|70002|-2", "{number}, {lanes} lanes");
            server.sql("postgres", &format!("drop database {target}"));
        }
    }
}

#[test]
fn rows_that_a_trigger_of_the_dump_writes_stay() {
    let server = postgres(15);
    let script = format!(
        "{HEAD}CREATE TABLE public.t (a integer, b text);\nCREATE TABLE public.u (a integer, b text);\n\
         CREATE FUNCTION public.also() RETURNS trigger LANGUAGE plpgsql AS \
         $$begin insert into public.t values (new.a, new.b); return new; end$$;\n\
         CREATE TRIGGER also BEFORE INSERT ON public.u FOR EACH ROW EXECUTE FUNCTION public.also();\n\
         COPY public.u (a, b) FROM stdin;\n-1\tone more\n\\.\nCOPY public.t (a, b) FROM stdin;\n{}\\.\n",
        many_rows(70_000)
    );
    let folder = tempfile::tempdir().unwrap();
    let examined = stored(folder.path(), script.as_bytes());
    assert_eq!(examined.databases[0].facts.blocks.len(), 1);
    let target = fresh("triggered");
    // The dump states one row less.
    let settings = PostgresTarget { counts_rows: false, ..settings(server, CREATOR, &target) };
    let mut engine = Target::new(settings, Context::default());
    steps(&mut engine, &examined, &Context::default()).unwrap();
    assert_eq!(engine.discard(), Vec::<String>::new());
    assert_eq!(server.sql(&target, "select count(*) from public.t"), "70001");
}

#[test]
fn a_key_of_a_part_waits_for_rows_that_come_by_the_name_of_the_whole() {
    let server = postgres(15);
    // The rows of the part take longer than those that refer to it.
    let script = format!(
        "{HEAD}CREATE TABLE public.whole (a integer, b text) PARTITION BY RANGE (a);\n\
         CREATE TABLE public.part (a integer, b text);\nCREATE TABLE public.refers (a integer, b text);\n\
         ALTER TABLE ONLY public.whole ATTACH PARTITION public.part DEFAULT;\n\
         COPY public.whole (a, b) FROM stdin;\n{}\\.\nCOPY public.refers (a, b) FROM stdin;\n{}\\.\n\
         ALTER TABLE ONLY public.part ADD CONSTRAINT part_pkey PRIMARY KEY (a);\n\
         ALTER TABLE ONLY public.refers ADD CONSTRAINT refers_fkey FOREIGN KEY (a) REFERENCES public.part(a);\n",
        many_rows(300_000),
        many_rows(70_000)
    );
    let target = fresh("part_key");
    restore_script(server, &target, 3, &script).unwrap_or_else(|fault| panic!("{}", fault.full_message()));
    assert_eq!(server.sql(&target, "select count(*) from public.part"), "300000");
}

#[test]
fn tables_whose_names_are_the_same_as_text_keep_their_rows() {
    let server = postgres(15);
    let mut script = format!("{HEAD}SET client_encoding = 'LATIN1';\n").into_bytes();
    let table = |name: u8| [b"CREATE TABLE public.\"", &[name][..], b"\" (a integer, b text);\n"].concat();
    let copy = |name: u8| {
        let rows = many_rows(70_000);
        let begin = [b"COPY public.\"", &[name][..], b"\" (a, b) FROM stdin;\n"].concat();
        [&begin[..], rows.as_bytes(), b"\\.\n"].concat()
    };
    script.extend([table(0xe9), copy(0xe9), table(0xea), copy(0xe9)].concat());
    let folder = tempfile::tempdir().unwrap();
    let examined = stored(folder.path(), &script);
    let target = fresh("same_as_text");
    // Both are one in the inventory, so only what the server says that it took in can be compared.
    let settings = PostgresTarget { counts_rows: false, ..settings(server, CREATOR, &target) };
    let mut engine = Target::new(settings, Context::default());
    let done = steps(&mut engine, &examined, &Context::default());
    assert_eq!(engine.discard(), Vec::<String>::new());
    done.unwrap_or_else(|fault| panic!("{}", fault.full_message()));
    assert_eq!(server.sql(&target, "select count(*) from public.\"\u{e9}\""), "140000");
}

#[test]
fn what_one_session_has_to_do_is_not_given_to_others() {
    let server = postgres(15);
    let rows = many_rows(70_000);
    let copy = format!("COPY public.t (a, b) FROM stdin;\n{rows}\\.\n");
    let table = "CREATE TABLE public.t (a integer, b text);\n";
    // The dump's own transaction; and a check that looks into a table whose rows come before.
    for (number, script) in [
        format!("{table}BEGIN;\n{copy}COMMIT;\n"),
        format!(
            "{table}CREATE FUNCTION public.in_t(v integer) RETURNS boolean LANGUAGE sql AS \
             $$select exists (select from public.t where a = v)$$;\n\
             CREATE TABLE public.u (a integer, b text, CONSTRAINT known CHECK (public.in_t(a)));\n\
             {copy}COPY public.u (a, b) FROM stdin;\n69999\tlast\n\\.\n"
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let target = fresh(&format!("one_session{number}"));
        restore_script(server, &target, 3, &format!("{HEAD}{script}"))
            .unwrap_or_else(|fault| panic!("{number}: {}", fault.full_message()));
        assert_eq!(server.sql(&target, "select count(*) from public.t"), "70000");
    }
}

#[test]
fn of_a_cluster_only_the_wanted_databases_are_read_and_their_lines_are_told_right() {
    let server = postgres(15);
    let rows = many_rows(70_000);
    let part = |name: &str, rows: &str| {
        format!(
            "\\connect {name}\nCREATE TABLE public.t (a integer, b text);\n\
             COPY public.t (a, b) FROM stdin;\n{rows}\\.\n"
        )
    };
    let broken = rows.replace("\n60000\t", "\nx\t");
    let script =
        format!("{HEAD}{}{}{}SELECT 1;\n", part("one", &rows), part("two", &broken), part("three", &rows));
    let folder = tempfile::tempdir().unwrap();
    let mut examined = stored(folder.path(), script.as_bytes());
    assert_eq!(examined.databases[0].facts.blocks.len(), 3);
    let whole = examined.databases[0].clone();
    let mut of = |name: &str| {
        examined.databases[0] = whole.of_database(name).unwrap();
        restore(server, &fresh(&format!("cluster_{name}")), 2, &examined)
    };
    let verified = of("one").unwrap();
    assert_eq!(verified.tables.iter().map(|table| table.rows).sum::<u64>(), 70_000);
    let fault = of("two").unwrap_err().full_message();
    assert!(fault.contains("line 70008 of the dump: the server refused rows of public.t"), "{fault}");
    assert!(fault.contains("COPY t, line 60001, column a"), "{fault}");
    let fault = of("three").unwrap_err().full_message();
    assert!(fault.contains("line 210014 of the dump"), "lines of blocks that were passed count: {fault}");
}

#[test]
fn a_dump_that_changes_while_it_is_read_is_not_loaded() {
    let server = postgres(15);
    let mut script = format!("{HEAD}CREATE TABLE public.t (a integer, b text);\n");
    write!(script, "COPY public.t (a, b) FROM stdin;\n{}\\.\n", many_rows(200_000)).unwrap();
    let target = fresh("changing");
    let folder = tempfile::tempdir().unwrap();
    let examined = stored(folder.path(), script.as_bytes());
    let path = folder.path().join("dump");
    let before = path.metadata().unwrap().modified().unwrap();
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    let at = script.rfind("199990\t").unwrap();
    file.write_all_at(b"299990", at as u64).unwrap();
    file.set_modified(before).unwrap();
    let fault = restore(server, &target, 2, &examined).unwrap_err();
    assert_eq!(fault.reason, Reason::SourceChanged, "{}", fault.full_message());
    assert!(databases(server, &target).is_empty());
}

#[test]
fn a_run_that_is_stopped_while_connections_read_ends_soon_and_leaves_nothing() {
    let server = postgres(15);
    let folder = tempfile::tempdir().unwrap();
    let table = |name: &str| {
        format!(
            "CREATE TABLE public.{name} (a integer, b text);\nCOPY public.{name} (a, b) FROM stdin;\n{}\\.\n",
            many_rows(400_000)
        )
    };
    let examined = stored(folder.path(), format!("{HEAD}{}{}", table("t"), table("u")).as_bytes());
    let target = fresh("stopped_apart");
    let cancel = Cancel::default();
    let context = Context { cancel: cancel.clone(), ..Context::default() };
    let fault = std::thread::scope(|scope| {
        let run = scope.spawn(|| {
            let mut engine = Target::new(settings(server, CREATOR, &target), context.clone());
            let done = steps(&mut engine, &examined, &context);
            assert_eq!(engine.discard(), Vec::<String>::new());
            done.map(drop).unwrap_err()
        });
        let copying = format!(
            "select count(*) > 0 from pg_stat_activity where query like 'COPY public.%' and datname like '{target}%'"
        );
        wait_until("rows are read", || server.sql("postgres", &copying) == "t");
        cancel.cancel();
        run.join().unwrap()
    });
    assert_eq!(fault.reason, Reason::Interrupted, "{}", fault.full_message());
    assert!(databases(server, &target).is_empty());
}
