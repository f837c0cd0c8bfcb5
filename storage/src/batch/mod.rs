//! Record batches of magic 2: the header's layout, a borrowed view of one batch, and the error of everything below.
//!
//! Must never allocate by a number that the bytes claim, and never look at the disk.

mod build;
mod control;
mod record;
mod rewrite;
mod skim;
mod varint;
mod walk;

pub use build::{BatchBuilder, Record};
pub use control::{ControlMarker, EndTransaction};
pub use record::{Headers, RecordView, Records};
pub(crate) use rewrite::{emptied, rewritten};
pub use skim::{Skim, SkimmedRecord, skim};
pub use walk::{Walker, walk};

use crate::compress::{self, Codec, DecompressError};
use crate::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Timestamp};

/// Bytes of a batch before its records.
pub const HEADER_LEN: usize = 61;
/// Base offset and length: what stands before the part that the length counts.
pub const OVERHEAD_LEN: usize = 12;
/// Bytes needed to know the size and the magic of a batch of any version.
pub const MAGIC_END: usize = 17;
/// Smallest batch length of the old formats (`LegacyRecord.RECORD_OVERHEAD_V0`); below it nothing can be a batch.
pub const LEGACY_LENGTH_MIN: i32 = 14;
/// Where the part that the checksum covers begins.
pub(crate) const CRC_START: usize = 21;
pub(crate) const CRC_AT: usize = 17;
pub(crate) const ATTRIBUTES_AT: usize = 21;
pub(crate) const MAX_TIMESTAMP_AT: usize = 35;
pub(crate) const LEADER_EPOCH_AT: usize = 12;

pub(crate) const TIMESTAMP_TYPE_BIT: i16 = 0x08;
pub(crate) const TRANSACTIONAL_BIT: i16 = 0x10;
pub(crate) const CONTROL_BIT: i16 = 0x20;
const DELETE_HORIZON_BIT: i16 = 0x40;

/// Why bytes are not a batch, or a batch not what it claims.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BatchError {
    #[error("{have} bytes where a batch of {need} begins")]
    Truncated { have: usize, need: usize },
    #[error("batch length {0} is impossible")]
    Length(i32),
    #[error("magic {0} is not supported")]
    Magic(i8),
    #[error("stored checksum {stored:08x}, computed {computed:08x}")]
    Checksum { stored: u32, computed: u32 },
    #[error("unknown compression codec {0}")]
    Codec(u8),
    #[error("record {index}: {reason}")]
    Record { index: usize, reason: &'static str },
    #[error("record count {0} is impossible")]
    Count(i32),
    #[error(transparent)]
    Decompress(#[from] DecompressError),
}

/// Who set the timestamps of a batch's records.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum TimestampType {
    #[default]
    CreateTime,
    LogAppendTime,
}

/// The header's fields as plain values.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    pub base_offset: Offset,
    /// Bytes after this field.
    pub length: i32,
    pub leader_epoch: LeaderEpoch,
    pub magic: i8,
    pub crc: u32,
    pub attributes: i16,
    pub last_offset_delta: i32,
    pub base_timestamp: Timestamp,
    pub max_timestamp: Timestamp,
    pub producer_id: ProducerId,
    pub producer_epoch: ProducerEpoch,
    pub base_sequence: i32,
    pub count: i32,
}

/// The whole size of a batch of any magic, from its first 17 bytes, and its magic.
///
/// Like Kafka's `ByteBufferLogInputStream.nextBatchSize`: a length that no format can have, or a magic outside 0 to
/// 2, is corruption.
pub fn size_and_magic(bytes: &[u8]) -> Result<(usize, i8), BatchError> {
    if bytes.len() < MAGIC_END {
        return Err(BatchError::Truncated { have: bytes.len(), need: MAGIC_END });
    }
    let length = i32::from_be_bytes(take(bytes, 8));
    let magic = bytes[MAGIC_END - 1].cast_signed();
    if length < LEGACY_LENGTH_MIN {
        return Err(BatchError::Length(length));
    }
    if !(0..=2).contains(&magic) {
        return Err(BatchError::Magic(magic));
    }
    Ok((OVERHEAD_LEN + length.unsigned_abs() as usize, magic))
}

fn take<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("the slice has N bytes")
}

impl Header {
    /// Reads a magic-2 header; the batch itself need not be there.
    pub fn parse(bytes: &[u8]) -> Result<Self, BatchError> {
        let (size, magic) = size_and_magic(bytes)?;
        if magic != 2 {
            return Err(BatchError::Magic(magic));
        }
        if size < HEADER_LEN {
            return Err(BatchError::Length(i32::from_be_bytes(take(bytes, 8))));
        }
        if bytes.len() < HEADER_LEN {
            return Err(BatchError::Truncated { have: bytes.len(), need: HEADER_LEN });
        }
        Ok(Self {
            base_offset: Offset(i64::from_be_bytes(take(bytes, 0))),
            length: i32::from_be_bytes(take(bytes, 8)),
            leader_epoch: LeaderEpoch(i32::from_be_bytes(take(bytes, LEADER_EPOCH_AT))),
            magic,
            crc: u32::from_be_bytes(take(bytes, CRC_AT)),
            attributes: i16::from_be_bytes(take(bytes, ATTRIBUTES_AT)),
            last_offset_delta: i32::from_be_bytes(take(bytes, 23)),
            base_timestamp: Timestamp(i64::from_be_bytes(take(bytes, 27))),
            max_timestamp: Timestamp(i64::from_be_bytes(take(bytes, MAX_TIMESTAMP_AT))),
            producer_id: ProducerId(i64::from_be_bytes(take(bytes, 43))),
            producer_epoch: ProducerEpoch(i16::from_be_bytes(take(bytes, 51))),
            base_sequence: i32::from_be_bytes(take(bytes, 53)),
            count: i32::from_be_bytes(take(bytes, 57)),
        })
    }

    /// Bytes of the whole batch.
    pub fn size(&self) -> usize {
        OVERHEAD_LEN + self.length.unsigned_abs() as usize
    }

    /// The header's bytes, as they stand on the wire.
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[0..8].copy_from_slice(&self.base_offset.0.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.length.to_be_bytes());
        bytes[12..16].copy_from_slice(&self.leader_epoch.0.to_be_bytes());
        bytes[16] = self.magic.cast_unsigned();
        bytes[17..21].copy_from_slice(&self.crc.to_be_bytes());
        bytes[21..23].copy_from_slice(&self.attributes.to_be_bytes());
        bytes[23..27].copy_from_slice(&self.last_offset_delta.to_be_bytes());
        bytes[27..35].copy_from_slice(&self.base_timestamp.0.to_be_bytes());
        bytes[35..43].copy_from_slice(&self.max_timestamp.0.to_be_bytes());
        bytes[43..51].copy_from_slice(&self.producer_id.0.to_be_bytes());
        bytes[51..53].copy_from_slice(&self.producer_epoch.0.to_be_bytes());
        bytes[53..57].copy_from_slice(&self.base_sequence.to_be_bytes());
        bytes[57..61].copy_from_slice(&self.count.to_be_bytes());
        bytes
    }

    pub fn last_offset(&self) -> Offset {
        Offset(self.base_offset.0.saturating_add(i64::from(self.last_offset_delta)))
    }

    pub fn next_offset(&self) -> Offset {
        Offset(self.last_offset().0.saturating_add(1))
    }

    pub fn codec(&self) -> Result<Codec, BatchError> {
        let id = (self.attributes & 0x07).unsigned_abs();
        Codec::from_id(id).ok_or(BatchError::Codec(id.to_be_bytes()[1]))
    }

    pub fn timestamp_type(&self) -> TimestampType {
        if self.attributes & TIMESTAMP_TYPE_BIT == 0 {
            TimestampType::CreateTime
        } else {
            TimestampType::LogAppendTime
        }
    }

    /// Sets who gave the timestamps and the largest of them; the checksum is the caller's.
    pub(crate) fn set_timestamps(&mut self, kind: TimestampType, max: Timestamp) {
        match kind {
            TimestampType::CreateTime => self.attributes &= !TIMESTAMP_TYPE_BIT,
            TimestampType::LogAppendTime => self.attributes |= TIMESTAMP_TYPE_BIT,
        }
        self.max_timestamp = max;
    }

    pub fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL_BIT != 0
    }

    pub fn is_control(&self) -> bool {
        self.attributes & CONTROL_BIT != 0
    }

    /// The time after which compaction may drop tombstones, kept in the base timestamp.
    pub fn delete_horizon(&self) -> Option<Timestamp> {
        (self.attributes & DELETE_HORIZON_BIT != 0).then_some(self.base_timestamp)
    }

    /// True if an idempotent producer wrote the batch.
    pub fn has_producer(&self) -> bool {
        self.producer_id > ProducerId::NONE
    }

    /// The sequence of the last record; −1 if the producer is not idempotent.
    pub fn last_sequence(&self) -> i32 {
        if self.base_sequence == -1 {
            -1
        } else {
            advance_sequence(self.base_sequence, self.last_offset_delta)
        }
    }
}

/// The sequence `by` records later; after the largest comes 0.
pub fn advance_sequence(sequence: i32, by: i32) -> i32 {
    let sum = i64::from(sequence) + i64::from(by);
    let wrapped = if sum > i64::from(i32::MAX) { sum - i64::from(i32::MAX) - 1 } else { sum };
    i32::try_from(wrapped).unwrap_or(-1)
}

/// The sequence `by` records earlier, the inverse of [`advance_sequence`].
pub fn rewind_sequence(sequence: i32, by: i32) -> i32 {
    let difference = i64::from(sequence) - i64::from(by);
    let wrapped = if difference < 0 { difference + i64::from(i32::MAX) + 1 } else { difference };
    i32::try_from(wrapped).unwrap_or(-1)
}

/// One whole batch in borrowed bytes. Only the header has been looked at.
#[derive(Clone, Copy, Debug)]
pub struct BatchView<'a> {
    header: Header,
    bytes: &'a [u8],
}

impl std::ops::Deref for BatchView<'_> {
    type Target = Header;

    fn deref(&self) -> &Header {
        &self.header
    }
}

impl<'a> BatchView<'a> {
    /// The first batch in `bytes`; what follows it is left alone.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, BatchError> {
        let header = Header::parse(bytes)?;
        match bytes.get(..header.size()) {
            Some(bytes) => Ok(Self { header, bytes }),
            None => Err(BatchError::Truncated { have: bytes.len(), need: header.size() }),
        }
    }

    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The batch with its header.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The records as they stand in the batch, compressed or not.
    pub fn payload(&self) -> &'a [u8] {
        &self.bytes[HEADER_LEN..]
    }

    /// Compares the stored checksum with the bytes.
    pub fn check_crc(&self) -> Result<(), BatchError> {
        let computed = crc32c(&self.bytes[CRC_START..]);
        if computed == self.header.crc {
            Ok(())
        } else {
            Err(BatchError::Checksum { stored: self.header.crc, computed })
        }
    }

    /// Iterates the records, decompressing into `scratch` if needed, at most `cap` bytes.
    pub fn records<'s>(&self, scratch: &'s mut Vec<u8>, cap: usize) -> Result<Records<'s>, BatchError>
    where
        'a: 's,
    {
        let payload = match self.codec()? {
            Codec::None => self.payload(),
            codec => {
                scratch.clear();
                compress::decompress(codec, self.payload(), cap, scratch)?;
                scratch
            }
        };
        Records::new(&self.header, payload)
    }
}

/// CRC-32C, the checksum of batches and snapshots.
// The one place that calls crc-fast: where all calls are for this one algorithm, the linker drops the tables of all others, 0.7 MB.
#[inline(never)]
pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(bytes)
}

/// CRC-32 as zip has it, the checksum of message formats 0 and 1.
pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// CRC-32C of two pieces behind each other.
pub(crate) fn crc32c_of_two(head: &[u8], body: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c(head), body)
}

#[cfg(test)]
mod tests;
