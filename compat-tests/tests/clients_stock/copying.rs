//! Stock clients copy a topic within transactions while they and the broker are killed: the copy is the original.
//!
//! It must never let a kill come when nothing is being copied any more: then it would show nothing.

use milena_compat_tests::{Program, Server};
use serde_json::Value;

use super::{PHASE_PATIENCE, programs, table};

/// As many as the programs copy, ten in a transaction.
const RECORDS: u64 = 5_000;

/// How many more are copied before each kill.
const BETWEEN_KILLS: u64 = 200;

/// Who is killed, in this order.
const VICTIMS: [Victim; 3] = [Victim::Broker, Victim::Copier, Victim::Broker];

#[derive(Debug, Clone, Copy)]
enum Victim {
    Broker,
    /// Its heir has to fence it and to wait for its place in the group.
    Copier,
}

fn copies_exactly_once(program: impl Fn() -> Program, name: &str) {
    let mut server = Server::start_default();
    let bootstrap = server.bootstrap();
    let phase = |phase: &str| program().args([phase, &bootstrap, name]).patience(PHASE_PATIENCE);
    phase("original").ok();
    let mut copier = phase("copy").start();
    let mut next = BETWEEN_KILLS;
    for victim in VICTIMS {
        let _ = copier.wait_for("some copies", |output| copied(output) >= next);
        let so_far;
        match victim {
            Victim::Broker => {
                server.kill();
                so_far = copied(&copier.output());
                server.start();
            }
            Victim::Copier => {
                so_far = copied(&copier.kill());
                copier = phase("copy").start();
            }
        }
        assert!(so_far < RECORDS, "all was copied before the kill");
        next = so_far + BETWEEN_KILLS;
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
    copies_exactly_once(|| programs::python("confluent.py"), "confluent");
}

#[test]
fn kafkajs_copies_exactly_once() {
    copies_exactly_once(|| programs::node("copier.js"), "kafkajs");
}

#[test]
fn rdkafka_copies_exactly_once() {
    copies_exactly_once(programs::rdkafka, "rdkafka");
}

#[test]
fn franz_go_copies_exactly_once() {
    copies_exactly_once(|| programs::go("franz"), "franz");
}
