//! DeleteRecords: 21, v0–2. Moves the log start offset forward (KIP-107).
//!
//! Behaviour: −1 means the high watermark; above it or negative is OFFSET_OUT_OF_RANGE; a topic that is only
//! compacted refuses (POLICY_VIOLATION); internal topics refuse. The answer waits, as long as the request allows, until every live
//! replica has let the records go, and tells the lowest start of their logs (DelayedDeleteRecords).
//! Versions: 2 flexible.

use std::ops::RangeInclusive;
use std::sync::Arc;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::delete_records_request::DeleteRecordsPartition;
use kafka_protocol::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsTopicResult,
};
use kafka_protocol::messages::{DeleteRecordsRequest, DeleteRecordsResponse};
use milena_coordinator::image::is_internal_topic;
use milena_storage::ids::{LeaderEpoch, Offset};

use super::{Cx, Outcome};
use crate::clock::Clock;
use crate::partition::{Partition, PartitionError};

pub const VERSIONS: RangeInclusive<i16> = 0..=2;

/// How often the followers' logs are looked at, in milliseconds: they tell with a fetch, and who is live is told by nobody.
const LOOK_AGAIN_MS: i64 = 20;

pub fn handle(cx: &Cx<'_>, request: DeleteRecordsRequest) -> Outcome<DeleteRecordsResponse> {
    let mut response = DeleteRecordsResponse::default();
    let mut owed = Vec::new();
    for (topic, asked) in request.topics.into_iter().enumerate() {
        let mut results = Vec::with_capacity(asked.partitions.len());
        for (index, each) in asked.partitions.iter().enumerate() {
            let deleted = delete(cx, &asked.name, each);
            results.push(result(each, &deleted));
            if let Ok(Deleted { partition, start, epoch, low }) = deleted
                && low < start
            {
                owed.push(Owed { at: (topic, index), partition, start, epoch });
            }
        }
        response
            .topics
            .push(DeleteRecordsTopicResult::default().with_name(asked.name).with_partitions(results));
    }
    if owed.is_empty() {
        return response.into();
    }
    let clock = cx.broker.clock.clone();
    let deadline = clock.steady_ms().saturating_add(i64::from(request.timeout_ms.max(0)));
    Outcome::later(async move {
        for each in owed {
            let (topic, index) = each.at;
            each.settle(&mut response.topics[topic].partitions[index], &clock, deadline).await;
        }
        response
    })
}

/// Records are gone from the leader's log.
struct Deleted {
    partition: Arc<Partition>,
    /// Where every log is to begin.
    start: Offset,
    epoch: LeaderEpoch,
    /// Where the log of a live replica begins that is last.
    low: Offset,
}

/// A partition whose followers have yet to let records go.
struct Owed {
    /// Topic and partition in the answer.
    at: (usize, usize),
    partition: Arc<Partition>,
    start: Offset,
    epoch: LeaderEpoch,
}

impl Owed {
    /// Waits for the followers; what is not known in time is REQUEST_TIMED_OUT.
    async fn settle(&self, result: &mut DeleteRecordsPartitionResult, clock: &Clock, deadline: i64) {
        loop {
            if !self.partition.leads_in(self.epoch) {
                result.low_watermark = -1;
                result.error_code = ResponseError::NotLeaderOrFollower.code();
                return;
            }
            let low = self.partition.low_watermark(clock.now());
            if low >= self.start {
                result.low_watermark = low.0;
                return;
            }
            let now = clock.steady_ms();
            if now >= deadline {
                result.error_code = ResponseError::RequestTimedOut.code();
                return;
            }
            clock.sleep_until((now + LOOK_AGAIN_MS).min(deadline)).await;
        }
    }
}

fn delete(cx: &Cx<'_>, topic: &str, asked: &DeleteRecordsPartition) -> Result<Deleted, PartitionError> {
    let partition = cx.broker.partitions.find(&cx.image, topic, asked.partition_index)?;
    if is_internal_topic(topic) {
        return Err(PartitionError::Internal);
    }
    let epoch = partition.leader_epoch();
    let start = partition.delete_records(asked.offset)?;
    let low = partition.low_watermark(cx.now);
    Ok(Deleted { partition, start, epoch, low })
}

fn result(
    asked: &DeleteRecordsPartition,
    outcome: &Result<Deleted, PartitionError>,
) -> DeleteRecordsPartitionResult {
    let result = DeleteRecordsPartitionResult::default().with_partition_index(asked.partition_index);
    match outcome {
        Ok(deleted) => result.with_low_watermark(deleted.low.0),
        Err(error) => result.with_low_watermark(-1).with_error_code(error.code()),
    }
}
