//! Making appends durable. The log's lock is held to plan a sync and to note it, never while the disk works, so that
//! appends and reads go on; what they add is not promised.
//!
//! It must never be asked for under a log's lock.

use milena_storage::StorageError;
use milena_storage::ids::{Offset, Timestamp};
use milena_storage::log::{FlushPlan, Log};

use super::{Partition, PartitionError};
use crate::blocking;

impl Partition {
    /// Makes everything below `offset` durable; appends that wait together share one sync (`flush.messages`).
    pub async fn sync_to(&self, offset: Offset) -> Result<(), PartitionError> {
        let _alone = self.syncing.lock().await;
        // Once more when the log was moved meanwhile.
        while self.peek(Log::recovery_point).is_some_and(|point| point < offset) {
            let plan = self.tend(Log::flush_plan)?;
            let running = plan.clone();
            let synced = blocking::spawn(move || running.run()).await;
            // The pool refuses work only while the broker stops.
            if self.note_synced(&plan, synced.map_err(|_| PartitionError::Offline)?)? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Makes everything durable that was appended so far. Blocks.
    pub fn sync(&self) -> Result<(), PartitionError> {
        self.sync_if(|_| true)
    }

    /// Syncs if a segment was rolled since the last sync. Blocks.
    pub fn sync_rolled(&self) -> Result<(), PartitionError> {
        self.sync_if(|log| !log.is_in_active_segment(log.recovery_point()))
    }

    /// Syncs if `flush.ms` has passed since the first append that is not durable. Blocks.
    pub fn sync_overdue(&self, now: Timestamp) -> Result<(), PartitionError> {
        self.sync_if(|log| log.flush_due(now))
    }

    fn sync_if(&self, due: impl Fn(&Log) -> bool) -> Result<(), PartitionError> {
        loop {
            let plan = self.tend(|log| if due(log) { log.flush_plan().map(Some) } else { Ok(None) })?;
            let Some(plan) = plan else { return Ok(()) };
            let synced = plan.run();
            if self.note_synced(&plan, synced)? {
                return Ok(());
            }
        }
    }

    /// False if the log was moved meanwhile: what failed there then failed for want of the old directory, and what did not
    /// says nothing of the new one.
    fn note_synced(
        &self,
        plan: &FlushPlan,
        synced: Result<Offset, StorageError>,
    ) -> Result<bool, PartitionError> {
        if !self.lock()?.owns(plan) {
            return Ok(false);
        }
        self.noted(synced)?;
        self.lock()?.flushed(plan);
        Ok(true)
    }
}

#[cfg(test)]
mod tests;
