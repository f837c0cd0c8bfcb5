//! One exchange of tokens, whatever the mechanism.
//!
//! Must never go on after it was refused or is done.

use milena_coordinator::controller::ScramCredential;

use super::plain::Plain;
use super::scram::Scram;
use super::{Mechanism, SaslListener};

/// Why a client was refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Failure {
    /// The client is told (Kafka's `SaslAuthenticationException`).
    Told(String),
    /// Only the log is told: it might say whether a user exists (`SaslException`).
    Hidden(String),
}

/// What a token led to.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Outcome {
    Challenge(Vec<u8>),
    /// The client is this user.
    Proved {
        token: Vec<u8>,
        user: String,
    },
}

/// What an exchange may ask while it goes on.
pub(super) struct Known<'a> {
    /// The credential of a user for a mechanism of SCRAM.
    pub credential: &'a dyn Fn(&str) -> Option<ScramCredential>,
    /// Fresh and not to be guessed.
    pub nonce: &'a str,
}

pub(super) enum Exchange {
    Plain(Plain),
    Scram(Scram),
}

impl Exchange {
    pub(super) fn new(mechanism: Mechanism) -> Self {
        match mechanism {
            Mechanism::Plain => Self::Plain(Plain),
            Mechanism::Scram(mechanism) => Self::Scram(Scram::new(mechanism)),
        }
    }

    pub(super) fn step(
        &mut self,
        token: &[u8],
        listener: &SaslListener,
        known: &Known<'_>,
    ) -> Result<Outcome, Failure> {
        match self {
            Self::Plain(plain) => plain.step(token, &listener.users),
            Self::Scram(scram) => scram.step(token, known),
        }
    }
}
