//! Memory that nobody needs is given back to the system: code that only a start runs, and what the allocator holds free.
//!
//! Linux maps 64 KiB around each page of code that is run, so a start leaves most of the program and of the C library mapped
//! although an idle broker runs little of either. What is run again is mapped again from the page cache, within a microsecond.
//!
//! It must never let go of a page that may differ from the file it came from.

use std::fs;
use std::io;
use std::ops::Range;
use std::ptr;
use std::sync::OnceLock;

use rustix::mm::{Advice, madvise};
use tokio::runtime::Handle;

use crate::blocking;

/// How this program's allocator is asked for what it holds free.
#[derive(Clone, Copy, Debug)]
pub struct Allocator {
    /// Hands over what the calling thread keeps for itself.
    pub flush_thread: fn(),
    /// Gives everything free back to the system; may take milliseconds.
    pub purge: fn(),
}

static ALLOCATOR: OnceLock<Allocator> = OnceLock::new();

/// Says which allocator the program has. While none is told, what is free stays with it.
pub fn allocates_with(allocator: Allocator) {
    // Only the first counts: a program has one.
    let _ = ALLOCATOR.set(allocator);
}

/// Gives back what the allocator holds free, also for the threads of these runtimes.
pub(crate) async fn give_heap_back(runtimes: &[Handle]) {
    let Some(allocator) = ALLOCATOR.get() else { return };
    for runtime in runtimes {
        // One that has ended keeps nothing.
        let _ = runtime.spawn(async { (allocator.flush_thread)() }).await;
    }
    let _ = blocking::spawn(allocator.purge).await;
}

/// Gives back the mapped code of the program and its libraries; nothing is lost if that fails.
///
/// A traced process is left alone: a debugger keeps its breakpoints in these pages.
///
/// # Errors
/// What `/proc` or `madvise` fail with; a system without `/proc` among it.
pub(crate) fn give_code_back() -> io::Result<()> {
    if traced(&fs::read_to_string("/proc/self/status")?) {
        return Ok(());
    }
    for code in code_of_files(&fs::read_to_string("/proc/self/maps")?) {
        let start = ptr::with_exposed_provenance_mut(code.start);
        // SAFETY: the range is one whole mapping of a file that can be read and executed, not written. Nothing in this program
        // makes code writable or unmaps a library, so each page is what the file holds, and the kernel reads it from there at the
        // next access: the memory's contents are the same before and after.
        #[allow(unsafe_code)]
        unsafe {
            madvise(start, code.len(), Advice::LinuxDontNeed)?;
        }
    }
    Ok(())
}

fn traced(status: &str) -> bool {
    let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:"));
    tracer.is_none_or(|pid| pid.trim() != "0")
}

/// The private mappings of files that may be executed and not written.
fn code_of_files(maps: &str) -> Vec<Range<usize>> {
    maps.lines()
        .filter_map(|line| {
            let mut cells = line.split_ascii_whitespace();
            let (start, end) = cells.next()?.split_once('-')?;
            if cells.next()? != "r-xp" || !cells.nth(3)?.starts_with('/') {
                return None;
            }
            Some(usize::from_str_radix(start, 16).ok()?..usize::from_str_radix(end, 16).ok()?)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_of_files_is_found() {
        let maps = "\
55d0c0000000-55d0c0200000 r--p 00000000 fe:00 42                         /opt/milena
55d0c0200000-55d0c0a00000 r-xp 00200000 fe:00 42                         /opt/milena
55d0c0a00000-55d0c0b00000 rw-p 00a00000 fe:00 42                         /opt/milena
7f0000000000-7f0000010000 rwxp 00000000 fe:00 43                         /opt/patched.so
7f0000010000-7f0000020000 r-xs 00000000 fe:00 44                         /opt/shared
7f0000020000-7f0000030000 r-xp 00000000 00:00 0
7fff00000000-7fff00002000 r-xp 00000000 00:00 0                          [vdso]
";
        let found = code_of_files(maps);
        assert_eq!(found.len(), 1, "{found:x?}");
        assert_eq!(found[0], 0x55d0_c020_0000..0x55d0_c0a0_0000);
    }

    #[test]
    fn a_traced_process_and_one_that_does_not_say_are_known() {
        assert!(!traced("Name:\tmilena\nTracerPid:\t0\nUid:\t0"));
        assert!(traced("Name:\tmilena\nTracerPid:\t17\nUid:\t0"));
        assert!(traced("Name:\tmilena\n"));
    }

    #[test]
    fn a_process_goes_on_without_its_code() {
        give_code_back().expect("Linux has both files");
        let maps = fs::read_to_string("/proc/self/maps").expect("Linux has it");
        assert!(!code_of_files(&maps).is_empty(), "this test itself is one");
    }
}
