//! Builds a batch of our own: internal topics, Raft entries, recompression, tests.
//!
//! Must never produce a batch that the log would refuse.

use bytes::Bytes;

use super::{
    CONTROL_BIT, CRC_START, HEADER_LEN, Header, OVERHEAD_LEN, RecordView, TIMESTAMP_TYPE_BIT,
    TRANSACTIONAL_BIT, TimestampType, crc32c, varint,
};
use crate::compress::{self, Codec};
use crate::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Timestamp};

/// A record to be written.
#[derive(Clone, Copy, Debug, Default)]
pub struct Record<'a> {
    pub timestamp: Timestamp,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: &'a [(&'a [u8], Option<&'a [u8]>)],
}

/// Collects records into one magic-2 batch with consecutive offsets.
#[derive(Clone, Debug)]
pub struct BatchBuilder {
    header: Header,
    records: Vec<u8>,
    count: i32,
    base_timestamp: Option<Timestamp>,
    max_timestamp: Timestamp,
}

impl Default for BatchBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl BatchBuilder {
    pub fn new() -> Self {
        Self {
            header: Header {
                base_offset: Offset(0),
                length: 0,
                leader_epoch: LeaderEpoch::NONE,
                magic: 2,
                crc: 0,
                attributes: 0,
                last_offset_delta: 0,
                base_timestamp: Timestamp::NONE,
                max_timestamp: Timestamp::NONE,
                producer_id: ProducerId::NONE,
                producer_epoch: ProducerEpoch(-1),
                base_sequence: -1,
                count: 0,
            },
            records: Vec::new(),
            count: 0,
            base_timestamp: None,
            max_timestamp: Timestamp::NONE,
        }
    }

    /// The offset of the first record; 0 for a batch that the leader numbers.
    #[must_use]
    pub fn base_offset(mut self, offset: Offset) -> Self {
        self.header.base_offset = offset;
        self
    }

    #[must_use]
    pub fn leader_epoch(mut self, epoch: LeaderEpoch) -> Self {
        self.header.leader_epoch = epoch;
        self
    }

    /// Makes the batch idempotent.
    #[must_use]
    pub fn producer(mut self, id: ProducerId, epoch: ProducerEpoch, base_sequence: i32) -> Self {
        self.header.producer_id = id;
        self.header.producer_epoch = epoch;
        self.header.base_sequence = base_sequence;
        self
    }

    #[must_use]
    pub fn transactional(mut self) -> Self {
        self.header.attributes |= TRANSACTIONAL_BIT;
        self
    }

    /// Marks the records as control records, which consumers skip.
    #[must_use]
    pub fn control(mut self) -> Self {
        self.header.attributes |= CONTROL_BIT;
        self
    }

    /// Gives every record this timestamp and marks the broker as its source.
    #[must_use]
    pub fn log_append_time(mut self, now: Timestamp) -> Self {
        self.header.attributes |= TIMESTAMP_TYPE_BIT;
        self.header.max_timestamp = now;
        self
    }

    /// Records so far.
    pub fn count(&self) -> i32 {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Size of the batch if it were finished without compression.
    pub fn size(&self) -> usize {
        HEADER_LEN + self.records.len()
    }

    /// Bytes that `record` would add at most.
    pub fn size_of(record: &Record<'_>) -> usize {
        let field = |bytes: Option<&[u8]>| 5 + bytes.map_or(0, <[u8]>::len);
        let headers: usize = record.headers.iter().map(|(key, value)| field(Some(key)) + field(*value)).sum();
        5 + 1 + 10 + 5 + field(record.key) + field(record.value) + 5 + headers
    }

    /// Adds a record at the next offset.
    pub fn push(&mut self, record: Record<'_>) {
        let mut headers = Vec::new();
        for (key, value) in record.headers {
            write_bytes(Some(key), &mut headers);
            write_bytes(*value, &mut headers);
        }
        self.write(record.timestamp, record.key, record.value, (record.headers.len(), &headers));
    }

    /// Adds a record of another batch at the next offset.
    pub fn push_view(&mut self, record: &RecordView<'_>) {
        self.write(record.timestamp, record.key, record.value, record.headers.raw());
    }

    fn write(
        &mut self,
        timestamp: Timestamp,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: (usize, &[u8]),
    ) {
        let base = *self.base_timestamp.get_or_insert(timestamp);
        let deltas = (timestamp.0.wrapping_sub(base.0), i64::from(self.count));
        write_record(deltas, key, value, headers, &mut self.records);
        self.count += 1;
        self.max_timestamp = self.max_timestamp.max(timestamp);
    }

    /// The finished batch.
    ///
    /// # Panics
    /// If no record was pushed, or the batch is larger than 2 GiB: the caller bounds what it pushes.
    pub fn finish(self, codec: Codec, level: Option<i32>) -> Bytes {
        assert!(self.count > 0, "an empty batch cannot be appended");
        let Self { mut header, records, count, base_timestamp, max_timestamp } = self;
        let mut bytes = vec![0; HEADER_LEN];
        match codec {
            Codec::None => bytes.extend_from_slice(&records),
            codec => compress::compress(codec, level, &records, &mut bytes),
        }
        header.attributes |= i16::from(codec.id());
        header.length =
            i32::try_from(bytes.len() - OVERHEAD_LEN).expect("callers bound batches well below 2 GiB");
        header.last_offset_delta = count - 1;
        header.count = count;
        header.base_timestamp = base_timestamp.unwrap_or(Timestamp::NONE);
        if header.timestamp_type() == TimestampType::CreateTime {
            header.max_timestamp = max_timestamp;
        }
        bytes[..HEADER_LEN].copy_from_slice(&header.encode());
        header.crc = crc32c(&bytes[CRC_START..]);
        bytes[..HEADER_LEN].copy_from_slice(&header.encode());
        Bytes::from(bytes)
    }
}

/// Appends a record with the given deltas of timestamp and offset; headers are their count and their bytes.
pub(super) fn write_record(
    (timestamp_delta, offset_delta): (i64, i64),
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    (header_count, headers): (usize, &[u8]),
    out: &mut Vec<u8>,
) {
    let field = |bytes: Option<&[u8]>| match bytes {
        Some(bytes) => varint::len(bytes.len() as i64) + bytes.len(),
        None => varint::len(-1),
    };
    let length = 1
        + varint::len(timestamp_delta)
        + varint::len(offset_delta)
        + field(key)
        + field(value)
        + varint::len(header_count as i64)
        + headers.len();
    varint::write(length as i64, out);
    out.push(0);
    varint::write(timestamp_delta, out);
    varint::write(offset_delta, out);
    write_bytes(key, out);
    write_bytes(value, out);
    varint::write(header_count as i64, out);
    out.extend_from_slice(headers);
}

fn write_bytes(bytes: Option<&[u8]>, out: &mut Vec<u8>) {
    match bytes {
        Some(bytes) => {
            varint::write(bytes.len() as i64, out);
            out.extend_from_slice(bytes);
        }
        None => varint::write(-1, out),
    }
}
