//! The calls of the web interfaces kafka-ui and AKHQ, by the clients that they have: told by `java/interfaces` line by line and
//! compared with what Apache Kafka told.
//!
//! The files below `suites/interfaces` are Kafka's answers, written by `MILENA_TARGET=kafka MILENA_REWRITE=1`. They must never be
//! written by Milena, nor hold what legitimately differs.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use milena_compat_tests::cluster::{Cluster, Shape};
use milena_compat_tests::java::{self, Jars};
use milena_compat_tests::server::Target;
use milena_compat_tests::{Program, Server, paths};

/// A program takes about twenty seconds on an idle machine.
const PATIENCE: Duration = Duration::from_secs(300);

fn told(interface: &str, jars: Jars, bootstrap: &str) -> String {
    let program = Program::of(java::java(&java::compiled("interfaces", jars), 128));
    program.arg(interface).arg(bootstrap).patience(PATIENCE).ok()
}

/// What is answered otherwise on purpose: a group waits for nobody by default, ZooKeeper's protocol has a listener, and the features of
/// share and streams groups and of a quorum that can be changed are not there.
const OTHERWISE: [&str; 4] = [
    "broker: group.initial.rebalance.delay.ms=",
    "broker: zookeeper.listener=",
    "finalized features: ",
    "supported features: ",
];

/// The lines of the answers, but for those and for these settings of the broker.
fn judged<'a>(told: &'a str, settings: &[String]) -> Vec<&'a str> {
    let is_left_out = |line: &str| {
        OTHERWISE.iter().any(|start| line.starts_with(start))
            || settings.iter().any(|start| line.starts_with(start))
    };
    told.lines().filter(|line| !is_left_out(line)).collect()
}

/// The beginnings of the lines of what Kafka's file says and Milena, which needs no file to be alone, is not told.
fn said_to_kafka(right: &str) -> Vec<String> {
    let of_file =
        right.lines().filter(|line| line.starts_with("broker: ") && line.contains(" STATIC_BROKER_CONFIG "));
    of_file.filter_map(|line| Some(format!("{}=", line.split_once('=')?.0))).collect()
}

/// Every line that differs, with the one that Kafka told.
fn compare(file: &str, told: &str, is_alone: bool) {
    let path: PathBuf = paths::workspace().join("compat-tests/suites/interfaces").join(file);
    if Target::chosen() == Target::Kafka && std::env::var_os("MILENA_REWRITE").is_some() {
        fs::write(&path, told).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
    let right = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let settings = if is_alone { said_to_kafka(&right) } else { Vec::new() };
    let (right, judged) = (judged(&right, &settings), judged(told, &settings));
    let missing = right.iter().filter(|line| !judged.contains(line)).map(|line| format!("\n- {line}"));
    let added = judged.iter().filter(|line| !right.contains(line)).map(|line| format!("\n+ {line}"));
    let differences: String = missing.chain(added).collect();
    assert!(differences.is_empty(), "{file} says - and this broker +:{differences}");
    assert!(judged == right, "{file} has the same lines in another order or number:\n{told}");
}

fn one(interface: &str, jars: Jars, file: &str) {
    let server = Server::start_default();
    compare(file, &told(interface, jars, &server.bootstrap()), true);
}

fn three(interface: &str, jars: Jars, file: &str) {
    let cluster = Cluster::shaped(Shape { target: Target::chosen(), ..Shape::default() });
    compare(file, &told(interface, jars, &cluster.bootstrap()), false);
}

#[test]
fn kafka_ui_of_one_broker() {
    one("KafkaUi", Jars::Client39, "kafka-ui-one.txt");
}

#[test]
fn kafka_ui_of_three_brokers() {
    three("KafkaUi", Jars::Client39, "kafka-ui-three.txt");
}

#[test]
fn akhq_of_one_broker() {
    one("Akhq", Jars::Client36, "akhq-one.txt");
}

#[test]
fn akhq_of_three_brokers() {
    three("Akhq", Jars::Client36, "akhq-three.txt");
}
