//! EndTxn: 26, v0–5. Commits or aborts a transaction.
//!
//! Behaviour: answered when the decision is committed; the markers follow.
//! Versions: 2 PRODUCER_FENCED, 3 flexible, 4 TRANSACTION_ABORTABLE, 5 the epoch grows, and the answer tells the
//! producer's id and epoch from now on (KIP-890).

use std::ops::RangeInclusive;

use kafka_protocol::messages::{EndTxnRequest, EndTxnResponse, ProducerId};
use milena_coordinator::transaction::{End, Reply, Request, TransactionVersion};
use milena_storage::ids::{ProducerEpoch, ProducerId as Id};

use super::{Cx, Outcome};
use crate::transactions::fenced_as;

pub const VERSIONS: RangeInclusive<i16> = 0..=5;

/// Clients before this version do not know PRODUCER_FENCED.
const PRODUCER_FENCED: i16 = 2;

pub fn handle(cx: &Cx<'_>, request: EndTxnRequest) -> Outcome<EndTxnResponse> {
    let version = cx.version;
    let id = request.transactional_id.as_str();
    let end = End {
        id: id.into(),
        producer_id: Id(request.producer_id.0),
        epoch: ProducerEpoch(request.producer_epoch),
        commit: request.committed,
        client_version: TransactionVersion::of_end_txn(version),
    };
    cx.broker.transactions.ask(&cx.image, id, Request::End(end)).then(move |reply| {
        let ended = reply.and_then(|reply| match reply {
            Reply::End(ended) => ended,
            _ => unreachable!("a reply is of its request's kind"),
        });
        match ended {
            Ok(ended) => {
                told(0).with_producer_id(ProducerId(ended.producer_id.0)).with_producer_epoch(ended.epoch.0)
            }
            Err(error) => told(fenced_as(error, version >= PRODUCER_FENCED).code()),
        }
    })
}

pub fn refuse(_request: &EndTxnRequest, code: i16) -> EndTxnResponse {
    told(code)
}

fn told(code: i16) -> EndTxnResponse {
    EndTxnResponse::default().with_error_code(code).with_producer_id(ProducerId(-1)).with_producer_epoch(-1)
}
