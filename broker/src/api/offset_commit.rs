//! OffsetCommit: 8, v2–10. A group's positions.
//!
//! Versions: 5 no retention time any more (KIP-211), 6 leader epoch (KIP-320), 7 static members (KIP-345), 8 flexible, 9
//! unknown groups have an error of their own (KIP-848), 10 topic ids instead of names (KIP-848). Here it is only checked
//! that topics (3, or 100 by id) and partitions (3) exist; whether the commit is accepted is the group machine's.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use kafka_protocol::messages::{GroupId, OffsetCommitRequest, OffsetCommitResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use milena_coordinator::group::{Reply, Request};
use milena_coordinator::image::MetadataImage;
use milena_storage::ids::PartitionIndex;

use super::{Ask, Cx, MessageError, Outcome};
use crate::codec::flexible::Flexible;
use crate::shard::Question;

pub const VERSIONS: RangeInclusive<i16> = 2..=10;

/// From here on topics are named by id; the codec's request ends before.
const TOPIC_IDS: i16 = 10;

/// The request at any served version.
#[derive(Debug)]
pub struct Asked(OffsetCommitRequest);

impl Ask for Asked {
    fn decode(body: Bytes, version: i16) -> Result<Self, MessageError> {
        if version < TOPIC_IDS {
            <OffsetCommitRequest as Ask>::decode(body, version).map(Self)
        } else {
            decode_with_ids(&mut Flexible(body)).map(Self)
        }
    }
}

pub fn handle(cx: &Cx<'_>, Asked(mut request): Asked) -> Outcome<OffsetCommitResponse> {
    let mut refused = Vec::new();
    request.topics = std::mem::take(&mut request.topics)
        .into_iter()
        .filter_map(|topic| existing(&cx.image, cx.version, topic, &mut refused))
        .collect();
    if request.topics.is_empty() {
        return Outcome::Now(OffsetCommitResponse::default().with_topics(refused));
    }
    let group = request.group_id.clone();
    cx.broker.shards.ask(cx, &group, Question::new(cx, Request::Commit(request))).then(|reply| {
        let Reply::Commit(response) = reply else { unreachable!("a reply is of its request's kind") };
        merge(refused, response)
    })
}

/// The part of a topic that exists, with name and id; the rest is refused.
fn existing(
    image: &MetadataImage,
    version: i16,
    topic: OffsetCommitRequestTopic,
    refused: &mut Vec<OffsetCommitResponseTopic>,
) -> Option<OffsetCommitRequestTopic> {
    let known =
        if version < TOPIC_IDS { image.topic(&topic.name) } else { image.topic_by_id(topic.topic_id) };
    let Some(known) = known else {
        let error = if version < TOPIC_IDS {
            ResponseError::UnknownTopicOrPartition
        } else {
            ResponseError::UnknownTopicId
        };
        refused.push(refuse(&topic, &topic.partitions, error));
        return None;
    };
    let topic = topic.with_topic_id(known.id);
    let topic = topic.with_name(TopicName(StrBytes::from_string(known.name.to_string())));
    let exists = |partition: &OffsetCommitRequestPartition| {
        known.partition(PartitionIndex(partition.partition_index)).is_some()
    };
    let (good, bad): (Vec<_>, Vec<_>) = topic.partitions.iter().cloned().partition(exists);
    if !bad.is_empty() {
        refused.push(refuse(&topic, &bad, ResponseError::UnknownTopicOrPartition));
    }
    (!good.is_empty()).then(|| topic.with_partitions(good))
}

/// The answer to every partition when none is committed.
pub fn refuse_all(Asked(request): &Asked, error: ResponseError) -> OffsetCommitResponse {
    let topics = request.topics.iter().map(|topic| refuse(topic, &topic.partitions, error));
    OffsetCommitResponse::default().with_topics(topics.collect())
}

fn refuse(
    topic: &OffsetCommitRequestTopic,
    partitions: &[OffsetCommitRequestPartition],
    error: ResponseError,
) -> OffsetCommitResponseTopic {
    let partitions = partitions.iter().map(|partition| {
        OffsetCommitResponsePartition::default()
            .with_partition_index(partition.partition_index)
            .with_error_code(error.code())
    });
    OffsetCommitResponseTopic::default()
        .with_name(topic.name.clone())
        .with_topic_id(topic.topic_id)
        .with_partitions(partitions.collect())
}

/// Each topic once, refused partitions first, as Kafka's builder leaves it.
fn merge(
    refused: Vec<OffsetCommitResponseTopic>,
    mut response: OffsetCommitResponse,
) -> OffsetCommitResponse {
    let names: BTreeSet<StrBytes> = refused.iter().map(|topic| topic.name.0.clone()).collect();
    let mut topics = refused;
    for topic in std::mem::take(&mut response.topics) {
        let found = if names.contains(&topic.name.0) {
            topics.iter_mut().find(|other| other.name == topic.name)
        } else {
            None
        };
        match found {
            Some(other) => other.partitions.extend(topic.partitions),
            None => topics.push(topic),
        }
    }
    response.with_topics(topics)
}

fn decode_with_ids(body: &mut Flexible) -> Result<OffsetCommitRequest, MessageError> {
    let request = OffsetCommitRequest::default()
        .with_group_id(GroupId(body.string()?))
        .with_generation_id_or_member_epoch(body.i32()?)
        .with_member_id(body.string()?)
        .with_group_instance_id(body.nullable_string()?)
        .with_topics(body.array(|body| {
            let topic = OffsetCommitRequestTopic::default()
                .with_topic_id(body.uuid()?)
                .with_partitions(body.array(decode_partition)?);
            body.tags().map(|()| topic)
        })?);
    body.tags().map(|()| request)
}

fn decode_partition(body: &mut Flexible) -> Result<OffsetCommitRequestPartition, MessageError> {
    let partition = OffsetCommitRequestPartition::default()
        .with_partition_index(body.i32()?)
        .with_committed_offset(body.i64()?)
        .with_committed_leader_epoch(body.i32()?)
        .with_committed_metadata(body.nullable_string()?);
    body.tags().map(|()| partition)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn version_ten_names_topics_by_id() {
        let mut body = b"\x02g\x00\x00\x00\x05\x02m\x00\x02".to_vec();
        body.extend([7; 16]);
        body.extend(
            b"\x02\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x09\xff\xff\xff\xff\x03me\x00\x00\x00",
        );
        let Asked(request) = Asked::decode(body.into(), 10).unwrap();
        assert_eq!(request.group_id.as_str(), "g");
        assert_eq!(request.generation_id_or_member_epoch, 5);
        assert_eq!(request.retention_time_ms, -1);
        let topic = &request.topics[0];
        assert_eq!(topic.topic_id, Uuid::from_bytes([7; 16]));
        assert_eq!(topic.partitions[0].committed_offset, 9);
        assert_eq!(topic.partitions[0].committed_metadata.as_deref(), Some("me"));
    }

    #[test]
    fn unknown_topics_are_refused_by_what_they_were_named() {
        let (image, mut refused) = (MetadataImage::default(), Vec::new());
        let partition = OffsetCommitRequestPartition::default();
        let topic = OffsetCommitRequestTopic::default().with_partitions(vec![partition]);
        assert!(existing(&image, 9, topic.clone(), &mut refused).is_none());
        assert!(existing(&image, 10, topic, &mut refused).is_none());
        let codes: Vec<_> = refused.iter().map(|topic| topic.partitions[0].error_code).collect();
        assert_eq!(codes, [3, 100]);
    }

    #[test]
    fn refused_and_accepted_partitions_of_a_topic_stand_together() {
        let topic = |name: &'static str, index| {
            OffsetCommitResponseTopic::default()
                .with_name(TopicName(name.into()))
                .with_partitions(vec![OffsetCommitResponsePartition::default().with_partition_index(index)])
        };
        let response = OffsetCommitResponse::default().with_topics(vec![topic("b", 1), topic("a", 0)]);
        let merged = merge(vec![topic("a", 9)], response);
        let shown: Vec<(&str, Vec<i32>)> = merged
            .topics
            .iter()
            .map(|topic| (topic.name.as_str(), topic.partitions.iter().map(|p| p.partition_index).collect()))
            .collect();
        assert_eq!(shown, [("a", vec![9, 0]), ("b", vec![1])]);
    }
}
