//! OffsetForLeaderEpoch: 23, v2–4. Where an epoch ends in the leader's log, for truncation detection (KIP-101, KIP-320).
//!
//! Behaviour: the answer is the end of the largest epoch not above the one asked; −1/−1 if the log knows none.
//! Versions: 2 first served (KIP-896), 3 replica id, 4 flexible.

use std::ops::RangeInclusive;

use kafka_protocol::messages::offset_for_leader_epoch_request::OffsetForLeaderPartition;
use kafka_protocol::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderTopicResult,
};
use kafka_protocol::messages::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};
use milena_storage::ids::LeaderEpoch;

use super::{Cx, Outcome};

pub const VERSIONS: RangeInclusive<i16> = 2..=4;

pub fn handle(cx: &Cx<'_>, request: OffsetForLeaderEpochRequest) -> Outcome<OffsetForLeaderEpochResponse> {
    let topics = request
        .topics
        .into_iter()
        .map(|topic| {
            let partitions =
                topic.partitions.iter().map(|each| end_of_epoch(cx, &topic.topic, each)).collect();
            OffsetForLeaderTopicResult::default().with_topic(topic.topic.clone()).with_partitions(partitions)
        })
        .collect();
    OffsetForLeaderEpochResponse::default().with_topics(topics).into()
}

fn end_of_epoch(cx: &Cx<'_>, topic: &str, asked: &OffsetForLeaderPartition) -> EpochEndOffset {
    let answer = EpochEndOffset::default().with_partition(asked.partition);
    let found = cx.broker.partitions.find(&cx.image, topic, asked.partition).and_then(|partition| {
        partition.end_of_epoch(asked.current_leader_epoch, LeaderEpoch(asked.leader_epoch))
    });
    match found {
        Ok(Some((epoch, offset))) => answer.with_leader_epoch(epoch.0).with_end_offset(offset.0),
        Ok(None) => answer,
        Err(error) => answer.with_error_code(error.code()),
    }
}
