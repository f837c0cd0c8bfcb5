//! The `milena` binary: hands the command line to the library.
//!
//! Must never hold more than the process's own choices: its allocator and its exit code.

use std::process::ExitCode;

/// Without the feature, the system's allocator serves: musl's is slow under many threads.
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    milena::cli::run(std::env::args_os())
}
