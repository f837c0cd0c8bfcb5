//! Produce and Fetch by hand: requests as slices of the frame, answers around slices of files. And versions of other
//! requests that the protocol crate does not have.
//!
//! It must never decode what did not pass the guard, nor copy records.

pub mod fetch_request;
pub mod fetch_response;
pub mod flexible;
pub mod produce_request;
pub mod produce_response;
pub(crate) mod read;
pub mod txn_markers;
pub(crate) mod write;

pub use write::Node;
