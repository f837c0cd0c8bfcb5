//! An allocator that counts: what each thread holds, and how often the threads of a broker allocate.
//!
//! Must never allocate itself.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicIsize, AtomicU64, Ordering};

struct Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static HIGHEST: Cell<isize> = const { Cell::new(0) };
    /// Whether this thread is no broker's: a test or its client.
    static ASIDE: Cell<bool> = const { Cell::new(false) };
}

/// Blocks taken by all threads that are not set aside.
static TAKEN: AtomicU64 = AtomicU64::new(0);

/// Bytes that all threads together hold.
static LIVE: AtomicIsize = AtomicIsize::new(0);

/// Runs it, and gives the most bytes that this thread held meanwhile, above what it held before.
pub(crate) fn highest<T>(run: impl FnOnce() -> T) -> (T, isize) {
    set_aside();
    let before = HELD.get();
    HIGHEST.set(before);
    let result = run();
    (result, HIGHEST.get() - before)
}

/// What this thread allocates from now on is not a broker's.
pub(crate) fn set_aside() {
    ASIDE.set(true);
}

/// Blocks that brokers of this process have allocated so far, or grown.
pub(crate) fn taken() -> u64 {
    TAKEN.load(Ordering::Relaxed)
}

/// Bytes that this process has allocated and not freed.
pub(crate) fn live() -> isize {
    LIVE.load(Ordering::Relaxed)
}

fn hold(bytes: isize) {
    LIVE.fetch_add(bytes, Ordering::Relaxed);
    // At a thread's end its cells are gone, and nobody asks any more.
    let _ = HELD.try_with(|held| {
        held.set(held.get() + bytes);
        let _ = HIGHEST.try_with(|highest| highest.set(highest.get().max(held.get())));
    });
}

fn take() {
    if !ASIDE.try_with(Cell::get).unwrap_or(true) {
        TAKEN.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: every call is handed to the system's allocator unchanged; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        hold(layout.size() as isize);
        take();
        // SAFETY: the caller's promises are those of the system's allocator.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        hold(-(layout.size() as isize));
        // SAFETY: `at` came from `alloc` above, with this layout.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;
