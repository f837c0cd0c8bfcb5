//! What a partition's leader works out about its followers: who is in sync, and what is committed; and what it says when its disk is full.
//!
//! Must never do I/O or ask a clock, and never take part in an election: leadership is the controller's word.

mod leading;
mod shortage;

pub use leading::{Fetched, Leading, Outcome, Proposal, Terms};
pub use shortage::Shortage;
