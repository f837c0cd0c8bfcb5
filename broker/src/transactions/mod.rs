//! The transaction coordinators of this broker, and what they order.
//!
//! Must never decide about a transaction: it carries requests to the machines of `milena_coordinator::transaction`,
//! writes the markers that they order, and brings them fresh producer ids.

mod elsewhere;
mod markers;
mod shard;
pub mod verify;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use kafka_protocol::error::ResponseError;
use milena_coordinator::image::MetadataImage;
use milena_coordinator::transaction::{
    Input, Reply, Request, TOPIC, TransactionConfig, TransactionVersion, partition_for,
};
use milena_storage::compress::Codec;
use milena_storage::ids::{BrokerId, PartitionIndex, ProducerId, TopicPartition};

use crate::clock::Clock;
use crate::partition::PartitionError;
use crate::partition::marker::Marker;
use crate::partition::set::Partitions;
use crate::partition::waiters::Wakes;
use crate::producer_ids::ProducerIds;
use crate::quorum::Quorum;
use crate::replication::pool::PeerPool;
use crate::settings::TransactionSettings;
use crate::shard::{Asked, Kind, Pace, Shards};
use markers::Office;
pub use markers::Written;
use shard::TransactionSetup;
pub use shard::{Order, TransactionMachine};

/// The feature whose level decides how transactions are run (KIP-890).
pub const FEATURE: &str = "transaction.version";

/// The coordinators, and what they need of the broker.
#[derive(Debug)]
pub struct Transactions {
    pub shards: Arc<Shards<TransactionMachine>>,
    office: Arc<Office>,
    broker: BrokerId,
    peers: Arc<PeerPool>,
}

/// The handles that the coordinators work with.
#[derive(Debug)]
pub struct Means {
    pub broker: BrokerId,
    pub clock: Arc<Clock>,
    pub partitions: Arc<Partitions>,
    pub image: Arc<ArcSwap<MetadataImage>>,
    /// The group coordinators, whose partitions take part in transactions.
    pub groups: Arc<Shards>,
    pub producer_ids: Arc<ProducerIds>,
    /// Other brokers, which lead partitions of transactions or coordinate them.
    pub peers: Arc<PeerPool>,
}

/// The finalized level of `transaction.version`.
#[must_use]
pub fn version(image: &MetadataImage) -> TransactionVersion {
    TransactionVersion(image.features.levels.get(FEATURE).copied().unwrap_or(0))
}

impl Transactions {
    #[must_use]
    pub fn new(means: Means, settings: &TransactionSettings) -> Arc<Self> {
        let (broker, clock, partitions) = (means.broker, means.clock.clone(), means.partitions.clone());
        let peers = means.peers.clone();
        let setup = TransactionSetup { config: config(settings), image: means.image.clone() };
        let office = Arc::new(Office::new(means));
        let worker = office.clone();
        let kind = Kind {
            topic: TOPIC,
            pace: Pace {
                // Kafka never packs them (TransactionLog.ENFORCED_COMPRESSION).
                codec: Codec::None,
                commit_timeout: settings.commit_timeout,
                load_buffer: settings.load_buffer_bytes,
            },
            settings: setup,
            carry_out: Box::new(move |slot, order| worker.clone().carry_out(slot, order)),
        };
        let shards = Shards::of_kind(broker, clock, partitions, kind);
        Arc::new(Self { shards, office, broker, peers })
    }

    /// Asks the coordinator of a transactional id.
    pub fn ask(
        &self,
        image: &MetadataImage,
        id: &str,
        request: Request,
    ) -> Asked<Result<Reply, ResponseError>> {
        if id.is_empty() {
            // Wherever its coordinator might be.
            return Asked::Now(Err(ResponseError::InvalidRequest));
        }
        self.shards.put(image, id, |ticket| Input::Request(ticket, request))
    }

    /// The broker that coordinates a transactional id, if it is another one.
    fn coordinator_elsewhere(&self, image: &MetadataImage, id: &str) -> Option<BrokerId> {
        let topic = image.topic(TOPIC)?;
        let index = partition_for(id, topic.partition_count())?;
        topic.partition(PartitionIndex(index))?.leader.filter(|leader| *leader != self.broker)
    }

    /// A producer id that nobody has.
    ///
    /// # Errors
    /// COORDINATOR_LOAD_IN_PROGRESS while no block can be had, as Kafka's `RPCProducerIdManager`.
    pub async fn fresh_producer_id(&self) -> Result<ProducerId, ResponseError> {
        self.office.fresh_producer_id().await
    }

    /// Ends a transaction in one partition because another broker's coordinator, or an operator, says so; gives the
    /// marker, which has to be committed.
    pub fn write_marker(
        &self,
        at: &TopicPartition,
        marker: &Marker,
        wakes: &mut Wakes,
    ) -> Result<Written, PartitionError> {
        self.office.write_marker(at, marker, wakes)
    }

    /// The coordination service, once it runs: it hands out blocks of producer ids.
    pub fn connect(&self, quorum: Quorum) {
        self.office.connect(quorum);
    }
}

fn config(settings: &TransactionSettings) -> TransactionConfig {
    let millis = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    TransactionConfig {
        timeout_max_ms: i32::try_from(settings.max_timeout.as_millis()).unwrap_or(i32::MAX),
        two_phase_commit: settings.two_phase_commit,
        abort_interval_ms: millis(settings.abort_check_interval),
        id_expiration_ms: millis(settings.id_expiration),
        expiry_interval_ms: millis(settings.remove_expired_interval),
    }
}

/// PRODUCER_FENCED in the words of a client that does not know it.
#[must_use]
pub fn fenced_as(error: ResponseError, knows: bool) -> ResponseError {
    if error == ResponseError::ProducerFenced && !knows { ResponseError::InvalidProducerEpoch } else { error }
}
