//! What a statement that may be sent does, as far as a load plan and a preflight need to know.

use super::object::Object;
use super::roles::Role;
use crate::runner::engine::postgres::names::Name;

/// A statement that dump tools write and that stays in the database which it is sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A setting of the session: every connection that sends statements of the dump needs it.
    Setting {
        /// Its name.
        name: &'static str,
        /// Its values without quotes; none is the empty search path.
        values: Vec<Vec<u8>>,
    },
    /// `BEGIN`, around large objects or the whole dump.
    Begin,
    /// `COMMIT`.
    Commit,
    /// An object of the schema that has to be made in its order.
    Create {
        /// What is made.
        object: Object,
        /// Its name, for kinds whose name says where they are.
        name: Option<Name>,
    },
    /// A schema that belongs to a role at once: sent as two statements, since owners come in the end.
    OwnedSchema {
        /// Its name.
        name: Vec<u8>,
        /// Its owner.
        role: Role,
    },
    /// A change of an object that is no table, in its order.
    Alter {
        /// What is changed.
        object: Object,
        /// Its name, in the same way.
        name: Option<Name>,
    },
    /// A function or procedure.
    Routine {
        /// Its name.
        name: Name,
        /// Every language that the statement may mean, in lower case; none for a body in SQL.
        languages: Vec<String>,
        /// Whether its code would run with the rights of the server's own process.
        untrusted: bool,
    },
    /// An extension.
    Extension {
        /// Its name.
        name: Vec<u8>,
        /// The schema for its objects.
        schema: Option<Vec<u8>>,
        /// The version that the dump asks for; `pg_dump` asks for none.
        version: Option<Vec<u8>>,
    },
    /// A table.
    Table(Table),
    /// A table of a foreign server.
    ForeignTable {
        /// Its name.
        table: Name,
        /// The server that holds it.
        server: Vec<u8>,
    },
    /// Makes a table a partition of another.
    AttachPartition {
        /// The partitioned table.
        table: Name,
        /// The new partition.
        partition: Name,
    },
    /// Makes an index a part of a partitioned table's.
    AttachIndex {
        /// The partitioned index.
        index: Name,
        /// Its new part.
        part: Name,
    },
    /// A change of a table.
    AlterTable {
        /// The table.
        table: Name,
        /// What is changed.
        change: Change,
    },
    /// Rows for a table follow in the `COPY` protocol.
    CopyFrom {
        /// The table.
        table: Name,
        /// Its columns in the order of the rows; empty if it has none.
        columns: Vec<Vec<u8>>,
        /// `WITH (FREEZE)`: works only in the transaction that made or emptied the table.
        freeze: bool,
        /// `WITH OIDS`: servers from 12 on refuse it.
        oids: bool,
    },
    /// Rows of literal values.
    Insert {
        /// The table.
        table: Name,
    },
    /// Sets what a sequence gives next.
    SequenceValue {
        /// The sequence.
        sequence: Name,
    },
    /// A step of a large object: the steps of one stay together in one transaction.
    LargeObject(LargeObject),
    /// Planner statistics of one relation (`pg_dump` 18).
    RelationStatistics {
        /// The relation.
        relation: Name,
    },
    /// An index.
    Index {
        /// Its name; in the schema of the table.
        name: Vec<u8>,
        /// The table.
        table: Name,
        /// It holds columns alone: no expression, no condition, no parameters of operator classes.
        plain: bool,
        /// It is made for rows in the order in which they came (`BRIN`).
        in_order: bool,
    },
    /// A primary key, unique or exclusion constraint, and the index below it.
    Key {
        /// The constraint.
        name: Vec<u8>,
        /// The table.
        table: Name,
        /// Which of them.
        kind: KeyKind,
    },
    /// A foreign key, which locks both tables.
    ForeignKey {
        /// The constraint.
        name: Vec<u8>,
        /// The table.
        table: Name,
        /// The table that it refers to.
        references: Name,
    },
    /// A trigger.
    Trigger {
        /// Its table or view.
        table: Name,
    },
    /// A rewrite rule.
    Rule {
        /// Its table or view.
        table: Name,
    },
    /// A row security policy.
    Policy {
        /// Its table.
        table: Name,
        /// The roles that it names.
        roles: Vec<Role>,
    },
    /// Fills a materialised view by its query.
    Refresh {
        /// The view.
        view: Name,
    },
    /// A login at a foreign server.
    UserMapping {
        /// The role.
        role: Role,
        /// The foreign server.
        server: Vec<u8>,
    },
    /// A subscription, which does not connect by itself.
    Subscription {
        /// Its name.
        name: Vec<u8>,
    },
    /// A comment.
    Comment {
        /// What it is on.
        object: Object,
    },
    /// A security label.
    SecurityLabel {
        /// What it is on.
        object: Object,
    },
    /// Gives an object to a role.
    Owner {
        /// What is given.
        object: Object,
        /// Its name, in the same way as in [`Step::Create`].
        name: Option<Name>,
        /// The new owner.
        role: Role,
    },
    /// Grants rights or takes them back.
    Grant {
        /// On what.
        object: Object,
        /// The roles that it names; `PUBLIC` is none.
        roles: Vec<Role>,
    },
    /// Rights on objects to come.
    DefaultPrivileges {
        /// The roles that will make them.
        makers: Vec<Role>,
        /// Those that get rights, or lose them.
        roles: Vec<Role>,
    },
    /// Grants that follow are made by another role than the owner.
    Grantor {
        /// That role; `None`: they are the owner's again.
        role: Option<Role>,
    },
    /// No dump tool writes it, so nothing is known of what it does; sent only where all is.
    Other,
}

/// What `CREATE TABLE` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Its name.
    pub name: Name,
    /// It is not written to the log, and empty after a crash.
    pub unlogged: bool,
    /// It has partitions and no rows of its own.
    pub partitioned: bool,
    /// The table that it is made a partition of at once.
    pub partition_of: Option<Name>,
    /// The tables whose columns it takes over.
    pub inherits: Vec<Name>,
}

/// What is changed at a table. The order follows a dump's sections: what stands after
/// [`Change::AccessMethod`] comes after the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Default, statistics target, storage or options of a column.
    Column,
    /// An identity column.
    Identity,
    /// The access method of its future partitions.
    AccessMethod,
    /// A check or not-null constraint that rows may break.
    Constraint,
    /// The index that `CLUSTER` uses.
    ClusterOn,
    /// What logical replication sends as the identity of rows.
    ReplicaIdentity,
    /// Row security is switched on or enforced on the owner.
    RowSecurity,
    /// When a trigger fires.
    Trigger,
    /// All triggers off or on, around rows alone (`--disable-triggers`); needs a superuser.
    AllTriggers,
    /// When a rule applies.
    Rule,
}

/// Which constraint a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// `PRIMARY KEY`.
    Primary,
    /// `UNIQUE`.
    Unique,
    /// `EXCLUDE`, which may hold expressions.
    Exclude,
}

/// A step of a large object; the number is its OID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LargeObject {
    /// Makes it.
    Create(u32),
    /// Opens it for writing.
    Open(u32),
    /// Makes and opens it.
    CreateAndOpen(u32),
    /// Writes to the one that is open.
    Write,
    /// Closes it.
    Close,
}

/// What a dump says of the database that it was made of. The engine makes and alters databases by
/// itself, so these statements are never sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DatabaseFact {
    /// `CREATE DATABASE`.
    Create(Box<CreateDatabase>),
    /// `ALTER DATABASE … OWNER TO`.
    Owner {
        /// The database.
        database: Vec<u8>,
        /// Its owner.
        role: Vec<u8>,
    },
    /// `ALTER DATABASE … CONNECTION LIMIT`.
    ConnectionLimit {
        /// The database.
        database: Vec<u8>,
        /// Sessions at a time.
        limit: i32,
    },
}

/// The options of `CREATE DATABASE`, as they are written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CreateDatabase {
    /// Its name.
    pub name: Vec<u8>,
    /// The database that it copies.
    pub template: Option<Vec<u8>>,
    /// Its owner.
    pub owner: Option<Vec<u8>>,
    /// The character set encoding.
    pub encoding: Option<Vec<u8>>,
    /// `libc`, `icu` or `builtin`.
    pub locale_provider: Option<Vec<u8>>,
    /// Locale of collation and character classes together.
    pub locale: Option<Vec<u8>>,
    /// Locale of collation.
    pub lc_collate: Option<Vec<u8>>,
    /// Locale of character classes.
    pub lc_ctype: Option<Vec<u8>>,
    /// Locale of the `icu` provider.
    pub icu_locale: Option<Vec<u8>>,
    /// Rules of the `icu` provider.
    pub icu_rules: Option<Vec<u8>>,
    /// Locale of the `builtin` provider.
    pub builtin_locale: Option<Vec<u8>>,
    /// Version of the collation at the source.
    pub collation_version: Option<Vec<u8>>,
    /// The tablespace.
    pub tablespace: Option<Vec<u8>>,
    /// Sessions at a time; −1 is no limit.
    pub connection_limit: Option<i32>,
}

impl Step {
    /// The roles that the statement names, in its order: each must be there.
    pub fn roles(&self) -> Vec<&Role> {
        let all: Vec<&Role> = match self {
            Self::Owner { role, .. } | Self::OwnedSchema { role, .. } | Self::UserMapping { role, .. } => {
                vec![role]
            }
            Self::Policy { roles, .. } | Self::Grant { roles, .. } => roles.iter().collect(),
            Self::DefaultPrivileges { makers, roles } => makers.iter().chain(roles).collect(),
            Self::Grantor { role } => role.iter().collect(),
            _ => Vec::new(),
        };
        all.into_iter().filter(|role| role.is_name()).collect()
    }

    /// Whether it gives away the schema `public`, which every new database has: dumps of servers before 15 by
    /// later clients say that it belongs to the server's first role.
    pub fn is_owner_of_public(&self) -> bool {
        match self {
            Self::Owner { object: Object::Schema, name: Some(name), .. } => {
                name.schema.is_none() && name.name == b"public"
            }
            Self::OwnedSchema { name, .. } => name == b"public",
            _ => false,
        }
    }

    /// Why only a superuser may run the statement; `None` if that is not known from its kind.
    pub fn needs_superuser(&self) -> Option<&'static str> {
        match self {
            Self::Routine { untrusted: true, .. } => Some("a function in an untrusted language"),
            Self::AlterTable { change: Change::AllTriggers, .. } => {
                Some("switching the triggers of constraints")
            }
            Self::Create { object, .. } => match object {
                Object::AccessMethod => Some("an access method"),
                Object::EventTrigger => Some("an event trigger"),
                Object::ForeignDataWrapper => Some("a foreign data wrapper"),
                Object::Language => Some("a procedural language"),
                Object::OperatorClass => Some("an operator class"),
                Object::OperatorFamily => Some("an operator family"),
                Object::TextSearchParser => Some("a text search parser"),
                Object::TextSearchTemplate => Some("a text search template"),
                _ => None,
            },
            Self::Alter { object: Object::OperatorFamily, .. } => Some("a member of an operator family"),
            _ => None,
        }
    }
}
