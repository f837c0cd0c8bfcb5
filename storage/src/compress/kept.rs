//! A buffer that each thread keeps for what it unpacks: to zero one for each batch is a fifth of the work.
//!
//! Must never keep more than the largest block of lz4.

use std::cell::Cell;

/// The largest block that a frame of lz4 may name, as Go's clients do, and a batch of gzip that is unpacked in one go.
pub(super) const KEPT_MAX: usize = 4 << 20;

thread_local! {
    static IDLE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// One of at least so many bytes, whatever they are.
pub(super) fn take(len: usize) -> Vec<u8> {
    let mut buffer = IDLE.try_with(Cell::take).unwrap_or_default();
    if buffer.len() < len {
        buffer.resize(len, 0);
    }
    buffer
}

pub(super) fn give_back(buffer: Vec<u8>) {
    if buffer.len() <= KEPT_MAX {
        // While its thread ends, there is nowhere to keep it.
        let _ = IDLE.try_with(|idle| idle.set(buffer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_again_unless_it_is_too_large() {
        give_back(take(100));
        assert_eq!(take(10).len(), 100);
        give_back(vec![1; KEPT_MAX]);
        assert_eq!(take(1).len(), KEPT_MAX);
        give_back(vec![1; KEPT_MAX + 1]);
        assert_eq!(take(1).len(), 1);
    }
}
