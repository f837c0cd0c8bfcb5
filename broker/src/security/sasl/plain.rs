//! PLAIN (RFC 4616): a name and a password in one token, checked against the users of the listener (`PlainSaslServer`).
//!
//! Must never compare a password in a time that depends on where it differs.

use std::collections::BTreeMap;

use subtle::ConstantTimeEq;

use super::exchange::{Failure, Outcome};

/// One token decides, so there is no state.
pub(super) struct Plain;

impl Plain {
    pub(super) fn step(&self, token: &[u8], users: &BTreeMap<String, String>) -> Result<Outcome, Failure> {
        let told = |what: &str| Err(Failure::Told(what.to_owned()));
        let text = String::from_utf8_lossy(token);
        // As Kafka counts them: no more than four are looked for.
        let parts: Vec<&str> = text.splitn(5, '\0').take(4).collect();
        let [asked_for, user, password] = parts[..] else {
            return Err(Failure::Told(format!(
                "Invalid SASL/PLAIN response: expected 3 tokens, got {}",
                parts.len()
            )));
        };
        if user.is_empty() {
            return told("Authentication failed: username not specified");
        }
        if password.is_empty() {
            return told("Authentication failed: password not specified");
        }
        let is_right = users
            .get(user)
            .is_some_and(|expected| bool::from(expected.as_bytes().ct_eq(password.as_bytes())));
        if !is_right {
            return told("Authentication failed: Invalid username or password");
        }
        if !asked_for.is_empty() && asked_for != user {
            return told(
                "Authentication failed: Client requested an authorization id that is different from username",
            );
        }
        Ok(Outcome::Proved { token: Vec::new(), user: user.to_owned() })
    }
}
