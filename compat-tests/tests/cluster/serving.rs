//! Any node serves any client: topics, records, groups.

use std::collections::BTreeSet;

use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{FindCoordinatorRequest, MetadataRequest, MetadataResponse, ProduceRequest};
use milena_compat_tests::Cluster;
use milena_compat_tests::wait::{self, PATIENCE};
use milena_compat_tests::wire;

use crate::text;

fn metadata(cluster: &Cluster, node: i32) -> MetadataResponse {
    cluster.wire(node).call(12, &MetadataRequest::default().with_topics(None))
}

/// The node that keeps a group, as this node says.
fn coordinator(cluster: &Cluster, node: i32, group: &str) -> i32 {
    let request = FindCoordinatorRequest::default().with_coordinator_keys(vec![text(group)]);
    wait::until(PATIENCE, "a coordinator", || {
        let answer = cluster.wire(node).call(4, &request);
        Some(answer.coordinators[0].node_id.0).filter(|id| *id >= 0)
    })
}

#[test]
fn whatever_node_a_client_finds_it_can_do_everything() {
    let cluster = Cluster::start();
    let leader = cluster.leader();
    let other = leader % 3 + 1;
    // Asked of one that is not the controller.
    cluster
        .tool("kafka-topics", other)
        .line("--create --topic spread --partitions 6 --replication-factor 1")
        .ok();
    for node in 1..=3 {
        let told = wait::until(PATIENCE, "three brokers and the topic", || {
            Some(metadata(&cluster, node)).filter(|told| told.brokers.len() == 3 && !told.topics.is_empty())
        });
        assert_eq!(told.controller_id.0, leader, "as node {node} says");
        let topic = &told.topics[0];
        let leaders: BTreeSet<i32> = topic.partitions.iter().map(|each| each.leader_id.0).collect();
        assert_eq!(leaders, BTreeSet::from([1, 2, 3]), "as node {node} says");
    }
    for node in 1..=3 {
        let lines: String = (0..20).map(|number| format!("{node}-{number}\n")).collect();
        cluster.tool("kafka-console-producer", node).args(["--topic", "spread"]).input(lines).ok();
    }
    let coordinators: BTreeSet<i32> = (1..=3).map(|node| coordinator(&cluster, node, "readers")).collect();
    assert_eq!(coordinators.len(), 1, "{coordinators:?}");
    let read = cluster
        .tool("kafka-console-consumer", other)
        .line("--topic spread --group readers --from-beginning --max-messages 60")
        .ok();
    assert_eq!(read.lines().collect::<BTreeSet<_>>().len(), 60);
    let told = cluster.tool("kafka-consumer-groups", leader).line("--describe --group readers").ok();
    let rows: Vec<Vec<&str>> = told
        .lines()
        .filter(|line| line.starts_with("readers"))
        .map(|line| line.split_whitespace().collect())
        .collect();
    // A partition that the consumer had no position for when it had its 60 records has no committed offset.
    let committed: u64 = rows.iter().map(|row| row[3].parse::<u64>().expect("an offset")).sum();
    assert_eq!(committed, 60, "{told}");
    assert!(rows.iter().all(|row| row[5] == "0"), "{told}");
}

#[test]
fn a_partition_is_written_where_it_is_led_and_more_replicas_than_brokers_are_refused() {
    let cluster = Cluster::start();
    let told =
        cluster.tool("kafka-topics", 1).line("--create --topic copies --replication-factor 4").run().fails();
    assert!(told.contains("InvalidReplicationFactorException"), "{told}");
    cluster.tool("kafka-topics", 1).line("--create --topic one --partitions 1 --replication-factor 1").ok();
    // A node may hear of what the controller acknowledged a little later; until then it refuses as a stranger to the topic.
    let leaders: BTreeSet<i32> = (1..=3)
        .map(|node| {
            wait::until(PATIENCE, "the topic at every node", || {
                metadata(&cluster, node).topics.first().map(|topic| topic.partitions[0].leader_id.0)
            })
        })
        .collect();
    assert_eq!(leaders.len(), 1, "{leaders:?}");
    let led_by = *leaders.first().expect("one was counted");
    for node in 1..=3 {
        let batch = wire::batch([wire::record("x")]);
        let partition = PartitionProduceData::default().with_records(Some(batch));
        let topic =
            TopicProduceData::default().with_name(text("one").into()).with_partition_data(vec![partition]);
        let request =
            ProduceRequest::default().with_acks(-1).with_timeout_ms(5000).with_topic_data(vec![topic]);
        let code = cluster.wire(node).call(9, &request).responses[0].partition_responses[0].error_code;
        assert_eq!(code, if node == led_by { 0 } else { 6 }, "at node {node}, led by {led_by}");
    }
}
