//! Groups of the consumer protocol as applications see them: clients with `group.protocol=consumer`.
//!
//! A check that is not in the lists is not run unseen: the program's lines are compared with them.

use std::time::Duration;

use milena_compat_tests::java::{self, Jars};
use milena_compat_tests::server::{Setup, Target};
use milena_compat_tests::{Program, Server, fetched};

const JAVA: &[&str] = &[
    "join and leave",
    "static restart",
    "pattern",
    "refused",
    "pause and seek",
    "commit and resume",
    "new partitions",
    "range assignor",
    "lost partitions",
    "described",
    "migration",
];

const LIBRDKAFKA: &[&str] = &[
    "join and leave",
    "static restart",
    "crash",
    "pattern",
    "pause and seek",
    "commit and resume",
    "new partitions",
    "migration",
];

/// Members report five times a second, are assigned at once and out after three seconds of silence, so that nothing has
/// to be waited for.
const HASTE: &[(&str, &str)] = &[
    ("group.consumer.min.heartbeat.interval.ms", "200"),
    ("group.consumer.heartbeat.interval.ms", "200"),
    ("group.consumer.assignment.interval.ms", "0"),
    ("group.consumer.min.session.timeout.ms", "1000"),
    ("group.consumer.session.timeout.ms", "3000"),
    ("group.initial.rebalance.delay.ms", "0"),
];

/// All checks of a program take less than a minute on an idle machine.
const PATIENCE: Duration = Duration::from_secs(300);

fn hasty() -> Server {
    HASTE.iter().fold(Setup::of(Target::chosen()), |setup, (name, value)| setup.set(name, value)).start()
}

fn passes(told: &str, checks: &[&str]) {
    let passed: Vec<&str> = told.lines().filter(|line| line.starts_with("{\"check\"")).collect();
    let wanted: Vec<String> =
        checks.iter().map(|check| format!("{{\"check\": \"{check}\", \"ok\": true}}")).collect();
    assert_eq!(passed, wanted, "{told}");
}

#[test]
fn the_java_client_works_unchanged() {
    let server = hasty();
    let program = Program::of(java::java(&java::compiled("consumers", Jars::Kafka), 128));
    let program = program.arg("Consumers").arg(server.bootstrap());
    passes(&program.patience(PATIENCE).ok(), JAVA);
}

#[test]
fn librdkafka_works_unchanged() {
    let server = hasty();
    let program = Program::new(fetched::python()).env("PYTHONDONTWRITEBYTECODE", "1");
    let program = program.arg(fetched::clients().join("python/consumers.py")).arg(server.bootstrap());
    passes(&program.patience(PATIENCE).ok(), LIBRDKAFKA);
}
