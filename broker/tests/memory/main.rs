//! What memory requests cost: how much a hostile frame can make the broker take, and how often an honest one makes it allocate; and what
//! clusters leave that are dropped.
//!
//! Must never measure seconds: what is counted here is the same on every machine.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod allocations;
mod client;
mod clusters;
mod counting;
mod hostile_frames;
