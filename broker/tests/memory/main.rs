//! What memory requests cost: how much a hostile frame can make the broker take, and how often an honest one makes it allocate.
//!
//! Must never measure seconds: what is counted here is the same on every machine.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod allocations;
mod client;
mod counting;
mod hostile_frames;
