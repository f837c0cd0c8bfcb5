//! A history, looked up by value, by place and by transaction.
//!
//! It must never judge.

use std::collections::{BTreeMap, BTreeSet};

use super::{Event, Isolation, Offset, Place, Reader, What};

/// What became of a value that was sent.
#[derive(Debug)]
pub(super) struct Written<'a> {
    pub(super) place: &'a Place,
    pub(super) transaction: Option<&'a str>,
    /// Acknowledged, by the producer's word or by its transaction's commit.
    pub(super) is_acked: bool,
    pub(super) offset: Option<Offset>,
}

/// A transaction.
#[derive(Debug, Default)]
pub(super) struct Transaction<'a> {
    pub(super) values: Vec<&'a str>,
    /// When its commit was asked for; never, if it was not.
    pub(super) committing_ms: Option<i64>,
    pub(super) is_committed: bool,
    pub(super) is_aborted: bool,
}

impl Transaction<'_> {
    /// Whether nobody may see it: nobody asked for its commit, or it was aborted.
    pub(super) fn must_be_hidden(&self) -> bool {
        self.is_aborted || self.committing_ms.is_none()
    }
}

/// All that one last read has found.
#[derive(Debug)]
pub(super) struct LastRead<'a> {
    pub(super) isolation: Isolation,
    pub(super) records: BTreeMap<(&'a Place, Offset), &'a str>,
    pub(super) values: BTreeSet<&'a str>,
}

/// One record as somebody read it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sight<'a> {
    pub(super) ms: i64,
    pub(super) by: &'a str,
    pub(super) isolation: Isolation,
    pub(super) place: &'a Place,
    pub(super) offset: Offset,
    pub(super) value: &'a str,
}

#[derive(Debug, Default)]
pub(super) struct Index<'a> {
    /// By value.
    pub(super) written: BTreeMap<&'a str, Written<'a>>,
    /// Values of each producer for each place, in the order in which they were sent.
    pub(super) sent: BTreeMap<(&'a str, &'a Place), Vec<&'a str>>,
    pub(super) transactions: BTreeMap<&'a str, Transaction<'a>>,
    /// By who read it.
    pub(super) last_reads: BTreeMap<&'a str, LastRead<'a>>,
    pub(super) sights: Vec<Sight<'a>>,
    pub(super) failed: Vec<(&'a str, &'a str)>,
}

impl<'a> Index<'a> {
    pub(super) fn of(events: &'a [Event]) -> Self {
        let mut index = Self::default();
        events.iter().for_each(|event| index.add(event));
        let Self { written, transactions, .. } = &mut index;
        let committed = transactions.values().filter(|transaction| transaction.is_committed);
        for value in committed.flat_map(|transaction| &transaction.values) {
            if let Some(written) = written.get_mut(value) {
                written.is_acked = true;
            }
        }
        index
    }

    fn add(&mut self, event: &'a Event) {
        let by = event.by.as_str();
        match &event.what {
            What::Sent { value, place, transaction } => {
                let transaction = transaction.as_deref();
                if let Some(name) = transaction {
                    self.transactions.entry(name).or_default().values.push(value);
                }
                let written = Written { place, transaction, is_acked: false, offset: None };
                assert!(self.written.insert(value, written).is_none(), "{by} sent {value} twice");
                self.sent.entry((by, place)).or_default().push(value);
            }
            What::Acked { value, offset, .. } => {
                let written = self.written.get_mut(value.as_str()).expect("what is acknowledged was sent");
                // Within a transaction only its commit counts.
                written.is_acked = written.transaction.is_none();
                written.offset = *offset;
            }
            What::Failed { value, error } => self.failed.push((value, error)),
            What::Committing { transaction } => {
                self.transactions.entry(transaction).or_default().committing_ms = Some(event.ms);
            }
            What::Committed { transaction } => {
                self.transactions.entry(transaction).or_default().is_committed = true;
            }
            What::Aborted { transaction } => {
                self.transactions.entry(transaction).or_default().is_aborted = true;
            }
            What::Read { reader, isolation, records } => {
                for seen in records {
                    let (place, offset, value) = (&seen.0, seen.1, seen.2.as_str());
                    self.sights.push(Sight { ms: event.ms, by, isolation: *isolation, place, offset, value });
                }
                if *reader == Reader::Last {
                    let none = || LastRead {
                        isolation: *isolation,
                        records: BTreeMap::new(),
                        values: BTreeSet::new(),
                    };
                    let last = self.last_reads.entry(by).or_insert_with(none);
                    last.records.extend(records.iter().map(|seen| ((&seen.0, seen.1), seen.2.as_str())));
                    last.values.extend(records.iter().map(|seen| seen.2.as_str()));
                }
            }
            What::Assigned { .. } | What::Revoked { .. } | What::Saved { .. } => {}
            What::Reached { .. } | What::Noted { .. } | What::Ended => {}
        }
    }

    /// Whether a reader of this isolation must find a value at the end.
    pub(super) fn must_be_seen(&self, written: &Written<'_>, isolation: Isolation) -> bool {
        match written.transaction.map(|name| &self.transactions[name]) {
            None => written.is_acked,
            Some(transaction) if isolation == Isolation::Committed => transaction.is_committed,
            // An aborted record stays where it is.
            Some(_) => written.offset.is_some() || written.is_acked,
        }
    }

    /// What a reader of this isolation should have found: the last read of that isolation.
    pub(super) fn last_read(&self, isolation: Isolation) -> Option<&LastRead<'a>> {
        self.last_reads.values().find(|last| last.isolation == isolation)
    }

    /// The first offset strictly between two of a place that holds a record for this isolation.
    pub(super) fn between(
        &self,
        isolation: Isolation,
        place: &'a Place,
        (after, before): (Offset, Offset),
    ) -> impl Iterator<Item = Offset> {
        let range = (after + 1 < before).then_some((place, after + 1)..(place, before));
        let last = self.last_read(isolation).zip(range);
        last.into_iter().flat_map(|(last, range)| last.records.range(range)).map(|((_, offset), _)| *offset)
    }
}
