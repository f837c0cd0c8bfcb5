//! A small generator with a seed: the same seed asks the same.
//!
//! It must never be seeded from anything that is not printed.

use std::env;

use crate::wire::now_ms;

/// Throws numbers.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    #[must_use]
    pub fn of(seed: u64) -> Self {
        let mut dice = Self(seed ^ 0x9e37_79b9_7f4a_7c15);
        dice.any();
        dice
    }

    /// The seed that was asked for, or one of the time; it is printed.
    ///
    /// # Panics
    /// When the clock stands before 1970.
    #[must_use]
    pub fn seed(test: &str) -> u64 {
        let given = env::var("MILENA_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(|| u64::try_from(now_ms()).expect("a clock after 1970"));
        eprintln!("{test}: MILENA_SEED={seed}");
        seed
    }

    /// Any number.
    pub fn any(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number from 0 up to the limit, which is not 0.
    ///
    /// # Panics
    /// When the limit is 0.
    pub fn below(&mut self, limit: usize) -> usize {
        let limit = u64::try_from(limit).expect("a number of 64 bits");
        usize::try_from(self.any() % limit).expect("below a usize")
    }

    /// # Panics
    /// When there is none.
    pub fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    /// True once in so many times.
    ///
    /// # Panics
    /// When the number is 0.
    pub fn chance(&mut self, of: usize) -> bool {
        self.below(of) == 0
    }
}

/// Whether the long form of the tests is asked for.
#[must_use]
pub fn is_long() -> bool {
    env::var("MILENA_LONG").is_ok_and(|value| value == "1")
}

/// The rounds of the short form, or of the long one.
#[must_use]
pub fn rounds(short: usize, long: usize) -> usize {
    if is_long() { long } else { short }
}
