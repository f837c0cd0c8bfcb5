//! Brings a shard to life: reads the partition from its start and applies every committed record.
//!
//! Must never read on a thread that serves connections.

use std::sync::Arc;

use milena_storage::batch::{BatchError, BatchView, EndTransaction, walk};
use milena_storage::ids::Offset;
use thiserror::Error;

use super::machine::Machine;
use super::slot::Slot;
use crate::blocking;
use crate::partition::{Partition, PartitionError, ReadFrom};

/// Bound for the unpacked records of one batch; batches of coordinators are far smaller.
const UNPACKED_MAX: usize = 256 * 1024 * 1024;

#[derive(Debug, Error)]
enum LoadError {
    #[error(transparent)]
    Partition(#[from] PartitionError),
    #[error("cannot read the log: {0}")]
    Read(#[from] std::io::Error),
    #[error("a batch at offset {at}: {error}")]
    Batch { at: Offset, error: BatchError },
    #[error("the batches at offset {at} are older ones")]
    Backwards { at: Offset },
}

/// Runs until the shard lives, or is not wanted any more.
pub(super) async fn load<M: Machine>(slot: Arc<Slot<M>>) {
    // The semaphore is never closed.
    let _turn = slot.env().loading.acquire().await;
    let partition = slot.partition().clone();
    let target = partition.log_end_offset();
    let mut loader = Loader { machine: slot.env().fresh(), next: partition.log_start_offset() };
    while loader.next < target && !slot.is_gone() {
        let buffer = slot.env().pace.load_buffer;
        let source = partition.clone();
        let before = loader.next;
        let read = blocking::spawn(move || loader.read_some(&source, buffer).map(|()| loader));
        loader = match read.await {
            Ok(Ok(loader)) => loader,
            Ok(Err(error)) => return give_up(&slot, &error),
            Err(error) => return give_up(&slot, &error),
        };
        if loader.next == before {
            // The rest is not committed yet: a leader that has only just been elected.
            if let Some(moved) = partition.park(before.plus(1)) {
                moved.notified().await;
            }
        }
    }
    slot.loaded(loader.machine);
}

fn give_up<M: Machine>(slot: &Arc<Slot<M>>, error: &dyn std::error::Error) {
    tracing::error!(partition = %slot.partition().name, %error, "a coordinator's partition cannot be loaded; its clients are refused");
    slot.unload();
}

struct Loader<M> {
    machine: M,
    next: Offset,
}

impl<M: Machine> Loader<M> {
    /// Applies up to `buffer` bytes of batches, or one batch if it is larger.
    fn read_some(&mut self, partition: &Partition, buffer: usize) -> Result<(), LoadError> {
        let before = self.next;
        let from = ReadFrom {
            any_replica: false,
            offset: before,
            max_bytes: buffer,
            at_least_one: true,
            committed: false,
            whole: false,
            current_leader_epoch: -1,
            last_fetched_epoch: -1,
        };
        let Some(slice) = partition.read(from)?.slice.filter(|slice| slice.len > 0) else { return Ok(()) };
        let mut bytes = vec![0; slice.len];
        slice.file.read_exact_at(&mut bytes, slice.position)?;
        for batch in walk(&bytes) {
            let at = self.next;
            let applied = batch.and_then(|batch| self.apply_batch(partition, &batch));
            applied.map_err(|error| LoadError::Batch { at, error })?;
        }
        // A damaged log that was marked clean may hold older batches where newer ones belong.
        if self.next == before { Err(LoadError::Backwards { at: self.next }) } else { Ok(()) }
    }

    fn apply_batch(&mut self, partition: &Partition, batch: &BatchView<'_>) -> Result<(), BatchError> {
        batch.check_crc()?;
        let mut scratch = Vec::new();
        for record in batch.records(&mut scratch, UNPACKED_MAX)? {
            let record = record?;
            if record.offset < self.next {
                continue;
            }
            if batch.is_control() {
                if let Some(end) = EndTransaction::parse(&record) {
                    self.machine.end_transaction(batch.producer_id, end.commit);
                }
                continue;
            }
            let producer = batch.is_transactional().then_some(batch.producer_id);
            // A damaged record costs what it describes, not the whole partition.
            if let Err(error) = self.machine.apply(producer, record.key.unwrap_or_default(), record.value) {
                let (partition, offset) = (&partition.name, record.offset);
                tracing::warn!(%partition, %offset, %error, "skipping a coordinator's record");
            }
        }
        self.next = self.next.max(batch.next_offset());
        Ok(())
    }
}
