//! How wrong the clocks of the brokers' machines are, from the beginning and by jumps.
//!
//! Must never take from the dice that make the other trouble: that is what it is, whatever the clocks show.

use super::dice::Dice;

/// Tells these choices from those of the other dice of a seed.
const CLOCKS: u64 = 0x636c_6f63_6b73;
const DAY_MS: i64 = 86_400_000;
/// Chance of a jump after each trouble.
const JUMPS_PERCENT: usize = 30;

pub(super) struct Clocks(Dice);

impl Clocks {
    pub(super) fn new(seed: u64) -> Self {
        Self(Dice::new(seed ^ CLOCKS))
    }

    /// By how much a clock is wrong: by a day at most, ahead or back, and sometimes not at all.
    pub(super) fn skew_ms(&mut self) -> i64 {
        match self.0.roll(5) {
            0 => 0,
            1 => DAY_MS,
            2 => -DAY_MS,
            _ => i64::try_from(self.0.next() % (2 * DAY_MS.unsigned_abs())).expect("two days") - DAY_MS,
        }
    }

    /// The broker whose clock jumps now, if one does, and by how much it is wrong from then on.
    pub(super) fn jump(&mut self, brokers: &[i32]) -> Option<(i32, i64)> {
        self.0.percent(JUMPS_PERCENT).then(|| (self.0.pick(brokers), self.skew_ms()))
    }
}
