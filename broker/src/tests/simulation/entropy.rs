//! Randomness of the whole process from one seed: ids, the order of unordered maps, time-outs of elections, choices of the runtime.
//!
//! All of it comes from the system call `getrandom` in the end, whose place this takes while a simulation runs. Must never do so
//! in a process that does anything else: the seed is the process's.

use std::ffi::{c_uint, c_void};
use std::slice;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

static SEEDED: AtomicBool = AtomicBool::new(false);
static STATE: AtomicU64 = AtomicU64::new(0);

/// From now on whatever asks the system for randomness gets it from this seed.
pub(super) fn seed(seed: u64) {
    STATE.store(seed, Ordering::SeqCst);
    SEEDED.store(true, Ordering::SeqCst);
}

/// What a state of SplitMix64 gives.
pub(super) fn mixed(state: u64) -> u64 {
    let mut mixed = state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn fill(bytes: &mut [u8]) {
    for chunk in bytes.chunks_mut(8) {
        let step = 0x9e37_79b9_7f4a_7c15;
        let state = STATE.fetch_add(step, Ordering::SeqCst).wrapping_add(step);
        chunk.copy_from_slice(&mixed(state).to_le_bytes()[..chunk.len()]);
    }
}

/// In place of the C library's function of this name, which `std` and the crates for randomness call.
///
/// # Safety
/// As the C library's: `buffer` is valid for writes of `length` bytes.
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
unsafe extern "C" fn getrandom(buffer: *mut c_void, length: usize, _flags: c_uint) -> isize {
    if length == 0 {
        return 0;
    }
    // SAFETY: the caller promises so many bytes that may be written; they are plain bytes, so that any content is valid once
    // they are zeroed here.
    let bytes = unsafe {
        buffer.write_bytes(0, length);
        slice::from_raw_parts_mut(buffer.cast::<u8>(), length)
    };
    if SEEDED.load(Ordering::SeqCst) {
        fill(bytes);
    } else {
        let mut filled = 0;
        while filled < length {
            match rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty()) {
                Ok(count) => filled += count,
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return -1,
            }
        }
    }
    length.cast_signed()
}
