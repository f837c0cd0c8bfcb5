//! Groups of both protocols as applications see them: clients with `group.protocol=consumer` and `classic`.
//!
//! A check that is not in the lists is not run unseen: the program's lines are compared with them.

use std::time::Duration;

use milena_compat_tests::java::{self, Jars};
use milena_compat_tests::server::{Setup, Target};
use milena_compat_tests::{Program, Server, fetched};

const JAVA: &[&str] = &[
    "join and leave",
    "static restart",
    "crash",
    "static crash",
    "pattern",
    "pause and seek",
    "commit and resume",
    "new partitions",
    "lost partitions",
    "refused",
    "range assignor",
    "described",
    "migration",
];

const JAVA_CLASSIC: &[&str] = &[
    "join and leave",
    "static restart",
    "crash",
    "static crash",
    "pattern",
    "pause and seek",
    "commit and resume",
    "new partitions",
    "lost partitions",
    "eager",
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

const LIBRDKAFKA_CLASSIC: &[&str] = &[
    "join and leave",
    "eager",
    "static restart",
    "crash",
    "pattern",
    "pause and seek",
    "commit and resume",
    "new partitions",
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

fn java(protocol: &str, checks: &[&str]) {
    let server = hasty();
    let program = Program::of(java::java(&java::compiled("consumers", Jars::Kafka), 128));
    let program = program.arg("Consumers").arg(server.bootstrap()).arg(protocol);
    passes(&program.patience(PATIENCE).ok(), checks);
}

fn librdkafka(protocol: &str, checks: &[&str]) {
    let server = hasty();
    let program = Program::new(fetched::python()).env("PYTHONDONTWRITEBYTECODE", "1");
    let program = program.arg(fetched::clients().join("python/consumers.py")).arg(server.bootstrap());
    passes(&program.arg(protocol).patience(PATIENCE).ok(), checks);
}

#[test]
fn the_java_client_works_unchanged() {
    java("consumer", JAVA);
}

#[test]
fn the_java_client_works_unchanged_in_classic_groups() {
    java("classic", JAVA_CLASSIC);
}

#[test]
fn librdkafka_works_unchanged() {
    librdkafka("consumer", LIBRDKAFKA);
}

#[test]
fn librdkafka_works_unchanged_in_classic_groups() {
    librdkafka("classic", LIBRDKAFKA_CLASSIC);
}
