//! The records of Kafka's metadata log that tell of topics, configs and producer ids (KIP-631).
//!
//! It must never guess at a version that it does not know: what a directory holds would be taken up wrongly.

use std::sync::Arc;

use bytes::Bytes;
use milena_coordinator::controller::{ScramCredential, ScramMechanism};
use milena_coordinator::image::{ConfigKind, QuotaEntity};
use uuid::Uuid;

use crate::api::MessageError;
use crate::codec::read::Reader;

/// `MetadataRecordSerde.DEFAULT_FRAME_VERSION`.
const FRAME_VERSION: u32 = 1;

/// One record, as far as it is taken up.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum MetadataRecord {
    Topic {
        name: String,
        id: Uuid,
    },
    RemoveTopic(Uuid),
    /// A partition as it begins, or is in a snapshot.
    Partition(PartitionState),
    /// What changed of a partition; `None`: as it was.
    PartitionChange {
        topic: Uuid,
        index: i32,
        isr: Option<Vec<i32>>,
        leader: Option<i32>,
        replicas: Option<Vec<i32>>,
    },
    Config {
        kind: ConfigKind,
        name: String,
        key: String,
        value: Option<String>,
    },
    /// `None`: the entity has it no more.
    Quota {
        entity: QuotaEntity,
        key: String,
        value: Option<f64>,
    },
    /// The first producer id that was not given out.
    ProducerIds(i64),
    BeginTransaction,
    EndTransaction,
    AbortTransaction,
    /// Something that would matter and that Milena has no place for: its name.
    NotTaken(&'static str),
    /// Brokers, features and the like, which belong to the cluster that was.
    Ignored,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct PartitionState {
    pub topic: Uuid,
    pub index: i32,
    pub replicas: Vec<i32>,
    pub isr: Vec<i32>,
    pub leader_epoch: i32,
}

impl MetadataRecord {
    /// Reads the value of a record of the metadata log.
    pub(super) fn parse(value: Bytes) -> Result<Self, MessageError> {
        let mut reader = Reader::new(value, true);
        let frame = reader.varint()?;
        if frame != FRAME_VERSION {
            return Err(MessageError(format!("frame version {frame} is not known")));
        }
        let (key, version) = (reader.varint()?, reader.varint()?);
        let highest = match key {
            3 | 5 => 2,
            _ => 0,
        };
        let known = matches!(key, 2..=5 | 9 | 11 | 14 | 15 | 22..=25);
        if known && version > highest {
            return Err(MessageError(format!("version {version} of record {key} is not known")));
        }
        Ok(match key {
            2 => Self::Topic { name: reader.string()?.to_string(), id: reader.uuid()? },
            3 => Self::Partition(partition(&mut reader, version)?),
            4 => return config(&mut reader),
            5 => return change(&mut reader),
            9 => Self::RemoveTopic(reader.uuid()?),
            15 => {
                let _ = (reader.int32()?, reader.int64()?);
                Self::ProducerIds(reader.int64()?)
            }
            23 => Self::BeginTransaction,
            24 => Self::EndTransaction,
            25 => Self::AbortTransaction,
            10 => Self::NotTaken("delegation tokens"),
            11 => return credential(&mut reader),
            22 => {
                let (name, key) = (reader.string()?.to_string(), mechanism(&mut reader)?.name().to_owned());
                Self::Config { kind: ConfigKind::User, name, key, value: None }
            }
            14 => return quota(&mut reader),
            18 => Self::NotTaken("access control entries"),
            _ => Self::Ignored,
        })
    }
}

fn partition(reader: &mut Reader, version: u32) -> Result<PartitionState, MessageError> {
    let index = reader.int32()?;
    let topic = reader.uuid()?;
    let replicas = reader.array(Reader::int32)?;
    let isr = reader.array(Reader::int32)?;
    let _removing = reader.array(Reader::int32)?;
    let _adding = reader.array(Reader::int32)?;
    let _leader = reader.int32()?;
    let leader_epoch = reader.int32()?;
    let _partition_epoch = reader.int32()?;
    if version >= 1 {
        reader.array(Reader::uuid)?;
    }
    reader.no_tags()?;
    Ok(PartitionState { topic, index, replicas, isr, leader_epoch })
}

fn change(reader: &mut Reader) -> Result<MetadataRecord, MessageError> {
    let index = reader.int32()?;
    let topic = reader.uuid()?;
    let (mut isr, mut leader, mut replicas) = (None, None, None);
    reader.tags(|tag, reader| {
        match tag {
            0 => isr = Some(reader.array(Reader::int32)?),
            1 => leader = Some(reader.int32()?),
            2 => replicas = Some(reader.array(Reader::int32)?),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(MetadataRecord::PartitionChange { topic, index, isr, leader, replicas })
}

/// Kept as the user's config, as ZooKeeper had it.
fn credential(reader: &mut Reader) -> Result<MetadataRecord, MessageError> {
    let name = reader.string()?.to_string();
    let key = mechanism(reader)?.name().to_owned();
    let mut bytes = || reader.nullable_bytes().map(|bytes| bytes.unwrap_or_default().to_vec());
    let (salt, stored_key, server_key) = (bytes()?, bytes()?, bytes()?);
    let credential = ScramCredential { salt, stored_key, server_key, iterations: reader.int32()? };
    Ok(MetadataRecord::Config { kind: ConfigKind::User, name, key, value: Some(credential.to_text()) })
}

/// What names no entity that there is was never set.
fn quota(reader: &mut Reader) -> Result<MetadataRecord, MessageError> {
    let (mut user, mut client, mut ip) = (None, None, None);
    let parts = reader.array(|reader| {
        let part = (reader.string()?, reader.nullable_string()?);
        reader.no_tags()?;
        Ok(part)
    })?;
    for (kind, name) in parts {
        // Everybody else has the empty name.
        let name: Arc<str> = name.unwrap_or_default().as_str().into();
        match kind.as_str() {
            "user" => user = Some(name),
            "client-id" => client = Some(name),
            "ip" => ip = Some(name),
            _ => return Ok(MetadataRecord::Ignored),
        }
    }
    let key = reader.string()?.to_string();
    let value = f64::from_bits(reader.int64()?.cast_unsigned());
    let value = (reader.int8()? == 0).then_some(value);
    let entity = match (user, client, ip) {
        (Some(user), Some(client), None) => QuotaEntity::UserClient(user, client),
        (Some(user), None, None) => QuotaEntity::User(user),
        (None, Some(client), None) => QuotaEntity::Client(client),
        (None, None, Some(ip)) => QuotaEntity::Ip(ip),
        _ => return Ok(MetadataRecord::Ignored),
    };
    Ok(MetadataRecord::Quota { entity, key, value })
}

fn mechanism(reader: &mut Reader) -> Result<ScramMechanism, MessageError> {
    let code = reader.int8()?;
    ScramMechanism::from_code(code)
        .ok_or_else(|| MessageError(format!("SCRAM mechanism {code} is not known")))
}

fn config(reader: &mut Reader) -> Result<MetadataRecord, MessageError> {
    let kind = match reader.int8()? {
        2 => ConfigKind::Topic,
        4 => ConfigKind::Broker,
        16 => ConfigKind::ClientMetrics,
        32 => ConfigKind::Group,
        _ => return Ok(MetadataRecord::Ignored),
    };
    let name = reader.string()?.to_string();
    let key = reader.string()?.to_string();
    let value = reader.nullable_string()?.map(|value| value.to_string());
    Ok(MetadataRecord::Config { kind, name, key, value })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(bytes: &[u8]) -> Result<MetadataRecord, MessageError> {
        MetadataRecord::parse(Bytes::copy_from_slice(bytes))
    }

    #[test]
    fn a_topic_and_its_removal_are_read() {
        let mut bytes = vec![1, 2, 0, 4, b'a', b'b', b'c'];
        bytes.extend_from_slice(&[7; 16]);
        bytes.push(0);
        let id = Uuid::from_bytes([7; 16]);
        assert_eq!(parse(&bytes).unwrap(), MetadataRecord::Topic { name: "abc".into(), id });
        let mut bytes = vec![1, 9, 0];
        bytes.extend_from_slice(&[7; 16]);
        bytes.push(0);
        assert_eq!(parse(&bytes).unwrap(), MetadataRecord::RemoveTopic(id));
    }

    #[test]
    fn a_change_tells_only_what_changed() {
        let mut bytes = vec![1, 5, 2, 0, 0, 0, 3];
        bytes.extend_from_slice(&[9; 16]);
        // Two tags: the leader, and directories, which are skipped.
        bytes.extend_from_slice(&[2, 1, 4, 0, 0, 0, 8, 8, 1, 1]);
        let expected = MetadataRecord::PartitionChange {
            topic: Uuid::from_bytes([9; 16]),
            index: 3,
            isr: None,
            leader: Some(8),
            replicas: None,
        };
        assert_eq!(parse(&bytes).unwrap(), expected);
    }

    #[test]
    fn a_quota_is_read_with_its_entity() {
        let mut bytes = vec![1, 14, 0, 3];
        bytes.extend_from_slice(b"\x05user\x02u\x00\x0aclient-id\x00\x00");
        bytes.extend_from_slice(b"\x02k");
        bytes.extend_from_slice(&12.5_f64.to_be_bytes());
        bytes.extend_from_slice(&[0, 0]);
        let entity = QuotaEntity::UserClient("u".into(), "".into());
        let set = |value| MetadataRecord::Quota { entity: entity.clone(), key: "k".into(), value };
        assert_eq!(parse(&bytes).unwrap(), set(Some(12.5)));
        let remove = bytes.len() - 2;
        bytes[remove] = 1;
        assert_eq!(parse(&bytes).unwrap(), set(None));
    }

    #[test]
    fn unknown_versions_and_cut_records_are_refused_and_other_records_left_out() {
        assert!(parse(&[1, 2, 1, 4, b'a']).unwrap_err().0.contains("version 1 of record 2"));
        assert!(parse(&[0, 2, 0]).unwrap_err().0.contains("frame version"));
        assert!(parse(&[1, 2, 0, 9, b'a']).is_err());
        assert!(parse(&[]).is_err());
        assert_eq!(parse(&[1, 12, 0]).unwrap(), MetadataRecord::Ignored);
        assert_eq!(parse(&[1, 18, 3]).unwrap(), MetadataRecord::NotTaken("access control entries"));
    }
}
