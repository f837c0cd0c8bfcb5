//! A small generator with a seed: the same seed asks the same.
//!
//! It must never be seeded from anything that is not printed.

use std::env;

use milena_compat_tests::wire::now_ms;

pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn of(seed: u64) -> Self {
        let mut dice = Self(seed ^ 0x9e37_79b9_7f4a_7c15);
        dice.next();
        dice
    }

    /// The seed that was asked for, or one of the time; it is printed.
    pub(crate) fn seed(test: &str) -> u64 {
        let given = env::var("MILENA_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(|| u64::try_from(now_ms()).unwrap());
        eprintln!("{test}: MILENA_SEED={seed}");
        seed
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(limit).unwrap()).unwrap()
    }

    pub(crate) fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    pub(crate) fn chance(&mut self, of: usize) -> bool {
        self.below(of) == 0
    }
}

/// The rounds of the short form, or of the long one.
pub(crate) fn rounds(short: usize, long: usize) -> usize {
    if env::var("MILENA_LONG").is_ok_and(|value| value == "1") { long } else { short }
}
