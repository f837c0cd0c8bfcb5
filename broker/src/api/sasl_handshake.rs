//! SaslHandshake: 17, v0–1. A client names its SASL mechanism.
//!
//! Behaviour: on a listener that asks for SASL the dispatch takes it (`dispatch/authentication.rs`); what arrives here comes from
//! a client that has nothing to prove, or too soon again, and is ILLEGAL_SASL_STATE (`KafkaApis.handleSaslHandshakeRequest`).
//! Versions: 1 tokens follow in SaslAuthenticate instead of bare (KIP-152).

use std::ops::RangeInclusive;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{SaslHandshakeRequest, SaslHandshakeResponse};

use super::{Cx, Outcome};

pub const VERSIONS: RangeInclusive<i16> = 0..=1;

pub fn handle(_cx: &Cx<'_>, _request: SaslHandshakeRequest) -> Outcome<SaslHandshakeResponse> {
    SaslHandshakeResponse::default().with_error_code(ResponseError::IllegalSaslState.code()).into()
}
