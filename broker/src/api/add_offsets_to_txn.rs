//! AddOffsetsToTxn: 25, v0–4. The offsets of a group join a transaction: the group's partition of the offsets topic does.
//!
//! Versions: 2 PRODUCER_FENCED, 3 flexible, 4 TRANSACTION_ABORTABLE.

use std::ops::RangeInclusive;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{AddOffsetsToTxnRequest, AddOffsetsToTxnResponse};
use milena_coordinator::group;
use milena_coordinator::transaction::{Partitions, Reply, Request, TransactionVersion};
use milena_storage::ids::{ProducerEpoch, ProducerId, TopicPartition};

use super::{Cx, Outcome};
use crate::transactions::fenced_as;

pub const VERSIONS: RangeInclusive<i16> = 0..=4;

/// Clients before this version do not know PRODUCER_FENCED.
const PRODUCER_FENCED: i16 = 2;

pub fn handle(cx: &Cx<'_>, request: AddOffsetsToTxnRequest) -> Outcome<AddOffsetsToTxnResponse> {
    let version = cx.version;
    let id = request.transactional_id.as_str();
    // The topic may not be there before the group's coordinator is looked for.
    let count = match cx.image.topic(group::TOPIC) {
        Some(topic) => topic.partition_count(),
        None => cx.broker.settings.load().groups().offsets.topic_partitions,
    };
    let Some(index) = group::partition_for(&request.group_id, count) else {
        return refuse(&request, ResponseError::CoordinatorNotAvailable.code()).into();
    };
    let partition = TopicPartition::new(group::TOPIC, index);
    let partitions = Partitions {
        id: id.into(),
        producer_id: ProducerId(request.producer_id.0),
        epoch: ProducerEpoch(request.producer_epoch),
        partitions: [partition].into(),
        // Clients that let the group's coordinator add the partition do not send this (KIP-890).
        client_version: TransactionVersion::V0,
    };
    cx.broker.transactions.ask(&cx.image, id, Request::AddPartitions(partitions)).then(move |reply| {
        let error = match reply {
            Err(error) | Ok(Reply::AddPartitions(Err(error))) => Some(error),
            Ok(_) => None,
        };
        let code =
            error.map_or(0, |error: ResponseError| fenced_as(error, version >= PRODUCER_FENCED).code());
        AddOffsetsToTxnResponse::default().with_error_code(code)
    })
}

pub fn refuse(_request: &AddOffsetsToTxnRequest, code: i16) -> AddOffsetsToTxnResponse {
    AddOffsetsToTxnResponse::default().with_error_code(code)
}
