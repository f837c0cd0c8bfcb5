//! ListPartitionReassignments: 46, v0. Partitions whose replicas are moving (KIP-455).
//!
//! Behaviour: read from the image; partitions and topics that do not exist or do not move are left out.

use std::ops::RangeInclusive;

use kafka_protocol::messages::list_partition_reassignments_response::{
    OngoingPartitionReassignment, OngoingTopicReassignment,
};
use kafka_protocol::messages::{ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse};
use kafka_protocol::protocol::StrBytes;
use milena_coordinator::image::{PartitionImage, TopicImage};
use milena_storage::ids::PartitionIndex;

use super::partition_view::wire;
use super::{Cx, Outcome};

pub const VERSIONS: RangeInclusive<i16> = 0..=0;

pub fn handle(
    cx: &Cx<'_>,
    request: ListPartitionReassignmentsRequest,
) -> Outcome<ListPartitionReassignmentsResponse> {
    let topics = match &request.topics {
        None => cx.image.topics().filter_map(|topic| moving(topic, topic.partitions.iter())).collect(),
        Some(asked) => asked
            .iter()
            .filter_map(|asked| {
                let topic = cx.image.topic(&asked.name)?;
                moving(
                    topic,
                    asked.partition_indexes.iter().filter_map(|i| topic.partition(PartitionIndex(*i))),
                )
            })
            .collect(),
    };
    ListPartitionReassignmentsResponse::default().with_topics(topics).into()
}

fn moving<'a>(
    topic: &TopicImage,
    partitions: impl Iterator<Item = &'a std::sync::Arc<PartitionImage>>,
) -> Option<OngoingTopicReassignment> {
    let partitions: Vec<_> = partitions
        .filter(|partition| !partition.adding.is_empty() || !partition.removing.is_empty())
        .map(|partition| {
            OngoingPartitionReassignment::default()
                .with_partition_index(partition.index.0)
                .with_replicas(partition.replicas.iter().map(wire).collect())
                .with_adding_replicas(partition.adding.iter().map(wire).collect())
                .with_removing_replicas(partition.removing.iter().map(wire).collect())
        })
        .collect();
    let name = StrBytes::from_string(topic.name.to_string());
    (!partitions.is_empty())
        .then(|| OngoingTopicReassignment::default().with_name(name.into()).with_partitions(partitions))
}
