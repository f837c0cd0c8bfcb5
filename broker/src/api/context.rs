//! What a handler is given and what it gives back: `Cx`, `Caller`, `Outcome`.
//!
//! Must never know a particular API, nor how bytes reach the socket.

use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};

use kafka_protocol::protocol::StrBytes;
use milena_coordinator::image::{MetadataImage, QuotaKey};
use milena_storage::ids::Timestamp;

use crate::quotas::meter::Meter;
use crate::quotas::mutations::Payer;
use crate::quotas::usage::Client;
use crate::security::sasl::Sasl;
use crate::state::BrokerState;

/// A future that a waiting request leaves behind; it owns everything that it needs.
pub type BoxFuture<R> = Pin<Box<dyn Future<Output = R> + Send + 'static>>;

/// Everything that a handler may look at while it runs.
pub struct Cx<'a> {
    /// Version of the request, inside the row's range.
    pub version: i16,
    /// The metadata of this request; taken once, so that one answer never mixes two images.
    pub image: Arc<MetadataImage>,
    pub caller: &'a Caller,
    pub now: Timestamp,
    pub broker: &'a Arc<BrokerState>,
    /// What the request uses of its client's quotas; none while nobody has any.
    pub meter: Option<Arc<Meter>>,
}

impl Cx<'_> {
    /// The client, to whom the controller charges what it creates and deletes; from version `strict_from` on it knows the error that
    /// refuses it. `None` while nobody has such a quota.
    #[must_use]
    pub fn payer(&self, strict_from: i16) -> Option<Payer> {
        let quotas = self.image.quotas()?;
        if !quotas.limits_any(QuotaKey::ControllerMutationRate) {
            return None;
        }
        let (user, id) = (Arc::clone(&self.caller.principal.name), self.caller.client_id.clone());
        Some(Payer::new(Client { user, id }, self.version >= strict_from))
    }
}

/// What a handler answers.
pub enum Outcome<R> {
    Now(R),
    /// The request waits; later requests of the connection are started meanwhile, answers keep their order.
    Later(BoxFuture<R>),
    /// Produce with acks=0 has no response at all.
    Nothing,
    /// Drop the connection, as Kafka does when a produce with acks=0 fails.
    Close,
}

impl<R> Outcome<R> {
    /// The future of an answer that has to be waited for.
    pub fn later(future: impl Future<Output = R> + Send + 'static) -> Self {
        Self::Later(Box::pin(future))
    }
}

impl<R> From<R> for Outcome<R> {
    fn from(answer: R) -> Self {
        Self::Now(answer)
    }
}

/// Who sent a request. Cheap to clone into a future.
#[derive(Clone, Debug)]
pub struct Caller {
    /// From the header of this request.
    pub client_id: Option<StrBytes>,
    pub principal: Principal,
    /// The peer's address, as groups and logs report it.
    pub host: IpAddr,
    /// The same as Java prints it, which is how groups know it.
    pub java_host: Arc<str>,
    /// Name of the listener that accepted the connection.
    pub listener: Arc<str>,
    pub endpoint: EndpointKind,
    /// Unique for the life of the broker.
    pub connection: u64,
    /// Set once by ApiVersions v3+ (KIP-511).
    pub software: Arc<OnceLock<Software>>,
    /// What the client has proved so far, where it has to.
    pub sasl: Option<Sasl>,
}

/// What a listener is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EndpointKind {
    /// Clients and brokers.
    Broker,
    /// Tools that ask the quorum (`controller.listener.names`).
    Controller,
}

/// Name and version of the client library, as it says itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Software {
    pub name: StrBytes,
    pub version: StrBytes,
}

/// An authenticated identity, printed as Kafka prints it: `User:name`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Principal {
    pub kind: Arc<str>,
    pub name: Arc<str>,
}

impl Principal {
    /// What every client of a listener without authentication is.
    #[must_use]
    pub fn anonymous() -> Self {
        Self { kind: "User".into(), name: "ANONYMOUS".into() }
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind, self.name)
    }
}

/// As Java prints an address without a host name: a slash, and IPv6 without abbreviation.
#[must_use]
pub fn java_address(host: IpAddr) -> String {
    match host.to_canonical() {
        IpAddr::V4(address) => format!("/{address}"),
        IpAddr::V6(address) => {
            let groups: Vec<String> = address.segments().iter().map(|group| format!("{group:x}")).collect();
            format!("/{}", groups.join(":"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_printed_as_java_prints_them() {
        assert_eq!(java_address("127.0.0.1".parse().unwrap()), "/127.0.0.1");
        assert_eq!(java_address("::ffff:10.0.0.7".parse().unwrap()), "/10.0.0.7");
        assert_eq!(java_address("::1".parse().unwrap()), "/0:0:0:0:0:0:0:1");
        assert_eq!(java_address("fe80::abc".parse().unwrap()), "/fe80:0:0:0:0:0:0:abc");
    }
}
