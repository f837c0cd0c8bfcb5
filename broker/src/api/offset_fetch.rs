//! OffsetFetch: 9, v1–10. The positions of one group, or from version 8 on of several.
//!
//! Versions: 2 null topics mean all, and an error for the whole group, 5 leader epoch (KIP-320), 6 flexible, 7 require
//! stable (KIP-447), 8 several groups (KIP-709), 9 member and epoch (KIP-848), 10 topic ids instead of names (KIP-848).
//! A partition without a commit is offset −1 without an error; so is an unknown group.

use std::ops::RangeInclusive;

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use kafka_protocol::messages::{GroupId, OffsetFetchRequest, OffsetFetchResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use milena_coordinator::group::{Reply, Request, refusal};
use milena_coordinator::image::MetadataImage;

use super::{Ask, Cx, MessageError, Outcome};
use crate::codec::flexible::Flexible;
use crate::shard::{Question, gather};

pub const VERSIONS: RangeInclusive<i16> = 1..=10;

/// From here on the request names several groups.
const GROUPS: i16 = 8;
/// From here on topics are named by id; the codec's request ends before.
const TOPIC_IDS: i16 = 10;

/// The request at any served version.
#[derive(Debug)]
pub struct Asked(OffsetFetchRequest);

impl Ask for Asked {
    fn decode(body: Bytes, version: i16) -> Result<Self, MessageError> {
        if version < TOPIC_IDS {
            <OffsetFetchRequest as Ask>::decode(body, version).map(Self)
        } else {
            decode_with_ids(&mut Flexible(body)).map(Self)
        }
    }
}

pub fn handle(cx: &Cx<'_>, Asked(request): Asked) -> Outcome<OffsetFetchResponse> {
    let (version, image, require_stable) = (cx.version, cx.image.clone(), request.require_stable);
    let mut unknown = Vec::new();
    let asked = groups(version, request).into_iter().map(|mut group| {
        unknown.push(take_unknown(&image, version, &mut group));
        let id = group.group_id.clone();
        cx.broker.shards.ask(cx, &id, Question::new(cx, Request::FetchOffsets { group, require_stable }))
    });
    let asked = asked.collect();
    gather(asked, move |replies| {
        let groups = replies.into_iter().zip(unknown).filter_map(|(reply, unknown)| {
            let Reply::FetchOffsets(group) = reply else { return None };
            Some(complete(&image, version, group, unknown))
        });
        fit(version, groups.collect())
    })
}

/// The request as one of several groups, whatever its version.
fn groups(version: i16, request: OffsetFetchRequest) -> Vec<OffsetFetchRequestGroup> {
    if version >= GROUPS {
        return request.groups;
    }
    let topics = request.topics.map(|topics| {
        let convert = |topic: kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic| {
            OffsetFetchRequestTopics::default()
                .with_name(topic.name)
                .with_partition_indexes(topic.partition_indexes)
        };
        topics.into_iter().map(convert).collect()
    });
    vec![OffsetFetchRequestGroup::default().with_group_id(request.group_id).with_topics(topics)]
}

/// Gives topics that were asked for by id their names, and takes those out that have none.
fn take_unknown(
    image: &MetadataImage,
    version: i16,
    group: &mut OffsetFetchRequestGroup,
) -> Vec<OffsetFetchResponseTopics> {
    let Some(topics) = group.topics.as_mut().filter(|_| version >= TOPIC_IDS) else { return Vec::new() };
    let mut unknown = Vec::new();
    topics.retain_mut(|topic| match image.topic_by_id(topic.topic_id) {
        Some(known) => {
            topic.name = TopicName(StrBytes::from_string(known.name.to_string()));
            true
        }
        None => {
            unknown.push(refuse(topic));
            false
        }
    });
    unknown
}

/// The answer to every group when none is looked at.
pub fn refuse_all(version: i16, Asked(request): Asked, error: ResponseError) -> OffsetFetchResponse {
    let refused = groups(version, request).into_iter().filter_map(|group| {
        let request = Request::FetchOffsets { group, require_stable: false };
        let Reply::FetchOffsets(group) = refusal(version, &request, error) else { return None };
        Some(group)
    });
    fit(version, refused.collect())
}

fn refuse(topic: &OffsetFetchRequestTopics) -> OffsetFetchResponseTopics {
    let partitions = topic.partition_indexes.iter().map(|&index| {
        OffsetFetchResponsePartitions::default()
            .with_partition_index(index)
            .with_committed_offset(-1)
            .with_error_code(ResponseError::UnknownTopicId.code())
    });
    OffsetFetchResponseTopics::default().with_topic_id(topic.topic_id).with_partitions(partitions.collect())
}

/// Puts the unknown topics behind the others, and ids where only names are known. A topic without an id cannot be
/// told to somebody who reads ids.
fn complete(
    image: &MetadataImage,
    version: i16,
    mut group: OffsetFetchResponseGroup,
    unknown: Vec<OffsetFetchResponseTopics>,
) -> OffsetFetchResponseGroup {
    if version >= TOPIC_IDS && group.error_code == 0 {
        for topic in group.topics.iter_mut().filter(|topic| topic.topic_id.is_nil()) {
            topic.topic_id = image.topic(&topic.name).map_or(topic.topic_id, |known| known.id);
        }
        group.topics.retain(|topic| !topic.topic_id.is_nil());
        group.topics.extend(unknown);
    }
    group
}

fn fit(version: i16, mut groups: Vec<OffsetFetchResponseGroup>) -> OffsetFetchResponse {
    if version >= GROUPS {
        return OffsetFetchResponse::default().with_groups(groups);
    }
    let Some(group) = groups.pop() else { return OffsetFetchResponse::default() };
    let topics = group.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.into_iter().map(|partition| {
            OffsetFetchResponsePartition::default()
                .with_partition_index(partition.partition_index)
                .with_committed_offset(partition.committed_offset)
                .with_committed_leader_epoch(partition.committed_leader_epoch)
                .with_metadata(partition.metadata)
                .with_error_code(partition.error_code)
        });
        OffsetFetchResponseTopic::default().with_name(topic.name).with_partitions(partitions.collect())
    });
    let topics = topics.collect();
    // Before version 2 there is no field for it, and the error stands at each partition.
    let error = if version >= 2 { group.error_code } else { 0 };
    OffsetFetchResponse::default().with_topics(topics).with_error_code(error)
}

fn decode_with_ids(body: &mut Flexible) -> Result<OffsetFetchRequest, MessageError> {
    let request = OffsetFetchRequest::default()
        .with_groups(body.array(decode_group)?)
        .with_require_stable(body.bool()?);
    body.tags().map(|()| request)
}

fn decode_group(body: &mut Flexible) -> Result<OffsetFetchRequestGroup, MessageError> {
    let group = OffsetFetchRequestGroup::default()
        .with_group_id(GroupId(body.string()?))
        .with_member_id(body.nullable_string()?)
        .with_member_epoch(body.i32()?)
        .with_topics(body.nullable_array(|body| {
            let topic = OffsetFetchRequestTopics::default()
                .with_topic_id(body.uuid()?)
                .with_partition_indexes(body.array(Flexible::i32)?);
            body.tags().map(|()| topic)
        })?);
    body.tags().map(|()| group)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn version_ten_names_topics_by_id() {
        let mut body = b"\x03\x02g\x00\xff\xff\xff\xff\x02".to_vec();
        body.extend([7; 16]);
        body.extend(b"\x02\x00\x00\x00\x03\x00\x00\x02h\x00\x00\x00\x00\x00\x00\x00\x01\x00");
        let Asked(request) = Asked::decode(body.into(), 10).unwrap();
        assert!(request.require_stable);
        let topics = request.groups[0].topics.as_ref().unwrap();
        assert_eq!(topics[0].topic_id, Uuid::from_bytes([7; 16]));
        assert_eq!(topics[0].partition_indexes, [3]);
        assert_eq!(request.groups[1].topics, None);
    }

    #[test]
    fn old_versions_are_one_group_and_get_its_answer_at_the_top() {
        let request = OffsetFetchRequest::default().with_group_id(GroupId("g".into())).with_topics(None);
        assert_eq!(groups(7, request)[0].topics, None);
        let group = OffsetFetchResponseGroup::default().with_error_code(16);
        assert_eq!(fit(7, vec![group.clone()]).error_code, 16);
        assert_eq!(fit(1, vec![group]).error_code, 0);
    }

    #[test]
    fn unknown_ids_are_taken_out_and_answered() {
        let topic = OffsetFetchRequestTopics::default()
            .with_topic_id(Uuid::from_u128(5))
            .with_partition_indexes(vec![0, 1]);
        let mut group = OffsetFetchRequestGroup::default().with_topics(Some(vec![topic]));
        let unknown = take_unknown(&MetadataImage::default(), 10, &mut group);
        assert_eq!(group.topics, Some(Vec::new()));
        assert!(unknown[0].partitions.iter().all(|partition| partition.error_code == 100));
    }
}
