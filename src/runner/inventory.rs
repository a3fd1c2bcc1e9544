//! What pass 1 learned of a backup: proven facts only, the input of preflight, load and verify.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Formats of one database's dump, named as in `spec.backup.format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DumpFormat {
    /// Plain SQL of `pg_dump` or `pg_dumpall`.
    PostgresPlain,
    /// `PGDMP` custom archive, `pg_dump`'s tar format, or its directory format in a TAR.
    PostgresArchive,
    /// SQL of `mysqldump` or `mariadb-dump`.
    MySQLDump,
    /// A mydumper folder in a TAR.
    Mydumper,
    /// `mongodump --archive`, gzip inside or not.
    MongoArchive,
    /// A SQLite database file.
    SQLiteFile,
    /// SQL text of the `.dump` command.
    SQLiteDump,
    /// A SQL Server backup set.
    SQLServerBak,
    /// A Redis or Valkey RDB file; recognised, not restored.
    RedisRdb,
    /// A Firebird `gbak` file; recognised, not restored.
    FirebirdBackup,
    /// An Azure SQL BACPAC; recognised, not restored.
    Bacpac,
}

/// What shows that a backup is whole, strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Proof {
    /// Authenticated encryption over all of it.
    Tag,
    /// A SHA-256 known from elsewhere.
    Checksum,
    /// The dump's own end mark or stated length.
    Trailer,
}

/// Rows of one table in the dump.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableRows {
    /// The table's name, unquoted.
    pub name: String,
    /// Rows in the dump.
    pub rows: u64,
}

/// What the rows of one table add up to, as the dump's `COPY` data write them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableDigest {
    /// The table's name as in [`TableRows`]; partitions that are loaded through their root go by its name.
    pub table: String,
    /// The table for use in a statement, quoted, in the dump's encoding.
    pub relation: Vec<u8>,
    /// The columns in the order of the rows, each quoted, in the dump's encoding; none: all.
    pub columns: Vec<Vec<u8>>,
    /// The dump's `client_encoding` there; empty where it states none.
    pub encoding: Vec<u8>,
    /// How many rows there are.
    pub rows: u64,
    /// Their hashes, added modulo 2^128.
    pub sum: u128,
    /// Why the rows cannot be compared with those of a server.
    pub doubt: Option<&'static str>,
}

/// Where the rows of one large block of data lie in a decoded dump, so that another reader can have them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowsBlock {
    /// The database that the dump has changed to; empty where it has not.
    pub database: String,
    /// The table's name as in [`TableRows`], without that of a database.
    pub table: String,
    /// Bytes of the dump, from its beginning: the rows as the format stores them.
    pub range: Range<u64>,
    /// The first byte behind what ends them.
    pub end: u64,
    /// How many rows there are.
    pub rows: u64,
    /// Lines of a script from the first row up to `end`.
    pub lines: u64,
    /// Where the range may be cut: each byte with the rows before it, counted from the block's beginning.
    /// Empty where it can only be read as a whole.
    pub cuts: Vec<(u64, u64)>,
}

impl RowsBlock {
    /// Bytes of the rows.
    pub const fn bytes(&self) -> u64 {
        self.range.end.saturating_sub(self.range.start)
    }
}

/// The tables of one of the databases that a dump changes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseTables {
    /// The database's name in the dump.
    pub name: String,
    /// Its tables with their rows.
    pub tables: Vec<TableRows>,
    /// The statement with which the dump would create it, where it holds one.
    pub create_statement: Option<Vec<u8>>,
    /// Extensions that it needs.
    pub extensions: Vec<String>,
    /// What it names beside itself.
    pub outside: Outside,
    /// What the rows of its tables add up to, where that was asked for.
    pub digests: Option<Vec<TableDigest>>,
}

/// What a dump names that is beside its database and not in it: roles and tablespaces of a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outside {
    /// Roles, in the encoding of the dump, with what each is named for.
    pub roles: BTreeSet<(Vec<u8>, RoleUse)>,
    /// Tablespaces.
    pub tablespaces: BTreeSet<Vec<u8>>,
    /// Name of the encoding of the dump; empty where it states none.
    pub encoding: Vec<u8>,
    /// Memory that a load needs to keep all owners for its end, in bytes.
    pub owner_bytes: u64,
    /// The same for all rights.
    pub rights_bytes: u64,
    /// Subscriptions to publications of other servers.
    pub subscriptions: u64,
    /// There are more names than are listed here.
    pub is_cut: bool,
    /// It makes objects as their owners, instead of giving them away later.
    pub acts_as_owners: bool,
}

/// What a role is named for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RoleUse {
    /// It owns something.
    Owner,
    /// It has granted rights that it was granted.
    Grantor,
    /// What it will make has other rights than usual.
    Maker,
    /// It has rights.
    Grantee,
    /// A row security policy is for it.
    Policy,
    /// It logs in at a foreign server.
    UserMapping,
}

/// What an engine's reader learned of one dump while pass 1 went through it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DumpFacts {
    /// Tables with their rows; `None` where the engine's reader does not count them.
    pub tables: Option<Vec<TableRows>>,
    /// The databases that the dump itself names, in its order, with their tables; empty where it names
    /// none.
    pub databases: Vec<DatabaseTables>,
    /// The dump's own end mark or stated length was found.
    pub trailer: bool,
    /// The largest single statement in bytes, which the loader must hold in memory.
    pub largest_statement: u64,
    /// Version of the tool or file format that wrote it.
    pub engine_version: Option<String>,
    /// The statement with which the dump would create its database, where it holds one.
    pub create_statement: Option<Vec<u8>>,
    /// The encoding that the dump says its text is in, the first where it says several.
    pub client_encoding: Option<String>,
    /// Extensions of the server that it needs.
    pub extensions: Vec<String>,
    /// What it names beside its database.
    pub outside: Outside,
    /// Tables whose rows are of use in the order of the dump alone.
    pub in_order: Vec<String>,
    /// The large blocks of rows, in the order of the dump.
    pub blocks: Arc<[RowsBlock]>,
    /// What the rows of its tables add up to, where that was asked for.
    pub digests: Option<Vec<TableDigest>>,
    /// Bytes per page, where the format is a database file of pages.
    pub page_size: Option<u32>,
    /// What in the format is newer than this program knows; a matter of the version guard.
    pub newer_format: Option<String>,
    /// The table of contents of an archive in which it stands behind data, so that whoever reads again
    /// has it in advance. A reading without it cannot count rows.
    pub late_contents: Option<Arc<[u8]>>,
    /// Things a person should know.
    pub warnings: Vec<String>,
}

/// One database in the backup.
#[derive(Clone, Debug)]
pub struct DatabaseEntry {
    /// Its name in the backup; `None` where the backup does not say.
    pub name: Option<String>,
    /// The format of its dump.
    pub format: DumpFormat,
    /// Decoded bytes.
    pub bytes: u64,
    /// SHA-256 of the decoded bytes.
    pub sha256: [u8; 32],
    /// What the engine's reader learned.
    pub facts: DumpFacts,
}

impl DatabaseEntry {
    /// What the dump holds of one of the databases that it changes to; `None` where it holds none of that
    /// name, or two whose names cannot be told apart as text.
    pub fn of_database(&self, name: &str) -> Option<Self> {
        let mut named = self.facts.databases.iter().filter(|database| database.name == name);
        let found = named.next()?.clone();
        if named.next().is_some() {
            return None;
        }
        let facts = DumpFacts {
            tables: Some(found.tables.clone()),
            create_statement: found.create_statement.clone(),
            extensions: found.extensions.clone(),
            outside: found.outside.clone(),
            digests: found.digests.clone(),
            databases: vec![found],
            ..self.facts.clone()
        };
        Some(Self { name: Some(name.to_owned()), facts, ..self.clone() })
    }
}

/// Database systems that backups come from; more than can be restored to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say all there is to say")]
pub enum SourceEngine {
    PostgreSQL,
    MySQL,
    MariaDB,
    MongoDB,
    SQLite,
    SQLServer,
    Redis,
    Valkey,
    Firebird,
    AzureSQL,
}
