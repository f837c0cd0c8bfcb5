//! Groups and committed offsets: one pure machine per partition of `__consumer_offsets`.
//!
//! It must never do I/O, ask a clock, draw random numbers or hold a future: what waits is a `Ticket`, what is late
//! is a timer that the runtime brings back.
//!
//! `GroupShard::step` decides and answers; `GroupShard::apply` is fed with every record once it is in the log,
//! while living and while loading. `classic/` holds the classic protocol, `consumer/` the consumer
//! protocol, `offsets/` the committed offsets, `records/` Kafka's own bytes.

mod admin;
mod classic;
mod config;
mod consumer;
mod groups;
mod message;
mod offsets;
mod partition;
mod precheck;
pub mod records;
mod shard;
mod timer;
mod turn;

pub use classic::State as ClassicState;
pub use config::GroupConfig;
pub use consumer::{Assignor, ConsumerConfig, MigrationPolicy};
pub use message::{Caller, ChangedTopics, DeletedTopic, Input, Output, Reply, Request, Ticket};
pub use partition::partition_for;
pub use precheck::{precheck, refusal};
pub use records::Record;
pub use shard::GroupShard;
pub use timer::TimerKey;

/// The internal topic whose partitions these machines live in.
pub const TOPIC: &str = "__consumer_offsets";

/// A group id, member id or topic name that outlives the request which brought it.
///
/// Copied out of the frame on purpose: a slice of the frame would keep all of it in memory for as long as the
/// group lives.
pub type Name = std::sync::Arc<str>;
