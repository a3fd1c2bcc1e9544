//! The server, the databases that are dumped, and their dumps.

use std::path::PathBuf;
use std::rc::Rc;

use serde_json::json;

use crate::measure::{number, output};
use crate::parts::postgres::{CREATOR, PASSWORD, Postgres, own_postgres};
use crate::parts::toxiproxy::FaultyLink;

/// Tables of a shop whose text compresses as real data do; about half of the size is in `line`.
const LARGE: &str = r"
create table customer (id bigint primary key, name text not null, mail text, city text, since date, note text);
insert into customer select g, 'Customer ' || g, 'mail' || g || '@example.com', md5((g % 9973)::text),
  date '2001-01-01' + (g % 9000)::int, repeat(md5(g::text) || ' ', (g % 4)::int) from generate_series(1, 200 * :mib) g;
create table sale (id bigint primary key, customer bigint not null, at timestamptz not null, state text, total numeric(12,2), paid boolean);
insert into sale select g, 1 + (g * 7919) % (200 * :mib), timestamptz '2020-01-01 00:00Z' + g * interval '17 seconds',
  (array['new','sent','done','back'])[1 + g % 4], (g % 100000) / 7.0, g % 3 = 0 from generate_series(1::bigint, 1200 * :mib) g;
create table line (sale bigint not null, number int not null, item uuid not null, count int, price numeric(10,2), note text);
insert into line select 1 + g / 4, (g % 4)::int, md5((g % 50021)::text)::uuid, (g % 9)::int, (g % 9999) / 3.0,
  case when g % 5 = 0 then md5(g::text) end from generate_series(0, 4800 * :mib - 1) g;
create table event (id bigint primary key, at timestamptz, kind int, body jsonb);
insert into event select g, timestamptz '2021-01-01 00:00Z' + g * interval '3 seconds', (g % 17)::int,
  jsonb_build_object('user', g % 5003, 'page', md5((g % 997)::text), 'took', (g % 3000) / 10.0, 'agent', repeat(chr(97 + (g % 26)::int), 20))
  from generate_series(1, 1400 * :mib) g;
alter table line add primary key (sale, number);
create index on customer (city); create index on customer (since);
create index on sale (customer); create index on sale (at); create index on sale (state, at);
create index on line (item); create index on event (at); create index on event (kind);
alter table sale add foreign key (customer) references customer; alter table line add foreign key (sale) references sale;
";

/// 2,500 tables with a row, a primary key, an index and a comment each.
const SMALL: &str = r"
select format('create table t%1$s (id int constraint t%1$s_pk primary key, name text); insert into t%1$s values (%1$s, ''x'');
  create index t%1$s_name on t%1$s (name); comment on table t%1$s is ''table %1$s''', g) from generate_series(1, 2500) g \gexec
";

/// A server with what was dumped.
#[derive(Clone)]
pub struct Data {
    pub server: Rc<Postgres>,
    /// Where the dumps are.
    pub folder: PathBuf,
    /// Where the server is reached.
    pub port: u16,
    /// The link ends with it.
    _link: Option<Rc<FaultyLink>>,
}

impl Data {
    pub fn new() -> Self {
        let server = own_postgres(
            15,
            &[
                // As the server is installed, but for its memory; nothing of its own runs beside.
                "fsync = on",
                "full_page_writes = on",
                "synchronous_commit = on",
                "wal_level = replica",
                "dynamic_shared_memory_type = posix",
                "shared_buffers = 512MB",
                "max_wal_size = 4GB",
                "autovacuum = off",
            ],
        );
        let cache = std::env::var("XDG_CACHE_HOME")
            .unwrap_or_else(|_| format!("{}/.cache", std::env::var("HOME").expect("HOME is set")));
        let folder = PathBuf::from(cache).join("reinstate/bench-loading");
        std::fs::create_dir_all(&folder).unwrap();
        let port = server.port;
        Self { server: Rc::new(server), folder, port, _link: None }
    }

    /// The same server, whose answers take `latency` milliseconds longer.
    pub fn behind(&self, latency: u32) -> Self {
        let link = FaultyLink::to(self.server.port);
        link.add("latency", &json!({"latency": latency}));
        Self { port: link.port, _link: Some(Rc::new(link)), ..self.clone() }
    }

    /// Makes `large.sql` and `large.dump`.
    pub fn large(&self) {
        let mib = number("REINSTATE_BENCH_MIB", 1024);
        // A unit of the tables is about 0.58 MiB of their dump.
        self.make("large", &LARGE.replace(":mib", &(mib * 100 / 58).to_string()), mib);
    }

    /// Makes `small.sql` and `small.dump`.
    pub fn small(&self) {
        self.make("small", SMALL, 0);
    }

    fn make(&self, name: &str, sql: &str, size: usize) {
        let (plain, custom) =
            (self.folder.join(format!("{name}.sql")), self.folder.join(format!("{name}.dump")));
        let stamp = self.folder.join(format!("{name}.{size}"));
        if plain.exists() && custom.exists() && stamp.exists() {
            return;
        }
        println!("making {name} …");
        let script = self.folder.join("make.sql");
        std::fs::write(&script, sql).unwrap();
        let run = |command: &str| drop(output(&self.folder, &format!("{} {command}", self.environment())));
        run(&format!("createdb {name}"));
        run(&format!("psql -X -q -v ON_ERROR_STOP=1 -d {name} -f make.sql >/dev/null"));
        run(&format!("pg_dump --no-owner -f {name}.sql {name}"));
        run(&format!("pg_dump --no-owner -Fc -f {name}.dump {name}"));
        run(&format!("dropdb {name}"));
        std::fs::write(stamp, "").unwrap();
    }

    /// Makes `FILE.gz` of a dump, anew where that is older.
    pub fn pack(&self, file: &str) {
        let time = |name: &str| std::fs::metadata(self.folder.join(name)).and_then(|it| it.modified()).ok();
        let packed = format!("{file}.gz");
        if time(&packed) < time(file) {
            output(&self.folder, &format!("gzip -6 -k -f {file}"));
        }
    }

    /// MiB of a dump.
    pub fn mib(&self, file: &str) -> u64 {
        std::fs::metadata(self.folder.join(file)).unwrap().len() >> 20
    }

    /// What the client programs need to know, in front of a command.
    pub fn environment(&self) -> String {
        format!(
            "PATH={}:$PATH PGHOST=127.0.0.1 PGPORT={} PGUSER={CREATOR} PGPASSWORD={PASSWORD} PGSSLMODE=disable",
            crate::parts::installed_folder("postgres").join("15/bin").display(),
            self.port
        )
    }

    /// Seconds that the server and its sessions have used.
    pub fn server_seconds(&self) -> f64 {
        let id = self.server.id();
        let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
        let of_children: u64 =
            children.split_whitespace().filter_map(|child| ticks(child.parse().ok()?, 2)).sum();
        (ticks(id, 4).unwrap() + of_children) as f64 / 100.0
    }
}

/// Ticks of a process: user, system, then those of children that have ended; the first `fields` of them.
fn ticks(process: u32, fields: usize) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name in parentheses may hold spaces; utime is the fourteenth field.
    let rest = stat.rsplit_once(") ")?.1;
    rest.split(' ').skip(11).take(fields).map(|field| field.parse::<u64>().ok()).sum()
}
