//! What every handler can reach: one value per broker, handles only.
//!
//! Must never hold logic; a broker is a value, so nothing here may be global to the process.

use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use kafka_protocol::error::ResponseError;
use milena_coordinator::controller::Refusal;
pub use milena_coordinator::image::MetadataImage;
use milena_storage::ids::BrokerId;

use crate::api::RequestCounts;
use crate::api::api_versions::EncodedVersions;
use crate::api::produce::RefusedBatches;
use crate::cleaner::Cleaner;
use crate::clock::Clock;
use crate::diagnosis::Diagnosis;
use crate::faults::Faults;
use crate::fetch::cache::SessionCache;
use crate::partition::set::Partitions;
use crate::producer_ids::ProducerIds;
use crate::quorum::Quorum;
use crate::quotas::usage::Usage;
use crate::settings::Settings;
use crate::shard::Shards;
use crate::transactions::Transactions;

/// Handles of one running broker.
#[derive(Debug)]
pub struct BrokerState {
    pub id: BrokerId,
    pub clock: Arc<Clock>,
    /// The settings with what was changed at run time; replaced as a whole.
    pub settings: Arc<ArcSwap<Settings>>,
    /// The newest metadata image; taken once per request by the dispatch.
    pub image: Arc<ArcSwap<MetadataImage>>,
    pub partitions: Arc<Partitions>,
    pub cleaner: Arc<Cleaner>,
    /// Set once the coordination service runs; its followers may hold this state.
    pub quorum: OnceLock<Quorum>,
    /// The group coordinators of this broker.
    pub shards: Arc<Shards>,
    pub fetch_sessions: SessionCache,
    pub producer_ids: Arc<ProducerIds>,
    /// The transaction coordinators of this broker.
    pub transactions: Arc<Transactions>,
    /// Answers to ApiVersions, encoded once per version and feature epoch.
    pub encoded_versions: EncodedVersions,
    pub requests: RequestCounts,
    /// Who was told where to go and has not come.
    pub diagnosis: Diagnosis,
    /// Batches that their producers will send again.
    pub refused_batches: RefusedBatches,
    /// What clients with quotas have used of late.
    pub usage: Arc<Usage>,
    /// What tests have requests meet.
    pub faults: Faults,
}

impl BrokerState {
    /// The coordination service; requests are not served before it runs, except in tests of a single handler.
    pub fn quorum(&self) -> Result<&Quorum, Refusal> {
        self.quorum.get().ok_or_else(|| Refusal::bare(ResponseError::NotController))
    }

    /// A broker without listeners, tasks or topics, on a simulated disk.
    #[cfg(test)]
    #[must_use]
    pub fn idle() -> Arc<Self> {
        use crate::partition::disk::{Disk, Identity};
        use crate::partition::peers::Peers;
        let settings = Settings::from_pairs(&[]).expect("the defaults are valid");
        let who = Identity { node_id: BrokerId(1), cluster_id: None, fresh_cluster_id: Some("test".into()) };
        let fs = Arc::new(milena_storage::fs::SimFs::new());
        let disk = Disk::open(fs, &settings.storage(), &who).expect("the disk is empty");
        let clock = Arc::new(Clock::new());
        let image: Arc<ArcSwap<MetadataImage>> = Arc::default();
        let partitions = Arc::new(Partitions::new(Peers::new(BrokerId(1), image.clone()), disk));
        let settings = Arc::new(ArcSwap::from_pointee(settings));
        let cleaner = Cleaner::new(partitions.clone(), clock.clone(), settings.clone(), (1, 2));
        let tuning = crate::shard::Tuning::from_settings(&settings.load().groups());
        let shards = Shards::new(BrokerId(1), clock.clone(), partitions.clone(), image.clone(), tuning);
        let usage = Arc::new(Usage::new(settings.load().quota_window()));
        let producer_ids = Arc::new(ProducerIds::default());
        let means = crate::transactions::Means {
            broker: BrokerId(1),
            clock: clock.clone(),
            partitions: partitions.clone(),
            image: image.clone(),
            groups: shards.clone(),
            producer_ids: producer_ids.clone(),
            peers: crate::replication::pool::PeerPool::new(BrokerId(1), image.clone(), settings.clone()),
        };
        Arc::new(Self {
            id: BrokerId(1),
            shards,
            transactions: Transactions::new(means, &settings.load().transactions()),
            clock,
            settings,
            cleaner,
            image,
            partitions,
            quorum: OnceLock::new(),
            fetch_sessions: SessionCache::new(1000, 0),
            producer_ids,
            encoded_versions: EncodedVersions::default(),
            requests: RequestCounts::default(),
            diagnosis: Diagnosis::default(),
            refused_batches: RefusedBatches::default(),
            usage,
            faults: Faults::default(),
        })
    }
}
