//! Stock clients work unchanged: each runs the scenario of `clients/README.md`, with a restart of the broker in its middle.
//! Four of them copy a topic exactly once while they and the broker are killed.
//!
//! A test must never use one of our own encoders: whatever reaches the broker comes from the client.

mod copying;
mod groups;
mod on_disk;
mod programs;
mod table;

use std::time::Duration;

use milena_compat_tests::server::{Setup, Target};
use milena_compat_tests::{Program, Server};

use on_disk::Codec;

/// One phase of one client; the slowest takes ten seconds on an idle machine.
const PHASE_PATIENCE: Duration = Duration::from_secs(240);

/// How often the broker looks for transactions that last too long; Kafka's own ten seconds would only be waited for.
const TIMEOUT_CHECK: (&str, &str) = ("transaction.abort.timed.out.transaction.cleanup.interval.ms", "1000");

/// What a client lacks that has no transactions.
const NO_TRANSACTIONS: &str = "transactions";

/// What a client's program must have checked before the restart, besides its codecs, and after it.
const BEFORE: &[&str] = &[
    "cluster",
    "create topic",
    "alter config",
    "two members",
    "list groups",
    "describe group",
    "one member left",
    "list offsets",
    "commit",
];
const TRANSACTIONS: &[&str] = &["commit and abort", "offsets in transactions", "zombie fenced", "time-out"];
const AFTER: &[&str] =
    &["resume", "committed", "kept config", "kept records", "delete group", "delete topics"];
const TRANSACTIONS_AFTER: &[&str] = &["survives a restart"];

/// A client, and what it has no call for.
struct Client {
    name: &'static str,
    program: fn() -> Program,
    codecs: &'static [Codec],
    lacks: &'static [&'static str],
}

impl Client {
    fn all(name: &'static str, program: fn() -> Program) -> Self {
        Self { name, program, codecs: &Codec::ALL, lacks: &[] }
    }

    fn lacks(mut self, checks: &'static [&'static str]) -> Self {
        self.lacks = checks;
        self
    }

    fn works_unchanged(&self) {
        let program = self.program;
        let prefix = self.name.to_lowercase().replace([' ', '.'], "-");
        let (setting, value) = TIMEOUT_CHECK;
        let mut server: Server = Setup::of(Target::chosen()).set(setting, value).start();
        let codecs: Vec<String> = self.codecs.iter().map(|codec| format!("codec {codec}")).collect();

        let first = self.phase(program(), "phase1", &server.bootstrap(), &prefix);
        self.has_checked(&first, BEFORE.iter().copied().chain(codecs.iter().map(String::as_str)));
        for codec in self.codecs {
            on_disk::is_written_with(&server, &format!("{prefix}-{codec}"), *codec);
        }
        let transacts = !self.lacks.contains(&NO_TRANSACTIONS);
        if transacts {
            let output = self.phase(program(), "transactions", &server.bootstrap(), &prefix);
            self.has_checked(&output, TRANSACTIONS.iter().copied());
        }
        server.stop();
        server.start();
        let second = self.phase(program(), "phase2", &server.bootstrap(), &prefix);
        self.has_checked(&second, AFTER.iter().copied());
        if transacts {
            self.has_checked(&second, TRANSACTIONS_AFTER.iter().copied());
        }
        table::has_row(self.name, &table::version(&second), self.lacks);
    }

    fn phase(&self, program: Program, phase: &str, bootstrap: &str, prefix: &str) -> String {
        program.args([phase, bootstrap, prefix]).patience(PHASE_PATIENCE).ok()
    }

    fn has_checked<'a>(&self, output: &str, wanted: impl Iterator<Item = &'a str>) {
        for check in wanted.filter(|check| !self.lacks.contains(check)) {
            assert!(
                table::passed(output, check),
                "{}: {check:?} is not among its checks:\n{output}",
                self.name
            );
        }
    }
}

#[test]
fn java_4_3_works_unchanged() {
    Client::all("Java 4.3", programs::java_4_3).works_unchanged();
}

#[test]
fn java_2_8_works_unchanged() {
    Client::all("Java 2.8", programs::java_2_8).works_unchanged();
}

#[test]
fn confluent_kafka_works_unchanged() {
    Client::all("confluent-kafka", || programs::python("confluent.py")).works_unchanged();
}

#[test]
fn kafka_python_works_unchanged() {
    Client::all("kafka-python", || programs::python("kafka_python.py")).works_unchanged();
}

#[test]
fn aiokafka_works_unchanged() {
    Client::all("aiokafka", || programs::python("aio.py")).lacks(&["delete group"]).works_unchanged();
}

#[test]
fn kafkajs_works_unchanged() {
    Client::all("kafkajs", || programs::node("scenario.js")).works_unchanged();
}

#[test]
fn franz_go_works_unchanged() {
    Client::all("franz-go", || programs::go("franz")).works_unchanged();
}

#[test]
fn sarama_works_unchanged() {
    Client::all("sarama", || programs::go("sarama")).works_unchanged();
}

#[test]
fn rdkafka_works_unchanged() {
    Client::all("rdkafka", programs::rdkafka).works_unchanged();
}

#[test]
fn kcat_works_unchanged() {
    let lacks = &[
        "create topic",
        "alter config",
        "list groups",
        "describe group",
        "committed",
        "kept config",
        "delete group",
        "delete topics",
        NO_TRANSACTIONS,
    ];
    Client::all("kcat", programs::kcat).lacks(lacks).works_unchanged();
}
