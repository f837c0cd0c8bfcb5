//! Names of the deadlines that a group machine asks for.
//!
//! Never a deadline itself: those are values in `Output::timers`.

use super::Name;

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum TimerKey {
    /// A member, or one that was only promised an id, has been silent for its session time-out.
    Session { group: Name, member: Name },
    /// The join phase of a classic group is to end.
    Join { group: Name },
    /// Members of a new generation that have not synced are to be removed.
    Sync { group: Name },
    /// A member of a consumer group has not given up its partitions within its rebalance time-out.
    Revocation { group: Name, member: Name },
    /// A classic member of a consumer group has not joined again within its rebalance time-out.
    MemberJoin { group: Name, member: Name },
    /// A classic member of a consumer group has not fetched its assignment within its rebalance time-out.
    MemberSync { group: Name, member: Name },
    /// The topics of a group's patterns are to be looked up.
    Patterns { group: Name },
    /// Time to look for expired offsets and empty groups.
    Expiry,
}
