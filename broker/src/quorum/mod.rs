//! The broker's end of the coordination service: starts the ensemble, publishes images, runs the controller.
//!
//! Read `publish` for how a change of the tree reaches handlers and logs, `controller` for how a request becomes a
//! change. Must never decide anything itself: decisions are those of `milena_coordinator::controller`.

mod auto_create;
mod controller;
mod publish;
mod register;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use milena_coordinator::controller::{ConfigRules, Refusal};
use milena_coordinator::ensemble::{Ensemble, EnsembleConfig, ProposeError, StartError};
use milena_coordinator::image::MetadataImage;
use milena_coordinator::tree::{SessionId, Zxid};
use milena_storage::fs::Fs;
use milena_storage::ids::BrokerId;
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};

use crate::clock::Clock;

pub use auto_create::{AutoCreate, OffsetsTopic, TransactionsTopic};
pub use publish::{Follower, ImageChange, TreeWatcher};
pub use register::Listeners;

/// Decisions that may wait for their turn; one more is refused, so a flood of requests costs bounded memory.
const MAX_WAITING_DECISIONS: usize = 1024;
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
    /// Told of every change of the tree; none while nobody watches it.
    pub watcher: Option<Arc<dyn TreeWatcher>>,
    pub transactions_topic: TransactionsTopic,
}

/// A handle; clones are the same service.
#[derive(Clone)]
pub struct Quorum {
    shared: Arc<Shared>,
}

struct Shared {
    node: BrokerId,
    clock: Arc<Clock>,
    ensemble: Ensemble,
    /// The image of the last applied command, which may be ahead of the published one.
    slot: Arc<publish::Slot>,
    published: watch::Receiver<Zxid>,
    new_followers: mpsc::Sender<Box<dyn Follower>>,
    jobs: mpsc::Sender<controller::Job>,
    rules: Arc<dyn ConfigRules>,
    auto_create: AutoCreate,
    session: Mutex<Option<SessionId>>,
}

/// Why the coordination service did not start.
#[derive(Debug, thiserror::Error)]
pub enum QuorumError {
    #[error("the metadata ensemble did not start: {0}")]
    Start(#[from] StartError),
    #[error("the broker could not be registered: {0}")]
    Propose(#[from] ProposeError),
}

impl Quorum {
    /// Starts the ensemble and returns when the image of what it had kept is published. Must be called on the
    /// runtime that shall run it.
    pub async fn start(config: QuorumConfig) -> Result<Self, QuorumError> {
        let slot = Arc::new(publish::Slot::default());
        let clock = Arc::clone(&config.clock);
        let ensemble = Ensemble::start(EnsembleConfig {
            node_id: config.node.0,
            dir: config.dir,
            fs: config.fs,
            now: Arc::new(move || clock.now()),
            observer: Box::new(publish::ImageBuilder::new(Arc::clone(&slot), config.watcher)),
            cluster: None,
        })
        .await?;
        let (zxid, published) = watch::channel(Zxid::default());
        let (new_followers, incoming) = mpsc::channel(MAX_NEW_FOLLOWERS);
        let publisher = publish::Publisher::new(Arc::clone(&slot), config.image, config.followers, zxid);
        tokio::spawn(publisher.run(incoming));
        let (jobs, queue) = mpsc::channel(MAX_WAITING_DECISIONS);
        let turns = controller::Turns {
            node: config.node,
            clock: Arc::clone(&config.clock),
            ensemble: ensemble.clone(),
            slot: Arc::clone(&slot),
            rules: Arc::clone(&config.rules),
            seed: config.seed,
        };
        tokio::spawn(turns.run(queue));
        let shared = Shared {
            node: config.node,
            clock: config.clock,
            ensemble,
            slot,
            published,
            new_followers,
            jobs,
            rules: config.rules,
            auto_create: AutoCreate::new(config.offsets_topic, config.transactions_topic),
            session: Mutex::new(None),
        };
        let quorum = Self { shared: Arc::new(shared) };
        quorum.wait_until_published().await;
        Ok(quorum)
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
        // The publisher ends only with the runtime.
        let _ = self.shared.new_followers.send(follower).await;
    }

    /// Returns when handlers see everything up to `zxid` and every follower is ready for it.
    pub async fn wait_published(&self, zxid: Zxid) {
        let mut published = self.shared.published.clone();
        // An error means that the publisher is gone, and with it the broker.
        let _ = published.wait_for(|reached| *reached >= zxid).await;
    }

    /// Returns when handlers see everything that has been applied so far.
    pub async fn wait_until_published(&self) {
        self.wait_published(self.shared.slot.newest().zxid).await;
    }

    /// Ends this broker's registration and stops the ensemble; what waits is refused.
    pub async fn stop(&self) {
        let session = self.shared.session.lock().take();
        if let Some(session) = session
            && let Err(error) = self.shared.ensemble.close_session(session).await
        {
            tracing::debug!(%error, "the session was not closed");
        }
        if let Err(error) = self.shared.ensemble.stop().await {
            tracing::error!(%error, "the ensemble did not stop cleanly");
        }
    }
}

impl std::fmt::Debug for Quorum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Quorum").field("node", &self.shared.node).finish_non_exhaustive()
    }
}

/// What a client is told when a proposal came to nothing.
fn refusal(error: &ProposeError) -> Refusal {
    use kafka_protocol::error::ResponseError;
    use milena_coordinator::image::paths;
    match error {
        // Clients look for the controller again and repeat the request.
        ProposeError::NotLeader { .. } | ProposeError::Unknown | ProposeError::Stopped => {
            Refusal::bare(ResponseError::NotController)
        }
        ProposeError::Multi(failed) if failed.path == paths::CONTROLLER_EPOCH => {
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
