//! Transactions: one pure machine per partition of `__transaction_state` (KIP-98, KIP-360, KIP-890).
//!
//! It must never do I/O, ask a clock, draw random numbers or allocate producer ids: those come as values.
//!
//! `TransactionShard::step` decides; `TransactionShard::apply` is fed with every record once it is in the log, while
//! living and while loading. Kafka keeps a "pending state" between the two because its appends are asynchronous; here a
//! step's records are applied before the next step, so none is needed. What must not happen before the records are
//! committed, answers and orders to write markers, is held back by the runtime.
//!
//! Kafka: `TransactionCoordinator`, `TransactionStateManager`, `TransactionMetadata`.

mod add;
mod admin;
mod config;
mod end;
mod expire;
mod init;
mod message;
mod record;
mod shard;
mod state;
mod stock;
mod version;

pub use config::TransactionConfig;
pub use message::{
    Added, Described, End, Ended, Init, Initialized, Input, ListFilter, Listed, MarkerOrder, Output,
    Partitions, Reply, Request, TimerKey,
};
pub use record::{Change, Transaction, decode};
pub use shard::TransactionShard;
pub use state::State;
pub use version::TransactionVersion;

pub use crate::group::{Name, Record, Ticket, partition_for};

/// The internal topic whose partitions these machines live in.
pub const TOPIC: &str = "__transaction_state";
