//! PostgreSQL 10, 12, 15, 16 and 18: one server of each that all tests share, and servers of a
//! test's own; with TLS where the build has it (10, 12, 15).

use std::fmt::Write as _;
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::minio::{make_certificates, openssl};
use super::{Server, free_port, installed_folder, server_folder, start, wait_until};

/// Every major version that is tested, the oldest first.
pub(crate) const MAJORS: [u16; 5] = [10, 12, 15, 16, 18];
/// Those whose client programs are there.
pub(crate) const CLIENTS: [u16; 3] = [15, 16, 18];
pub(crate) const SUPERUSER: &str = "postgres";
/// May create databases, and nothing else.
pub(crate) const CREATOR: &str = "creator";
/// Owns nothing and may nothing.
pub(crate) const PLAIN: &str = "plain";
/// Of every role.
pub(crate) const PASSWORD: &str = "test-only-password";
/// Roles whose login is by another method; those of the first two only over TLS where there is any.
pub(crate) const CLEARTEXT: &str = "cleartext";
pub(crate) const CERTIFIED: &str = "certified";
pub(crate) const MD5: &str = "md5";
pub(crate) const TRUSTED: &str = "trusted";

/// Who runs the servers, because they refuse root.
const NOBODY: u32 = 65534;

/// A running server.
pub(crate) struct Postgres {
    process: Option<Server>,
    folder: PathBuf,
    pub(crate) major: u16,
    pub(crate) port: u16,
    /// The CA of its certificate, which is for `localhost` and 127.0.0.1; `None` without TLS.
    pub(crate) ca: Option<Vec<u8>>,
}

/// The server of a major version that all tests share.
pub(crate) fn postgres(major: u16) -> &'static Postgres {
    static SERVERS: [OnceLock<Postgres>; MAJORS.len()] = [const { OnceLock::new() }; MAJORS.len()];
    let index = MAJORS.iter().position(|known| *known == major).expect("a version that is brought");
    SERVERS[index].get_or_init(|| Postgres::new(&format!("postgres-{major}"), major, &[]))
}

/// A server of a test's own, which may stop or kill it, with lines for its `postgresql.conf`.
pub(crate) fn own_postgres(major: u16, configuration: &[&str]) -> Postgres {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    Postgres::new(&format!("postgres-{major}-own-{number}"), major, configuration)
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}

/// A program of a version. Servers run as nobody, who may look everywhere, because a cache below root's
/// home is closed; the securebit makes access(2) know of it too. The signal ends a server with the test
/// process and lets it clear away its shared memory.
fn program(major: u16, name: &str) -> Command {
    let folder = installed_folder("postgres").join(major.to_string());
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "QUIT"]);
    if is_root() && matches!(name, "initdb" | "postgres") {
        command.args([&format!("--reuid={NOBODY}"), &format!("--regid={NOBODY}"), "--clear-groups"]);
        command.args([
            "--securebits=+no_setuid_fixup",
            "--inh-caps=+dac_read_search",
            "--ambient-caps=+dac_read_search",
        ]);
    }
    command.arg("--").arg(folder.join("bin").join(name)).env("LC_ALL", "C.UTF-8");
    command
}

fn succeed(mut command: Command, what: &str) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{what}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// Hands files to the user who runs the servers.
fn give_away(path: &Path) {
    if is_root() {
        let owner = format!("{NOBODY}:{NOBODY}");
        assert!(Command::new("chown").args(["-R", &owner]).arg(path).status().unwrap().success());
    }
}

impl Postgres {
    fn new(name: &str, major: u16, configuration: &[&str]) -> Self {
        let folder = server_folder(name);
        std::fs::write(folder.join("password"), PASSWORD).unwrap();
        give_away(&folder);
        let mut initdb = program(major, "initdb");
        initdb.args(["-N", "--encoding=UTF8", "--locale=C.UTF-8", "--username", SUPERUSER]);
        initdb.args(["--auth=scram-sha-256", "--pwfile"]).arg(folder.join("password"));
        initdb.arg("-D").arg(folder.join("data"));
        succeed(initdb, "initdb");
        let has_tls = matches!(major, 10 | 12 | 15);
        let ca = has_tls.then(|| make_certificates(&folder));
        let mut server = Self { process: None, folder, major, port: free_port(), ca };
        server.configure(configuration);
        server.start();
        server.make_roles();
        server
    }

    fn configure(&self, configuration: &[&str]) {
        let folder = self.folder.display();
        let mut text = format!(
            "listen_addresses = '127.0.0.1,127.0.0.2'\nport = {}\nunix_socket_directories = ''\n\
             fsync = off\nfull_page_writes = off\nsynchronous_commit = off\nmax_connections = 60\n\
             dynamic_shared_memory_type = mmap\nmax_prepared_transactions = 8\nmax_wal_size = 1GB\n\
             wal_level = logical\nlc_messages = 'C'\nlogging_collector = off\ntimezone = 'UTC'\n",
            self.port
        );
        if self.ca.is_some() {
            for (name, file) in [("cert", "public.crt"), ("key", "private.key"), ("ca", "ca.crt")] {
                writeln!(text, "ssl_{name}_file = '{folder}/{file}'").unwrap();
            }
            text.push_str("ssl = on\n");
        }
        for line in configuration {
            writeln!(text, "{line}").unwrap();
        }
        let data = self.folder.join("data");
        let kept = std::fs::read_to_string(data.join("postgresql.conf")).unwrap();
        std::fs::write(data.join("postgresql.conf"), kept + &text).unwrap();
        let by_tls = if self.ca.is_some() { "hostssl" } else { "host" };
        let certified = if self.ca.is_some() { "cert" } else { "reject" };
        let rules = format!(
            "host all {MD5} 127.0.0.0/8 md5\nhost all {TRUSTED} 127.0.0.0/8 trust\n\
             host all {CLEARTEXT} 127.0.0.0/8 password\n{by_tls} all {CERTIFIED} 127.0.0.0/8 {certified}\n\
             host replication all 127.0.0.0/8 scram-sha-256\nhost all all 127.0.0.0/8 scram-sha-256\n\
             {by_tls} all all samenet scram-sha-256\n"
        );
        std::fs::write(data.join("pg_hba.conf"), rules).unwrap();
        give_away(&self.folder);
        let key = self.folder.join("private.key");
        if key.exists() {
            assert!(Command::new("chmod").arg("600").arg(key).status().unwrap().success());
        }
    }

    /// Starts the server, again where it was stopped.
    pub(crate) fn start(&mut self) {
        let mut command = program(self.major, "postgres");
        command.arg("-D").arg(self.folder.join("data"));
        self.process = Some(start(command, &self.folder.join("log")));
        let what = format!("PostgreSQL {} answers, see {}", self.major, self.folder.join("log").display());
        wait_until(&what, || {
            TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok()
                && self.psql("postgres", b"select 1").status.success()
        });
    }

    fn make_roles(&self) {
        self.sql(
            "postgres",
            &format!(
                "create role {CREATOR} login createdb password '{PASSWORD}';
                 create role {PLAIN} login password '{PASSWORD}';
                 create role {CLEARTEXT} login password '{PASSWORD}';
                 create role {CERTIFIED} login;
                 create role {TRUSTED} login;
                 set password_encryption = 'md5';
                 create role {MD5} login password '{PASSWORD}';"
            ),
        );
    }

    /// Number of the server's main process.
    pub(crate) fn id(&self) -> u32 {
        self.process.as_ref().unwrap().id()
    }

    /// Kills it and its sessions, as a crash of the machine would.
    pub(crate) fn kill(&mut self) {
        let id = self.id();
        let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
        self.process.as_mut().unwrap().kill();
        // A session notices only when it waits for its client; one may end by itself meanwhile.
        let _ = Command::new("kill").arg("-KILL").args(children.split_whitespace()).status();
        self.process = None;
    }

    /// Stops it, with its sessions.
    pub(crate) fn stop(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        let sent = Command::new("kill").args(["-QUIT", &process.id().to_string()]).status();
        assert!(sent.unwrap().success());
        wait_until("the server has stopped", || process.ended().is_some());
    }

    /// What the server has written to its log.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.folder.join("log")).unwrap()).into_owned()
    }

    /// Runs SQL as the superuser, any number of statements; what it gives, one row a line.
    pub(crate) fn sql(&self, database: &str, text: &str) -> String {
        let output = self.psql(database, text.as_bytes());
        assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    fn psql(&self, database: &str, script: &[u8]) -> Output {
        let mut command = self.client(15, "psql", database);
        command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-f", "-"]);
        feed(command, script)
    }

    /// Runs a script with psql of a version and these arguments, as people do.
    pub(crate) fn run_script(
        &self,
        client: u16,
        database: &str,
        arguments: &[&str],
        script: &[u8],
    ) -> Output {
        let mut command = self.client(client, "psql", database);
        command.args(["-X", "-q"]).args(arguments).args(["-f", "-"]);
        feed(command, script)
    }

    /// A new folder in which the server may write, such as for a tablespace.
    pub(crate) fn folder_for(&self, name: &str) -> PathBuf {
        let folder = self.folder.join(name);
        std::fs::create_dir(&folder).unwrap();
        give_away(&folder);
        folder
    }

    /// A client program, logged in as the superuser.
    fn client(&self, client: u16, name: &str, database: &str) -> Command {
        let mut command = program(client, name);
        command
            .args(["--host=127.0.0.1", &format!("--port={}", self.port), "--username", SUPERUSER])
            .args(["--no-password", "--dbname", &format!("dbname='{}'", conninfo(database))])
            .env("PGPASSWORD", PASSWORD)
            .env("PGCONNECT_TIMEOUT", "20");
        command
    }

    /// A new, empty database of one test.
    pub(crate) fn database(&self) -> String {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("test_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("create database {name} template template0"));
        name
    }

    /// A dump by `pg_dump` of another version or this one, with these arguments.
    pub(crate) fn dump(&self, client: u16, database: &str, arguments: &[&str]) -> Vec<u8> {
        let mut command = self.client(client, "pg_dump", database);
        command.args(arguments);
        succeed(command, "pg_dump").stdout
    }

    /// The same in the directory format; the files lie in `dump` of the folder.
    pub(crate) fn dump_folder(&self, client: u16, database: &str, arguments: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let mut command = self.client(client, "pg_dump", database);
        command.arg("--format=directory").args(arguments).arg("--file").arg(folder.path().join("dump"));
        succeed(command, "pg_dump");
        folder
    }

    /// Restores an archive with `pg_restore` of a version, with these arguments.
    pub(crate) fn restore(&self, client: u16, database: &str, archive: &[u8], arguments: &[&str]) -> Output {
        let mut command = self.client(client, "pg_restore", database);
        command.args(arguments);
        feed(command, archive)
    }

    /// All of a database as text that is equal for equal databases: schema and data as its own `pg_dump`
    /// writes them, or that of 18, rows sorted, without the lines that differ from dump to dump.
    pub(crate) fn canonical(&self, database: &str) -> String {
        let client = if CLIENTS.contains(&self.major) { self.major } else { 18 };
        canonical_text(&String::from_utf8_lossy(&self.dump(client, database, &[])))
    }

    /// A certificate of `role` that the server's CA has signed, and its key, as PEM.
    pub(crate) fn client_certificate(&self, role: &str) -> (Vec<u8>, Vec<u8>) {
        let folder = tempfile::tempdir().unwrap();
        // With an extension it is of X.509 version 3, which rustls asks for.
        std::fs::write(folder.path().join("use"), "basicConstraints=CA:FALSE\n").unwrap();
        for file in ["ca.crt", "ca.key"] {
            std::fs::copy(self.folder.join(file), folder.path().join(file)).unwrap();
        }
        openssl(
            folder.path(),
            &format!(
                "req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN={role} -keyout own.key -out request"
            ),
        );
        openssl(
            folder.path(),
            "x509 -req -in request -CA ca.crt -CAkey ca.key -CAcreateserial -days 30 -extfile use -out own.crt",
        );
        let read = |file: &str| std::fs::read(folder.path().join(file)).unwrap();
        (read("own.crt"), read("own.key"))
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A dump without what differs from dump to dump, the rows of each COPY sorted.
pub(crate) fn canonical_text(dump: &str) -> String {
    let volatile =
        ["-- Dumped from database version", "-- Dumped by pg_dump", "\\restrict ", "\\unrestrict "];
    let mut text = String::new();
    let mut rows: Option<Vec<&str>> = None;
    for line in dump.lines() {
        match &mut rows {
            Some(all) if line == "\\." => {
                all.sort_unstable();
                for row in &*all {
                    text.extend([row, "\n"]);
                }
                text.push_str("\\.\n");
                rows = None;
            }
            Some(all) => all.push(line),
            None if volatile.iter().any(|start| line.starts_with(start)) => {}
            None => {
                text.extend([line, "\n"]);
                rows = (line.starts_with("COPY ") && line.ends_with(" FROM stdin;")).then(Vec::new);
            }
        }
    }
    text
}

/// A value for a connection string in quotes.
fn conninfo(value: &str) -> String {
    value.replace('\\', "\\\\").replace('\'', "\\'")
}

fn feed(mut command: Command, input: &[u8]) -> Output {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        // Both pipes at once, or one would wait for the other. A program that gives up reads no further.
        scope.spawn(move || std::io::Write::write_all(&mut stdin, input));
        child.wait_with_output().unwrap()
    })
}

#[test]
fn a_canonical_dump_differs_only_where_the_database_does() {
    let one = "-- Dumped from database version 18.4\n\\restrict abc\nCOPY public.t (a) FROM stdin;\n2\n1\n\\.\nSELECT 1;\n";
    let two = "-- Dumped from database version 15.1\nCOPY public.t (a) FROM stdin;\n1\n2\n\\.\nSELECT 1;\n";
    assert_eq!(canonical_text(one), canonical_text(two));
    assert_ne!(canonical_text(one), canonical_text(&two.replace("2\n", "3\n")));
}
