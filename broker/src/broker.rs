//! A broker as a value: started from settings, stopped by its handle; several may live in one process.
//!
//! It must never decide anything: it lists the subsystems, in the order in which they need each other.

mod ephemeral;
mod followers;
mod listening;
mod log_dirs;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use milena_coordinator::controller::{FirstContent, supported_features};
use milena_coordinator::image::{Configs, Endpoint, MetadataImage};
use milena_storage::fs::{Fs, RealFs};
use thiserror::Error;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinHandle};
use uuid::Uuid;

use crate::adopt;
use crate::api::api_versions::EncodedVersions;
use crate::api::produce::RefusedBatches;
use crate::api::{Dispatch, EndpointKind, RequestCounts};
use crate::blocking;
use crate::cleaner::Cleaner;
use crate::clock::Clock;
use crate::diagnosis::Diagnosis;
use crate::ephemeral::EphemeralDirectory;
use crate::faults::Faults;
use crate::fetch::cache::SessionCache;
use crate::http::Http;
use crate::live_settings::{FollowSettings, LiveSettings};
use crate::net::listener::{BindError, Net};
use crate::net::workers::Workers;
use crate::partition::disk::{Disk, DiskError, Identity, random_uuid, uuid_text};
use crate::partition::{housekeeping, peers::Peers, set::Partitions};
use crate::producer_ids::ProducerIds;
use crate::quorum::place::Place;
use crate::quorum::{
    Listeners, OffsetsTopic, Quorum, QuorumConfig, QuorumError, TransactionsTopic, TreeWatcher,
};
use crate::quotas::usage::Usage;
use crate::replication::pool::PeerPool;
use crate::replication::{self, Replication};
use crate::security::SecurityError;
use crate::security::dev::{self, DevError};
use crate::settings::{Beginning, Settings, SettingsError};
use crate::shard::{Shards, Tuning};
use crate::start_topics::{self, StartTopicError};
use crate::state::BrokerState;
use crate::transactions::{Means, Transactions};
use crate::zookeeper::{self, Hub, ZooKeeper};

use followers::FollowPartitions;
pub use listening::Listening;
use listening::{
    ZOOKEEPER, bind_controllers, endpoint, listen, protect, reserve, reserve_http, reserve_zookeeper, serve,
    serve_http, tell, untold,
};

/// How long answers that are under way may take when the broker stops. Long polls are cut short by it.
const STOP_GRACE: Duration = Duration::from_millis(500);
/// The metadata ensemble's directory inside the metadata log directory. Kafka refuses to start over directories that it
/// does not know, but leaves every partition of this topic alone (LogManager.loadLogs), and uses only partition 0.
const ENSEMBLE_DIR: &str = "__cluster_metadata-1";
/// What it was called before that was known.
const ENSEMBLE_DIR_BEFORE: &str = ".milena-ensemble";

/// Levels that a new cluster begins with (KIP-584). Features that the broker does not serve yet stay out.
const FEATURES: &[(&str, i16)] = &[
    ("eligible.leader.replicas.version", 1),
    ("group.version", 1),
    ("metadata.version", 30),
    ("transaction.version", 2),
];

/// Why a broker did not start.
#[derive(Debug, Error)]
pub enum StartError {
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error(transparent)]
    Security(#[from] SecurityError),
    #[error(transparent)]
    DevSecurity(#[from] DevError),
    #[error(transparent)]
    Quorum(#[from] QuorumError),
    #[error(transparent)]
    ZooKeeper(#[from] zookeeper::StartError),
    #[error(
        "the log directories belong to cluster {expected}, but the nodes named in the settings are of cluster {found}"
    )]
    ClusterId { expected: String, found: String },
    #[error(transparent)]
    StartTopics(#[from] StartTopicError),
    #[error("cannot start a thread or listener: {0}")]
    Io(#[from] io::Error),
}

/// A running broker. Dropping it without [`Broker::stop`] is as good as a kill: nothing acknowledged is lost.
pub struct Broker {
    state: Arc<BrokerState>,
    net: Net,
    zookeeper: Option<ZooKeeper>,
    http: Option<Http>,
    housekeeping: watch::Sender<bool>,
    dead: watch::Receiver<bool>,
    cleaner: JoinHandle<()>,
    /// Looks after the log directories; it holds on to everything else.
    dirs: AbortHandle,
    replication: Replication,
    listening: Vec<Listening>,
    _workers: Arc<Workers>,
    /// Everything that an ephemeral broker wrote; gone with it.
    directory: Option<EphemeralDirectory>,
}

impl Broker {
    /// Starts everything and returns when clients are served. Must be called on a tokio runtime that lives as long
    /// as the broker.
    pub async fn start(settings: Settings) -> Result<Self, StartError> {
        Self::start_on(Arc::new(RealFs), settings).await
    }

    /// The same on any disk.
    pub async fn start_on(fs: Arc<dyn Fs>, settings: Settings) -> Result<Self, StartError> {
        let count = std::thread::available_parallelism().map_or(1, usize::from);
        Self::start_among(Arc::new(Workers::start(count)?), fs, settings).await
    }

    /// The same on threads that others may use, too.
    async fn start_among(
        workers: Arc<Workers>,
        fs: Arc<dyn Fs>,
        settings: Settings,
    ) -> Result<Self, StartError> {
        let listeners = settings.checked_listeners()?;
        let backlog = settings.network().listen_backlog;
        let disk = open_disk(fs, &settings)?;
        let protections = protect(&settings, &listeners.broker)?;
        let clean = disk.was_stopped_cleanly();
        let bound = reserve(&listeners.broker)?;
        let mut listening = tell(&settings, &listeners.broker, &bound)?;

        let controllers = bind_controllers(listeners.controller, backlog)?;
        listening.extend(controllers.iter().map(|each| untold(&each.listener.name, each.bound.address)));
        let controller_name = controllers.first().map(|each| each.listener.name.as_str().into());
        let directory = disk.directory_id(&settings.storage().metadata_dir);
        let mut place = Place::of(&settings, controllers, directory, disk.cluster_id().unwrap_or_default());

        let zookeeper = reserve_zookeeper(&settings)?;
        let watched = zookeeper.is_some();
        let http = reserve_http(&settings)?;

        let (state, quorum, hub) = compose(settings, disk, watched, &mut place).await?;
        // From here on others are told of this broker.
        listen(bound.iter().chain(zookeeper.as_ref().map(|(_, bound)| bound)), backlog)?;
        let endpoints = listeners.broker.iter().zip(&bound).filter_map(|(each, bound)| endpoint(each, bound));
        enter(&state, &quorum, (endpoints.collect(), directory), clean).await?;
        if place.beginning == Beginning::Guest && state.settings.load().quorum().auto_join {
            let (quorum, address) = (quorum.clone(), place.address.clone());
            tokio::spawn(async move { quorum.join_voters(address, directory).await });
        }
        // Each takes syncs of its own, and neither waits for the other's.
        let strays = set_strays_aside(&state);
        let zookeeper = zookeeper::prepare(zookeeper, &state, &quorum, hub).await?;
        strays.await.map_err(io::Error::other)?;

        let (housekeeping, stop) = watch::channel(false);
        let settings = state.settings.load_full();
        let (partitions, clock) = (state.partitions.clone(), state.clock.clone());
        tokio::spawn(housekeeping::run(partitions, clock, settings.clone(), stop.clone()));
        let cleaner = tokio::spawn(state.cleaner.clone().run(stop));
        tokio::spawn(state.shards.clone().run_deadlines());
        tokio::spawn(state.transactions.shards.clone().run_deadlines());
        let (dying, dead) = watch::channel(false);
        let dirs = tokio::spawn(log_dirs::watch(state.clone(), quorum.clone(), dying)).abort_handle();
        let net = Net::new(&settings.network(), Arc::new(Dispatch::new(state.clone())), &workers);
        let live = LiveSettings::new(state.settings.clone(), net.limits(), state.partitions.clone());
        quorum.follow(Box::new(live)).await;
        serve(&net, bound, &protections)?;
        if let Some(name) = controller_name {
            place.deal_with(net.dealer(&name, EndpointKind::Controller));
        }
        let replication = Replication::start(&state, quorum.clone()).await;
        dev::add_users(&state).await?;
        start_topics::make(&state).await?;
        let http = serve_http(http, &state, &net, &workers, &mut listening)?;
        let zookeeper = match zookeeper {
            Some((config, bound)) => {
                listening.push(untold(ZOOKEEPER, bound.address));
                Some(ZooKeeper::start(config, bound, workers.handles().cloned().collect()).await?)
            }
            None => None,
        };
        Ok(Self {
            state,
            net,
            zookeeper,
            http,
            housekeeping,
            dead,
            cleaner,
            dirs,
            replication,
            listening,
            _workers: workers,
            directory: None,
        })
    }

    /// Resolves when no log directory is left, or the one of the metadata failed: then the process must end
    /// (ReplicaManager.handleLogDirFailure).
    pub async fn failed(&self) {
        // The other end lives as long as the broker.
        let _ = self.dead.clone().wait_for(|dead| *dead).await;
    }

    /// Where clients connect: the advertised addresses, separated by commas.
    #[must_use]
    pub fn bootstrap_servers(&self) -> String {
        let told: Vec<_> = self.listening.iter().filter_map(|each| each.advertised.clone()).collect();
        told.join(",")
    }

    #[must_use]
    pub fn listening(&self) -> &[Listening] {
        &self.listening
    }

    #[must_use]
    pub fn cluster_id(&self) -> String {
        self.state.image.load().cluster_id.to_string()
    }

    #[must_use]
    pub fn state(&self) -> &Arc<BrokerState> {
        &self.state
    }

    /// Stops in order: no new requests, answers out, registration gone, logs flushed and marked clean.
    pub async fn stop(self) {
        if let Some(http) = self.http {
            http.stop().await;
        }
        replication::hand_over(&self.state).await;
        // First, since members that wait for a rebalance would use up the grace.
        self.state.shards.stop();
        if let Some(zookeeper) = &self.zookeeper {
            zookeeper.stop();
        }
        self.state.transactions.shards.stop();
        self.net.stop(STOP_GRACE).await;
        self.replication.stop();
        self.dirs.abort();
        let _ = self.housekeeping.send(true);
        if let Err(error) = self.cleaner.await {
            tracing::error!(%error, "the log cleaner failed");
        }
        let epoch = self.state.image.load().broker(self.state.id).map_or(-1, |broker| broker.epoch);
        if let Ok(quorum) = self.state.quorum() {
            quorum.stop().await;
        }
        let partitions = self.state.partitions.clone();
        let closed = blocking::spawn(move || partitions.close(epoch)).await;
        if !matches!(closed, Ok(true)) {
            tracing::error!("not every log could be closed cleanly; the next start will recover them");
        }
    }
}

/// Registers a node that is a broker, and again whenever its registration is gone.
async fn enter(
    state: &BrokerState,
    quorum: &Quorum,
    (endpoints, directory): (Vec<Endpoint>, Uuid),
    clean: bool,
) -> Result<(), QuorumError> {
    let node = state.settings.load().node();
    if !node.is_broker {
        return Ok(());
    }
    let told = Listeners {
        endpoints,
        rack: node.rack,
        directory: Some(directory),
        log_dirs: state.partitions.disk.told_dirs(),
        cordoned: state.partitions.disk.is_cordoned(),
        features: supported_features(),
    };
    quorum.register(told.clone(), clean).await?;
    let quorum = quorum.clone();
    tokio::spawn(async move { quorum.stay_registered(told).await });
    Ok(())
}

/// Takes the log directories, so that nobody else writes there.
fn open_disk(fs: Arc<dyn Fs>, settings: &Settings) -> Result<Disk, DiskError> {
    let node = settings.node();
    let quorum = settings.quorum();
    // Where there are others, the cluster tells its id.
    let is_alone = node.is_controller && quorum.voters.len() <= 1 && quorum.bootstrap.len() <= 1;
    let fresh_cluster_id = is_alone.then(|| uuid_text(random_uuid()));
    let who = Identity { node_id: node.id, cluster_id: node.cluster_id, fresh_cluster_id };
    Disk::open(fs, &settings.storage(), &who)
}

/// Starts the ensemble with its followers and gathers the handles.
async fn compose(
    settings: Settings,
    disk: Disk,
    watched: bool,
    place: &mut Place,
) -> Result<(Arc<BrokerState>, Quorum, Arc<Hub>), StartError> {
    let (node, storage, groups) = (settings.node(), settings.storage(), settings.groups());
    let (tuning, transaction_settings) = (Tuning::from_settings(&groups), settings.transactions());
    let clock: Arc<Clock> = Arc::default();
    let hub = Arc::new(Hub::new(clock.clone()));
    let (image, producer_ids): (Arc<ArcSwap<MetadataImage>>, Arc<ProducerIds>) = Default::default();
    let partitions = Arc::new(Partitions::new(Peers::timed(node.id, image.clone(), clock.clone()), disk));
    let settings = Arc::new(ArcSwap::from_pointee(settings));
    let shards = Shards::new(node.id, clock.clone(), partitions.clone(), image.clone(), tuning);
    let cleaner = Cleaner::new(partitions.clone(), clock.clone(), settings.clone(), random_pair());
    let means = Means {
        broker: node.id,
        clock: clock.clone(),
        partitions: partitions.clone(),
        image: image.clone(),
        groups: shards.clone(),
        producer_ids: producer_ids.clone(),
        peers: PeerPool::new(node.id, image.clone(), settings.clone()),
    };
    let transactions = Transactions::new(means, &transaction_settings);
    let follow_settings = FollowSettings::new(node.id, settings.clone());
    let follow_partitions = FollowPartitions::new(&partitions, &cleaner, &settings, &clock);
    let quorum = Quorum::start(QuorumConfig {
        node: node.id,
        fs: partitions.disk.fs.clone(),
        dir: ensemble_dir(partitions.disk.fs.as_ref(), &storage.metadata_dir)?,
        clock: clock.clone(),
        image: image.clone(),
        rules: settings.load_full(),
        followers: followers::first(follow_settings, follow_partitions, &shards, &transactions),
        seed: random_pair().0,
        expected_brokers: settings.load().expected_brokers(),
        rebalance_ms: settings.load().replication().rebalance_ms(),
        unclean_ms: settings.load().replication().unclean_election_interval_ms,
        offsets_topic: OffsetsTopic::from(&groups.offsets),
        watcher: watched.then(|| hub.clone() as Arc<dyn TreeWatcher>),
        transactions_topic: TransactionsTopic::from(&transaction_settings),
        cluster: place.cluster.take(),
        mutation_window: settings.load().mutation_window(),
        on_ensemble: place.opening(),
        session_timeout: node.session_timeout,
        registration_timeout: settings.load().quorum().registration_timeout,
    })
    .await?;
    transactions.connect(quorum.clone());
    find_cluster(place, &settings.load(), &partitions.disk, &quorum).await?;
    let fetch = settings.load().fetch();
    let state = BrokerState {
        id: node.id,
        clock,
        usage: Arc::new(Usage::new(settings.load().quota_window())),
        settings,
        image,
        partitions,
        cleaner,
        shards,
        fetch_sessions: SessionCache::new(fetch.session_slots, Uuid::new_v4().as_fields().0),
        producer_ids,
        transactions,
        quorum: OnceLock::from(quorum.clone()),
        encoded_versions: EncodedVersions::default(),
        requests: RequestCounts::default(),
        diagnosis: Diagnosis::default(),
        refused_batches: RefusedBatches::default(),
        faults: Faults::default(),
    };
    Ok((Arc::new(state), quorum, hub))
}

/// So that no two brokers draw alike.
fn random_pair() -> (u64, u64) {
    Uuid::new_v4().as_u64_pair()
}

/// Takes over what Apache Kafka left in the directories.
async fn adopt_older(settings: &Settings, disk: &Disk, quorum: &Quorum) -> Result<(), StartError> {
    let (node, metadata_dir) = (settings.node().id, settings.storage().metadata_dir);
    let adopted = adopt::read(disk, &metadata_dir, node, quorum.adopted().as_ref());
    if let Some(adopted) = adopted.map_err(DiskError::from)? {
        quorum.adopt(adopted).await?;
    }
    Ok(())
}

/// Returns when there is a cluster, which this node may have made, and its directories belong to it.
async fn find_cluster(
    place: &Place,
    settings: &Settings,
    disk: &Disk,
    quorum: &Quorum,
) -> Result<(), StartError> {
    if place.beginning == Beginning::Founder {
        adopt_older(settings, disk, quorum).await?;
    }
    let expected = disk.cluster_id();
    let known = expected.map_or_else(|| uuid_text(random_uuid()), str::to_owned);
    let users = adopt::users(disk.fs.as_ref(), &settings.storage().metadata_dir).map_err(DiskError::from)?;
    quorum.bootstrap(FirstContent { users, ..first_content(settings, known) }).await?;
    let found = quorum.newest_image().cluster_id.to_string();
    match expected {
        Some(expected) if expected != found => {
            Err(StartError::ClusterId { expected: expected.to_owned(), found })
        }
        _ => {
            quorum.ensemble().set_cluster_id(&found);
            Ok(disk.identify(&found)?)
        }
    }
}

fn set_strays_aside(state: &BrokerState) -> JoinHandle<()> {
    let (partitions, image, now) = (state.partitions.clone(), state.image.load_full(), state.clock.now());
    blocking::spawn(move || partitions.set_strays_aside(&image, now))
}

/// Where the ensemble keeps its log; under its older name it is found and renamed.
fn ensemble_dir(fs: &dyn Fs, metadata_dir: &Path) -> io::Result<PathBuf> {
    let (dir, before) = (metadata_dir.join(ENSEMBLE_DIR), metadata_dir.join(ENSEMBLE_DIR_BEFORE));
    if fs.meta(&before)?.is_some_and(|meta| meta.is_dir) && fs.meta(&dir)?.is_none() {
        fs.rename(&before, &dir)?;
    }
    Ok(dir)
}

/// What a new cluster begins with.
fn first_content(settings: &Settings, cluster_id: String) -> FirstContent {
    // Since 4.1 a new cluster holds this as a cluster-wide value, so tools show it as one and a broker's file does not
    // change it afterwards (ConfigurationControlManager.maybeGenerateElrSafetyRecords).
    let min_insync_replicas = settings.topic(&Configs::new()).min_insync_replicas.to_string();
    FirstContent {
        cluster_id,
        features: FEATURES.iter().map(|(name, level)| ((*name).to_owned(), *level)).collect(),
        broker_defaults: [("min.insync.replicas".to_owned(), min_insync_replicas)].into(),
        users: Vec::new(),
    }
}
