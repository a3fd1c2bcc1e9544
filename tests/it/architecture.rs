//! The architecture, as tables that the sources are held to. `ARCHITECTURE.md` quotes them.
//!
//! Sources are read as text: comments and test-only items are left out, `crate::…` and `super::…`
//! are resolved to the module that they name. Lengths of functions are clippy's business.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use regex::Regex;

/// A module and what it may name.
type Row = (&'static str, &'static [&'static str]);

/// Modules of the crate, each with all that it names. A row names only rows above it, so there are
/// no cycles.
const MODULES: &[Row] = &[
    ("reason", &[]),
    ("secret", &[]),
    ("api", &[]),
    ("plan", &["api", "reason", "secret"]),
    ("report", &["reason"]),
    ("journal", &["report"]),
    ("operator", &["api", "journal", "plan", "reason", "report"]),
    ("runner", &["journal", "plan", "reason", "report", "secret"]),
    ("cli", &["api", "journal", "operator", "plan", "reason", "report", "runner", "secret"]),
];

/// Parts of the runner, in the same way. `source`, `cipher` and `codec` know nothing of each other;
/// `format` knows the key of a sealed entry, the names of codecs and the scanner that an engine
/// gives; only `read` and `run` put the parts together.
const RUNNER: &[Row] = &[
    ("fault", &[]),
    ("cancel", &["fault"]),
    ("inventory", &[]),
    ("journal", &["fault"]),
    ("pipe", &["fault"]),
    ("progress", &["fault"]),
    ("source", &["cancel", "fault"]),
    ("meter", &["cancel", "fault", "progress", "source"]),
    ("cipher", &["fault", "pipe"]),
    ("codec", &["fault"]),
    ("tar", &["fault"]),
    ("engine", &["cancel", "codec", "fault", "inventory", "journal", "pipe", "progress", "tar"]),
    ("format", &["cipher", "codec", "engine", "fault", "inventory", "tar"]),
    ("keys", &["cipher"]),
    ("keyring", &["cipher", "fault", "keys"]),
    ("catalog", &["fault", "format", "source"]),
    ("select", &["catalog", "fault", "source"]),
    (
        "read",
        &[
            "cipher",
            "codec",
            "engine",
            "fault",
            "format",
            "inventory",
            "keys",
            "meter",
            "pipe",
            "source",
            "tar",
        ],
    ),
    (
        "run",
        &["codec", "engine", "fault", "inventory", "keys", "meter", "progress", "read", "select", "source"],
    ),
    ("pod", &["cancel", "engine", "fault", "journal", "keyring", "progress", "run"]),
];

/// What may be named in some places only: pattern, the folder that is searched, the only place
/// where it may stand, and why.
const WORDS: &[(&str, &str, &str, &str)] = &[
    (
        r"\bkube::|\bk8s_openapi::|\bapi::",
        "src/runner",
        "nowhere",
        "the runner needs no cluster and no manifest",
    ),
    (r"\bkube::(Client|Api)\b|\bApi\b|\basync\b", "src/operator/decide", "nowhere", "decisions are pure"),
    (r"\bkube::(Client|Api)\b|\bApi\b|\basync\b", "src/operator/build", "nowhere", "builders are pure"),
    (r"\bstd::env\b|\benv::var", "src", "src/cli", "the environment is read in one place"),
    (r"\bSystemTime\b|\bTimestamp::now\b|\bZoned::now\b", "src", "src/cli", "the time is an argument"),
    (r"\be?print(ln)?!|\bstdout\(\)|\bstderr\(\)|\bio::stderr\b", "src", "src/cli", "one place prints"),
    (
        r"\bflate2::|\bzstd::|\bbrotli::|\blz4_flex::",
        "src",
        "src/runner/codec",
        "limits and trailing bytes are handled there",
    ),
    (r"\bprocess::Command\b", "src", "nowhere", "no client programs: backups are read and loaded natively"),
    (r"\brusqlite::", "src", "src/runner/engine/sqlite", "an engine's driver stays in the engine"),
    (
        r"\bpostgres_protocol::",
        "src",
        "src/runner/engine/postgres/wire",
        "the engine knows a client, and not the messages",
    ),
    (
        r"\baws_(config|credential|sdk|smithy)",
        "src",
        "src/runner/source/s3",
        "a storage's client stays in the source",
    ),
];

/// Most lines of a file without its tests.
const FILE_LIMIT_LINES: usize = 400;
/// Files over the limit, which may shrink and not grow.
const LONG_FILES: &[(&str, usize)] = &[];

/// A source file without comments and tests.
struct Source {
    /// Path from the root of the project.
    path: String,
    /// Modules from the crate's root to this file.
    module: Vec<String>,
    /// Lines, comments and tests left out of the text but comments counted.
    lines: usize,
    text: String,
}

#[test]
fn modules_name_only_what_the_table_allows() {
    let mut found = BTreeSet::new();
    for source in sources() {
        let Some(from) = source.module.first() else { continue };
        found.extend(named(&source).into_iter().filter_map(|path| {
            let to = path.first()?.clone();
            (to != *from).then(|| (from.clone(), to, source.path.clone()))
        }));
    }
    hold("MODULES", MODULES, &found);
}

#[test]
fn parts_of_the_runner_name_only_what_the_table_allows() {
    let mut found = BTreeSet::new();
    for source in sources() {
        let [root, from, ..] = source.module.as_slice() else { continue };
        if root != "runner" {
            continue;
        }
        found.extend(named(&source).into_iter().filter_map(|path| {
            let [root, to, ..] = path.as_slice() else { return None };
            (root == "runner" && to != from).then(|| (from.clone(), to.clone(), source.path.clone()))
        }));
    }
    hold("RUNNER", RUNNER, &found);
}

#[test]
fn every_module_has_its_row() {
    let own = |folder: &str| -> BTreeSet<String> {
        let at = root().join(folder);
        at.read_dir()
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap().trim_end_matches(".rs").to_owned())
            .filter(|name| !["lib", "main", "mod"].contains(&name.as_str()))
            .collect()
    };
    for (folder, table) in [("src", MODULES), ("src/runner", RUNNER)] {
        let rows: BTreeSet<String> = table.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(own(folder), rows, "modules of {folder}");
    }
}

#[test]
fn words_stand_only_where_they_belong() {
    let mut wrong = Vec::new();
    for (pattern, folder, home, why) in WORDS {
        let pattern = Regex::new(pattern).unwrap();
        for source in sources().iter().filter(|source| source.path.starts_with(folder)) {
            if source.path.starts_with(home) {
                continue;
            }
            for found in pattern.find_iter(&source.text) {
                wrong.push(format!("{}: `{}`: {why}", source.path, found.as_str()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn files_stay_short() {
    for source in sources() {
        let limit = LONG_FILES
            .iter()
            .find(|(path, _)| *path == source.path)
            .map_or(FILE_LIMIT_LINES, |(_, lines)| *lines);
        assert!(source.lines <= limit, "{} has {} lines without its tests", source.path, source.lines);
    }
}

#[test]
fn every_file_says_what_it_is() {
    for source in sources() {
        let text = std::fs::read_to_string(root().join(&source.path)).unwrap();
        assert!(text.starts_with("//! "), "{} begins without module docs", source.path);
    }
}

#[test]
fn the_page_quotes_the_tables() {
    let page = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    for (name, allowed) in MODULES.iter().chain(RUNNER) {
        let names: Vec<String> = allowed.iter().map(|name| format!("`{name}`")).collect();
        let cell = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
        let row = format!("| `{name}` | {cell} |");
        assert!(page.contains(&row), "ARCHITECTURE.md lacks the row\n{row}");
    }
}

#[test]
fn names_are_resolved_from_where_they_stand() {
    let source = |module: &[&str], text: &str| Source {
        path: String::new(),
        module: module.iter().map(|name| (*name).to_owned()).collect(),
        lines: 0,
        text: text.to_owned(),
    };
    for (module, text, expected) in [
        (vec!["runner", "source"], "use crate::reason::Reason;", vec!["reason::Reason"]),
        (vec!["runner", "source", "s3"], "use super::super::codec;", vec!["runner::codec"]),
        (vec!["report"], "super::runner::run()", vec!["runner::run"]),
        (
            vec!["runner", "read"],
            "use crate::runner::{\n    cipher::{Key, age},\n    codec,\n};",
            vec!["runner::cipher", "runner::codec"],
        ),
        (vec!["plan"], "use crate::{api, reason::Reason};", vec!["api", "reason"]),
        (vec!["plan"], "pub(in crate::plan) fn f()", vec!["plan"]),
    ] {
        let found: Vec<String> =
            named(&source(&module, text)).into_iter().map(|path| path.join("::")).collect();
        assert_eq!(found, expected, "{text}");
    }
}

#[test]
fn tests_and_comments_are_left_out() {
    let text = "use a;\n#[cfg(test)]\n#[path = \"x.rs\"]\nmod more_tests;\n// crate::cli\nfn f() {\n}\n\
                #[cfg(test)]\nmod tests {\n    use crate::cli;\n}\nfn g() {}\n";
    let (kept, lines) = without_tests(text);
    assert_eq!((kept.as_str(), lines), ("use a;\nfn f() {\n}\nfn g() {}\n", 5));
}

/// Fails on an edge that is not in the table, on an entry that nothing needs, and on a row that
/// names one below it.
fn hold(name: &str, table: &[Row], found: &BTreeSet<(String, String, String)>) {
    let mut wrong = Vec::new();
    for (from, to, path) in found {
        let allowed = table.iter().find(|(module, _)| module == from).map_or(&[][..], |(_, allowed)| allowed);
        if !allowed.contains(&to.as_str()) {
            wrong.push(format!("{path}: `{from}` names `{to}`"));
        }
    }
    for (index, (from, allowed)) in table.iter().enumerate() {
        for to in *allowed {
            if !found.iter().any(|(a, b, _)| a == from && b == to) {
                wrong.push(format!("{name} allows `{from}` to name `{to}`, which it does not need"));
            }
            if !table[..index].iter().any(|(above, _)| above == to) {
                wrong.push(format!("{name} lets `{from}` name `{to}`, which does not stand above it"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn sources() -> Vec<Source> {
    let root = root();
    let mut folders = vec![root.join("src")];
    let mut all = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in folder.read_dir().unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") && !is_test_file(&path) {
                all.push(read(&root, &path));
            }
        }
    }
    all.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(all.len() > 50, "the sources were not found");
    all
}

fn is_test_file(path: &Path) -> bool {
    path.file_stem().unwrap().to_str().unwrap().ends_with("tests")
}

fn read(root: &Path, path: &Path) -> Source {
    let (text, lines) = without_tests(&std::fs::read_to_string(path).unwrap());
    let path = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
    let inner = path.trim_start_matches("src/").trim_end_matches(".rs");
    let mut module: Vec<String> = inner.split('/').map(str::to_owned).collect();
    if module.last().is_some_and(|name| ["mod", "lib", "main"].contains(&name.as_str())) {
        module.pop();
    }
    Source { path, module, lines, text }
}

/// The text without comment lines and without items under `#[cfg(test)]`; and the number of lines
/// without those items.
fn without_tests(text: &str) -> (String, usize) {
    let mut kept = String::new();
    let mut count = 0;
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.trim() == "#[cfg(test)]" {
            skip_item(&mut lines, line.len() - line.trim_start().len());
            continue;
        }
        count += 1;
        if !line.trim_start().starts_with("//") {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    (kept, count)
}

/// Passes the item that stands `indent` blanks in.
fn skip_item<'a>(lines: &mut impl Iterator<Item = &'a str>, indent: usize) {
    let end = format!("{}}}", " ".repeat(indent));
    let mut open = false;
    for line in lines.by_ref() {
        let text = line.trim();
        open |= text.ends_with('{');
        let attribute = text.starts_with("#[");
        if line.starts_with(&end) || (!open && !attribute && (text.ends_with(';') || text.ends_with('}'))) {
            return;
        }
    }
}

/// The modules that a file names, from the crate's root; of a group in braces the first names.
fn named(source: &Source) -> Vec<Vec<String>> {
    let path = Regex::new(r"\b(crate|super(?:::super)*)((?:::[A-Za-z_0-9]+)*)(::\{)?").unwrap();
    let mut all = Vec::new();
    for found in path.captures_iter(&source.text) {
        let mut base = Vec::new();
        if &found[1] != "crate" {
            let up = found[1].split("::").count();
            base.extend(source.module.iter().take(source.module.len().saturating_sub(up)).cloned());
        }
        base.extend(found[2].split("::").filter(|name| !name.is_empty()).map(str::to_owned));
        match found.get(3) {
            None => all.push(base),
            Some(brace) => {
                for name in group(&source.text[brace.end()..]) {
                    let mut path = base.clone();
                    path.push(name);
                    all.push(path);
                }
            }
        }
    }
    all.retain(|path| !path.is_empty());
    all
}

/// First names in a group of imports, from behind its opening brace.
fn group(text: &str) -> Vec<String> {
    let mut depth = 1;
    let mut inner = String::new();
    for letter in text.chars() {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ if depth == 1 => inner.push(letter),
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    inner
        .split(',')
        .filter_map(|part| part.trim().split("::").next().map(str::to_owned))
        .filter(|name| !name.is_empty() && name != "self")
        .collect()
}
