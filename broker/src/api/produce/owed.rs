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

/// The leader epoch in which the in-sync replicas are still to have what was appended under it; none once they have it.
pub(super) fn commit_due(partition: &Partition, epoch: LeaderEpoch, up_to: Offset) -> Option<LeaderEpoch> {
    // In this order: what a later leader has committed says nothing of what was appended under this one.
    let is_committed = partition.high_watermark() >= up_to && partition.leads_in(epoch);
    (!is_committed).then_some(epoch)
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

#[cfg(test)]
mod tests {
    use std::pin::{Pin, pin};
    use std::task::{Context, Poll, Waker};

    use milena_coordinator::image::PartitionImage;
    use milena_storage::batch::{BatchBuilder, Record};
    use milena_storage::compress::Codec;
    use milena_storage::ids::{BrokerId, Timestamp};
    use milena_storage::validate::Origin;

    use super::*;
    use crate::partition::replicas::Replica;
    use crate::partition::testing::{replica, state};
    use crate::partition::waiters::Wakes;
    use crate::partition::{AppendAs, ReadFrom};

    const NOW: Timestamp = Timestamp(1_000_000);
    const BOTH: [i32; 2] = [1, 2];

    fn follow(partition: &Partition, state: &PartitionImage) {
        partition.follow_image(state, NOW).unwrap();
    }

    /// A leader in epoch 0, and what one append to it owes.
    fn appended(min_in_sync: usize) -> Owed {
        let partition = Arc::new(replica(1, min_in_sync));
        follow(&partition, &state(1, 0, 0, &BOTH, &BOTH));
        let mut builder = BatchBuilder::new();
        builder.push(Record::default());
        let origin = Origin::Client { produce_version: 9 };
        let how = AppendAs { origin, all_replicas: true, now: NOW };
        let written = partition.append(builder.finish(Codec::None, None), how, &mut Wakes::default());
        let up_to = written.unwrap().last.plus(1);
        let commit = commit_due(&partition, LeaderEpoch(0), up_to);
        assert_eq!(commit, Some(LeaderEpoch(0)), "rule 12: nobody has it yet");
        Owed { partition, up_to, sync: false, commit }
    }

    /// The second replica asks for what comes after `end`.
    fn fetch(owed: &Owed, epoch: i32, end: i64) {
        let at = ReadFrom {
            offset: Offset(end),
            max_bytes: 1,
            at_least_one: false,
            committed: false,
            whole: false,
            any_replica: false,
            current_leader_epoch: epoch,
            last_fetched_epoch: -1,
        };
        let second = Replica { id: BrokerId(2), broker_epoch: 20, log_start: Offset(0) };
        let mut wakes = Wakes::default();
        owed.partition.read_as_replica(at, second, NOW, &mut wakes).unwrap();
        wakes.fire();
    }

    fn poll<F: Future>(waiting: Pin<&mut F>) -> Poll<F::Output> {
        waiting.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[tokio::test(start_paused = true)]
    async fn an_append_is_owed_until_the_mark_has_passed_it() {
        let owed = appended(1);
        let mut time_out = pin!(sleep(Duration::from_secs(60)));
        let mut waiting = pin!(owed.settled(time_out.as_mut()));
        assert_eq!(poll(waiting.as_mut()), Poll::Pending, "rule 12");
        fetch(&owed, 0, 0);
        assert_eq!(poll(waiting.as_mut()), Poll::Pending, "rule 12: it was sent, which is not to be there");
        fetch(&owed, 0, 1);
        assert_eq!(poll(waiting.as_mut()), Poll::Ready(Ok(())));
        assert_eq!(commit_due(&owed.partition, LeaderEpoch(0), owed.up_to), None);
    }

    #[tokio::test(start_paused = true)]
    async fn too_few_in_sync_when_the_mark_passes_is_told() {
        let owed = appended(2);
        fetch(&owed, 0, 1);
        follow(&owed.partition, &state(1, 0, 1, &[1], &BOTH));
        let time_out = pin!(sleep(Duration::from_secs(60)));
        let settled = owed.settled(time_out).await;
        assert_eq!(settled, Err(ResponseError::NotEnoughReplicasAfterAppend.code()), "rule 11");
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_later_epoch_has_committed_is_not_owed_any_less() {
        let owed = appended(1);
        let mut time_out = pin!(sleep(Duration::from_secs(60)));
        let mut waiting = pin!(owed.settled(time_out.as_mut()));
        assert_eq!(poll(waiting.as_mut()), Poll::Pending);
        // Another leads, and then this one again: the record may be another one by now.
        follow(&owed.partition, &state(2, 1, 1, &BOTH, &BOTH));
        follow(&owed.partition, &state(1, 2, 2, &BOTH, &BOTH));
        fetch(&owed, 2, 1);
        assert_eq!(owed.partition.high_watermark(), owed.up_to);
        let refused = Poll::Ready(Err(ResponseError::NotLeaderOrFollower.code()));
        assert_eq!(poll(waiting.as_mut()), refused, "rule 12: in the same epoch");
        let due = commit_due(&owed.partition, LeaderEpoch(0), owed.up_to);
        assert_eq!(due, Some(LeaderEpoch(0)), "rule 12: nor where the mark had risen at once");
    }
}
