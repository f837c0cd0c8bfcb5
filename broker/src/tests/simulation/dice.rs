//! Every choice of a run that a client or the trouble makes.
//!
//! Must never ask anything but its seed.

use std::time::Duration;

use super::entropy::mixed;

/// A small generator (SplitMix64), so that a seed means the same for ever.
#[derive(Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x2545_f491_4f6c_dd1d))
    }

    /// For somebody who makes choices of its own.
    pub(super) fn child(&mut self) -> Self {
        Self::new(self.next())
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed(self.0)
    }

    /// A number below `sides`.
    pub(super) fn roll(&mut self, sides: usize) -> usize {
        usize::try_from(self.next() % sides as u64).expect("smaller than a usize")
    }

    /// A time in this range of milliseconds.
    pub(super) fn ms(&mut self, from: usize, to: usize) -> Duration {
        Duration::from_millis((from + self.roll(to - from)) as u64)
    }

    pub(super) fn percent(&mut self, chance: usize) -> bool {
        self.roll(100) < chance
    }

    pub(super) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.roll(from.len())]
    }
}
