//! What a client's program says about itself, and the README's table of clients, which must say the same.
//!
//! It must never take a version from anywhere but the program's own words.

use std::fs;

use milena_compat_tests::{Target, paths};
use serde_json::Value;

/// Whether the output holds the line of a check that passed.
pub(crate) fn passed(output: &str, check: &str) -> bool {
    lines(output).any(|line| line["check"] == check && line["ok"] == true)
}

/// The version in the last line.
pub(crate) fn version(output: &str) -> String {
    let said = lines(output).find_map(|line| line["version"].as_str().map(str::to_owned));
    said.unwrap_or_else(|| panic!("the program did not say its version:\n{output}"))
}

/// Asserts that the README tells this client, this version and what was run with it.
pub(crate) fn has_row(client: &str, version: &str, lacks: &[&str]) {
    if Target::chosen() == Target::Kafka {
        return;
    }
    let run = if lacks.is_empty() { "all".to_owned() } else { format!("all but {}", lacks.join(", ")) };
    let row = format!("| {client} | {version} | {run} |");
    let readme = paths::workspace().join("README.md");
    let text = fs::read_to_string(&readme).expect("the README is in the tree");
    assert!(text.lines().any(|line| line == row), "the README's table of clients lacks the row\n{row}");
}

fn lines(output: &str) -> impl Iterator<Item = Value> {
    output.lines().filter_map(|line| serde_json::from_str(line).ok())
}
