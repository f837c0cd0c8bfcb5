//! Quotas of clients, enforced (KIP-13, KIP-124, KIP-599): what each has used of late, and how long it has to wait for that.
//!
//! Nothing here runs while nobody has a quota. Must never decide what a quota is: the image knows.

pub mod meter;
pub mod mutations;
pub mod rate;
pub mod usage;
