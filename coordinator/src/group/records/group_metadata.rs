//! GroupMetadataValue (record type 2), versions 0 to 4.
//!
//! Must never write a version other than 3: 4 exists in the schema, but 4.3.1 does not write it.

use bytes::Bytes;
use milena_storage::ids::Timestamp;

use super::wire::{Reader, WireError, Writer};

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GroupMetadata {
    /// Empty for a group that never had members, and for one used only to store offsets.
    pub protocol_type: String,
    pub generation: i32,
    pub protocol: Option<String>,
    pub leader: Option<String>,
    /// Absent in versions 0 and 1.
    pub state_timestamp: Option<Timestamp>,
    pub members: Vec<MemberMetadata>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MemberMetadata {
    pub member_id: String,
    pub instance_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    /// The session time-out stands in where the record (version 0) has none.
    pub rebalance_timeout_ms: i32,
    pub session_timeout_ms: i32,
    pub subscription: Bytes,
    pub assignment: Bytes,
}

const VERSION: i16 = 3;
const NEWEST_VERSION: i16 = 4;

impl GroupMetadata {
    pub(super) fn encode(&self) -> Result<Bytes, WireError> {
        let members: usize = self.members.iter().map(MemberMetadata::size_hint).sum();
        let mut value = Writer::new(64 + self.protocol_type.len() + members);
        value.i16(VERSION);
        value.string("protocol type", &self.protocol_type)?;
        value.i32(self.generation);
        value.nullable_string("protocol", self.protocol.as_deref())?;
        value.nullable_string("leader", self.leader.as_deref())?;
        value.i64(self.state_timestamp.unwrap_or(Timestamp::NONE).0);
        value.array_len("members", self.members.len())?;
        for member in &self.members {
            member.write(&mut value)?;
        }
        Ok(value.finish())
    }

    /// `None` for a version that this code does not know.
    pub(super) fn decode(bytes: &[u8]) -> Result<Option<Self>, WireError> {
        let mut value = Reader::new(bytes);
        let version = value.i16("value version")?;
        if !(0..=NEWEST_VERSION).contains(&version) {
            return Ok(None);
        }
        let flexible = version >= 4;
        let protocol_type =
            if flexible { value.compact_string("protocol type")? } else { value.string("protocol type")? };
        let generation = value.i32("generation")?;
        let protocol = nullable(&mut value, "protocol", flexible)?;
        let leader = nullable(&mut value, "leader", flexible)?;
        let stamp = if version >= 2 { Timestamp(value.i64("state timestamp")?) } else { Timestamp::NONE };
        // The count is at most the bytes left, so the vector grows as members are really read.
        let count = value.array_len("members", flexible)?;
        let mut members = Vec::new();
        for _ in 0..count {
            members.push(MemberMetadata::read(&mut value, version)?);
        }
        if flexible {
            value.tags(|_, _| Ok(()))?;
        }
        let state_timestamp = (stamp != Timestamp::NONE).then_some(stamp);
        Ok(Some(Self { protocol_type, generation, protocol, leader, state_timestamp, members }))
    }
}

impl MemberMetadata {
    fn size_hint(&self) -> usize {
        let names = self.member_id.len() + self.instance_id.as_ref().map_or(0, String::len);
        32 + names
            + self.client_id.len()
            + self.client_host.len()
            + self.subscription.len()
            + self.assignment.len()
    }

    fn write(&self, value: &mut Writer) -> Result<(), WireError> {
        value.string("member id", &self.member_id)?;
        value.nullable_string("group instance id", self.instance_id.as_deref())?;
        value.string("client id", &self.client_id)?;
        value.string("client host", &self.client_host)?;
        value.i32(self.rebalance_timeout_ms);
        value.i32(self.session_timeout_ms);
        value.bytes("subscription", &self.subscription)?;
        value.bytes("assignment", &self.assignment)
    }

    fn read(value: &mut Reader<'_>, version: i16) -> Result<Self, WireError> {
        let flexible = version >= 4;
        let text = |value: &mut Reader<'_>, field| {
            if flexible { value.compact_string(field) } else { value.string(field) }
        };
        let bytes = |value: &mut Reader<'_>, field| {
            if flexible { value.compact_bytes(field) } else { value.bytes(field) }
        };
        let member_id = text(value, "member id")?;
        let instance_id = if version >= 3 { nullable(value, "group instance id", flexible)? } else { None };
        let client_id = text(value, "client id")?;
        let client_host = text(value, "client host")?;
        let rebalance = if version >= 1 { value.i32("rebalance timeout")? } else { -1 };
        let session_timeout_ms = value.i32("session timeout")?;
        let subscription = bytes(value, "subscription")?;
        let assignment = bytes(value, "assignment")?;
        if flexible {
            value.tags(|_, _| Ok(()))?;
        }
        let rebalance_timeout_ms = if rebalance == -1 { session_timeout_ms } else { rebalance };
        Ok(Self {
            member_id,
            instance_id,
            client_id,
            client_host,
            rebalance_timeout_ms,
            session_timeout_ms,
            subscription,
            assignment,
        })
    }
}

fn nullable(
    value: &mut Reader<'_>,
    field: &'static str,
    flexible: bool,
) -> Result<Option<String>, WireError> {
    if flexible { value.compact_nullable_string(field) } else { value.nullable_string(field) }
}
