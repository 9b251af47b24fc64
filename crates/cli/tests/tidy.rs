//! The project's rules about itself, as tests: which crate may use which, why each dependency is
//! there, and what every file must have.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Words that say nothing about a domain.
const BANNED: [&str; 13] = [
    "util",
    "utils",
    "helper",
    "helpers",
    "common",
    "misc",
    "base",
    "manager",
    "handler",
    "processor",
    "data",
    "info",
    "impl",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn read(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Returns the crates of ours that each crate of ours uses, as Cargo sees it.
fn edges() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root())
        .output()
        .unwrap();
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let ours = |name: &Value| Some(name.as_str()?.strip_prefix("infermark-")?.to_owned());
    let packages = metadata["packages"].as_array().unwrap().iter();
    packages
        .map(|package| {
            let used = package["dependencies"].as_array().unwrap().iter();
            let used = used.filter(|dependency| dependency["kind"].is_null());
            let used = used.filter_map(|dependency| ours(&dependency["name"]));
            (ours(&package["name"]).unwrap(), used.collect())
        })
        .collect()
}

/// Returns what the table in ARCHITECTURE.md allows, with each crate's rank.
fn table() -> BTreeMap<String, (u32, BTreeSet<String>)> {
    let text = read(root().join("ARCHITECTURE.md"));
    let rows = text.lines().filter_map(|line| {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [rank, name, _, uses, _] = cells[..] else { return None };
        let uses = uses.split(',').map(|name| name.trim().trim_matches('`').to_owned());
        let uses = uses.filter(|name| !name.is_empty()).collect();
        Some((name.trim_matches('`').to_owned(), (rank.parse().ok()?, uses)))
    });
    rows.collect()
}

fn sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join("crates")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    assert!(found.len() > 50, "the walk found the sources");
    found
}

#[test]
fn crates_use_only_what_the_architecture_allows() {
    let table = table();
    for (name, used) in edges() {
        let (rank, allowed) = table.get(&name).unwrap_or_else(|| panic!("`{name}` has no row"));
        for other in &used {
            assert!(allowed.contains(other), "`{name}` uses `{other}`, which the table forbids");
            assert!(table[other].0 < *rank, "`{name}` uses `{other}`, which is not below it");
        }
        assert_eq!(&used, allowed, "the table allows `{name}` what it does not use");
    }
}

#[test]
fn every_dependency_has_its_reason() {
    let manifest = read(root().join("Cargo.toml"));
    let (_, section) = manifest.split_once("[workspace.dependencies]").unwrap();
    let (section, _) = section.split_once("\n[").unwrap();
    for line in section.lines().filter(|line| line.contains(" = ")) {
        let ours = line.starts_with("infermark-");
        assert!(ours || line.contains(" # "), "no reason: {line}");
    }
}

#[test]
fn every_file_says_what_it_is_and_keeps_within_100_columns() {
    for path in sources() {
        let text = read(&path);
        let shown = path.display();
        assert!(text.starts_with("//!"), "{shown} does not say what it is");
        let module = path.file_name().unwrap() == "mod.rs";
        assert!(!module, "{shown}: modules are foo.rs and foo/");
        for (number, line) in (1..).zip(text.lines()) {
            let long = line.chars().count() > 100;
            assert!(!long, "{shown}:{number} is longer than 100 columns");
        }
    }
}

#[test]
fn no_module_has_a_name_that_says_nothing() {
    for path in sources() {
        let stem = path.file_stem().unwrap().to_str().unwrap();
        let banned = BANNED.iter().any(|word| stem.split('_').any(|part| part == *word));
        assert!(!banned, "{}", path.display());
    }
}

#[test]
fn the_readmes_commands_are_the_ones_that_ci_runs() {
    let readme = read(root().join("README.md"));
    let first: Vec<_> = readme.lines().filter(|line| line.starts_with("cargo ")).collect();
    assert_eq!(first[..2], ["cargo run --release -- run", "cargo test --workspace"]);
    assert!(read(root().join(".ci/run")).contains("test_command=(cargo test --workspace)"));
    // With several binaries in the workspace, `cargo run` must still know which is meant.
    assert!(read(root().join("Cargo.toml")).contains("default-members = [\"crates/cli\"]"));
}

#[test]
fn links_between_documents_lead_somewhere() {
    let root = root();
    let docs = fs::read_dir(root.join("docs")).unwrap().flatten().map(|entry| entry.path());
    let top = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"];
    for path in docs.chain(top.map(|name| root.join(name))) {
        if path.extension().is_none_or(|extension| extension != "md") {
            continue;
        }
        let text = read(&path);
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = link.split('#').next().unwrap();
            let local = !file.is_empty() && !file.contains("://");
            let there = path.parent().unwrap().join(file).exists();
            assert!(!local || there, "{}: {link} leads nowhere", path.display());
        }
    }
}
