//! Scripts for state machines: blocks of a command and the trace that it has to leave.
//!
//! Must never accept a trace that differs; `MILENA_REWRITE=1` writes the traces anew, for a human to read in the diff.
//!
//! A script is made of blocks with an empty line between them: comment lines (`#`), one command, `----`, the trace.

use std::fs;
use std::path::{Path, PathBuf};

/// Runs every script of `tests/scripts/<folder>`, each in a world of its own.
pub(crate) fn check<W>(folder: &str, world: impl Fn() -> W, execute: impl Fn(&mut W, &str) -> String) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts").join(folder);
    let mut scripts: Vec<PathBuf> = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    scripts.sort();
    assert!(!scripts.is_empty());
    let rewrite = std::env::var_os("MILENA_REWRITE").is_some();
    let mut failed = Vec::new();
    for path in scripts {
        let before = fs::read_to_string(&path).unwrap();
        let mut world = world();
        let after = run(&before, |line| execute(&mut world, line));
        if before != after && rewrite {
            fs::write(&path, after).unwrap();
        } else if before != after {
            failed.push(format!("{}:\n{}", path.display(), difference(&before, &after)));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

fn run(script: &str, mut execute: impl FnMut(&str) -> String) -> String {
    let blocks = script.split("\n\n").filter(|block| !block.trim().is_empty()).map(|block| {
        let (head, _) = block.split_once("\n----").unwrap_or((block, ""));
        let head = head.trim();
        match head.lines().find(|line| !line.starts_with('#')) {
            None => format!("{head}\n"),
            Some(line) => format!("{head}\n----\n{}", execute(line)),
        }
    });
    blocks.collect::<Vec<_>>().join("\n")
}

fn difference(before: &str, after: &str) -> String {
    let lines = before.lines().zip(after.lines()).enumerate();
    match lines.into_iter().find(|(_, (before, after))| before != after) {
        Some((index, (before, after))) => {
            format!("line {}\n  expected {before}\n  got      {after}", index + 1)
        }
        None => format!("expected {} lines, got {}", before.lines().count(), after.lines().count()),
    }
}
