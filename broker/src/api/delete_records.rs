//! DeleteRecords: 21, v0–2. Moves the log start offset forward (KIP-107).
//!
//! Behaviour: −1 means the high watermark; above it or negative is OFFSET_OUT_OF_RANGE; a topic that is only
//! compacted refuses (POLICY_VIOLATION); internal topics refuse.
//! Versions: 2 flexible.

use std::ops::RangeInclusive;

use kafka_protocol::messages::delete_records_request::DeleteRecordsPartition;
use kafka_protocol::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsTopicResult,
};
use kafka_protocol::messages::{DeleteRecordsRequest, DeleteRecordsResponse};
use milena_coordinator::image::is_internal_topic;
use milena_storage::ids::Offset;

use super::{Cx, Outcome};
use crate::partition::PartitionError;

pub const VERSIONS: RangeInclusive<i16> = 0..=2;

pub fn handle(cx: &Cx<'_>, request: DeleteRecordsRequest) -> Outcome<DeleteRecordsResponse> {
    let topics = request
        .topics
        .into_iter()
        .map(|topic| {
            let results = topic.partitions.iter().map(|each| result(each, delete(cx, &topic.name, each)));
            let results = results.collect();
            DeleteRecordsTopicResult::default().with_name(topic.name).with_partitions(results)
        })
        .collect();
    DeleteRecordsResponse::default().with_topics(topics).into()
}

fn delete(cx: &Cx<'_>, topic: &str, asked: &DeleteRecordsPartition) -> Result<Offset, PartitionError> {
    let partition = cx.broker.partitions.find(&cx.image, topic, asked.partition_index)?;
    if is_internal_topic(topic) {
        return Err(PartitionError::Internal);
    }
    partition.delete_records(asked.offset)
}

fn result(
    asked: &DeleteRecordsPartition,
    outcome: Result<Offset, PartitionError>,
) -> DeleteRecordsPartitionResult {
    let result = DeleteRecordsPartitionResult::default().with_partition_index(asked.partition_index);
    match outcome {
        Ok(low_watermark) => result.with_low_watermark(low_watermark.0),
        Err(error) => result.with_low_watermark(-1).with_error_code(error.code()),
    }
}
