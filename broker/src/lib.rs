//! `milena` moves bytes between sockets, state machines and logs.
//!
//! It must never decide about groups, elections or replica sets: those decisions live in `milena-coordinator`.

pub mod adopt;
pub mod api;
mod blocking;
pub mod broker;
pub mod cleaner;
pub mod cli;
pub mod clock;
pub mod codec;
pub mod diagnosis;
mod ephemeral;
pub mod error;
pub mod faults;
pub mod fetch;
pub mod http;
pub mod live_settings;
pub mod logging;
pub mod net;
pub mod partition;
pub mod producer_ids;
pub mod quorum;
pub mod quotas;
mod refused_records;
pub mod replication;
pub mod resident;
pub mod security;
pub mod settings;
pub mod shard;
pub mod start_topics;
pub mod state;
mod tools;
pub mod transactions;
pub mod zookeeper;

pub use broker::Broker;

#[cfg(test)]
mod tests;
