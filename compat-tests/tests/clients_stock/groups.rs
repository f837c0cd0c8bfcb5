//! Stock clients in groups of the classic protocol: rebalances, crashes, static members, patterns, and what their listeners are told.
//!
//! It must never take a library's word for what it lacks: the lists are those of `clients/README.md`, and a check that is
//! not in them does not pass unseen.

use milena_compat_tests::Program;
use milena_compat_tests::server::{Setup, Target};

use super::{PHASE_PATIENCE, programs, table};

const ALL: [&str; 6] = ["eager", "cooperative", "crash", "static restart", "pattern", "pause and seek"];

fn are_served(program: Program, name: &str, lacks: &[&str]) {
    let server = Setup::of(Target::chosen()).set("group.initial.rebalance.delay.ms", "0").start();
    let told = program.args(["groups", &server.bootstrap(), name]).patience(PHASE_PATIENCE).ok();
    for check in ALL {
        assert_eq!(table::passed(&told, check), !lacks.contains(&check), "{name}: {check:?}\n{told}");
    }
}

#[test]
fn groups_of_aiokafka_are_served() {
    are_served(programs::python("aio_groups.py"), "aiokafka", &["cooperative", "static restart"]);
}

#[test]
fn groups_of_kafka_python_are_served() {
    are_served(programs::python("kafka_python_groups.py"), "kafka-python", &[]);
}

#[test]
fn groups_of_kafkajs_are_served() {
    are_served(programs::node("groups.js"), "kafkajs", &["cooperative", "static restart"]);
}

#[test]
fn groups_of_franz_go_are_served() {
    are_served(programs::go("franzgroups"), "franz-go", &[]);
}

#[test]
fn groups_of_sarama_are_served() {
    are_served(programs::go("saramagroups"), "sarama", &["cooperative", "pattern"]);
}
