//! What went through one partition since the broker opened it, for metrics.
//!
//! Must never be read on the way of a request: it is only added to.

use std::sync::atomic::{AtomicU64, Ordering};

use milena_storage::log::Appended;

/// Counts that only grow. They are under no lock: each is right by itself.
#[derive(Debug, Default)]
pub struct Traffic([AtomicU64; Count::ALL.len()]);

/// What is counted, as Kafka's `BrokerTopicMetrics` counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// `MessagesInPerSec`
    MessagesIn,
    /// `BytesInPerSec`
    BytesIn,
    /// `BytesOutPerSec`: what consumers and followers were sent.
    BytesOut,
    /// `TotalProduceRequestsPerSec`
    Produces,
    /// `FailedProduceRequestsPerSec`
    FailedProduces,
    /// `TotalFetchRequestsPerSec`
    Fetches,
    /// `FailedFetchRequestsPerSec`
    FailedFetches,
}

impl Count {
    pub const ALL: [Self; 7] = [
        Self::MessagesIn,
        Self::BytesIn,
        Self::BytesOut,
        Self::Produces,
        Self::FailedProduces,
        Self::Fetches,
        Self::FailedFetches,
    ];
}

impl Traffic {
    /// Counts a batch that was written.
    pub(super) fn note(&self, appended: &Appended) {
        self.add(Count::BytesIn, appended.bytes as u64);
        let records = appended.last.0 - appended.first.0 + 1;
        self.add(Count::MessagesIn, u64::try_from(records).unwrap_or(0));
    }

    pub fn add(&self, what: Count, count: u64) {
        self.0[what as usize].fetch_add(count, Ordering::Relaxed);
    }

    #[must_use]
    pub fn of(&self, what: Count) -> u64 {
        self.0[what as usize].load(Ordering::Relaxed)
    }

    /// Takes over what another has counted, which is gone.
    pub fn take_over(&self, other: &Self) {
        for what in Count::ALL {
            self.add(what, other.of(what));
        }
    }
}
