//! The Fetch response, v4–18, written around slices of files.
//!
//! Its bytes must never differ from what the message schema's own encoder writes for the same values.

use std::sync::Arc;

use bytes::{BufMut, BytesMut};
use milena_storage::log::AbortedTransaction;
use uuid::Uuid;

use super::write::{Node, put_count, put_nodes, put_string, put_varint, wire_len};
use crate::api::{Answer, MessageError};
use crate::net::frame::{FileSlice, FrameBuilder, SENDFILE_FROM};

/// First version with compact encodings and tagged fields.
const FLEXIBLE: i16 = 12;
/// First version that names topics by id.
const TOPIC_IDS: i16 = 13;
/// First version that names leaders' addresses in a tag (KIP-951).
const LEADER_HINTS: i16 = 16;
/// First version with sessions and a top-level error.
const SESSIONS: i16 = 7;

/// The answer to one Fetch.
#[derive(Debug, Default)]
pub struct FetchAnswer {
    pub throttle_time_ms: i32,
    pub error_code: i16,
    pub session_id: i32,
    pub topics: Vec<TopicAnswer>,
    /// Addresses of the leaders that partitions name (v16+).
    pub nodes: Vec<Node>,
}

/// Consecutive partitions of one topic.
#[derive(Debug)]
pub struct TopicAnswer {
    pub topic: Arc<str>,
    pub topic_id: Uuid,
    pub partitions: Vec<PartitionAnswer>,
}

#[derive(Debug)]
pub struct PartitionAnswer {
    pub index: i32,
    pub error_code: i16,
    pub high_watermark: i64,
    pub last_stable_offset: i64,
    pub log_start_offset: i64,
    /// `None` for read_uncommitted.
    pub aborted: Option<Vec<Aborted>>,
    pub preferred_read_replica: i32,
    pub records: Option<FileSlice>,
    /// Epoch and end offset.
    pub diverging: Option<(i32, i64)>,
    /// Leader and epoch.
    pub current_leader: Option<(i32, i32)>,
}

/// An aborted transaction that overlaps the records.
#[derive(Clone, Copy, Debug)]
pub struct Aborted {
    pub producer_id: i64,
    pub first_offset: i64,
}

impl From<&AbortedTransaction> for Aborted {
    fn from(aborted: &AbortedTransaction) -> Self {
        Self { producer_id: aborted.producer_id.0, first_offset: aborted.first.0 }
    }
}

impl Answer for FetchAnswer {
    fn size_hint(&self, _version: i16) -> usize {
        // Small slices are copied into the frame.
        let copied = |partition: &PartitionAnswer| {
            partition.records.as_ref().map(|slice| slice.len).filter(|len| *len < SENDFILE_FROM).unwrap_or(0)
        };
        let of = |topic: &TopicAnswer| {
            let records: usize = topic.partitions.iter().map(copied).sum();
            32 + topic.topic.len() + 96 * topic.partitions.len() + records
        };
        self.topics.iter().map(of).sum::<usize>() + 32
    }

    fn encode(self, version: i16, out: &mut FrameBuilder) -> Result<(), MessageError> {
        let buf = out.buffer();
        buf.put_i32(self.throttle_time_ms);
        if version >= SESSIONS {
            buf.put_i16(self.error_code);
            buf.put_i32(self.session_id);
        }
        put_count(buf, version >= FLEXIBLE, self.topics.len());
        for topic in self.topics {
            put_topic(topic, version, out)?;
        }
        let buf = out.buffer();
        if version >= LEADER_HINTS {
            put_nodes(buf, &self.nodes);
        } else if version >= FLEXIBLE {
            buf.put_u8(0);
        }
        Ok(())
    }
}

fn put_topic(topic: TopicAnswer, version: i16, out: &mut FrameBuilder) -> Result<(), MessageError> {
    let buf = out.buffer();
    if version >= TOPIC_IDS {
        buf.put_slice(topic.topic_id.as_bytes());
    } else {
        put_string(buf, version >= FLEXIBLE, &topic.topic);
    }
    put_count(buf, version >= FLEXIBLE, topic.partitions.len());
    for partition in topic.partitions {
        put_partition(partition, version, out)?;
    }
    if version >= FLEXIBLE {
        out.buffer().put_u8(0);
    }
    Ok(())
}

fn put_partition(
    partition: PartitionAnswer,
    version: i16,
    out: &mut FrameBuilder,
) -> Result<(), MessageError> {
    let buf = out.buffer();
    buf.put_i32(partition.index);
    buf.put_i16(partition.error_code);
    buf.put_i64(partition.high_watermark);
    buf.put_i64(partition.last_stable_offset);
    if version >= 5 {
        buf.put_i64(partition.log_start_offset);
    }
    put_aborted(buf, version, partition.aborted.as_deref());
    if version >= 11 {
        buf.put_i32(partition.preferred_read_replica);
    }
    let len = partition.records.as_ref().map_or(0, |records| records.len);
    if version >= FLEXIBLE {
        put_varint(buf, wire_len(len) + 1);
    } else {
        buf.put_u32(wire_len(len));
    }
    if let Some(records) = partition.records
        && len > 0
    {
        out.put_file(records).map_err(|error| MessageError(format!("cannot read records: {error}")))?;
    }
    if version >= FLEXIBLE {
        put_partition_tags(out.buffer(), partition.diverging, partition.current_leader);
    }
    Ok(())
}

fn put_aborted(buf: &mut BytesMut, version: i16, aborted: Option<&[Aborted]>) {
    match (aborted, version >= FLEXIBLE) {
        (None, true) => buf.put_u8(0),
        (None, false) => buf.put_i32(-1),
        (Some(aborted), _) => {
            put_count(buf, version >= FLEXIBLE, aborted.len());
            for each in aborted {
                buf.put_i64(each.producer_id);
                buf.put_i64(each.first_offset);
                if version >= FLEXIBLE {
                    buf.put_u8(0);
                }
            }
        }
    }
}

/// Tags 0 (DivergingEpoch) and 1 (CurrentLeader); what is absent is left out, for old clients trip over defaults.
fn put_partition_tags(buf: &mut BytesMut, diverging: Option<(i32, i64)>, leader: Option<(i32, i32)>) {
    buf.put_u8(u8::from(diverging.is_some()) + u8::from(leader.is_some()));
    if let Some((epoch, end)) = diverging {
        buf.put_slice(&[0, 13]);
        buf.put_i32(epoch);
        buf.put_i64(end);
        buf.put_u8(0);
    }
    if let Some((id, epoch)) = leader {
        buf.put_slice(&[1, 9]);
        buf.put_i32(id);
        buf.put_i32(epoch);
        buf.put_u8(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka_protocol::messages::fetch_response::{
        AbortedTransaction, EpochEndOffset, FetchResponse, FetchableTopicResponse, LeaderIdAndEpoch,
        NodeEndpoint, PartitionData,
    };
    use kafka_protocol::messages::{BrokerId, ProducerId, TopicName};
    use kafka_protocol::protocol::{Encodable, StrBytes};
    use milena_storage::fs::{Fs, Open, SimFs};

    const RECORDS: &[u8] = b"these are the records";

    fn slice() -> FileSlice {
        let file = SimFs::new().open(std::path::Path::new("/log"), Open::Truncate).unwrap();
        file.write_at(b"....", 0).unwrap();
        file.write_at(RECORDS, 4).unwrap();
        FileSlice { file, position: 4, len: RECORDS.len() }
    }

    fn ours(version: i16, rich: bool) -> FetchAnswer {
        let partition = |index, rich: bool| PartitionAnswer {
            index,
            error_code: if rich { 6 } else { 0 },
            high_watermark: 77,
            last_stable_offset: 70,
            log_start_offset: if version >= 5 { 3 } else { -1 },
            aborted: rich.then(|| vec![Aborted { producer_id: 5, first_offset: 6 }]),
            preferred_read_replica: -1,
            records: (!rich).then(slice),
            diverging: (rich && version >= 12).then_some((4, 44)),
            current_leader: (rich && version >= 12).then_some((2, 9)),
        };
        let node = Node { id: 2, host: "h".into(), port: 9092, rack: Some("r".into()) };
        FetchAnswer {
            throttle_time_ms: 1,
            error_code: 0,
            session_id: if version >= 7 { 9 } else { 0 },
            topics: vec![TopicAnswer {
                topic: "topic".into(),
                topic_id: Uuid::from_u128(7),
                partitions: vec![partition(0, false), partition(1, rich)],
            }],
            nodes: if rich && version >= 16 { vec![node] } else { Vec::new() },
        }
    }

    fn theirs(version: i16, rich: bool) -> FetchResponse {
        let partition = |index, rich: bool| {
            let data = PartitionData::default()
                .with_partition_index(index)
                .with_error_code(if rich { 6 } else { 0 })
                .with_high_watermark(77)
                .with_last_stable_offset(70)
                .with_log_start_offset(if version >= 5 { 3 } else { -1 })
                .with_aborted_transactions(rich.then(|| {
                    vec![AbortedTransaction::default().with_producer_id(ProducerId(5)).with_first_offset(6)]
                }))
                .with_records(Some(if rich { bytes::Bytes::new() } else { RECORDS.into() }));
            if rich && version >= 12 {
                data.with_diverging_epoch(EpochEndOffset::default().with_epoch(4).with_end_offset(44))
                    .with_current_leader(
                        LeaderIdAndEpoch::default().with_leader_id(BrokerId(2)).with_leader_epoch(9),
                    )
            } else {
                data
            }
        };
        let topic =
            FetchableTopicResponse::default().with_partitions(vec![partition(0, false), partition(1, rich)]);
        let topic = if version >= 13 {
            topic.with_topic_id(Uuid::from_u128(7))
        } else {
            topic.with_topic(TopicName(StrBytes::from_static_str("topic")))
        };
        let node = NodeEndpoint::default()
            .with_node_id(BrokerId(2))
            .with_host(StrBytes::from_static_str("h"))
            .with_port(9092)
            .with_rack(Some(StrBytes::from_static_str("r")));
        FetchResponse::default()
            .with_throttle_time_ms(1)
            .with_session_id(if version >= 7 { 9 } else { 0 })
            .with_responses(vec![topic])
            .with_node_endpoints(if rich && version >= 16 { vec![node] } else { Vec::new() })
    }

    #[test]
    fn bytes_equal_those_of_the_schema_at_every_version() {
        for version in 4..=18 {
            for rich in [false, true] {
                let mut out = FrameBuilder::new(0, false, 0);
                ours(version, rich).encode(version, &mut out).unwrap();
                let mut expected = BytesMut::new();
                Encodable::encode(&theirs(version, rich), &mut expected, version).unwrap();
                assert_eq!(out.buffer()[8..], expected[..], "version {version}, rich {rich}");
            }
        }
    }
}
