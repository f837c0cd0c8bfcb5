//! UnregisterBroker: 64, v0. Ends the registration of a broker that will not come back (KIP-631).
//!
//! Decisions: `controller::unregister_broker`.

use std::ops::RangeInclusive;

use kafka_protocol::messages::{UnregisterBrokerRequest, UnregisterBrokerResponse};
use milena_coordinator::controller::Refusal;

use super::{Cx, Outcome};

pub const VERSIONS: RangeInclusive<i16> = 0..=0;

pub fn handle(cx: &Cx<'_>, request: UnregisterBrokerRequest) -> Outcome<UnregisterBrokerResponse> {
    let quorum = match cx.broker.quorum() {
        Ok(quorum) => quorum.clone(),
        Err(refusal) => return refuse(&refusal).into(),
    };
    Outcome::later(async move {
        quorum.unregister_broker(request).await.unwrap_or_else(|refusal| refuse(&refusal))
    })
}

fn refuse(refusal: &Refusal) -> UnregisterBrokerResponse {
    UnregisterBrokerResponse::default()
        .with_error_code(refusal.code.code())
        .with_error_message(refusal.wire_message())
}
