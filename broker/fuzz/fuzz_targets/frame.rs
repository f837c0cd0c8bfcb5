//! Fuzzes request frames: header, guard, decoder.
//!
//! Must never do more than hand the input on: what is done with it is in `targets.rs`, for the replay too.
#![no_main]

#[path = "../targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::frame(data));
