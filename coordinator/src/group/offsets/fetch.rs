//! OffsetFetch for one group.
//!
//! Must never answer an error for an offset that was never committed: that is offset −1.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::TopicName;
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartitions, OffsetFetchResponseTopics,
};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::Offsets;
use crate::group::groups::{Group, Groups};
use crate::group::precheck::fetch_refusal;
use crate::group::records::OffsetCommit;

pub(in crate::group) fn fetch(
    groups: &Groups,
    offsets: &Offsets,
    version: i16,
    request: &OffsetFetchRequestGroup,
    require_stable: bool,
) -> OffsetFetchResponseGroup {
    let group: &str = &request.group_id;
    if let Some(Group::Consumer(of_members)) = groups.get(group)
        && let Err(error) = of_members.validate_fetch(request.member_id.as_deref(), request.member_epoch)
    {
        return fetch_refusal(version, request, error);
    }
    let unstable = |topic: &str, partition| require_stable && offsets.pending.has(group, topic, partition);
    let topics = match &request.topics {
        None => all(offsets, group, unstable),
        Some(topics) => topics
            .iter()
            .map(|topic| {
                let find = |partition| {
                    offsets
                        .get(group, &topic.name, partition)
                        .filter(|commit| is_same(commit.topic_id, topic.topic_id))
                };
                let partitions = topic.partition_indexes.iter().map(|&index| {
                    if unstable(&topic.name, index) { not_stable(index) } else { answer(index, find(index)) }
                });
                OffsetFetchResponseTopics::default()
                    .with_name(topic.name.clone())
                    .with_topic_id(topic.topic_id)
                    .with_partitions(partitions.collect())
            })
            .collect(),
    };
    OffsetFetchResponseGroup::default().with_group_id(request.group_id.clone()).with_topics(topics)
}

/// Topic ids are left to the handler, which knows what the topics of these names are now.
fn all(
    offsets: &Offsets,
    group: &str,
    unstable: impl Fn(&str, i32) -> bool,
) -> Vec<OffsetFetchResponseTopics> {
    let topics = offsets.of(group).map(|(topic, partitions)| {
        let partitions = partitions.iter().map(|(&index, stored)| {
            if unstable(topic, index) { not_stable(index) } else { answer(index, Some(&stored.commit)) }
        });
        OffsetFetchResponseTopics::default()
            .with_name(TopicName(StrBytes::from_string(topic.to_string())))
            .with_partitions(partitions.collect())
    });
    topics.collect()
}

/// A commit for a deleted topic of the same name does not count. Nil is "not known": an old record or an old client.
fn is_same(committed: Uuid, asked: Uuid) -> bool {
    committed.is_nil() || asked.is_nil() || committed == asked
}

/// A transaction may be about to change it (KIP-447); the client asks again.
fn not_stable(partition: i32) -> OffsetFetchResponsePartitions {
    answer(partition, None).with_error_code(ResponseError::UnstableOffsetCommit.code())
}

fn answer(partition: i32, commit: Option<&OffsetCommit>) -> OffsetFetchResponsePartitions {
    let answer = OffsetFetchResponsePartitions::default().with_partition_index(partition);
    match commit {
        None => answer
            .with_committed_offset(-1)
            .with_committed_leader_epoch(-1)
            .with_metadata(Some(StrBytes::new())),
        Some(commit) => answer
            .with_committed_offset(commit.offset.0)
            .with_committed_leader_epoch(commit.leader_epoch.0)
            .with_metadata(Some(StrBytes::from_string(commit.metadata.clone()))),
    }
}
