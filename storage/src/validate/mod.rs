//! Everything that Kafka's `LogValidator` and `UnifiedLog.analyzeAndValidateRecords` demand of a batch and that needs
//! no state of the log, so that it runs outside every lock.
//!
//! Must never change records except as the topic's rules demand (append time, compression), and never assign offsets.

mod inspect;
mod rebuild;

use bytes::Bytes;

use crate::batch::{self, BatchError, BatchView, HEADER_LEN, Header, TimestampType, walk};
use crate::compress::Codec;
use crate::ids::{Offset, Timestamp};
use crate::log::Guard;

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
    /// As above, for a batch of a transaction that the partition did not know to be open: the coordinator was asked
    /// under this guard (KIP-890).
    Transaction { produce_version: i16, guard: Guard },
    /// A coordinator of this broker: control batches are allowed, offsets and counts are trusted.
    Coordinator,
    /// A coordinator's records that belong to a client's transaction; as for `Transaction`.
    CoordinatorTransaction { guard: Guard },
    /// A transaction's marker, with the `transaction.version` by which the transaction was ended.
    Marker { transaction_version: i16 },
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
    /// How many were wrong.
    pub wrong_records: usize,
    /// It breaks a rule of Produce requests (`ProduceRequest.validateRecords`), so that Kafka does not ask the log.
    pub by_request: bool,
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
    pub problem: RecordProblem,
}

/// What is wrong with a record (`LogValidator.validateRecord`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RecordProblem {
    /// A compacted topic takes no record without a key.
    NoKey,
    /// The producer's timestamp is not within `message.timestamp.before.max.ms` and `message.timestamp.after.max.ms`.
    Time { timestamp: Timestamp, offset: Offset, earliest: Timestamp, latest: Timestamp },
    /// The producer says that a broker set the time.
    AppendTime(RecordShape),
    /// A record of a compressed batch is marked as compressed itself.
    Compressed(RecordShape),
}

/// What there is to say about a record without showing it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RecordShape {
    pub offset: Offset,
    pub timestamp: Timestamp,
    /// Bytes; `None` where there is none.
    pub key: Option<usize>,
    pub value: Option<usize>,
    /// It came in a compressed batch.
    pub compressed: bool,
}

/// A hostile batch could name millions of bad records; clients show one or three.
pub const RECORD_ERRORS_MAX: usize = 100;

/// Zstd came with this version of Produce (KIP-110).
const ZSTD_VERSION_MIN: i16 = 7;

impl InvalidBatch {
    /// A batch that is wrong as a whole.
    pub fn of(kind: InvalidKind, message: impl ToString) -> Self {
        Self { kind, message: message.to_string(), records: Vec::new(), wrong_records: 0, by_request: false }
    }
}

impl ValidBatch {
    /// A batch that this process built itself; only clients' batches are doubted.
    ///
    /// # Panics
    /// If the bytes are not one batch of [`crate::batch::BatchBuilder`].
    pub fn built(bytes: Bytes) -> Self {
        let view = BatchView::parse(&bytes).expect("a batch of our own builder");
        assert_eq!(view.size(), bytes.len(), "exactly one batch");
        let header = *view.header();
        let body = bytes.slice(HEADER_LEN..);
        Self { header, body, origin: Origin::Coordinator, append_time: Timestamp::NONE }
    }

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
/// topic's rules demand. A cut batch behind the first is left out, as Kafka does; a whole one is refused.
pub fn validate(
    records: Bytes,
    rules: &Rules,
    now: Timestamp,
    origin: Origin,
) -> Result<ValidBatch, InvalidBatch> {
    let view = match origin {
        Origin::Client { produce_version } | Origin::Transaction { produce_version, .. } => {
            only_batch(&records, rules, produce_version)?
        }
        Origin::Coordinator | Origin::CoordinatorTransaction { .. } | Origin::Marker { .. } => {
            return Ok(ValidBatch { origin, ..ValidBatch::built(records) });
        }
    };
    check_header(view.header())?;
    let source = view.codec().map_err(|error| refuse(InvalidKind::Compression, error))?;
    let target = match rules.compression {
        CompressionRule::Producer => source,
        CompressionRule::Always(codec, _) => codec,
    };
    let seen = inspect::inspect(&view, source, rules, now)?;
    if target != source || !seen.consecutive {
        return rebuild::rebuild(&view, rules, target, now, origin);
    }
    let mut header = *view.header();
    let max_timestamp = match rules.timestamp_type {
        TimestampType::CreateTime => seen.max_timestamp,
        TimestampType::LogAppendTime => now,
    };
    let body = records.slice(HEADER_LEN..view.size());
    if header.timestamp_type() != rules.timestamp_type || header.max_timestamp != max_timestamp {
        header.set_timestamps(rules.timestamp_type, max_timestamp);
        header.crc = batch::crc32c_of_two(&header.encode()[batch::CRC_START..], &body);
    }
    Ok(ValidBatch { header, body, origin, append_time: rules.append_time(now) })
}

/// The one batch that a Produce request may hold (`ProduceRequest.validateRecords` and
/// `UnifiedLog.analyzeAndValidateRecords`), its size and checksum checked.
fn only_batch<'a>(
    records: &'a [u8],
    rules: &Rules,
    produce_version: i16,
) -> Result<BatchView<'a>, InvalidBatch> {
    let mut batches = walk(records);
    let first = match batches.next() {
        None => return Err(refuse_request(InvalidKind::Record, "there is no record batch")),
        Some(Err(BatchError::Magic(magic @ (0 | 1)))) => {
            return Err(refuse_request(
                InvalidKind::Record,
                format!("record batches of magic {magic} are not accepted"),
            ));
        }
        Some(Err(error)) => return Err(refuse(InvalidKind::Corrupt, error)),
        Some(Ok(batch)) => batch,
    };
    if produce_version < ZSTD_VERSION_MIN && first.codec() == Ok(Codec::Zstd) {
        let message = format!("produce requests of version {produce_version} cannot carry zstd");
        return Err(refuse_request(InvalidKind::Compression, message));
    }
    match batches.next() {
        None => {}
        Some(Ok(_)) => {
            return Err(refuse_request(InvalidKind::Record, "there is more than one record batch"));
        }
        Some(Err(error)) => return Err(refuse(InvalidKind::Corrupt, error)),
    }
    if first.base_offset != Offset(0) {
        let message = format!("the base offset must be 0, but it is {}", first.base_offset);
        return Err(refuse(InvalidKind::Record, message));
    }
    rules.check_size(first.size())?;
    first.check_crc().map_err(|error| refuse(InvalidKind::Corrupt, error))?;
    Ok(first)
}

/// What the header of a client's batch must say (`LogValidator.validateBatch`).
fn check_header(header: &Header) -> Result<(), InvalidBatch> {
    let by_offsets = i64::from(header.last_offset_delta) + 1;
    if by_offsets <= 0 || header.count <= 0 || by_offsets != i64::from(header.count) {
        let message = format!("the batch has offsets for {by_offsets} records and claims {}", header.count);
        return Err(refuse(InvalidKind::Record, message));
    }
    if header.is_control() {
        return Err(refuse(InvalidKind::Record, "clients may not write control records"));
    }
    if header.has_producer() && header.base_sequence < 0 {
        let message = format!("producer {} sent sequence {}", header.producer_id, header.base_sequence);
        return Err(refuse(InvalidKind::Record, message));
    }
    Ok(())
}

fn refuse(kind: InvalidKind, message: impl ToString) -> InvalidBatch {
    InvalidBatch::of(kind, message)
}

fn refuse_request(kind: InvalidKind, message: impl ToString) -> InvalidBatch {
    InvalidBatch { by_request: true, ..InvalidBatch::of(kind, message) }
}

impl Rules {
    fn check_size(&self, size: usize) -> Result<(), InvalidBatch> {
        if size <= self.max_message_bytes {
            return Ok(());
        }
        let message =
            format!("a batch of {size} bytes is larger than the {} allowed", self.max_message_bytes);
        Err(refuse(InvalidKind::TooLarge, message))
    }

    fn append_time(&self, now: Timestamp) -> Timestamp {
        match self.timestamp_type {
            TimestampType::CreateTime => Timestamp::NONE,
            TimestampType::LogAppendTime => now,
        }
    }
}

#[cfg(test)]
mod tests;
