//! The broker's end of the coordination service: starts the ensemble, publishes images, runs the controller.
//!
//! Read `publish` for how a change of the tree reaches handlers and logs, `controller` for how a request becomes a
//! change. Must never decide anything itself: decisions are those of `milena_coordinator::controller`.

mod auto_create;
mod charge;
mod controller;
mod directories;
mod forward;
mod members;
pub mod place;
pub mod port;
mod publish;
mod register;
mod session;
mod suspicion;
mod turns;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use milena_coordinator::controller::{ConfigRules, FirstContent, Refusal};
use milena_coordinator::ensemble::{Cluster, Ensemble, EnsembleConfig, ProposeError, StartError};
use milena_coordinator::image::MetadataImage;
use milena_coordinator::tree::{Secret, Zxid};
use milena_storage::fs::Fs;
use milena_storage::ids::BrokerId;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot, watch};

use self::session::NodeSession;
use crate::clock::Clock;
use crate::quotas::mutations::{Mutations, Payer};
use crate::quotas::rate::RateWindow;
use crate::zookeeper;

pub use auto_create::{AutoCreate, OffsetsTopic, TransactionsTopic};
pub use members::VoterChange;
pub use publish::{Follower, ImageChange, TreeWatcher};
pub use register::Listeners;

/// Decisions that may wait for their turn; one more is refused, so a flood of requests costs bounded memory.
const MAX_WAITING_DECISIONS: usize = 1024;
/// How long a stopping node waits for others to take over, and again for the end of its session.
const STOP_PATIENCE: Duration = Duration::from_secs(2);
/// Looks in a row at which so few voters are linked that nothing can be decided, until a stopping node waits for nothing more: all nodes of a
/// cluster that is stopped at once go in some order, and the last has nobody to tell. A link that broke is back sooner.
const ALONE_LOOKS: u32 = 15;
/// Between two of them.
const ALONE_LOOK: Duration = Duration::from_millis(20);
/// Followers that may be added before the first of them has been told of the image.
const MAX_NEW_FOLLOWERS: usize = 16;

/// What the coordination service needs to start.
pub struct QuorumConfig {
    pub node: BrokerId,
    /// The ensemble's own directory; see `milena_coordinator::ensemble`.
    pub dir: PathBuf,
    pub fs: Arc<dyn Fs>,
    pub clock: Arc<Clock>,
    /// Where the newest image is published, for everybody to read.
    pub image: Arc<ArcSwap<MetadataImage>>,
    pub rules: Arc<dyn ConfigRules>,
    /// Told of each image, in this order.
    pub followers: Vec<Box<dyn Follower>>,
    /// Seeds topic ids and placement.
    pub seed: u64,
    pub offsets_topic: OffsetsTopic,
    /// Brokers that the cluster has once all voters of both roles run.
    pub expected_brokers: usize,
    /// How often leadership goes back to where it is preferred, in milliseconds; `None` for never.
    pub rebalance_ms: Option<i64>,
    /// `unclean.leader.election.interval.ms`
    pub unclean_ms: i64,
    /// Told of every change of the tree; none while nobody watches it.
    pub watcher: Option<Arc<dyn TreeWatcher>>,
    /// How to find the other nodes; none for a node that stays on its own.
    pub cluster: Option<Cluster>,
    /// Takes the ensemble as soon as others may dial it, before this node is ready.
    pub on_ensemble: Box<dyn FnOnce(&Ensemble) + Send>,
    pub session_timeout: Duration,
    pub registration_timeout: Duration,
    pub transactions_topic: TransactionsTopic,
    /// Over what quotas on changes of metadata are measured.
    pub mutation_window: RateWindow,
}

/// A handle; clones are the same service.
#[derive(Clone)]
pub struct Quorum {
    shared: Arc<Shared>,
    /// The broker that took what is asked through this handle.
    caller: BrokerId,
    /// Who is charged for what is asked through this handle.
    payer: Option<Payer>,
}

struct Shared {
    node: BrokerId,
    clock: Arc<Clock>,
    ensemble: Ensemble,
    /// The image of the last applied command, which may be ahead of the published one.
    slot: Arc<publish::Slot>,
    published: watch::Receiver<Zxid>,
    /// Gone when the ensemble has stopped: followers hold what holds this.
    new_followers: Mutex<Option<mpsc::Sender<Box<dyn Follower>>>>,
    jobs: mpsc::Sender<turns::Job>,
    begin: Mutex<Option<oneshot::Sender<FirstContent>>>,
    registration_timeout_ms: i64,
    stopping: AtomicBool,
    rules: Arc<dyn ConfigRules>,
    auto_create: AutoCreate,
    session: Arc<NodeSession>,
    watcher: Option<Arc<dyn TreeWatcher>>,
    mutations: Arc<Mutations>,
}

/// Why the coordination service did not start.
#[derive(Debug, thiserror::Error)]
pub enum QuorumError {
    #[error("the metadata ensemble did not start: {0}")]
    Start(#[from] StartError),
    #[error("the metadata ensemble cannot be written to: {0}")]
    Propose(#[from] ProposeError),
    #[error("the broker could not be registered: {0}")]
    Register(Refusal),
    #[error("the metadata ensemble has stopped")]
    Stopped,
}

impl Quorum {
    /// Starts the ensemble and returns when the image of what it had kept is published. Must be called on the
    /// runtime that shall run it.
    pub async fn start(config: QuorumConfig) -> Result<Self, QuorumError> {
        let slot = Arc::new(publish::Slot::default());
        let clock = Arc::clone(&config.clock);
        let ensemble = start_ensemble(EnsembleConfig {
            node_id: config.node.0,
            dir: config.dir,
            fs: config.fs,
            now: Arc::new(move || clock.now()),
            observer: Box::new(publish::ImageBuilder::new(Arc::clone(&slot), config.watcher.clone())),
            cluster: config.cluster,
        })
        .await?;
        (config.on_ensemble)(&ensemble);
        let (zxid, published) = watch::channel(Zxid::default());
        let (new_followers, incoming) = mpsc::channel(MAX_NEW_FOLLOWERS);
        let publisher = publish::Publisher::new(Arc::clone(&slot), config.image, config.followers, zxid);
        tokio::spawn(publisher.run(incoming));
        ensemble.ready().await?;
        let (jobs, queue) = mpsc::channel(MAX_WAITING_DECISIONS);
        let (begin, begun) = oneshot::channel();
        let session_timeout = i32::try_from(config.session_timeout.as_millis()).unwrap_or(i32::MAX);
        let session = Arc::new(NodeSession::new(session_timeout, Secret(zookeeper::random_bytes())));
        let turns = turns::Turns {
            node: config.node,
            clock: Arc::clone(&config.clock),
            ensemble: ensemble.clone(),
            slot: Arc::clone(&slot),
            rules: Arc::clone(&config.rules),
            session: Arc::clone(&session),
            seed: config.seed,
            published: published.clone(),
            rebalance_ms: config.rebalance_ms,
            unclean_ms: config.unclean_ms,
        };
        tokio::spawn(turns.run(queue, begun));
        let shared = Shared {
            node: config.node,
            clock: config.clock,
            ensemble,
            slot,
            published,
            new_followers: Mutex::new(Some(new_followers)),
            jobs,
            rules: config.rules,
            auto_create: AutoCreate::new(
                config.offsets_topic,
                config.transactions_topic,
                config.expected_brokers,
            ),
            session,
            watcher: config.watcher,
            mutations: Arc::new(Mutations::new(config.mutation_window)),
            begin: Mutex::new(Some(begin)),
            registration_timeout_ms: i64::try_from(config.registration_timeout.as_millis())
                .unwrap_or(i64::MAX),
            stopping: AtomicBool::new(false),
        };
        let quorum = Self::of(Arc::new(shared));
        let desk = forward::Desk(Arc::downgrade(&quorum.shared));
        quorum.shared.ensemble.answer_with(Arc::new(desk));
        quorum.wait_until_published().await;
        Ok(quorum)
    }

    fn of(shared: Arc<Shared>) -> Self {
        let caller = shared.node;
        Self { shared, caller, payer: None }
    }

    /// The image of the last applied command.
    #[must_use]
    pub fn newest_image(&self) -> Arc<MetadataImage> {
        self.shared.slot.newest()
    }

    #[must_use]
    pub fn rules(&self) -> &Arc<dyn ConfigRules> {
        &self.shared.rules
    }

    /// The ensemble behind it, for DescribeQuorum and for whoever wants to read the tree.
    #[must_use]
    pub fn ensemble(&self) -> &Ensemble {
        &self.shared.ensemble
    }

    /// Adds a follower: it is told of the whole image first and of every change after that.
    pub async fn follow(&self, follower: Box<dyn Follower>) {
        let publisher = self.shared.new_followers.lock().clone();
        if let Some(publisher) = publisher {
            // It ends only with the runtime, or when this stops.
            let _ = publisher.send(follower).await;
        }
    }

    /// Returns when handlers see everything up to `zxid` and every follower is ready for it.
    pub async fn wait_published(&self, zxid: Zxid) {
        let mut published = self.shared.published.clone();
        // An error means that the publisher is gone, and with it the broker.
        let _ = published.wait_for(|reached| *reached >= zxid).await;
    }

    /// Tells of every image that handlers see.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<Zxid> {
        self.shared.published.clone()
    }

    /// Returns when handlers see everything that has been applied so far.
    pub async fn wait_until_published(&self) {
        self.wait_published(self.shared.slot.newest().zxid).await;
    }

    /// Hands leadership over, ends this broker's registration and stops the ensemble; what waits is refused.
    pub async fn stop(&self) {
        self.shared.stopping.store(true, Ordering::Release);
        self.hand_over().await;
        let closing = self.shared.session.close(&self.shared.ensemble);
        if self.decided_within(STOP_PATIENCE, closing).await.is_none() {
            tracing::debug!("the session was not closed; it expires");
        }
        if let Err(error) = self.shared.ensemble.stop().await {
            tracing::error!(%error, "the ensemble did not stop cleanly");
        }
        self.shared.new_followers.lock().take();
    }

    /// Has another node become the controller, if this one is and another can.
    async fn hand_over(&self) {
        let (done, handed_over) = oneshot::channel();
        if self.controls() && self.shared.jobs.send(turns::Job::HandOver(done)).await.is_ok() {
            // An error means that the queue's task has ended with what it was to do; without a majority it may be in the
            // middle of a decision that never comes to an end.
            let _ = self.decided_within(STOP_PATIENCE, handed_over).await;
        }
    }

    /// Waits for what the voters have to decide, so long as they can.
    pub async fn decided_within<T>(
        &self,
        patience: Duration,
        decision: impl Future<Output = T>,
    ) -> Option<T> {
        tokio::select! {
            biased;
            decided = decision => Some(decided),
            () = tokio::time::sleep(patience) => None,
            () = self.is_alone() => None,
        }
    }

    /// Returns when no majority of the voters has been linked for a while.
    async fn is_alone(&self) {
        let mut alone = 0;
        while alone < ALONE_LOOKS {
            let voters = self.shared.ensemble.quorum().voters;
            let linked = voters.iter().filter(|voter| voter.is_linked).count();
            alone = if linked * 2 > voters.len() { 0 } else { alone + 1 };
            tokio::time::sleep(ALONE_LOOK).await;
        }
    }
}

impl std::fmt::Debug for Quorum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Quorum").field("node", &self.shared.node).finish_non_exhaustive()
    }
}

async fn start_ensemble(config: EnsembleConfig) -> Result<Ensemble, StartError> {
    #[cfg(test)]
    if turmoil::in_simulation() {
        return Ensemble::start_simulated(config, crate::tests::simulation::SYNC).await;
    }
    Ensemble::start(config).await
}

/// What a client is told when a proposal came to nothing.
fn refusal(error: &ProposeError) -> Refusal {
    use kafka_protocol::error::ResponseError;
    match error {
        // Clients look for the controller again and repeat the request.
        ProposeError::NotLeader { .. } | ProposeError::Unknown | ProposeError::Stopped => {
            Refusal::bare(ResponseError::NotController)
        }
        ProposeError::TooLarge { bytes, limit } => Refusal::new(
            ResponseError::PolicyViolation,
            format!("The change takes {bytes} bytes of metadata; at most {limit} fit into one."),
        ),
        other => {
            tracing::error!(error = %other, "the tree refused a decision of the controller");
            Refusal::bare(ResponseError::UnknownServerError)
        }
    }
}
