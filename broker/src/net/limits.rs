//! What all connections share and may use up: memory for large requests, and connections per address.
//!
//! Must never block a thread: who has to wait gets a future.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

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

/// Limits on the number of connections (`max.connections`, `max.connections.per.ip` and its overrides).
#[derive(Clone, Debug)]
pub(super) struct ConnectionLimits {
    pub(super) total: usize,
    pub(super) per_ip: usize,
    pub(super) per_ip_overrides: BTreeMap<IpAddr, usize>,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self { total: usize::MAX, per_ip: usize::MAX, per_ip_overrides: BTreeMap::new() }
    }
}

/// Counts the open connections of a broker.
#[derive(Debug)]
pub(super) struct ConnectionCounts {
    limits: ConnectionLimits,
    open: Mutex<Open>,
    freed: Notify,
}

#[derive(Debug, Default)]
struct Open {
    total: usize,
    by_ip: BTreeMap<IpAddr, usize>,
}

/// One counted connection.
#[derive(Debug)]
pub(super) struct Counted {
    counts: Arc<ConnectionCounts>,
    ip: IpAddr,
}

impl ConnectionCounts {
    pub(super) fn new(limits: ConnectionLimits) -> Arc<Self> {
        Arc::new(Self { limits, open: Mutex::default(), freed: Notify::new() })
    }

    /// Returns when one more connection may be accepted: above the total, Kafka lets clients wait in the backlog.
    pub(super) async fn room(&self) {
        loop {
            let freed = self.freed.notified();
            tokio::pin!(freed);
            freed.as_mut().enable();
            if self.open.lock().total < self.limits.total {
                return;
            }
            freed.await;
        }
    }

    /// Counts a connection, or refuses it because its address has too many.
    pub(super) fn admit(self: &Arc<Self>, ip: IpAddr) -> Option<Counted> {
        // An IPv4 client that came through an IPv6 socket is the same client.
        let ip = ip.to_canonical();
        let limit = self.limits.per_ip_overrides.get(&ip).copied().unwrap_or(self.limits.per_ip);
        let mut open = self.open.lock();
        let count = open.by_ip.entry(ip).or_default();
        if *count >= limit {
            if *count == 0 {
                open.by_ip.remove(&ip);
            }
            return None;
        }
        *count += 1;
        open.total += 1;
        Some(Counted { counts: Arc::clone(self), ip })
    }

    /// Returns when no connection is open.
    pub(super) async fn empty(&self) {
        loop {
            let freed = self.freed.notified();
            tokio::pin!(freed);
            freed.as_mut().enable();
            if self.open() == 0 {
                return;
            }
            freed.await;
        }
    }

    pub(super) fn open(&self) -> usize {
        self.open.lock().total
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut open = self.counts.open.lock();
        open.total -= 1;
        if let Some(count) = open.by_ip.get_mut(&self.ip) {
            *count -= 1;
            if *count == 0 {
                open.by_ip.remove(&self.ip);
            }
        }
        drop(open);
        self.counts.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_its_own_limit_and_overrides_win() {
        let ip: IpAddr = "127.0.0.1".parse().unwrap();
        let other: IpAddr = "127.0.0.2".parse().unwrap();
        let limits =
            ConnectionLimits { per_ip: 1, per_ip_overrides: [(other, 2)].into(), ..Default::default() };
        let counts = ConnectionCounts::new(limits);
        let first = counts.admit(ip).unwrap();
        assert!(counts.admit(ip).is_none());
        assert!(counts.admit("::ffff:127.0.0.1".parse().unwrap()).is_none());
        let others = [counts.admit(other), counts.admit(other)];
        assert!(others.iter().all(Option::is_some) && counts.admit(other).is_none());
        drop(first);
        assert!(counts.admit(ip).is_some());
    }

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
