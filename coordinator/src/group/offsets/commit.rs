//! OffsetCommit: whose commits are accepted, and what is kept.
//!
//! Must never accept a commit of a member that has been fenced or of another generation.
//!
//! Whether topics and partitions exist is the handler's business; they are in this request because they do.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use kafka_protocol::messages::{OffsetCommitRequest, OffsetCommitResponse};
use milena_storage::ids::{LeaderEpoch, Offset, Timestamp};

use super::key;
use crate::group::classic::ClassicGroup;
use crate::group::consumer::Committer;
use crate::group::groups::{Group, Groups};
use crate::group::precheck::commit_refusal;
use crate::group::records::{OffsetCommit, Record};
use crate::group::turn::Turn;
use crate::group::{Caller, ClassicState, Reply, Ticket};

/// From here on a commit to an unknown group is told so, in words that both protocols know (KIP-848).
const KNOWS_GROUP_ID_NOT_FOUND: i16 = 9;
/// The retention time that means the broker's.
const DEFAULT_RETENTION: i64 = -1;

pub(in crate::group) fn commit(
    groups: &Groups,
    turn: &mut Turn<'_>,
    ticket: Ticket,
    caller: &Caller,
    request: &OffsetCommitRequest,
) {
    if let Err(error) = validate(groups, turn, caller.api_version, request) {
        turn.reply(ticket, Reply::Commit(commit_refusal(request, error)));
        return;
    }
    let topics = request.topics.iter().map(|topic| {
        let results = topic.partitions.iter().map(|partition| {
            let code =
                commit_partition(turn, request, topic, partition).map_or_else(|error| error.code(), |()| 0);
            OffsetCommitResponsePartition::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(code)
        });
        OffsetCommitResponseTopic::default()
            .with_name(topic.name.clone())
            .with_topic_id(topic.topic_id)
            .with_partitions(results.collect())
    });
    let topics = topics.collect();
    turn.reply(ticket, Reply::Commit(OffsetCommitResponse::default().with_topics(topics)));
}

fn validate(
    groups: &Groups,
    turn: &mut Turn<'_>,
    version: i16,
    request: &OffsetCommitRequest,
) -> Result<(), ResponseError> {
    let Some(group) = groups.get(&**request.group_id) else {
        return match request.generation_id_or_member_epoch {
            // Somebody who manages partitions without a group; applying the commit makes a group of offsets only.
            ..0 => Ok(()),
            _ if version >= KNOWS_GROUP_ID_NOT_FOUND => Err(ResponseError::GroupIdNotFound),
            _ => Err(ResponseError::IllegalGeneration),
        };
    };
    let group = match group {
        Group::Classic(group) => group,
        Group::Consumer(group) => {
            let committer = Committer {
                member: &request.member_id,
                instance: request.group_instance_id.as_deref(),
                epoch: request.generation_id_or_member_epoch,
                version: Some(version),
            };
            let fits = |partition: &&OffsetCommitRequestPartition| !is_too_large(turn, partition);
            let all = request.topics.iter().flat_map(|topic| {
                let id = Some(topic.topic_id).filter(|id| !id.is_nil());
                let partitions = topic.partitions.iter().filter(fits);
                partitions.map(move |partition| (id, partition.partition_index))
            });
            return group.validate_commit(&committer, all);
        }
    };
    group.validate_commit(request)?;
    if matches!(group.state(), ClassicState::Stable | ClassicState::PreparingRebalance) {
        group.touch(turn, &request.member_id);
    }
    Ok(())
}

impl ClassicGroup {
    fn validate_commit(&self, request: &OffsetCommitRequest) -> Result<(), ResponseError> {
        let generation = request.generation_id_or_member_epoch;
        let instance = request.group_instance_id.as_deref();
        if generation < 0 && self.state() == ClassicState::Empty {
            return Ok(());
        }
        if generation < 0 && request.member_id.is_empty() && instance.is_none() {
            // Somebody outside the group may only commit while it is empty.
            return Err(ResponseError::UnknownMemberId);
        }
        self.validate_member(&request.member_id, instance)?;
        if generation != self.generation() {
            Err(ResponseError::IllegalGeneration)
        } else if self.state() == ClassicState::CompletingRebalance {
            // A member of the new generation that still commits what it had before; it is to sync first.
            Err(ResponseError::RebalanceInProgress)
        } else {
            Ok(())
        }
    }
}

fn is_too_large(turn: &Turn<'_>, partition: &OffsetCommitRequestPartition) -> bool {
    let metadata = partition.committed_metadata.as_deref().unwrap_or_default();
    metadata.encode_utf16().count() > turn.config.offset_metadata_max
}

fn commit_partition(
    turn: &mut Turn<'_>,
    request: &OffsetCommitRequest,
    topic: &OffsetCommitRequestTopic,
    partition: &OffsetCommitRequestPartition,
) -> Result<(), ResponseError> {
    if is_too_large(turn, partition) {
        return Err(ResponseError::OffsetMetadataTooLarge);
    }
    let metadata = partition.committed_metadata.as_deref().unwrap_or_default();
    let expires = request.retention_time_ms != DEFAULT_RETENTION;
    let commit = OffsetCommit {
        offset: Offset(partition.committed_offset),
        leader_epoch: LeaderEpoch(partition.committed_leader_epoch),
        metadata: metadata.to_owned(),
        commit_timestamp: turn.now,
        expire_timestamp: expires.then(|| Timestamp(turn.now.0.saturating_add(request.retention_time_ms))),
        topic_id: topic.topic_id,
    };
    let key = key(&request.group_id, &topic.name, partition.partition_index);
    turn.record(Record::offset(&key, &commit)?);
    Ok(())
}
