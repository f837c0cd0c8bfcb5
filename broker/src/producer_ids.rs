//! The block of producer ids that this broker hands out from.
//!
//! It must never hand out an id twice: what a crash leaves of a block is lost.

use milena_coordinator::controller::{PRODUCER_ID_BLOCK, Refusal};
use milena_storage::ids::ProducerId;
use parking_lot::Mutex;

use crate::quorum::Quorum;

/// Ids that were allocated to this broker and not yet given away.
#[derive(Debug, Default)]
pub struct ProducerIds {
    block: Mutex<Block>,
    /// Only one allocation at a time: each costs a durable change of the metadata.
    refilling: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Block {
    next: i64,
    end: i64,
}

impl ProducerIds {
    /// The next id; `None` when the block is used up.
    pub fn next(&self) -> Option<ProducerId> {
        let mut block = self.block.lock();
        if block.next >= block.end {
            return None;
        }
        block.next += 1;
        Some(ProducerId(block.next - 1))
    }

    /// Allocates a block, unless somebody else just did, and takes an id from it.
    pub async fn refill(&self, quorum: &Quorum) -> Result<ProducerId, Refusal> {
        let _alone = self.refilling.lock().await;
        if let Some(id) = self.next() {
            return Ok(id);
        }
        let first = quorum.allocate_producer_ids().await?;
        let mut block = self.block.lock();
        *block = Block { next: first.0 + 1, end: first.0 + PRODUCER_ID_BLOCK };
        Ok(first)
    }
}
