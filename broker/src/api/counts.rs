//! How many requests of each API were served, for metrics.
//!
//! Must never be a place that cores write by turns: each connection counts in the part of its own core.

use std::sync::atomic::{AtomicU64, Ordering};

/// Parts; connections are dealt to cores in turn, so with a power of two of cores each part is one core's.
const PARTS: usize = 8;
/// Keys above this are nobody's: `TABLE` ends before, as a test holds.
const KEYS: usize = 96;

/// Counts by API key.
#[derive(Debug)]
pub struct RequestCounts([Part; PARTS]);

/// Aligned so that two cores do not write one cache line.
#[derive(Debug)]
#[repr(align(64))]
struct Part([AtomicU64; KEYS]);

impl RequestCounts {
    pub(super) fn note(&self, connection: u64, key: i16) {
        let part = &self.0[connection as usize % PARTS];
        if let Some(count) = usize::try_from(key).ok().and_then(|key| part.0.get(key)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Requests of that API since the broker started.
    #[must_use]
    pub fn of(&self, key: i16) -> u64 {
        let Ok(key) = usize::try_from(key) else { return 0 };
        self.0.iter().filter_map(|part| part.0.get(key)).map(|count| count.load(Ordering::Relaxed)).sum()
    }
}

impl Default for RequestCounts {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Part(std::array::from_fn(|_| AtomicU64::new(0)))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::TABLE;

    #[test]
    fn every_api_is_counted_whatever_its_connection() {
        assert!(TABLE.iter().all(|row| usize::try_from(row.key).is_ok_and(|key| key < KEYS)));
        let counts = RequestCounts::default();
        (0..20).for_each(|connection| counts.note(connection, 3));
        counts.note(0, -1);
        assert_eq!((counts.of(3), counts.of(4), counts.of(-1)), (20, 0, 0));
    }
}
