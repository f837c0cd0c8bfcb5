//! What transactions need of other brokers: the word of a coordinator, and markers in partitions that others lead.
//!
//! It must never take silence for a yes: a marker that nobody confirmed is ordered again, a partition that nobody confirmed is
//! not in the transaction.
//!
//! Kafka: `AddPartitionsToTxnManager`, `TransactionMarkerChannelManager`, `TransactionMarkerRequestCompletionHandler`.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::add_partitions_to_txn_request::{
    AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction,
};
use kafka_protocol::messages::write_txn_markers_request::{WritableTxnMarker, WritableTxnMarkerTopic};
use kafka_protocol::messages::{AddPartitionsToTxnRequest, TopicName, TransactionalId};
use kafka_protocol::protocol::StrBytes;
use milena_coordinator::transaction::{Added, MarkerOrder, Reply};
use milena_storage::ids::{BrokerId, LeaderEpoch, TopicPartition};

use super::verify::Client;
use crate::codec::txn_markers::{TxnMarker, TxnMarkers, TxnMarkersAnswer};
use crate::replication::pool::PeerPool;

/// The version in which brokers ask, about several transactions at once.
const ADD_PARTITIONS_VERSION: i16 = 5;
/// Every broker of a cluster that is being upgraded knows it.
const WRITE_MARKERS_VERSION: i16 = 1;

/// Asks the coordinator of a transaction about partitions that this broker leads, or has it add them.
pub(super) async fn verify(
    peers: &PeerPool,
    coordinator: BrokerId,
    client: &Client,
    partitions: &BTreeSet<TopicPartition>,
) -> Result<Reply, ResponseError> {
    let topic = |(name, indexes): (&str, Vec<i32>)| {
        AddPartitionsToTxnTopic::default().with_name(topic_name(name)).with_partitions(indexes)
    };
    let transaction = AddPartitionsToTxnTransaction::default()
        .with_transactional_id(TransactionalId(StrBytes::from_string(client.id.to_string())))
        .with_producer_id(client.producer_id.0.into())
        .with_producer_epoch(client.epoch.0)
        .with_verify_only(!client.adds)
        .with_topics(by_topic(partitions).into_iter().map(topic).collect());
    let request = AddPartitionsToTxnRequest::default().with_transactions(vec![transaction]);
    let answer = peers.ask(coordinator, ADD_PARTITIONS_VERSION, &request).await;
    let answer = answer.map_err(|error| {
        tracing::debug!(%coordinator, %error, "a transaction coordinator was not reached");
        ResponseError::NetworkException
    })?;
    if let Some(error) = ResponseError::try_from_code(answer.error_code) {
        return Err(error);
    }
    let mut told = BTreeMap::new();
    for topic in answer.results_by_transaction.iter().flat_map(|result| &result.topic_results) {
        for each in &topic.results_by_partition {
            let at = TopicPartition::new(topic.name.as_str(), each.partition_index);
            told.insert(at, ResponseError::try_from_code(each.partition_error_code));
        }
    }
    let added = |at: &TopicPartition| Added {
        partition: at.clone(),
        // Kafka's INVALID_TXN_STATE would abort; what was not answered is asked again.
        error: told.get(at).copied().unwrap_or(Some(ResponseError::NetworkException)),
    };
    Ok(Reply::VerifyPartitions(partitions.iter().map(added).collect()))
}

/// Has another broker write the markers of an order; the error of each partition, if any.
pub(super) async fn write_markers(
    peers: &PeerPool,
    leader: BrokerId,
    order: &MarkerOrder,
    coordinator_epoch: LeaderEpoch,
    partitions: &BTreeSet<TopicPartition>,
) -> Vec<(TopicPartition, Option<ResponseError>)> {
    let topic = |(name, indexes): (&str, Vec<i32>)| {
        WritableTxnMarkerTopic::default().with_name(topic_name(name)).with_partition_indexes(indexes)
    };
    let marker = WritableTxnMarker::default()
        .with_producer_id(order.producer_id.0.into())
        .with_producer_epoch(order.epoch.0)
        .with_transaction_result(order.commit)
        .with_coordinator_epoch(coordinator_epoch.0)
        .with_topics(by_topic(partitions).into_iter().map(topic).collect());
    // Levels are below 3.
    let transaction_version = i8::try_from(order.version.0).unwrap_or(i8::MAX);
    let request = TxnMarkers(vec![TxnMarker { marker, transaction_version }]);
    let mut told = BTreeMap::new();
    match peers.ask(leader, WRITE_MARKERS_VERSION, &request).await {
        Ok(TxnMarkersAnswer(answer)) => {
            for topic in answer.markers.iter().flat_map(|marker| &marker.topics) {
                for each in &topic.partitions {
                    let at = TopicPartition::new(topic.name.as_str(), each.partition_index);
                    told.insert(at, ResponseError::try_from_code(each.error_code));
                }
            }
        }
        Err(error) => tracing::debug!(%leader, %error, "a broker was not reached for its markers"),
    }
    let outcome =
        |at: &TopicPartition| told.get(at).copied().unwrap_or(Some(ResponseError::NetworkException));
    partitions.iter().map(|at| (at.clone(), outcome(at))).collect()
}

fn by_topic(partitions: &BTreeSet<TopicPartition>) -> BTreeMap<&str, Vec<i32>> {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for at in partitions {
        topics.entry(&at.topic).or_default().push(at.partition.0);
    }
    topics
}

fn topic_name(name: &str) -> TopicName {
    TopicName(StrBytes::from_string(name.to_owned()))
}
