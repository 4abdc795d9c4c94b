//! The direction of imports, as ARCHITECTURE.md draws it: a module uses itself and what stands before it, and
//! neighbours do not know each other.

use std::fs;
use std::path::{Path, PathBuf};

/// The layers, first to last.
const LAYERS: &[&[&str]] = &[
    &["clock", "json", "names", "secret", "tls"],
    &["policy"],
    &["oidc", "store", "token", "upload"],
    &["proxy", "observe"],
    &["gateway"],
    &["server"],
    &["config"],
    &["cli"],
];

#[test]
fn modules_use_only_what_stands_before_them() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    for file in rust_files(&source) {
        let Some(module) = top_module(&source, &file) else { continue };
        let here = layer_of(&module).unwrap_or_else(|| panic!("`{module}` stands in no layer"));
        let text = fs::read_to_string(&file).unwrap();
        for (n, line) in text.lines().enumerate() {
            for used in modules_used(line) {
                let there = layer_of(&used).unwrap_or_else(|| panic!("`{used}` stands in no layer"));
                // The first layer is vocabulary: its modules are too small to be kept apart.
                let neighbour = there == here && used != module && here > 0;
                if there > here || neighbour {
                    wrong.push(format!("{}:{}: `{module}` uses `{used}`", file.display(), n + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_decision_does_no_io_and_knows_no_time() {
    let policy = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/policy");
    for file in rust_files(&policy) {
        let text = fs::read_to_string(&file).unwrap();
        for forbidden in
            ["tokio", "hyper", "std::fs", "std::net", "std::io", "tracing", "Instant", "SystemTime", "Clock"]
        {
            assert!(!text.contains(forbidden), "{} uses {forbidden}", file.display());
        }
    }
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

fn top_module(source: &Path, file: &Path) -> Option<String> {
    let first = file.strip_prefix(source).unwrap().components().next()?;
    let name = Path::new(first.as_os_str()).file_stem()?.to_str()?.to_owned();
    (!matches!(name.as_str(), "lib" | "main")).then_some(name)
}

/// The modules that a line names after `crate::`.
fn modules_used(line: &str) -> impl Iterator<Item = String> {
    let code = line.split("//").next().unwrap_or_default();
    let uses = code.split("crate::").skip(1);
    uses.map(|rest| rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect())
        .filter(|name: &String| !name.is_empty())
}

fn layer_of(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}
