//! DescribeProducers: 61, v0. The producers whose state a partition keeps (KIP-664).
//!
//! Behaviour: answered by the leader; an illegal topic name is INVALID_TOPIC_EXCEPTION.

use std::ops::RangeInclusive;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_producers_response::{
    PartitionResponse, ProducerState, TopicResponse,
};
use kafka_protocol::messages::{DescribeProducersRequest, DescribeProducersResponse, ProducerId};
use milena_coordinator::controller::{Refusal, check_topic_name};

use super::{Cx, Outcome};

pub const VERSIONS: RangeInclusive<i16> = 0..=0;

/// The text of UNKNOWN_TOPIC_OR_PARTITION itself, which Kafka sends along here.
const UNKNOWN: &str = "This server does not host this topic-partition.";

pub fn handle(cx: &Cx<'_>, request: DescribeProducersRequest) -> Outcome<DescribeProducersResponse> {
    let topics = request
        .topics
        .into_iter()
        .map(|topic| {
            let partitions = topic.partition_indexes.iter().map(|index| describe(cx, &topic.name, *index));
            let partitions = partitions.collect();
            TopicResponse::default().with_name(topic.name).with_partitions(partitions)
        })
        .collect();
    DescribeProducersResponse::default().with_topics(topics).into()
}

fn describe(cx: &Cx<'_>, topic: &str, index: i32) -> PartitionResponse {
    let answer = PartitionResponse::default().with_partition_index(index);
    let known = check_topic_name(topic).and_then(|()| match cx.image.topic(topic) {
        Some(_) => Ok(()),
        None => Err(Refusal::new(ResponseError::UnknownTopicOrPartition, UNKNOWN)),
    });
    if let Err(refusal) = known {
        return answer.with_error_code(refusal.code.code()).with_error_message(refusal.wire_message());
    }
    // A partition that the topic does not have is refused without a text (ReplicaManager.activeProducerState).
    match cx.broker.partitions.find(&cx.image, topic, index) {
        Ok(partition) => answer.with_active_producers(partition.producers().iter().map(state).collect()),
        Err(error) => answer.with_error_code(error.code()),
    }
}

fn state(producer: &milena_storage::log::ProducerEntry) -> ProducerState {
    ProducerState::default()
        .with_producer_id(ProducerId(producer.producer_id.0))
        .with_producer_epoch(i32::from(producer.epoch.0))
        .with_last_sequence(producer.last_sequence)
        .with_last_timestamp(producer.last_timestamp.0)
        .with_coordinator_epoch(producer.coordinator_epoch)
        .with_current_txn_start_offset(producer.transaction_start.map_or(-1, |offset| offset.0))
}
