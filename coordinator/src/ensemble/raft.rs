//! openraft behind our own handle: its configuration, its start and stop.
//!
//! Must never let one of openraft's types out.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use milena_storage::fs::{Fs, RealFs};
use milena_storage::ids::Timestamp;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::{Config, Instant as _, Raft, SnapshotPolicy};
use parking_lot::RwLock;
use tokio::sync::{Mutex, Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use super::link::{Identity, Links};
use super::load::{First, Loaded, load};
use super::local::Local;
use super::log_store::LogStore;
use super::machine::{Machine, SNAPSHOT_BYTES};
use super::network::Network;
use super::node::Core;
use super::plant::Plant;
use super::raft_types::{MemberNode, Membership, spawn};
use super::serve::Service;
use super::sessions::Sessions;
use super::writer::{Work, Writer};
use super::{
    Answerer, Cluster, Leadership, Member, Observer, Quorum, Replica, StartError, succession, tending,
};
use crate::tree::Tree;

/// openraft asks for a snapshot every so many entries; the machine refuses while little was applied.
const SNAPSHOT_ASK_ENTRIES: u64 = 64;
/// Entries that are kept though the snapshot has them, so that a node that was away for a moment needs no snapshot.
const KEPT_ENTRIES: u64 = 10_000;
/// How long a transfer of leadership may take: the other needs what it lacks, and two round trips.
const TRANSFER_PATIENCE: Duration = Duration::from_secs(2);

/// How long others may take to hear that this node stops, and their last requests to be answered.
const LEAVE_PATIENCE: Duration = Duration::from_secs(1);

/// What a node starts with.
pub(super) struct Settings {
    pub(super) node_id: i32,
    pub(super) dir: PathBuf,
    pub(super) fs: Arc<dyn Fs>,
    pub(super) now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    pub(super) snapshot_bytes: u64,
    pub(super) cluster: Option<Cluster>,
    pub(super) work: Work,
    pub(super) plant: Plant,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            node_id: 0,
            dir: PathBuf::new(),
            fs: Arc::new(RealFs),
            now: Arc::new(|| Timestamp::NONE),
            snapshot_bytes: SNAPSHOT_BYTES,
            cluster: None,
            work: Work::Threads,
            plant: Plant::None,
        }
    }
}

/// A running node of the ensemble.
pub(super) struct Node {
    pub(super) core: Arc<Core>,
    pub(super) answerer: Arc<RwLock<Option<Arc<dyn Answerer>>>>,
    /// Requests of other nodes that are being answered.
    under_way: watch::Sender<usize>,
    /// Nobody else votes: there is nobody to wait for.
    is_alone: bool,
    tasks: Vec<AbortHandle>,
    /// True once stopped.
    stopped: Mutex<bool>,
    writing_snapshot: Arc<Mutex<()>>,
}

impl Node {
    pub(super) async fn start(settings: Settings) -> Result<Self, StartError> {
        let Settings { node_id, dir, fs, now, snapshot_bytes, cluster, work, plant } = settings;
        let first = first_voters(node_id, cluster.as_ref());
        let loading = {
            let (fs, dir, now) = (Arc::clone(&fs), dir.clone(), Arc::clone(&now));
            work.run(move || load(fs, &dir, node_id, &first, now))
        };
        let Loaded { held, log, state } = loading.await.map_err(|error| failed(&error))??;
        let leads =
            held.promises.vote.is_some_and(|vote| vote.committed && vote.leader_id.voted_for == node_id);
        let membership = held.membership(&state.membership).clone();
        let is_alone = membership.voter_ids().eq([node_id]);
        let writer = Writer::start(log, work).map_err(|error| failed(&error))?;
        let store = LogStore::new(held, writer);
        let sessions = Arc::new(Sessions::default());
        let local = Arc::new(Local::new(state, Arc::clone(&sessions), cluster.is_some()));
        let writing_snapshot = Arc::new(Mutex::new(()));
        let writing = Arc::clone(&writing_snapshot);
        let machine = Machine { local: Arc::clone(&local), fs, dir, snapshot_bytes, work, writing };
        let links = cluster.as_ref().map(|cluster| {
            let me = Identity::new(node_id, cluster.directory);
            me.set_cluster(&cluster.id);
            let links = Links::new(Arc::new(me), Arc::clone(&cluster.dialer), cluster.secret.clone());
            links.set_voters(voter_directories(&membership));
            links
        });
        let network = Network::new(links.clone(), plant);
        let raft = Raft::build(node_id, config(is_alone)?, network, store.clone(), machine).await;
        let raft = raft.map_err(|error| failed(&error))?;
        let (leadership, _) = watch::channel(Leadership::default());
        let hung_up = Notify::new();
        let core =
            Arc::new(Core { node_id, raft, local, store, sessions, links, leadership, hung_up, plant });
        let mut node = Self {
            core,
            answerer: Arc::default(),
            under_way: watch::Sender::new(0),
            is_alone,
            tasks: Vec::new(),
            stopped: Mutex::new(false),
            writing_snapshot,
        };
        node.run(leads, cluster, now).await?;
        Ok(node)
    }

    /// Lets Raft and everything around it run.
    async fn run(
        &mut self,
        leads: bool,
        cluster: Option<Cluster>,
        now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    ) -> Result<(), StartError> {
        let core = &self.core;
        if let Some(links) = &core.links {
            let answerer = Arc::clone(&self.answerer);
            links.serve(Arc::new(Service {
                core: Arc::clone(core),
                answerer,
                under_way: self.under_way.clone(),
            }));
        }
        core.raft.run();
        if self.is_alone {
            if !leads {
                // A lone voter has no clock to wait for; openraft takes it at its word.
                core.raft.trigger().elect(false).await.map_err(|error| failed(&error))?;
            }
            core.raft.wait_for_recovery(None).await.map_err(|error| failed(&error))?;
        }
        core.refresh_leadership();
        let mut tend = |task: std::pin::Pin<Box<dyn Future<Output = ()> + Send>>| {
            self.tasks.push(spawn(task).abort_handle());
        };
        tend(Box::pin(tending::follow_raft(Arc::clone(core))));
        tend(Box::pin(tending::expire(Arc::clone(core), now)));
        if let (Some(cluster), Some(links)) = (cluster, core.links.clone()) {
            tend(Box::pin(tending::bound_log(Arc::clone(core))));
            tend(Box::pin(succession::succeed(Arc::clone(core), links.clone())));
            let Cluster { voters, bootstrap, heartbeat, .. } = cluster;
            tend(Box::pin(tending::keep_links(Arc::clone(core), links.clone(), voters, bootstrap)));
            tend(Box::pin(tending::tell_sessions(Arc::clone(core), links, heartbeat)));
        }
        Ok(())
    }

    /// Whether this node is ready as soon as it has started.
    pub(super) fn is_alone(&self) -> bool {
        self.is_alone
    }

    pub(super) fn go_live(&self, observer: Box<dyn Observer>) {
        self.core.local.go_live(observer);
    }

    pub(super) fn with_tree<R>(&self, read: impl FnOnce(&Tree) -> R) -> R {
        self.core.local.read(|state| read(&state.tree))
    }

    pub(super) fn quorum(&self) -> Quorum {
        let core = &self.core;
        let metrics = core.raft.metrics().borrow_watched().clone();
        let own_end = metrics.last_log_index.map(|index| index + 1);
        let connected = core.links.as_ref().map(Links::connected).unwrap_or_default();
        let membership = metrics.membership_config.membership();
        let replica = |id: i32| {
            let known = metrics.replication.as_ref().and_then(|all| all.get(&id).copied().flatten());
            let heard = metrics.heartbeat.as_ref().and_then(|all| all.get(&id).copied().flatten());
            let link = connected.iter().find(|each| each.peer == id);
            let link = link.filter(|link| core.links.as_ref().is_some_and(|links| links.is_itself(link)));
            let is_me = id == core.node_id;
            let node = membership.get_node(&id);
            let recorded = node.map(|node| node.directory).filter(|directory| !directory.is_nil());
            let is_voter = membership.voter_ids().any(|voter| voter == id);
            let own_directory = core.links.as_ref().map(|links| links.me().directory).filter(|_| is_me);
            Replica {
                id,
                log_end: if is_me { own_end } else { known.map(|id| id.index + 1) },
                heard: heard.map(|at| at.elapsed()),
                directory: recorded
                    .filter(|_| is_voter)
                    .or(own_directory)
                    .or_else(|| link.map(|link| link.directory))
                    .unwrap_or_default(),
                address: node.map(|node| node.addr.clone()).unwrap_or_default(),
                is_linked: is_me || link.is_some(),
            }
        };
        Quorum {
            leader: metrics.current_leader,
            term: metrics.current_term,
            committed_end: metrics.local_committed.map_or(0, |id| id.index + 1),
            voters: membership.voter_ids().map(replica).collect(),
            learners: membership.learner_ids().map(replica).collect(),
        }
    }

    pub(super) fn log_syncs(&self) -> u64 {
        self.core.store.syncs()
    }

    /// Gives leadership to the voter that has most of the log, if there is another and this node leads.
    pub(super) async fn hand_over(&self) {
        let core = &self.core;
        let metrics = core.raft.metrics().borrow_watched().clone();
        let others = metrics.membership_config.membership().voter_ids().filter(|id| *id != core.node_id);
        let log_end = |id: i32| metrics.replication.as_ref().and_then(|all| all.get(&id).copied().flatten());
        let linked = |id: &i32| core.links.as_ref().is_some_and(|links| links.to_itself(*id).is_some());
        let best = others.filter(linked).max_by_key(|id| log_end(*id));
        let Some(best) = best.filter(|_| core.leadership().leads) else { return };
        let mut leadership = core.leadership.subscribe();
        if core.raft.trigger().transfer_leader(best).await.is_err() {
            return;
        }
        let another_leads = leadership.wait_for(|now| !now.leads && now.leader.is_some());
        match timeout(TRANSFER_PATIENCE, another_leads).await {
            Ok(_) => tracing::info!(to = best, "leadership of the ensemble is handed over"),
            Err(_) => tracing::warn!(to = best, "leadership was not taken over; the others will elect"),
        }
    }

    /// Returns when this node serves what was acknowledged anywhere before it started.
    pub(super) async fn wait_ready(&self) -> Result<(), super::ProposeError> {
        let mut told = Instant::now();
        loop {
            match self.core.barrier(Instant::now() + Duration::from_secs(1)).await {
                Err(super::ProposeError::NotLeader { .. }) => {
                    if told.elapsed() > Duration::from_secs(5) {
                        told = Instant::now();
                        let quorum = self.quorum();
                        let missing: Vec<i32> =
                            quorum.voters.iter().filter(|each| !each.is_linked).map(|each| each.id).collect();
                        tracing::warn!(?missing, "waiting for a quorum of the ensemble");
                    }
                }
                other => return other,
            }
        }
    }

    pub(super) async fn stop(&self) -> Result<(), StartError> {
        let mut stopped = self.stopped.lock().await;
        if *stopped {
            return Ok(());
        }
        *stopped = true;
        if let Some(links) = &self.core.links {
            let mut under_way = self.under_way.subscribe();
            let served = async move {
                // The sender lives as long as this node.
                let _ = under_way.wait_for(|count| *count == 0).await;
            };
            links.leave(served, LEAVE_PATIENCE).await;
        }
        self.tasks.iter().for_each(AbortHandle::abort);
        self.core.raft.shutdown().await.map_err(|error| failed(&error))?;
        if let Some(links) = &self.core.links {
            links.stop();
        }
        let _written = self.writing_snapshot.lock().await;
        self.core.store.close().await.map_err(|error| failed(&error))
    }
}

/// Who begins a log that is not there yet: the configured voters, or a node on its own. Several voters write the same entry
/// before they know each other's directories; the leader enters those later.
fn first_voters(node_id: i32, cluster: Option<&Cluster>) -> First {
    let Some(Cluster { voters, directory, .. }) = cluster else {
        return First { voters: [(node_id, MemberNode::default())].into() };
    };
    let is_alone = voters.len() == 1;
    let node = |each: &Member| {
        let directory = if is_alone && each.id == node_id { *directory } else { Uuid::nil() };
        (each.id, MemberNode { addr: each.address.clone(), directory })
    };
    First { voters: voters.iter().map(node).collect() }
}

/// The voters with their directories, zero where that is not known.
pub(super) fn voter_directories(membership: &Membership) -> BTreeMap<i32, Uuid> {
    let directory = |id| membership.get_node(&id).map(|node| node.directory).unwrap_or_default();
    membership.voter_ids().map(|id| (id, directory(id))).collect()
}

/// One voter needs no ticks: nobody is to be heard, and it leads from the start. With more, ticks, pre-vote and the
/// time-outs matter: an expected fail-over of one to one and a half seconds.
fn config(is_alone: bool) -> Result<Arc<Config>, StartError> {
    let config = Config {
        cluster_name: "milena".to_owned(),
        heartbeat_interval: 150,
        election_timeout_min: 500,
        election_timeout_max: 800,
        enable_tick: !is_alone,
        enable_pre_vote: Some(true),
        // A leader that comes back must not go on from an older tree than others have seen.
        enable_leader_restore: Some(is_alone),
        // A node whose disk is new is given the log again, as one without a vote: by its directory it is no voter.
        allow_log_reversion: Some(true),
        snapshot_policy: SnapshotPolicy::LogsSinceLast(SNAPSHOT_ASK_ENTRIES),
        max_in_snapshot_log_to_keep: if is_alone { 0 } else { KEPT_ENTRIES },
        ..Config::default()
    };
    config.validate().map(Arc::new).map_err(|error| failed(&error))
}

fn failed(error: &dyn std::error::Error) -> StartError {
    StartError::Raft { reason: error.to_string() }
}
