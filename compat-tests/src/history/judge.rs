//! The judgement: every class of anomaly, each by a function of its own.
//!
//! It must never leave out a class because another has already spoken about the same value, unless the code says why.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::index::Index;
use super::{Anomaly, Event, Isolation, Offset, Place, group, reading};

/// What is wrong with a history, and how much there was to judge.
#[derive(Debug, Default)]
pub struct Verdict {
    pub anomalies: BTreeSet<Anomaly>,
    /// Values that were acknowledged.
    pub acked: usize,
    /// Values that producers gave up, with the errors that they were told.
    pub failed: Vec<(String, String)>,
    /// Transactions committed and aborted for certain.
    pub committed: usize,
    pub aborted: usize,
    /// Records read, each as often as it was.
    pub read: usize,
}

/// Judges what happened. Events of one client must stand in their order; those of different clients are ordered by their clocks.
#[must_use]
pub fn judge(events: &[Event]) -> Verdict {
    let mut events = events.to_vec();
    events.sort_by_key(|event| event.ms);
    let index = Index::of(&events);
    let mut anomalies = BTreeSet::new();
    lost(&index, &mut anomalies);
    vanished(&index, &mut anomalies);
    duplicates(&index, &mut anomalies);
    inconsistent_offsets(&index, &mut anomalies);
    nonmonotonic_sends(&index, &mut anomalies);
    transactions(&index, &mut anomalies);
    unsent(&index, &mut anomalies);
    reading::judge(&index, &events, &mut anomalies);
    group::judge(&index, &events, &mut anomalies);
    let ended = |holds: fn(&super::index::Transaction<'_>) -> bool| {
        index.transactions.values().filter(|transaction| holds(transaction)).count()
    };
    Verdict {
        anomalies,
        acked: index.written.values().filter(|written| written.is_acked).count(),
        failed: index.failed.iter().map(|(value, error)| ((*value).into(), (*error).into())).collect(),
        committed: ended(|transaction| transaction.is_committed),
        aborted: ended(|transaction| transaction.is_aborted),
        read: index.sights.len(),
    }
}

type Found = BTreeSet<Anomaly>;

/// Lost writes and unseen ones: acknowledged, and not in a last read that should have them. Without any last read all are unseen.
fn lost(index: &Index<'_>, found: &mut Found) {
    let mut highest: BTreeMap<&Place, Offset> = BTreeMap::new();
    for sight in &index.sights {
        let known = highest.entry(sight.place).or_insert(sight.offset);
        *known = (*known).max(sight.offset);
    }
    for (value, written) in &index.written {
        let (value, place, offset) = ((*value).to_owned(), written.place.clone(), written.offset);
        if index.last_reads.is_empty() && written.is_acked {
            let by = "anybody: there was no last read".to_owned();
            found.insert(Anomaly::Unseen { value: value.clone(), place: place.clone(), offset, by });
        }
        for (by, last) in &index.last_reads {
            if last.values.contains(value.as_str()) || !index.must_be_seen(written, last.isolation) {
                continue;
            }
            let (value, place, by) = (value.clone(), place.clone(), (*by).to_owned());
            let behind = highest.get(written.place).copied().unwrap_or(-1);
            // Where the offset is not known, anything that was read may stand behind it.
            found.insert(if offset.is_none_or(|offset| behind > offset) {
                Anomaly::LostWrite { value, place, offset, by }
            } else {
                Anomaly::Unseen { value, place, offset, by }
            });
        }
    }
}

/// What somebody has read is committed, acknowledged or not: it must stay. A lost write is told already.
fn vanished(index: &Index<'_>, found: &mut Found) {
    for sight in &index.sights {
        let Some(last) = index.last_read(sight.isolation) else { continue };
        let is_told = index
            .written
            .get(sight.value)
            .is_some_and(|written| index.must_be_seen(written, sight.isolation));
        if !is_told && !last.values.contains(sight.value) {
            found.insert(Anomaly::Vanished {
                value: sight.value.to_owned(),
                place: sight.place.clone(),
                offset: sight.offset,
                by: sight.by.to_owned(),
            });
        }
    }
}

fn duplicates(index: &Index<'_>, found: &mut Found) {
    let mut first: BTreeMap<&str, (&Place, Offset)> = BTreeMap::new();
    let acked =
        index.written.iter().filter_map(|(value, written)| Some((*value, (written.place, written.offset?))));
    let read = index.sights.iter().map(|sight| (sight.value, (sight.place, sight.offset)));
    for (value, at) in acked.chain(read) {
        let known = *first.entry(value).or_insert(at);
        if known != at {
            let owned = |(place, offset): (&Place, Offset)| (place.clone(), offset);
            found.insert(Anomaly::Duplicate {
                value: value.to_owned(),
                first: owned(known),
                second: owned(at),
            });
        }
    }
}

fn inconsistent_offsets(index: &Index<'_>, found: &mut Found) {
    let mut first: BTreeMap<(&Place, Offset), &str> = BTreeMap::new();
    // Of a value that was not acknowledged for good the offset may go to another.
    let acked = index.written.iter().filter(|(_, written)| written.is_acked);
    let acked = acked.filter_map(|(value, written)| Some(((written.place, written.offset?), *value)));
    let read = index.sights.iter().map(|sight| ((sight.place, sight.offset), sight.value));
    for (at, value) in acked.chain(read) {
        let known = *first.entry(at).or_insert(value);
        if known != value {
            let (first, second) = (known.to_owned(), value.to_owned());
            found.insert(Anomaly::InconsistentOffset { place: at.0.clone(), offset: at.1, first, second });
        }
    }
}

/// An idempotent producer's records stand in the order in which it sent them.
fn nonmonotonic_sends(index: &Index<'_>, found: &mut Found) {
    for ((by, place), values) in &index.sent {
        let stands = |value: &&&str| {
            let written = &index.written[**value];
            written.is_acked && written.offset.is_some()
        };
        let standing: Vec<&&str> = values.iter().filter(stands).collect();
        for pair in standing.windows(2) {
            if index.written[*pair[0]].offset >= index.written[*pair[1]].offset {
                found.insert(Anomaly::NonmonotonicSend {
                    by: (*by).to_owned(),
                    place: (*place).clone(),
                    first: (*pair[0]).to_owned(),
                    second: (*pair[1]).to_owned(),
                });
            }
        }
    }
}

fn transactions(index: &Index<'_>, found: &mut Found) {
    for sight in index.sights.iter().filter(|sight| sight.isolation == Isolation::Committed) {
        let Some(name) = index.written.get(sight.value).and_then(|written| written.transaction) else {
            continue;
        };
        let transaction = &index.transactions[name];
        let (by, value, named) = (sight.by.to_owned(), sight.value.to_owned(), name.to_owned());
        if transaction.must_be_hidden() {
            found.insert(Anomaly::AbortedRead { by, value, transaction: named });
        } else if transaction.committing_ms.is_some_and(|asked| sight.ms < asked) {
            found.insert(Anomaly::PrecommittedRead { by, value, transaction: named });
        }
    }
    let Some(last) = index.last_read(Isolation::Committed) else { return };
    for (name, transaction) in &index.transactions {
        let (seen, missing): (Vec<&str>, Vec<&str>) =
            transaction.values.iter().copied().partition(|value| last.values.contains(value));
        if let ([seen, ..], [missing, ..]) = (seen.as_slice(), missing.as_slice()) {
            let (seen, missing) = ((*seen).to_owned(), (*missing).to_owned());
            found.insert(Anomaly::TornTransaction { transaction: (*name).to_owned(), seen, missing });
        }
    }
}

fn unsent(index: &Index<'_>, found: &mut Found) {
    for sight in &index.sights {
        if index.written.get(sight.value).is_none_or(|written| written.place != sight.place) {
            found.insert(Anomaly::Unsent {
                by: sight.by.to_owned(),
                value: sight.value.to_owned(),
                place: sight.place.clone(),
                offset: sight.offset,
            });
        }
    }
}

impl Verdict {
    /// The first anomalies of each class, one a line; empty for a clean history.
    #[must_use]
    pub fn told(&self) -> String {
        const OF_A_CLASS_MAX: usize = 5;
        let mut told: BTreeMap<String, (usize, Vec<String>)> = BTreeMap::new();
        for anomaly in &self.anomalies {
            let text = anomaly.to_string();
            let class = text.split(':').next().unwrap_or_default().to_owned();
            let (count, lines) = told.entry(class).or_default();
            *count += 1;
            if lines.len() < OF_A_CLASS_MAX {
                lines.push(text);
            }
        }
        let text = |(class, (count, lines)): (String, (usize, Vec<String>))| {
            format!("{count} times {class}:\n  {}\n", lines.join("\n  "))
        };
        told.into_iter().map(text).collect()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} acknowledged, {} given up, {} transactions committed and {} aborted, {} read, {} anomalies",
            self.acked,
            self.failed.len(),
            self.committed,
            self.aborted,
            self.read,
            self.anomalies.len()
        )
    }
}
