//! The tree as openraft's state machine: applying, taking snapshots, installing them.
//!
//! The tree lives in memory; what is kept is the log and the last snapshot. Must never apply an entry twice or out of
//! order: openraft gives them in order, and the tree checks it.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use milena_storage::fs::Fs;
use openraft::OptionalSend;
use openraft::storage::{EntryResponder, RaftSnapshotBuilder, RaftStateMachine};
use tokio::sync::Mutex;

use super::local::{Local, State};
use super::raft_types::{LogId, Snapshot, SnapshotMeta, StoredMembership, TreeRaft};
use super::snapshot_file::{self, Kept};
use super::writer::Work;
use crate::tree::Tree;

/// Entries applied under one lock and told to the observer together.
const BATCH_ENTRIES: usize = 256;

/// A snapshot is taken when so many bytes of commands were applied since the last one, or as many as that one had if it
/// was larger: a start replays little, and a large tree is not written more often than it changes.
pub(super) const SNAPSHOT_BYTES: u64 = 1 << 20;

/// See the module.
#[derive(Clone)]
pub(super) struct Machine {
    pub(super) local: Arc<Local>,
    pub(super) fs: Arc<dyn Fs>,
    pub(super) dir: PathBuf,
    pub(super) snapshot_bytes: u64,
    pub(super) work: Work,
    /// Held while the snapshot file is written: by one builder at a time, and by a stop that waits for it.
    pub(super) writing: Arc<Mutex<()>>,
}

impl Machine {
    async fn keep(&self, kept: Kept) -> io::Result<()> {
        let (fs, dir) = (Arc::clone(&self.fs), self.dir.clone());
        let save = move || snapshot_file::save(&*fs, &dir, &kept).map_err(io::Error::other);
        self.work.run(save).await.map_err(io::Error::other)?
    }
}

impl RaftStateMachine<TreeRaft> for Machine {
    type SnapshotData = Bytes;
    type SnapshotBuilder = Self;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        Ok(self.local.read(|state| (state.applied, state.membership.clone())))
    }

    async fn apply<S>(&mut self, entries: S) -> Result<(), io::Error>
    where
        S: Stream<Item = Result<EntryResponder<TreeRaft>, io::Error>> + Unpin + OptionalSend,
    {
        let mut batches = entries.ready_chunks(BATCH_ENTRIES);
        while let Some(batch) = batches.next().await {
            let mut entries = Vec::with_capacity(batch.len());
            let mut responders = Vec::with_capacity(batch.len());
            for item in batch {
                let (entry, responder) = item?;
                entries.push(entry);
                responders.push(responder);
            }
            for (responder, reply) in responders.into_iter().zip(self.local.apply(&entries)) {
                if let Some(responder) = responder {
                    responder.send(reply);
                }
            }
        }
        Ok(())
    }

    /// openraft asks every few entries; only the size of what was applied counts.
    async fn try_create_snapshot_builder(&mut self, force: bool) -> Option<Self> {
        let due = self.local.read(|state| state.bytes >= self.snapshot_bytes.max(state.snapshot_bytes));
        (force || due).then(|| self.clone())
    }

    async fn get_snapshot_builder(&mut self) -> Self {
        self.clone()
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, snapshot: Bytes) -> Result<(), io::Error> {
        let tree = Tree::decode(snapshot.clone()).map_err(io::Error::other)?;
        let snapshot_bytes = snapshot.len() as u64;
        let writing = self.writing.lock().await;
        self.keep(Kept { meta: meta.clone(), tree: snapshot }).await?;
        drop(writing);
        let membership = meta.last_membership.clone();
        self.local.replace(State { tree, applied: meta.last_log_id, membership, bytes: 0, snapshot_bytes });
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, io::Error> {
        let (fs, dir) = (Arc::clone(&self.fs), self.dir.clone());
        let load = move || snapshot_file::load(&*fs, &dir).map_err(io::Error::other);
        let kept = self.work.run(load).await.map_err(io::Error::other)??;
        Ok(kept.map(|kept| Snapshot { meta: kept.meta, snapshot: kept.tree }))
    }
}

impl RaftSnapshotBuilder<TreeRaft> for Machine {
    type SnapshotData = Bytes;

    async fn build_snapshot(&mut self) -> Result<Snapshot, io::Error> {
        let _writing = self.writing.lock().await;
        let local = Arc::clone(&self.local);
        let encode = move || {
            let kept = local.read(|state| {
                let meta =
                    SnapshotMeta { last_log_id: state.applied, last_membership: state.membership.clone() };
                Kept { meta, tree: state.tree.encode().into() }
            });
            local.snapshot_taken(kept.tree.len() as u64);
            kept
        };
        let kept = self.work.run(encode).await.map_err(io::Error::other)?;
        let snapshot = Snapshot { meta: kept.meta.clone(), snapshot: kept.tree.clone() };
        tracing::info!(bytes = kept.tree.len(), upto = ?kept.meta.last_log_id, "the tree's snapshot is taken");
        self.keep(kept).await?;
        Ok(snapshot)
    }
}
