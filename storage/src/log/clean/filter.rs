//! The second pass of a cleaning: what stays of each batch (`Cleaner.cleanInto`, `MemoryRecords.filterTo`).
//!
//! Must never drop the last batch of a producer, which holds its sequence, nor the last batch before the dirty rest,
//! which holds the offset where it begins.

use super::group::Source;
use super::transactions::Control;
use super::writer::Writer;
use super::{BATCH_UNPACKED_MAX, CleanError, Cleaning, Means, Meter, OffsetMap};
use crate::batch::{BatchView, Header, RecordView, emptied, rewritten};
use crate::error::At;
use crate::fs::Open;
use crate::ids::{Offset, Timestamp};
use crate::log::append::marker_in;
use crate::log::place::FileKind;
use crate::log::scan::{ScanError, Scanner};
use crate::log::segment::Segment;

/// Memory that one batch after the other is worked on in.
#[derive(Debug, Default)]
struct Scratch {
    unpacked: Vec<u8>,
    plain: Vec<u8>,
    keep: Vec<bool>,
}

/// What becomes of a batch as a whole, before its records are looked at.
#[derive(Clone, Copy, Debug)]
struct Fate {
    /// No record stays.
    discard_records: bool,
    /// It stays even without records.
    keep_empty: bool,
    /// It is the marker of a transaction of which nothing else is left, so its time begins to run.
    spent_marker: bool,
}

impl Cleaning {
    /// Cleans neighbouring segments into one; tells whether that has an index of aborted transactions.
    pub(super) fn clean_group(
        &mut self,
        group: &[Source],
        means: &mut Means<'_>,
    ) -> Result<(Segment, bool), CleanError> {
        let base = group[0].base;
        self.remove_leftovers(base)?;
        let mut writer = Writer::create(&self.place, base, &self.config, means.buffer, self.now)?;
        let mut scratch = Scratch::default();
        for source in group {
            self.clean_segment(source, &mut writer, means, &mut scratch)?;
        }
        // Where no record has a time, retention goes by that of the file.
        let last = self.place.path(group[group.len() - 1].base, FileKind::Log);
        let modified = self.place.fs.meta(&last).at("look at", &last)?.map_or(self.now, |meta| meta.modified);
        Ok(writer.finish(modified)?)
    }

    fn clean_segment(
        &mut self,
        source: &Source,
        writer: &mut Writer,
        means: &mut Means<'_>,
        scratch: &mut Scratch,
    ) -> Result<(), CleanError> {
        let path = self.place.path(source.base, FileKind::Log);
        let file = self.place.fs.open(&path, Open::Read).at("open", &path)?;
        let mut scanner = Scanner::new(&*file, &path, 0, source.size, means.buffer);
        let mut meter = Meter::new(means);
        meter.settle()?;
        loop {
            let at = scanner.position();
            let header = scanner.header().map_err(|error| error.at(&path, at))?;
            let Some(header) = header else { return meter.settle() };
            let batch = scanner.batch(&header).map_err(|error| error.at(&path, at))?;
            let written = self
                .clean_batch(&header, &batch, writer, &means.map, scratch)
                .map_err(|error| error.at(&path, at))?;
            self.stats.read_bytes += header.size() as u64;
            self.stats.written_bytes += written as u64;
            meter.pass(header.size() + written)?;
            scanner.skip(&header);
        }
    }

    /// Writes what stays of a batch; returns how many bytes that are.
    fn clean_batch(
        &mut self,
        header: &Header,
        batch: &BatchView<'_>,
        writer: &mut Writer,
        map: &OffsetMap,
        scratch: &mut Scratch,
    ) -> Result<usize, ScanError> {
        batch.check_crc()?;
        let fate = self.fate(header, batch, writer)?;
        self.stats.read_records += u64::try_from(header.count).unwrap_or(0);
        if fate.discard_records {
            return if fate.keep_empty { writer.append(|out| Ok(emptied(header, out))) } else { Ok(0) };
        }
        let Scratch { unpacked, plain, keep } = scratch;
        let records = batch.records(unpacked, BATCH_UNPACKED_MAX)?;
        let mut tombstones = false;
        keep.clear();
        for record in records.clone() {
            let record = record?;
            let kept = header.is_control() || self.keeps(header, &record, map);
            tombstones |= kept && record.value.is_none();
            keep.push(kept);
        }
        let kept = keep.iter().filter(|kept| **kept).count();
        self.stats.written_records += kept as u64;
        if kept == 0 {
            return if fate.keep_empty { writer.append(|out| Ok(emptied(header, out))) } else { Ok(0) };
        }
        let sets_horizon = (tombstones || fate.spent_marker) && header.delete_horizon().is_none();
        if kept == keep.len() && !sets_horizon {
            return writer.append(|out| {
                out.extend_from_slice(batch.bytes());
                Ok(*header)
            });
        }
        let horizon = if sets_horizon {
            Some(Timestamp(self.now.0.saturating_add(self.config.delete_retention_ms)))
        } else {
            header.delete_horizon()
        };
        // The first pass read every record without an error.
        let staying =
            records.zip(keep.iter()).filter(|(_, kept)| **kept).filter_map(|(record, _)| record.ok());
        writer.append(|out| Ok(rewritten(header, horizon, staying, plain, out)?))
    }

    fn fate(
        &mut self,
        header: &Header,
        batch: &BatchView<'_>,
        writer: &mut Writer,
    ) -> Result<Fate, ScanError> {
        let last_of_producer = header.has_producer()
            && self.producers.get(&header.producer_id).is_some_and(|producer| match producer.last {
                Some(last) => header.last_offset() == last,
                None => header.is_control() && header.producer_epoch == producer.epoch,
            });
        let keep_empty = last_of_producer || header.next_offset() == self.upper;
        if !header.is_control() {
            let discard_records = self.transactions.data(header);
            return Ok(Fate { discard_records, keep_empty, spent_marker: false });
        }
        let marker = marker_in(batch)?.map(|(marker, _)| marker);
        let spent_marker = match self.transactions.control(header, marker) {
            Control::Spent => true,
            Control::Needed => false,
            Control::Aborts(aborted) => {
                writer.note_aborted(aborted);
                false
            }
        };
        let past = header.delete_horizon().is_some_and(|horizon| horizon <= self.now);
        Ok(Fate { discard_records: spent_marker && past, keep_empty, spent_marker })
    }

    /// True if the record stays (`Cleaner.shouldRetainRecord`).
    fn keeps(&mut self, header: &Header, record: &RecordView<'_>, map: &OffsetMap) -> bool {
        if record.offset > map.latest() {
            return true;
        }
        let Some(key) = record.key else {
            self.stats.keyless_records += 1;
            return false;
        };
        let is_last = map.get(key).is_none_or(|last| record.offset >= last);
        let waits = header.delete_horizon().is_none_or(|horizon| self.now < horizon);
        is_last && (record.value.is_some() || waits)
    }

    /// Removes what an earlier cleaning could not finish.
    pub(super) fn remove_leftovers(&self, base: Offset) -> Result<(), crate::StorageError> {
        let place = self.place.with_suffix(crate::log::place::CLEANED_SUFFIX);
        for kind in FileKind::OF_SEGMENT {
            crate::log::open::remove_if_present(&place, &place.path(base, kind))?;
        }
        Ok(())
    }
}
