//! SaslAuthenticate: 36, v0–2. One token of a SASL exchange (KIP-152).
//!
//! Behaviour: as for SaslHandshake; without an exchange it is ILLEGAL_SASL_STATE (`KafkaApis.handleSaslAuthenticateRequest`).
//! Versions: 1 how long the session lasts (KIP-368), 2 flexible.

use std::ops::RangeInclusive;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{SaslAuthenticateRequest, SaslAuthenticateResponse};
use kafka_protocol::protocol::StrBytes;

use super::{Cx, Outcome};

pub const VERSIONS: RangeInclusive<i16> = 0..=2;

pub fn handle(_cx: &Cx<'_>, _request: SaslAuthenticateRequest) -> Outcome<SaslAuthenticateResponse> {
    let message = "SaslAuthenticate request received after successful authentication";
    SaslAuthenticateResponse::default()
        .with_error_code(ResponseError::IllegalSaslState.code())
        .with_error_message(Some(StrBytes::from_static_str(message)))
        .into()
}
