//! AddPartitionsToTxn: 24, v0–5. Partitions join a transaction, or are asked to be in it.
//!
//! Behaviour: one partition that does not exist fails all of its transaction: that one with
//! UNKNOWN_TOPIC_OR_PARTITION, the others with OPERATION_NOT_ATTEMPTED. Versions 4 and 5 are brokers': several
//! transactions at once, some only to be verified (KIP-890).
//! Versions: 2 PRODUCER_FENCED, 3 flexible, 5 TRANSACTION_ABORTABLE.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::add_partitions_to_txn_request::{
    AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction,
};
use kafka_protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnResult, AddPartitionsToTxnTopicResult,
};
use kafka_protocol::messages::{AddPartitionsToTxnRequest, AddPartitionsToTxnResponse};
use milena_coordinator::image::MetadataImage;
use milena_coordinator::transaction::{Partitions, Reply, Request, TransactionVersion};
use milena_storage::ids::{PartitionIndex, ProducerEpoch, ProducerId, TopicPartition};

use super::{Cx, Outcome};
use crate::shard::{Asked, gather};
use crate::transactions::fenced_as;

pub const VERSIONS: RangeInclusive<i16> = 0..=5;

/// Clients before this version do not know PRODUCER_FENCED.
const PRODUCER_FENCED: i16 = 2;
/// From here on a request names several transactions.
const BATCHED: i16 = 4;

pub fn handle(cx: &Cx<'_>, request: AddPartitionsToTxnRequest) -> Outcome<AddPartitionsToTxnResponse> {
    let version = cx.version;
    let transactions = transactions(version, &request);
    let asked = transactions.iter().map(|transaction| ask(cx, transaction)).collect();
    gather(asked, move |answers: Vec<Result<Reply, ResponseError>>| {
        let results = transactions.iter().zip(answers).map(|(transaction, answer)| {
            AddPartitionsToTxnResult::default()
                .with_transactional_id(transaction.transactional_id.clone())
                .with_topic_results(results(version, &transaction.topics, &answer))
        });
        response(version, results.collect())
    })
}

pub fn refuse(request: &AddPartitionsToTxnRequest, code: i16) -> AddPartitionsToTxnResponse {
    let results = request.v3_and_below_topics.iter().map(|topic| topic_result(topic, |_| code));
    AddPartitionsToTxnResponse::default()
        .with_error_code(code)
        .with_results_by_topic_v3_and_below(results.collect())
}

/// The transactions of a request of any version.
fn transactions(version: i16, request: &AddPartitionsToTxnRequest) -> Vec<AddPartitionsToTxnTransaction> {
    if version >= BATCHED {
        return request.transactions.clone();
    }
    vec![
        AddPartitionsToTxnTransaction::default()
            .with_transactional_id(request.v3_and_below_transactional_id.clone())
            .with_producer_id(request.v3_and_below_producer_id)
            .with_producer_epoch(request.v3_and_below_producer_epoch)
            .with_topics(request.v3_and_below_topics.clone()),
    ]
}

fn ask(cx: &Cx<'_>, transaction: &AddPartitionsToTxnTransaction) -> Asked<Result<Reply, ResponseError>> {
    if let Some(refused) = missing(&cx.image, &transaction.topics) {
        return Asked::Now(Ok(refused));
    }
    let id = transaction.transactional_id.as_str();
    let partitions = Partitions {
        id: id.into(),
        producer_id: ProducerId(transaction.producer_id.0),
        epoch: ProducerEpoch(transaction.producer_epoch),
        partitions: named(&transaction.topics).collect::<BTreeSet<_>>(),
        client_version: TransactionVersion::of_add_partitions(cx.version),
    };
    let request = if transaction.verify_only {
        Request::VerifyPartitions(partitions)
    } else {
        Request::AddPartitions(partitions)
    };
    cx.broker.transactions.ask(&cx.image, id, request)
}

fn named(topics: &[AddPartitionsToTxnTopic]) -> impl Iterator<Item = TopicPartition> {
    topics.iter().flat_map(|topic| {
        topic.partitions.iter().map(|index| TopicPartition::new(topic.name.as_str(), *index))
    })
}

/// The answer if a partition does not exist.
fn missing(image: &MetadataImage, topics: &[AddPartitionsToTxnTopic]) -> Option<Reply> {
    let exists = |at: &TopicPartition| image.partition(&at.topic, PartitionIndex(at.partition.0)).is_some();
    if named(topics).all(|partition| exists(&partition)) {
        return None;
    }
    let answers = named(topics).map(|partition| milena_coordinator::transaction::Added {
        error: Some(if exists(&partition) {
            ResponseError::OperationNotAttempted
        } else {
            ResponseError::UnknownTopicOrPartition
        }),
        partition,
    });
    Some(Reply::VerifyPartitions(answers.collect()))
}

fn results(
    version: i16,
    topics: &[AddPartitionsToTxnTopic],
    answer: &Result<Reply, ResponseError>,
) -> Vec<AddPartitionsToTxnTopicResult> {
    let code = |error: ResponseError| fenced_as(error, version >= PRODUCER_FENCED).code();
    let of = |topic: &AddPartitionsToTxnTopic, index: i32| match answer {
        Err(error) | Ok(Reply::AddPartitions(Err(error))) => code(*error),
        Ok(Reply::VerifyPartitions(each)) => {
            let at = TopicPartition::new(topic.name.as_str(), index);
            each.iter().find(|added| added.partition == at).and_then(|added| added.error).map_or(0, code)
        }
        Ok(_) => 0,
    };
    topics.iter().map(|topic| topic_result(topic, |index| of(topic, index))).collect()
}

fn topic_result(topic: &AddPartitionsToTxnTopic, code: impl Fn(i32) -> i16) -> AddPartitionsToTxnTopicResult {
    let partitions = topic.partitions.iter().map(|&index| {
        AddPartitionsToTxnPartitionResult::default()
            .with_partition_index(index)
            .with_partition_error_code(code(index))
    });
    AddPartitionsToTxnTopicResult::default()
        .with_name(topic.name.clone())
        .with_results_by_partition(partitions.collect())
}

fn response(version: i16, results: Vec<AddPartitionsToTxnResult>) -> AddPartitionsToTxnResponse {
    if version >= BATCHED {
        return AddPartitionsToTxnResponse::default().with_results_by_transaction(results);
    }
    let topics = results.into_iter().flat_map(|result| result.topic_results);
    AddPartitionsToTxnResponse::default().with_results_by_topic_v3_and_below(topics.collect())
}
