//! The Produce response, v3–13.
//!
//! Its bytes must never differ from what the message schema's own encoder writes for the same values.

use bytes::{BufMut, BytesMut};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::write::{Node, put_count, put_nodes, put_nullable_string, put_string};
use crate::api::{Answer, MessageError};
use crate::net::frame::FrameBuilder;

/// First version with record errors (KIP-467).
const RECORD_ERRORS: i16 = 8;
/// First version with compact encodings and tagged fields.
const FLEXIBLE: i16 = 9;
/// First version with leaders and their addresses in tags (KIP-951).
const LEADER_HINTS: i16 = 10;
/// First version that names topics by id.
const TOPIC_IDS: i16 = 13;

#[derive(Clone, PartialEq, Debug, Default)]
pub struct ProduceAnswer {
    pub throttle_time_ms: i32,
    pub topics: Vec<TopicAnswer>,
    /// Addresses of the leaders that partitions name (v10+).
    pub nodes: Vec<Node>,
}

#[derive(Clone, PartialEq, Debug, Default)]
pub struct TopicAnswer {
    /// As the request named it.
    pub name: StrBytes,
    pub id: Uuid,
    pub partitions: Vec<PartitionAnswer>,
}

#[derive(Clone, PartialEq, Debug)]
pub struct PartitionAnswer {
    pub index: i32,
    pub error_code: i16,
    pub base_offset: i64,
    /// −1 unless the topic's records carry the time of their append.
    pub append_time: i64,
    pub log_start_offset: i64,
    pub record_errors: Vec<RecordProblem>,
    pub error_message: Option<String>,
    /// Leader and epoch.
    pub current_leader: Option<(i32, i32)>,
}

/// One record that was refused, by its place in the batch.
#[derive(Clone, PartialEq, Debug)]
pub struct RecordProblem {
    pub index: i32,
    pub message: Option<String>,
}

impl PartitionAnswer {
    /// Nothing was appended.
    #[must_use]
    pub fn refused(index: i32, error_code: i16) -> Self {
        Self {
            index,
            error_code,
            base_offset: -1,
            append_time: -1,
            log_start_offset: -1,
            record_errors: Vec::new(),
            error_message: None,
            current_leader: None,
        }
    }
}

impl Answer for ProduceAnswer {
    fn size_hint(&self, _version: i16) -> usize {
        let topics = self.topics.iter();
        topics.map(|topic| 32 + topic.name.len() + 40 * topic.partitions.len()).sum::<usize>() + 16
    }

    fn encode(self, version: i16, out: &mut FrameBuilder) -> Result<(), MessageError> {
        let flexible = version >= FLEXIBLE;
        let buf = out.buffer();
        put_count(buf, flexible, self.topics.len());
        for topic in &self.topics {
            put_topic(buf, version, topic);
        }
        buf.put_i32(self.throttle_time_ms);
        if version >= LEADER_HINTS {
            put_nodes(buf, &self.nodes);
        } else if flexible {
            buf.put_u8(0);
        }
        Ok(())
    }
}

fn put_topic(buf: &mut BytesMut, version: i16, topic: &TopicAnswer) {
    let flexible = version >= FLEXIBLE;
    if version >= TOPIC_IDS {
        buf.put_slice(topic.id.as_bytes());
    } else {
        put_string(buf, flexible, &topic.name);
    }
    put_count(buf, flexible, topic.partitions.len());
    for partition in &topic.partitions {
        put_partition(buf, version, partition);
    }
    if flexible {
        buf.put_u8(0);
    }
}

fn put_partition(buf: &mut BytesMut, version: i16, partition: &PartitionAnswer) {
    let flexible = version >= FLEXIBLE;
    buf.put_i32(partition.index);
    buf.put_i16(partition.error_code);
    buf.put_i64(partition.base_offset);
    buf.put_i64(partition.append_time);
    if version >= 5 {
        buf.put_i64(partition.log_start_offset);
    }
    if version >= RECORD_ERRORS {
        put_count(buf, flexible, partition.record_errors.len());
        for problem in &partition.record_errors {
            buf.put_i32(problem.index);
            put_nullable_string(buf, flexible, problem.message.as_deref());
            if flexible {
                buf.put_u8(0);
            }
        }
        put_nullable_string(buf, flexible, partition.error_message.as_deref());
    }
    match partition.current_leader {
        Some((id, epoch)) if version >= LEADER_HINTS => {
            buf.put_slice(&[1, 0, 9]);
            buf.put_i32(id);
            buf.put_i32(epoch);
            buf.put_u8(0);
        }
        _ if flexible => buf.put_u8(0),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::produce_response::{
        BatchIndexAndErrorMessage, LeaderIdAndEpoch, NodeEndpoint, PartitionProduceResponse,
        TopicProduceResponse,
    };
    use kafka_protocol::messages::{BrokerId, ProduceResponse, TopicName};
    use kafka_protocol::protocol::Encodable;
    use proptest::prelude::*;

    use super::*;

    fn text() -> impl Strategy<Value = Option<String>> {
        prop::option::of("[a-z]{0,200}")
    }

    fn answers() -> impl Strategy<Value = ProduceAnswer> {
        let problem = (any::<i32>(), text()).prop_map(|(index, message)| RecordProblem { index, message });
        let offsets = (any::<i64>(), any::<i64>(), any::<i64>());
        let errors = (prop::collection::vec(problem, 0..3), text());
        let leader = prop::option::of((0..9, 0..9));
        let partition = (any::<i32>(), any::<i16>(), offsets, errors, leader).prop_map(
            |(index, error_code, offsets, errors, current_leader)| PartitionAnswer {
                index,
                error_code,
                base_offset: offsets.0,
                append_time: offsets.1,
                log_start_offset: offsets.2,
                record_errors: errors.0,
                error_message: errors.1,
                current_leader,
            },
        );
        let topic = ("[a-z]{1,200}", any::<u128>(), prop::collection::vec(partition, 0..4)).prop_map(
            |(name, id, partitions)| TopicAnswer {
                name: StrBytes::from_string(name),
                id: Uuid::from_u128(id),
                partitions,
            },
        );
        let node = (any::<i32>(), "[a-z]{1,9}", any::<i32>(), text())
            .prop_map(|(id, host, port, rack)| Node { id, host, port, rack });
        let topics = prop::collection::vec(topic, 0..4);
        (any::<i32>(), topics, prop::collection::vec(node, 0..3))
            .prop_map(|(throttle_time_ms, topics, nodes)| ProduceAnswer { throttle_time_ms, topics, nodes })
    }

    /// The crate's message, without what the version lacks.
    fn theirs(answer: &ProduceAnswer, version: i16) -> ProduceResponse {
        let str = |text: &String| StrBytes::from_string(text.clone());
        let topics = answer.topics.iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|each| their_partition(each, version));
            TopicProduceResponse::default()
                .with_name(TopicName(topic.name.clone()))
                .with_topic_id(topic.id)
                .with_partition_responses(partitions.collect())
        });
        let nodes = answer.nodes.iter().filter(|_| version >= LEADER_HINTS).map(|node| {
            NodeEndpoint::default()
                .with_node_id(BrokerId(node.id))
                .with_host(str(&node.host))
                .with_port(node.port)
                .with_rack(node.rack.as_ref().map(str))
        });
        ProduceResponse::default()
            .with_throttle_time_ms(answer.throttle_time_ms)
            .with_responses(topics.collect())
            .with_node_endpoints(nodes.collect())
    }

    fn their_partition(answer: &PartitionAnswer, version: i16) -> PartitionProduceResponse {
        let str = |text: &String| StrBytes::from_string(text.clone());
        let problems = answer.record_errors.iter().filter(|_| version >= RECORD_ERRORS).map(|problem| {
            BatchIndexAndErrorMessage::default()
                .with_batch_index(problem.index)
                .with_batch_index_error_message(problem.message.as_ref().map(str))
        });
        let partition = PartitionProduceResponse::default()
            .with_index(answer.index)
            .with_error_code(answer.error_code)
            .with_base_offset(answer.base_offset)
            .with_log_append_time_ms(answer.append_time)
            .with_log_start_offset(answer.log_start_offset)
            .with_record_errors(problems.collect())
            .with_error_message(answer.error_message.as_ref().map(str));
        match answer.current_leader {
            Some((id, epoch)) if version >= LEADER_HINTS => partition.with_current_leader(
                LeaderIdAndEpoch::default().with_leader_id(BrokerId(id)).with_leader_epoch(epoch),
            ),
            _ => partition,
        }
    }

    proptest! {
        #[test]
        fn bytes_equal_those_of_the_schema(answer in answers(), version in 3i16..=13) {
            let mut expected = BytesMut::new();
            Encodable::encode(&theirs(&answer, version), &mut expected, version).unwrap();
            let mut out = FrameBuilder::new(0, false, 0);
            Answer::encode(answer, version, &mut out).unwrap();
            prop_assert_eq!(&out.buffer()[8..], &expected[..]);
        }
    }
}
