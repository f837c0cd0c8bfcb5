//! The Fetch request, v4–18.
//!
//! Must never decide what a field means: sessions and partitions do.

use bytes::Bytes;
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::read::Reader;
use crate::api::{Ask, MessageError};

/// First version with compact encodings and tagged fields.
const FLEXIBLE: i16 = 12;
/// First version that names topics by id.
const TOPIC_IDS: i16 = 13;
/// First version with the replica's id in a tag.
const REPLICA_STATE: i16 = 15;
/// What a follower that does not know its high watermark sends, and every consumer.
const NO_HIGH_WATERMARK: i64 = i64::MAX;

#[derive(Clone, PartialEq, Debug)]
pub struct FetchRequest {
    pub cluster_id: Option<StrBytes>,
    /// −1: a consumer; from version 15 on in a tag (KIP-903).
    pub replica_id: i32,
    pub replica_epoch: i64,
    pub max_wait_ms: i32,
    pub min_bytes: i32,
    pub max_bytes: i32,
    pub isolation_level: i8,
    pub session_id: i32,
    /// −1 below version 7: no session.
    pub session_epoch: i32,
    pub topics: Vec<FetchTopic>,
    pub forgotten: Vec<ForgottenTopic>,
    pub rack_id: StrBytes,
}

/// Partitions of one topic.
#[derive(Clone, PartialEq, Debug)]
pub struct FetchTopic {
    pub topic: TopicRef,
    pub partitions: Vec<FetchPartition>,
}

/// Partitions of one topic that a session no longer follows.
#[derive(Clone, PartialEq, Debug)]
pub struct ForgottenTopic {
    pub topic: TopicRef,
    pub partitions: Vec<i32>,
}

/// A topic by name below version 13, by id from then on; the other one is empty.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TopicRef {
    pub name: StrBytes,
    pub id: Uuid,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FetchPartition {
    pub index: i32,
    pub current_leader_epoch: i32,
    pub fetch_offset: i64,
    pub last_fetched_epoch: i32,
    pub log_start_offset: i64,
    pub max_bytes: i32,
    /// Of a follower, from version 17 on.
    pub directory_id: Uuid,
    /// Of a follower, from version 18 on.
    pub high_watermark: i64,
}

impl Ask for FetchRequest {
    fn decode(body: Bytes, version: i16) -> Result<Self, MessageError> {
        let body = &mut Reader::new(body, version >= FLEXIBLE);
        let mut request = Self {
            cluster_id: None,
            replica_id: if version < REPLICA_STATE { body.int32()? } else { -1 },
            replica_epoch: -1,
            max_wait_ms: body.int32()?,
            min_bytes: body.int32()?,
            max_bytes: body.int32()?,
            isolation_level: body.int8()?,
            session_id: if version >= 7 { body.int32()? } else { 0 },
            session_epoch: if version >= 7 { body.int32()? } else { -1 },
            topics: body.array(|body| topic(body, version))?,
            forgotten: if version >= 7 { body.array(|body| forgotten(body, version))? } else { Vec::new() },
            rack_id: if version >= 11 { body.string()? } else { StrBytes::new() },
        };
        body.tags(|tag, body| {
            match tag {
                0 => request.cluster_id = body.nullable_string()?,
                1 if version >= REPLICA_STATE => {
                    request.replica_id = body.int32()?;
                    request.replica_epoch = body.int64()?;
                    body.no_tags()?;
                }
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(request)
    }
}

fn topic_ref(body: &mut Reader, version: i16) -> Result<TopicRef, MessageError> {
    Ok(if version >= TOPIC_IDS {
        TopicRef { id: body.uuid()?, ..TopicRef::default() }
    } else {
        TopicRef { name: body.string()?, ..TopicRef::default() }
    })
}

fn topic(body: &mut Reader, version: i16) -> Result<FetchTopic, MessageError> {
    let topic = topic_ref(body, version)?;
    let partitions = body.array(|body| partition(body, version))?;
    body.no_tags()?;
    Ok(FetchTopic { topic, partitions })
}

fn forgotten(body: &mut Reader, version: i16) -> Result<ForgottenTopic, MessageError> {
    let topic = topic_ref(body, version)?;
    let partitions = body.array(Reader::int32)?;
    body.no_tags()?;
    Ok(ForgottenTopic { topic, partitions })
}

fn partition(body: &mut Reader, version: i16) -> Result<FetchPartition, MessageError> {
    let mut partition = FetchPartition {
        index: body.int32()?,
        current_leader_epoch: if version >= 9 { body.int32()? } else { -1 },
        fetch_offset: body.int64()?,
        last_fetched_epoch: if version >= FLEXIBLE { body.int32()? } else { -1 },
        log_start_offset: if version >= 5 { body.int64()? } else { -1 },
        max_bytes: body.int32()?,
        directory_id: Uuid::nil(),
        high_watermark: NO_HIGH_WATERMARK,
    };
    body.tags(|tag, body| {
        match tag {
            0 if version >= 17 => partition.directory_id = body.uuid()?,
            1 if version >= 18 => partition.high_watermark = body.int64()?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(partition)
}

#[cfg(test)]
mod tests;
