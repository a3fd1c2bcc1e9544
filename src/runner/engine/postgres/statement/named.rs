//! The object that a statement says something of, for those whose [`Step`](super::Step) does not name it.

use super::object::Object;
use super::tokens::Tokens;
use crate::runner::engine::postgres::names::Name;

/// What a comment, a security label or rights are on; of a part of a table, such as a column, the table. The
/// schema of default rights. `None` for other statements, and for objects of other names.
pub fn named(text: &[u8], conforming: bool) -> Option<(Object, Name)> {
    let mut tokens = Tokens::new(text, conforming);
    if tokens.words("ALTER DEFAULT PRIVILEGES") {
        let schema = tokens.find("IN SCHEMA").then(|| tokens.ident())??;
        return Some((Object::Schema, Name::bare(schema)));
    }
    let verbs = ["COMMENT", "SECURITY LABEL", "GRANT", "REVOKE"];
    let known = verbs.iter().any(|verb| tokens.words(verb)) && tokens.find("ON");
    let object = known.then(|| Object::read(&mut tokens))??;
    match object {
        Object::Column => column(&mut tokens),
        Object::Constraint | Object::Policy | Object::Rule | Object::Trigger => {
            let is_of_table = tokens.ident().is_some() && tokens.words("ON") && !tokens.words("DOMAIN");
            is_of_table.then(|| tokens.name())?
        }
        _ if object.has_plain_name() => return Some((object, tokens.name()?)),
        _ => None,
    }
    .map(|table| (Object::Table, table))
}

/// The table of `table.column` or `schema.table.column`.
fn column(tokens: &mut Tokens<'_>) -> Option<Name> {
    let first = tokens.ident()?;
    let second = tokens.punct(b'.').then(|| tokens.ident())??;
    if tokens.punct(b'.') { Some(Name::qualified(first, second)) } else { Some(Name::bare(first)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_statement_is_on_is_read_in_every_form_that_dump_tools_write() {
        let qualified = |name: &str| Name::qualified("s", name);
        for (text, expected) in [
            ("GRANT SELECT ON TABLE s.t TO a;", Some((Object::Table, qualified("t")))),
            ("REVOKE SELECT(a, b) ON TABLE s.t FROM PUBLIC;", Some((Object::Table, qualified("t")))),
            ("-- rights\nGRANT USAGE ON SCHEMA s TO a;", Some((Object::Schema, Name::bare("s")))),
            ("GRANT ALL ON FUNCTION s.f(a integer, text) TO a;", Some((Object::Function, qualified("f")))),
            ("COMMENT ON EXTENSION x IS 'ON TABLE s.t';", Some((Object::Extension, Name::bare("x")))),
            ("COMMENT ON TABLE t IS NULL;", Some((Object::Table, Name::bare("t")))),
            ("COMMENT ON COLUMN s.t.a IS 'x';", Some((Object::Table, qualified("t")))),
            ("COMMENT ON COLUMN t.a IS 'x';", Some((Object::Table, Name::bare("t")))),
            ("COMMENT ON POLICY \"on\" ON s.t IS 'x';", Some((Object::Table, qualified("t")))),
            ("COMMENT ON CONSTRAINT c ON DOMAIN s.d IS 'x';", None),
            ("COMMENT ON LARGE OBJECT 7 IS 'x';", None),
            ("SECURITY LABEL FOR p ON TABLE s.t IS 'x';", Some((Object::Table, qualified("t")))),
            (
                "ALTER DEFAULT PRIVILEGES FOR ROLE a IN SCHEMA s GRANT ALL ON TABLES TO b;",
                Some((Object::Schema, Name::bare("s"))),
            ),
            ("ALTER DEFAULT PRIVILEGES FOR ROLE a GRANT ALL ON TABLES TO b;", None),
            ("GRANT a TO b;", None),
            ("CREATE TABLE s.t (a integer);", None),
            ("", None),
        ] {
            assert_eq!(named(text.as_bytes(), true), expected, "{text}");
        }
    }
}
