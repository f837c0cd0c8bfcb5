//! The image in place of Kafka's: what Testcontainers, compose files and people do with theirs must work with ours.
//!
//! It must never look into the binary, nor pull an image. Where no Docker engine can run it says so in one line and passes.

mod compose;
mod contract;
mod engine;
mod libraries;
