//! InitProducerId: 22, v0–5. An id for an idempotent producer (KIP-98), or the next epoch of a transactional one.
//!
//! Behaviour: without a transactional id every request gets a fresh id with epoch 0, whatever it had before. An id
//! without an epoch, or the reverse, is INVALID_REQUEST. With one, whoever had it is fenced; while its transaction is
//! ended for it, CONCURRENT_TRANSACTIONS.
//! Versions: 2 flexible, 3 producer id and epoch (KIP-360), 4 PRODUCER_FENCED, 5 TRANSACTION_ABORTABLE.

use std::ops::RangeInclusive;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse, ProducerId};
use milena_coordinator::transaction::{Init, Initialized, Reply, Request};
use milena_storage::ids::{ProducerEpoch, ProducerId as Id};

use super::{Cx, Outcome};
use crate::transactions::fenced_as;

pub const VERSIONS: RangeInclusive<i16> = 0..=5;

/// Clients before this version do not know PRODUCER_FENCED.
const PRODUCER_FENCED: i16 = 4;
const NONE: i64 = -1;

pub fn handle(cx: &Cx<'_>, request: InitProducerIdRequest) -> Outcome<InitProducerIdResponse> {
    if let Some(error) = fault(&request) {
        return refuse(&request, error.code()).into();
    }
    let (broker, image, version) = (cx.broker.clone(), cx.image.clone(), cx.version);
    let ask = move |fresh: Id| {
        let Some(request) = transactional(&request, fresh) else { return Err(granted(fresh)) };
        Ok(broker.transactions.ask(&image, &request.id.clone(), Request::Init(request)))
    };
    let told = move |reply: Result<Reply, ResponseError>| answer(version, reply);
    if let Some(fresh) = cx.broker.producer_ids.next() {
        return match ask(fresh) {
            Ok(asked) => asked.then(told),
            Err(granted) => granted.into(),
        };
    }
    let transactions = cx.broker.transactions.clone();
    Outcome::later(async move {
        match transactions.fresh_producer_id().await.map(ask) {
            Ok(Ok(asked)) => told(asked.wait().await),
            Ok(Err(granted)) => granted,
            Err(error) => refused(error.code()),
        }
    })
}

pub fn refuse(_request: &InitProducerIdRequest, code: i16) -> InitProducerIdResponse {
    refused(code)
}

fn fault(request: &InitProducerIdRequest) -> Option<ResponseError> {
    let has_id = request.producer_id.0 != NONE;
    let has_epoch = request.producer_epoch != -1;
    (has_id != has_epoch).then_some(ResponseError::InvalidRequest)
}

/// What the coordinator is asked; `None` for a producer without a transactional id.
fn transactional(request: &InitProducerIdRequest, fresh: Id) -> Option<Init> {
    let id = request.transactional_id.as_ref()?;
    let known = (Id(request.producer_id.0), ProducerEpoch(request.producer_epoch));
    Some(Init {
        id: id.as_str().into(),
        timeout_ms: request.transaction_timeout_ms,
        two_phase_commit: request.enable_2_pc,
        keep_prepared: request.keep_prepared_txn,
        expected: (request.producer_id.0 != NONE).then_some(known),
        fresh,
    })
}

fn answer(version: i16, reply: Result<Reply, ResponseError>) -> InitProducerIdResponse {
    let initialized = reply.and_then(|reply| match reply {
        Reply::Init(initialized) => initialized,
        _ => unreachable!("a reply is of its request's kind"),
    });
    match initialized {
        Ok(Initialized { producer_id, epoch }) => granted(producer_id).with_producer_epoch(epoch.0),
        Err(error) => refused(fenced_as(error, version >= PRODUCER_FENCED).code()),
    }
}

fn granted(id: Id) -> InitProducerIdResponse {
    InitProducerIdResponse::default().with_producer_id(ProducerId(id.0)).with_producer_epoch(0)
}

fn refused(code: i16) -> InitProducerIdResponse {
    InitProducerIdResponse::default()
        .with_error_code(code)
        .with_producer_id(ProducerId(NONE))
        .with_producer_epoch(-1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_needs_its_epoch() {
        let with = |id, epoch| {
            InitProducerIdRequest::default().with_producer_id(ProducerId(id)).with_producer_epoch(epoch)
        };
        assert!(fault(&with(-1, -1).with_transactional_id(None)).is_none());
        assert!(fault(&with(7, 2).with_transactional_id(None)).is_none());
        for (id, epoch) in [(7, -1), (-1, 2)] {
            let asked = with(id, epoch).with_transactional_id(None);
            assert_eq!(fault(&asked), Some(ResponseError::InvalidRequest));
        }
    }
}
