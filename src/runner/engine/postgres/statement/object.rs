//! Kinds of objects, and the keywords by which statements name them.

use std::fmt;

use super::tokens::Tokens;

/// Where objects of a kind live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Home {
    /// In one database.
    Database,
    /// Beside all databases, or a database itself: outside of a target.
    Cluster,
}

macro_rules! objects {
    ($($(#[$meta:meta])* $kind:ident $words:literal $(| $more:literal)* $home:ident;)*) => {
        /// A kind of object.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Object {
            $($(#[$meta])* $kind,)*
        }

        /// Keywords, kind and home; of two that begin alike the longer stands first.
        const OBJECTS: &[(&str, Object, Home)] = &[
            $(($words, Object::$kind, Home::$home), $(($more, Object::$kind, Home::$home),)*)*
        ];
    };
}

objects! {
    /// A table or index access method.
    AccessMethod "ACCESS METHOD" Database;
    /// An aggregate function.
    Aggregate "AGGREGATE" Database;
    /// A conversion of one type to another.
    Cast "CAST" Database;
    /// A collation.
    Collation "COLLATION" Database;
    /// A column of a table, view or composite type.
    Column "COLUMN" Database;
    /// A constraint of a table or domain.
    Constraint "CONSTRAINT" Database;
    /// A conversion of one encoding to another.
    Conversion "CONVERSION" Database;
    /// A database.
    Database "DATABASE" Cluster;
    /// A domain.
    Domain "DOMAIN" Database;
    /// A trigger on statements of a database.
    EventTrigger "EVENT TRIGGER" Database;
    /// An extension.
    Extension "EXTENSION" Database;
    /// A foreign data wrapper.
    ForeignDataWrapper "FOREIGN DATA WRAPPER" Database;
    /// A table that another server holds.
    ForeignTable "FOREIGN TABLE" Database;
    /// A function.
    Function "FUNCTION" Database;
    /// An index.
    Index "INDEX" Database;
    /// A procedural language.
    Language "PROCEDURAL LANGUAGE" | "LANGUAGE" Database;
    /// A large object.
    LargeObject "LARGE OBJECT" Database;
    /// A materialised view.
    MaterializedView "MATERIALIZED VIEW" Database;
    /// An operator class of an index method.
    OperatorClass "OPERATOR CLASS" Database;
    /// A family of operator classes.
    OperatorFamily "OPERATOR FAMILY" Database;
    /// An operator.
    Operator "OPERATOR" Database;
    /// A setting of the server, of which rights can be granted.
    Parameter "PARAMETER" Cluster;
    /// A row security policy.
    Policy "POLICY" Database;
    /// A procedure.
    Procedure "PROCEDURE" Database;
    /// A publication of logical replication.
    Publication "PUBLICATION" Database;
    /// A role.
    Role "ROLE" Cluster;
    /// A rewrite rule.
    Rule "RULE" Database;
    /// A schema.
    Schema "SCHEMA" Database;
    /// A sequence.
    Sequence "SEQUENCE" Database;
    /// A foreign server.
    Server "FOREIGN SERVER" | "SERVER" Database;
    /// Extended statistics.
    Statistics "STATISTICS" Database;
    /// A subscription of logical replication.
    Subscription "SUBSCRIPTION" Database;
    /// The server's configuration.
    System "SYSTEM" Cluster;
    /// A tablespace.
    Tablespace "TABLESPACE" Cluster;
    /// A table.
    Table "TABLE" Database;
    /// A configuration of text search.
    TextSearchConfiguration "TEXT SEARCH CONFIGURATION" Database;
    /// A dictionary of text search.
    TextSearchDictionary "TEXT SEARCH DICTIONARY" Database;
    /// A parser of text search.
    TextSearchParser "TEXT SEARCH PARSER" Database;
    /// A template of text search dictionaries.
    TextSearchTemplate "TEXT SEARCH TEMPLATE" Database;
    /// A transform of a type for a language.
    Transform "TRANSFORM" Database;
    /// A trigger of a table.
    Trigger "TRIGGER" Database;
    /// A type.
    Type "TYPE" Database;
    /// A login at a foreign server.
    UserMapping "USER MAPPING" Database;
    /// A view.
    View "VIEW" Database;
}

impl Object {
    /// Reads the keywords of a kind.
    pub(super) fn read(tokens: &mut Tokens<'_>) -> Option<Self> {
        OBJECTS.iter().find(|(words, ..)| tokens.words(words)).map(|(_, object, _)| *object)
    }

    /// Whether objects of this kind are outside of any target database.
    pub(super) fn is_of_cluster(self) -> bool {
        OBJECTS.iter().any(|(_, object, home)| *object == self && *home == Home::Cluster)
    }

    /// Whether a name, with a schema or not, directly follows the keywords and says where the
    /// object lives.
    pub(super) const fn has_plain_name(self) -> bool {
        !matches!(
            self,
            Self::Cast
                | Self::Column
                | Self::Constraint
                | Self::LargeObject
                | Self::Operator
                | Self::Policy
                | Self::Rule
                | Self::Transform
                | Self::Trigger
                | Self::UserMapping
        )
    }
}

impl fmt::Display for Object {
    /// The keywords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = OBJECTS.iter().find(|(_, object, _)| object == self).map_or("", |(words, ..)| words);
        f.write_str(words)
    }
}
