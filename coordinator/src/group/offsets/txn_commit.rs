//! TxnOffsetCommit: offsets that count when their transaction is committed (KIP-98, KIP-447).
//!
//! Must never accept a commit of a member that has been fenced or of another generation.
//!
//! Kafka: `OffsetMetadataManager.commitTransactionalOffset`.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use kafka_protocol::messages::{TxnOffsetCommitRequest, TxnOffsetCommitResponse};
use milena_storage::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId};
use uuid::Uuid;

use super::key;
use crate::group::classic::ClassicGroup;
use crate::group::consumer::Committer;
use crate::group::groups::{Group, Groups};
use crate::group::records::{OffsetCommit, Record};
use crate::group::turn::Turn;
use crate::group::{ClassicState, Reply, Ticket};

pub(in crate::group) fn commit(
    groups: &Groups,
    turn: &mut Turn<'_>,
    ticket: Ticket,
    request: &TxnOffsetCommitRequest,
) {
    if let Err(error) = validate(groups, turn, request) {
        turn.reply(ticket, Reply::CommitInTransaction(refusal(request, error)));
        return;
    }
    turn.out.transaction = Some((ProducerId(request.producer_id.0), ProducerEpoch(request.producer_epoch)));
    let response = answer(request, |topic, partition| commit_partition(turn, request, topic, partition));
    turn.reply(ticket, Reply::CommitInTransaction(response));
}

/// The answer to a request that fails as a whole.
pub(in crate::group) fn refusal(
    request: &TxnOffsetCommitRequest,
    error: ResponseError,
) -> TxnOffsetCommitResponse {
    answer(request, |_, _| Err(error))
}

fn answer(
    request: &TxnOffsetCommitRequest,
    mut each: impl FnMut(
        &TxnOffsetCommitRequestTopic,
        &TxnOffsetCommitRequestPartition,
    ) -> Result<(), ResponseError>,
) -> TxnOffsetCommitResponse {
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            TxnOffsetCommitResponsePartition::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(each(topic, partition).map_or_else(|error| error.code(), |()| 0))
        });
        TxnOffsetCommitResponseTopic::default()
            .with_name(topic.name.clone())
            .with_partitions(partitions.collect())
    });
    TxnOffsetCommitResponse::default().with_topics(topics.collect())
}

fn validate(groups: &Groups, turn: &Turn<'_>, request: &TxnOffsetCommitRequest) -> Result<(), ResponseError> {
    match groups.get(&**request.group_id) {
        Some(Group::Classic(group)) => group.validate_transactional_commit(request),
        Some(Group::Consumer(group)) => {
            let committer = Committer {
                member: &request.member_id,
                instance: request.group_instance_id.as_deref(),
                epoch: request.generation_id,
                version: None,
            };
            let all = request.topics.iter().flat_map(|topic| {
                let id = turn.image.topic(&topic.name).map(|topic| topic.id);
                topic.partitions.iter().map(move |partition| (id, partition.partition_index))
            });
            group.validate_commit(&committer, all)
        }
        // Somebody who manages partitions without a group.
        None if request.generation_id < 0 => Ok(()),
        None => Err(ResponseError::IllegalGeneration),
    }
}

impl ClassicGroup {
    /// `ClassicGroup.validateOffsetCommit` with `isTransactional`: producers before KIP-447 name no member.
    fn validate_transactional_commit(&self, request: &TxnOffsetCommitRequest) -> Result<(), ResponseError> {
        let generation = request.generation_id;
        let instance = request.group_instance_id.as_deref();
        if generation < 0 && self.state() == ClassicState::Empty {
            return Ok(());
        }
        if generation < 0 && request.member_id.is_empty() && instance.is_none() {
            return Ok(());
        }
        self.validate_member(&request.member_id, instance)?;
        if generation == self.generation() { Ok(()) } else { Err(ResponseError::IllegalGeneration) }
    }
}

fn commit_partition(
    turn: &mut Turn<'_>,
    request: &TxnOffsetCommitRequest,
    topic: &TxnOffsetCommitRequestTopic,
    partition: &TxnOffsetCommitRequestPartition,
) -> Result<(), ResponseError> {
    let metadata = partition.committed_metadata.as_deref().unwrap_or_default();
    if metadata.encode_utf16().count() > turn.config.offset_metadata_max {
        return Err(ResponseError::OffsetMetadataTooLarge);
    }
    let commit = OffsetCommit {
        offset: Offset(partition.committed_offset),
        leader_epoch: LeaderEpoch(partition.committed_leader_epoch),
        metadata: metadata.to_owned(),
        commit_timestamp: turn.now,
        expire_timestamp: None,
        // These requests have names only.
        topic_id: Uuid::nil(),
    };
    let key = key(&request.group_id, &topic.name, partition.partition_index);
    turn.record(Record::offset(&key, &commit)?);
    Ok(())
}
