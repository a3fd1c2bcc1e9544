//! `CREATE` of all that is no table, index or data: objects of the schema in their order.

use super::lexer::Token;
use super::object::Object;
use super::roles::Role;
use super::step::Step;
use super::tokens::{Tokens, Top, is_word};
use super::{
    BROKEN, NOT_WRITTEN, OTHER_FORM, Options, Part, SYSTEM_SCHEMA, Verdict, cluster, keys, send, send_part,
    skip, subscription, tables,
};
use crate::runner::engine::postgres::names::{Name, is_system_schema};

/// Languages whose functions cannot leave the database, by the promise of their makers.
const TRUSTED_LANGUAGES: &[&str] =
    &["sql", "plpgsql", "plperl", "pltcl", "plv8", "plcoffee", "plls", "pllua", "plrust", "java"];

pub(super) const UNTRUSTED: &str = "it would run code with the rights of the server's own process; \
     `statements: All` sends it, if the dump is trusted that far";

pub(super) fn create(mut tokens: Tokens<'_>, options: &Options) -> Verdict {
    if tokens.words("OR REPLACE") {
        return replace(tokens);
    }
    for (words, object) in [
        ("UNLOGGED TABLE", Object::Table),
        ("UNLOGGED SEQUENCE", Object::Sequence),
        ("UNIQUE INDEX", Object::Index),
        ("CONSTRAINT TRIGGER", Object::Trigger),
        ("DEFAULT CONVERSION", Object::Conversion),
        ("TRUSTED PROCEDURAL LANGUAGE", Object::Language),
    ] {
        if tokens.words(words) {
            let unlogged = words == "UNLOGGED TABLE";
            return if unlogged { tables::create(tokens, true) } else { of(object, tokens, options) };
        }
    }
    let object = Object::read(&mut tokens).ok_or(NOT_WRITTEN)?;
    of(object, tokens, options)
}

fn of(object: Object, mut tokens: Tokens<'_>, options: &Options) -> Verdict {
    if object.is_of_cluster() {
        return cluster::create(object, tokens);
    }
    match object {
        Object::Table => tables::create(tokens, false),
        Object::ForeignTable => tables::create_foreign(tokens, options),
        Object::Index => keys::index(tokens),
        Object::Trigger => keys::trigger(tokens),
        Object::Rule => keys::rule(tokens),
        Object::Policy => keys::policy(tokens),
        Object::Function | Object::Procedure => routine(tokens, options),
        Object::Extension => extension(tokens),
        Object::UserMapping => user_mapping(tokens),
        Object::Subscription => subscription::create(tokens, options),
        Object::Operator => operator(tokens),
        Object::Cast | Object::Transform => send(Step::Create { object, name: None }),
        Object::Schema => schema(tokens),
        Object::View | Object::MaterializedView => view(object, tokens),
        Object::Publication => {
            let name = name(&mut tokens)?;
            let what = format!("publication {name}");
            send_part(Step::Create { object, name: Some(name) }, Part::Publications, what, options)
        }
        Object::AccessMethod
        | Object::Aggregate
        | Object::Collation
        | Object::Conversion
        | Object::Domain
        | Object::EventTrigger
        | Object::ForeignDataWrapper
        | Object::OperatorClass
        | Object::OperatorFamily
        | Object::Sequence
        | Object::Server
        | Object::Statistics
        | Object::TextSearchConfiguration
        | Object::TextSearchDictionary
        | Object::TextSearchParser
        | Object::TextSearchTemplate
        | Object::Type => send(Step::Create { object, name: Some(name(&mut tokens)?) }),
        Object::Language => language(tokens),
        Object::Column
        | Object::Constraint
        | Object::Database
        | Object::LargeObject
        | Object::Parameter
        | Object::Role
        | Object::System
        | Object::Tablespace => Err(NOT_WRITTEN),
    }
}

/// The name of what is made, in a schema of the dump's own.
pub(super) fn name(tokens: &mut Tokens<'_>) -> Result<Name, &'static str> {
    if tokens.words("IF NOT") {
        return Err(OTHER_FORM);
    }
    let name = tokens.name().ok_or(OTHER_FORM)?;
    if name.schema.as_deref().is_some_and(is_system_schema) { Err(SYSTEM_SCHEMA) } else { Ok(name) }
}

/// A schema, with its owner where one is written.
fn schema(mut tokens: Tokens<'_>) -> Verdict {
    let schema = name(&mut tokens)?;
    let is_owned = tokens.words("AUTHORIZATION");
    let role = is_owned.then(|| Role::read(&mut tokens).ok_or(OTHER_FORM)).transpose()?;
    if schema.schema.is_some() || is_system_schema(&schema.name) || !tokens.end() {
        return Err(OTHER_FORM);
    }
    send(match role {
        Some(role) => Step::OwnedSchema { name: schema.name, role },
        None => Step::Create { object: Object::Schema, name: Some(schema) },
    })
}

/// A language, with its functions or as the server knows it.
fn language(mut tokens: Tokens<'_>) -> Verdict {
    let name = name(&mut tokens)?;
    if !tokens.end() && !tokens.words("HANDLER") {
        return Err(OTHER_FORM);
    }
    send(Step::Create { object: Object::Language, name: Some(name) })
}

/// `CREATE OR REPLACE`: a view in place of its stand-in, or a language of the server's.
fn replace(mut tokens: Tokens<'_>) -> Verdict {
    match Object::read(&mut tokens) {
        Some(Object::View) => {
            let mut rest = tokens;
            // `--clean` replaces a view by constants, or by nothing, before it drops it.
            let query = rest.find("AS SELECT");
            let constant = rest.words("NULL") && rest.punct(b':') && !rest.has("FROM");
            let stands_in = query && (constant || rest.end());
            if stands_in {
                return skip("CREATE OR REPLACE VIEW", "it belongs to a DROP, which is never sent");
            }
            view(Object::View, tokens)
        }
        Some(Object::Language) => language(tokens),
        _ => Err(NOT_WRITTEN),
    }
}

fn view(object: Object, mut tokens: Tokens<'_>) -> Verdict {
    let name = name(&mut tokens)?;
    if tokens.words("USING") {
        tokens.ident();
    }
    if tokens.words("WITH") {
        tokens.group();
    }
    if !tokens.words("AS") || (object == Object::MaterializedView && !without_data(tokens)) {
        return Err(OTHER_FORM);
    }
    send(Step::Create { object, name: Some(name) })
}

/// Whether the statement ends in `WITH NO DATA`, so that its query does not run yet.
fn without_data(mut tokens: Tokens<'_>) -> bool {
    while tokens.find("WITH NO DATA") {
        if tokens.end() {
            return true;
        }
    }
    false
}

fn operator(mut tokens: Tokens<'_>) -> Verdict {
    if let Some(schema) = tokens.ident()
        && (is_system_schema(&schema) || !tokens.punct(b'.'))
    {
        return Err(SYSTEM_SCHEMA);
    }
    send(Step::Create { object: Object::Operator, name: None })
}

fn extension(mut tokens: Tokens<'_>) -> Verdict {
    tokens.words("IF NOT EXISTS");
    let name = tokens.ident().ok_or(OTHER_FORM)?;
    tokens.words("WITH");
    let schema = if tokens.words("SCHEMA") { tokens.ident() } else { None };
    let version = if tokens.words("VERSION") { tokens.text().or_else(|| tokens.ident()) } else { None };
    if tokens.end() { send(Step::Extension { name, schema, version }) } else { Err(OTHER_FORM) }
}

fn user_mapping(mut tokens: Tokens<'_>) -> Verdict {
    let mapping = (|| {
        let role = tokens.words("FOR").then(|| Role::read(&mut tokens))??;
        let server = tokens.words("SERVER").then(|| tokens.ident())??;
        Some(Step::UserMapping { role, server })
    })();
    mapping.map_or(Err(OTHER_FORM), send)
}

fn routine(mut tokens: Tokens<'_>, options: &Options) -> Verdict {
    let name = name(&mut tokens)?;
    if !tokens.group() {
        return Err(OTHER_FORM);
    }
    let languages = languages(tokens)?;
    let untrusted = languages.iter().any(|language| !TRUSTED_LANGUAGES.contains(&language.as_str()));
    if untrusted && !options.all {
        return Err(UNTRUSTED);
    }
    send(Step::Routine { name, languages, untrusted })
}

/// All words that follow the keyword `LANGUAGE` at the top. There may be one too many, where the
/// word is a name; none of those that the server may mean is missing.
fn languages(mut tokens: Tokens<'_>) -> Result<Vec<String>, &'static str> {
    let mut all = Vec::new();
    let mut after_dot = false;
    loop {
        let top = tokens.top();
        match top {
            Top::One(Token::End) => return Ok(all),
            Top::One(Token::Broken) => return Err(BROKEN),
            // A body of statements follows, and nothing after it.
            Top::One(token) if is_word(token, "BEGIN") && tokens.words("ATOMIC") => return Ok(all),
            Top::One(token) if is_word(token, "LANGUAGE") && !after_dot => {
                // Of two in a row the first is a type of that name.
                if !is_word(tokens.peek(), "LANGUAGE") {
                    let mut rest = tokens;
                    let language = rest.ident().or_else(|| rest.text()).unwrap_or_default();
                    all.push(String::from_utf8_lossy(&language).into_owned());
                }
            }
            Top::One(_) | Top::Group => {}
        }
        after_dot = top == Top::One(Token::Punct(b'.'));
    }
}
