//! How much a simulated disk still takes before it is full.
//!
//! Must never refuse what makes room: what is shortened, removed or replaced gives its bytes back.

use std::io;

use super::{Change, Disk, Node, SimFs};

impl SimFs {
    /// From now on the disk takes only so many bytes more. A write that needs more than is left gets as far as it can and fails, as on a
    /// real file system, new files are refused when nothing is left, and what goes makes room again. Until [`SimFs::heal`].
    pub fn fill(&self, free: u64) {
        self.disk.lock().free = Some(free);
    }

    /// Whether less than so many bytes fit.
    pub fn has_less_than(&self, bytes: u64) -> bool {
        self.disk.lock().free.is_some_and(|free| free < bytes)
    }
}

impl Disk {
    /// Takes room for a new file.
    pub(super) fn take_name(&self) -> io::Result<()> {
        if self.free == Some(0) { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    /// Whether room for so many bytes could be reserved.
    pub(super) fn has_room(&self, bytes: u64) -> io::Result<()> {
        if self.free.is_some_and(|free| free < bytes) {
            Err(io::ErrorKind::StorageFull.into())
        } else {
            Ok(())
        }
    }

    /// Gives back what a file took that has lost its name.
    pub(super) fn give_back(&mut self, node: usize) {
        let len = self.data(node).len() as u64;
        if let Some(free) = &mut self.free {
            *free += len;
        }
    }

    /// Takes room for a change of a file; gives what of it fits, and whether that is all.
    pub(super) fn take_room(&mut self, node: usize, change: Change) -> (Option<Change>, bool) {
        let len = self.data(node).len() as u64;
        let Some(free) = &mut self.free else { return (Some(change), true) };
        let end = match &change {
            Change::Write(at, bytes) => (at + bytes.len() as u64).max(len),
            Change::Length(end) => *end,
        };
        let Some(grows) = end.checked_sub(len) else {
            *free += len - end;
            return (Some(change), true);
        };
        if let Some(left) = free.checked_sub(grows) {
            *free = left;
            return (Some(change), true);
        }
        let Change::Write(at, mut bytes) = change else { return (None, false) };
        let fits = (len + std::mem::take(free)).saturating_sub(at);
        bytes.truncate(usize::try_from(fits).expect("less than there is"));
        ((!bytes.is_empty()).then_some(Change::Write(at, bytes)), false)
    }
}

impl Node {
    /// What a write changes at once, of a change that fits.
    pub(super) fn take(&mut self, change: Change, now: i64) {
        if let Self::File { data, pending, modified, .. } = self {
            change.apply(data);
            pending.push(change);
            *modified = now;
        }
    }
}
