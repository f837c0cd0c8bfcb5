//! What tests may do to a broker over its HTTP port, seen by librdkafka and by the Java client: each action of a fault with its counters,
//! rebalances, the moved clock, a quota, and brokers of a local cluster that are stopped, killed and started.
//!
//! Only Milena has the port: with `MILENA_TARGET=kafka`, too, these tests are for Milena. They must never believe the port's word alone:
//! a client says what it saw.

mod actions;
mod clock;
mod groups;
mod local;
mod quotas;
mod world;
