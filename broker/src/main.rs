//! The `milena` binary: hands the command line to the library.
//!
//! Must never hold more than the process's own choices: its allocator and its exit code.

use std::process::ExitCode;

/// Without the feature, the system's allocator serves: musl's is slow under many threads.
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[cfg(feature = "jemalloc")]
mod jemalloc {
    //! What jemalloc gives back only when it is asked: its own clock stands still while nobody allocates.

    use std::ffi::CStr;
    use std::ptr;

    use milena::resident::Allocator;

    pub(crate) const ALLOCATOR: Allocator =
        Allocator { flush_thread: || ask(c"thread.tcache.flush"), purge: || ask(c"arena.4096.purge") };

    /// One of jemalloc's commands; what it refuses is left as it is.
    fn ask(command: &CStr) {
        // SAFETY: the name ends with a zero; null pointers say that nothing is read and nothing written.
        #[allow(unsafe_code)]
        unsafe {
            tikv_jemalloc_sys::mallctl(
                command.as_ptr(),
                ptr::null_mut(),
                ptr::null_mut(),
                ptr::null_mut(),
                0,
            );
        }
    }
}

fn main() -> ExitCode {
    #[cfg(feature = "jemalloc")]
    milena::resident::allocates_with(jemalloc::ALLOCATOR);
    milena::cli::run(std::env::args_os())
}
