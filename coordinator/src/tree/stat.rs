//! A node's numbers: its place in the total order, its versions, its owner.
//!
//! Must never hold a path or data.

use std::fmt;

use milena_storage::ids::Timestamp;

/// Place of a command in the one total order of changes.
///
/// The upper half is the Raft term that first reached it, the lower half counts commands within the term, as in
/// ZooKeeper. See [`Zxid::next`] for the rule.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Zxid(pub i64);

impl Zxid {
    /// The zxid of the next command, from the last one and the Raft term of its log entry.
    ///
    /// A function of the log alone, so every replica computes the same. Entries that carry no command (a leader's
    /// blank entry, a membership change) take none. If four billion commands fill a term, the count runs over into
    /// the upper half; later terms then go on from there, so the order stays strict.
    #[must_use]
    pub fn next(self, term: u64) -> Self {
        let first_of_term = i64::try_from(term).unwrap_or(i64::MAX >> 32).min(i64::MAX >> 32) << 32 | 1;
        Self(first_of_term.max(self.0 + 1))
    }

    /// ZooKeeper's epoch: the upper half.
    #[must_use]
    pub fn epoch(self) -> i64 {
        self.0 >> 32
    }
}

impl fmt::Display for Zxid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// Identifies a session: the zxid of the command that opened it, so it is never used twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct SessionId(pub i64);

impl SessionId {
    /// No session: the controller's own writes.
    pub const NONE: Self = Self(0);
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// What ZooKeeper's `Stat` holds, field by field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Stat {
    /// Zxid that created the node.
    pub czxid: Zxid,
    /// Zxid that last changed its data.
    pub mzxid: Zxid,
    pub ctime: Timestamp,
    pub mtime: Timestamp,
    /// Counts changes of the data; 0 after creation.
    pub version: i32,
    /// Counts children that came and went.
    pub cversion: i32,
    /// Counts changes of the access list.
    pub aversion: i32,
    /// Session of an ephemeral node, 0 for others; see [`Owner`] for containers and TTL nodes.
    pub ephemeral_owner: i64,
    pub data_length: i32,
    pub num_children: i32,
    /// Zxid that last added or removed a child.
    pub pzxid: Zxid,
}

/// What the owner field of a node says about how it lives (ZooKeeper's `EphemeralType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Stays until deleted.
    Nobody,
    Session(SessionId),
    /// Goes when its last child has gone.
    Container,
    /// Goes when it has had no children and no change for so long.
    Ttl {
        millis: i64,
    },
}

/// Longest time to live: 40 bits of milliseconds, because the upper bits of the field say "TTL".
pub const MAX_TTL_MILLIS: i64 = (1 << 40) - 1;
const CONTAINER: i64 = i64::MIN;
/// The upper byte is all ones; no session id can look so, because a Raft term never gets so far.
const TTL_PREFIX: i64 = -1 << 56;

impl Owner {
    #[must_use]
    pub fn from_field(field: i64) -> Self {
        match field {
            0 => Self::Nobody,
            CONTAINER => Self::Container,
            ttl if ttl & TTL_PREFIX == TTL_PREFIX => Self::Ttl { millis: ttl & MAX_TTL_MILLIS },
            session => Self::Session(SessionId(session)),
        }
    }

    #[must_use]
    pub fn field(self) -> i64 {
        match self {
            Self::Nobody => 0,
            Self::Container => CONTAINER,
            Self::Ttl { millis } => TTL_PREFIX | millis,
            Self::Session(id) => id.0,
        }
    }
}
