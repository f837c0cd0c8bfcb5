//! `milena-coordinator` decides: the tree, the controller, the metadata image, groups, transactions.
//!
//! Outside `ensemble/` it must never do I/O, be `async`, ask a clock, draw random numbers, or iterate an
//! unordered map.

pub mod controller;
pub mod ensemble;
pub mod group;
pub mod image;
pub mod plant;
pub mod replica;
pub mod transaction;
pub mod tree;
