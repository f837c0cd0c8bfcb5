//! The Produce request, v3–13, with its records as slices of the frame.
//!
//! Must never look into records: they belong to the storage.

use bytes::Bytes;
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::read::Reader;
use crate::api::{Ask, MessageError};

/// First version with compact encodings and tagged fields.
const FLEXIBLE: i16 = 9;
/// First version that names topics by id.
const TOPIC_IDS: i16 = 13;

#[derive(Clone, PartialEq, Debug, Default)]
pub struct ProduceRequest {
    pub transactional_id: Option<StrBytes>,
    pub acks: i16,
    pub timeout_ms: i32,
    pub topics: Vec<TopicData>,
}

/// Batches for partitions of one topic.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct TopicData {
    /// Empty from version 13 on.
    pub name: StrBytes,
    /// Nil below version 13.
    pub id: Uuid,
    pub partitions: Vec<PartitionRecords>,
}

#[derive(Clone, PartialEq, Debug, Default)]
pub struct PartitionRecords {
    pub index: i32,
    pub records: Option<Bytes>,
}

impl Ask for ProduceRequest {
    fn decode(body: Bytes, version: i16) -> Result<Self, MessageError> {
        let mut body = Reader::new(body, version >= FLEXIBLE);
        let request = Self {
            transactional_id: body.nullable_string()?,
            acks: body.int16()?,
            timeout_ms: body.int32()?,
            topics: body.array(|body| topic(body, version))?,
        };
        body.no_tags()?;
        Ok(request)
    }
}

fn topic(body: &mut Reader, version: i16) -> Result<TopicData, MessageError> {
    let mut topic = TopicData::default();
    if version >= TOPIC_IDS {
        topic.id = body.uuid()?;
    } else {
        topic.name = body.string()?;
    }
    topic.partitions = body.array(|body| {
        let partition = PartitionRecords { index: body.int32()?, records: body.nullable_bytes()? };
        body.no_tags()?;
        Ok(partition)
    })?;
    body.no_tags()?;
    Ok(topic)
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
    use kafka_protocol::messages::{self, TopicName, TransactionalId};
    use kafka_protocol::protocol::Encodable;
    use proptest::prelude::*;

    use super::*;

    fn requests() -> impl Strategy<Value = ProduceRequest> {
        let records = prop::option::of(prop::collection::vec(any::<u8>(), 0..300).prop_map(Bytes::from));
        let partition =
            (any::<i32>(), records).prop_map(|(index, records)| PartitionRecords { index, records });
        let topic = ("[a-z]{1,200}", any::<u128>(), prop::collection::vec(partition, 0..4));
        let topic = topic.prop_map(|(name, id, partitions)| TopicData {
            name: StrBytes::from_string(name),
            id: Uuid::from_u128(id),
            partitions,
        });
        let rest = (prop::option::of("[a-z]{0,9}"), any::<i16>(), any::<i32>());
        (rest, prop::collection::vec(topic, 0..4)).prop_map(|((id, acks, timeout_ms), topics)| {
            ProduceRequest { transactional_id: id.map(StrBytes::from_string), acks, timeout_ms, topics }
        })
    }

    fn theirs(request: &ProduceRequest) -> messages::ProduceRequest {
        let topics = request.topics.iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|each| {
                PartitionProduceData::default().with_index(each.index).with_records(each.records.clone())
            });
            TopicProduceData::default()
                .with_name(TopicName(topic.name.clone()))
                .with_topic_id(topic.id)
                .with_partition_data(partitions.collect())
        });
        messages::ProduceRequest::default()
            .with_transactional_id(request.transactional_id.clone().map(TransactionalId))
            .with_acks(request.acks)
            .with_timeout_ms(request.timeout_ms)
            .with_topic_data(topics.collect())
    }

    proptest! {
        #[test]
        fn what_the_schema_encodes_is_read(request in requests(), version in 3i16..=13) {
            let mut bytes = BytesMut::new();
            theirs(&request).encode(&mut bytes, version).unwrap();
            let mut expected = request;
            for topic in &mut expected.topics {
                if version >= TOPIC_IDS { topic.name = StrBytes::new() } else { topic.id = Uuid::nil() }
            }
            prop_assert_eq!(<ProduceRequest as Ask>::decode(bytes.freeze(), version), Ok(expected));
        }

        #[test]
        fn a_truncated_body_is_an_error(request in requests(), version in 3i16..=13, cut in any::<prop::sample::Index>()) {
            let mut bytes = BytesMut::new();
            theirs(&request).encode(&mut bytes, version).unwrap();
            let bytes = bytes.freeze();
            let cut = bytes.slice(..cut.index(bytes.len()));
            prop_assert!(<ProduceRequest as Ask>::decode(cut, version).is_err());
        }
    }

    #[test]
    fn records_are_slices_of_the_frame() {
        let records = Bytes::from(vec![7; 1000]);
        let partitions = vec![PartitionRecords { index: 0, records: Some(records) }];
        let topic = TopicData { name: StrBytes::from_static_str("t"), id: Uuid::nil(), partitions };
        let request = ProduceRequest { topics: vec![topic], ..ProduceRequest::default() };
        let mut bytes = BytesMut::new();
        theirs(&request).encode(&mut bytes, 9).unwrap();
        let frame = bytes.freeze();
        let decoded = <ProduceRequest as Ask>::decode(frame.clone(), 9).unwrap();
        let records = decoded.topics[0].partitions[0].records.as_ref().unwrap();
        assert!(frame.as_ptr_range().contains(&records.as_ptr()));
    }
}
