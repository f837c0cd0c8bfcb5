//! Bugs that simulations of whole clusters plant, to see that their checks find them.
//!
//! Must never be anything but absent outside of tests: without the feature `simulated` nothing is ever planted.

/// What is wrong, on every broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// A follower of a new leader cuts its log back to its high watermark, as Kafka did before KIP-101.
    TruncatesToHighWatermark,
    /// A broker is known by its id alone: a process that comes back at once keeps the places of the one before, and nobody compares
    /// broker epochs.
    IgnoresBrokerEpochs,
    /// With acks=all the leader answers before its followers have appended.
    AcksBeforeFollowers,
    /// Whoever lives is elected, in sync or not.
    ElectsOutsideIsr,
    /// Changes of metadata are committed before a quorum has them.
    CommitsWithoutQuorum,
}

#[cfg(feature = "simulated")]
thread_local! {
    static PLANTED: std::cell::Cell<Option<Bug>> = const { std::cell::Cell::new(None) };
}

/// From now on whatever runs on this thread has the bug.
#[cfg(feature = "simulated")]
pub fn plant(bug: Option<Bug>) {
    PLANTED.set(bug);
}

/// Whether this bug is planted.
#[cfg(feature = "simulated")]
#[must_use]
pub fn is_planted(bug: Bug) -> bool {
    PLANTED.get() == Some(bug)
}

/// Never.
#[cfg(not(feature = "simulated"))]
#[inline(always)]
#[must_use]
pub const fn is_planted(_bug: Bug) -> bool {
    false
}
