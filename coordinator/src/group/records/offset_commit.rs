//! OffsetCommitKey (record type 1, and 0 for the same thing from before 0.9) and OffsetCommitValue, versions 0 to 4.
//!
//! Must never write a version other than 4, or 1 for a commit with an explicit expiry (4.1 and later write 4, and
//! 3.9 and 4.0 can read it).

use bytes::Bytes;
use milena_storage::ids::{LeaderEpoch, Offset, Timestamp};
use uuid::Uuid;

use super::OFFSET_COMMIT;
use super::wire::{Reader, WireError, Writer};

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct OffsetKey {
    pub group: String,
    pub topic: String,
    pub partition: i32,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OffsetCommit {
    pub offset: Offset,
    pub leader_epoch: LeaderEpoch,
    pub metadata: String,
    pub commit_timestamp: Timestamp,
    /// Set by commits of API versions 2 to 4 that name a retention time.
    pub expire_timestamp: Option<Timestamp>,
    /// Nil in records written before 4.1.
    pub topic_id: Uuid,
}

const VERSION_WITH_EXPIRY: i16 = 1;
const VERSION: i16 = 4;
const TAG_TOPIC_ID: u32 = 0;

impl OffsetKey {
    pub(super) fn encode(&self) -> Result<Bytes, WireError> {
        let mut key = Writer::new(2 + 2 + self.group.len() + 2 + self.topic.len() + 4);
        key.i16(OFFSET_COMMIT);
        key.string("group", &self.group)?;
        key.string("topic", &self.topic)?;
        key.i32(self.partition);
        Ok(key.finish())
    }

    /// Everything after the record type.
    pub(super) fn read(key: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self {
            group: key.string("group")?,
            topic: key.string("topic")?,
            partition: key.i32("partition")?,
        })
    }
}

impl OffsetCommit {
    pub(super) fn encode(&self) -> Result<Bytes, WireError> {
        let mut value = Writer::new(2 + 8 + 4 + 5 + self.metadata.len() + 8 + 19);
        if let Some(expire) = self.expire_timestamp {
            value.i16(VERSION_WITH_EXPIRY);
            value.i64(self.offset.0);
            value.string("metadata", &self.metadata)?;
            value.i64(self.commit_timestamp.0);
            value.i64(expire.0);
        } else {
            value.i16(VERSION);
            value.i64(self.offset.0);
            value.i32(self.leader_epoch.0);
            value.compact_string("metadata", &self.metadata)?;
            value.i64(self.commit_timestamp.0);
            if self.topic_id.is_nil() {
                value.varint(0);
            } else {
                value.varint(1);
                value.varint(TAG_TOPIC_ID);
                value.varint(16);
                value.uuid(self.topic_id);
            }
        }
        Ok(value.finish())
    }

    /// `None` for a version that this code does not know.
    pub(super) fn decode(bytes: &[u8]) -> Result<Option<Self>, WireError> {
        let mut value = Reader::new(bytes);
        let version = value.i16("value version")?;
        if !(0..=VERSION).contains(&version) {
            return Ok(None);
        }
        let flexible = version >= 4;
        let offset = Offset(value.i64("offset")?);
        let leader_epoch =
            if version >= 3 { LeaderEpoch(value.i32("leader epoch")?) } else { LeaderEpoch::NONE };
        let metadata = if flexible { value.compact_string("metadata")? } else { value.string("metadata")? };
        let commit_timestamp = Timestamp(value.i64("commit timestamp")?);
        let expire = if version == 1 { Timestamp(value.i64("expire timestamp")?) } else { Timestamp::NONE };
        let mut topic_id = Uuid::nil();
        if flexible {
            value.tags(|tag, field| {
                if tag == TAG_TOPIC_ID {
                    topic_id = field.uuid("topic id")?;
                }
                Ok(())
            })?;
        }
        Ok(Some(Self {
            offset,
            leader_epoch,
            metadata,
            commit_timestamp,
            expire_timestamp: (expire != Timestamp::NONE).then_some(expire),
            topic_id,
        }))
    }
}
