//! ListOffsets: 2, v1–11. Offsets by position (earliest, latest, ...) or by timestamp.
//!
//! Behaviour: "latest" is the high watermark, the last stable offset with read_committed, the log's end for
//! replicas. A timestamp beyond the last fetchable record is answered by −1 and no error (Partition.fetchOffsetForTimestamp).
//! Versions: 2 isolation level, 4 leader epochs, 6 flexible, 7 max timestamp (KIP-734), 8 earliest local
//! (KIP-405), 9 latest tiered (KIP-1005), 10 time-out, 11 earliest pending upload (KIP-1023).

use std::collections::HashSet;
use std::ops::RangeInclusive;

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsRequest};
use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsResponse, ListOffsetsTopicResponse,
};
use milena_storage::ids::{Offset, Timestamp};

use super::{Answer, Ask, Cx, MessageError, Outcome};
use crate::net::frame::FrameBuilder;
use crate::partition::{Partition, PartitionError};

pub const VERSIONS: RangeInclusive<i16> = 1..=11;

/// The codec's schemas end here; version 11 adds a special timestamp but no field.
const SCHEMA_MAX: i16 = 10;

/// The request at any served version.
#[derive(Debug)]
pub struct Asked(ListOffsetsRequest);

/// The response at any served version.
#[derive(Debug)]
pub struct Told(ListOffsetsResponse);

impl Ask for Asked {
    fn decode(body: Bytes, version: i16) -> Result<Self, MessageError> {
        <ListOffsetsRequest as Ask>::decode(body, version.min(SCHEMA_MAX)).map(Self)
    }
}

impl Answer for Told {
    fn size_hint(&self, version: i16) -> usize {
        Answer::size_hint(&self.0, version.min(SCHEMA_MAX))
    }

    fn encode(self, version: i16, out: &mut FrameBuilder) -> Result<(), MessageError> {
        Answer::encode(self.0, version.min(SCHEMA_MAX), out)
    }
}

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;
const EARLIEST_PENDING_UPLOAD: i64 = -6;

const CONSUMER: i32 = -1;
const READ_COMMITTED: i8 = 1;

pub fn handle(cx: &Cx<'_>, Asked(request): Asked) -> Outcome<Told> {
    let twice = duplicates(&request);
    let limit = Limit::of(request.replica_id.0, request.isolation_level);
    let topics = request
        .topics
        .iter()
        .map(|topic| {
            let answers = topic.partitions.iter().map(|asked| {
                if twice.contains(&(topic.name.as_str(), asked.partition_index)) {
                    refusal(asked, ResponseError::InvalidRequest.code())
                } else {
                    look_up(cx, &topic.name, asked, limit)
                }
            });
            ListOffsetsTopicResponse::default()
                .with_name(topic.name.clone())
                .with_partitions(answers.collect())
        })
        .collect();
    Told(ListOffsetsResponse::default().with_topics(topics)).into()
}

/// Up to where the asker may read.
#[derive(Clone, Copy, Debug)]
enum Limit {
    HighWatermark,
    LastStable,
    LogEnd,
}

impl Limit {
    fn of(replica: i32, isolation: i8) -> Self {
        match (replica, isolation) {
            (CONSUMER, READ_COMMITTED) => Self::LastStable,
            (CONSUMER, _) => Self::HighWatermark,
            _ => Self::LogEnd,
        }
    }

    fn offset(self, partition: &Partition) -> Offset {
        match self {
            Self::HighWatermark => partition.high_watermark(),
            Self::LastStable => partition.last_stable_offset(),
            Self::LogEnd => partition.log_end_offset(),
        }
    }
}

/// What was found: offset, timestamp and leader epoch; −1 where there is none.
type Found = (i64, i64, i32);
const NOTHING: Found = (-1, -1, -1);

fn look_up(
    cx: &Cx<'_>,
    topic: &str,
    asked: &ListOffsetsPartition,
    limit: Limit,
) -> ListOffsetsPartitionResponse {
    if asked.timestamp < 0 && cx.version < first_version(asked.timestamp) {
        return refusal(asked, ResponseError::UnsupportedVersion.code());
    }
    let found = cx.broker.partitions.find(&cx.image, topic, asked.partition_index).and_then(|partition| {
        partition.check_epoch(asked.current_leader_epoch)?;
        search(&partition, asked.timestamp, limit)
    });
    match found {
        Ok((offset, timestamp, epoch)) => ListOffsetsPartitionResponse::default()
            .with_partition_index(asked.partition_index)
            .with_offset(offset)
            .with_timestamp(timestamp)
            .with_leader_epoch(if cx.version >= 4 { epoch } else { -1 }),
        // Before version 5 there is no word for it but one that makes clients ask again.
        Err(PartitionError::NotSettled) if cx.version < 5 => {
            refusal(asked, ResponseError::LeaderNotAvailable.code())
        }
        Err(error) => refusal(asked, error.code()),
    }
}

fn search(partition: &Partition, timestamp: i64, limit: Limit) -> Result<Found, PartitionError> {
    let last = limit.offset(partition);
    let settled = matches!(limit, Limit::LogEnd) || partition.is_settled();
    match timestamp {
        LATEST if !settled => Err(PartitionError::NotSettled),
        LATEST => Ok((last.0, -1, partition.leader_epoch().0)),
        EARLIEST | EARLIEST_LOCAL => {
            let start = partition.log_start_offset();
            Ok((start.0, -1, partition.epoch_at(start).map_or(-1, |epoch| epoch.0)))
        }
        LATEST_TIERED => Ok(NOTHING),
        EARLIEST_PENDING_UPLOAD => Ok(NOTHING),
        MAX_TIMESTAMP => fetchable(partition.max_timestamp()?, last, settled),
        _ => fetchable(partition.offset_for_timestamp(Timestamp(timestamp))?, last, settled),
    }
}

/// What lies below `last`; a leader that is not settled does not know yet whether there is anything
/// (Partition.fetchOffsetForTimestamp).
fn fetchable(
    found: Option<milena_storage::log::FoundOffset>,
    last: Offset,
    settled: bool,
) -> Result<Found, PartitionError> {
    match found {
        Some(found) if found.offset < last => Ok((found.offset.0, found.timestamp.0, found.leader_epoch.0)),
        _ if settled => Ok(NOTHING),
        _ => Err(PartitionError::NotSettled),
    }
}

/// First version that knows a special timestamp (ListOffsetsRequest); unknown ones are known by none.
fn first_version(timestamp: i64) -> i16 {
    match timestamp {
        LATEST | EARLIEST => 0,
        MAX_TIMESTAMP => 7,
        EARLIEST_LOCAL => 8,
        LATEST_TIERED => 9,
        EARLIEST_PENDING_UPLOAD => 11,
        _ => i16::MAX,
    }
}

/// The answer to every partition when none is looked at.
pub fn refuse(Asked(request): &Asked, error: ResponseError) -> Told {
    let topics = request.topics.iter().map(|topic| {
        let refused = topic.partitions.iter().map(|asked| refusal(asked, error.code()));
        ListOffsetsTopicResponse::default().with_name(topic.name.clone()).with_partitions(refused.collect())
    });
    Told(ListOffsetsResponse::default().with_topics(topics.collect()))
}

fn refusal(asked: &ListOffsetsPartition, code: i16) -> ListOffsetsPartitionResponse {
    ListOffsetsPartitionResponse::default()
        .with_partition_index(asked.partition_index)
        .with_error_code(code)
        .with_offset(-1)
        .with_timestamp(-1)
}

fn duplicates(request: &ListOffsetsRequest) -> HashSet<(&str, i32)> {
    let mut seen = HashSet::new();
    let asked = request
        .topics
        .iter()
        .flat_map(|topic| topic.partitions.iter().map(|each| (topic.name.as_str(), each.partition_index)));
    asked.filter(|each| !seen.insert(*each)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka_protocol::messages::list_offsets_request::ListOffsetsTopic;

    #[test]
    fn partitions_named_twice_are_found() {
        let partition = |index| ListOffsetsPartition::default().with_partition_index(index);
        let topic = ListOffsetsTopic::default()
            .with_name(kafka_protocol::messages::TopicName("t".to_string().into()))
            .with_partitions(vec![partition(0), partition(1), partition(0)]);
        let request = ListOffsetsRequest::default().with_topics(vec![topic]);
        assert_eq!(duplicates(&request), HashSet::from([("t", 0)]));
    }

    #[test]
    fn special_timestamps_need_their_version() {
        for (timestamp, version) in [(-1, 0), (-2, 0), (-3, 7), (-4, 8), (-5, 9), (-6, 11), (-7, i16::MAX)] {
            assert_eq!(first_version(timestamp), version);
        }
    }
}
