//! Kafka's records of `__consumer_offsets`, byte for byte.
//!
//! Must never write anything that `kafka-dump-log --offsets-decoder` or another broker could not read, and never
//! fail on a record type or version that it does not know: those are skipped, as Kafka's readers do.
//!
//! Framing (`CoordinatorRecordSerde`): the key is an int16 record type and a non-flexible message; the value is an
//! int16 version and the message at that version; a deletion is a null value.

mod consumer;
mod group_metadata;
mod offset_commit;
pub(crate) mod wire;

use bytes::Bytes;
use kafka_protocol::error::ResponseError;

pub use consumer::{
    ClassicMember, ConsumerChange, ConsumerMember, CurrentAssignment, GroupEpoch, Owned, Partitions, Regex,
    TargetEpoch,
};
pub use group_metadata::{GroupMetadata, MemberMetadata};
pub use offset_commit::{OffsetCommit, OffsetKey};
pub use wire::WireError;

use wire::{Reader, Writer};

const LEGACY_OFFSET_COMMIT: i16 = 0;
const OFFSET_COMMIT: i16 = 1;
const GROUP_METADATA: i16 = 2;

/// One record of the internal topic, encoded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    pub key: Bytes,
    /// `None` deletes what the key names.
    pub value: Option<Bytes>,
}

/// What a record says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    Offset(OffsetKey, Option<OffsetCommit>),
    Group(String, Option<GroupMetadata>),
    /// A part of a group of the consumer protocol.
    Consumer(String, ConsumerChange),
    /// A record of another protocol, or of a Kafka newer than this code.
    Unknown(i16),
}

impl Record {
    /// Reads a record back.
    ///
    /// # Errors
    /// If a known type does not hold what its version promises.
    pub fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Change, WireError> {
        let mut key = Reader::new(key);
        match key.i16("record type")? {
            LEGACY_OFFSET_COMMIT | OFFSET_COMMIT => {
                let key = OffsetKey::read(&mut key)?;
                Ok(match value.map(OffsetCommit::decode).transpose()? {
                    None => Change::Offset(key, None),
                    Some(Some(value)) => Change::Offset(key, Some(value)),
                    Some(None) => Change::Unknown(OFFSET_COMMIT),
                })
            }
            GROUP_METADATA => {
                let group = key.string("group")?;
                Ok(match value.map(GroupMetadata::decode).transpose()? {
                    None => Change::Group(group, None),
                    Some(Some(value)) => Change::Group(group, Some(value)),
                    Some(None) => Change::Unknown(GROUP_METADATA),
                })
            }
            other => consumer::decode(other, &mut key, value),
        }
    }

    pub(super) fn consumer(group: &str, change: &ConsumerChange) -> Result<Self, WireError> {
        consumer::encode(group, change)
    }

    pub(super) fn offset(key: &OffsetKey, value: &OffsetCommit) -> Result<Self, WireError> {
        Ok(Self { key: key.encode()?, value: Some(value.encode()?) })
    }

    pub(super) fn offset_tombstone(key: &OffsetKey) -> Result<Self, WireError> {
        Ok(Self { key: key.encode()?, value: None })
    }

    pub(super) fn group(group: &str, value: &GroupMetadata) -> Result<Self, WireError> {
        Ok(Self { key: group_key(group)?, value: Some(value.encode()?) })
    }

    pub(super) fn group_tombstone(group: &str) -> Result<Self, WireError> {
        Ok(Self { key: group_key(group)?, value: None })
    }
}

fn group_key(group: &str) -> Result<Bytes, WireError> {
    let mut key = Writer::new(2 + 2 + group.len());
    key.i16(GROUP_METADATA);
    key.string("group", group)?;
    Ok(key.finish())
}

impl From<WireError> for ResponseError {
    /// Java's serializer throws on what does not fit, which its broker answers as an unexpected error.
    fn from(_: WireError) -> Self {
        Self::UnknownServerError
    }
}

#[cfg(test)]
mod tests;
