//! Replication quotas (KIP-73) by the official tool: a reassignment is held to its throttle, and the throttle goes with it.
//!
//! A test must never take a slow machine for a throttle: only what is too fast fails.

use std::time::{Duration, Instant};

use milena_compat_tests::Cluster;
use milena_compat_tests::wait::{self, PATIENCE};

use crate::suspects::leader;

/// Bytes per second, and how many there are to be copied, in records of 10 KB.
const RATE: usize = 400_000;
const RECORDS: usize = 300;

#[test]
fn a_reassignment_is_held_to_its_throttle() {
    let cluster = Cluster::start();
    cluster.tool("kafka-topics", 1).line("--create --topic t --replica-assignment 1").ok();
    wait::until(PATIENCE, "the topic to be led", || (leader(&cluster, 1, "t", 1) == Some(1)).then_some(()));
    let lines = format!("{}\n", "x".repeat(9990)).repeat(RECORDS);
    cluster.tool("kafka-console-producer", 1).line("--topic t --batch-size 20000").input(lines).ok();
    let plan = cluster.log_dir(1).with_file_name("plan.json");
    let text = r#"{"version":1,"partitions":[{"topic":"t","partition":0,"replicas":[1,2]}]}"#;
    std::fs::write(&plan, text).expect("the cluster's directory is writable");
    let reassign = |arguments: &str| {
        let tool = cluster.tool("kafka-reassign-partitions", 1).arg("--reassignment-json-file");
        tool.arg(&plan.display().to_string()).line(arguments).ok()
    };
    let began = Instant::now();
    let said = reassign(&format!("--execute --throttle {RATE}"));
    assert!(said.contains("limit was set to 400000 B/s"), "{said}");
    let describe = |kind: &str, name: &str| {
        let tool = cluster.tool("kafka-configs", 1).args(["--describe", "--entity-type", kind]);
        tool.args(["--entity-name", name]).ok()
    };
    let topic = describe("topics", "t");
    assert!(topic.contains("leader.replication.throttled.replicas=0:1"), "{topic}");
    assert!(topic.contains("follower.replication.throttled.replicas=0:2"), "{topic}");
    for broker in ["1", "2"] {
        let configs = describe("brokers", broker);
        assert!(configs.contains("leader.replication.throttled.rate=400000"), "{configs}");
    }
    let is_over = || !cluster.tool("kafka-reassign-partitions", 1).arg("--list").ok().contains("t-0");
    wait::until(PATIENCE, "the reassignment ends", || is_over().then_some(()));
    // The first answer is free, whatever its size, and so is what one second's sample holds.
    let owed = (RECORDS * 10_000 - (1 << 20)) / RATE - 1;
    let (took, owed) = (began.elapsed(), Duration::from_secs(owed as u64));
    assert!(took >= owed, "{took:?} for what takes at least {owed:?}");
    let said = reassign("--verify");
    assert!(said.contains("Reassignment of partition t-0 is completed."), "{said}");
    let configs = [describe("topics", "t"), describe("brokers", "1"), describe("brokers", "2")].concat();
    assert!(!configs.contains("throttled"), "{configs}");
}
