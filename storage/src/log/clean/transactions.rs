//! What a cleaning knows of the transactions on its way through the log (`CleanedTransactionMetadata`).
//!
//! Must never let a marker go before all records of its transaction are gone.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};

use crate::batch::{EndTransaction, Header};
use crate::ids::{Offset, ProducerId};
use crate::log::txn_index::AbortedTransaction;

/// What a control batch is to the cleaning.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Control {
    /// Its records may go when their time has come: nothing of the transaction is left.
    Spent,
    Needed,
    /// It ends an aborted transaction of which something was met, so the new index must tell of it.
    Aborts(AbortedTransaction),
}

#[derive(Debug, Default)]
pub(super) struct Transactions {
    committed: HashSet<ProducerId>,
    /// With whether a batch of it was met.
    aborted: HashMap<ProducerId, (AbortedTransaction, bool)>,
    /// By first offset.
    coming: BinaryHeap<Reverse<(Offset, Offset, ProducerId, Offset)>>,
}

impl Transactions {
    /// `aborted` are the transactions that will be met, in any order; none whose marker will not be.
    pub(super) fn new(aborted: impl Iterator<Item = AbortedTransaction>) -> Self {
        let key =
            |each: AbortedTransaction| Reverse((each.first, each.last, each.producer_id, each.last_stable));
        Self { coming: aborted.map(key).collect(), ..Self::default() }
    }

    fn enter(&mut self, offset: Offset) {
        while let Some(Reverse((first, last, producer_id, last_stable))) = self.coming.peek().copied() {
            if first > offset {
                break;
            }
            self.coming.pop();
            let aborted = AbortedTransaction { producer_id, first, last, last_stable };
            self.aborted.entry(producer_id).or_insert((aborted, false));
        }
    }

    /// Meets a control batch with its marker; `None` for another kind of control record.
    pub(super) fn control(&mut self, header: &Header, marker: Option<EndTransaction>) -> Control {
        self.enter(header.last_offset());
        if header.count == 0 {
            return Control::Spent;
        }
        match marker {
            None => Control::Needed,
            Some(EndTransaction { commit: true, .. }) => {
                if self.committed.remove(&header.producer_id) {
                    Control::Needed
                } else {
                    Control::Spent
                }
            }
            Some(EndTransaction { commit: false, .. }) => match self.aborted.remove(&header.producer_id) {
                Some((aborted, true)) => Control::Aborts(aborted),
                _ => Control::Spent,
            },
        }
    }

    /// Meets a data batch; true if its transaction was aborted, so that its records may go.
    pub(super) fn data(&mut self, header: &Header) -> bool {
        self.enter(header.last_offset());
        if !header.is_transactional() {
            return false;
        }
        if let Some((_, met)) = self.aborted.get_mut(&header.producer_id) {
            *met = true;
            return true;
        }
        self.committed.insert(header.producer_id);
        false
    }
}
