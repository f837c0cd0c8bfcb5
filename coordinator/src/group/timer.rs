//! Names of the deadlines that a group machine asks for.
//!
//! Never a deadline itself: those are values in `Output::timers`.

use super::Name;

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum TimerKey {
    /// A classic member, or one that was only promised an id, has been silent for its session time-out.
    Session { group: Name, member: Name },
    /// The join phase of a classic group is to end.
    Join { group: Name },
    /// Members of a new generation that have not synced are to be removed.
    Sync { group: Name },
    /// Time to look for expired offsets and empty groups.
    Expiry,
}
