//! Replication between brokers: fetches what others lead, and tells the controller who keeps up with what is led here. Also
//! moves logs between the directories of this broker.
//!
//! It must never decide: partitions know what is committed, the controller who is in sync.

mod fetcher;
mod in_sync;
mod moving;
pub mod peer;
pub mod pool;
mod session;
pub mod throughput;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use milena_coordinator::image::MetadataImage;
use milena_storage::ids::BrokerId;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::cleaner::Cleaner;
use crate::clock::Clock;
use crate::partition::Partition;
use crate::partition::set::Partitions;
use crate::quorum::{Follower, ImageChange, Quorum};
use crate::settings::Settings;
use crate::state::BrokerState;
use fetcher::Fetcher;
use moving::Mover;

/// How long a stopping broker waits for others to lead its partitions: an election of the controller and a commit.
const HAND_OVER_PATIENCE: Duration = Duration::from_secs(5);

/// What fetchers work with.
#[derive(Debug)]
pub(crate) struct Means {
    pub(crate) local: BrokerId,
    pub(crate) clock: Arc<Clock>,
    pub(crate) image: Arc<ArcSwap<MetadataImage>>,
    pub(crate) settings: Arc<ArcSwap<Settings>>,
    pub(crate) partitions: Arc<Partitions>,
    pub(crate) cleaner: Arc<Cleaner>,
}

impl Means {
    /// A log was cut: nothing that is written of it may tell of what is gone.
    fn note_cut(&self, partition: &Partition) {
        self.partitions.keep_recovery_point(partition);
        self.cleaner.truncated(partition);
    }
}

/// The fetchers of a broker, one for each leader, the task that proposes in-sync sets, and the one that moves logs between directories.
#[derive(Debug)]
pub struct Replication {
    stop: watch::Sender<bool>,
    proposing: JoinHandle<()>,
}

impl Replication {
    /// Starts following; must be called on the runtime that shall run it.
    pub(crate) async fn start(state: &BrokerState, quorum: Quorum) -> Self {
        let means = Arc::new(Means {
            local: state.id,
            clock: state.clock.clone(),
            image: state.image.clone(),
            settings: state.settings.clone(),
            partitions: state.partitions.clone(),
            cleaner: state.cleaner.clone(),
        });
        let (stop, stopped) = watch::channel(false);
        let lag = means.settings.load().replication().lag_time_max;
        means.partitions.peers.set_lag_max_ms(i64::try_from(lag.as_millis()).unwrap_or(i64::MAX));
        let follower = Leaders {
            means: means.clone(),
            running: Arc::default(),
            published: watch::channel(0).0,
            stop: stopped.clone(),
            runtime: Handle::current(),
        };
        tokio::spawn(Mover::new(means.clone()).run(stopped));
        let proposing = tokio::spawn(in_sync::propose(means, quorum.clone()));
        quorum.follow(Box::new(follower)).await;
        Self { stop, proposing }
    }

    /// Ends all tasks at their next step; what has been appended stays.
    pub fn stop(&self) {
        self.proposing.abort();
        self.stop.send_replace(true);
    }
}

/// Has other brokers lead what this one leads, where there are any, so that clients find new leaders before the old one goes.
pub(crate) async fn hand_over(state: &BrokerState) {
    let others = state.image.load().brokers.len() > 1;
    let Some(quorum) = state.quorum.get().filter(|_| others) else { return };
    match quorum.decided_within(HAND_OVER_PATIENCE, quorum.hand_over_partitions()).await {
        Some(Ok(())) => {}
        Some(Err(refusal)) => tracing::warn!(error = %refusal, "the partitions were not handed over"),
        None => tracing::warn!("no controller took the partitions over in time"),
    }
}

/// Keeps `num.replica.fetchers` fetchers for each broker that leads something that is kept here.
struct Leaders {
    means: Arc<Means>,
    /// Leaders, with the numbers of their fetchers.
    running: Arc<Mutex<BTreeSet<(BrokerId, usize)>>>,
    published: watch::Sender<u64>,
    stop: watch::Receiver<bool>,
    runtime: Handle,
}

impl Follower for Leaders {
    fn published(&mut self, change: &ImageChange) {
        self.published.send_modify(|count| *count += 1);
        let local = self.means.local;
        let fetchers = self.means.settings.load().replication().fetchers;
        let mut wanted = BTreeSet::new();
        for topic in change.new.topics() {
            for partition in &topic.partitions {
                let leader = partition.leader.filter(|leader| fetcher::follows(partition, local, *leader));
                let index = || fetcher::dealt_to(&topic.name, partition.index, fetchers);
                wanted.extend(leader.map(|leader| (leader, index())));
            }
        }
        wanted.into_iter().for_each(|fetcher| self.start_fetcher(fetcher));
    }
}

impl Leaders {
    fn start_fetcher(&self, (leader, index): (BrokerId, usize)) {
        if !self.running.lock().insert((leader, index)) {
            return;
        }
        let (means, running) = (self.means.clone(), self.running.clone());
        let (published, stop) = (self.published.subscribe(), self.stop.clone());
        self.runtime.spawn(async move {
            loop {
                let (means, published) = (means.clone(), published.clone());
                Fetcher { leader, index, means: means.clone(), published, stop: stop.clone() }.run().await;
                // What came after its last look is looked for under the lock that the next start takes.
                let mut running = running.lock();
                if *stop.borrow() || !fetcher::follows_any(&means, leader, index) {
                    running.remove(&(leader, index));
                    return;
                }
            }
        });
    }
}
