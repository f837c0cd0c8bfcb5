//! TxnOffsetCommit: 28, v0–5. A group's positions that count when their transaction is committed (KIP-98).
//!
//! Behaviour: the group's partition has to be in the transaction; where it does not know the transaction to be open, the
//! coordinator is asked, and from version 5 on adds it (KIP-890). Unknown topics and partitions are refused one by one.
//! Versions: 2 leader epoch, 3 flexible, and members and generations (KIP-447), 4 TRANSACTION_ABORTABLE.

use std::ops::RangeInclusive;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use kafka_protocol::messages::{TxnOffsetCommitRequest, TxnOffsetCommitResponse};
use milena_coordinator::group::{self, Reply, Request};
use milena_coordinator::image::MetadataImage;
use milena_storage::ids::PartitionIndex;

use super::{Cx, Outcome};
use crate::shard::Question;
use crate::transactions::verify::{Client, Verification};

pub const VERSIONS: RangeInclusive<i16> = 0..=5;

/// From here on the group's coordinator adds its partition to the transaction.
const ADDS_PARTITION: i16 = 5;
/// From here on clients know TRANSACTION_ABORTABLE.
const KNOWS_ABORTABLE: i16 = 4;

pub fn handle(cx: &Cx<'_>, mut request: TxnOffsetCommitRequest) -> Outcome<TxnOffsetCommitResponse> {
    if request.group_id.is_empty() {
        return refuse(&request, ResponseError::InvalidGroupId.code()).into();
    }
    let mut refused = Vec::new();
    request.topics = std::mem::take(&mut request.topics)
        .into_iter()
        .filter_map(|topic| existing(&cx.image, topic, &mut refused))
        .collect();
    if request.topics.is_empty() {
        return TxnOffsetCommitResponse::default().with_topics(refused).into();
    }
    let client = Client {
        id: request.transactional_id.as_str().into(),
        producer_id: milena_storage::ids::ProducerId(request.producer_id.0),
        epoch: milena_storage::ids::ProducerEpoch(request.producer_epoch),
        adds: cx.version >= ADDS_PARTITION,
        knows_abortable: cx.version >= KNOWS_ABORTABLE,
    };
    let group = request.group_id.clone();
    let count = cx.image.topic(group::TOPIC).map_or(0, |topic| topic.partition_count());
    let partition = group::partition_for(&group, count)
        .and_then(|index| cx.broker.partitions.find(&cx.image, group::TOPIC, index).ok());
    let question = Question::new(cx, Request::CommitInTransaction(request.clone()));
    let Some(partition) = partition else {
        return cx.broker.shards.ask(cx, &group, question).then(|reply| merge(refused, reply));
    };
    let verification = Verification::of_offsets(cx, &client, partition);
    let (broker, image) = (cx.broker.clone(), cx.image.clone());
    verification.then(move |verified| match verified {
        Ok(guard) => {
            let question = if let Some(guard) = guard { question.under(guard) } else { question };
            let asked = broker.shards.ask_with(&image, &group, question);
            asked.then(|reply| merge(refused, reply))
        }
        Err(error) => refuse(&request, as_offset_error(error).code()).into(),
    })
}

/// A transaction coordinator that is not to be had, in words that make consumers' producers try again
/// (`GroupCoordinatorService.commitTransactionalOffsets`).
fn as_offset_error(error: ResponseError) -> ResponseError {
    match error {
        ResponseError::NetworkException => ResponseError::CoordinatorLoadInProgress,
        ResponseError::UnknownTopicOrPartition | ResponseError::RequestTimedOut => {
            ResponseError::CoordinatorNotAvailable
        }
        other => other,
    }
}

pub fn refuse(request: &TxnOffsetCommitRequest, code: i16) -> TxnOffsetCommitResponse {
    let topics = request.topics.iter().map(|topic| refuse_topic(topic, &topic.partitions, code));
    TxnOffsetCommitResponse::default().with_topics(topics.collect())
}

/// The part of a topic that exists; the rest is refused.
fn existing(
    image: &MetadataImage,
    topic: TxnOffsetCommitRequestTopic,
    refused: &mut Vec<TxnOffsetCommitResponseTopic>,
) -> Option<TxnOffsetCommitRequestTopic> {
    let known = image.topic(&topic.name);
    let exists = |partition: &TxnOffsetCommitRequestPartition| {
        known.is_some_and(|topic| topic.partition(PartitionIndex(partition.partition_index)).is_some())
    };
    let (good, bad): (Vec<_>, Vec<_>) = topic.partitions.iter().cloned().partition(exists);
    if !bad.is_empty() {
        refused.push(refuse_topic(&topic, &bad, ResponseError::UnknownTopicOrPartition.code()));
    }
    (!good.is_empty()).then(|| topic.with_partitions(good))
}

fn refuse_topic(
    topic: &TxnOffsetCommitRequestTopic,
    partitions: &[TxnOffsetCommitRequestPartition],
    code: i16,
) -> TxnOffsetCommitResponseTopic {
    let partitions = partitions.iter().map(|partition| {
        TxnOffsetCommitResponsePartition::default()
            .with_partition_index(partition.partition_index)
            .with_error_code(code)
    });
    TxnOffsetCommitResponseTopic::default()
        .with_name(topic.name.clone())
        .with_partitions(partitions.collect())
}

/// Each topic once, refused partitions first.
fn merge(refused: Vec<TxnOffsetCommitResponseTopic>, reply: Reply) -> TxnOffsetCommitResponse {
    let Reply::CommitInTransaction(response) = reply else {
        unreachable!("a reply is of its request's kind")
    };
    let mut topics = refused;
    for topic in response.topics {
        match topics.iter_mut().find(|other| other.name == topic.name) {
            Some(other) => other.partitions.extend(topic.partitions),
            None => topics.push(topic),
        }
    }
    TxnOffsetCommitResponse::default().with_topics(topics)
}
