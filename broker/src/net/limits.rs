//! What all connections share and may use up: memory for large requests.
//!
//! Must never block a thread: who has to wait gets a future.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Requests up to this size are not counted: as many bytes as a socket keeps in the kernel anyway.
pub(super) const UNCOUNTED_FRAME: usize = 64 << 10;
/// Memory is counted in steps, because permits are 32 bits wide.
const STEP: usize = 1 << 10;

/// Memory for requests that are being received or served; large ones wait for their turn in order.
#[derive(Clone, Debug)]
pub(super) struct FrameMemory {
    permits: Arc<Semaphore>,
    total: u32,
}

/// Memory taken by one request, given back on drop.
pub(super) type Reservation = Option<OwnedSemaphorePermit>;

impl FrameMemory {
    /// `bytes` is raised to what the largest request takes, or it could never be received.
    pub(super) fn new(bytes: usize, largest_frame: usize) -> Self {
        let total = u32::try_from(bytes.max(largest_frame).div_ceil(STEP)).unwrap_or(u32::MAX >> 3);
        Self { permits: Arc::new(Semaphore::new(total as usize)), total }
    }

    /// Takes memory for a request at once if it can.
    pub(super) fn try_reserve(&self, bytes: usize) -> Option<Reservation> {
        if bytes <= UNCOUNTED_FRAME {
            return Some(None);
        }
        Arc::clone(&self.permits).try_acquire_many_owned(self.steps(bytes)).ok().map(Some)
    }

    /// Waits for memory, behind those who came before.
    pub(super) async fn reserve(self, bytes: usize) -> Reservation {
        let steps = self.steps(bytes);
        self.permits.acquire_many_owned(steps).await.ok()
    }

    /// Whether so little is left that others may be waiting.
    pub(super) fn is_scarce(&self) -> bool {
        self.permits.available_permits() < self.total as usize / 4
    }

    fn steps(&self, bytes: usize) -> u32 {
        u32::try_from(bytes.div_ceil(STEP)).unwrap_or(u32::MAX).min(self.total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_requests_share_the_memory_and_small_ones_are_free() {
        let memory = FrameMemory::new(1 << 20, 0);
        let held = memory.try_reserve(900 << 10).unwrap();
        assert!(memory.is_scarce());
        assert!(memory.try_reserve(200 << 10).is_none());
        assert!(memory.try_reserve(UNCOUNTED_FRAME).is_some());
        drop(held);
        assert!(memory.try_reserve(200 << 10).is_some());
    }
}
