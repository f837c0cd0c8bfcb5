//! `org.apache.kafka.tools.TransactionalMessageCopier`: consumes, produces and commits offsets within transactions.
//!
//! Its output must equal its input exactly: each record once, in order, aborted attempts unseen.

use std::time::Duration;

use milena_compat_tests::server::Setup;
use milena_compat_tests::{Server, Target, Tool};

use super::{committed, numbers};

const COUNT: usize = 2_000;

fn copier(server: &Server, name: &str) -> Tool {
    let tool = Tool::new("transactional-message-copier").args(["--broker-list", &server.bootstrap()]);
    let tool = tool.args(["--input-topic", &format!("{name}-in"), "--input-partition", "0"]);
    let tool = tool.args(["--output-topic", &format!("{name}-out"), "--transactional-id", name]);
    let tool = tool.args(["--consumer-group", name, "--transaction-size", "50", "--enable-random-aborts"]);
    tool.patience(Duration::from_secs(180))
}

fn fill(server: &Server, name: &str) {
    for topic in ["in", "out"] {
        let topic = format!("{name}-{topic}");
        server.tool("kafka-topics").args(["--create", "--topic", &topic, "--partitions", "1"]).ok();
    }
    let lines = numbers(COUNT).join("\n") + "\n";
    server.tool("kafka-console-producer").args(["--topic", &format!("{name}-in")]).input(lines).ok();
}

/// How many transactions it has tried.
fn loops(text: &str) -> usize {
    text.matches("\"stage\":\"ProcessLoop\"").count()
}

#[test]
fn what_is_copied_with_aborts_equals_the_original() {
    let server = Server::shared();
    fill(server, "copy");
    copier(server, "copy").ok();
    assert_eq!(committed(server, "copy-out", COUNT), numbers(COUNT));
    let groups = server.tool("kafka-consumer-groups").line("--describe --group copy").ok();
    let row: Vec<&str> =
        groups.lines().find(|line| line.contains("copy-in")).expect("a row").split_whitespace().collect();
    assert_eq!(row[3..6], [COUNT.to_string(), COUNT.to_string(), "0".to_owned()], "{groups}");
}

#[test]
fn a_copier_that_is_killed_is_fenced_and_its_successor_goes_on() {
    let server = Server::shared();
    fill(server, "heir");
    let first = copier(server, "heir").spawn();
    let _ = first.wait_for("some transactions", |text| loops(text) >= 5);
    let _ = first.kill();
    copier(server, "heir").ok();
    assert_eq!(committed(server, "heir-out", COUNT), numbers(COUNT));
}

#[test]
fn a_broker_that_is_killed_meanwhile_loses_and_doubles_nothing() {
    let mut server = Setup::of(Target::chosen()).start();
    fill(&server, "kill");
    let running = copier(&server, "kill").spawn();
    for round in 1..=3 {
        let _ = running.wait_for("more transactions", |text| loops(text) >= 8 * round);
        server.kill();
        server.start();
    }
    let said = running.finish();
    assert!(said.text().contains("ShutdownComplete"), "{}", said.all());
    assert_eq!(committed(&server, "kill-out", COUNT), numbers(COUNT));
}
