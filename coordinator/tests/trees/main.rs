//! The tree from outside: scripts with their traces, and random commands against what must always hold.
//!
//! Must never reach into the tree: what these tests cannot see, its users cannot see either.

#![allow(clippy::unwrap_used, reason = "clippy only knows #[test] functions, and all of this is a test")]

mod command;
mod random;
mod scripts;
