//! The client's side of SASL on a connection: handshake and tokens, before anything is asked (`SaslClientAuthenticator`).
//!
//! Must never ask a second time with what was refused.

use std::time::Duration;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{SaslAuthenticateRequest, SaslHandshakeRequest};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::connection::Connection;
use super::{Missed, Refused};
use crate::security::sasl::Login;

const AUTHENTICATION_EXCEPTION: &str = "org.apache.kafka.common.errors.SaslAuthenticationException";
/// In an older version tokens are not framed as requests, and in an older one of the tokens there is no lifetime.
const HANDSHAKE: i16 = 1;
const AUTHENTICATE: i16 = 1;

/// Proves who the client is; gives how long the broker believes it, in milliseconds, 0 for ever.
pub(super) fn log_in(connection: &mut Connection, login: &Login, limit: Duration) -> Result<i64, Missed> {
    let mechanism = login.mechanism.name();
    let request = SaslHandshakeRequest::default().with_mechanism(StrBytes::from_static_str(mechanism));
    let answer = connection.call(&request, HANDSHAKE, limit)?;
    if let Some(refused) = Refused::of(answer.error_code, None) {
        let enabled: Vec<&str> = answer.mechanisms.iter().map(StrBytes::as_str).collect();
        let enabled = enabled.join(", ");
        let message = if refused.is(ResponseError::UnsupportedSaslMechanism) {
            format!(
                "Client SASL mechanism '{mechanism}' not enabled in the server, enabled mechanisms are [{enabled}]"
            )
        } else {
            format!(
                "Unexpected handshake request with client mechanism {mechanism}, enabled mechanisms are [{enabled}]"
            )
        };
        return Err(refused.saying(message).into());
    }
    let nonce = Uuid::new_v4().simple().to_string();
    let (mut exchange, mut token) = login.begin(&nonce);
    loop {
        let request = SaslAuthenticateRequest::default().with_auth_bytes(token.into());
        let answer = connection.call(&request, AUTHENTICATE, limit)?;
        Refused::check(answer.error_code, answer.error_message.as_deref())?;
        let next = exchange.answer(&answer.auth_bytes);
        match next.map_err(|what| Refused::own(AUTHENTICATION_EXCEPTION, what))? {
            Some(next) => token = next,
            None => return Ok(answer.session_lifetime_ms),
        }
    }
}
