//! A follower's fetch session as partitions know it: those that rest in it, until something happens there.
//!
//! Must never lose what happens: a partition that does not rest any more is noted before its rest is forgotten.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use milena_storage::ids::Timestamp;
use parking_lot::Mutex;
use uuid::Uuid;

use super::waiters::{FetchWait, Wakes};
use super::{Partition, PartitionError};

/// A partition as a session knows it: the topic's id and the partition's number.
pub type Rested = (Uuid, i32);

/// One session. A partition rests in it while the follower has all that is there, all of it is committed, and the session has told so:
/// then a request need not look at it.
#[derive(Debug, Default)]
pub struct Interest {
    /// Where something has happened since it was asked last.
    stirred: Mutex<Vec<Rested>>,
    /// The request that waits for something to happen.
    poll: Mutex<Option<Arc<FetchWait>>>,
    over: AtomicBool,
}

impl Interest {
    /// Where something has happened; it is told once.
    #[must_use]
    pub fn take_stirred(&self) -> Vec<Rested> {
        std::mem::take(&mut *self.stirred.lock())
    }

    #[must_use]
    pub fn has_stirred(&self) -> bool {
        !self.stirred.lock().is_empty()
    }

    /// The request that waits from now on. Who calls this looks at what has stirred afterwards.
    pub fn wait(&self, poll: Arc<FetchWait>) {
        *self.poll.lock() = Some(poll);
    }

    /// The request does not wait any more; another may.
    pub fn leave(&self, poll: &Arc<FetchWait>) {
        let mut waiting = self.poll.lock();
        if waiting.as_ref().is_some_and(|waiting| Arc::ptr_eq(waiting, poll)) {
            *waiting = None;
        }
    }

    /// The session has ended: partitions forget it.
    pub fn finish(&self) {
        self.over.store(true, Ordering::Release);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// The partition does not rest any more.
    pub(super) fn stir(&self, partition: Rested, happened: Happened, wakes: &mut Wakes) {
        self.stirred.lock().push(partition);
        let waiting = self.poll.lock().clone();
        if let Some(poll) = waiting.filter(|poll| happened.wakes(poll)) {
            wakes.add(poll);
        }
    }
}

impl Partition {
    /// Removes what retention does not keep, below the high watermark.
    pub fn retain(&self, now: Timestamp) -> Result<(), PartitionError> {
        let high_watermark = self.high_watermark();
        let start = self.log_start_offset();
        self.tend(|log| log.retain(now, high_watermark))?;
        if self.log_start_offset() != start {
            self.moved();
        }
        // Where nothing is delayed, what was deleted now goes now.
        self.remove_deleted(now)
    }

    /// Removes the files of deleted segments whose delay has passed (`file.delete.delay.ms`). Blocks, and holds up no append.
    pub fn remove_deleted(&self, now: Timestamp) -> Result<(), PartitionError> {
        let removal = self.tend(|log| Ok(log.take_deleted(now)))?;
        self.noted(removal.run())
    }

    /// The next answer to each follower has something to tell, if only that nothing has changed.
    pub(super) fn moved(&self) {
        let mut wakes = Wakes::default();
        self.waiters.lock().moved(&mut wakes);
        wakes.fire();
    }

    /// Whoever waits has to look again.
    pub(super) fn disturb(&self) {
        let mut wakes = Wakes::default();
        self.waiters.lock().disturb(&mut wakes);
        wakes.fire();
    }
}

/// What ends the rest of a partition.
#[derive(Clone, Copy, Debug)]
pub(super) enum Happened {
    /// The log has so many bytes more.
    Grown(i64),
    /// Something that the follower must hear of now.
    Disturbed,
    /// Something that its next answer tells.
    Moved,
}

impl Happened {
    fn wakes(self, poll: &FetchWait) -> bool {
        match self {
            Self::Grown(bytes) => poll.arrived(bytes),
            Self::Disturbed => true,
            Self::Moved => false,
        }
    }
}
