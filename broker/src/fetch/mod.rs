//! Reading for clients: fetch sessions and the long poll.
//!
//! It must never decide which broker leads a partition.

pub mod cache;
pub mod poll;
pub mod session;
