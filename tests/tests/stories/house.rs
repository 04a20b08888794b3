//! The walls stand, and the documents say what is there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use stories::root;

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Crate → crates that it may import, from the table of ARCHITECTURE.md.
fn table() -> BTreeMap<String, BTreeSet<String>> {
    let text = read("ARCHITECTURE.md");
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    rows.filter_map(|line| {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let name = cells.get(1)?.trim_matches('`').to_owned();
        let imports = cells.get(3)?.split(',').map(|import| import.trim().to_owned()).collect();
        Some((name, imports))
    })
    .collect()
}

#[test]
fn crates_import_only_what_the_table_allows() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let table = table();
    let packages = metadata["packages"].as_array().unwrap();
    let names: BTreeSet<_> = packages.iter().filter_map(|package| package["name"].as_str()).collect();
    for package in packages {
        let name = package["name"].as_str().unwrap();
        if name == "stories" || name == "fuzz" {
            continue;
        }
        let allowed =
            table.get(name).unwrap_or_else(|| panic!("{name} is not in the table of ARCHITECTURE.md"));
        for dependency in package["dependencies"].as_array().unwrap() {
            let import = dependency["name"].as_str().unwrap();
            let of_ours = names.contains(import) && dependency["path"].is_string();
            if of_ours && dependency["kind"].is_null() {
                let ok = allowed.contains(import) || allowed.contains("everything");
                assert!(ok, "{name} imports {import}, which the table of ARCHITECTURE.md does not allow");
            }
        }
    }
    for name in table.keys() {
        assert!(names.contains(name.as_str()), "the table names {name}, which is no crate");
    }
}

#[test]
fn every_crate_has_a_head_comment_of_some_length() {
    for name in table().keys().filter(|name| *name != "mailwright") {
        let source = read(&format!("crates/{name}/src/lib.rs"));
        let head = source.lines().take_while(|line| line.starts_with("//!")).count();
        assert!(head >= 8, "crates/{name}/src/lib.rs says too little: what it owns, invariants, neighbours");
    }
}

#[test]
fn paths_and_links_in_documents_exist() {
    for document in documents() {
        let text = read(&document);
        let folder = Path::new(&document).parent().unwrap_or(Path::new(""));
        for target in links(&text) {
            let path = target.split('#').next().unwrap_or_default();
            if path.is_empty() || path.contains("://") || path.starts_with("mailto:") {
                continue;
            }
            assert!(root().join(folder).join(path).exists(), "{document} links {target}, which is not there");
        }
        for path in quoted_paths(&text) {
            assert!(root().join(&path).exists(), "{document} names {path}, which is not there");
        }
    }
}

fn documents() -> Vec<String> {
    let mut found = vec!["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"]
        .into_iter()
        .map(str::to_owned)
        .collect::<Vec<_>>();
    for entry in std::fs::read_dir(root().join("docs")).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(".md") {
            found.push(format!("docs/{name}"));
        }
    }
    found
}

fn links(text: &str) -> Vec<String> {
    text.split("](").skip(1).filter_map(|rest| rest.split(')').next()).map(str::to_owned).collect()
}

/// Paths in backquotes that begin with a folder of ours.
fn quoted_paths(text: &str) -> Vec<String> {
    let ours = ["crates/", "tests/", "docs/", "scripts/", "frontend/src"];
    text.split('`')
        .skip(1)
        .step_by(2)
        .filter(|quoted| ours.iter().any(|folder| quoted.starts_with(folder)))
        .filter(|quoted| !quoted.contains(|c: char| c.is_whitespace() || "*<{".contains(c)))
        .map(str::to_owned)
        .collect()
}

#[test]
fn nothing_here_names_another_place() {
    let output = Command::new("git").args(["ls-files"]).current_dir(root()).output().unwrap();
    for path in String::from_utf8_lossy(&output.stdout).lines().filter(|path| !path.ends_with(".lock")) {
        let Ok(text) = std::fs::read_to_string(root().join(path)) else { continue };
        for word in [concat!("/wo", "rk/"), concat!("/fa", "rm/")] {
            let at = text.find(word);
            let alone = at.is_some_and(|at| at == 0 || !text.as_bytes()[at - 1].is_ascii_alphanumeric());
            assert!(!alone, "{path} names a path of one machine");
        }
    }
}
