//! TransactionLogKey and TransactionLogValue, Kafka's records of `__transaction_state`, byte for byte.
//!
//! Must never write what `kafka-dump-log --transaction-log-decoder` could not read, and never fail on a type or version
//! that it does not know: those are skipped, as Kafka does.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use milena_storage::ids::{ProducerEpoch, ProducerId, Timestamp, TopicPartition};

use super::{Record, State, TransactionVersion};
use crate::group::records::WireError;
use crate::group::records::wire::{Reader, Writer};

const TRANSACTION_LOG: i16 = 0;
const NEWEST_VERSION: i16 = 1;

const TAG_PREVIOUS_PRODUCER_ID: u32 = 0;
const TAG_NEXT_PRODUCER_ID: u32 = 1;
const TAG_CLIENT_VERSION: u32 = 2;

/// What the log keeps of a transactional id.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Transaction {
    pub producer_id: ProducerId,
    /// The id before this one, to know a producer's repeated request by.
    pub previous_producer_id: ProducerId,
    /// The id that the producer gets when the transaction is complete, because its epochs are used up.
    pub next_producer_id: ProducerId,
    pub epoch: ProducerEpoch,
    pub timeout_ms: i32,
    pub state: State,
    pub partitions: BTreeSet<TopicPartition>,
    /// None before the first partition is added.
    pub started: Timestamp,
    pub updated: Timestamp,
    /// As which client the last change was asked for.
    pub client_version: TransactionVersion,
}

/// What a record says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    Transaction(String, Option<Transaction>),
    /// A record of a Kafka newer than this code.
    Unknown,
}

/// Reads a record back.
///
/// # Errors
/// If a known type does not hold what its version promises.
pub fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Change, WireError> {
    let mut key = Reader::new(key);
    if key.i16("record type")? != TRANSACTION_LOG {
        return Ok(Change::Unknown);
    }
    let id = key.string("transactional id")?;
    Ok(match value.map(Transaction::decode).transpose()? {
        None => Change::Transaction(id, None),
        Some(Some(transaction)) => Change::Transaction(id, Some(transaction)),
        Some(None) => Change::Unknown,
    })
}

impl Transaction {
    pub(super) fn record(&self, id: &str, version: TransactionVersion) -> Result<Record, WireError> {
        Ok(Record { key: key(id)?, value: Some(self.encode(version.log_value_version())?) })
    }

    fn encode(&self, version: i16) -> Result<Bytes, WireError> {
        let flexible = version >= 1;
        let mut value = Writer::new(64 + 32 * self.partitions.len());
        value.i16(version);
        value.i64(self.producer_id.0);
        value.i16(self.epoch.0);
        value.i32(self.timeout_ms);
        value.i8(self.state.id());
        self.write_partitions(&mut value, flexible)?;
        value.i64(self.updated.0);
        value.i64(self.started.0);
        if flexible {
            self.write_tags(&mut value);
        }
        Ok(value.finish())
    }

    /// Null while there is no transaction, grouped by topic otherwise.
    fn write_partitions(&self, value: &mut Writer, flexible: bool) -> Result<(), WireError> {
        if self.state == State::Empty {
            value.null_array(flexible);
            return Ok(());
        }
        let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
        for partition in &self.partitions {
            topics.entry(&partition.topic).or_default().push(partition.partition.0);
        }
        value.any_array_len("partitions", topics.len(), flexible)?;
        for (topic, indexes) in topics {
            if flexible {
                value.compact_string("topic", topic)?;
            } else {
                value.string("topic", topic)?;
            }
            value.any_array_len("partition ids", indexes.len(), flexible)?;
            for index in indexes {
                value.i32(index);
            }
            if flexible {
                value.varint(0);
            }
        }
        Ok(())
    }

    /// Defaults are left out, as the generated code of Kafka does.
    fn write_tags(&self, value: &mut Writer) {
        let ids = [
            (TAG_PREVIOUS_PRODUCER_ID, self.previous_producer_id),
            (TAG_NEXT_PRODUCER_ID, self.next_producer_id),
        ];
        let ids = ids.iter().filter(|(_, id)| *id != ProducerId::NONE);
        let versioned = self.client_version != TransactionVersion::V0;
        value.varint(ids.clone().count() as u32 + u32::from(versioned));
        for (tag, id) in ids {
            value.varint(*tag);
            value.varint(8);
            value.i64(id.0);
        }
        if versioned {
            value.varint(TAG_CLIENT_VERSION);
            value.varint(2);
            value.i16(self.client_version.0);
        }
    }

    /// `None` for a version or a state that this code does not know.
    fn decode(bytes: &[u8]) -> Result<Option<Self>, WireError> {
        let mut value = Reader::new(bytes);
        let version = value.i16("value version")?;
        if !(0..=NEWEST_VERSION).contains(&version) {
            return Ok(None);
        }
        let flexible = version >= 1;
        let producer_id = ProducerId(value.i64("producer id")?);
        let epoch = ProducerEpoch(value.i16("producer epoch")?);
        let timeout_ms = value.i32("transaction timeout")?;
        let Some(state) = State::from_id(value.i8("transaction status")?) else { return Ok(None) };
        let partitions = read_partitions(&mut value, flexible)?;
        let updated = Timestamp(value.i64("last update")?);
        let started = Timestamp(value.i64("start")?);
        let mut transaction = Self {
            producer_id,
            previous_producer_id: ProducerId::NONE,
            next_producer_id: ProducerId::NONE,
            epoch,
            timeout_ms,
            state,
            partitions,
            started,
            updated,
            client_version: TransactionVersion::V0,
        };
        if flexible {
            value.tags(|tag, field| {
                match tag {
                    TAG_PREVIOUS_PRODUCER_ID => {
                        transaction.previous_producer_id = ProducerId(field.i64("previous producer id")?);
                    }
                    TAG_NEXT_PRODUCER_ID => {
                        transaction.next_producer_id = ProducerId(field.i64("next producer id")?);
                    }
                    TAG_CLIENT_VERSION => {
                        transaction.client_version = TransactionVersion(field.i16("client version")?);
                    }
                    _ => {}
                }
                Ok(())
            })?;
        }
        Ok(Some(transaction))
    }
}

pub(super) fn tombstone(id: &str) -> Result<Record, WireError> {
    Ok(Record { key: key(id)?, value: None })
}

fn key(id: &str) -> Result<Bytes, WireError> {
    let mut key = Writer::new(2 + 2 + id.len());
    key.i16(TRANSACTION_LOG);
    key.string("transactional id", id)?;
    Ok(key.finish())
}

fn read_partitions(value: &mut Reader<'_>, flexible: bool) -> Result<BTreeSet<TopicPartition>, WireError> {
    let mut partitions = BTreeSet::new();
    let Some(topics) = value.nullable_array_len("partitions", flexible)? else { return Ok(partitions) };
    for _ in 0..topics {
        let topic = if flexible { value.compact_string("topic")? } else { value.string("topic")? };
        for _ in 0..value.array_len("partition ids", flexible)? {
            partitions.insert(TopicPartition::new(topic.clone(), value.i32("partition id")?));
        }
        if flexible {
            value.tags(|_, _| Ok(()))?;
        }
    }
    Ok(partitions)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transaction(state: State) -> Transaction {
        Transaction {
            producer_id: ProducerId(7),
            previous_producer_id: ProducerId(6),
            next_producer_id: ProducerId::NONE,
            epoch: ProducerEpoch(3),
            timeout_ms: 60_000,
            state,
            partitions: BTreeSet::new(),
            started: Timestamp::NONE,
            updated: Timestamp(5),
            client_version: TransactionVersion::V2,
        }
    }

    fn partitions(of: &[(&str, i32)]) -> BTreeSet<TopicPartition> {
        of.iter().map(|(topic, index)| TopicPartition::new(*topic, *index)).collect()
    }

    #[test]
    fn version_one_is_written_as_kafkas_schema_says() {
        let ongoing =
            Transaction { partitions: partitions(&[("t", 1), ("t", 4)]), ..transaction(State::Ongoing) };
        let record = ongoing.record("id", TransactionVersion::V2).unwrap();
        assert_eq!(&record.key[..], b"\x00\x00\x00\x02id");
        let mut value = vec![0, 1];
        value.extend([0, 0, 0, 0, 0, 0, 0, 7, 0, 3, 0, 0, 0xea, 0x60, 1]);
        value.extend([2, 2, b't', 3, 0, 0, 0, 1, 0, 0, 0, 4, 0]);
        value.extend([0, 0, 0, 0, 0, 0, 0, 5]);
        value.extend([0xff; 8]);
        value.extend([2, 0, 8, 0, 0, 0, 0, 0, 0, 0, 6, 2, 2, 0, 2]);
        assert_eq!(record.value.as_deref(), Some(&value[..]));
        let read = decode(&record.key, record.value.as_deref());
        assert_eq!(read, Ok(Change::Transaction("id".into(), Some(ongoing))));
    }

    #[test]
    fn version_zero_has_no_tags_and_an_empty_one_no_partitions() {
        let record = transaction(State::Empty).record("id", TransactionVersion::V0).unwrap();
        let value = record.value.clone().unwrap();
        assert_eq!(&value[..2], [0, 0]);
        assert_eq!(&value[17..21], [0xff; 4], "a null array");
        assert_eq!(value.len(), 2 + 8 + 2 + 4 + 1 + 4 + 8 + 8);
        let Ok(Change::Transaction(_, Some(read))) = decode(&record.key, record.value.as_deref()) else {
            panic!("a transaction")
        };
        assert_eq!(read.previous_producer_id, ProducerId::NONE);
        assert_eq!(read.client_version, TransactionVersion::V0);
    }

    #[test]
    fn what_is_not_known_is_skipped_and_what_is_damaged_is_an_error() {
        let record = transaction(State::Ongoing).record("id", TransactionVersion::V2).unwrap();
        assert_eq!(decode(b"\x00\x09xx", None), Ok(Change::Unknown));
        assert_eq!(decode(&record.key, Some(b"\x00\x02")), Ok(Change::Unknown));
        let value = record.value.unwrap();
        for end in 2..value.len() {
            assert!(decode(&record.key, Some(&value[..end])).is_err(), "cut at {end}");
        }
        assert_eq!(decode(&record.key, None), Ok(Change::Transaction("id".into(), None)));
    }
}
