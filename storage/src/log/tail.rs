//! Where the last batches of the active segment are, so that readers at the end need neither index nor disk.
//!
//! Must never outlive a roll or a truncation.

use std::collections::VecDeque;

use crate::batch::Header;
use crate::ids::Offset;

/// Consumers that keep up read among the last few batches.
const BATCHES_KEPT: usize = 16;

/// A batch's place in the active segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct TailBatch {
    pub base: Offset,
    last: Offset,
    pub position: u64,
    pub size: usize,
}

#[derive(Debug, Default)]
pub(super) struct Tail {
    batches: VecDeque<TailBatch>,
}

impl Tail {
    pub(super) fn push(&mut self, header: &Header, position: u64) {
        if self.batches.len() == BATCHES_KEPT {
            self.batches.pop_front();
        }
        let (base, last) = (header.base_offset, header.last_offset());
        self.batches.push_back(TailBatch { base, last, position, size: header.size() });
    }

    pub(super) fn clear(&mut self) {
        self.batches.clear();
    }

    /// The first batch that ends at or behind `offset`, if the tail reaches back that far.
    pub(super) fn find(&self, offset: Offset) -> Option<TailBatch> {
        let index = self.batches.partition_point(|batch| batch.last < offset);
        // The first one kept may follow another that holds the offset.
        if index == 0 && self.batches.front().is_none_or(|first| first.base > offset) {
            return None;
        }
        self.batches.get(index).copied()
    }
}
