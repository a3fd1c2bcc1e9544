//! What is done for several large tables at the same time beside loading them: an archive's are checked before,
//! and while the last keys are built, they are analysed and counted.

use reinstate::reason::Reason;
use reinstate::runner::engine::{Context, Engine};

use super::apart::{HEAD, checked, restore_script, steps, stored};
use super::lanes::many_rows;
use super::restores::{Target, fresh, settings};
use crate::parts::postgres::{SUPERUSER, own_postgres, postgres};

/// A large table of this name, with its rows.
fn table(name: &str, rows: usize) -> String {
    format!(
        "CREATE TABLE public.{name} (a integer, b text);\nCOPY public.{name} (a, b) FROM stdin;\n{}\\.\n",
        many_rows(rows)
    )
}

#[test]
fn every_table_is_analysed_and_counted_once_and_large_ones_while_others_work() {
    let server = own_postgres(15, &["log_statement = 'all'"]);
    // An index that takes a second for one of its rows, and keys that need not wait for it.
    let script = format!(
        "{HEAD}SET client_encoding = 'LATIN1';\nCREATE FUNCTION public.slow(v integer) RETURNS integer LANGUAGE plpgsql \
         IMMUTABLE AS $$begin if v = 7 then perform pg_sleep(1); end if; return v; end$$;\n{}{}{}{}{}\
         ALTER TABLE ONLY public.one ADD CONSTRAINT one_pkey PRIMARY KEY (a);\n\
         CREATE INDEX three_idx ON public.three USING btree (public.slow(a));\n\
         ALTER TABLE ONLY public.two ADD CONSTRAINT two_fkey FOREIGN KEY (a) REFERENCES public.one(a);\n\
         ALTER TABLE ONLY public.\"?\" ADD CONSTRAINT fkey FOREIGN KEY (a) REFERENCES public.one(a);\n",
        table("one", 80_000),
        table("two", 70_000),
        table("three", 70_000),
        table("\"?\"", 70_000),
        table("small", 10)
    );
    // A letter of that encoding.
    let script: Vec<u8> = script.bytes().map(|byte| if byte == b'?' { 0xe9 } else { byte }).collect();
    let folder = tempfile::tempdir().unwrap();
    let target = fresh("ahead");
    let examined = stored(folder.path(), &script);
    let mut engine = Target::new(settings(&server, SUPERUSER, &target), Context::default());
    let verified = steps(&mut engine, &examined, &Context::default());
    assert_eq!(engine.discard(), Vec::<String>::new());
    let verified = verified.unwrap_or_else(|fault| panic!("{}", fault.full_message()));
    let rows: Vec<u64> = verified.tables.iter().map(|table| table.rows).collect();
    assert_eq!(rows, [80_000, 10, 70_000, 70_000, 70_000]);
    let log = server.log();
    let times = |what: &str, name: &str| {
        let table = format!("\"public\".\"{name}\"");
        log.lines().filter(|line| line.contains(what) && line.contains(&table)).count()
    };
    for (name, ahead) in [("one", 1), ("two", 1), ("three", 1), ("small", 0), ("\u{e9}", 0)] {
        assert_eq!(times("count(*) FROM ONLY", name), 1, "{name}");
        assert_eq!(times("SELECT pg_catalog.count(*) FROM ONLY", name), ahead, "{name}");
        assert_eq!(times("ANALYZE ", name), ahead, "{name}");
    }
    let analysed =
        "select string_agg(relname, ' ' order by relname) from pg_stat_user_tables where analyze_count = 1";
    assert_eq!(server.sql(&target, analysed), "one small three two \u{e9}");
}

#[test]
fn what_the_server_refuses_ahead_is_done_in_its_turn() {
    let server = postgres(15);
    // Statistics of the index need the function, which fails as long as the dump's encoding is set.
    let script = format!(
        "{HEAD}SET client_encoding = 'LATIN1';\nCREATE FUNCTION public.slow(v integer) RETURNS integer LANGUAGE plpgsql \
         IMMUTABLE AS $$begin if v = 7 then perform pg_sleep(1); end if; if current_setting('client_encoding') = \
         'LATIN1' and current_setting('client_min_messages') = 'error' then raise 'not now'; end if; return v; end$$;\n\
         {}{}ALTER TABLE ONLY public.one ADD CONSTRAINT one_pkey PRIMARY KEY (a);\n\
         CREATE INDEX one_idx ON public.one USING btree (public.slow(a));\n\
         ALTER TABLE ONLY public.two ADD CONSTRAINT two_fkey FOREIGN KEY (a) REFERENCES public.one(a);\n",
        table("one", 70_000),
        table("two", 70_000)
    );
    let target = fresh("refused_ahead");
    restore_script(server, &target, 2, &script).unwrap_or_else(|fault| panic!("{}", fault.full_message()));
    let analysed =
        "select string_agg(relname, ' ' order by relname) from pg_stat_user_tables where analyze_count = 1";
    assert_eq!(server.sql(&target, analysed), "one two");
}

#[test]
fn large_tables_of_an_archive_are_checked_by_several_and_found_damaged_as_by_one() {
    let server = postgres(15);
    let source = server.database();
    // Letters that hardly become less: several MiB each, behind a smaller one that shows what decoding takes.
    let rows = |rows: u32| {
        format!(
            "select string_agg(md5(g::text || n), '') from generate_series(1, {rows}) g, generate_series(1, 30) n \
             group by g"
        )
    };
    server.sql(
        &source,
        &format!(
            "create table public.a as {}; create table public.b as {}; create table public.c as {}",
            rows(8_000),
            rows(12_000),
            rows(14_000)
        ),
    );
    let dump = server.dump(15, &source, &["--no-owner", "--format=custom"]);
    let folder = tempfile::tempdir().unwrap();
    let examined = stored(folder.path(), &dump);
    let facts = &examined.databases[0].facts;
    let tables: Vec<_> =
        facts.tables.iter().flatten().map(|table| (table.name.as_str(), table.rows)).collect();
    assert_eq!(tables, [("public.a", 8_000), ("public.b", 12_000), ("public.c", 14_000)]);
    assert_eq!(facts.blocks.len(), 3, "{:?}", facts.blocks);
    let hashes = (examined.stored_sha256, Some(facts.trailer));
    assert_eq!(hashes, (Some(reinstate::runner::meter::sha256(&dump)), Some(true)));
    for (damaged, told) in [(&[1, 2][..], "public.b"), (&[2], "public.c"), (&[0, 2], "public.a")] {
        let mut dump = dump.clone();
        for block in damaged {
            let range = &facts.blocks[*block].range;
            dump[usize::try_from(range.start + (range.end - range.start) / 2).unwrap()] ^= 0x10;
        }
        let fault = checked(folder.path(), &dump).err().unwrap();
        let expected = format!("a zlib block is damaged, in the data of TABLE DATA {told}");
        assert_eq!((fault.reason, fault.message), (Reason::CorruptBackup, expected));
    }
}
