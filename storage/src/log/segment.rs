//! One segment: a `.log` file and its indexes, appended to while it is the last.
//!
//! Must never know offsets outside its own range or decide when it ends.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use super::config::LogConfig;
use super::entries::{Entries, OffsetEntry, TimeEntry};
use super::place::{FileKind, Place};
use super::scan::{LOOKUP_CHUNK, ScanError, Scanner};
use super::txn_index::{self, AbortedTransaction};
use crate::StorageError;
use crate::batch::Header;
use crate::error::At;
use crate::fs::{File, Open};
use crate::ids::{Offset, Timestamp};

/// A log proves itself active with this many bytes; idle ones reserve nothing.
const RESERVE_AFTER: u64 = 1 << 20;
/// Space is reserved in steps: a tenth of the time of growing block by block, and little to give back.
const RESERVE_STEP: u64 = 16 << 20;

/// A segment; the last of a log is the active one.
#[derive(Debug)]
pub(super) struct Segment {
    pub base: Offset,
    /// Bytes of whole batches in the file; what follows is not ours.
    pub size: u64,
    pub offsets: Entries<OffsetEntry>,
    pub times: Entries<TimeEntry>,
    /// Largest timestamp and the last offset of the batch that holds it; `None`: ask the time index.
    pub max_timestamp: Option<(Timestamp, Offset)>,
    /// Largest timestamp of the first batch; `None`: not read yet, or no batch.
    pub first_timestamp: Option<Timestamp>,
    /// When the segment was begun, for its age if its records have no time.
    pub created: Timestamp,
    /// The log file has bytes that no flush covered yet.
    pub dirty: bool,
    /// The index files are durable, which only matters once the segment is closed.
    pub indexes_synced: bool,
    bytes_since_entry: u64,
    reserved: u64,
    /// The file is longer than the batches in it, up to `reserved`.
    lengthened: bool,
    /// What an append that failed has written is still behind the last whole batch.
    overhangs: bool,
    file: OnceLock<Arc<dyn File>>,
    /// The segment has a transaction index; empty: not looked yet.
    aborts: OnceLock<bool>,
    /// Aborted transactions that the disk had no space for; recovery finds them in the log again.
    unwritten_aborts: Vec<AbortedTransaction>,
}

/// A batch found in a segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub position: u64,
    pub header: Header,
}

impl Segment {
    /// Creates the file of a new segment.
    pub(super) fn create(
        place: &Place,
        base: Offset,
        config: &LogConfig,
        now: Timestamp,
    ) -> Result<Self, StorageError> {
        let path = place.path(base, FileKind::Log);
        let file = place.fs.open(&path, Open::Truncate).at("create", &path)?;
        let mut segment = Self::without_file(base, now);
        if config.preallocate {
            let all = u64::from(config.segment_bytes);
            segment.reserved = if file.allocate(0, all).is_ok() { all } else { 0 };
        }
        segment.file = OnceLock::from(file);
        Ok(segment)
    }

    /// A new segment for whose file there is no room yet.
    pub(super) fn without_file(base: Offset, now: Timestamp) -> Self {
        let mut segment = Self::over(base, 0, Entries::empty(base), Entries::empty(base), now);
        segment.max_timestamp = Some((Timestamp::NONE, base));
        segment
    }

    /// A segment whose files exist.
    pub(super) fn over(
        base: Offset,
        size: u64,
        offsets: Entries<OffsetEntry>,
        times: Entries<TimeEntry>,
        created: Timestamp,
    ) -> Self {
        Self {
            base,
            size,
            offsets,
            times,
            max_timestamp: None,
            first_timestamp: None,
            created,
            dirty: false,
            indexes_synced: true,
            bytes_since_entry: 0,
            reserved: 0,
            overhangs: false,
            lengthened: false,
            file: OnceLock::new(),
            aborts: OnceLock::new(),
            unwritten_aborts: Vec::new(),
        }
    }

    pub(super) fn path(&self, place: &Place) -> PathBuf {
        place.path(self.base, FileKind::Log)
    }

    /// The log file, opened at the first use.
    pub(super) fn file(&self, place: &Place) -> Result<&Arc<dyn File>, StorageError> {
        if let Some(file) = self.file.get() {
            return Ok(file);
        }
        let path = self.path(place);
        // An empty one may still lack it.
        let how = if self.size == 0 { Open::Create } else { Open::Write };
        let file = place.fs.open(&path, how).at("open", &path)?;
        Ok(self.file.get_or_init(|| file))
    }

    /// Gives back what the segment holds open; the next use takes it again.
    pub(super) fn release(&mut self) {
        self.offsets.release();
        self.times.release();
        self.file = OnceLock::new();
    }

    /// True if an offset can stand in this segment's indexes.
    pub(super) fn can_hold(&self, last: Offset) -> bool {
        (0..=i64::from(i32::MAX)).contains(&(last.0 - self.base.0))
    }

    fn relative(&self, offset: Offset) -> u32 {
        u32::try_from(offset.0 - self.base.0).expect("checked by can_hold before the append")
    }

    /// Reserves space for `more` bytes if the log has proved active, or is to have its length ahead of its end.
    pub(super) fn reserve(
        &mut self,
        place: &Place,
        more: u64,
        config: &LogConfig,
    ) -> Result<(), StorageError> {
        let end = self.size + more;
        let lengthened = config.length_step > 0;
        if end <= self.reserved || (self.size < RESERVE_AFTER && !lengthened) {
            return Ok(());
        }
        let step = if lengthened { u64::from(config.length_step) } else { RESERVE_STEP };
        let from = self.reserved.max(self.size);
        let to = (end + step).min(u64::from(config.segment_bytes).max(end));
        let file = self.file(place)?;
        let reserved = if lengthened { file.set_len(to) } else { file.allocate(from, to - from) };
        // A disk too full for the step may still take the batch.
        if reserved.is_ok() {
            self.reserved = to;
            self.lengthened = lengthened;
        }
        Ok(())
    }

    /// Cuts what an append that failed has written, so that no recovery takes it for batches. A disk that hinders it is asked again before the
    /// next append, behind which it would stay.
    pub(super) fn cut_rest(&mut self, place: &Place) -> Result<(), StorageError> {
        self.overhangs = true;
        let file = self.file(place)?;
        let cut = file.set_len(self.size).and_then(|()| file.sync_data());
        cut.at("cut", &self.path(place))?;
        self.overhangs = false;
        Ok(())
    }

    /// As [`cut_rest`](Self::cut_rest), if there is any left of an append before.
    pub(super) fn cut_earlier_rest(&mut self, place: &Place) -> Result<(), StorageError> {
        if self.overhangs { self.cut_rest(place) } else { Ok(()) }
    }

    /// Notes a batch that was written at the end. The indexes catch up by themselves if the disk refuses them now.
    pub(super) fn note(&mut self, place: &Place, header: &Header, interval: u32) {
        self.dirty = true;
        self.indexes_synced = false;
        if let Err(error) = self.index(place, header, self.size, interval) {
            tracing::warn!(%error, "an index entry waits for the next");
        }
        self.size += header.size() as u64;
    }

    /// Enters a batch at `position` into the indexes when enough bytes have passed (`LogSegment.append`).
    pub(super) fn index(
        &mut self,
        place: &Place,
        header: &Header,
        position: u64,
        interval: u32,
    ) -> Result<(), StorageError> {
        self.first_timestamp.get_or_insert(header.max_timestamp);
        let mut max = self.max(place)?;
        if header.max_timestamp > max.0 {
            max = (header.max_timestamp, header.last_offset());
        }
        self.max_timestamp = Some(max);
        let due = self.bytes_since_entry > u64::from(interval);
        if due {
            self.bytes_since_entry = 0;
        }
        self.bytes_since_entry += header.size() as u64;
        if due {
            let relative = self.relative(header.last_offset());
            let position = u32::try_from(position).expect("a segment is at most 2 GiB");
            self.offsets.push(place, OffsetEntry { relative, position })?;
            self.index_time(place)?;
        }
        Ok(())
    }

    /// Adds the largest timestamp to the time index if it is not there.
    pub(super) fn index_time(&mut self, place: &Place) -> Result<(), StorageError> {
        let (timestamp, offset) = self.max(place)?;
        let last = self.times.last(place)?.map_or(Timestamp::NONE, |entry| entry.timestamp);
        if timestamp > last {
            let relative = self.relative(offset);
            self.times.push(place, TimeEntry { timestamp, relative })?;
        }
        Ok(())
    }

    /// Largest timestamp and the last offset of its batch; −1 and the base if there is none.
    pub(super) fn max(&self, place: &Place) -> Result<(Timestamp, Offset), StorageError> {
        if let Some(max) = self.max_timestamp {
            return Ok(max);
        }
        let last = self.times.last(place)?;
        Ok(last.map_or((Timestamp::NONE, self.base), |entry| {
            (entry.timestamp, self.base.plus(i64::from(entry.relative)))
        }))
    }

    /// The time that retention compares: the largest of the records, else that of the file.
    pub(super) fn newest(&self, place: &Place) -> Result<Timestamp, StorageError> {
        let (timestamp, _) = self.max(place)?;
        if timestamp.0 >= 0 {
            return Ok(timestamp);
        }
        let path = self.path(place);
        let meta = place.fs.meta(&path).at("look at", &path)?;
        Ok(meta.map_or(self.created, |meta| meta.modified))
    }

    /// The largest timestamp of the first batch, read if needed.
    pub(super) fn first_timestamp(&mut self, place: &Place) -> Result<Option<Timestamp>, StorageError> {
        if self.first_timestamp.is_none() && self.size > 0 {
            let mut scanner = self.scanner(place, 0)?;
            let header = scanner.header().map_err(|error| error.at(&self.path(place), 0))?;
            self.first_timestamp = header.map(|header| header.max_timestamp);
        }
        Ok(self.first_timestamp)
    }

    /// Where a scan for `offset` may begin.
    pub(super) fn position_before(&self, place: &Place, offset: Offset) -> Result<u64, StorageError> {
        let relative = offset.0 - self.base.0;
        let after = self.offsets.partition_point(place, |entry| i64::from(entry.relative) <= relative)?;
        Ok(match after.checked_sub(1) {
            // Behind the end stands nothing but damage of the index; the log is good without it.
            Some(index) => Some(u64::from(self.offsets.get(place, index)?.position))
                .filter(|position| *position < self.size)
                .unwrap_or(0),
            None => 0,
        })
    }

    /// The first batch that ends at or behind `offset`.
    pub(super) fn find(&self, place: &Place, offset: Offset) -> Result<Option<Found>, StorageError> {
        let start = self.position_before(place, offset)?;
        self.find_from(place, start, |header| header.last_offset() >= offset)
    }

    /// The first batch from a position on that `wanted` accepts.
    pub(super) fn find_from(
        &self,
        place: &Place,
        start: u64,
        wanted: impl Fn(&Header) -> bool,
    ) -> Result<Option<Found>, StorageError> {
        let mut scanner = self.scanner(place, start)?;
        loop {
            let position = scanner.position();
            match scanner.header() {
                Ok(Some(header)) if wanted(&header) => return Ok(Some(Found { position, header })),
                Ok(Some(header)) => scanner.skip(&header),
                Ok(None) => return Ok(None),
                Err(error) => return Err(error.at(&self.path(place), position)),
            }
        }
    }

    /// Looks for batches from a position on.
    fn scanner<'a>(&'a self, place: &'a Place, start: u64) -> Result<Scanner<'a>, StorageError> {
        Ok(Scanner::new(&**self.file(place)?, (place, self.base), start, self.size, LOOKUP_CHUNK))
    }

    /// The aborted transactions whose markers are in this segment, in the order of the markers.
    pub(super) fn aborted(&self, place: &Place) -> Result<Vec<AbortedTransaction>, StorageError> {
        if self.aborts.get() == Some(&false) {
            return Ok(Vec::new());
        }
        let mut aborted = txn_index::read(place, self.base)?;
        aborted.extend(&self.unwritten_aborts);
        // Fetches of read_committed ask often, and most segments never have a file.
        self.aborts.get_or_init(|| !aborted.is_empty());
        Ok(aborted)
    }

    /// Notes an aborted transaction whose marker is in this segment.
    pub(super) fn note_aborted(&mut self, place: &Place, aborted: AbortedTransaction) {
        self.aborts = OnceLock::new();
        self.unwritten_aborts.push(aborted);
        if let Err(error) = self.write_aborted(place) {
            tracing::warn!(%error, "an aborted transaction waits for the next");
        }
    }

    /// Brings the aborted transactions that are only in memory into the index.
    fn write_aborted(&mut self, place: &Place) -> Result<(), StorageError> {
        while let Some(aborted) = self.unwritten_aborts.first() {
            txn_index::append(place, self.base, aborted)?;
            self.unwritten_aborts.remove(0);
        }
        Ok(())
    }

    /// An offset that batches which begin before `position` do not reach, by the index; `None`: the segment's end
    /// (`OffsetIndex.fetchUpperBoundOffset`).
    pub(super) fn offset_behind(&self, place: &Place, position: u64) -> Result<Option<Offset>, StorageError> {
        let index = self.offsets.partition_point(place, |entry| u64::from(entry.position) < position)?;
        if index == self.offsets.len() {
            return Ok(None);
        }
        Ok(Some(self.base.plus(i64::from(self.offsets.get(place, index)?.relative))))
    }

    /// The offset behind the last batch, by scanning from the last index entry.
    pub(super) fn next_offset(&self, place: &Place) -> Result<Offset, ScanError> {
        let start = self.offsets.last(place)?.map_or(0, |entry| u64::from(entry.position)).min(self.size);
        let mut scanner = self.scanner(place, start)?;
        let mut next = self.base;
        while let Some(header) = scanner.header()? {
            next = header.next_offset();
            scanner.skip(&header);
        }
        Ok(next)
    }

    /// Ends the appending: the last time entry, files of exact length (`onBecomeInactiveSegment`).
    pub(super) fn seal(&mut self, place: &Place) -> Result<(), StorageError> {
        self.index_time(place)?;
        self.offsets.write_pending(place)?;
        self.times.write_pending(place)?;
        self.write_aborted(place)?;
        self.trim(place)
    }

    /// Gives back what was reserved or half written behind the last batch.
    pub(super) fn trim(&mut self, place: &Place) -> Result<(), StorageError> {
        if self.reserved > self.size || self.dirty || self.overhangs {
            self.file(place)?.set_len(self.size).at("trim", &self.path(place))?;
            self.reserved = 0;
            self.overhangs = false;
            // A later segment with a longer file before it would look like the rest of a damaged log.
            self.dirty |= std::mem::take(&mut self.lengthened);
        }
        Ok(())
    }

    /// Length of the file: what is in it, and what was made ready ahead of that.
    pub(super) fn len(&self) -> u64 {
        self.size.max(self.reserved)
    }

    /// Ends the segment at `position`, behind its last whole batch. What follows goes with it, unless it is `ahead`: nothing
    /// but zeros that the next appends are to fill, as before the crash.
    pub(super) fn end_at(&mut self, place: &Place, position: u64, ahead: bool) -> Result<(), StorageError> {
        if ahead {
            self.reserved = self.size;
            self.lengthened = true;
            self.size = position;
            return Ok(());
        }
        self.size = position;
        self.file(place)?.set_len(position).at("truncate", &self.path(place))
    }

    /// Empties the indexes before a scan builds them again.
    pub(super) fn forget_indexes(&mut self, place: &Place) -> Result<(), StorageError> {
        self.offsets = Entries::empty(self.base);
        self.times = Entries::empty(self.base);
        self.offsets.truncate(place, 0)?;
        self.times.truncate(place, 0)?;
        self.max_timestamp = Some((Timestamp::NONE, self.base));
        self.first_timestamp = None;
        self.bytes_since_entry = 0;
        Ok(())
    }

    /// Ends a scan. What it found is in the page cache perhaps, but on the medium only after the next flush.
    pub(super) fn finish_scan(&mut self, place: &Place) -> Result<(), StorageError> {
        self.index_time(place)?;
        self.offsets.write_pending(place)?;
        self.times.write_pending(place)?;
        self.dirty = true;
        self.indexes_synced = false;
        Ok(())
    }

    /// Cuts everything from the batch at `position` on.
    pub(super) fn truncate(
        &mut self,
        place: &Place,
        position: u64,
        offset: Offset,
    ) -> Result<(), StorageError> {
        let relative = offset.0 - self.base.0;
        let offsets = self.offsets.partition_point(place, |entry| i64::from(entry.relative) < relative)?;
        let times = self.times.partition_point(place, |entry| i64::from(entry.relative) < relative)?;
        self.offsets.truncate(place, offsets)?;
        self.times.truncate(place, times)?;
        self.unwritten_aborts.retain(|aborted| aborted.last < offset);
        self.file(place)?.set_len(position).at("truncate", &self.path(place))?;
        self.size = position;
        self.reserved = 0;
        self.bytes_since_entry = 0;
        self.dirty = true;
        self.indexes_synced = false;
        if position == 0 {
            self.first_timestamp = None;
        }
        self.max_timestamp = Some(self.largest_remaining(place)?);
        Ok(())
    }

    /// Makes a cut durable at once, with indexes that need no more entry. An older checkpoint may name the very offset
    /// of the cut; if the segment ends there for good, recovery will not look at it again.
    pub(super) fn sync_cut(&mut self, place: &Place) -> Result<(), StorageError> {
        // A full disk may refuse an index entry. The cut itself is durable all the same.
        let cut = self.file(place)?.sync_data().at("sync", &self.path(place));
        let indexed = self.sync_indexes(place);
        let named = place.fs.sync_dir(&place.dir).at("sync", &place.dir);
        cut.and(indexed).and(named)?;
        self.indexes_synced = true;
        Ok(())
    }

    fn sync_indexes(&mut self, place: &Place) -> Result<(), StorageError> {
        self.index_time(place)?;
        self.offsets.write_pending(place)?;
        self.times.write_pending(place)?;
        for file in [self.offsets.file(place)?, self.times.file(place)?] {
            file.sync_data().at("sync", &self.path(place))?;
        }
        Ok(())
    }

    /// The largest timestamp by the time index and the batches behind its last entry.
    fn largest_remaining(&self, place: &Place) -> Result<(Timestamp, Offset), StorageError> {
        let last = self.times.last(place)?;
        let mut max = last.map_or((Timestamp::NONE, self.base), |entry| {
            (entry.timestamp, self.base.plus(i64::from(entry.relative)))
        });
        let path = self.path(place);
        let start = self.position_before(place, max.1)?;
        let mut scanner = Scanner::new(&**self.file(place)?, &path, start, self.size, LOOKUP_CHUNK);
        loop {
            let position = scanner.position();
            let Some(header) = scanner.header().map_err(|error| error.at(&path, position))? else {
                return Ok(max);
            };
            if header.max_timestamp > max.0 {
                max = (header.max_timestamp, header.last_offset());
            }
            scanner.skip(&header);
        }
    }
}
