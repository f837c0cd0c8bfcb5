//! Offsets of open transactions (`OffsetMetadataManager.pendingTransactionalOffsets` and `openTransactions`).
//!
//! Must never show one of them as committed.

use std::collections::BTreeMap;

use milena_storage::ids::ProducerId;

use super::{OffsetKey, Stored};

#[derive(Debug, Default)]
pub(super) struct Pending {
    by_producer: BTreeMap<ProducerId, BTreeMap<OffsetKey, Stored>>,
    /// How many open transactions have an offset of the key.
    open: BTreeMap<OffsetKey, usize>,
}

impl Pending {
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    pub(super) fn put(&mut self, producer: ProducerId, key: OffsetKey, stored: Stored) {
        let before = self.by_producer.entry(producer).or_default().insert(key.clone(), stored);
        if before.is_none() {
            *self.open.entry(key).or_default() += 1;
        }
    }

    /// All that a transaction has, because it ends.
    pub(super) fn take(&mut self, producer: ProducerId) -> BTreeMap<OffsetKey, Stored> {
        let taken = self.by_producer.remove(&producer).unwrap_or_default();
        for key in taken.keys() {
            if let Some(count) = self.open.get_mut(key) {
                *count -= 1;
                if *count == 0 {
                    self.open.remove(key);
                }
            }
        }
        taken
    }

    /// The offset was deleted: no transaction brings it back.
    pub(super) fn forget(&mut self, key: &OffsetKey) {
        if self.open.remove(key).is_some() {
            self.by_producer.retain(|_, offsets| {
                offsets.remove(key);
                !offsets.is_empty()
            });
        }
    }

    pub(super) fn has(&self, group: &str, topic: &str, partition: i32) -> bool {
        !self.open.is_empty() && self.open.contains_key(&super::key(group, topic, partition))
    }

    pub(super) fn of_group(&self, group: &str) -> impl Iterator<Item = &OffsetKey> {
        let from = super::key(group, "", i32::MIN);
        self.open.range(from..).map(|(key, _)| key).take_while(move |key| key.group == group)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&OffsetKey, &Stored)> {
        self.by_producer.values().flatten()
    }
}
