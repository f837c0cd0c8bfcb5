//! DescribeQuorum: 55, v0–2. The ensemble, told as the metadata quorum (KIP-595, KIP-853).
//!
//! Behaviour: only partition 0 of `__cluster_metadata` is described, anything else is UNKNOWN_TOPIC_OR_PARTITION, as
//! Kafka does; the leader tells, and other nodes pass its word on. A directory id is zero while a replica is not linked.
//! Versions: 0 flexible, 1 fetch timestamps (KIP-836), 2 messages, directory ids and nodes (KIP-853).

use std::ops::RangeInclusive;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_quorum_response::{
    Listener, Node, PartitionData, ReplicaState, TopicData,
};
use kafka_protocol::messages::{BrokerId, DescribeQuorumRequest, DescribeQuorumResponse};
use kafka_protocol::protocol::StrBytes;
use milena_coordinator::controller::Refusal;
use milena_coordinator::ensemble::{Quorum, Replica};
use milena_coordinator::image::MetadataImage;
use milena_storage::ids::Timestamp;
use uuid::Uuid;

use super::describe_cluster::host_and_port;
use super::{Cx, Outcome};
use crate::state::BrokerState;

pub const VERSIONS: RangeInclusive<i16> = 0..=2;

/// First version with directory ids and nodes.
const DIRECTORIES: i16 = 2;

const METADATA_TOPIC: &str = "__cluster_metadata";
/// Kafka leaves the field as it is, which for its generated classes is the empty string.
const NO_MESSAGE: StrBytes = StrBytes::from_static_str("");
/// The text of UNKNOWN_TOPIC_OR_PARTITION itself.
const UNKNOWN: StrBytes = StrBytes::from_static_str("This server does not host this topic-partition.");

pub fn handle(cx: &Cx<'_>, request: DescribeQuorumRequest) -> Outcome<DescribeQuorumResponse> {
    let refuse = |refusal: &Refusal| DescribeQuorumResponse::default().with_error_code(refusal.code.code());
    let quorum = match cx.broker.quorum() {
        Ok(quorum) => quorum,
        Err(refusal) => return refuse(&refusal).into(),
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
    let (version, image, broker) = (cx.version, cx.image.clone(), cx.broker.clone());
    if quorum.controls() {
        return answer(version, &image, &broker, &quorum.ensemble().quorum()).into();
    }
    let quorum = quorum.clone();
    Outcome::later(async move {
        match quorum.describe().await {
            Ok(told) => answer(version, &image, &broker, &told),
            Err(refusal) => refuse(&refusal),
        }
    })
}

fn answer(
    version: i16,
    image: &MetadataImage,
    broker: &BrokerState,
    quorum: &Quorum,
) -> DescribeQuorumResponse {
    let partition = describe(version, broker.clock.now(), quorum);
    let name = StrBytes::from_static_str(METADATA_TOPIC);
    let topic = TopicData::default().with_topic_name(name.into()).with_partitions(vec![partition]);
    let answer =
        DescribeQuorumResponse::default().with_error_message(Some(NO_MESSAGE)).with_topics(vec![topic]);
    if version < DIRECTORIES {
        return answer;
    }
    let names = broker.settings.load().quorum().listener_names;
    answer.with_nodes(nodes(image, names.first().map(String::as_str), quorum))
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

fn describe(version: i16, now: Timestamp, quorum: &Quorum) -> PartitionData {
    let replica = |replica: &Replica| {
        let heard = match replica.heard {
            _ if Some(replica.id) == quorum.leader => now.0,
            Some(ago) => now.0 - i64::try_from(ago.as_millis()).unwrap_or(i64::MAX).min(now.0),
            None => -1,
        };
        // When a replica that is behind was not, nobody keeps; −1 is Kafka's "unknown".
        let is_caught_up = replica.log_end.is_some_and(|end| end >= quorum.committed_end);
        ReplicaState::default()
            .with_replica_id(BrokerId(replica.id))
            .with_replica_directory_id(if version < DIRECTORIES { Uuid::nil() } else { replica.directory })
            .with_log_end_offset(replica.log_end.map_or(-1, number))
            .with_last_fetch_timestamp(heard)
            .with_last_caught_up_timestamp(if is_caught_up { heard } else { -1 })
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

/// Where the voters are reached; one that needs no listener of its own as the broker that it is too.
fn nodes(image: &MetadataImage, listener: Option<&str>, quorum: &Quorum) -> Vec<Node> {
    let node = |voter: &Replica| {
        let node = Node::default().with_node_id(BrokerId(voter.id));
        if let (Some((host, port)), Some(listener)) = (host_and_port(&voter.address), listener) {
            return Some(node.with_listeners(vec![told(listener, host, port)]));
        }
        let broker = image.broker(milena_storage::ids::BrokerId(voter.id))?;
        let listeners = broker.endpoints.iter().map(|each| told(&each.listener, &each.host, each.port));
        Some(node.with_listeners(listeners.collect()))
    };
    quorum.voters.iter().filter_map(node).collect()
}

fn told(name: &str, host: &str, port: u16) -> Listener {
    Listener::default()
        .with_name(StrBytes::from_string(name.to_owned()))
        .with_host(StrBytes::from_string(host.to_owned()))
        .with_port(port)
}

fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use kafka_protocol::protocol::Encodable;
    use milena_coordinator::ensemble::Replica;

    use super::*;

    #[test]
    fn every_version_can_be_written() {
        let replica = Replica {
            id: 1,
            log_end: Some(7),
            heard: None,
            directory: Uuid::from_u128(5),
            address: "h:1".to_owned(),
            is_linked: true,
        };
        let quorum = Quorum {
            leader: Some(1),
            term: 4,
            committed_end: 7,
            voters: vec![replica.clone()],
            learners: vec![replica],
        };
        for version in VERSIONS {
            let partition = describe(version, Timestamp(9), &quorum);
            let topic = TopicData::default().with_partitions(vec![partition]);
            let answer = DescribeQuorumResponse::default().with_topics(vec![topic]);
            answer.encode(&mut BytesMut::new(), version).expect("no field is set that the version lacks");
        }
    }
}
