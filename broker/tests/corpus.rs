//! Replays the corpus of every fuzz target: what was found once stays found.
//!
//! Must never need more than the stable toolchain.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../fuzz/targets.rs"]
mod targets;

use std::fs;
use std::path::Path;

fn replay(target: &str, run: fn(&[u8])) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut inputs: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    inputs.sort();
    assert!(inputs.len() > 3, "the corpus of {target} is missing");
    for path in inputs {
        let input = fs::read(&path).unwrap();
        // A panic names the input.
        let outcome = std::panic::catch_unwind(|| run(&input));
        assert!(outcome.is_ok(), "{} panics", path.display());
    }
}

#[test]
fn frames() {
    replay("frame", targets::frame);
}

#[test]
fn batches() {
    replay("batch", targets::batch);
}

#[test]
fn settings() {
    replay("settings", targets::settings);
}
