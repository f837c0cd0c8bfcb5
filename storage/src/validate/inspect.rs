//! Looks at every record of a client's batch, unpacking it as a stream if it is compressed.
//!
//! Must never keep a record, and never spend more than a capped time on a batch that unpacks without end.

use super::{
    InvalidBatch, InvalidKind, RECORD_ERRORS_MAX, RecordError, RecordProblem, RecordShape, Rules, refuse,
};
use crate::batch::{BatchError, BatchView, TimestampType, skim};
use crate::compress::{Codec, DecompressError};
use crate::ids::{Offset, Timestamp};

/// Producers pack batches of at most a few megabytes; a quarter of a second of unpacking is more than any needs.
pub(super) const UNPACKED_MAX: usize = 256 << 20;
/// The codec bits, which a record's own attributes must not have.
const RECORD_CODEC_MASK: i8 = 0x07;

/// What all records together told.
pub(super) struct Seen {
    pub max_timestamp: Timestamp,
    /// Every record stands at the offset that its place gives it.
    pub consecutive: bool,
}

/// What the rules need of one record.
struct Glance {
    attributes: i8,
    timestamp: Timestamp,
    offset_delta: i64,
    key: Option<usize>,
    value: Option<usize>,
}

/// Checks all records by the rules (`LogValidator.validateRecord`).
pub(super) fn inspect(
    view: &BatchView<'_>,
    source: Codec,
    rules: &Rules,
    now: Timestamp,
) -> Result<Seen, InvalidBatch> {
    let mut inspector = Inspector {
        rules,
        now,
        compressed: source != Codec::None,
        append_time: view.timestamp_type() == TimestampType::LogAppendTime,
        index: 0,
        seen: Seen { max_timestamp: Timestamp::NONE, consecutive: true },
        wrong_time: false,
        errors: Vec::new(),
        error_count: 0,
    };
    if source == Codec::None {
        let mut unused = Vec::new();
        for record in view.records(&mut unused, UNPACKED_MAX).map_err(unreadable)? {
            let record = record.map_err(unreadable)?;
            inspector.look(&Glance {
                attributes: record.attributes,
                timestamp: record.timestamp,
                offset_delta: record.offset.0.wrapping_sub(view.base_offset.0),
                key: record.key.map(<[u8]>::len),
                value: record.value.map(<[u8]>::len),
            });
        }
        if !inspector.seen.consecutive {
            return Err(refuse(InvalidKind::Record, "the records' offsets are not consecutive"));
        }
    } else {
        for record in skim(view, UNPACKED_MAX).map_err(unreadable)? {
            let record = record.map_err(unreadable)?;
            let timestamp = Timestamp(view.base_timestamp.0.wrapping_add(record.timestamp_delta));
            inspector.look(&Glance {
                attributes: record.attributes,
                timestamp: if inspector.append_time { view.max_timestamp } else { timestamp },
                offset_delta: i64::from(record.offset_delta),
                key: record.key,
                value: record.value,
            });
        }
    }
    inspector.finish()
}

/// The error for records that cannot be read.
pub(super) fn unreadable(error: BatchError) -> InvalidBatch {
    let kind = match &error {
        BatchError::Decompress(DecompressError::TooLarge { .. }) => InvalidKind::TooLarge,
        _ => InvalidKind::Record,
    };
    refuse(kind, error)
}

struct Inspector<'a> {
    rules: &'a Rules,
    now: Timestamp,
    compressed: bool,
    /// The batch claims that a broker set its times.
    append_time: bool,
    index: i32,
    seen: Seen,
    wrong_time: bool,
    errors: Vec<RecordError>,
    error_count: usize,
}

impl Inspector<'_> {
    fn look(&mut self, record: &Glance) {
        let index = self.index;
        self.index += 1;
        self.seen.consecutive &= record.offset_delta == i64::from(index);
        self.seen.max_timestamp = self.seen.max_timestamp.max(record.timestamp);
        if self.compressed && record.attributes & RECORD_CODEC_MASK != 0 {
            self.note(index, RecordProblem::Compressed(self.shape(record)));
        } else if self.rules.compact && record.key.is_none() {
            self.note(index, RecordProblem::NoKey);
        } else if self.rules.timestamp_type == TimestampType::CreateTime
            && record.timestamp != Timestamp::NONE
        {
            self.look_at_time(index, record);
        } else if self.append_time {
            self.wrong_time = true;
            self.note(index, RecordProblem::AppendTime(self.shape(record)));
        }
    }

    fn shape(&self, record: &Glance) -> RecordShape {
        RecordShape {
            offset: Offset(record.offset_delta),
            timestamp: record.timestamp,
            key: record.key,
            value: record.value,
            compressed: self.compressed,
        }
    }

    fn look_at_time(&mut self, index: i32, record: &Glance) {
        let age = self.now.0.saturating_sub(record.timestamp.0);
        if age > self.rules.before_max_ms || age.saturating_neg() > self.rules.after_max_ms {
            self.wrong_time = true;
            let problem = RecordProblem::Time {
                timestamp: record.timestamp,
                offset: Offset(record.offset_delta),
                // Java's arithmetic, which clients get to see where there is no bound.
                earliest: Timestamp(self.now.0.wrapping_sub(self.rules.before_max_ms)),
                latest: Timestamp(self.now.0.wrapping_add(self.rules.after_max_ms)),
            };
            self.note(index, problem);
        }
    }

    fn note(&mut self, index: i32, problem: RecordProblem) {
        self.error_count += 1;
        if self.errors.len() < RECORD_ERRORS_MAX {
            self.errors.push(RecordError { index, problem });
        }
    }

    fn finish(self) -> Result<Seen, InvalidBatch> {
        if self.errors.is_empty() {
            return Ok(self.seen);
        }
        let (kind, reason) = if self.wrong_time {
            (InvalidKind::Timestamp, "invalid timestamps")
        } else {
            (InvalidKind::Record, "invalid records")
        };
        let message = format!("{} of {} records are refused for {reason}", self.error_count, self.index);
        Err(InvalidBatch {
            records: self.errors,
            wrong_records: self.error_count,
            ..InvalidBatch::of(kind, message)
        })
    }
}
