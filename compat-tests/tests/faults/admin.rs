//! What an operator asks of a cluster, over the protocol: topics, leaders, in-sync sets, reassignments.
//!
//! It must never ask a node that is hurt; whoever calls names the one to be asked.

use std::collections::BTreeMap;

use kafka_protocol::messages::alter_partition_reassignments_request::{
    ReassignablePartition, ReassignableTopic,
};
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::metadata_response::MetadataResponsePartition;
use kafka_protocol::messages::{
    AlterPartitionReassignmentsRequest, CreateTopicsRequest, ListPartitionReassignmentsRequest,
    MetadataRequest, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use milena_compat_tests::Cluster;
use milena_compat_tests::wait::{self, PATIENCE};
use milena_compat_tests::wire::Wire;

const MOVE_MS: i32 = 30_000;

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// A topic of three replicas, two of which must have what is acknowledged.
pub(crate) fn create(cluster: &Cluster, topic: &str, partitions: i32) {
    let config =
        |(name, value)| CreatableTopicConfig::default().with_name(text(name)).with_value(Some(text(value)));
    let configs = [("min.insync.replicas", "2"), ("segment.bytes", "1048576")].map(config);
    let topic = CreatableTopic::default()
        .with_name(TopicName(text(topic)))
        .with_num_partitions(partitions)
        .with_replication_factor(3)
        .with_configs(configs.to_vec());
    let request = CreateTopicsRequest::default().with_timeout_ms(30_000).with_topics(vec![topic]);
    let answer = cluster.wire(1).call(7, &request);
    assert_eq!(answer.topics[0].error_code, 0, "{:?}", answer.topics[0].error_message);
}

/// The partitions of all topics as a node knows them, internal ones too; none while it does not answer.
pub(crate) fn partitions(
    cluster: &Cluster,
    asked: i32,
) -> Option<BTreeMap<(String, i32), MetadataResponsePartition>> {
    let request = MetadataRequest::default().with_topics(None);
    let mut wire = Wire::try_connect(cluster.address(asked)).ok()?;
    let told = wire.try_call(12, &request).ok()?;
    let of = |topic: kafka_protocol::messages::metadata_response::MetadataResponseTopic| {
        let name = topic.name.map(|name| name.0.to_string()).unwrap_or_default();
        topic.partitions.into_iter().map(move |each| ((name.clone(), each.partition_index), each))
    };
    Some(told.topics.into_iter().flat_map(of).collect())
}

/// Who leads a partition, by the word of a node.
pub(crate) fn leader(cluster: &Cluster, asked: i32, topic: &str, partition: i32) -> i32 {
    wait::until(PATIENCE, "a leader", || {
        let told = partitions(cluster, asked)?.remove(&(topic.to_owned(), partition))?;
        (told.leader_id.0 >= 0).then_some(told.leader_id.0)
    })
}

/// Waits until every replica of every partition is in sync by the word of every running node.
pub(crate) fn all_in_sync(cluster: &Cluster) {
    for node in cluster.running() {
        let lacks = |told: &Option<Vec<String>>| told.as_ref().is_some_and(Vec::is_empty);
        wait::until_like(
            PATIENCE,
            &format!("node {node} sees all in sync"),
            || missing(cluster, node),
            lacks,
        );
    }
}

/// The partitions that lack a replica or a leader.
fn missing(cluster: &Cluster, asked: i32) -> Option<Vec<String>> {
    let told = partitions(cluster, asked)?;
    let lacks = |each: &MetadataResponsePartition| {
        each.leader_id.0 < 0
            || each.isr_nodes.len() < each.replica_nodes.len()
            || !each.offline_replicas.is_empty()
    };
    let named = told.iter().filter(|(_, each)| lacks(each));
    let named = named.map(|((topic, partition), each)| {
        format!(
            "{topic}-{partition}: {} leads, {:?} of {:?}",
            each.leader_id.0, each.isr_nodes, each.replica_nodes
        )
    });
    Some(named.collect())
}

/// Moves partitions to these replicas and waits until that is done.
pub(crate) fn reassign(cluster: &Cluster, asked: i32, moves: &[(String, i32, Vec<i32>)]) {
    let mut topics: BTreeMap<&str, Vec<ReassignablePartition>> = BTreeMap::new();
    for (topic, partition, replicas) in moves {
        let replicas = replicas.iter().map(|id| (*id).into()).collect();
        let partition =
            ReassignablePartition::default().with_partition_index(*partition).with_replicas(Some(replicas));
        topics.entry(topic).or_default().push(partition);
    }
    let topics = topics.into_iter().map(|(topic, partitions)| {
        ReassignableTopic::default().with_name(TopicName(text(topic))).with_partitions(partitions)
    });
    let request =
        AlterPartitionReassignmentsRequest::default().with_timeout_ms(MOVE_MS).with_topics(topics.collect());
    let answer = cluster.wire(asked).call(0, &request);
    assert_eq!(answer.error_code, 0, "{:?}", answer.error_message);
    for topic in &answer.responses {
        assert!(topic.partitions.iter().all(|each| each.error_code == 0), "{topic:?}");
    }
    let list = ListPartitionReassignmentsRequest::default().with_timeout_ms(MOVE_MS).with_topics(None);
    let settled = |(topic, partition, replicas): &(String, i32, Vec<i32>)| {
        let told = partitions(cluster, asked)?.remove(&(topic.clone(), *partition))?;
        let is_there = told.replica_nodes.iter().map(|id| id.0).eq(replicas.iter().copied());
        (is_there && told.isr_nodes.len() == replicas.len()).then_some(())
    };
    wait::until(PATIENCE, "the moves to end", || {
        let ongoing = cluster.wire(asked).try_call(0, &list).ok()?;
        (ongoing.error_code == 0 && ongoing.topics.is_empty()).then_some(())?;
        moves.iter().all(|each| settled(each).is_some()).then_some(())
    });
}
