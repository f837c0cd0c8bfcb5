//! Carries out what transaction coordinators order: markers in partitions, and fresh producer ids.
//!
//! Must never give an order up while its coordinator is here, unless a partition knows of a newer epoch: then somebody
//! else has ended the transaction.
//!
//! Kafka: `TransactionMarkerChannelManager`.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use kafka_protocol::error::ResponseError;
use milena_coordinator::group;
use milena_coordinator::transaction::{Input, MarkerOrder};
use milena_storage::batch::EndTransaction;
use milena_storage::ids::{LeaderEpoch, Offset, ProducerId, TopicPartition};

use super::{Means, Order, TransactionMachine};
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
    /// In the log below this offset.
    Written(Arc<Partition>, Offset),
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
                let mut work = Work { left: order.partitions.clone(), written: Vec::new() };
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
                Outcome::Written(log, end) => work.written.push((log, end)),
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

    fn write_one(&self, at: &TopicPartition, marker: &Marker, wakes: &mut Wakes) -> Outcome {
        let image = self.means.image.load();
        let exists = image.topic(&at.topic).is_some_and(|topic| topic.partition(at.partition).is_some());
        if !exists {
            return Outcome::Moot;
        }
        match self.write_marker(at, marker, wakes) {
            Ok((partition, end)) => Outcome::Written(partition, end),
            Err(error) if is_fence(&error) => Outcome::Fenced,
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
    ) -> Result<(Arc<Partition>, Offset), PartitionError> {
        let image = self.means.image.load();
        let partition = self.means.partitions.find(&image, &at.topic, at.partition.0)?;
        let end = if at.topic == group::TOPIC {
            let slot = self.means.groups.slot_of(at.partition.0).ok_or(PartitionError::NotLeader)?;
            slot.end_transaction(marker)?
        } else {
            partition.append_marker(marker, self.means.clock.now(), wakes)?
        };
        Ok((partition, end))
    }
}

enum Progress {
    Goes,
    Fenced,
}

struct Work {
    left: BTreeSet<TopicPartition>,
    /// Markers that may not be committed yet.
    written: Vec<(Arc<Partition>, Offset)>,
}

impl Work {
    fn is_done(&mut self) -> bool {
        self.written.retain(|(partition, end)| partition.high_watermark() < *end);
        self.left.is_empty() && self.written.is_empty()
    }

    /// Returns when what was written is committed, or its partition is disturbed: then it is looked at again.
    async fn wait_for_commits(&mut self) {
        for (partition, end) in &self.written {
            if let Some(moved) = partition.park(*end) {
                moved.notified().await;
            }
        }
    }
}

fn is_fence(error: &PartitionError) -> bool {
    let code = error.code();
    code == ResponseError::InvalidProducerEpoch.code()
        || code == ResponseError::TransactionCoordinatorFenced.code()
}
