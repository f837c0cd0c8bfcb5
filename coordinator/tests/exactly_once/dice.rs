//! Every choice of a run.
//!
//! Must never ask anything but its seed.

/// A small generator (SplitMix64), so that a seed means the same for ever.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x2545_f491_4f6c_dd1d))
    }

    /// A number below `sides`.
    pub(crate) fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % sides as u64) as usize
    }

    /// A time in this range of milliseconds.
    pub(crate) fn ms(&mut self, from: usize, to: usize) -> i64 {
        (from + self.roll(to - from)) as i64
    }

    /// 1 to 4.
    pub(crate) fn few(&mut self) -> i64 {
        1 + self.roll(4) as i64
    }

    pub(crate) fn percent(&mut self, chance: usize) -> bool {
        self.roll(100) < chance
    }
}
