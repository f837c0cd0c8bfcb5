//! Records of groups of the consumer protocol (KIP-848): types 3 to 8 and 16, values of version 0.
//!
//! Must never write the partition metadata (type 4) other than as a deletion: 4.1 and later keep a hash of it in the
//! group's record instead (KIP-1101).

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use milena_storage::ids::Timestamp;
use uuid::Uuid;

use super::wire::{Reader, WireError, Writer};
use super::{Change, Record};

const GROUP_EPOCH: i16 = 3;
const PARTITION_METADATA: i16 = 4;
const MEMBER: i16 = 5;
const TARGET_EPOCH: i16 = 6;
const TARGET_MEMBER: i16 = 7;
const CURRENT_ASSIGNMENT: i16 = 8;
const REGEX: i16 = 16;

const VERSION: i16 = 0;
const TAG: u32 = 0;

/// Partitions by topic id.
pub type Partitions = BTreeMap<Uuid, BTreeSet<i32>>;

/// Partitions by topic id, each with the epoch in which it was assigned.
pub type Owned = BTreeMap<Uuid, BTreeMap<i32, i32>>;

/// What a record says about a group of the consumer protocol; `None` deletes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ConsumerChange {
    Epoch(Option<GroupEpoch>),
    /// Only whether there is such a record.
    PartitionMetadata(bool),
    Member(String, Option<ConsumerMember>),
    TargetEpoch(Option<TargetEpoch>),
    Target(String, Option<Partitions>),
    Current(String, Option<CurrentAssignment>),
    Regex(String, Option<Regex>),
}

/// ConsumerGroupMetadataValue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GroupEpoch {
    pub epoch: i32,
    /// Of the topics that the group subscribes to, with their partitions and racks.
    pub metadata_hash: i64,
}

/// ConsumerGroupMemberMetadataValue.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConsumerMember {
    pub instance_id: Option<String>,
    pub rack_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub topics: BTreeSet<String>,
    pub regex: Option<String>,
    /// −1 if the member has not said.
    pub rebalance_timeout_ms: i32,
    pub server_assignor: Option<String>,
    /// Set for a member that speaks the classic protocol.
    pub classic: Option<ClassicMember>,
}

/// What a classic member of a consumer group offered when it joined.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClassicMember {
    pub session_timeout_ms: i32,
    /// Names with the client's metadata, the client's favourite first.
    pub protocols: Vec<(String, Bytes)>,
}

/// ConsumerGroupTargetAssignmentMetadataValue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TargetEpoch {
    pub epoch: i32,
    /// When it was computed; `Timestamp(0)` if that is not known.
    pub at: Timestamp,
}

/// ConsumerGroupCurrentMemberAssignmentValue.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CurrentAssignment {
    pub epoch: i32,
    pub previous_epoch: i32,
    pub state: i8,
    pub assigned: Owned,
    pub revoking: Owned,
}

/// ConsumerGroupRegularExpressionValue: the topics that a pattern matched.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Regex {
    pub topics: BTreeSet<String>,
    /// The version of the metadata in which they were looked for.
    pub version: i64,
    pub at: Timestamp,
}

impl ConsumerChange {
    #[must_use]
    pub fn is_deletion(&self) -> bool {
        match self {
            Self::Epoch(value) => value.is_none(),
            Self::PartitionMetadata(present) => !present,
            Self::Member(_, value) => value.is_none(),
            Self::TargetEpoch(value) => value.is_none(),
            Self::Target(_, value) => value.is_none(),
            Self::Current(_, value) => value.is_none(),
            Self::Regex(_, value) => value.is_none(),
        }
    }
}

pub(super) fn encode(group: &str, change: &ConsumerChange) -> Result<Record, WireError> {
    let value = match change {
        ConsumerChange::Epoch(value) => value.as_ref().map(GroupEpoch::encode),
        ConsumerChange::PartitionMetadata(_) => None,
        ConsumerChange::Member(_, value) => value.as_ref().map(ConsumerMember::encode),
        ConsumerChange::TargetEpoch(value) => value.as_ref().map(TargetEpoch::encode),
        ConsumerChange::Target(_, value) => value.as_ref().map(encode_target),
        ConsumerChange::Current(_, value) => value.as_ref().map(CurrentAssignment::encode),
        ConsumerChange::Regex(_, value) => value.as_ref().map(Regex::encode),
    };
    let (kind, second) = match change {
        ConsumerChange::Epoch(_) => (GROUP_EPOCH, None),
        ConsumerChange::PartitionMetadata(_) => (PARTITION_METADATA, None),
        ConsumerChange::Member(member, _) => (MEMBER, Some(member)),
        ConsumerChange::TargetEpoch(_) => (TARGET_EPOCH, None),
        ConsumerChange::Target(member, _) => (TARGET_MEMBER, Some(member)),
        ConsumerChange::Current(member, _) => (CURRENT_ASSIGNMENT, Some(member)),
        ConsumerChange::Regex(regex, _) => (REGEX, Some(regex)),
    };
    let mut key = Writer::new(6 + group.len() + second.map_or(0, String::len));
    key.i16(kind);
    key.string("group", group)?;
    if let Some(second) = second {
        key.string("member or pattern", second)?;
    }
    Ok(Record { key: key.finish(), value: value.transpose()? })
}

/// `key` stands behind the record type.
pub(super) fn decode(kind: i16, key: &mut Reader<'_>, value: Option<&[u8]>) -> Result<Change, WireError> {
    if !matches!(kind, GROUP_EPOCH..=CURRENT_ASSIGNMENT | REGEX) {
        return Ok(Change::Unknown(kind));
    }
    let group = key.string("group")?;
    let mut reader = value.map(Reader::new);
    if let Some(value) = &mut reader
        && value.i16("value version")? != VERSION
    {
        return Ok(Change::Unknown(kind));
    }
    let value = reader.as_mut();
    let change = match kind {
        GROUP_EPOCH => ConsumerChange::Epoch(value.map(GroupEpoch::decode).transpose()?),
        PARTITION_METADATA => ConsumerChange::PartitionMetadata(value.is_some()),
        MEMBER => {
            ConsumerChange::Member(key.string("member")?, value.map(ConsumerMember::decode).transpose()?)
        }
        TARGET_EPOCH => ConsumerChange::TargetEpoch(value.map(TargetEpoch::decode).transpose()?),
        TARGET_MEMBER => ConsumerChange::Target(key.string("member")?, value.map(decode_target).transpose()?),
        CURRENT_ASSIGNMENT => {
            ConsumerChange::Current(key.string("member")?, value.map(CurrentAssignment::decode).transpose()?)
        }
        _ => ConsumerChange::Regex(key.string("pattern")?, value.map(Regex::decode).transpose()?),
    };
    Ok(Change::Consumer(group, change))
}

fn begin(capacity: usize) -> Writer {
    let mut value = Writer::new(capacity);
    value.i16(VERSION);
    value
}

fn no_tags(value: &mut Reader<'_>) -> Result<(), WireError> {
    value.tags(|_, _| Ok(()))
}

impl GroupEpoch {
    fn encode(&self) -> Result<Bytes, WireError> {
        let mut value = begin(20);
        value.i32(self.epoch);
        write_i64_tag(&mut value, self.metadata_hash)?;
        Ok(value.finish())
    }

    fn decode(value: &mut Reader<'_>) -> Result<Self, WireError> {
        let epoch = value.i32("epoch")?;
        Ok(Self { epoch, metadata_hash: read_i64_tag(value, "metadata hash")? })
    }
}

impl TargetEpoch {
    fn encode(&self) -> Result<Bytes, WireError> {
        let mut value = begin(20);
        value.i32(self.epoch);
        write_i64_tag(&mut value, self.at.0)?;
        Ok(value.finish())
    }

    fn decode(value: &mut Reader<'_>) -> Result<Self, WireError> {
        let epoch = value.i32("assignment epoch")?;
        Ok(Self { epoch, at: Timestamp(read_i64_tag(value, "assignment timestamp")?) })
    }
}

/// All tagged fields of a message whose only one is an int64 that is left out when it is 0.
fn write_i64_tag(value: &mut Writer, number: i64) -> Result<(), WireError> {
    if number == 0 {
        value.varint(0);
        return Ok(());
    }
    value.varint(1);
    value.tag(TAG, |field| {
        field.i64(number);
        Ok(())
    })
}

fn read_i64_tag(value: &mut Reader<'_>, field: &'static str) -> Result<i64, WireError> {
    let mut number = 0;
    value.tags(|tag, bytes| {
        if tag == TAG {
            number = bytes.i64(field)?;
        }
        Ok(())
    })?;
    Ok(number)
}

impl ConsumerMember {
    fn encode(&self) -> Result<Bytes, WireError> {
        let mut value = begin(128);
        value.compact_nullable_string("instance id", self.instance_id.as_deref())?;
        value.compact_nullable_string("rack id", self.rack_id.as_deref())?;
        value.compact_string("client id", &self.client_id)?;
        value.compact_string("client host", &self.client_host)?;
        write_strings(&mut value, "topics", &self.topics)?;
        value.compact_nullable_string("pattern", self.regex.as_deref())?;
        value.i32(self.rebalance_timeout_ms);
        value.compact_nullable_string("server assignor", self.server_assignor.as_deref())?;
        match &self.classic {
            None => value.varint(0),
            Some(classic) => {
                value.varint(1);
                value.tag(TAG, |field| classic.write(field))?;
            }
        }
        Ok(value.finish())
    }

    fn decode(value: &mut Reader<'_>) -> Result<Self, WireError> {
        let mut member = Self {
            instance_id: value.compact_nullable_string("instance id")?,
            rack_id: value.compact_nullable_string("rack id")?,
            client_id: value.compact_string("client id")?,
            client_host: value.compact_string("client host")?,
            topics: read_strings(value, "topics")?,
            regex: value.compact_nullable_string("pattern")?,
            rebalance_timeout_ms: value.i32("rebalance timeout")?,
            server_assignor: value.compact_nullable_string("server assignor")?,
            classic: None,
        };
        value.tags(|tag, field| {
            if tag == TAG {
                member.classic = ClassicMember::read(field)?;
            }
            Ok(())
        })?;
        Ok(member)
    }
}

/// A nullable structure begins with 1, or is the byte −1.
const PRESENT: i8 = 1;

impl ClassicMember {
    fn write(&self, value: &mut Writer) -> Result<(), WireError> {
        value.i8(PRESENT);
        value.i32(self.session_timeout_ms);
        value.any_array_len("protocols", self.protocols.len(), true)?;
        for (name, metadata) in &self.protocols {
            value.compact_string("protocol", name)?;
            value.compact_bytes("protocol metadata", metadata)?;
            value.varint(0);
        }
        value.varint(0);
        Ok(())
    }

    fn read(value: &mut Reader<'_>) -> Result<Option<Self>, WireError> {
        if value.i8("classic member")? < 0 {
            return Ok(None);
        }
        let session_timeout_ms = value.i32("session timeout")?;
        let mut protocols = Vec::new();
        for _ in 0..value.array_len("protocols", true)? {
            protocols.push((value.compact_string("protocol")?, value.compact_bytes("protocol metadata")?));
            no_tags(value)?;
        }
        no_tags(value)?;
        Ok(Some(Self { session_timeout_ms, protocols }))
    }
}

impl CurrentAssignment {
    fn encode(&self) -> Result<Bytes, WireError> {
        let mut value = begin(64);
        value.i32(self.epoch);
        value.i32(self.previous_epoch);
        value.i8(self.state);
        write_owned(&mut value, &self.assigned)?;
        write_owned(&mut value, &self.revoking)?;
        value.varint(0);
        Ok(value.finish())
    }

    fn decode(value: &mut Reader<'_>) -> Result<Self, WireError> {
        let epoch = value.i32("member epoch")?;
        let previous_epoch = value.i32("previous member epoch")?;
        let state = value.i8("state")?;
        // Before 4.3 partitions had no epochs; that of a static member that has left is no epoch to commit in.
        let assigned = read_owned(value, epoch.max(0))?;
        let revoking = read_owned(value, epoch.max(0))?;
        no_tags(value)?;
        Ok(Self { epoch, previous_epoch, state, assigned, revoking })
    }
}

fn write_owned(value: &mut Writer, owned: &Owned) -> Result<(), WireError> {
    value.any_array_len("topics", owned.len(), true)?;
    for (topic, partitions) in owned {
        value.uuid(*topic);
        write_ints(value, partitions.keys(), partitions.len())?;
        value.varint(1);
        value.tag(TAG, |field| write_ints(field, partitions.values(), partitions.len()))?;
    }
    Ok(())
}

fn read_owned(value: &mut Reader<'_>, default_epoch: i32) -> Result<Owned, WireError> {
    let mut owned = Owned::new();
    for _ in 0..value.array_len("topics", true)? {
        let topic = value.uuid("topic id")?;
        let partitions = read_ints(value)?;
        let mut epochs = Vec::new();
        value.tags(|tag, field| {
            if tag == TAG {
                epochs = read_ints(field)?;
            }
            Ok(())
        })?;
        if epochs.len() != partitions.len() {
            epochs = vec![default_epoch; partitions.len()];
        }
        owned.insert(topic, partitions.into_iter().zip(epochs).collect());
    }
    Ok(owned)
}

fn encode_target(target: &Partitions) -> Result<Bytes, WireError> {
    let mut value = begin(32);
    value.any_array_len("topics", target.len(), true)?;
    for (topic, partitions) in target {
        value.uuid(*topic);
        write_ints(&mut value, partitions.iter(), partitions.len())?;
        value.varint(0);
    }
    value.varint(0);
    Ok(value.finish())
}

fn decode_target(value: &mut Reader<'_>) -> Result<Partitions, WireError> {
    let mut target = Partitions::new();
    for _ in 0..value.array_len("topics", true)? {
        let topic = value.uuid("topic id")?;
        target.insert(topic, read_ints(value)?.into_iter().collect());
        no_tags(value)?;
    }
    no_tags(value)?;
    Ok(target)
}

impl Regex {
    fn encode(&self) -> Result<Bytes, WireError> {
        let mut value = begin(64);
        write_strings(&mut value, "topics", &self.topics)?;
        value.i64(self.version);
        value.i64(self.at.0);
        value.varint(0);
        Ok(value.finish())
    }

    fn decode(value: &mut Reader<'_>) -> Result<Self, WireError> {
        let topics = read_strings(value, "topics")?;
        let version = value.i64("version")?;
        let at = Timestamp(value.i64("timestamp")?);
        no_tags(value)?;
        Ok(Self { topics, version, at })
    }
}

fn write_strings(
    value: &mut Writer,
    field: &'static str,
    strings: &BTreeSet<String>,
) -> Result<(), WireError> {
    value.any_array_len(field, strings.len(), true)?;
    strings.iter().try_for_each(|string| value.compact_string(field, string))
}

fn read_strings(value: &mut Reader<'_>, field: &'static str) -> Result<BTreeSet<String>, WireError> {
    let count = value.array_len(field, true)?;
    (0..count).map(|_| value.compact_string(field)).collect()
}

fn write_ints<'a>(
    value: &mut Writer,
    ints: impl Iterator<Item = &'a i32>,
    count: usize,
) -> Result<(), WireError> {
    value.any_array_len("numbers", count, true)?;
    ints.for_each(|int| value.i32(*int));
    Ok(())
}

fn read_ints(value: &mut Reader<'_>) -> Result<Vec<i32>, WireError> {
    let count = value.array_len("numbers", true)?;
    let mut ints = Vec::new();
    for _ in 0..count {
        ints.push(value.i32("number")?);
    }
    Ok(ints)
}

#[cfg(test)]
mod tests;
