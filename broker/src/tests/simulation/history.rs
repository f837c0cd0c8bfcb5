//! What happened in a run, as those outside of the brokers saw it.
//!
//! Must never hold what only a broker knows.

use std::collections::BTreeMap;

/// A topic's partition.
pub(super) type At = (&'static str, i32);

/// What became of one record that somebody sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Sent at least once, without a word that it is safe.
    Unknown,
    /// Acknowledged; at this offset, if the broker told one.
    Acked(Option<i64>),
}

#[derive(Debug, Default)]
pub(super) struct History {
    /// By what is in the record, which is there once.
    pub(super) sent: BTreeMap<(At, String), Fate>,
    /// What readers have seen at each offset.
    pub(super) read: BTreeMap<(At, i64), String>,
    /// How far the group's commits were acknowledged, with who did it.
    pub(super) committed: BTreeMap<At, (i64, String)>,
    /// Who was told to own a partition, by the epoch of the group.
    pub(super) owners: BTreeMap<(At, i32), String>,
    /// Leaders by epoch.
    pub(super) leaders: BTreeMap<(At, i32), i32>,
    /// Checksums of the tree, by its last change.
    pub(super) trees: BTreeMap<milena_coordinator::tree::Zxid, u32>,
    /// How often each client got further since all was healed.
    pub(super) progress: BTreeMap<String, usize>,
    pub(super) faults: Vec<String>,
    pub(super) trace: Vec<String>,
    pub(super) tally: BTreeMap<&'static str, usize>,
}

impl History {
    pub(super) fn count(&mut self, what: &'static str) {
        *self.tally.entry(what).or_default() += 1;
    }

    /// A reader saw this; whoever reads that offset, at any time, must see the same.
    pub(super) fn saw(&mut self, at: At, offset: i64, value: String) {
        let known = self.read.entry((at, offset)).or_insert_with(|| value.clone());
        if *known != value {
            let fault = format!("{at:?} has {value} at {offset}, where {known} was read before");
            self.faults.push(fault);
        }
    }
}
