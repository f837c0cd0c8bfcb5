//! DescribeTopicPartitions: 75, v0. Topics page by page, with the eligible leader replicas (KIP-966).
//!
//! Behaviour: topics by name; at most the smaller of the request's and the broker's limit of partitions, at least one;
//! a cursor names where to go on and must be among the topics asked for. Authorized operations are always told.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use kafka_protocol::messages::{DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse};
use kafka_protocol::protocol::StrBytes;
use milena_coordinator::controller::check_topic_name;
use milena_coordinator::image::{PartitionImage, is_internal_topic};
use milena_storage::ids::PartitionIndex;

use super::operations;
use super::partition_view::{Strictness, View, wire};
use super::{Cx, Outcome};

pub const VERSIONS: RangeInclusive<i16> = 0..=0;

pub fn handle(
    cx: &Cx<'_>,
    request: DescribeTopicPartitionsRequest,
) -> Outcome<DescribeTopicPartitionsResponse> {
    let cursor = request.cursor.as_ref();
    let start = cursor.map_or("", |cursor| cursor.topic_name.as_str());
    let all = request.topics.is_empty();
    let names: BTreeSet<&str> =
        request.topics.iter().map(|topic| topic.name.as_str()).filter(|name| *name >= start).collect();
    let misses_cursor = cursor.is_some() && !all && !names.contains(start);
    if misses_cursor || cursor.is_some_and(|cursor| cursor.partition_index < 0) {
        return refuse(&request, ResponseError::InvalidRequest).into();
    }
    let asked = usize::try_from(request.response_partition_limit).unwrap_or(0);
    let limit = asked.min(cx.broker.settings.load().fetch().partitions_per_answer).max(1);
    let mut page = Page { cx, left: limit, answer: DescribeTopicPartitionsResponse::default() };
    let first =
        |name: &str| cursor.filter(|c| c.topic_name.as_str() == name).map_or(0, |c| c.partition_index);
    if all {
        let mut topics = cx.image.topics_from(start);
        while topics.next().is_some_and(|topic| page.add(&topic.name, first(&topic.name))) {}
    } else {
        let mut names = names.into_iter();
        while names.next().is_some_and(|name| page.add(name, first(name))) {}
    }
    page.answer.into()
}

/// The answer when the request as a whole is refused.
pub fn refuse(
    request: &DescribeTopicPartitionsRequest,
    code: ResponseError,
) -> DescribeTopicPartitionsResponse {
    let topics = request.topics.iter().map(|topic| {
        DescribeTopicPartitionsResponseTopic::default()
            .with_name(Some(topic.name.clone()))
            .with_error_code(code.code())
    });
    DescribeTopicPartitionsResponse::default().with_topics(topics.collect())
}

/// An answer that fills up.
struct Page<'a> {
    cx: &'a Cx<'a>,
    /// Partitions that still have room.
    left: usize,
    answer: DescribeTopicPartitionsResponse,
}

impl Page<'_> {
    /// Adds a topic from partition `first` on; `false` when the page is full.
    fn add(&mut self, name: &str, first: i32) -> bool {
        if self.left == 0 {
            self.end_at(name, 0);
            return false;
        }
        let entry = DescribeTopicPartitionsResponseTopic::default()
            .with_name(Some(StrBytes::from_string(name.to_owned()).into()))
            .with_is_internal(is_internal_topic(name))
            .with_topic_authorized_operations(operations::TOPIC);
        let Some(topic) = self.cx.image.topic(name) else {
            let code = match check_topic_name(name) {
                Ok(()) => ResponseError::UnknownTopicOrPartition,
                Err(refusal) => refusal.code,
            };
            self.answer.topics.push(entry.with_error_code(code.code()));
            return true;
        };
        let skip = usize::try_from(first).unwrap_or(0);
        let lost = self.cx.broker.partitions.lost(topic);
        let shown = topic.partitions.iter().skip(skip).take(self.left).map(|p| describe(self.cx, p, &lost));
        let partitions: Vec<_> = shown.collect();
        let next = skip + partitions.len();
        self.left -= partitions.len();
        self.answer.topics.push(entry.with_topic_id(topic.id).with_partitions(partitions));
        if next < topic.partitions.len() {
            self.end_at(name, i32::try_from(next).unwrap_or(i32::MAX));
            return false;
        }
        true
    }

    fn end_at(&mut self, name: &str, partition: i32) {
        let name = StrBytes::from_string(name.to_owned());
        let cursor = Cursor::default().with_topic_name(name.into()).with_partition_index(partition);
        self.answer.next_cursor = Some(cursor);
    }
}

fn describe(
    cx: &Cx<'_>,
    partition: &PartitionImage,
    lost: &[PartitionIndex],
) -> DescribeTopicPartitionsResponsePartition {
    let strict = Strictness { missing_replicas: false, missing_listener: true };
    // Errors of a partition are not told here: a leader of −1 says it.
    let lost = lost.contains(&partition.index).then_some(cx.broker.id);
    let view = View::of(&cx.image, &cx.caller.listener, partition, lost, strict);
    DescribeTopicPartitionsResponsePartition::default()
        .with_partition_index(partition.index.0)
        .with_leader_id(view.leader)
        .with_leader_epoch(partition.leader_epoch.0)
        .with_replica_nodes(view.replicas)
        .with_isr_nodes(view.isr)
        .with_offline_replicas(view.offline)
        .with_eligible_leader_replicas(Some(partition.elr.iter().map(wire).collect()))
        .with_last_known_elr(Some(partition.last_known_elr.iter().map(wire).collect()))
}

#[cfg(test)]
#[path = "describe_topic_partitions/tests.rs"]
mod tests;
