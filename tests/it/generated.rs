//! Generated files equal their generators. With `REINSTATE_GENERATE=1` they are written anew.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use reinstate::cli::{crds, explain};
use reinstate::operator::rbac;
use reinstate::reason::Reason;

/// Says to write the files instead of comparing them.
const GENERATE: &str = "REINSTATE_GENERATE";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All generated files by their path in the project.
fn generated() -> BTreeMap<PathBuf, String> {
    let definitions =
        crds::files().unwrap().into_iter().map(|(name, text)| (Path::new("crds").join(name), text));
    let pages = [
        (PathBuf::from("docs/reasons.md"), explain::page()),
        (PathBuf::from("docs/exit-codes.md"), explain::exit_codes_page()),
        (PathBuf::from("docs/rbac.md"), rbac::page()),
        (PathBuf::from("charts/reinstate/files/rules.yaml"), rbac::chart_file()),
    ];
    definitions.chain(pages).collect()
}

/// Compares a file of the project with what it should be, or writes it.
pub(crate) fn write_or_compare(path: &Path, text: &str) {
    let path = root().join(path);
    if std::env::var_os(GENERATE).is_some_and(|value| value == "1") {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == text, "{} is not what its generator gives: run `just generate`", path.display());
}

#[test]
fn generated_files_are_what_their_generators_give() {
    for (path, text) in generated() {
        write_or_compare(&path, &text);
    }
}

#[test]
fn generated_files_say_so_in_their_first_line() {
    for (path, text) in generated() {
        let first = text.lines().next().unwrap();
        assert!(
            first.contains("Generated ") && first.to_lowercase().contains("do not edit"),
            "{}",
            path.display()
        );
    }
}

#[test]
fn nothing_else_lies_in_crds() {
    let mut found: Vec<PathBuf> = root()
        .join("crds")
        .read_dir()
        .unwrap()
        .map(|entry| Path::new("crds").join(entry.unwrap().file_name()))
        .collect();
    found.sort();
    let expected: Vec<PathBuf> = generated().into_keys().filter(|path| path.starts_with("crds")).collect();
    assert_eq!(found, expected);
}

#[test]
fn the_page_of_reasons_has_each_of_them_once() {
    let page = explain::page();
    for reason in Reason::ALL {
        assert_eq!(page.matches(&format!("| `{}` |", reason.name())).count(), 1, "{reason}");
    }
}

/// Links between the documents, and from them to files, lead somewhere.
#[test]
fn links_in_the_documents_lead_to_files() {
    let link = regex::Regex::new(r"\]\(([^)#\s]+)(?:#[^)]*)?\)").unwrap();
    let mut pages: Vec<PathBuf> = Vec::new();
    for folder in ["", "charts/reinstate", "contrib/argocd", "contrib/policies", "docs", "docs/results"] {
        let Ok(entries) = root().join(folder).read_dir() else { continue };
        pages.extend(
            entries.map(|entry| entry.unwrap().path()).filter(|path| path.extension() == Some("md".as_ref())),
        );
    }
    let mut broken = Vec::new();
    for page in &pages {
        let text = std::fs::read_to_string(page).unwrap();
        for found in link.captures_iter(&text).filter(|found| !found[1].contains("://")) {
            if !page.parent().unwrap().join(&found[1]).exists() {
                broken.push(format!("{}: {}", page.display(), &found[1]));
            }
        }
    }
    assert!(pages.len() > 5, "the documents were not found");
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}
