//! Encoders of our own, for answers that carry slices of files.
//!
//! It must never decode what did not pass the guard, nor copy records.

pub mod fetch_response;
