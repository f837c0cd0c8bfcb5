//! The listener of ZooKeeper's protocol, next to ZooKeeper 3.8 and under its own clients.
//!
//! Needs Debian's package `zookeeper`; kazoo is fetched. Every seed is printed; `MILENA_SEED` repeats one.

#![allow(clippy::unwrap_used, reason = "clippy only knows #[test] functions, and all of this is a test")]

mod clients;
mod differential;
mod hostile;
mod sessions;
mod steps;
mod world;
