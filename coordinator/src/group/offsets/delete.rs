//! OffsetDelete (KIP-496), and offsets whose group or topic goes.
//!
//! Must never delete the offset of a topic that a member subscribes to.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::offset_delete_request::OffsetDeleteRequestTopic;
use kafka_protocol::messages::offset_delete_response::{
    OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use kafka_protocol::messages::{OffsetDeleteRequest, OffsetDeleteResponse};

use super::{Offsets, key};
use crate::group::groups::{Group, Groups};
use crate::group::records::{OffsetCommit, Record};
use crate::group::turn::Turn;
use crate::group::{ClassicState, DeletedTopic};

pub(in crate::group) fn delete(
    groups: &Groups,
    offsets: &Offsets,
    turn: &mut Turn<'_>,
    request: &OffsetDeleteRequest,
) -> OffsetDeleteResponse {
    let group = match deletable(groups, &request.group_id) {
        Ok(group) => group,
        Err(error) => return OffsetDeleteResponse::default().with_error_code(error.code()),
    };
    let topics = request.topics.iter().map(|topic| delete_topic(group, offsets, turn, topic)).collect();
    OffsetDeleteResponse::default().with_topics(topics)
}

fn deletable<'a>(groups: &'a Groups, group: &str) -> Result<&'a Group, ResponseError> {
    let group = groups.get(group).ok_or(ResponseError::GroupIdNotFound)?;
    match group {
        // The broker cannot tell what the members of other protocols use.
        Group::Classic(classic)
            if classic.state() != ClassicState::Empty && !classic.uses_consumer_protocol() =>
        {
            Err(ResponseError::NonEmptyGroup)
        }
        Group::Classic(_) | Group::Consumer(_) => Ok(group),
    }
}

fn delete_topic(
    group: &Group,
    offsets: &Offsets,
    turn: &mut Turn<'_>,
    topic: &OffsetDeleteRequestTopic,
) -> OffsetDeleteResponseTopic {
    let subscribed = group.is_subscribed_to(&topic.name);
    let partitions = topic.partitions.iter().map(|partition| {
        let index = partition.partition_index;
        let code = if subscribed { ResponseError::GroupSubscribedToTopic.code() } else { 0 };
        let known = offsets.get(group.id(), &topic.name, index).is_some()
            || offsets.pending.has(group.id(), &topic.name, index);
        if !subscribed && known {
            forget(turn, group.id(), &topic.name, index);
        }
        OffsetDeleteResponsePartition::default().with_partition_index(index).with_error_code(code)
    });
    let partitions = partitions.collect();
    OffsetDeleteResponseTopic::default().with_name(topic.name.clone()).with_partitions(partitions)
}

/// All offsets of a group that is being deleted.
pub(in crate::group) fn delete_all(offsets: &Offsets, turn: &mut Turn<'_>, group: &str) {
    for (topic, partitions) in offsets.of(group) {
        for &partition in partitions.keys() {
            forget(turn, group, topic, partition);
        }
    }
    for key in offsets.pending.of_group(group) {
        if offsets.get(group, &key.topic, key.partition).is_none() {
            forget(turn, group, &key.topic, key.partition);
        }
    }
}

/// Offsets of deleted topics, in every group. A commit for a newer topic of the same name stays.
pub(in crate::group) fn topics_deleted(offsets: &Offsets, turn: &mut Turn<'_>, deleted: &[DeletedTopic]) {
    for (group, topics) in &offsets.groups {
        for topic in deleted {
            for (&partition, stored) in topics.get(&*topic.name).into_iter().flatten() {
                if is_of(&stored.commit, topic) {
                    forget(turn, group, &topic.name, partition);
                }
            }
        }
    }
    for (key, stored) in offsets.pending.iter() {
        if deleted.iter().any(|topic| topic.name == key.topic && is_of(&stored.commit, topic)) {
            forget(turn, &key.group, &key.topic, key.partition);
        }
    }
}

/// Old commits, and those of transactions, do not say which of the topics that had the name they mean.
fn is_of(commit: &OffsetCommit, topic: &DeletedTopic) -> bool {
    commit.topic_id.is_nil() || commit.topic_id == topic.id
}

pub(super) fn forget(turn: &mut Turn<'_>, group: &str, topic: &str, partition: i32) {
    turn.record_or_log(group, Record::offset_tombstone(&key(group, topic, partition)));
}
