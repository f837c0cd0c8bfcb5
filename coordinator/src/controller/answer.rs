//! What a decision consists of: groups of tree operations, each with the answer it earns.
//!
//! Must never know how operations are proposed or waited for.

use kafka_protocol::error::ResponseError;
use uuid::{Builder, Uuid};

/// An error code with the message that the tools print.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    pub code: ResponseError,
    pub message: String,
}

/// Random numbers as a value (SplitMix64): the caller seeds it, so the same seed decides the same.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Refusal {
    pub fn new(code: ResponseError, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

impl Dice {
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

    /// A random topic id; Kafka reserves the ids that are zero in their upper half for itself
    /// (`Uuid.RESERVED`), and some clients parse ids as command-line words, so none starts with '-'.
    pub fn topic_id(&mut self) -> Uuid {
        loop {
            let mut bytes = [0u8; 16];
            bytes[..8].copy_from_slice(&self.roll().to_be_bytes());
            bytes[8..].copy_from_slice(&self.roll().to_be_bytes());
            let id = Builder::from_random_bytes(bytes).into_uuid();
            // The first base64 character comes from the upper six bits; 62 is '-' in the URL alphabet.
            if bytes[0] >> 2 != 62 && id.as_u64_pair().0 != 0 {
                return id;
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
