//! This node's copy of the tree, and the observer that hears of its changes.
//!
//! Entries are applied in batches: the tree first, then the observer, then the proposers are answered. Must never let
//! a proposer learn of a change before the observer does.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock, RwLockWriteGuard};
use tokio::sync::watch;

use super::Observer;
use super::raft_types::{Entry, LogId, Payload, Reply, StoredMembership};
use super::sessions::Sessions;
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
    /// One past the last entry that is applied and that the observer knows.
    applied_end: watch::Sender<u64>,
    /// The latest replies with their indexes, for proposals that another node led; none for a node on its own.
    replies: Option<Mutex<VecDeque<(u64, Reply)>>>,
    sessions: Arc<Sessions>,
}

/// Replies that are kept: more than this node proposes at once, with as many of others in between.
const MAX_REPLIES: usize = 8192;

impl Local {
    pub(super) fn new(state: State, sessions: Arc<Sessions>, keeps_replies: bool) -> Self {
        let (applied_end, _) = watch::channel(state.applied.map_or(0, |id| id.index + 1));
        let replies = keeps_replies.then(Mutex::default);
        Self { state: RwLock::new(state), observer: Mutex::new(None), applied_end, replies, sessions }
    }

    /// Tells how far entries are applied.
    pub(super) fn applied_end(&self) -> watch::Receiver<u64> {
        self.applied_end.subscribe()
    }

    /// What an entry that was applied here led to, if that is still known.
    pub(super) fn reply(&self, index: u64) -> Option<Reply> {
        let replies = self.replies.as_ref()?.lock();
        let at = replies.binary_search_by_key(&index, |(index, _)| *index).ok()?;
        Some(replies[at].1.clone())
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
        let replies: Vec<Reply> = entries.iter().map(|entry| state.apply(entry, &mut changes)).collect();
        if let Some(observer) = observer.as_mut().filter(|_| !changes.is_empty()) {
            observer.changing(&state.tree, &changes);
        }
        let state = RwLockWriteGuard::downgrade(state);
        if !changes.is_empty() {
            self.sessions.applied(&state.tree, &changes);
            if let Some(observer) = &mut *observer {
                observer.applied(&state.tree, &changes, state.tree.zxid());
            }
        }
        drop(state);
        self.keep_replies(entries, &replies);
        if let Some(last) = entries.last() {
            self.applied_end.send_replace(last.log_id.index + 1);
        }
        replies
    }

    fn keep_replies(&self, entries: &[Entry], replies: &[Reply]) {
        let Some(kept) = &self.replies else { return };
        let mut kept = kept.lock();
        let commands = entries.iter().zip(replies).filter(|(_, reply)| reply.0.is_some());
        kept.extend(commands.map(|(entry, reply)| (entry.log_id.index, reply.clone())));
        let excess = kept.len().saturating_sub(MAX_REPLIES);
        kept.drain(..excess);
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
        if let Some(replies) = &self.replies {
            replies.lock().clear();
        }
        self.sessions.replaced(&state.tree);
        if let Some(observer) = &mut *observer {
            observer.applied(&state.tree, &[], state.tree.zxid());
        }
        self.applied_end.send_replace(state.applied.map_or(0, |id| id.index + 1));
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
