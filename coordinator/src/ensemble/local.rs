//! This node's copy of the tree, and the observer that hears of its changes.
//!
//! Entries are applied in batches: the tree first, then the observer, then the proposers are answered. Must never let
//! a proposer learn of a change before the observer does.

use parking_lot::{Mutex, RwLock, RwLockWriteGuard};

use super::Observer;
use super::raft_types::{Entry, LogId, Payload, Reply, StoredMembership};
use crate::tree::{Change, Outcome, Tree};

/// The tree and what it reflects.
pub(super) struct State {
    pub(super) tree: Tree,
    pub(super) applied: Option<LogId>,
    pub(super) membership: StoredMembership,
    /// Bytes of commands applied since the last snapshot.
    pub(super) bytes: u64,
    /// Bytes of the last snapshot, 0 if there is none.
    pub(super) snapshot_bytes: u64,
}

/// See the module. The observer's lock is always taken before the state's.
pub(super) struct Local {
    state: RwLock<State>,
    observer: Mutex<Option<Box<dyn Observer>>>,
}

impl Local {
    pub(super) fn new(state: State) -> Self {
        Self { state: RwLock::new(state), observer: Mutex::new(None) }
    }

    pub(super) fn read<R>(&self, read: impl FnOnce(&State) -> R) -> R {
        read(&self.state.read())
    }

    /// Shows the observer the whole tree, and from now on every change. Before, while the log is replayed, nobody
    /// listens.
    pub(super) fn go_live(&self, mut observer: Box<dyn Observer>) {
        let mut slot = self.observer.lock();
        let state = self.state.read();
        observer.changing(&state.tree, &[]);
        observer.applied(&state.tree, &[], state.tree.zxid());
        *slot = Some(observer);
    }

    /// Applies entries in order and returns an answer for each.
    pub(super) fn apply(&self, entries: &[Entry]) -> Vec<Reply> {
        let mut observer = self.observer.lock();
        let mut state = self.state.write();
        let mut changes = Vec::new();
        let replies = entries.iter().map(|entry| state.apply(entry, &mut changes)).collect();
        if changes.is_empty() {
            return replies;
        }
        if let Some(observer) = &mut *observer {
            observer.changing(&state.tree, &changes);
        }
        let state = RwLockWriteGuard::downgrade(state);
        if let Some(observer) = &mut *observer {
            observer.applied(&state.tree, &changes, state.tree.zxid());
        }
        replies
    }

    /// Takes over a snapshot; the observer looks at the whole tree again.
    pub(super) fn replace(&self, new: State) {
        let mut observer = self.observer.lock();
        let mut state = self.state.write();
        *state = new;
        if let Some(observer) = &mut *observer {
            observer.changing(&state.tree, &[]);
        }
        let state = RwLockWriteGuard::downgrade(state);
        if let Some(observer) = &mut *observer {
            observer.applied(&state.tree, &[], state.tree.zxid());
        }
    }

    /// Begins to count anew for the next snapshot.
    pub(super) fn snapshot_taken(&self, bytes: u64) {
        let mut state = self.state.write();
        state.bytes = 0;
        state.snapshot_bytes = bytes;
    }
}

impl State {
    fn apply(&mut self, entry: &Entry, changes: &mut Vec<Change>) -> Reply {
        self.applied = Some(entry.log_id);
        match &entry.payload {
            Payload::Blank => Reply(None),
            Payload::Membership(membership) => {
                self.membership = StoredMembership::new(Some(entry.log_id), membership.clone());
                Reply(None)
            }
            Payload::Normal(proposal) => {
                self.bytes += proposal.bytes.len() as u64;
                let zxid = self.tree.zxid().next(entry.log_id.leader_id.term);
                let (outcome, did): (Outcome, _) = self.tree.apply(zxid, &proposal.command);
                changes.extend(did);
                Reply(Some((zxid, outcome)))
            }
        }
    }
}
