//! What a connection has proved: the states of Kafka's `SaslServerAuthenticator`, re-authentication included (KIP-368).
//!
//! Must never go from failed to anything, nor let another user or mechanism take over a connection.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use milena_coordinator::controller::{ScramCredential, ScramMechanism};
use parking_lot::Mutex;

use super::exchange::{Exchange, Failure, Known, Outcome};
use super::{Mechanism, SaslListener};
use crate::api::context::Principal;

/// A client may not begin to prove itself anew more often (`KafkaChannel.MIN_REAUTH_INTERVAL_ONE_SECOND_NANOS`).
const BETWEEN_REAUTHENTICATIONS: Duration = Duration::from_secs(1);

/// A connection's session; clones are the same one.
#[derive(Clone)]
pub struct Sasl(Arc<Mutex<SaslSession>>);

pub struct SaslSession {
    listener: Arc<SaslListener>,
    state: State,
    /// Who the connection is, once that is proved, and by what.
    proved: Option<(Mechanism, Principal)>,
    /// When that is over.
    expires: Option<Duration>,
    begun_again: Option<Duration>,
}

enum State {
    /// Nothing has come: a client may ask for versions or name a mechanism.
    Initial,
    /// Versions were told.
    Versions,
    /// A proved client has begun again.
    Again,
    Exchange {
        mechanism: Mechanism,
        exchange: Exchange,
        /// Tokens come in requests (KIP-152), not bare.
        framed: bool,
    },
    /// A proved client wants another mechanism; it is told with its next request, as Kafka does.
    Other(String),
    Proved,
    Failed,
}

/// What the next frame is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Expected {
    /// A request of this principal.
    Request(Principal),
    /// ApiVersions, if it may still come, or SaslHandshake.
    Handshake { versions: bool },
    /// SaslAuthenticate.
    Token,
    /// A token without anything around it.
    BareToken,
    /// Anything, and it is refused.
    Nothing(String),
}

/// What naming a mechanism led to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Begun {
    Yes,
    Unsupported,
}

/// Tokens in turn.
#[derive(PartialEq, Eq, Debug)]
pub enum Step {
    Challenge(Vec<u8>),
    Granted(Granted),
}

#[derive(PartialEq, Eq, Debug)]
pub struct Granted {
    pub token: Vec<u8>,
    /// After this time the client has to prove itself anew; zero is never.
    pub lifetime: Duration,
}

impl Sasl {
    #[must_use]
    pub fn new(listener: &Arc<SaslListener>) -> Self {
        let session = SaslSession {
            listener: Arc::clone(listener),
            state: State::Initial,
            proved: None,
            expires: None,
            begun_again: None,
        };
        Self(Arc::new(Mutex::new(session)))
    }

    /// The session, for the moment of one frame.
    pub fn with<R>(&self, act: impl FnOnce(&mut SaslSession) -> R) -> R {
        act(&mut self.0.lock())
    }

    /// The largest frame that may come next, of those that may come at all.
    #[must_use]
    pub fn max_frame(&self, of_requests: usize) -> usize {
        let session = self.0.lock();
        match session.state {
            State::Proved => of_requests,
            _ => session.listener.max_receive.min(of_requests),
        }
    }
}

impl fmt::Debug for Sasl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sasl").field(&self.0.lock().proved).finish()
    }
}

impl SaslSession {
    #[must_use]
    pub fn listener(&self) -> &Arc<SaslListener> {
        &self.listener
    }

    #[must_use]
    pub fn expects(&self) -> Expected {
        match (&self.state, &self.proved) {
            (State::Initial, _) => Expected::Handshake { versions: true },
            (State::Versions | State::Again, _) => Expected::Handshake { versions: false },
            (State::Exchange { framed: true, .. }, _) => Expected::Token,
            (State::Exchange { framed: false, .. }, _) => Expected::BareToken,
            (State::Other(what), _) => Expected::Nothing(what.clone()),
            (State::Proved, Some((_, principal))) => Expected::Request(principal.clone()),
            (State::Proved | State::Failed, _) => Expected::Nothing("authentication has failed".to_owned()),
        }
    }

    /// Whether what was proved does not hold any more.
    #[must_use]
    pub fn is_expired(&self, now: Duration) -> bool {
        self.expires.is_some_and(|end| now > end)
    }

    /// Begins anew, if that is to be: only where proofs expire, and once a second.
    pub fn begin_again(&mut self, now: Duration) -> bool {
        let too_soon =
            self.begun_again.is_some_and(|last| now.saturating_sub(last) < BETWEEN_REAUTHENTICATIONS);
        if self.expires.is_none() || too_soon {
            return false;
        }
        self.begun_again = Some(now);
        self.state = State::Again;
        true
    }

    /// The client has been told versions.
    pub fn told_versions(&mut self) {
        self.state = State::Versions;
    }

    /// The client names a mechanism.
    pub fn handshake(&mut self, name: &str, framed: bool) -> Begun {
        if matches!(self.state, State::Failed) {
            return Begun::Unsupported;
        }
        let Some(mechanism) = self.listener.offered(name).map(|offered| offered.mechanism) else {
            self.state = State::Failed;
            return Begun::Unsupported;
        };
        self.state = match &self.proved {
            Some((before, _)) if *before != mechanism => State::Other(format!(
                "SASL mechanism '{name}' requested by client is not supported for re-authentication of mechanism '{}'",
                before.name()
            )),
            _ => State::Exchange { mechanism, exchange: Exchange::new(mechanism), framed },
        };
        Begun::Yes
    }

    /// The mechanism of SCRAM whose credentials the next token needs.
    #[must_use]
    pub fn scram(&self) -> Option<ScramMechanism> {
        match &self.state {
            State::Exchange { mechanism: Mechanism::Scram(mechanism), .. } => Some(*mechanism),
            _ => None,
        }
    }

    /// A token of the client. After a failure the session is over; the text is for the client.
    pub fn token(
        &mut self,
        token: &[u8],
        now: Duration,
        nonce: &str,
        credential: &dyn Fn(&str) -> Option<ScramCredential>,
    ) -> Result<Step, Failure> {
        let State::Exchange { mechanism, exchange, .. } = &mut self.state else {
            return Err(Failure::Hidden("no exchange is under way".to_owned()));
        };
        let mechanism = *mechanism;
        let stepped = exchange.step(token, &self.listener, &Known { credential, nonce });
        let decided = match stepped {
            Ok(Outcome::Challenge(token)) => Ok(Step::Challenge(token)),
            Ok(Outcome::Proved { token, user }) => {
                self.prove(mechanism, &user, now).map(|lifetime| Step::Granted(Granted { token, lifetime }))
            }
            Err(failure) => Err(failure),
        };
        if decided.is_err() {
            self.state = State::Failed;
        }
        decided
    }

    /// What a client is told of a failure.
    #[must_use]
    pub fn told(&self, failure: &Failure, mechanism: Option<ScramMechanism>) -> String {
        match failure {
            Failure::Told(text) => text.clone(),
            Failure::Hidden(_) => {
                let which = if self.proved.is_some() { "re-authentication" } else { "authentication" };
                let mechanism = mechanism.map_or("PLAIN", ScramMechanism::name);
                format!(
                    "Authentication failed during {which} due to invalid credentials with SASL mechanism {mechanism}"
                )
            }
        }
    }

    fn prove(&mut self, mechanism: Mechanism, user: &str, now: Duration) -> Result<Duration, Failure> {
        let principal = Principal { kind: "User".into(), name: user.into() };
        if let Some((_, before)) = self.proved.as_ref().filter(|(_, before)| *before != principal) {
            return Err(Failure::Told(format!(
                "Cannot change principals during re-authentication from {}.{}: {}.{}",
                before.kind, before.name, principal.kind, principal.name
            )));
        }
        let offered = self.listener.offered.iter().find(|offered| offered.mechanism == mechanism);
        let lifetime = offered.and_then(|offered| offered.max_reauth);
        self.expires = lifetime.map(|lifetime| now.saturating_add(lifetime));
        self.proved = Some((mechanism, principal));
        self.state = State::Proved;
        Ok(lifetime.unwrap_or_default())
    }
}
