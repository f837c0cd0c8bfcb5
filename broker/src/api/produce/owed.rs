//! What an append still owes before it is answered: a sync (`flush.messages`), the in-sync replicas (acks=all).
//!
//! It must never answer that a record is safe when only time has passed.

use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::error::ResponseError;
use milena_storage::ids::{LeaderEpoch, Offset};
use tokio::time::{Sleep, sleep};

use crate::codec::produce_response::{PartitionAnswer, ProduceAnswer};
use crate::partition::Partition;

/// One append that cannot be answered yet.
pub(super) struct Owed {
    pub(super) partition: Arc<Partition>,
    pub(super) up_to: Offset,
    pub(super) sync: bool,
    /// The leader epoch in which the in-sync replicas must have it.
    pub(super) commit: Option<LeaderEpoch>,
}

/// Waits for all of them, as long as the request allows; those that fail answer with the error instead.
pub(super) async fn settle(response: &mut ProduceAnswer, owed: Vec<Owed>, patience: Duration) {
    let mut time_out = std::pin::pin!(sleep(patience));
    for owed in owed {
        let Err(code) = owed.settled(time_out.as_mut()).await else { continue };
        let partition = &owed.partition;
        let topics = response
            .topics
            .iter_mut()
            .filter(|topic| topic.name.as_str() == partition.name.topic || topic.id == partition.topic_id);
        let answers = topics.flat_map(|topic| &mut topic.partitions);
        for answer in answers.filter(|answer| answer.index == partition.name.partition.0) {
            *answer = PartitionAnswer::refused(answer.index, code);
        }
    }
}

impl Owed {
    async fn settled(&self, time_out: std::pin::Pin<&mut Sleep>) -> Result<(), i16> {
        if self.sync {
            self.partition.sync_to(self.up_to).await.map_err(|error| error.code())?;
        }
        match self.commit {
            Some(epoch) => self.committed(epoch, time_out).await.map_err(|error| error.code()),
            None => Ok(()),
        }
    }

    /// As `DelayedProduce` and `Partition.checkEnoughReplicasReachOffset`.
    async fn committed(
        &self,
        epoch: LeaderEpoch,
        mut time_out: std::pin::Pin<&mut Sleep>,
    ) -> Result<(), ResponseError> {
        loop {
            // Before the look at leadership: a change in between wakes whoever is parked.
            let moved = self.partition.park(self.up_to);
            if !self.partition.leads_in(epoch) {
                return Err(ResponseError::NotLeaderOrFollower);
            }
            let Some(moved) = moved else {
                let enough = self.partition.has_enough_in_sync();
                return if enough { Ok(()) } else { Err(ResponseError::NotEnoughReplicasAfterAppend) };
            };
            tokio::select! {
                () = moved.notified() => {}
                () = &mut time_out => return Err(ResponseError::RequestTimedOut),
            }
        }
    }
}
