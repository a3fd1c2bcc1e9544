//! Generated files equal their generators.

use std::path::Path;

use reinstate::cli::crds;

#[test]
fn the_files_in_crds_are_what_the_types_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("crds");
    let files = crds::files().unwrap();
    for (name, content) in &files {
        let written = std::fs::read_to_string(folder.join(name)).unwrap_or_default();
        assert!(
            written == *content,
            "crds/{name} is not what `reinstate crds` prints: write it again with `reinstate crds -d crds`"
        );
    }
    let mut expected: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    expected.sort_unstable();
    let mut found: Vec<String> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    found.sort_unstable();
    assert_eq!(found, expected, "files in crds/");
}
