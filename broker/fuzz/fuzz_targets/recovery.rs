//! Fuzzes recovery over a directory of a log with arbitrary files.
//!
//! Must never do more than hand the input on: what is done with it is in `milena_storage::hostile`, for the replay too.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| milena_storage::hostile::open_directory(data));
