//! The first pass of a cleaning: which offset each key of the dirty part has last (`Cleaner.buildOffsetMap`).
//!
//! Must never enter a record of an aborted transaction, which would remove a committed one before it.

use super::group::{Source, groups};
use super::transactions::Transactions;
use super::{BATCH_UNPACKED_MAX, CleanError, Cleaning, Means, Meter};
use crate::batch::{BatchView, Header};
use crate::error::At;
use crate::fs::Open;
use crate::ids::Offset;
use crate::log::append::marker_in;
use crate::log::place::FileKind;
use crate::log::scan::{ScanError, Scanner};

impl Cleaning {
    /// Fills the map with the keys of the dirty part, as many as it can hold; everything below the offset that is
    /// given back is clean once all groups are done.
    pub fn index(&mut self, means: &mut Means<'_>) -> Result<Offset, CleanError> {
        let first = self.sources.partition_point(|source| source.end <= self.first_dirty);
        let dirty = self.sources[first..].to_vec();
        // The markers of the others are not met on this way.
        let aborted = self.aborted.iter().filter(|aborted| aborted.last >= self.first_dirty);
        let mut transactions = Transactions::new(aborted.copied());
        self.transactions = Transactions::new(self.aborted.drain(..));
        let mut position = self.dirty_position;
        for source in &dirty {
            let full = self.index_segment(source, position, &mut transactions, means)?;
            if full {
                break;
            }
            // Offsets that no batch has any more count as met.
            means.map.reach(source.end.plus(-1));
            position = 0;
        }
        self.stats.map_utilization = means.map.utilization();
        let end = means.map.latest().plus(1);
        let count = self.sources.partition_point(|source| source.base < end);
        self.groups = groups(&self.sources[..count], &self.config);
        Ok(end.max(self.first_dirty))
    }

    /// True if the map became full before the segment's end.
    fn index_segment(
        &mut self,
        source: &Source,
        position: u64,
        transactions: &mut Transactions,
        means: &mut Means<'_>,
    ) -> Result<bool, CleanError> {
        let path = self.place.path(source.base, FileKind::Log);
        let file = self.place.fs.open(&path, Open::Read).at("open", &path)?;
        let mut scanner = Scanner::new(&*file, &path, position, source.size, means.buffer);
        let mut meter = Meter::new(means);
        let mut scratch = Vec::new();
        meter.settle()?;
        loop {
            let at = scanner.position();
            let header = scanner.header().map_err(|error| error.at(&path, at))?;
            let Some(header) = header else { return Ok(false) };
            let batch = scanner.batch(&header).map_err(|error| error.at(&path, at))?;
            let whole = self
                .index_batch(&header, &batch, transactions, means, &mut scratch)
                .map_err(|error| error.at(&path, at))?;
            if !whole {
                return Ok(true);
            }
            if header.last_offset() >= self.first_dirty {
                means.map.reach(header.last_offset());
            }
            self.stats.indexed_bytes += header.size() as u64;
            meter.pass(header.size())?;
            scanner.skip(&header);
        }
    }

    /// False if the map became full.
    fn index_batch(
        &mut self,
        header: &Header,
        batch: &BatchView<'_>,
        transactions: &mut Transactions,
        means: &mut Means<'_>,
        scratch: &mut Vec<u8>,
    ) -> Result<bool, ScanError> {
        batch.check_crc()?;
        if header.is_control() {
            transactions.control(header, marker_in(batch)?.map(|(marker, _)| marker));
            self.stats.indexed_records += 1;
            return Ok(true);
        }
        if transactions.data(header) {
            self.stats.indexed_records += u64::try_from(header.count).unwrap_or(0);
            return Ok(true);
        }
        for record in batch.records(scratch, BATCH_UNPACKED_MAX)? {
            let record = record?;
            if let Some(key) = record.key.filter(|_| record.offset >= self.first_dirty)
                && !means.map.put(key, record.offset)
            {
                return Ok(false);
            }
            self.stats.indexed_records += 1;
        }
        Ok(true)
    }
}
