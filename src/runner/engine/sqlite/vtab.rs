//! Virtual tables in a dump: the one form in which dump tools write them, and nothing near it.
//!
//! A dump inserts the table's row into `sqlite_schema`. Only the exact row of an allow-listed module
//! is recognised; what is run is its `CREATE VIRTUAL TABLE`, never the insert.

use super::grammar::{Token, is_word};
use super::lexer::{Kind, tokens};

/// A virtual table as a dump declares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct VirtualTable {
    /// Its name.
    pub(super) name: String,
    /// Its module's own tables: the ends of their names, underscore included.
    pub(super) shadows: &'static [&'static str],
    /// The statement that creates it.
    pub(super) sql: String,
}

/// Modules that keep their data in ordinary tables of known names and reach nothing else.
const MODULES: &[(&str, &[&str])] = &[
    ("fts3", &["_content", "_segments", "_segdir"]),
    ("fts4", &["_content", "_segments", "_segdir", "_docsize", "_stat"]),
    ("fts5", &["_data", "_idx", "_content", "_docsize", "_config"]),
    ("rtree", &["_rowid", "_node", "_parent"]),
    ("rtree_i32", &["_rowid", "_node", "_parent"]),
    ("fts4aux", &[]),
    ("fts5vocab", &[]),
];

/// Bytes of one declaration that are read; real ones have some hundred.
pub(super) const DECLARATION_BYTES: usize = 64 * 1024;
/// Tokens of the schema row, its semicolon included.
pub(super) const ROW_TOKENS: usize = 32;

const COLUMNS: [&str; 5] = ["type", "name", "tbl_name", "rootpage", "sql"];

/// Reads `INSERT INTO sqlite_schema(…)VALUES('table','NAME','NAME',0,'CREATE VIRTUAL TABLE …')`.
/// The error says what is not as it must be.
pub(super) fn parse(row: &[Token]) -> Result<VirtualTable, String> {
    let (name, sql) = schema_row(row).ok_or("writes to the schema in a form that no dump tool uses")?;
    let name =
        String::from_utf8(name.clone()).map_err(|_| "names a virtual table in text that is not UTF-8")?;
    let sql =
        String::from_utf8(sql.clone()).map_err(|_| "declares a virtual table in text that is not UTF-8")?;
    let module =
        declaration(&sql, &name).ok_or("writes something else than a virtual table into the schema")?;
    let known = MODULES.iter().find(|(known, _)| module.eq_ignore_ascii_case(known.as_bytes()));
    let (_, shadows) = known.ok_or_else(|| {
        let module = module.escape_ascii().to_string();
        format!("declares a virtual table of the module {module}, which is not on the list of safe ones")
    })?;
    Ok(VirtualTable { name, shadows, sql })
}

fn schema_row(row: &[Token]) -> Option<(&Vec<u8>, &Vec<u8>)> {
    // INSERT INTO <schema> were seen by the caller.
    let (columns, values) = row.get(3..)?.split_at_checked(11)?;
    let [open, names @ .., close] = columns else { return None };
    let names_fit = names.iter().enumerate().all(|(at, token)| {
        if at % 2 == 1 {
            return token.0 == Kind::Punct(b',');
        }
        COLUMNS.get(at / 2).is_some_and(|name| is_word(Some(token), name))
    });
    if open.0 != Kind::Punct(b'(') || close.0 != Kind::Punct(b')') || !names_fit {
        return None;
    }
    let [
        (Kind::Word, keyword),
        (Kind::Punct(b'('), _),
        (Kind::Text, object),
        (Kind::Punct(b','), _),
        (Kind::Text, name),
        (Kind::Punct(b','), _),
        (Kind::Text, table),
        (Kind::Punct(b','), _),
        (Kind::Number, page),
        (Kind::Punct(b','), _),
        (Kind::Text, sql),
        (Kind::Punct(b')'), _),
    ] = values
    else {
        return None;
    };
    let fits = keyword.eq_ignore_ascii_case(b"VALUES") && object == b"table" && name == table && page == b"0";
    fits.then_some((name, sql))
}

/// The module of `CREATE VIRTUAL TABLE name USING module(…)`; `None` for anything else.
fn declaration(sql: &str, name: &str) -> Option<Vec<u8>> {
    let all = tokens(sql.as_bytes())?;
    let head =
        ["CREATE", "VIRTUAL", "TABLE"].iter().zip(&all).all(|(word, token)| is_word(Some(token), word));
    let named = all.get(3).is_some_and(|(kind, text)| {
        matches!(kind, Kind::Word | Kind::Quoted | Kind::Text) && text.eq_ignore_ascii_case(name.as_bytes())
    });
    if !head || !named || !is_word(all.get(4), "USING") || name.is_empty() {
        return None;
    }
    let Some((Kind::Word | Kind::Quoted, module)) = all.get(5) else { return None };
    let arguments = all.get(6..)?;
    (arguments.is_empty() || is_one_bracket(arguments)).then(|| module.clone())
}

/// Whether the tokens are one pair of brackets with balanced ones inside and no semicolon.
fn is_one_bracket(arguments: &[Token]) -> bool {
    let mut depth = 0_usize;
    for (at, (kind, _)) in arguments.iter().enumerate() {
        match kind {
            Kind::Punct(b'(') => depth += 1,
            Kind::Punct(b')') if depth == 0 => return false,
            Kind::Punct(b')') => depth -= 1,
            Kind::Punct(b';') | Kind::Nul => return false,
            Kind::Word | Kind::Number | Kind::Text | Kind::Quoted | Kind::Punct(_) => {}
        }
        if depth == 0 && at + 1 != arguments.len() {
            return false;
        }
    }
    depth == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(sql: &str) -> Result<VirtualTable, String> {
        parse(&tokens(sql.as_bytes()).unwrap())
    }

    fn row(name: &str, sql: &str) -> String {
        format!(
            "INSERT INTO sqlite_schema(type,name,tbl_name,rootpage,sql)VALUES('table','{name}','{name}',0,'{sql}')"
        )
    }

    #[test]
    fn the_exact_row_of_a_safe_module_is_recognised() {
        for (name, sql, shadows) in [
            ("f", "CREATE VIRTUAL TABLE f using fts5(x, y, tokenize=''porter ascii'')", 5),
            ("f", "create virtual table \"f\" USING FTS4(x)", 5),
            ("r", "CREATE VIRTUAL TABLE [r] USING rtree(id,x0,x1,+name TEXT)", 3),
            ("v", "CREATE VIRTUAL TABLE v USING fts5vocab(''f'', ''row'')", 0),
            ("a", "CREATE VIRTUAL TABLE a USING fts3", 3),
        ] {
            let table = read(&row(name, sql)).unwrap();
            assert_eq!((table.name.as_str(), table.shadows.len()), (name, shadows), "{sql}");
            assert_eq!(table.sql, sql.replace("''", "'"));
        }
    }

    #[test]
    fn every_other_write_to_the_schema_is_refused() {
        for sql in [
            row("t", "CREATE TABLE t(a)"),
            row("t", "CREATE VIRTUAL TABLE u USING fts5(x)"),
            row("t", "CREATE VIRTUAL TABLE main.t USING fts5(x)"),
            row("t", "CREATE VIRTUAL TABLE t USING fts5(x); DROP TABLE u"),
            row("t", "CREATE VIRTUAL TABLE t USING fts5(x) y"),
            row("t", "CREATE VIRTUAL TABLE t USING fts5(x)(y)"),
            row("t", "CREATE VIRTUAL TABLE t USING fts5(x"),
            row("t", "CREATE VIRTUAL TABLE t USING csv(filename=''/etc/passwd'')"),
            row("t", "CREATE VIRTUAL TABLE t USING sqlite_dbpage"),
            row("t", "CREATE VIEW t AS SELECT 1"),
            row("", "CREATE VIRTUAL TABLE \"\" USING fts5(x)"),
            row("t", "CREATE VIRTUAL TABLE t USING fts5(x)").replace(",0,", ",2,"),
            row("t", "CREATE VIRTUAL TABLE t USING fts5(x)").replace("'table'", "'view'"),
            row("t", "CREATE VIRTUAL TABLE t USING fts5(x)").replace("('table','t'", "('table','u'"),
            row("t", "CREATE VIRTUAL TABLE t USING fts5(x)").replace("tbl_name", "rowid"),
            row("t", "CREATE VIRTUAL TABLE t USING fts5(x)") + ",('table','u','u',0,'x')",
            "INSERT INTO sqlite_schema VALUES('table','t','t',0,'CREATE VIRTUAL TABLE t USING fts5(x)')"
                .into(),
            "INSERT INTO sqlite_schema SELECT 1".into(),
        ] {
            assert!(read(&sql).is_err(), "{sql}");
        }
    }

    #[test]
    fn a_refused_module_is_named() {
        let error = read(&row("t", "CREATE VIRTUAL TABLE t USING csv(x)")).unwrap_err();
        assert!(error.contains("csv"), "{error}");
    }
}
