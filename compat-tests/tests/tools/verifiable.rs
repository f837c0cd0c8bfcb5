//! kafka-verifiable-producer and kafka-verifiable-consumer, and a group that shares partitions and takes over.

use std::collections::BTreeSet;
use std::time::Duration;

use milena_compat_tests::tool::Running;
use milena_compat_tests::wait;
use milena_compat_tests::{Server, Tool};
use serde_json::Value;

use super::create;

fn events(text: &str) -> Vec<Value> {
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn named<'a>(events: &'a [Value], name: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["name"] == name).collect()
}

#[test]
fn every_acknowledged_number_is_consumed() {
    let server = Server::shared();
    create(server, "ver-numbers", "--partitions 2");
    let producer =
        server.tool("kafka-verifiable-producer").line("--topic ver-numbers --max-messages 500 --acks -1");
    let produced = events(&producer.ok());
    let sent: BTreeSet<(i64, i64)> = named(&produced, "producer_send_success")
        .iter()
        .map(|event| {
            (event["partition"].as_i64().expect("a number"), event["offset"].as_i64().expect("a number"))
        })
        .collect();
    assert_eq!(sent.len(), 500);
    assert_eq!(named(&produced, "tool_data")[0]["acked"], 500);

    let consumer = server.tool("kafka-verifiable-consumer").line(
        "--topic ver-numbers --group-id ver-numbers --max-messages 500 --reset-policy earliest --verbose",
    );
    let consumed = events(&consumer.ok());
    let read: BTreeSet<(i64, i64)> = named(&consumed, "record_data")
        .iter()
        .map(|event| {
            (event["partition"].as_i64().expect("a number"), event["offset"].as_i64().expect("a number"))
        })
        .collect();
    assert_eq!(read, sent);
    let committed = named(&consumed, "offsets_committed");
    assert!(!committed.is_empty() && committed.iter().all(|event| event["success"] == true), "{committed:?}");
}

/// The partitions that a member holds now, from its events.
fn held(member: &Running) -> BTreeSet<i64> {
    let mut held = BTreeSet::new();
    for event in events(&member.so_far()) {
        let partitions = || event["partitions"].as_array().cloned().unwrap_or_default();
        let numbers = partitions().into_iter().map(|entry| entry["partition"].as_i64().expect("a number"));
        match event["name"].as_str() {
            Some("partitions_assigned") => held.extend(numbers),
            Some("partitions_revoked") => numbers.for_each(|partition| {
                held.remove(&partition);
            }),
            _ => {}
        }
    }
    held
}

pub(crate) fn is_shared_out(members: &[Running], each: usize) -> bool {
    let held: Vec<BTreeSet<i64>> = members.iter().map(held).collect();
    let all: BTreeSet<i64> = held.iter().flatten().copied().collect();
    held.iter().all(|partitions| partitions.len() == each) && all.len() == 6
}

#[test]
fn three_consumers_share_six_partitions_and_two_take_over_when_one_is_killed() {
    let server = Server::shared();
    for assignor in ["RangeAssignor", "CooperativeStickyAssignor"] {
        let topic = format!("ver-six-{assignor}");
        create(server, &topic, "--partitions 6");
        let member = |_| -> Running {
            let tool: Tool = server.tool("kafka-verifiable-consumer").patience(Duration::from_secs(120));
            let class = format!("org.apache.kafka.clients.consumer.{assignor}");
            tool.args(["--topic", &topic, "--group-id", &topic, "--assignment-strategy", &class])
                .line("--session-timeout 6000 --group-protocol classic")
                .spawn()
        };
        let mut members: Vec<Running> = (0..3).map(member).collect();
        wait::until(wait::PATIENCE, "two partitions for each of three", || {
            is_shared_out(&members, 2).then_some(())
        });
        let _ = members.pop().expect("three members").kill();
        wait::until(wait::PATIENCE, "three partitions for each of two", || {
            is_shared_out(&members, 3).then_some(())
        });
        // One that leaves in order gives its partitions back at once.
        let _ = members.pop().expect("two members").stop();
        wait::until(wait::PATIENCE, "six partitions for the last", || {
            is_shared_out(&members, 6).then_some(())
        });
    }
}
