//! Statements of real dumps and hostile ones.

use super::case_tests::{OTHER, real};
use super::lexer::{Lexer, Token};
use super::*;
use crate::runner::engine::postgres::names::shown;

/// Cuts a script into statements as psql does; rows of COPY and meta-commands are left out.
fn statements(script: &[u8]) -> Vec<&[u8]> {
    let mut all = Vec::new();
    let mut rest = script;
    while let Some(length) = statement(rest) {
        let (text, behind) = rest.split_at(length);
        rest = behind;
        if is_meta_command(text) {
            continue;
        }
        all.push(text);
        let mut words = Tokens::new(text, true);
        if words.words("COPY") {
            let end = rest.windows(4).position(|four| four == b"\n\\.\n").expect("rows have an end");
            rest = &rest[end + 4..];
        }
    }
    all
}

fn is_meta_command(text: &[u8]) -> bool {
    Lexer::new(text, true).next() == Token::Punct(b'\\')
}

/// Length of the first statement with its semicolon, or of the first line if it is a meta-command.
fn statement(script: &[u8]) -> Option<usize> {
    let mut lexer = Lexer::new(script, true);
    let (mut depth, mut blocks, mut first) = (0_usize, 0_usize, true);
    let mut before = Token::End;
    loop {
        let token = lexer.next();
        match token {
            Token::End | Token::Broken => return None,
            Token::Punct(b'\\') if first => {
                let at = script.len() - lexer.rest().len();
                return Some(at + script[at..].iter().position(|byte| *byte == b'\n')? + 1);
            }
            Token::Punct(b'(') => depth += 1,
            Token::Punct(b')') => depth -= 1,
            Token::Word(word) if word == b"ATOMIC" && before == Token::Word(b"BEGIN") => blocks += 1,
            Token::Word(word) if word == b"CASE" && blocks > 0 => blocks += 1,
            Token::Word(word) if word == b"END" && blocks > 0 => blocks -= 1,
            Token::Punct(b';') if depth == 0 && blocks == 0 => {
                return Some(script.len() - lexer.rest().len());
            }
            _ => {}
        }
        (before, first) = (token, false);
    }
}

/// A decision in one line.
pub(super) fn brief(judged: &Judged) -> String {
    match judged {
        Judged::Send(step) => brief_step(step),
        Judged::Skip { what, .. } => format!("skip {what}"),
        Judged::Database(fact) => match fact {
            DatabaseFact::Create(facts) => format!("create database {}", brief_facts(facts)),
            DatabaseFact::Owner { database, role } => format!("{} is {}'s", shown(database), shown(role)),
            DatabaseFact::ConnectionLimit { database, limit } => format!("{} takes {limit}", shown(database)),
        },
        Judged::Empty => "empty".to_owned(),
        Judged::Unsafe(why) => format!("unsafe {why}"),
    }
}

fn brief_facts(facts: &CreateDatabase) -> String {
    let mut all = vec![shown(&facts.name)];
    for (name, value) in [
        ("template", &facts.template),
        ("owner", &facts.owner),
        ("encoding", &facts.encoding),
        ("provider", &facts.locale_provider),
        ("locale", &facts.locale),
        ("collate", &facts.lc_collate),
        ("ctype", &facts.lc_ctype),
        ("icu", &facts.icu_locale),
        ("rules", &facts.icu_rules),
        ("builtin", &facts.builtin_locale),
        ("version", &facts.collation_version),
        ("tablespace", &facts.tablespace),
    ] {
        all.extend(value.as_ref().map(|value| format!("{name}={}", String::from_utf8_lossy(value))));
    }
    all.extend(facts.connection_limit.map(|limit| format!("limit={limit}")));
    all.join(" ")
}

pub(super) fn names(all: &[Vec<u8>]) -> String {
    all.iter().map(|name| shown(name)).collect::<Vec<_>>().join(",")
}

fn named(object: Object, name: Option<&Name>) -> String {
    let object = format!("{object:?}");
    match name {
        Some(name) => format!("{object} {name}"),
        None => object,
    }
}

fn roles_of(roles: &[Role]) -> String {
    let named = roles.iter().filter(|role| role.is_name());
    names(&named.map(|role| role.name.clone()).collect::<Vec<_>>())
}

fn brief_step(step: &Step) -> String {
    match step {
        Step::Setting { name, values } => format!("set {name} [{}]", names(values)),
        Step::Begin => "begin".to_owned(),
        Step::Other => "other".to_owned(),
        Step::Commit => "commit".to_owned(),
        Step::Create { object, name } => format!("create {}", named(*object, name.as_ref())),
        Step::Alter { object, name } => format!("alter {}", named(*object, name.as_ref())),
        Step::Routine { name, languages, untrusted } => {
            format!("routine {name} {}{}", languages.join("/"), if *untrusted { " untrusted" } else { "" })
        }
        Step::Extension { name, schema, version } => {
            let part = |part: &Option<Vec<u8>>| part.as_deref().map_or_else(String::new, shown);
            format!("extension {} {} {}", shown(name), part(schema), part(version)).trim_end().to_owned()
        }
        Step::Table(table) => {
            let mut all = vec![format!("table {}", table.name)];
            all.extend(table.unlogged.then(|| "unlogged".to_owned()));
            all.extend(table.partitioned.then(|| "partitioned".to_owned()));
            all.extend(table.partition_of.as_ref().map(|parent| format!("of={parent}")));
            all.extend(table.inherits.iter().map(|parent| format!("from={parent}")));
            all.join(" ")
        }
        Step::ForeignTable { table, server } => format!("foreign table {table} at {}", shown(server)),
        Step::AttachPartition { table, partition } => format!("attach {partition} to {table}"),
        Step::AttachIndex { index, part } => format!("attach index {part} to {index}"),
        Step::AlterTable { table, change } => format!("{change:?} of {table}"),
        Step::CopyFrom { table, columns, freeze, oids } => {
            let more = [(*freeze, " freeze"), (*oids, " oids")];
            let more: String = more.iter().filter(|(is, _)| *is).map(|(_, word)| *word).collect();
            format!("copy {table} [{}]{more}", names(columns))
        }
        Step::Insert { table } => format!("insert {table}"),
        Step::SequenceValue { sequence } => format!("setval {sequence}"),
        Step::LargeObject(step) => format!("large object {step:?}"),
        Step::RelationStatistics { relation } => format!("statistics of {relation}"),
        Step::Index { name, table, plain, .. } => {
            format!("index {} of {table}{}", shown(name), if *plain { " plain" } else { "" })
        }
        Step::Key { name, table, kind } => format!("{kind:?} {} of {table}", shown(name)),
        Step::ForeignKey { name, table, references } => {
            format!("foreign key {} of {table} to {references}", shown(name))
        }
        Step::Trigger { table } => format!("trigger of {table}"),
        Step::Rule { table } => format!("rule of {table}"),
        Step::Refresh { view } => format!("refresh {view}"),
        Step::Subscription { name } => format!("subscription {}", shown(name)),
        Step::Comment { object } => format!("comment on {object:?}"),
        Step::SecurityLabel { object } => format!("label on {object:?}"),
        Step::Policy { .. }
        | Step::UserMapping { .. }
        | Step::OwnedSchema { .. }
        | Step::Owner { .. }
        | Step::Grant { .. }
        | Step::DefaultPrivileges { .. }
        | Step::Grantor { .. } => brief_roles(step),
    }
}

fn brief_roles(step: &Step) -> String {
    match step {
        Step::Policy { table, roles } => format!("policy of {table} for [{}]", roles_of(roles)),
        Step::UserMapping { role, server } => {
            format!("mapping of {} at {}", shown(&role.name), shown(server))
        }
        Step::Owner { object, name, role } => {
            format!("owner of {} is {}", named(*object, name.as_ref()), shown(&role.name))
        }
        Step::OwnedSchema { name, role } => format!("schema {} of {}", shown(name), shown(&role.name)),
        Step::Grant { object, roles } => format!("rights on {object:?} for [{}]", roles_of(roles)),
        Step::DefaultPrivileges { makers, roles } => {
            let all: Vec<Role> = makers.iter().chain(roles).cloned().collect();
            format!("default rights for [{}]", roles_of(&all))
        }
        Step::Grantor { role: Some(role) } => format!("grantor {}", shown(&role.name)),
        Step::Grantor { role: None } => "grantor is the owner".to_owned(),
        other => panic!("{other:?} names no roles"),
    }
}

pub(super) fn judged(text: &str) -> String {
    brief(&judge(text.as_bytes(), &Options::new(18)))
}

#[test]
fn statements_of_dumps_are_known() {
    for (text, expected) in real().into_iter().chain(OTHER) {
        assert_eq!(judged(text), *expected, "{text}");
        assert_eq!(judged(&format!("{};", text.trim_end_matches(';'))), *expected, "{text};");
    }
}

#[test]
fn no_statement_of_a_dump_is_refused() {
    for (dump, count) in [("pg_dump-15", 397), ("pg_dump-18", 448), ("pg_dumpall-18", 446)] {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/postgres/statements");
        let script = std::fs::read(format!("{folder}/{dump}.sql")).unwrap();
        let all = statements(&script);
        assert_eq!(all.len(), count, "{dump}");
        for text in all {
            let judged = judge(text, &Options::new(18));
            assert!(!matches!(judged, Judged::Unsafe(_)), "{}: {judged:?}", String::from_utf8_lossy(text));
        }
    }
}
