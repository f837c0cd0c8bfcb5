//! What a machine of an internal topic is to the runtime that drives it.
//!
//! It must never show what a machine decides, only what is to be done for it.

use std::fmt::Debug;
use std::hash::Hash;

use milena_coordinator::group::records::WireError;
use milena_coordinator::group::{ChangedTopics, Record, Ticket};
use milena_storage::ids::{ProducerEpoch, ProducerId, Timestamp};

/// A state machine whose state lies in one partition of an internal topic.
pub trait Machine: Debug + Send + Sized + 'static {
    /// What a machine is made of.
    type Settings: Debug + Send + Sync;
    type Input: Send + Debug;
    type Reply: Send + Debug;
    type Timer: Clone + Ord + Hash + Send + Debug;
    /// What is to be carried out, beside answers, once the records of a step are committed.
    type Order: Send + Debug;

    /// An empty machine, to be loaded.
    fn fresh(settings: &Self::Settings) -> Self;

    /// Decides; changes nothing durable.
    fn step(&mut self, now: Timestamp, input: Self::Input) -> Effects<Self>;

    /// Takes over a record that is in the log; with a producer, one of an open transaction.
    ///
    /// # Errors
    /// If the record is damaged.
    fn apply(
        &mut self,
        producer: Option<ProducerId>,
        key: &[u8],
        value: Option<&[u8]>,
    ) -> Result<(), WireError>;

    /// Takes over the end of a transaction whose marker is in the log.
    fn end_transaction(&mut self, producer: ProducerId, commit: bool);

    fn fired(timer: Self::Timer) -> Self::Input;

    fn loaded() -> Self::Input;

    /// Whether the records of this input may wait for those of others that come with it.
    fn may_share(_input: &Self::Input) -> bool {
        false
    }

    /// What the machine is to hear of topics that are new, changed or gone, if it wants to.
    fn topics_changed(_changed: &ChangedTopics) -> Option<Self::Input> {
        None
    }
}

/// What a step wants done. All records belong into one batch.
#[derive(Debug)]
pub struct Effects<M: Machine> {
    pub records: Vec<Record>,
    /// The transaction that the records belong to, if they do.
    pub transaction: Option<(ProducerId, ProducerEpoch)>,
    pub replies: Vec<(Ticket, M::Reply)>,
    pub orders: Vec<M::Order>,
    pub timers: Vec<(M::Timer, Option<Timestamp>)>,
}
