//! Appending: as leader with the next offsets, as follower with those that the batches have.
//!
//! Must never write a batch of a known producer twice or with a gap, and never leave half a batch below the log's end.

use bytes::Bytes;

use super::error::AppendError;
use super::segment::Segment;
use super::{Guard, Log, snapshot};
use crate::StorageError;
use crate::batch::{BatchError, BatchView, EndTransaction, HEADER_LEN, Header, Records, walk};
use crate::error::At;
use crate::ids::{LeaderEpoch, Offset, Timestamp};
use crate::validate::{Origin, ValidBatch};

/// A marker is one small record; this bounds what a compressed one may unpack to.
const MARKER_LEN_MAX: usize = 4096;

/// A finished append.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Appended {
    pub first: Offset,
    pub last: Offset,
    /// The time that the broker set, also that of the original of a duplicate; −1 with CreateTime.
    pub append_time: Timestamp,
    /// The log had this batch already; nothing was written.
    pub duplicate: bool,
    /// Bytes written.
    pub bytes: usize,
    /// `flush.messages` is reached: the caller owes a flush before it answers.
    pub flush_due: bool,
    /// A new segment was begun; a flush in the background keeps the next recovery short.
    pub rolled: bool,
}

/// What a control batch says, and when.
type Marker = Option<(EndTransaction, Timestamp)>;

impl Log {
    /// Gives the batch the next offsets and the leader epoch and writes it to the page cache.
    pub fn append_as_leader(
        &mut self,
        batch: ValidBatch,
        epoch: LeaderEpoch,
        now: Timestamp,
    ) -> Result<Appended, AppendError> {
        self.check_poison()?;
        self.note_waiting(now);
        let ValidBatch { mut header, body, origin, append_time } = batch;
        let size = HEADER_LEN + body.len();
        if size > self.config.segment_bytes as usize {
            return Err(AppendError::LargerThanSegment { size, segment_bytes: self.config.segment_bytes });
        }
        header.base_offset = self.log_end;
        header.leader_epoch = epoch;
        let marker = marker_of(&header, &body).map_err(|source| AppendError::Batch { at: 0, source })?;
        if let Some(duplicate) = self.check_producer(&header, marker, origin)? {
            return Ok(duplicate);
        }
        self.assign_epoch_start(epoch, header.base_offset)?;
        let rolled = self.make_room(&header, size, now)?;
        self.write(size, |segment, file| file.write_parts_at(&[&header.encode(), &body], segment.size))?;
        self.enter(&header, marker);
        Ok(self.appended(header.base_offset, append_time, size, rolled))
    }

    /// Writes batches with the offsets and epochs that they have; a last batch that is cut is left out.
    pub fn append_as_follower(&mut self, records: Bytes, now: Timestamp) -> Result<Appended, AppendError> {
        self.check_poison()?;
        let appended = self.append_copies(&records, now);
        if appended.is_err() {
            // Epochs are noted before their batches are written. Left behind, one would take the place of an earlier one when these come again.
            self.epochs.unsaved |= self.epochs.truncate_from_end(self.log_end);
        }
        appended
    }

    fn append_copies(&mut self, records: &Bytes, now: Timestamp) -> Result<Appended, AppendError> {
        self.note_waiting(now);
        self.begin_inside(records, now)?;
        let batches = self.check_followers(records)?;
        let Some((_, first_header, _)) = batches.first() else {
            return Ok(self.appended(self.log_end, Timestamp::NONE, 0, false));
        };
        let first = first_header.base_offset;
        let mut rolled = false;
        let mut done = 0;
        while done < batches.len() {
            rolled |= self.make_room(&batches[done].1, batches[done].1.size(), now)?;
            let group = self.group(&batches[done..]);
            let end = done + group;
            let from = batches[done].0;
            let to = batches[end - 1].0 + batches[end - 1].1.size();
            for (_, header, _) in &batches[done..end] {
                self.assign_epoch_start(header.leader_epoch, header.base_offset)?;
            }
            self.write(to - from, |segment, file| file.write_at(&records[from..to], segment.size))?;
            for (_, header, marker) in &batches[done..end] {
                self.enter(header, *marker);
            }
            done = end;
        }
        let (last_at, last_header, _) = batches[batches.len() - 1];
        Ok(self.appended(first, Timestamp::NONE, last_at + last_header.size(), rolled))
    }

    /// A log that begins where its leader's does may get a batch that begins before: DeleteRecords knows offsets, not
    /// batches. Then the log begins with the batch (`Partition.appendRecordsToFollowerOrFutureReplica`).
    fn begin_inside(&mut self, records: &[u8], now: Timestamp) -> Result<(), StorageError> {
        let (start, end) = (self.log_start, self.log_end);
        let Some(Ok(first)) = walk(records).next().filter(|_| start == end) else { return Ok(()) };
        if first.base_offset >= end || first.base_offset.0 < 0 || first.last_offset() < start {
            return Ok(());
        }
        tracing::info!(dir = %self.place.dir.display(), %start, first = %first.base_offset, "the log begins inside a batch");
        self.truncate_fully_and_start_at(first.base_offset, now)
    }

    /// How many of these batches fit into the active segment together; at least one.
    fn group(&self, batches: &[(usize, Header, Marker)]) -> usize {
        let segment = self.active();
        let mut size = segment.size;
        let fits = |(_, header, _): &&(usize, Header, Marker)| {
            size += header.size() as u64;
            size <= u64::from(self.config.segment_bytes) && segment.can_hold(header.last_offset())
        };
        batches.iter().take_while(fits).count().max(1)
    }

    /// Measures a leader's batches and checks that each is whole and follows the one before it.
    fn check_followers(&self, records: &[u8]) -> Result<Vec<(usize, Header, Marker)>, AppendError> {
        let mut batches = Vec::new();
        let mut previous: Option<Offset> = None;
        let mut at = 0;
        for batch in walk(records) {
            let bad = |source| AppendError::Batch { at, source };
            let batch = batch.map_err(bad)?;
            batch.check_crc().map_err(bad)?;
            let (first, last) = (batch.base_offset, batch.last_offset());
            if batch.last_offset_delta < 0 || first.0 < 0 {
                return Err(bad(BatchError::Count(batch.last_offset_delta)));
            }
            match previous {
                None if first < self.log_end => {
                    return Err(AppendError::BeforeLogEnd { first, log_end: self.log_end });
                }
                Some(previous) if first <= previous => {
                    return Err(AppendError::OutOfOrder { last, previous });
                }
                _ => {}
            }
            let marker = marker_of(&batch, batch.payload()).map_err(bad)?;
            batches.push((at, *batch.header(), marker));
            previous = Some(last);
            at += batch.size();
        }
        Ok(batches)
    }

    /// The rules of the batch's producer; a batch that the log has already comes back as the append that it was.
    pub(super) fn check_producer(
        &self,
        header: &Header,
        marker: Marker,
        origin: Origin,
    ) -> Result<Option<Appended>, AppendError> {
        if !header.has_producer() {
            return Ok(None);
        }
        if let Some((marker, _)) = marker {
            let Origin::Marker { transaction_version } = origin else { return Ok(None) };
            return self.producers.check_marker(header, marker, transaction_version).map(|()| None);
        }
        let client = matches!(origin, Origin::Client { .. } | Origin::Transaction { .. });
        if client && let Some(original) = self.producers.duplicate(header) {
            return Ok(Some(Appended {
                first: original.first_offset(),
                last: original.last_offset,
                append_time: original.timestamp,
                duplicate: true,
                bytes: 0,
                flush_due: false,
                rolled: false,
            }));
        }
        if client && let Some(before) = self.producers.repeated(header) {
            let (producer_id, sequence) = (header.producer_id, header.base_sequence);
            return Err(AppendError::Repeated { producer_id, sequence, before });
        }
        let guard = match origin {
            Origin::Transaction { guard, .. } | Origin::CoordinatorTransaction { guard } => Some(guard),
            Origin::Client { .. } | Origin::Coordinator | Origin::Marker { .. } => None,
        };
        if let Some(guard) = guard
            && !self.producers.has_open(header.producer_id, header.producer_epoch)
        {
            // Told first, since the producer can recover from it.
            self.producers.check_epoch(header)?;
            self.verifying.check(header, guard, self.producers.knows(header.producer_id))?;
        }
        if client {
            self.producers.check(header)?
        } else {
            self.producers.check_epoch(header)?
        }
        Ok(None)
    }

    /// Under what a client's batch of a transaction may be appended: where the transaction is not open yet, the
    /// coordinator has to be asked under the guard (`UnifiedLog.maybeStartTransactionVerification`).
    ///
    /// `bumps` tells that the client's epoch grows with each transaction.
    pub fn begin_verification(&mut self, header: &Header, bumps: bool, now: Timestamp) -> Guard {
        if self.producers.has_open(header.producer_id, header.producer_epoch) {
            return Guard::NOT_ASKED;
        }
        self.verifying.begin(header, bumps, now)
    }

    pub(super) fn appended(
        &self,
        first: Offset,
        append_time: Timestamp,
        bytes: usize,
        rolled: bool,
    ) -> Appended {
        let unflushed = self.log_end.0 - self.recovery_point.0;
        Appended {
            first,
            last: self.log_end.plus(-1),
            append_time,
            duplicate: false,
            bytes,
            flush_due: unflushed >= self.config.flush_messages,
            rolled,
        }
    }

    /// Writes at the end of the active segment; if that fails, nothing of it stays, not even when the power fails next: of a follower's
    /// batches some may have been written whole, and a recovery could not tell that they were refused.
    pub(super) fn write(
        &mut self,
        size: usize,
        write: impl FnOnce(&Segment, &dyn crate::fs::File) -> std::io::Result<()>,
    ) -> Result<(), StorageError> {
        let place = &self.place;
        let segment = self.segments.last_mut().expect("a log always has a segment");
        segment.cut_earlier_rest(place)?;
        segment.reserve(place, size as u64, &self.config)?;
        let file = segment.file(place)?.clone();
        let written = write(segment, &*file).at_path("append to", || segment.path(place));
        if written.is_err() {
            segment.cut_rest(place)?;
        }
        written
    }

    /// Takes a batch that was written at the end of the active segment into all state.
    fn enter(&mut self, header: &Header, marker: Marker) {
        self.enter_in_segment(header);
        if header.is_transactional() {
            self.verifying.end(header.producer_id);
        }
        let Some((marker, timestamp)) = marker else { return self.producers.apply(header) };
        if let Some(aborted) = self.producers.apply_marker(header, marker, timestamp) {
            let segment = self.segments.last_mut().expect("a log always has a segment");
            segment.note_aborted(&self.place, aborted);
        }
    }

    /// As [`enter`](Self::enter), but for producers and transactions.
    pub(super) fn enter_in_segment(&mut self, header: &Header) {
        let interval = self.config.index_interval_bytes;
        let segment = self.segments.last_mut().expect("a log always has a segment");
        self.tail.push(header, segment.size);
        segment.note(&self.place, header, interval);
        self.log_end = header.next_offset();
    }

    /// Rolls if the next batch does not belong into the active segment.
    fn make_room(&mut self, header: &Header, size: usize, now: Timestamp) -> Result<bool, StorageError> {
        let roll = self.must_roll(header, size, &[], now)?;
        if roll {
            self.roll_at(header.base_offset.max(self.log_end), now)?;
        }
        Ok(roll)
    }

    /// Whether a batch does not belong into the active segment, behind others that are to be written first (`LogSegment.shouldRoll`).
    pub(super) fn must_roll(
        &mut self,
        header: &Header,
        size: usize,
        ahead: &[Header],
        now: Timestamp,
    ) -> Result<bool, StorageError> {
        let config = &self.config;
        let place = &self.place;
        let segment = self.segments.last_mut().expect("a log always has a segment");
        let end = segment.size + ahead.iter().map(|header| header.size() as u64).sum::<u64>();
        let occupied = end > 0;
        let full = end + size as u64 > u64::from(config.segment_bytes)
            || segment.offsets.len() + ahead.len() >= config.index_entries_max(8)
            || segment.times.len() + ahead.len() + 1 >= config.index_entries_max(12);
        // Event time if the records have one, so that replays of old data roll as the original did.
        let first = segment.first_timestamp(place)?.or(ahead.first().map(|header| header.max_timestamp));
        let age = match first {
            Some(first) if first.0 >= 0 => header.max_timestamp.0.saturating_sub(first.0),
            _ => now.0.saturating_sub(segment.created.0),
        };
        let old = age > config.segment_ms_max().saturating_sub(jitter(place, segment.base, config));
        Ok((occupied && (full || old)) || !segment.can_hold(header.last_offset()))
    }

    /// Begins a new segment.
    pub fn roll(&mut self, now: Timestamp) -> Result<(), StorageError> {
        self.roll_at(self.log_end, now)
    }

    /// Begins a new segment whose first batch is at or behind `base`.
    pub(super) fn roll_at(&mut self, base: Offset, now: Timestamp) -> Result<(), StorageError> {
        if self.active().size == 0 && self.active().base == base {
            return Ok(());
        }
        let place = &self.place;
        let segment = self.segments.last_mut().expect("a log always has a segment");
        segment.seal(place)?;
        self.producers.end = base;
        snapshot::write(place, &self.producers)?;
        self.snapshots.insert(base);
        let next = Segment::create(place, base, &self.config, now)?;
        segment.offsets.unload();
        segment.times.unload();
        self.segments.push(next);
        self.tail.clear();
        self.unsynced.touch();
        Ok(())
    }
}

/// Reads the marker of a control batch; other batches and other control records have none.
pub(super) fn marker_of(header: &Header, payload: &[u8]) -> Result<Marker, BatchError> {
    if !header.is_control() || !header.has_producer() || header.count == 0 {
        return Ok(None);
    }
    let mut scratch = Vec::new();
    let codec = header.codec()?;
    let payload = match codec {
        crate::compress::Codec::None => payload,
        codec => {
            crate::compress::decompress(codec, payload, MARKER_LEN_MAX, &mut scratch)?;
            &scratch
        }
    };
    let Some(record) = Records::new(header, payload)?.next() else { return Ok(None) };
    let record = record?;
    Ok(EndTransaction::parse(&record).map(|marker| (marker, record.timestamp)))
}

/// The whole batch's marker; see [`marker_of`].
pub(super) fn marker_in(batch: &BatchView<'_>) -> Result<Marker, BatchError> {
    marker_of(batch.header(), batch.payload())
}

/// Spreads the rolls of many partitions over `segment.jitter.ms`; drawn from the log's and the segment's name, so that
/// it is the same whenever it is asked for, and another for partitions that were made together.
fn jitter(place: &super::place::Place, base: Offset, config: &super::LogConfig) -> i64 {
    let bound = config.segment_jitter_ms.min(config.segment_ms);
    if bound <= 0 {
        return 0;
    }
    let name = place.dir.file_name().unwrap_or_default().as_encoded_bytes();
    let name = name.iter().fold(0u64, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3));
    let mix = |bits: u64| (bits ^ (bits >> 32)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let spread = mix(mix(name.wrapping_add(base.0.cast_unsigned()))) >> 1;
    spread.cast_signed() % bound
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::fs::SimFs;
    use crate::log::LogConfig;
    use crate::log::place::Place;

    #[test]
    fn jitter_spreads_partitions_and_segments_and_stays_what_it_was() {
        let fs = Arc::new(SimFs::new());
        let config = LogConfig { segment_ms: 1000, segment_jitter_ms: 900, ..LogConfig::default() };
        let of =
            |name: String, base| jitter(&Place::new(fs.clone(), Path::new(&name)), Offset(base), &config);
        let partitions: BTreeSet<_> = (0..100).map(|index| of(format!("/d/t-{index}"), 0)).collect();
        let segments: BTreeSet<_> = (0..100).map(|base| of("/d/t-0".into(), base)).collect();
        assert!(partitions.len() > 80 && segments.len() > 80, "{partitions:?} {segments:?}");
        assert!(partitions.iter().chain(&segments).all(|jitter| (0..900).contains(jitter)));
        assert!(
            partitions.iter().any(|jitter| *jitter < 200) && partitions.iter().any(|jitter| *jitter > 700)
        );
        assert_eq!(of("/d/t-7".into(), 5), of("/d/t-7".into(), 5));
    }
}
