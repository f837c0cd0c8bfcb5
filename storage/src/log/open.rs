//! Opening a log: what a stop or a crash left is put in order, and what was not flushed is checked batch by batch.
//!
//! Must never lose a whole batch that stands before the first bad byte, and never cut one of a format it cannot read.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;
use std::sync::Arc;

use super::entries::{Entries, Entry};
use super::epochs::Epochs;
use super::flush::Unsynced;
use super::place::{self, CLEANED_SUFFIX, DELETED_SUFFIX, FileKind, Place, SWAP_SUFFIX, TEMPORARY_SUFFIX};
use super::producers::Producers;
use super::scan::{SWEEP_CHUNK, Scanner, is_legacy};
use super::segment::Segment;
use super::tail::Tail;
use super::verifying::Verifying;
use super::{Log, LogConfig};
use crate::StorageError;
use crate::error::At;
use crate::fs::Fs;
use crate::ids::{LeaderEpoch, Offset, Timestamp};

/// What is known of the log before it is opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct OpenHow {
    /// The directory was stopped cleanly, so nothing is scanned.
    pub clean: bool,
    /// Everything below was flushed (`recovery-point-offset-checkpoint`, else 0).
    pub recovery_point: Offset,
    /// Records below were deleted (`log-start-offset-checkpoint`, else 0).
    pub log_start: Offset,
}

/// What opening did.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct OpenReport {
    /// The directory was made.
    pub created: bool,
    /// Segments whose batches were all checked, and whose indexes were built again.
    pub scanned_segments: usize,
    /// Bytes that were cut from the end because they were no whole batch.
    pub cut_bytes: u64,
    /// Segments removed because they followed a cut.
    pub removed_segments: usize,
}

/// The files of a log by offset and kind, with their lengths.
pub(super) type Files = BTreeMap<(Offset, FileKind), u64>;

impl Log {
    /// Opens the log in `dir`, created if it is missing; recovers it unless it was stopped cleanly.
    pub fn open(
        fs: Arc<dyn Fs>,
        dir: &Path,
        config: impl Into<Arc<LogConfig>>,
        how: OpenHow,
        now: Timestamp,
    ) -> Result<(Self, OpenReport), StorageError> {
        let (place, config) = (Place::new(fs, dir), config.into());
        let mut report = OpenReport::default();
        if place.fs.meta(dir).at("look at", dir)?.is_none() {
            place.fs.create_dir_all(dir).at("create", dir)?;
            report.created = true;
        }
        let files = tidy(&place)?;
        let (mut segments, suspects) = segments(&place, &files, now)?;
        if segments.is_empty() {
            segments.push(Segment::create(&place, how.log_start, &config, now)?);
        }
        // Most logs have one segment, and a vector that was pushed to has room for four.
        segments.shrink_to_fit();
        // Batches carry their epochs, so a damaged file is built again like one that is missing or empty.
        let epochs = match Epochs::load(&place) {
            Err(StorageError::Corrupt { .. }) => Epochs::default(),
            loaded => loaded?,
        };
        let snapshots = files.keys().filter(|(_, kind)| *kind == FileKind::Snapshot).map(|(end, _)| *end);
        let mut log = Self {
            config,
            segments,
            log_start: how.log_start,
            log_end: how.log_start,
            recovery_point: how.recovery_point,
            epochs,
            producers: Producers::none(how.log_start),
            verifying: Verifying::default(),
            snapshots: snapshots.collect(),
            tail: Tail::default(),
            // A killed run may have made the directory without a flush.
            unsynced: Unsynced::new(report.created || !how.clean),
            waiting_since: None,
            unplanned_since: None,
            doomed: VecDeque::new(),
            poisoned: Arc::default(),
            place,
        };
        let epochs_lost = log.epochs.latest().is_none();
        log.recover(how, &suspects, epochs_lost, now, &mut report)?;
        // One that was never written to was closed without a sync of its name.
        log.unsynced.new_dir |= log.log_end == Offset(0);
        log.segments.iter_mut().for_each(Segment::release);
        Ok((log, report))
    }

    fn recover(
        &mut self,
        how: OpenHow,
        suspects: &BTreeSet<Offset>,
        epochs_lost: bool,
        now: Timestamp,
        report: &mut OpenReport,
    ) -> Result<(), StorageError> {
        let first_scanned = self.scan_unflushed(how, suspects, report)?;
        self.log_start = how.log_start.max(self.segments[0].base);
        if self.log_end < self.log_start {
            // Deleted records outlived the log's end: a loss of power took the rest.
            let start = self.log_start;
            return self.truncate_fully_and_start_at(start, now);
        }
        self.waiting_since = Some(now);
        self.recovery_point = if how.clean && first_scanned.is_none() {
            self.log_end
        } else {
            how.recovery_point.min(self.log_end)
        };
        let mut changed = first_scanned.is_some() && self.epochs.latest().is_some();
        if epochs_lost && self.log_end > self.segments[0].base {
            self.rebuild_epochs()?;
            changed = true;
        }
        changed |= self.epochs.truncate_from_end(self.log_end);
        changed |= self.epochs.truncate_from_start(self.log_start);
        if changed {
            self.save_epochs()?;
        }
        let trusted = first_scanned.unwrap_or(self.log_end);
        self.rebuild_producers(trusted, first_scanned, how.clean, now)
    }

    /// Checks the batches of all segments that may hold unflushed ones; returns the base of the first such.
    fn scan_unflushed(
        &mut self,
        how: OpenHow,
        suspects: &BTreeSet<Offset>,
        report: &mut OpenReport,
    ) -> Result<Option<Offset>, StorageError> {
        let from = if how.clean { usize::MAX } else { self.segment_index(how.recovery_point) };
        let mut first_scanned = None;
        let mut end_before: Option<Offset> = None;
        for index in 0..self.segments.len() {
            let base = self.segments[index].base;
            if end_before.is_some_and(|end| self.is_left_over(index, end)) {
                self.remove_segments_from(index, report)?;
                break;
            }
            end_before = None;
            if index < from && !suspects.contains(&base) {
                continue;
            }
            let size_before = self.segments[index].size;
            if first_scanned.is_none() && !how.clean {
                // After a loss of power the file may tell of batches that were written or cut and are not, so the
                // batches that are checked tell their epochs themselves.
                self.epochs.truncate_from_end(base);
            }
            first_scanned.get_or_insert(base);
            let end = self.scan_segment(index)?;
            report.scanned_segments += 1;
            end_before = Some(end);
            if end <= how.recovery_point {
                // A roll makes this a segment that the next recovery trusts, before any checkpoint is written.
                self.segments[index].sync_cut(&self.place)?;
            }
            let cut = size_before - self.segments[index].len();
            if cut > 0 {
                report.cut_bytes += cut;
                self.remove_segments_from(index + 1, report)?;
                break;
            }
        }
        let last = self.segments.len() - 1;
        if report.cut_bytes > 0 || report.removed_segments > 0 {
            self.segments[last].sync_cut(&self.place)?;
        }
        self.log_end = match end_before {
            Some(end) => end,
            None => match self.active().next_offset(&self.place) {
                Ok(end) => end,
                Err(super::scan::ScanError::Storage(error)) => return Err(error),
                // A clean stop promised a whole segment; the promise is broken, so it is checked.
                Err(_) => {
                    let size_before = self.active().size;
                    first_scanned.get_or_insert(self.active().base);
                    let end = self.scan_segment(last)?;
                    report.scanned_segments += 1;
                    report.cut_bytes += size_before - self.active().len();
                    end
                }
            },
        };
        Ok(first_scanned)
    }

    /// True if a segment cannot follow one that ends at `end`. A truncation that renamed it may have been lost with
    /// the power while what was written after it was not: then it overlaps, or its epochs go back. Topics may have
    /// gaps from compaction, and histories that we do not know, so only an overlap counts there.
    fn is_left_over(&self, index: usize, end: Offset) -> bool {
        let segment = &self.segments[index];
        if segment.base < end || !self.config.contiguous {
            return segment.base < end;
        }
        let first = segment.find_from(&self.place, 0, |_| true).ok().flatten();
        let older =
            |epoch: LeaderEpoch| epoch.0 >= 0 && self.epochs.latest().is_some_and(|latest| epoch < latest);
        segment.base > end || first.is_some_and(|first| older(first.header.leader_epoch))
    }

    /// Checks each batch of a segment, builds its indexes again and cuts it at the first bad byte; returns its end.
    fn scan_segment(&mut self, index: usize) -> Result<Offset, StorageError> {
        let interval = self.config.index_interval_bytes;
        let last = self.segments.len() - 1;
        let place = &self.place;
        let segment = &mut self.segments[index];
        if segment.size == 0 && segment.offsets.len() == 0 && segment.times.len() == 0 {
            return Ok(segment.base);
        }
        segment.forget_indexes(place)?;
        let path = segment.path(place);
        let file = segment.file(place)?.clone();
        let mut scanner = Scanner::new(&*file, &path, 0, segment.size, SWEEP_CHUNK);
        let mut end = segment.base;
        loop {
            let position = scanner.position();
            let checked = scanner.header().and_then(|header| {
                let Some(header) = header else { return Ok(None) };
                scanner.batch(&header)?.check_crc()?;
                Ok(Some(header))
            });
            let follows = |header: &crate::batch::Header| {
                header.base_offset >= end
                    && header.last_offset_delta >= 0
                    && segment.can_hold(header.last_offset())
            };
            match checked {
                Ok(None) => break,
                Ok(Some(header)) if follows(&header) => {
                    segment.index(place, &header, position, interval)?;
                    if self.epochs.latest().is_none_or(|latest| header.leader_epoch > latest) {
                        self.epochs.insert(header.leader_epoch, header.base_offset);
                    }
                    end = header.next_offset();
                    scanner.skip(&header);
                }
                Err(super::scan::ScanError::Storage(error)) => return Err(error),
                Err(error) if is_legacy(&error, &*file, &path, position, segment.size)? => {
                    let reason = "message formats 0 and 1 are not supported; let Kafka write the topic anew";
                    return Err(StorageError::corrupt(&path, position, reason));
                }
                Ok(Some(_)) | Err(_) => {
                    let unused = scanner.is_unused()?;
                    if !unused {
                        tracing::warn!(path = %path.display(), position, "cutting the log at a damaged batch");
                    }
                    let ahead = unused && index == last && self.config.length_step > 0;
                    segment.end_at(place, position, ahead)?;
                    break;
                }
            }
        }
        segment.finish_scan(place)?;
        Ok(end)
    }

    fn remove_segments_from(&mut self, index: usize, report: &mut OpenReport) -> Result<(), StorageError> {
        for segment in self.segments.drain(index..) {
            report.removed_segments += 1;
            for kind in FileKind::OF_SEGMENT {
                remove_if_present(&self.place, &self.place.path(segment.base, kind))?;
            }
        }
        Ok(())
    }
}

/// Removes what is left of unfinished work and gives the files that count
/// (`LogLoader.removeTempFilesAndCollectSwapFiles`).
fn tidy(place: &Place) -> Result<Files, StorageError> {
    let list = || place.fs.list(&place.dir).at("list", &place.dir);
    let mut cleaned = Vec::new();
    let mut swaps = Vec::new();
    for entry in list()?.into_iter().filter(|entry| !entry.is_dir) {
        let path = place.dir.join(&entry.name);
        let parse = |suffix| entry.name.strip_suffix(suffix).and_then(FileKind::parse);
        if entry.name.ends_with(DELETED_SUFFIX) || entry.name.ends_with(TEMPORARY_SUFFIX) {
            place.fs.remove_file(&path).at("remove", &path)?;
        } else if let Some((base, _)) = parse(CLEANED_SUFFIX) {
            cleaned.push((base, path));
        } else if let Some((base, kind)) = parse(SWAP_SUFFIX) {
            swaps.push((base, kind, path));
        }
    }
    // A swap file at or behind a cleaned one belongs to a split that was not finished.
    let unfinished = cleaned.iter().map(|(base, _)| *base).min();
    let (valid, invalid): (Vec<_>, Vec<_>) =
        swaps.into_iter().partition(|(base, _, _)| unfinished.is_none_or(|cleaned| *base < cleaned));
    let invalid = invalid.into_iter().map(|(_, _, path)| path);
    for path in cleaned.into_iter().map(|(_, path)| path).chain(invalid) {
        place.fs.remove_file(&path).at("remove", &path)?;
    }
    finish_swaps(place, &valid)?;
    let mut files = Files::new();
    for entry in list()?.into_iter().filter(|entry| !entry.is_dir) {
        files.extend(FileKind::parse(&entry.name).map(|key| (key, entry.len)));
    }
    remove_strays(place, &mut files)?;
    Ok(files)
}

/// Puts finished compaction output in the place of the segments that it covers.
fn finish_swaps(place: &Place, swaps: &[(Offset, FileKind, std::path::PathBuf)]) -> Result<(), StorageError> {
    for (base, _, path) in swaps.iter().filter(|(_, kind, _)| *kind == FileKind::Log) {
        let file = place.fs.open(path, crate::fs::Open::Read).at("open", path)?;
        let len = file.len().at("measure", path)?;
        let mut scanner = Scanner::new(&*file, path, 0, len, SWEEP_CHUNK);
        let mut end = base.plus(1);
        while let Some(header) = scanner.header().map_err(|error| error.at(path, 0))? {
            end = header.next_offset();
            scanner.skip(&header);
        }
        for entry in place.fs.list(&place.dir).at("list", &place.dir)? {
            let covered = FileKind::parse(&entry.name)
                .is_some_and(|(other, kind)| kind != FileKind::Snapshot && (*base..end).contains(&other));
            if covered {
                let path = place.dir.join(&entry.name);
                place.fs.remove_file(&path).at("remove", &path)?;
            }
        }
    }
    if swaps.is_empty() {
        return Ok(());
    }
    // Names may reach the disk in any order: what was replaced must be gone before its replacement takes its name.
    place.fs.sync_dir(&place.dir).at("sync", &place.dir)?;
    for (base, kind, path) in swaps {
        tracing::info!(path = %path.display(), "finishing a compaction that was cut short");
        place.fs.rename(path, &place.path(*base, *kind)).at("rename", path)?;
    }
    place.fs.sync_dir(&place.dir).at("sync", &place.dir)
}

/// Removes indexes without a log, and snapshots that neither begin a segment nor are the last.
fn remove_strays(place: &Place, files: &mut Files) -> Result<(), StorageError> {
    let bases: BTreeSet<Offset> =
        files.keys().filter(|(_, kind)| *kind == FileKind::Log).map(|(base, _)| *base).collect();
    let latest = files.keys().filter(|(_, kind)| *kind == FileKind::Snapshot).map(|(end, _)| *end).max();
    let stray = |(offset, kind): &(Offset, FileKind)| {
        !bases.contains(offset) && (*kind != FileKind::Snapshot || Some(*offset) != latest)
    };
    let strays: Vec<_> = files.keys().filter(|key| stray(key)).copied().collect();
    for key in strays {
        files.remove(&key);
        remove_if_present(place, &place.path(key.0, key.1))?;
    }
    Ok(())
}

/// The segments that the files form, and the bases of those whose indexes cannot be used.
fn segments(
    place: &Place,
    files: &Files,
    now: Timestamp,
) -> Result<(Vec<Segment>, BTreeSet<Offset>), StorageError> {
    let mut segments = Vec::new();
    let mut suspects = BTreeSet::new();
    for (&(base, _), &size) in files.iter().filter(|((_, kind), _)| *kind == FileKind::Log) {
        let (offsets, offsets_good) = entries(place, files, base, size)?;
        let (times, times_good) = entries(place, files, base, size)?;
        if !offsets_good || !times_good {
            suspects.insert(base);
        }
        segments.push(Segment::over(base, size, offsets, times, now));
    }
    Ok((segments, suspects))
}

/// One index of a segment, and whether its file can be one.
fn entries<E: Entry>(
    place: &Place,
    files: &Files,
    base: Offset,
    size: u64,
) -> Result<(Entries<E>, bool), StorageError> {
    let len = files.get(&(base, E::KIND)).copied();
    match len {
        Some(len) if size > 0 => Ok((Entries::on_disk(base, len), len % E::LEN as u64 == 0)),
        Some(1..) => {
            let mut entries = Entries::empty(base);
            entries.truncate(place, 0)?;
            Ok((entries, true))
        }
        _ => Ok((Entries::empty(base), size == 0)),
    }
}

pub(super) fn remove_if_present(place: &Place, path: &Path) -> Result<(), StorageError> {
    match place.fs.remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error).at("remove", path),
        _ => Ok(()),
    }
}

impl Log {
    /// Removes a file of the log by name.
    pub(super) fn remove_if_present(&self, name: &str) -> Result<(), StorageError> {
        remove_if_present(&self.place, &self.place.dir.join(name))
    }

    /// Gives a file the `.deleted` suffix and its time to go; a missing one is left missing.
    pub(super) fn doom(&mut self, path: &Path, due: Timestamp) -> Result<(), StorageError> {
        let doomed = place::with_suffix(path, DELETED_SUFFIX);
        match self.place.fs.rename(path, &doomed) {
            Ok(()) => {}
            Err(gone) if gone.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error).at("rename", path),
        }
        let name = doomed.file_name().and_then(|name| name.to_str()).expect("the log's names are ASCII");
        self.doomed.push_back((due, name.to_owned()));
        self.unsynced.touch();
        Ok(())
    }
}
