//! OffsetDelete: 47, v0 (KIP-496). Forgets positions of a group.
//!
//! Topics and partitions that do not exist are error 3; topics that a member subscribes to are 86, which the group
//! machine knows.

use std::ops::RangeInclusive;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use kafka_protocol::messages::offset_delete_response::{
    OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use kafka_protocol::messages::{OffsetDeleteRequest, OffsetDeleteResponse};
use milena_coordinator::group::{Reply, Request};
use milena_coordinator::image::MetadataImage;
use milena_storage::ids::PartitionIndex;

use super::{Cx, Outcome};
use crate::shard::Question;

pub const VERSIONS: RangeInclusive<i16> = 0..=0;

pub fn handle(cx: &Cx<'_>, mut request: OffsetDeleteRequest) -> Outcome<OffsetDeleteResponse> {
    let mut refused = Vec::new();
    request.topics = std::mem::take(&mut request.topics)
        .into_iter()
        .filter_map(|topic| existing(&cx.image, topic, &mut refused))
        .collect();
    let group = request.group_id.clone();
    cx.broker.shards.ask(cx, &group, Question::new(cx, Request::DeleteOffsets(request))).then(|reply| {
        let Reply::DeleteOffsets(response) = reply else { unreachable!("a reply is of its request's kind") };
        // An error of the whole group stands alone.
        if response.error_code == 0 { merge(refused, response) } else { response }
    })
}

fn existing(
    image: &MetadataImage,
    topic: OffsetDeleteRequestTopic,
    refused: &mut Vec<OffsetDeleteResponseTopic>,
) -> Option<OffsetDeleteRequestTopic> {
    let exists = |partition: &OffsetDeleteRequestPartition| {
        image.partition(&topic.name, PartitionIndex(partition.partition_index)).is_some()
    };
    let (good, bad): (Vec<_>, Vec<_>) = topic.partitions.iter().cloned().partition(exists);
    if !bad.is_empty() {
        let partitions = bad.iter().map(|partition| {
            OffsetDeleteResponsePartition::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(ResponseError::UnknownTopicOrPartition.code())
        });
        let partitions = partitions.collect();
        refused.push(
            OffsetDeleteResponseTopic::default().with_name(topic.name.clone()).with_partitions(partitions),
        );
    }
    (!good.is_empty()).then(|| topic.with_partitions(good))
}

fn merge(
    refused: Vec<OffsetDeleteResponseTopic>,
    mut response: OffsetDeleteResponse,
) -> OffsetDeleteResponse {
    let mut topics = refused;
    for topic in std::mem::take(&mut response.topics) {
        match topics.iter_mut().find(|other| other.name == topic.name) {
            Some(other) => other.partitions.extend(topic.partitions),
            None => topics.push(topic),
        }
    }
    response.with_topics(topics)
}
