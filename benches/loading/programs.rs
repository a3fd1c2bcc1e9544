//! The commands that are compared. Each makes the database `restored` and fills it.

use std::fmt::Write as _;

use crate::data::Data;
use crate::parts::postgres::{CREATOR, PASSWORD};

/// Tells the peak of resident memory of the command behind it.
const PEAK: &str = "/usr/bin/time -f 'peak %M'";

/// `reinstate run`; `alone`: without what the others do not do either, counting and statistics.
pub fn ours(data: &Data, file: &str, alone: bool) -> String {
    let name = format!("{}{}{}", file.replace('.', "-"), if alone { "-alone" } else { "" }, data.port);
    let mut more = String::new();
    if alone {
        more.push_str("  statistics: Skip\n  verification: {rows: Loaded}\n");
    }
    let mut manifest = format!(
        "apiVersion: reinstate.dev/v1alpha1\nkind: DatabaseRestore\nmetadata: {{name: bench}}\nspec:\n  \
         backup: {{storageRef: {{name: dumps}}, path: {file}}}\n{more}  target:\n    connectionRef: {{name: server}}\n    \
         databases: [{{from: {}, to: restored}}]\n---\n",
        file.split('.').next().unwrap_or_default()
    );
    write!(
        manifest,
        "apiVersion: reinstate.dev/v1alpha1\nkind: BackupStorage\nmetadata: {{name: dumps}}\n\
         spec: {{volume: {{claimName: dumps}}}}\n---\n\
         apiVersion: reinstate.dev/v1alpha1\nkind: DatabaseConnection\nmetadata: {{name: server}}\nspec:\n  \
         engine: PostgreSQL\n  host: 127.0.0.1\n  port: {}\n  tls: {{mode: Disable}}\n  credentials:\n    \
         usernameSecretKeyRef: {{name: server, key: username}}\n    passwordSecretKeyRef: {{name: server, key: password}}\n---\n\
         apiVersion: v1\nkind: Secret\nmetadata: {{name: server}}\nstringData: {{username: {CREATOR}, password: {PASSWORD}}}\n",
        data.port
    )
    .unwrap();
    std::fs::write(data.folder.join(format!("{name}.yaml")), manifest).unwrap();
    format!("{PEAK} {} run -f {name}.yaml --claim dumps=. >/dev/null", env!("CARGO_BIN_EXE_reinstate"))
}

/// `psql -f` of a plain dump.
pub fn psql(data: &Data, file: &str) -> String {
    let environment = data.environment();
    format!(
        "{environment} createdb restored && {environment} {PEAK} psql -X -q -v ON_ERROR_STOP=1 -d restored -f {file} >/dev/null"
    )
}

/// A pipeline of the shell; `proven`: the file is read to its end first, as we do.
pub fn pipeline(data: &Data, file: &str, proven: bool) -> String {
    let environment = data.environment();
    let first = if proven { format!("gzip -t {file} && ") } else { String::new() };
    format!(
        "{environment} createdb restored && {first}gzip -dc {file} | {environment} {PEAK} psql -X -q -v ON_ERROR_STOP=1 -d restored >/dev/null"
    )
}

/// `pg_restore` of a custom archive.
pub fn pg_restore(data: &Data, file: &str, arguments: &str) -> String {
    let environment = data.environment();
    format!(
        "{environment} createdb restored && {environment} {PEAK} pg_restore --no-owner --exit-on-error {arguments} -d restored {file}"
    )
}
