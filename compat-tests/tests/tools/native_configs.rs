//! `kafka-configs` of the binary itself next to the official one, both on the same broker, with what they say on stderr.
//!
//! A script must leave nothing behind: it runs twice, once with each tool.

use std::fmt::Write as _;

use milena_compat_tests::server::Setup;
use milena_compat_tests::wait::{self, PATIENCE};
use milena_compat_tests::{Server, Target};

use super::native::{Ended, Step, native, official};

const F: &str = "kafka-configs";

/// Without Java's traces, log lines, and the usage behind a message.
fn told(stderr: &str) -> String {
    let lines = stderr.lines().take_while(|line| !line.starts_with("Option  "));
    let told = lines.filter(|line| !line.starts_with(['\t', '[']));
    told.collect::<Vec<_>>().join("\n")
}

/// Waits until the broker knows of everything that was altered before this, which one of Kafka is told of only afterwards: the
/// last of a row of changes has come when it is seen.
fn settle(server: &Server, round: usize) {
    let interval = format!("interval.ms={}", 100 + round);
    let line = format!("--alter --client-metrics marker --add-config {interval}");
    let altered = native(server, (F, &line, ""));
    assert!(altered.status == 0, "{}", altered.stderr);
    let describe = || native(server, (F, "--describe --client-metrics marker", "")).stdout;
    wait::until_like(PATIENCE, "the change is seen", describe, |shown| {
        shown.contains(&format!("{interval} "))
    });
}

fn run(server: &Server, script: &[&str], tool: fn(&Server, Step<'_>) -> Ended) -> Vec<Ended> {
    let steps = script.iter().enumerate().map(|(round, line)| {
        let ended = tool(server, (F, line, ""));
        if line.starts_with("--alter") && ended.status == 0 {
            settle(server, round);
        }
        ended
    });
    steps.collect()
}

/// Each tool runs the script; exit codes and both streams must be equal.
fn compare(server: &Server, script: &[&str]) {
    let (theirs, ours) = (run(server, script, official), run(server, script, native));
    let mut differences = String::new();
    for ((line, own), wanted) in script.iter().zip(&ours).zip(&theirs) {
        let (of_own, of_wanted) = (told(&own.stderr), told(&wanted.stderr));
        if (own.status, &own.stdout, &of_own) != (wanted.status, &wanted.stdout, &of_wanted) {
            let _ = writeln!(
                differences,
                "$ {line}\n--- Kafka's, exit code {}\n{}{of_wanted}\n--- ours, exit code {}\n{}{of_own}",
                wanted.status, wanted.stdout, own.status, own.stdout
            );
        }
    }
    assert!(differences.is_empty(), "{differences}");
}

#[test]
fn quotas() {
    quotas_at(&Server::start_default());
}

#[test]
fn quotas_of_kafka() {
    quotas_at(&Setup::of(Target::Kafka).start());
}

fn quotas_at(server: &Server) {
    let rates = "producer_byte_rate=10000000,consumer_byte_rate=1e3,request_percentage=0.5,controller_mutation_rate=0.0001";
    compare(
        server,
        &[
            "--describe --user a",
            &format!("--alter --user a --add-config {rates}"),
            "--alter --user a --client b --add-config producer_byte_rate=1",
            "--alter --entity-type clients --entity-default --entity-type users --entity-name u --add-config producer_byte_rate=1",
            "--alter --user-defaults --add-config producer_byte_rate=123456789.125",
            "--alter --entity-type clients --entity-default --add-config request_percentage=12",
            "--alter --ip 127.0.0.1 --add-config connection_creation_rate=10",
            "--alter --ip-defaults --add-config connection_creation_rate=20",
            "--describe --user a",
            "--describe --user a --client b",
            "--describe --entity-type users",
            "--describe --entity-type users --entity-type clients",
            "--describe --entity-type clients --entity-default",
            "--describe --entity-type ips",
            "--describe --ip-defaults",
            "--describe --entity-type users --entity-name a --entity-name b",
            "--alter --user a --delete-config consumer_byte_rate,nothing",
            "--alter --user nobody --delete-config producer_byte_rate",
            "--alter --user a --add-config producer_byte_rate=x",
            "--alter --user a --add-config producer_byte_rate=-1",
            "--alter --ip-defaults --add-config connection_creation_rate=1.5",
            "--alter --ip 127.0.0.1 --add-config producer_byte_rate=10,a=1",
            "--alter --ip no.such.host. --add-config connection_creation_rate=10",
            "--alter --user a --add-config x=1,y=2,producer_byte_rate=5",
            "--alter --client a --add-config x=1,SCRAM-SHA-256=[password=x],y=1",
            "--alter --user a --client b --delete-config SCRAM-SHA-256,x",
            "--alter --user a --delete-config producer_byte_rate,consumer_byte_rate,request_percentage,controller_mutation_rate",
            "--alter --user a --client b --delete-config producer_byte_rate",
            "--alter --user u --client-defaults --delete-config producer_byte_rate",
            "--alter --user-defaults --delete-config producer_byte_rate",
            "--alter --client-defaults --delete-config request_percentage",
            "--alter --ip 127.0.0.1 --delete-config connection_creation_rate",
            "--alter --ip-defaults --delete-config connection_creation_rate",
        ],
    );
}

#[test]
fn credentials() {
    compare(
        &Server::start_default(),
        &[
            "--alter --user a --add-config SCRAM-SHA-256=[iterations=8192,password=x=y]",
            "--alter --user a --add-config SCRAM-SHA-512=[password=y]",
            "--alter --user b --add-config SCRAM-SHA-512=[iterations=-1,password=y]",
            "--describe --user a",
            "--describe --user nobody",
            "--describe --entity-type users",
            "--alter --user a --delete-config SCRAM-SHA-512 --add-config SCRAM-SHA-256=[password=z]",
            "--alter --user a --add-config SCRAM-SHA-256=[password=a],SCRAM-SHA-512=[password=b]",
            "--alter --user a --delete-config SCRAM-SHA-512",
            "--alter --user a --delete-config SCRAM-SHA-512",
            "--alter --user a --delete-config SCRAM-SHA-256",
            "--alter --user b --delete-config SCRAM-SHA-512",
            "--alter --user-defaults --add-config SCRAM-SHA-256=[password=x]",
            "--alter --user a --add-config SCRAM-SHA-256=[password=x],producer_byte_rate=5",
            "--alter --user a --add-config SCRAM-SHA-256=x",
            "--alter --user a --add-config SCRAM-SHA-256=[iterations=10,password=x]",
            "--alter --user a --add-config SCRAM-SHA-512=[iterations=,password=x]",
            "--alter --user a --add-config SCRAM-SHA-512=[iterations=99999999999,password=x]",
            "--alter --user a --add-config SCRAM-SHA-512=[iterations=16385,password=x]",
            "--alter --user a --add-config SCRAM-SHA-512=[password=]",
            "--alter --user a --add-config SCRAM-SHA-1=[password=x]",
            "--alter --user a --delete-config x,y",
            "--describe --entity-type users",
        ],
    );
}

#[test]
fn what_is_wrong_is_told_in_the_same_words() {
    compare(
        &Server::start_default(),
        &[
            "--nonsense",
            "--describe --topic",
            "--describe --alter --topic t",
            "--topic t",
            "--describe",
            "--describe --topic t --topic u",
            "--describe --entity-type topics --entity-type topics",
            "--describe --entity-type nonsense",
            "--describe --entity-type topics --entity-type brokers",
            "--describe --entity-type brokers --entity-name x",
            "--describe --entity-type brokers --entity-name 1 --entity-name 2",
            "--describe --entity-type topics --entity-default",
            "--describe --entity-type broker-loggers",
            "--describe --topic b/d",
            "--describe --topic t --command-config /nonexistent",
            "--describe --topic t --bootstrap-server nonsense",
            "--alter --topic t",
            "--alter --topic t --add-config a",
            "--alter --topic t --add-config a=b,",
            "--alter --topic t --add-config a=[b",
            "--alter --topic t --add-config 'a b=c'",
            "--alter --topic t --add-config a=b --add-config-file /nonexistent",
            "--alter --topic t --add-config-file /nonexistent",
            "--alter --topic nope --add-config retention.ms=1",
            "--alter --entity-type users --add-config a=b",
            "--alter --entity-type users --entity-type clients --entity-name a --add-config producer_byte_rate=1",
            "--alter --entity-type topics --add-config a=b",
            "--alter --broker-logger 1 --add-config nonsense=INFO",
        ],
    );
}

#[test]
fn controllers_are_asked() {
    let server = Setup::of(Target::chosen()).dynamic_quorum().start();
    let script = [
        "--describe --broker 1",
        "--alter --broker 1 --add-config log.cleaner.threads=2",
        "--alter --broker-defaults --add-config log.retention.ms=7200000",
        "--describe --broker-defaults",
        "--alter --broker 1 --delete-config log.cleaner.threads",
        "--alter --broker-defaults --delete-config log.retention.ms",
        "--describe --topic t",
        "--describe --user u",
        "--alter --user u --add-config SCRAM-SHA-256=[password=x]",
    ];
    let at = format!("--bootstrap-controller {}", server.controller_address());
    let script: Vec<String> = script.iter().map(|line| format!("{line} {at}")).collect();
    compare(&server, &script.iter().map(String::as_str).collect::<Vec<_>>());
}
