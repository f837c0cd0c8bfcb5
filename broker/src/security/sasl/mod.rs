//! SASL as a listener asks for it: the mechanisms, who may use them, and each connection's state.
//!
//! Must never tell a client why its credentials were refused beyond what Kafka tells. Nothing is compared in a time that
//! depends on a secret.

mod client;
mod exchange;
pub(crate) mod jaas;
mod plain;
mod scram;
mod session;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use milena_coordinator::controller::ScramMechanism;

use super::{Flaw, SecurityError};
use crate::settings::SaslSettings;
pub use client::{Exchange, Login};
pub use exchange::Failure;
pub use scram::salted_password;
pub use session::{Begun, Expected, Granted, Sasl, SaslSession, Step};

/// A mechanism that is served.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mechanism {
    Plain,
    Scram(ScramMechanism),
}

impl Mechanism {
    const ALL: [Self; 3] =
        [Self::Plain, Self::Scram(ScramMechanism::Sha256), Self::Scram(ScramMechanism::Sha512)];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Scram(mechanism) => mechanism.name(),
        }
    }

    /// By its name; `None` if it is not served.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mechanism| mechanism.name() == name)
    }
}

/// What one listener asks of its clients.
pub struct SaslListener {
    offered: Vec<Offered>,
    /// Names and passwords for PLAIN.
    users: BTreeMap<String, String>,
    /// The largest frame before a client has proved who it is.
    pub max_receive: usize,
    /// How long the answer to a failure is held back.
    pub failure_delay: Duration,
}

struct Offered {
    mechanism: Mechanism,
    /// After this time a client must prove itself anew (KIP-368).
    max_reauth: Option<Duration>,
}

impl SaslListener {
    /// What these settings ask for. Reads the JAAS file if one is named.
    pub fn new(settings: &SaslSettings) -> Result<Arc<Self>, SecurityError> {
        Self::build(settings)
            .map(Arc::new)
            .map_err(|flaw| SecurityError { listener: settings.listener.clone(), flaw })
    }

    fn build(settings: &SaslSettings) -> Result<Self, Flaw> {
        let mut offered = Vec::new();
        for of in &settings.mechanisms {
            let Some(mechanism) = Mechanism::parse(&of.name) else {
                return Err(Flaw::Settings(format!(
                    "SASL mechanism {} is not supported: set sasl.enabled.mechanisms (or \
                     listener.name.{}.sasl.enabled.mechanisms) to some of PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512",
                    of.name,
                    settings.listener.to_lowercase()
                )));
            };
            offered.push(Offered { mechanism, max_reauth: of.max_reauth });
        }
        if offered.is_empty() {
            return Err(Flaw::Settings("No SASL mechanisms are enabled".to_owned()));
        }
        let has_plain = offered.iter().any(|offered| offered.mechanism == Mechanism::Plain);
        let users = if has_plain { jaas::plain_users(settings)? } else { BTreeMap::new() };
        let (max_receive, failure_delay) = (settings.max_receive, settings.failure_delay);
        Ok(Self { offered, users, max_receive, failure_delay })
    }

    /// The mechanisms as clients are told.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.offered.iter().map(|offered| offered.mechanism.name())
    }

    fn offered(&self, name: &str) -> Option<&Offered> {
        self.offered.iter().find(|offered| offered.mechanism.name() == name)
    }
}

impl std::fmt::Debug for SaslListener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

#[cfg(test)]
mod tests;
