//! What a dump's statements may do while they are loaded: SQLite asks before it compiles each.
//!
//! The reader has already refused every statement that no dump tool writes; this is the second
//! fence, in the database itself, for what hides inside definitions.

use rusqlite::hooks::{AuthAction, AuthContext, Authorization};

/// Functions that read nothing but their arguments and the clock. Constraints, generated columns,
/// defaults and indexes on expressions run while rows are loaded.
const FUNCTIONS: &[&str] = &[
    "abs",
    "char",
    "coalesce",
    "concat",
    "concat_ws",
    "format",
    "glob",
    "hex",
    "if",
    "ifnull",
    "iif",
    "instr",
    "length",
    "like",
    "likelihood",
    "likely",
    "lower",
    "ltrim",
    "match",
    "max",
    "min",
    "nullif",
    "octet_length",
    "printf",
    "quote",
    "random",
    "randomblob",
    "regexp",
    "replace",
    "round",
    "rtrim",
    "sign",
    "soundex",
    "substr",
    "substring",
    "subtype",
    "trim",
    "typeof",
    "unhex",
    "unicode",
    "unistr",
    "unistr_quote",
    "unlikely",
    "upper",
    "zeroblob",
    "date",
    "time",
    "datetime",
    "julianday",
    "strftime",
    "timediff",
    "unixepoch",
    "current_date",
    "current_time",
    "current_timestamp",
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "ceil",
    "ceiling",
    "cos",
    "cosh",
    "degrees",
    "exp",
    "floor",
    "ln",
    "log",
    "log10",
    "log2",
    "mod",
    "pi",
    "pow",
    "power",
    "radians",
    "sin",
    "sinh",
    "sqrt",
    "tan",
    "tanh",
    "trunc",
    "->",
    "->>",
    // What SQLite itself asks when it loads the planner's statistics.
    "count",
];

/// Whether a function reads nothing but its arguments and the clock.
pub(super) fn is_known_function(name: &str) -> bool {
    let json = name.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("json"));
    json || FUNCTIONS.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// Decides on one action of a statement of the dump.
pub(super) fn authorize(context: &AuthContext<'_>) -> Authorization {
    let allowed = match &context.action {
        AuthAction::CreateIndex { .. }
        | AuthAction::CreateTable { .. }
        | AuthAction::CreateTrigger { .. }
        | AuthAction::CreateView { .. }
        | AuthAction::CreateVtable { .. }
        | AuthAction::Insert { .. }
        | AuthAction::Update { .. }
        | AuthAction::Delete { .. }
        | AuthAction::Read { .. }
        | AuthAction::Select
        | AuthAction::Analyze { .. }
        | AuthAction::Reindex { .. }
        | AuthAction::Transaction { .. }
        | AuthAction::Savepoint { .. } => context.database_name.is_none_or(|name| name == "main"),
        AuthAction::Function { function_name } => is_known_function(function_name),
        // What FTS and R-Tree ask for when they are created.
        AuthAction::Pragma { pragma_name, pragma_value: None } => {
            ["page_size", "data_version"].iter().any(|known| known.eq_ignore_ascii_case(pragma_name))
        }
        // ATTACH, DETACH, everything temporary, drops, other pragmas, what later versions add.
        _ => false,
    };
    if allowed { Authorization::Allow } else { Authorization::Deny }
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::super::connect::is_denied;
    use super::*;

    #[test]
    fn statements_that_leave_the_database_are_denied_by_sqlite_itself() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE t(a)").unwrap();
        connection.authorizer(Some(|context: AuthContext<'_>| authorize(&context))).unwrap();
        for (sql, allowed) in [
            ("CREATE TABLE u(a CHECK(length(a) < 9), b AS (upper(a)), c DEFAULT (json_array(1)))", true),
            ("CREATE INDEX i ON u(lower(a)) WHERE a > 1", true),
            ("CREATE VIEW v AS SELECT * FROM t", true),
            ("CREATE TRIGGER r AFTER INSERT ON t BEGIN DELETE FROM t; END", true),
            ("CREATE VIRTUAL TABLE f USING fts5(x)", true),
            ("CREATE VIRTUAL TABLE f4 USING fts4(x)", true),
            ("CREATE VIRTUAL TABLE g USING rtree(a,b,c)", true),
            ("INSERT INTO t VALUES(replace('a','b',char(10)))", true),
            ("ANALYZE sqlite_schema", true),
            ("ATTACH ':memory:' AS x", false),
            ("DETACH main", false),
            ("PRAGMA writable_schema=ON", false),
            ("PRAGMA page_size=512", false),
            ("PRAGMA journal_mode", false),
            ("CREATE TEMP TABLE x(a)", false),
            ("CREATE TABLE w(a CHECK(load_extension('x')))", false),
            ("CREATE TABLE w(a CHECK(fts3_tokenizer('x')))", false),
            ("CREATE TABLE w(a DEFAULT (sqlite_source_id()))", false),
            ("INSERT INTO t VALUES(load_extension('x'))", false),
            ("DROP TABLE t", false),
            ("ALTER TABLE t ADD b", false),
            ("VACUUM INTO '/nowhere/x'", false),
        ] {
            let result = connection.execute_batch(sql);
            let denied = result.as_ref().is_err_and(is_denied);
            assert_eq!((result.is_ok(), denied), (allowed, !allowed), "{sql}: {result:?}");
        }
    }
}
