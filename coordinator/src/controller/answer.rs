//! What a decision consists of: groups of tree operations, each with the answer it earns.
//!
//! Must never know how operations are proposed or waited for.

use kafka_protocol::error::ResponseError;
use kafka_protocol::protocol::StrBytes;
use uuid::{Builder, Uuid};

use crate::tree::Op;

/// An error code with the message that the tools print.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    pub code: ResponseError,
    /// Empty where Kafka sends null; clients then print the code's own text.
    pub message: String,
}

/// One part of a request: its operations are one multi, so it happens wholly or not at all.
#[derive(Clone, Debug)]
pub struct Item<R> {
    /// Empty when refused, when only validated, or when nothing changes.
    pub ops: Vec<Op>,
    /// The answer once `ops` are applied.
    pub result: R,
}

/// The decision on a whole request, in the order of the answers.
pub type Plan<R> = Vec<Item<R>>;

/// Random numbers as a value (`SplitMix64`): the caller seeds it, so the same seed decides the same.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Refusal {
    pub fn new(code: ResponseError, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// A refusal without a message of its own.
    #[must_use]
    pub fn bare(code: ResponseError) -> Self {
        Self::new(code, "")
    }

    /// The message field of a response.
    #[must_use]
    pub fn wire_message(&self) -> Option<StrBytes> {
        (!self.message.is_empty()).then(|| StrBytes::from_string(self.message.clone()))
    }
}

impl<R> Item<R> {
    /// An answer that changes nothing.
    pub fn answer(result: R) -> Self {
        Self { ops: Vec::new(), result }
    }
}

impl Dice {
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is not zero.
    pub fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).expect("usize fits in u64");
        usize::try_from(self.roll() % bound).expect("below a usize")
    }

    /// Puts the elements in a random order (Fisher and Yates).
    pub fn shuffle<T>(&mut self, elements: &mut [T]) {
        for last in (1..elements.len()).rev() {
            elements.swap(last, self.below(last + 1));
        }
    }

    /// A random topic id. Kafka keeps ids whose upper half is zero for itself (`Uuid.RESERVED`), and an id that
    /// starts with '-' would read as an option on a command line.
    pub fn topic_id(&mut self) -> Uuid {
        loop {
            let mut bytes = [0u8; 16];
            bytes[..8].copy_from_slice(&self.roll().to_be_bytes());
            bytes[8..].copy_from_slice(&self.roll().to_be_bytes());
            // 62 is '-' in the base64 alphabet for URLs; the first character comes from the upper six bits.
            if bytes[0] >> 2 != 62 && bytes[..8] != [0; 8] {
                return Builder::from_random_bytes(bytes).into_uuid();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topic_ids_are_version_4_and_never_start_with_a_dash() {
        let mut dice = Dice::new(7);
        for _ in 0..2000 {
            let id = dice.topic_id();
            assert_eq!(id.get_version_num(), 4);
            assert_ne!(id.as_bytes()[0] >> 2, 62);
        }
        assert_eq!(Dice::new(7).topic_id(), Dice::new(7).topic_id());
    }
}
