//! What clients did to a cluster, and what is wrong with it: values in, anomalies out.
//!
//! The classes are those of Jepsen's workload for Kafka (`jepsen.tests.kafka`), and what of them applies to groups and transactions.
//! It must never ask a broker, read a clock or guess: what a client is not sure of counts neither for nor against.

mod group;
mod index;
mod judge;
mod reading;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;

pub use judge::{Verdict, judge};
pub use reading::behind;

/// A partition, as `topic-partition`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(transparent)]
pub struct Place(pub String);

/// The number of a record in its partition.
pub type Offset = i64;

/// One thing that a client did or was told.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct Event {
    /// Milliseconds of the machine's clock, which all clients share.
    pub ms: i64,
    /// Who says it: a name for each producer, reader and member.
    pub by: String,
    #[serde(flatten)]
    pub what: What,
}

/// What a client says. Values are unique over the whole history.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum What {
    /// Given to the producer, before anything is sent.
    Sent {
        value: String,
        place: Place,
        transaction: Option<String>,
    },
    /// Acknowledged by all that are in sync; without an offset where the broker knows none any more.
    Acked {
        value: String,
        place: Place,
        offset: Option<Offset>,
    },
    /// Given up by the producer: it may be there or not.
    Failed {
        value: String,
        error: String,
    },
    /// The end of a transaction is about to be asked for.
    Committing {
        transaction: String,
    },
    Committed {
        transaction: String,
    },
    Aborted {
        transaction: String,
    },
    /// What one poll gave.
    Read {
        reader: Reader,
        isolation: Isolation,
        records: Vec<Seen>,
    },
    /// Partitions that a member of a group may read from now on.
    Assigned {
        group: String,
        places: Vec<Place>,
    },
    Revoked {
        group: String,
        places: Vec<Place>,
    },
    /// Offsets of a group that the coordinator has acknowledged.
    Saved {
        group: String,
        offsets: BTreeMap<String, Offset>,
    },
    /// A last reader stands at the end that its isolation lets it see.
    Reached {
        place: Place,
    },
    /// Something that the client survived, for people who look for a cause.
    Noted {
        text: String,
    },
    /// It has done all that it was to do.
    Ended,
}

/// Where a record was read.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct Seen(pub Place, pub Offset, pub String);

/// What a reader is for.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Reader {
    /// Follows all partitions from their beginning while things happen.
    Follower,
    /// Reads everything once all is over, up to the ends of the partitions.
    Last,
    /// Belongs to a group and reads what it is given.
    Member,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "snake_case")]
pub enum Isolation {
    Committed,
    Uncommitted,
}

/// One thing that must not be. `Display` tells it with all that is needed to look for it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Anomaly {
    /// Acknowledged, not in a last read, although a higher offset of the partition was read.
    LostWrite { value: String, place: Place, offset: Option<Offset>, by: String },
    /// Acknowledged, not in a last read, and nothing behind it was read either.
    Unseen { value: String, place: Place, offset: Option<Offset>, by: String },
    /// Read by somebody, and not there any more at the end.
    Vanished { value: String, place: Place, offset: Offset, by: String },
    /// One value at two offsets or in two partitions.
    Duplicate { value: String, first: (Place, Offset), second: (Place, Offset) },
    /// Two values at one offset.
    InconsistentOffset { place: Place, offset: Offset, first: String, second: String },
    /// A reader went back.
    NonmonotonicPoll { by: String, place: Place, before: Offset, offset: Offset },
    /// A reader passed over a record that it should have seen.
    PollSkip { by: String, place: Place, before: Offset, offset: Offset, skipped: Offset },
    /// What a producer sent later stands before what it sent earlier.
    NonmonotonicSend { by: String, place: Place, first: String, second: String },
    /// G1a: a value of a transaction that was never committed was read by who reads only what is committed.
    AbortedRead { by: String, value: String, transaction: String },
    /// It was read before its producer asked for the commit.
    PrecommittedRead { by: String, value: String, transaction: String },
    /// Only a part of a transaction is there at the end.
    TornTransaction { transaction: String, seen: String, missing: String },
    /// A value that nobody sent, or a sent one elsewhere than where it was sent to.
    Unsent { by: String, value: String, place: Place, offset: Offset },
    /// A group began below an offset that was acknowledged as committed before.
    LostCommit { group: String, by: String, place: Place, saved: Offset, resumed: Offset },
    /// A group passed over a record that none of its members has read.
    GroupSkip { group: String, by: String, place: Place, resumed: Offset, skipped: Offset },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Anomaly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LostWrite { value, place, offset, by } => {
                write!(f, "lost write: {value} of {place} at {offset:?} is not read by {by}")
            }
            Self::Unseen { value, place, offset, by } => {
                write!(f, "unseen: {value} at the end of {place}, {offset:?}, is not read by {by}")
            }
            Self::Vanished { value, place, offset, by } => {
                write!(f, "vanished: {by} read {value} in {place} at {offset}")
            }
            Self::Duplicate { value, first, second } => {
                write!(
                    f,
                    "duplicate: {value} is in {} at {} and in {} at {}",
                    first.0, first.1, second.0, second.1
                )
            }
            Self::InconsistentOffset { place, offset, first, second } => {
                write!(f, "inconsistent offset: {place} has {first} and {second} at {offset}")
            }
            Self::NonmonotonicPoll { by, place, before, offset } => {
                write!(f, "nonmonotonic poll: {by} read {place} at {before}, then at {offset}")
            }
            Self::PollSkip { by, place, before, offset, skipped } => {
                write!(f, "poll skip: {by} read {place} at {before}, then at {offset}, and not {skipped}")
            }
            Self::NonmonotonicSend { by, place, first, second } => {
                write!(
                    f,
                    "nonmonotonic send: {by} sent {first} before {second}, which precedes it in {place}"
                )
            }
            Self::AbortedRead { by, value, transaction } => {
                write!(f, "aborted read (G1a): {by} read {value} of {transaction}")
            }
            Self::PrecommittedRead { by, value, transaction } => {
                write!(f, "precommitted read: {by} read {value} before the commit of {transaction}")
            }
            Self::TornTransaction { transaction, seen, missing } => {
                write!(f, "torn transaction: of {transaction} {seen} is there and {missing} is not")
            }
            Self::Unsent { by, value, place, offset } => {
                write!(f, "unsent: {by} read {value} in {place} at {offset}")
            }
            Self::LostCommit { group, by, place, saved, resumed } => {
                write!(f, "lost commit: {group} had saved {saved} of {place}, and {by} began at {resumed}")
            }
            Self::GroupSkip { group, by, place, resumed, skipped } => {
                write!(
                    f,
                    "group skip: {by} of {group} began {place} at {resumed}, and nobody had read {skipped}"
                )
            }
        }
    }
}
