//! The switch as applications see it, and a runner that is killed anywhere in it.

use std::hash::{BuildHasher, RandomState};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use reinstate::journal::last;
use reinstate::reason::Reason;
use reinstate::report::TargetModified;
use reinstate::runner::cancel::Cancel;
use reinstate::runner::engine::postgres::wire::{Connection, Login};
use reinstate::runner::engine::{Context, Engine};
use reinstate::runner::journal::{Journal, JournalFile};

use super::restores::{Backup, Target, access, databases, fresh, restore, settings, settings_at};
use crate::parts::child::{say, start_test, wait_for};
use crate::parts::postgres::{CREATOR, Postgres, SUPERUSER, own_postgres, postgres};
use crate::parts::{only, wait_until};

const ROLE: &str = "REINSTATE_TEST_POSTGRES_RESTORE";
/// The test that runs as the child.
const PROCESS: &str = "postgres::switches::restoring_process";
/// How often the run is killed in its switch, and as often in its load.
const KILLS: &str = "REINSTATE_SOAK_KILLS";

/// A dump that says `new`, with enough rows that its load takes a while.
fn dump() -> Backup {
    let mut sql = "CREATE TABLE public.mark (name text);\nCOPY public.mark (name) FROM stdin;\nnew\n\\.\n\
                   CREATE TABLE public.data (a integer, b text);\nCOPY public.data (a, b) FROM stdin;\n"
        .to_owned();
    for row in 0..20_000 {
        sql.push_str(&format!("{row}\tsome text to be restored\n"));
    }
    sql.push_str("\\.\nALTER TABLE ONLY public.data ADD CONSTRAINT data_pkey PRIMARY KEY (a);\n");
    Backup::script(&sql)
}

fn make_old(server: &Postgres, target: &str) {
    server.sql("postgres", &format!("create database {target} owner {CREATOR}"));
    server.sql(
        target,
        "create table public.mark as select 'old'::text as name; grant select on public.mark to public",
    );
}

#[test]
#[ignore = "runs as the child process of other tests"]
fn restoring_process() {
    let Ok(folder) = std::env::var(ROLE) else { return };
    let folder = Path::new(&folder);
    let text = |file: &str| std::fs::read_to_string(folder.join(file)).unwrap();
    let mut settings = settings_at(
        text("port").parse().unwrap(),
        std::fs::read(folder.join("ca")).ok(),
        CREATOR,
        &text("target"),
    );
    settings.run_id = format!("{:08x}", std::process::id());
    let journal = Journal::begin(JournalFile::open(&folder.join("journal"), "u", 1).unwrap()).unwrap();
    let context = Context { journal, ..Context::default() };
    let mut engine = Target::new(settings, context);
    let backup = dump();
    say("LOADING");
    engine.survey().unwrap();
    engine.preflight(only(&backup.entry)).unwrap();
    engine.load(&[only(&backup.entry)], &mut backup.bytes.as_slice()).unwrap();
    engine.verify(only(&backup.entry)).unwrap();
    say("SWITCHING");
    engine.switch().unwrap();
    say("SWITCHED");
}

fn mark(server: &Postgres, target: &str) -> String {
    server.sql(target, "select string_agg(name, ' ') from public.mark")
}

/// Which data are there, whole; they are what the journal says.
fn check(server: &Postgres, target: &str, folder: &Path) -> String {
    let mark = mark(server, target);
    let journal = std::fs::read_to_string(folder.join("journal")).unwrap();
    let touched = last(&journal, "u", 1).expect("a line was written").touched;
    match mark.as_str() {
        "old" => assert_ne!(touched, TargetModified::True),
        "new" => {
            assert_ne!(touched, TargetModified::False);
            assert_eq!(server.sql(target, "select count(*) from public.data"), "20000");
            let kept = databases(server, &format!("{target}.reinstate-previous-"));
            assert_eq!(kept.iter().map(|name| self::mark(server, name)).collect::<Vec<_>>(), ["old"]);
        }
        other => panic!("{other}"),
    }
    mark
}

#[test]
fn a_killed_run_leaves_the_old_or_the_new_database_whole_and_the_next_one_clears_up() {
    let server = postgres(15);
    let kills: u32 = std::env::var(KILLS).ok().and_then(|count| count.parse().ok()).unwrap_or(4);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("port"), server.port.to_string()).unwrap();
    std::fs::write(folder.path().join("ca"), server.ca.as_ref().unwrap()).unwrap();
    // What a whole run takes, as the spans to kill in.
    let target = fresh("killed");
    make_old(server, &target);
    std::fs::write(folder.path().join("target"), &target).unwrap();
    let mut child = start_test(PROCESS, ROLE, folder.path());
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let begun = wait_for(&mut lines, "LOADING");
    let loaded = wait_for(&mut lines, "SWITCHING");
    let switched = wait_for(&mut lines, "SWITCHED");
    child.wait().unwrap();
    // A switch is so short that what is behind it must be hit, too.
    for (from, span) in [("LOADING", loaded - begun), ("SWITCHING", 2 * (switched - loaded))] {
        let mut ends = Vec::new();
        for number in 0..kills {
            let target = fresh(&format!("killed_{}_{number}", from.to_lowercase()));
            make_old(server, &target);
            std::fs::write(folder.path().join("target"), &target).unwrap();
            let _ = std::fs::remove_file(folder.path().join("journal"));
            let mut child = start_test(PROCESS, ROLE, folder.path());
            let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
            wait_for(&mut lines, from);
            let share = (RandomState::new().hash_one(number) % 1000) as u32;
            // Parking would end at once where a channel has left its token.
            std::thread::sleep(span * share / 1000);
            child.kill().unwrap();
            child.wait().unwrap();
            ends.push(check(server, &target, folder.path()));
            clear_up(server, &target);
        }
        println!("killed {kills} times in the {span:?} behind {from}: {ends:?}");
    }
}

/// The next run gets the lock, and leaves nothing of the dead one.
fn clear_up(server: &Postgres, target: &str) {
    let backup = dump();
    // The server may not have seen yet that the dead run's session is over.
    wait_until("the lock of the dead run is free", || {
        let mut later = settings(server, CREATOR, target);
        // Another time than the dead run's, in the name of the kept database.
        later.keep_until = Some("2099-02-02T00:00:00Z".parse().unwrap());
        match restore(later, &backup) {
            Ok(_) => true,
            Err(fault) if fault.reason == Reason::TargetLocked => false,
            Err(fault) => panic!("{}", fault.full_message()),
        }
    });
    assert_eq!(mark(server, target), "new");
    let left = databases(server, target);
    let other: Vec<_> =
        left.iter().filter(|name| *name != target && !name.contains(".reinstate-previous-")).collect();
    assert!(other.is_empty(), "{left:?}");
}

#[test]
fn a_load_that_the_server_itself_works_in_is_dropped_all_the_same() {
    // Autovacuum comes at once, and stays for long.
    let server = own_postgres(
        15,
        &[
            "autovacuum_naptime = 1s",
            "autovacuum_vacuum_insert_threshold = 0",
            "autovacuum_vacuum_insert_scale_factor = 0",
            "autovacuum_vacuum_cost_delay = 100ms",
            "autovacuum_vacuum_cost_limit = 1",
        ],
    );
    let target = fresh("vacuumed");
    let backup = dump();
    let mut engine = Target::new(settings(&server, CREATOR, &target), Context::default());
    engine.survey().unwrap();
    engine.preflight(only(&backup.entry)).unwrap();
    engine.load(&[only(&backup.entry)], &mut backup.bytes.as_slice()).unwrap();
    wait_until("the server works in it", || {
        let workers = "select count(*) > 0 from pg_stat_activity where backend_type = 'autovacuum worker'";
        server.sql("postgres", &format!("{workers} and datname like '{target}%'")) == "t"
    });
    assert_eq!(engine.discard(), Vec::<String>::new());
    assert!(databases(&server, &target).is_empty());
}

#[test]
fn a_client_sees_the_old_or_the_new_rows_and_never_the_old_again() {
    let server = postgres(15);
    let target = fresh("watched");
    make_old(server, &target);
    let over = AtomicBool::new(false);
    let (seen, longest) = std::thread::scope(|scope| {
        let watcher = scope.spawn(|| watch(server, &target, &over));
        let mut ending = settings(server, CREATOR, &target);
        (ending.ends_sessions, ending.privileged) = (true, Some(access(SUPERUSER)));
        let done = restore(ending, &dump());
        over.store(true, Ordering::SeqCst);
        done.unwrap_or_else(|fault| panic!("{}", fault.full_message()));
        watcher.join().unwrap()
    });
    assert_eq!(seen, ["old", "new"]);
    println!("the longest time without an answer: {longest:?}");
}

/// What a client that asks all the time sees, each once in a row, and the longest time without an answer.
fn watch(server: &Postgres, target: &str, over: &AtomicBool) -> (Vec<String>, Duration) {
    let place = settings(server, SUPERUSER, target);
    let login = Login {
        user: SUPERUSER.to_owned(),
        password: place.login.password,
        database: target.to_owned(),
        options: Vec::new(),
    };
    let (mut seen, mut longest, mut answered): (Vec<String>, _, _) =
        (Vec::new(), Duration::ZERO, Instant::now());
    let mut connection = None;
    loop {
        let last_time = over.load(Ordering::SeqCst);
        let open = match connection.take() {
            Some(open) => Ok(open),
            None => Connection::open(&place.endpoint, &login, &Cancel::never()),
        };
        let asked = open.and_then(|mut open: Connection| {
            let rows = open.ask("SELECT name FROM public.mark", &[])?;
            Ok((open, rows))
        });
        if let Ok((open, rows)) = asked {
            assert_eq!(rows.len(), 1);
            let name = rows[0].text(0).unwrap().to_owned();
            if seen.last() != Some(&name) {
                seen.push(name);
            }
            (longest, answered) = (longest.max(answered.elapsed()), Instant::now());
            connection = Some(open);
            if last_time {
                return (seen, longest);
            }
        }
    }
}
