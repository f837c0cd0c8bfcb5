//! WriteTxnMarkers: 27, v1–2. Ends transactions in the partitions of this broker.
//!
//! Behaviour: meant for coordinators of other brokers, and sent by `kafka-transactions abort`. Answered when the
//! markers are committed. Versions: 2 tells the transaction's version, by which its epoch is looked at (KIP-1228).

use std::ops::RangeInclusive;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::WriteTxnMarkersResponse;
use kafka_protocol::messages::write_txn_markers_request::WritableTxnMarker;
use kafka_protocol::messages::write_txn_markers_response::{
    WritableTxnMarkerPartitionResult, WritableTxnMarkerResult, WritableTxnMarkerTopicResult,
};
use milena_storage::batch::EndTransaction;
use milena_storage::ids::{ProducerEpoch, ProducerId, TopicPartition};

use super::{Cx, Outcome};
use crate::codec::txn_markers::{TxnMarker, TxnMarkers, TxnMarkersAnswer};
use crate::partition::marker::Marker;
use crate::partition::waiters::Wakes;
use crate::transactions::Written;

pub const VERSIONS: RangeInclusive<i16> = 1..=2;

pub fn handle(cx: &Cx<'_>, TxnMarkers(markers): TxnMarkers) -> Outcome<TxnMarkersAnswer> {
    let mut wakes = Wakes::default();
    let mut written = Vec::new();
    let results = markers.iter().map(|marker| end(cx, marker, &mut wakes, &mut written)).collect();
    wakes.fire();
    let response = WriteTxnMarkersResponse::default().with_markers(results);
    written.retain(|(_, written): &(ProducerId, Written)| written.is_committed() != Some(true));
    if written.is_empty() {
        return TxnMarkersAnswer(response).into();
    }
    Outcome::later(async move {
        let mut response = response;
        for (producer, written) in written {
            if !written.settled().await {
                lost(&mut response, producer, written.name());
            }
        }
        TxnMarkersAnswer(response)
    })
}

/// Somebody else leads the partition before the marker was committed: whoever ordered it has to ask there.
fn lost(response: &mut WriteTxnMarkersResponse, producer: ProducerId, at: &TopicPartition) {
    let markers = response.markers.iter_mut().filter(|marker| marker.producer_id.0 == producer.0);
    let topics = markers.flat_map(|marker| &mut marker.topics);
    let partitions =
        topics.filter(|topic| topic.name.as_str() == at.topic).flat_map(|topic| &mut topic.partitions);
    for partition in partitions.filter(|partition| partition.partition_index == at.partition.0) {
        partition.error_code = ResponseError::NotLeaderOrFollower.code();
    }
}

pub fn refuse(TxnMarkers(markers): &TxnMarkers, code: i16) -> TxnMarkersAnswer {
    let results = markers.iter().map(|asked| result(&asked.marker, |_, _| code));
    TxnMarkersAnswer(WriteTxnMarkersResponse::default().with_markers(results.collect()))
}

fn end(
    cx: &Cx<'_>,
    TxnMarker { marker: asked, transaction_version }: &TxnMarker,
    wakes: &mut Wakes,
    written: &mut Vec<(ProducerId, Written)>,
) -> WritableTxnMarkerResult {
    let marker = Marker {
        producer_id: ProducerId(asked.producer_id.0),
        epoch: ProducerEpoch(asked.producer_epoch),
        end: EndTransaction { commit: asked.transaction_result, coordinator_epoch: asked.coordinator_epoch },
        transaction_version: i16::from(*transaction_version),
    };
    result(asked, |topic, index| {
        match cx.broker.transactions.write_marker(&TopicPartition::new(topic, index), &marker, wakes) {
            Ok(done) => {
                written.push((marker.producer_id, done));
                0
            }
            Err(error) => error.code(),
        }
    })
}

fn result(marker: &WritableTxnMarker, mut code: impl FnMut(&str, i32) -> i16) -> WritableTxnMarkerResult {
    let topics = marker.topics.iter().map(|topic| {
        let partitions = topic.partition_indexes.iter().map(|&index| {
            WritableTxnMarkerPartitionResult::default()
                .with_partition_index(index)
                .with_error_code(code(&topic.name, index))
        });
        WritableTxnMarkerTopicResult::default()
            .with_name(topic.name.clone())
            .with_partitions(partitions.collect())
    });
    WritableTxnMarkerResult::default().with_producer_id(marker.producer_id).with_topics(topics.collect())
}
