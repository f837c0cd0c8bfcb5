//! openraft behind our own handle: its configuration, its start and stop, its errors as ours.
//!
//! Must never let one of openraft's types out, nor one of its transient refusals: those are retried here.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use milena_storage::fs::{Fs, RealFs};
use milena_storage::ids::Timestamp;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{ClientWriteError, Fatal, ForwardReason, RaftError};
use openraft::{Config, Raft, SnapshotPolicy};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

use super::load::{Loaded, load};
use super::local::Local;
use super::log_store::LogStore;
use super::machine::{Machine, SNAPSHOT_BYTES};
use super::network::NoLinks;
use super::raft_types::{Proposal, Reply, TreeRaft};
use super::writer::Writer;
use super::{MAX_COMMAND_BYTES, Observer, ProposeError, Quorum, Replica, StartError};
use crate::tree::{Command, Outcome, Tree, Zxid};

/// openraft asks for a snapshot every so many entries; the machine refuses while little was applied.
const SNAPSHOT_ASK_ENTRIES: u64 = 64;

/// After an election, and after a disk stall longer than the lease, a leader refuses writes until a quorum has
/// answered it: a round trip, or a heartbeat.
const LEASE_RETRY: Duration = Duration::from_millis(5);
const LEASE_PATIENCE: Duration = Duration::from_secs(10);

/// What a node starts with.
pub(super) struct Settings {
    pub(super) node_id: i32,
    pub(super) dir: PathBuf,
    pub(super) fs: Arc<dyn Fs>,
    pub(super) now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    pub(super) snapshot_bytes: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            node_id: 0,
            dir: PathBuf::new(),
            fs: Arc::new(RealFs),
            now: Arc::new(|| Timestamp::NONE),
            snapshot_bytes: SNAPSHOT_BYTES,
        }
    }
}

/// A running node of the ensemble.
pub(super) struct Node {
    node_id: i32,
    raft: Raft<TreeRaft, Machine>,
    local: Arc<Local>,
    store: LogStore,
    /// True once stopped.
    stopped: Mutex<bool>,
    writing_snapshot: Arc<Mutex<()>>,
}

impl Node {
    pub(super) async fn start(settings: Settings) -> Result<Self, StartError> {
        let Settings { node_id, dir, fs, now, snapshot_bytes } = settings;
        let loading = {
            let (fs, dir) = (Arc::clone(&fs), dir.clone());
            tokio::task::spawn_blocking(move || load(fs, &dir, node_id, now))
        };
        let Loaded { held, log, state } = loading.await.map_err(|error| failed(&error))??;
        let leads =
            held.promises.vote.is_some_and(|vote| vote.committed && vote.leader_id.voted_for == node_id);
        let writer = Writer::start(log).map_err(|error| failed(&error))?;
        let store = LogStore::new(held, writer);
        let local = Arc::new(Local::new(state));
        let writing_snapshot = Arc::new(Mutex::new(()));
        let writing = Arc::clone(&writing_snapshot);
        let machine = Machine { local: Arc::clone(&local), fs, dir, snapshot_bytes, writing };
        let raft = Raft::build(node_id, config()?, NoLinks, store.clone(), machine).await;
        let raft = raft.map_err(|error| failed(&error))?;
        raft.run();
        if !leads {
            // A lone voter has no clock to wait for; openraft takes it at its word.
            raft.trigger().elect(false).await.map_err(|error| failed(&error))?;
        }
        raft.wait_for_recovery(None).await.map_err(|error| failed(&error))?;
        Ok(Self { node_id, raft, local, store, stopped: Mutex::new(false), writing_snapshot })
    }

    pub(super) fn go_live(&self, observer: Box<dyn Observer>) {
        self.local.go_live(observer);
    }

    pub(super) async fn propose(&self, command: Command) -> Result<(Zxid, Outcome), ProposeError> {
        let proposal = Proposal::new(command);
        let bytes = proposal.bytes.len();
        if bytes > MAX_COMMAND_BYTES {
            return Err(ProposeError::TooLarge { bytes, limit: MAX_COMMAND_BYTES });
        }
        let patience = Instant::now() + LEASE_PATIENCE;
        loop {
            match self.raft.client_write(proposal.clone()).await {
                Ok(answer) => {
                    let Reply(reply) = answer.data;
                    return reply.ok_or_else(|| ProposeError::Failed {
                        reason: "a command was answered like an entry without one".to_owned(),
                    });
                }
                Err(error) if is_lease_lost(&error) && Instant::now() < patience => sleep(LEASE_RETRY).await,
                Err(error) => return Err(refusal(error)),
            }
        }
    }

    pub(super) fn with_tree<R>(&self, read: impl FnOnce(&Tree) -> R) -> R {
        self.local.read(|state| read(&state.tree))
    }

    pub(super) fn quorum(&self) -> Quorum {
        let metrics = self.raft.metrics().borrow_watched().clone();
        let own_end = metrics.last_log_index.map(|index| index + 1);
        let replica = |id: i32| {
            let known = metrics.replication.as_ref().and_then(|all| all.get(&id).copied().flatten());
            let log_end = if id == self.node_id { own_end } else { known.map(|id| id.index + 1) };
            Replica { id, log_end }
        };
        let membership = metrics.membership_config.membership();
        Quorum {
            leader: metrics.current_leader,
            term: metrics.current_term,
            committed_end: metrics.local_committed.map_or(0, |id| id.index + 1),
            voters: membership.voter_ids().map(replica).collect(),
            learners: membership.learner_ids().map(replica).collect(),
        }
    }

    pub(super) fn log_syncs(&self) -> u64 {
        self.store.syncs()
    }

    pub(super) async fn stop(&self) -> Result<(), StartError> {
        let mut stopped = self.stopped.lock().await;
        if *stopped {
            return Ok(());
        }
        *stopped = true;
        self.raft.shutdown().await.map_err(|error| failed(&error))?;
        let _written = self.writing_snapshot.lock().await;
        self.store.close().await.map_err(|error| failed(&error))
    }
}

/// One voter needs no ticks: nobody is to be heard, and it leads from the start. With more, ticks, pre-vote and the
/// time-outs matter: an expected fail-over of one to one and a half seconds.
fn config() -> Result<Arc<Config>, StartError> {
    let config = Config {
        cluster_name: "milena".to_owned(),
        heartbeat_interval: 150,
        election_timeout_min: 500,
        election_timeout_max: 800,
        enable_tick: false,
        enable_pre_vote: Some(true),
        snapshot_policy: SnapshotPolicy::LogsSinceLast(SNAPSHOT_ASK_ENTRIES),
        max_in_snapshot_log_to_keep: 0,
        ..Config::default()
    };
    config.validate().map(Arc::new).map_err(|error| failed(&error))
}

fn failed(error: &dyn std::error::Error) -> StartError {
    StartError::Raft { reason: error.to_string() }
}

type WriteError = RaftError<TreeRaft, ClientWriteError<TreeRaft>>;

fn is_lease_lost(error: &WriteError) -> bool {
    matches!(
        error,
        RaftError::APIError(ClientWriteError::ForwardToLeader(to)) if to.reason == ForwardReason::LeaseExpired
    )
}

fn refusal(error: WriteError) -> ProposeError {
    match error {
        RaftError::Fatal(Fatal::Stopped) => ProposeError::Stopped,
        RaftError::Fatal(error) => ProposeError::Failed { reason: error.to_string() },
        RaftError::APIError(ClientWriteError::ForwardToLeader(to)) => {
            ProposeError::NotLeader { leader: to.leader_id }
        }
        RaftError::APIError(ClientWriteError::LogEntryDiscarded(_)) => ProposeError::Unknown,
        RaftError::APIError(other) => ProposeError::Failed { reason: other.to_string() },
    }
}
