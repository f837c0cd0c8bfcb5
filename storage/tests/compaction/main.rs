//! Compaction of random logs: what must stay stays, what must go goes, nothing moves; also when the disk dies or the
//! power fails at any step.
//!
//! It must never know how the log keeps its files: only what went in and what comes out.

mod crashes;
mod model;
mod properties;
