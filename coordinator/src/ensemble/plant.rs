//! Bugs that simulations plant, to see that their checks find them.
//!
//! Must never be anything but empty outside of tests.

/// What is wrong with a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Plant {
    #[default]
    None,
    /// A leader counts an append when it is sent.
    #[cfg(any(test, feature = "simulated"))]
    AcksBeforeAnswers,
    /// Learners take for committed whatever comes.
    #[cfg(test)]
    LearnersDoNotWait,
    /// A voter counts whatever disk it comes with.
    #[cfg(test)]
    AnyDirectory,
}
