//! Tests of whole brokers, many at a time.

pub(crate) mod simulation;
