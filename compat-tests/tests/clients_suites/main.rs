//! Other people's suites: what passes against Apache Kafka 4.3.1 passes here (`suites/README.md`).
//!
//! It must never hold a line of theirs: they come from their registries when the tests run, and stay below `target/`.

mod crates;
mod kafka_python;
mod list;
mod node_rdkafka;

use std::env;
use std::time::Duration;

use kafka_protocol::messages::FindCoordinatorRequest;
use kafka_protocol::protocol::StrBytes;
use milena_compat_tests::{Server, Target, wait};

use list::List;

/// Kafka creates fifty partitions and loads each.
const COORDINATOR_PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn the_integration_tests_of_kafka_python_pass() {
    judge("kafka-python", kafka_python::run);
}

#[test]
fn the_tests_of_rust_rdkafka_pass() {
    judge("rust-rdkafka", crates::rdkafka);
}

#[test]
fn the_tests_of_rskafka_pass() {
    judge("rskafka", crates::rskafka);
}

#[test]
fn the_e2e_tests_of_node_rdkafka_pass() {
    judge("node-rdkafka", node_rdkafka::run);
}

/// What a suite said: the outcome of each test, and all its words.
struct Said {
    outcomes: Vec<(String, bool)>,
    output: String,
}

/// Runs a suite, in the short form only with the tests that shall pass, and holds the outcomes against its list.
fn judge(suite: &str, run: fn(&[&str]) -> Said) {
    let list = List::of(suite);
    let long = env::var("MILENA_LONG").is_ok_and(|value| value == "1");
    let chosen = if long { list.all() } else { list.passing(Target::chosen()) };
    let said = run(&chosen);
    let differences = list.differences(Target::chosen(), &chosen, &said.outcomes);
    assert!(differences.is_empty(), "{}\n\nthe suite's output:\n{}", differences.join("\n"), said.output);
}

/// The first question for a coordinator makes the topic of the groups; Kafka's answer until then fails a test.
fn has_a_coordinator(server: &Server) {
    let mut wire = server.wire();
    let asked = FindCoordinatorRequest::default().with_key(StrBytes::from_static_str("any"));
    wait::until(COORDINATOR_PATIENCE, "a group's coordinator", || {
        (wire.call(1, &asked).error_code == 0).then_some(())
    });
}
