//! Carries out what transaction coordinators order: markers in partitions, and fresh producer ids.
//!
//! Must never give an order up while its coordinator is here, unless a partition knows of a newer epoch: then somebody
//! else has ended the transaction.
//!
//! Kafka: `TransactionMarkerChannelManager`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use kafka_protocol::error::ResponseError;
use milena_coordinator::group;
use milena_coordinator::transaction::{Input, MarkerOrder};
use milena_storage::batch::EndTransaction;
use milena_storage::ids::{BrokerId, LeaderEpoch, Offset, ProducerId, TopicPartition};

use super::{Means, Order, TransactionMachine, elsewhere};
use crate::partition::marker::Marker;
use crate::partition::waiters::Wakes;
use crate::partition::{Partition, PartitionError};
use crate::quorum::Quorum;
use crate::shard::Slot;

/// The first pause before markers that could not be written are tried again; it doubles up to the longest.
const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Office {
    means: Means,
    quorum: OnceLock<Quorum>,
}

/// What became of one marker.
enum Outcome {
    /// In the log of this broker.
    Written(Written),
    /// Another broker leads the partition.
    Elsewhere(BrokerId),
    /// Nothing is left to end there: the partition is gone.
    Moot,
    /// Not now.
    Later,
    /// The transaction is no longer this coordinator's to end.
    Fenced,
}

impl Office {
    pub(super) fn new(means: Means) -> Self {
        Self { means, quorum: OnceLock::new() }
    }

    pub(super) fn connect(&self, quorum: Quorum) {
        let _ = self.quorum.set(quorum);
    }

    pub(super) fn carry_out(self: Arc<Self>, slot: &Arc<Slot<TransactionMachine>>, order: Order) {
        let slot = slot.clone();
        match order {
            Order::FetchProducerId => {
                tokio::spawn(async move {
                    if let Ok(id) = self.fresh_producer_id().await {
                        slot.tell(Input::ProducerId(id));
                    }
                });
            }
            Order::Mark(order) => {
                let mut work = Work::of(&order);
                match self.write(&mut work, &order, slot.leader_epoch()) {
                    Progress::Fenced => {}
                    // The usual case here: all partitions are on this broker and take the marker at once.
                    Progress::Goes if work.is_done() => slot.tell(Input::Marked(order)),
                    Progress::Goes => {
                        tokio::spawn(self.go_on(slot, order, work));
                    }
                }
            }
        }
    }

    pub(super) async fn fresh_producer_id(&self) -> Result<ProducerId, ResponseError> {
        if let Some(id) = self.means.producer_ids.next() {
            return Ok(id);
        }
        let quorum = self.quorum.get().ok_or(ResponseError::CoordinatorLoadInProgress)?;
        let refilled = self.means.producer_ids.refill(quorum).await;
        refilled.map_err(|refusal| {
            tracing::warn!(error = %refusal, "no block of producer ids");
            ResponseError::CoordinatorLoadInProgress
        })
    }

    /// Tries until every marker is written and committed.
    async fn go_on(self: Arc<Self>, slot: Arc<Slot<TransactionMachine>>, order: MarkerOrder, mut work: Work) {
        let mut pause = PAUSE_MIN;
        while !slot.is_gone() {
            if let Progress::Fenced = self.write_elsewhere(&mut work, &order, slot.leader_epoch()).await {
                return;
            }
            work.wait_for_commits().await;
            if work.is_done() {
                slot.tell(Input::Marked(order));
                return;
            }
            let clock = &self.means.clock;
            let millis = i64::try_from(pause.as_millis()).unwrap_or(i64::MAX);
            clock.sleep_until(clock.steady_ms().saturating_add(millis)).await;
            pause = (pause * 2).min(PAUSE_MAX);
            if let Progress::Fenced = self.write(&mut work, &order, slot.leader_epoch()) {
                return;
            }
        }
    }

    /// Writes what is left, as far as it can be written now.
    fn write(&self, work: &mut Work, order: &MarkerOrder, epoch: LeaderEpoch) -> Progress {
        let marker = Marker {
            producer_id: order.producer_id,
            epoch: order.epoch,
            end: EndTransaction { commit: order.commit, coordinator_epoch: epoch.0 },
            transaction_version: order.version.0,
        };
        let mut wakes = Wakes::default();
        let mut progress = Progress::Goes;
        for partition in std::mem::take(&mut work.left) {
            match self.write_one(&partition, &marker, &mut wakes) {
                Outcome::Written(written) => work.written.push(written),
                Outcome::Elsewhere(leader) => {
                    work.elsewhere.entry(leader).or_default().insert(partition);
                }
                Outcome::Moot => {}
                Outcome::Later => {
                    work.left.insert(partition);
                }
                Outcome::Fenced => {
                    tracing::warn!(id = %order.id, %partition, "a marker is fenced by a newer epoch");
                    progress = Progress::Fenced;
                }
            }
        }
        wakes.fire();
        progress
    }

    /// Has other brokers write what is theirs to write; what they did not write is left for the next round.
    async fn write_elsewhere(&self, work: &mut Work, order: &MarkerOrder, epoch: LeaderEpoch) -> Progress {
        let mut progress = Progress::Goes;
        for (leader, partitions) in std::mem::take(&mut work.elsewhere) {
            let told = elsewhere::write_markers(&self.means.peers, leader, order, epoch, &partitions).await;
            for (partition, error) in told {
                match error {
                    // It answers when the marker is committed.
                    None => {}
                    Some(error) if is_fence(error.code()) => {
                        tracing::warn!(id = %order.id, %partition, %leader, "a marker is fenced by a newer epoch");
                        progress = Progress::Fenced;
                    }
                    Some(error) => {
                        tracing::debug!(%partition, %leader, %error, "a marker has to wait");
                        work.left.insert(partition);
                    }
                }
            }
        }
        progress
    }

    fn write_one(&self, at: &TopicPartition, marker: &Marker, wakes: &mut Wakes) -> Outcome {
        let image = self.means.image.load();
        let Some(known) = image.partition(&at.topic, at.partition) else { return Outcome::Moot };
        match known.leader {
            Some(leader) if leader != self.means.broker => return Outcome::Elsewhere(leader),
            _ => {}
        }
        match self.write_marker(at, marker, wakes) {
            Ok(written) => Outcome::Written(written),
            Err(error) if is_fence(error.code()) => Outcome::Fenced,
            Err(error) => {
                tracing::debug!(partition = %at, %error, "a marker has to wait");
                Outcome::Later
            }
        }
    }

    /// A partition of the offsets topic has a machine that must hear of the end.
    pub(super) fn write_marker(
        &self,
        at: &TopicPartition,
        marker: &Marker,
        wakes: &mut Wakes,
    ) -> Result<Written, PartitionError> {
        let image = self.means.image.load();
        let partition = self.means.partitions.find(&image, &at.topic, at.partition.0)?;
        let epoch = partition.leader_epoch();
        let end = if at.topic == group::TOPIC {
            let slot = self.means.groups.slot_of(at.partition.0).ok_or(PartitionError::NotLeader)?;
            slot.end_transaction(marker)?
        } else {
            partition.append_marker(marker, self.means.clock.now(), wakes)?
        };
        Ok(Written { partition, end, epoch })
    }
}

/// A marker in a log of this broker, which counts once it is committed under the leader epoch that wrote it.
#[derive(Debug)]
pub struct Written {
    partition: Arc<Partition>,
    end: Offset,
    epoch: LeaderEpoch,
}

impl Written {
    /// Whether it is committed; `None` if this broker does not lead any more, so that nobody knows.
    #[must_use]
    pub fn is_committed(&self) -> Option<bool> {
        self.partition.leads_in(self.epoch).then(|| self.partition.high_watermark() >= self.end)
    }

    /// Returns when it is committed, or somebody else leads.
    pub async fn settled(&self) -> bool {
        loop {
            let moved = self.partition.park(self.end);
            match (self.is_committed(), moved) {
                (Some(false), Some(moved)) => moved.notified().await,
                (Some(false), None) => {}
                (committed, _) => return committed.unwrap_or(false),
            }
        }
    }

    #[must_use]
    pub fn name(&self) -> &TopicPartition {
        &self.partition.name
    }
}

enum Progress {
    Goes,
    Fenced,
}

struct Work {
    left: BTreeSet<TopicPartition>,
    elsewhere: BTreeMap<BrokerId, BTreeSet<TopicPartition>>,
    /// Markers that may not be committed yet.
    written: Vec<Written>,
}

impl Work {
    fn of(order: &MarkerOrder) -> Self {
        Self { left: order.partitions.clone(), elsewhere: BTreeMap::new(), written: Vec::new() }
    }

    fn is_done(&mut self) -> bool {
        self.written.retain(|written| written.is_committed() != Some(true));
        self.left.is_empty() && self.elsewhere.is_empty() && self.written.is_empty()
    }

    /// Returns when what was written is committed; where somebody else leads meanwhile, it is written again.
    async fn wait_for_commits(&mut self) {
        for written in std::mem::take(&mut self.written) {
            if !written.settled().await {
                self.left.insert(written.name().clone());
            }
        }
    }
}

fn is_fence(code: i16) -> bool {
    code == ResponseError::InvalidProducerEpoch.code()
        || code == ResponseError::TransactionCoordinatorFenced.code()
}
