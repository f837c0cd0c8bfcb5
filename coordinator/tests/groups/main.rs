//! The group machine from outside: scripts with their expected traces, and random runs with invariants.
//!
//! Must never use a clock or a runtime: the world is a value.

#![allow(clippy::unwrap_used, reason = "clippy only knows #[test] functions, and all of this is a test")]

mod assigning;
mod cluster;
mod command;
mod consumer_command;
mod consumer_random;
mod consumer_show;
mod random;
#[path = "../runner/mod.rs"]
mod runner;
mod scale;
mod scripts;
mod show;
mod world;
