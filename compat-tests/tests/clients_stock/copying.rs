//! Stock clients copy a topic within transactions while the broker is killed: the copy is the original.
//!
//! It must never let a kill come when nothing is being copied any more: then it would show nothing.

use milena_compat_tests::{Program, Server};
use serde_json::Value;

use super::{PHASE_PATIENCE, programs, table};

/// As many as the programs copy, ten in a transaction.
const RECORDS: u64 = 5_000;

/// How many more are copied before each kill.
const BETWEEN_KILLS: u64 = 200;

const KILLS: usize = 2;

fn copies_exactly_once(program: Program, name: &str) {
    let mut server = Server::start_default();
    let mut copier = program.args(["copy", &server.bootstrap(), name]).patience(PHASE_PATIENCE).start();
    let mut next = BETWEEN_KILLS;
    for _ in 0..KILLS {
        let _ = copier.wait_for("some copies", |output| copied(output) >= next);
        server.kill();
        let so_far = copied(&copier.output());
        assert!(so_far < RECORDS, "all was copied before the kill");
        next = so_far + BETWEEN_KILLS;
        server.start();
    }
    let output = copier.finish().ok();
    assert!(table::passed(&output, "exactly once"), "{output}");
    assert_eq!(copied(&output), RECORDS, "{output}");
}

/// The number in the last line that tells one.
fn copied(output: &str) -> u64 {
    let lines = output.lines().rev().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter_map(|line| line["copied"].as_u64()).next().unwrap_or(0)
}

#[test]
fn confluent_kafka_copies_exactly_once() {
    copies_exactly_once(programs::python("confluent.py"), "confluent");
}

#[test]
fn franz_go_copies_exactly_once() {
    copies_exactly_once(programs::franz(), "franz");
}
