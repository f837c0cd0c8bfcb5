//! Three brokers under faults: real processes, real clients of two libraries, and a judge of what the clients saw.
//!
//! The short form strikes each fault once, from a fixed seed. With `MILENA_LONG=1` each scenario goes on with fresh seeds, orders and
//! combinations; `MILENA_SEED` repeats one. A scenario must never be called passed because little happened in it.

mod admin;
mod disks;
mod injuries;
mod operations;
mod scenarios;
mod telling;
mod world;
