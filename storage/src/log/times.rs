//! Finding records by time (ListOffsets).
//!
//! Must never unpack more than the one batch that holds the answer.

use super::Log;
use super::scan::{LOOKUP_CHUNK, Scanner};
use super::segment::{Found, Segment};
use crate::StorageError;
use crate::ids::{LeaderEpoch, Offset, Timestamp};

/// The batch is on our disk, so it was once accepted; this only keeps a damaged one from taking all memory.
const BATCH_UNPACKED_MAX: usize = 1 << 30;

/// A record found by its time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FoundOffset {
    pub offset: Offset,
    pub timestamp: Timestamp,
    pub leader_epoch: LeaderEpoch,
}

impl Log {
    /// The first record at or after a time, at or behind the log start and below `upper`.
    pub fn offset_for_timestamp(
        &self,
        timestamp: Timestamp,
        upper: Offset,
    ) -> Result<Option<FoundOffset>, StorageError> {
        for segment in &self.segments {
            if segment.max(&self.place)?.0 < timestamp {
                continue;
            }
            if let Some(found) = self.find_in_segment(segment, timestamp)? {
                return Ok(Some(found).filter(|found| found.offset < upper));
            }
        }
        Ok(None)
    }

    /// The record with the largest timestamp, the first of several; `None` if no record has one.
    pub fn max_timestamp(&self) -> Result<Option<FoundOffset>, StorageError> {
        let mut best: Option<(&Segment, Timestamp, Offset)> = None;
        for segment in &self.segments {
            let (timestamp, offset) = segment.max(&self.place)?;
            if best.is_none_or(|(_, largest, _)| timestamp > largest) {
                best = Some((segment, timestamp, offset));
            }
        }
        let Some((segment, timestamp, offset)) = best.filter(|(_, timestamp, _)| timestamp.0 >= 0) else {
            return Ok(None);
        };
        let start = segment.position_before(&self.place, offset)?;
        let found = segment.find_from(&self.place, start, |header| header.max_timestamp == timestamp)?;
        match found {
            Some(found) => self.find_in_batch(segment, found, timestamp, Offset(0)),
            None => Ok(None),
        }
    }

    fn find_in_segment(
        &self,
        segment: &Segment,
        timestamp: Timestamp,
    ) -> Result<Option<FoundOffset>, StorageError> {
        let place = &self.place;
        let after = segment.times.partition_point(place, |entry| entry.timestamp <= timestamp)?;
        let known = match after.checked_sub(1) {
            Some(index) => segment.base.plus(i64::from(segment.times.get(place, index)?.relative)),
            None => segment.base,
        };
        let mut start = segment.position_before(place, known.max(self.log_start))?;
        // A batch whose largest time is late enough may still have only records before the log start.
        while let Some(found) = segment.find_from(place, start, |header| header.max_timestamp >= timestamp)? {
            if let Some(record) = self.find_in_batch(segment, found, timestamp, self.log_start)? {
                return Ok(Some(record));
            }
            start = found.position + found.header.size() as u64;
        }
        Ok(None)
    }

    /// The first record of a batch at or after a time and at or behind an offset.
    fn find_in_batch(
        &self,
        segment: &Segment,
        found: Found,
        timestamp: Timestamp,
        from: Offset,
    ) -> Result<Option<FoundOffset>, StorageError> {
        let path = segment.path(&self.place);
        let file = segment.file(&self.place)?;
        let end = found.position + found.header.size() as u64;
        let mut scanner = Scanner::new(&**file, &path, found.position, end, LOOKUP_CHUNK);
        let damaged =
            |error: crate::batch::BatchError| StorageError::corrupt(&path, found.position, error.to_string());
        let batch = scanner.batch(&found.header).map_err(|error| error.at(&path, found.position))?;
        let mut scratch = Vec::new();
        for record in batch.records(&mut scratch, BATCH_UNPACKED_MAX).map_err(damaged)? {
            let record = record.map_err(damaged)?;
            if record.timestamp >= timestamp && record.offset >= from {
                return Ok(Some(FoundOffset {
                    offset: record.offset,
                    timestamp: record.timestamp,
                    leader_epoch: found.header.leader_epoch,
                }));
            }
        }
        Ok(None)
    }
}
