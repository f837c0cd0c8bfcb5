//! InitProducerId: 22, v0–5. An id for an idempotent producer (KIP-98).
//!
//! Behaviour: without a transactional id every request gets a fresh id with epoch 0, whatever it had before. An id
//! without an epoch, or the reverse, is INVALID_REQUEST. With a transactional id: UNSUPPORTED_VERSION, which clients
//! show as fatal, until there is a transaction coordinator.
//! Versions: 2 flexible, 3 producer id and epoch (KIP-360), 4 PRODUCER_FENCED, 5 TRANSACTION_ABORTABLE.

use std::ops::RangeInclusive;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse, ProducerId};

use super::{Cx, Outcome};

pub const VERSIONS: RangeInclusive<i16> = 0..=5;

const NONE: i64 = -1;

pub fn handle(cx: &Cx<'_>, request: InitProducerIdRequest) -> Outcome<InitProducerIdResponse> {
    if let Some(error) = fault(&request) {
        return refuse(&request, error.code()).into();
    }
    if let Some(id) = cx.broker.producer_ids.next() {
        return granted(id.0).into();
    }
    let broker = cx.broker.clone();
    Outcome::later(async move {
        let taken = match broker.quorum() {
            Ok(quorum) => broker.producer_ids.refill(quorum).await,
            Err(refusal) => Err(refusal),
        };
        match taken {
            Ok(id) => granted(id.0),
            Err(refusal) => refused(refusal.code.code()),
        }
    })
}

pub fn refuse(_request: &InitProducerIdRequest, code: i16) -> InitProducerIdResponse {
    refused(code)
}

fn fault(request: &InitProducerIdRequest) -> Option<ResponseError> {
    let has_id = request.producer_id.0 != NONE;
    let has_epoch = request.producer_epoch != -1;
    match &request.transactional_id {
        _ if has_id != has_epoch => Some(ResponseError::InvalidRequest),
        None => None,
        Some(id) if id.is_empty() => Some(ResponseError::InvalidRequest),
        Some(_) => Some(ResponseError::UnsupportedVersion),
    }
}

fn granted(id: i64) -> InitProducerIdResponse {
    InitProducerIdResponse::default().with_producer_id(ProducerId(id)).with_producer_epoch(0)
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
