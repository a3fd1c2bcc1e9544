//! The roles that a statement names: where each stands in it, and the statement with other names.

use super::lexer::Token;
use super::tokens::Tokens;
use crate::runner::engine::postgres::names::quote_ident;

/// Words in a role's place that are no name of one. The server takes `public` as such in quotes, too.
const WORDS: [&[u8]; 4] = [b"public", b"current_user", b"session_user", b"current_role"];
const PUBLIC: &[u8] = b"public";

/// A role in its place in a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// Its name, without quotes.
    pub name: Vec<u8>,
    /// Bytes of the statement from its first on.
    from_end: usize,
    bytes: usize,
    is_word: bool,
}

impl Role {
    /// Reads one, or a word in its place.
    pub(super) fn read(tokens: &mut Tokens<'_>) -> Option<Self> {
        let mut next = *tokens;
        let (bytes, is_bare) = match next.next() {
            Token::Word(word) => (word.len(), true),
            Token::Quoted(raw) => (raw.len() + 2, false),
            _ => return None,
        };
        let name = tokens.ident()?;
        let is_word = name == PUBLIC || (is_bare && WORDS.contains(&name.as_slice()));
        Some(Self { name, from_end: tokens.left() + bytes, bytes, is_word })
    }

    /// Whether it is a role's name, and not a word such as `PUBLIC`.
    pub const fn is_name(&self) -> bool {
        !self.is_word
    }
}

/// Roles with commas, and words that name none.
pub(super) fn list(tokens: &mut Tokens<'_>) -> Option<Vec<Role>> {
    tokens.list(Role::read)
}

/// The statement in which these roles, in its order, have these names.
pub fn with_names(text: &[u8], roles: &[(&Role, &[u8])]) -> Vec<u8> {
    let (mut all, mut done) = (Vec::with_capacity(text.len() + 64), 0);
    for (role, name) in roles {
        let begin = text.len().saturating_sub(role.from_end);
        all.extend_from_slice(text.get(done..begin).unwrap_or_default());
        all.extend(quote_ident(name));
        done = begin + role.bytes;
    }
    all.extend_from_slice(text.get(done..).unwrap_or_default());
    all
}

/// The statement with these names in the place of a list of roles.
pub fn with_list(text: &[u8], list: &[Role], names: &[&[u8]]) -> Vec<u8> {
    let (Some(from), Some(to)) = (list.first(), list.last()) else { return text.to_vec() };
    let begin = text.len().saturating_sub(from.from_end);
    let end = text.len().saturating_sub(to.from_end) + to.bytes;
    let names: Vec<Vec<u8>> = names.iter().map(|name| quote_ident(name)).collect();
    [text.get(..begin).unwrap_or_default(), &names.join(&b", "[..]), text.get(end..).unwrap_or_default()]
        .concat()
}

#[cfg(test)]
mod tests {
    use super::super::{Judged, Options, judge};
    use super::*;

    #[test]
    fn a_role_is_renamed_in_its_place_alone() {
        for (text, expected) in [
            ("ALTER TABLE a.a OWNER TO a;", r#"ALTER TABLE a.a OWNER TO "b""c";"#),
            (
                "ALTER TABLE a OWNER TO \"a\" /* a */ ; -- a",
                "ALTER TABLE a OWNER TO \"b\"\"c\" /* a */ ; -- a",
            ),
            (
                "ALTER FUNCTION f(owner text) OWNER TO\n\ta",
                "ALTER FUNCTION f(owner text) OWNER TO\n\t\"b\"\"c\"",
            ),
            (
                "GRANT SELECT(a,b) ON TABLE s.a TO a WITH GRANT OPTION;",
                r#"GRANT SELECT(a,b) ON TABLE s.a TO "b""c" WITH GRANT OPTION;"#,
            ),
            ("REVOKE ALL ON FUNCTION s.a() FROM PUBLIC;", "REVOKE ALL ON FUNCTION s.a() FROM PUBLIC;"),
            ("GRANT ALL ON TABLE t TO x, a, PUBLIC", r#"GRANT ALL ON TABLE t TO "b""c", "b""c", PUBLIC"#),
            (
                "ALTER DEFAULT PRIVILEGES FOR ROLE a IN SCHEMA a GRANT SELECT ON TABLES TO \"A\"",
                r#"ALTER DEFAULT PRIVILEGES FOR ROLE "b""c" IN SCHEMA a GRANT SELECT ON TABLES TO "b""c""#,
            ),
            (
                "CREATE POLICY a ON a FOR SELECT TO a USING ((name = 'TO a'::text))",
                r#"CREATE POLICY a ON a FOR SELECT TO "b""c" USING ((name = 'TO a'::text))"#,
            ),
            (
                "CREATE USER MAPPING FOR a SERVER a OPTIONS (\"user\" 'a')",
                r#"CREATE USER MAPPING FOR "b""c" SERVER a OPTIONS ("user" 'a')"#,
            ),
            ("SET SESSION AUTHORIZATION a;", r#"SET SESSION AUTHORIZATION "b""c";"#),
            (
                "CREATE USER MAPPING FOR CURRENT_USER SERVER a",
                "CREATE USER MAPPING FOR CURRENT_USER SERVER a",
            ),
        ] {
            let Judged::Send(step) = judge(text.as_bytes(), &Options::new(18)) else { panic!("{text}") };
            let roles: Vec<(&Role, &[u8])> =
                step.roles().into_iter().map(|role| (role, b"b\"c".as_slice())).collect();
            let found = with_names(text.as_bytes(), &roles);
            assert_eq!(String::from_utf8_lossy(&found), expected, "{text}");
        }
    }

    #[test]
    fn a_list_of_roles_is_replaced_as_a_whole() {
        let text = b"CREATE POLICY p ON t TO a, \"B\" , c USING (true);";
        let Judged::Send(step) = judge(text, &Options::new(18)) else { panic!("it is not sent") };
        let roles: Vec<Role> = step.roles().into_iter().cloned().collect();
        let found = with_list(text, &roles, &[b"x", b"Y z"]);
        assert_eq!(String::from_utf8_lossy(&found), r#"CREATE POLICY p ON t TO "x", "Y z" USING (true);"#);
    }
}
