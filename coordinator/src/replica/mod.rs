//! What a partition's leader works out about its followers: who is in sync, and what is committed.
//!
//! Must never do I/O or ask a clock, and never take part in an election: leadership is the controller's word.

mod leading;

pub use leading::{Fetched, Leading, Outcome, Proposal, Terms};
