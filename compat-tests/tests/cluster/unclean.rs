//! Unclean elections: a partition whose replicas in sync are gone waits for them, until its topic asks for whoever is left.
//!
//! A test must never kill a voter: the quorum is not what is looked at here.

use milena_compat_tests::wait::{self, PATIENCE};
use milena_compat_tests::{Cluster, Role};

use crate::suspects::leader;

#[test]
fn a_topic_that_comes_to_ask_for_it_is_led_by_whoever_is_left() {
    let mut cluster = Cluster::start();
    cluster.add(4, Role::Broker);
    cluster.add(5, Role::Broker);
    for topic in ["waits", "asks"] {
        let tool = cluster.tool("kafka-topics", 1).args(["--create", "--topic", topic]);
        tool.line("--replica-assignment 4:5").ok();
        wait::until(PATIENCE, "the topic is in sync", || {
            (leader(&cluster, 1, topic, 2) == Some(4)).then_some(())
        });
    }
    cluster.kill(5);
    for topic in ["waits", "asks"] {
        wait::until(PATIENCE, "the follower is out", || {
            (leader(&cluster, 1, topic, 1) == Some(4)).then_some(())
        });
        cluster.tool("kafka-console-producer", 1).args(["--topic", topic]).input("lost\n").ok();
    }
    cluster.kill(4);
    cluster.restart(5);
    let describe = |topic: &str| cluster.tool("kafka-topics", 1).args(["--describe", "--topic", topic]).ok();
    wait::until(PATIENCE, "nobody leads", || describe("asks").contains("Leader: none").then_some(()));
    let configs = cluster.tool("kafka-configs", 1).line("--alter --entity-type topics --entity-name asks");
    configs.line("--add-config unclean.leader.election.enable=true").ok();
    wait::until(PATIENCE, "whoever is left leads", || describe("asks").contains("Leader: 5").then_some(()));
    let waits = describe("waits");
    assert!(waits.contains("Leader: none"), "{waits}");
}
