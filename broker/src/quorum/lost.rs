//! Partitions that a broker has lost with a log directory, on their way to the controller (Kafka: offline directories in
//! `BrokerHeartbeatRequest`).
//!
//! Must never name a partition whose directory still serves.

use bytes::BufMut;
use kafka_protocol::error::ResponseError::NotController;
use milena_coordinator::controller::{self, Ctx, Item, Lost, Refusal};
use milena_storage::ids::PartitionIndex;
use uuid::Uuid;

use super::Quorum;
use super::forward::own;

/// A topic's id and a partition's index.
const ENTRY: usize = 16 + 4;

impl Quorum {
    /// Has others lead and be in sync where this broker cannot any more; to be repeated until it is answered.
    pub async fn lose(&self, lost: &Lost) -> Result<(), Refusal> {
        if !self.controls() {
            let asked = self.ask_controller(own::LOST, 0, &encode(lost)).await?;
            // This node has become the controller meanwhile.
            return asked.map(|_| ()).ok_or_else(|| Refusal::bare(NotController));
        }
        let (broker, lost) = (self.caller, lost.clone());
        let decide = move |ctx: &mut Ctx<'_>| {
            let plan = controller::lose(ctx, broker, &lost).into_iter();
            Ok(plan.map(|item| Item { ops: item.ops, result: Ok(()) }).collect())
        };
        let done = self.decide(decide, |_, refusal| Err(refusal.clone())).await?;
        done.into_iter().collect()
    }
}

fn encode(lost: &Lost) -> Vec<u8> {
    let mut out = Vec::new();
    for (topic, indexes) in lost {
        for index in indexes {
            out.put_slice(topic.as_bytes());
            out.put_i32(index.0);
        }
    }
    out
}

/// `None` if it is no whole number of entries.
pub(super) fn decode(input: &[u8]) -> Option<Lost> {
    let (entries, rest) = input.as_chunks::<ENTRY>();
    let mut lost = Lost::new();
    for entry in entries {
        let (topic, index) = entry.split_first_chunk::<16>()?;
        let index = PartitionIndex(i32::from_be_bytes(index.try_into().ok()?));
        lost.entry(Uuid::from_bytes(*topic)).or_default().insert(index);
    }
    rest.is_empty().then_some(lost)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_heard() {
        let indexes = |all: &[i32]| all.iter().copied().map(PartitionIndex).collect();
        let lost = Lost::from([(Uuid::from_u128(7), indexes(&[0, 3])), (Uuid::from_u128(9), indexes(&[1]))]);
        let told = encode(&lost);
        assert_eq!(decode(&told), Some(lost));
        assert_eq!(decode(&told[1..]), None);
        assert_eq!(decode(&[]), Some(Lost::new()));
    }
}
