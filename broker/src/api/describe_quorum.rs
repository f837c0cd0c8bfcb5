//! DescribeQuorum: 55, v0–2. The ensemble, told as the metadata quorum (KIP-595, KIP-853).
//!
//! Behaviour: only partition 0 of `__cluster_metadata` is described, anything else is UNKNOWN_TOPIC_OR_PARTITION, as
//! Kafka does; the leader's own replica is always caught up. Directory ids are left zero: the ensemble has none.
//! Versions: 0 flexible, 1 fetch timestamps (KIP-836), 2 messages, directory ids and nodes (KIP-853).

use std::ops::RangeInclusive;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_quorum_response::{
    Listener, Node, PartitionData, ReplicaState, TopicData,
};
use kafka_protocol::messages::{BrokerId, DescribeQuorumRequest, DescribeQuorumResponse};
use kafka_protocol::protocol::StrBytes;
use milena_coordinator::ensemble::{Quorum, Replica};

use super::{Cx, Outcome};

pub const VERSIONS: RangeInclusive<i16> = 0..=2;

const METADATA_TOPIC: &str = "__cluster_metadata";
/// Kafka leaves the field as it is, which for its generated classes is the empty string.
const NO_MESSAGE: StrBytes = StrBytes::from_static_str("");
/// The text of UNKNOWN_TOPIC_OR_PARTITION itself.
const UNKNOWN: StrBytes = StrBytes::from_static_str("This server does not host this topic-partition.");

pub fn handle(cx: &Cx<'_>, request: DescribeQuorumRequest) -> Outcome<DescribeQuorumResponse> {
    let quorum = match cx.broker.quorum() {
        Ok(quorum) => quorum.ensemble().quorum(),
        Err(refusal) => {
            return DescribeQuorumResponse::default().with_error_code(refusal.code.code()).into();
        }
    };
    // The request may name the partition once and nothing else (`hasValidTopicPartition`).
    let is_valid = matches!(
        &request.topics[..],
        [topic] if topic.topic_name.as_str() == METADATA_TOPIC
            && matches!(&topic.partitions[..], [partition] if partition.partition_index == 0)
    );
    if !is_valid {
        return unknown(&request).into();
    }
    let partition = describe(cx, &quorum);
    let name = StrBytes::from_static_str(METADATA_TOPIC);
    let topic = TopicData::default().with_topic_name(name.into()).with_partitions(vec![partition]);
    let answer =
        DescribeQuorumResponse::default().with_error_message(Some(NO_MESSAGE)).with_topics(vec![topic]);
    if cx.version >= 2 { answer.with_nodes(nodes(cx, &quorum)).into() } else { answer.into() }
}

fn unknown(request: &DescribeQuorumRequest) -> DescribeQuorumResponse {
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            PartitionData::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(ResponseError::UnknownTopicOrPartition.code())
                .with_error_message(Some(UNKNOWN))
        });
        TopicData::default().with_topic_name(topic.topic_name.clone()).with_partitions(partitions.collect())
    });
    DescribeQuorumResponse::default().with_error_message(Some(NO_MESSAGE)).with_topics(topics.collect())
}

fn describe(cx: &Cx<'_>, quorum: &Quorum) -> PartitionData {
    let replica = |replica: &Replica| {
        // Times of followers are not kept yet; −1 is Kafka's "unknown".
        let seen = if Some(replica.id) == quorum.leader { cx.now.0 } else { -1 };
        ReplicaState::default()
            .with_replica_id(BrokerId(replica.id))
            .with_log_end_offset(replica.log_end.map_or(-1, number))
            .with_last_fetch_timestamp(seen)
            .with_last_caught_up_timestamp(seen)
    };
    let data = PartitionData::default().with_partition_index(0).with_error_message(Some(NO_MESSAGE));
    let Some(leader) = quorum.leader else {
        return data.with_leader_id(BrokerId(-1)).with_error_code(ResponseError::NotLeaderOrFollower.code());
    };
    data.with_leader_id(BrokerId(leader))
        .with_leader_epoch(i32::try_from(quorum.term).unwrap_or(i32::MAX))
        .with_high_watermark(number(quorum.committed_end))
        .with_current_voters(quorum.voters.iter().map(replica).collect())
        .with_observers(quorum.learners.iter().map(replica).collect())
}

/// Where the voters are reached: they are brokers too.
fn nodes(cx: &Cx<'_>, quorum: &Quorum) -> Vec<Node> {
    let voters = quorum.voters.iter().map(|voter| milena_storage::ids::BrokerId(voter.id));
    voters
        .filter_map(|id| cx.image.broker(id))
        .map(|broker| {
            let listeners = broker.endpoints.iter().map(|endpoint| {
                Listener::default()
                    .with_name(StrBytes::from_string(endpoint.listener.clone()))
                    .with_host(StrBytes::from_string(endpoint.host.clone()))
                    .with_port(endpoint.port)
            });
            Node::default().with_node_id(BrokerId(broker.id.0)).with_listeners(listeners.collect())
        })
        .collect()
}

fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
