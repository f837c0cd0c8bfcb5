//! Records that the machine has applied and the log does not have yet, with the answers that rest on them.
//!
//! Requests that come together share one append: the batch is written when the tasks that are ready have had their turn,
//! so nobody waits for a clock (Kafka: `group.coordinator.append.linger.ms`). Must never let go of an answer: they leave
//! through `Parking`, once the records are written.

use milena_coordinator::group::Record;

use super::append::{BATCH_BYTES, record_size};
use super::machine::Machine;
use super::parking::Parked;

#[derive(Debug)]
pub(super) struct Pending<M: Machine> {
    records: Vec<Record>,
    bytes: usize,
    left: Vec<Parked<M>>,
    /// A task will write it.
    pub(super) expected: bool,
}

impl<M: Machine> Default for Pending<M> {
    fn default() -> Self {
        Self { records: Vec::new(), bytes: 0, left: Vec::new(), expected: false }
    }
}

impl<M: Machine> Pending<M> {
    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Whether these records of one step still go into the same batch; those of one step stay together.
    pub(super) fn has_room(&self, records: &[Record]) -> bool {
        self.is_empty() || self.bytes + bytes(records) <= BATCH_BYTES
    }

    pub(super) fn add(&mut self, records: Vec<Record>) {
        self.bytes += bytes(&records);
        self.records.extend(records);
    }

    /// What may be done once the records are committed.
    pub(super) fn leave(&mut self, parked: Parked<M>) {
        self.left.push(parked);
    }

    pub(super) fn take(&mut self) -> (Vec<Record>, Vec<Parked<M>>) {
        self.bytes = 0;
        (std::mem::take(&mut self.records), std::mem::take(&mut self.left))
    }
}

fn bytes(records: &[Record]) -> usize {
    records.iter().map(record_size).sum()
}
