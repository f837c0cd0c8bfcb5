//! Whole clusters from a seed: real brokers with real clients over a simulated network, disks in memory, in virtual time.
//!
//! Three to five brokers, each a turmoil host with a runtime of its own, speak through turmoil's sockets (`net/stream`); their
//! disks (`SimFs`) forget what was not synced when the power goes. Producers are idempotent with acks=all, readers read all, a
//! group shares the partitions. Brokers are killed, lose power, stop and are cut off; then all is healed. What must hold is in
//! `judge`. Each run has a process of its own, since its randomness is the process's (`entropy`); a run that fails is repeated by
//! the command that is printed.
//!
//! Must never wait for anything real, nor ask for time or randomness that is not the seed's.

mod client;
mod clocks;
mod dice;
mod entropy;
mod history;
mod judge;
mod member;
mod node;
mod producer;
mod reader;
mod runs;
mod shared;
mod world;

use std::time::Duration;

/// How long a sync of the metadata log takes.
pub(crate) const SYNC: Duration = Duration::from_millis(1);

const TOPIC: &str = "t";
const PARTITIONS: i32 = 4;
const GROUP: &str = "g";
