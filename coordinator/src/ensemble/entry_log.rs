//! The Raft log on disk: segments of Kafka record batches, one per entry, beside the vote file.
//!
//! Blocking, and owned by the writer thread alone. Must never report an entry as written before it is synced.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use milena_storage::StorageError;
use milena_storage::fs::{File, Fs, Open};
use milena_storage::ids::Timestamp;

use super::entry_bytes::{Marks, encode};
use super::raft_types::Entry;
use super::scan::{Scan, ScannedSegment};
use super::vote_file::Promises;

/// A segment takes no more entries when it is larger. A purge removes whole segments, so they are a part of what is
/// applied between two snapshots.
const SEGMENT_BYTES: u64 = 1 << 20;

/// The log and the vote file of one node.
pub(super) struct EntryLog {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    /// Oldest first, never empty.
    segments: Vec<Segment>,
    now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// One past the last index that is synced.
    durable: u64,
}

struct Segment {
    base: u64,
    path: PathBuf,
    file: Arc<dyn File>,
    /// Where each entry begins.
    positions: Vec<u64>,
    len: u64,
}

impl EntryLog {
    /// Opens what `scan` has read; cuts off a torn end.
    pub(super) fn open(
        fs: Arc<dyn Fs>,
        dir: &Path,
        scan: &Scan,
        promises: &Promises,
        now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    ) -> Result<Self, StorageError> {
        let log_dir = log_dir(dir);
        fs.create_dir_all(&log_dir).map_err(|source| StorageError::io("create", &log_dir, source))?;
        fs.sync_dir(dir).map_err(|source| StorageError::io("sync", dir, source))?;
        let start = promises.purged.map_or(0, |purged| purged.index + 1);
        let durable = scan.end().unwrap_or(start).max(start);
        let mut log = Self { fs, dir: dir.to_owned(), segments: Vec::new(), now, durable };
        for segment in &scan.segments {
            log.segments.push(Segment::open(&*log.fs, segment)?);
        }
        if let Some((segment, at)) = scan.torn {
            let path = &log.segments[segment].path;
            tracing::warn!(path = %path.display(), at, "cutting a torn end off the ensemble's log");
            log.cut(segment + 1)?;
            let torn = &log.segments[segment];
            torn.file.set_len(torn.len).map_err(|source| StorageError::io("cut", &torn.path, source))?;
        }
        if scan.end().is_none_or(|end| end < start) {
            log.begin_at(start)?;
        }
        if durable > start {
            // What a crash left unsynced may only be counted on after a sync.
            log.sync()?;
        }
        Ok(log)
    }

    /// Writes entries that follow the last one, and syncs once.
    pub(super) fn append(&mut self, entries: &[Entry], committed: u64) -> Result<(), StorageError> {
        let marks = Marks { committed, durable: self.durable };
        let now = (self.now)();
        self.roll_if_full()?;
        let segment = self.segments.last_mut().expect("there is always a segment");
        let mut bytes = Vec::new();
        for entry in entries {
            let next = segment.end();
            if entry.log_id.index != next {
                let reason =
                    format!("entry {} is appended where entry {next} is expected", entry.log_id.index);
                return Err(StorageError::corrupt(&segment.path, segment.len, reason));
            }
            segment.positions.push(segment.len + bytes.len() as u64);
            bytes.extend_from_slice(&encode(entry, marks, now));
        }
        let at = segment.len;
        segment.len += bytes.len() as u64;
        segment
            .file
            .write_at(&bytes, at)
            .map_err(|source| StorageError::io("write", &segment.path, source))?;
        segment.sync()?;
        self.durable = segment.end();
        Ok(())
    }

    /// Removes the entries from `index` on: another leader has others there.
    pub(super) fn truncate_from(&mut self, index: u64) -> Result<(), StorageError> {
        let keep = self.segments.iter().rposition(|segment| segment.base <= index).unwrap_or(0);
        self.cut(keep + 1)?;
        let segment = &mut self.segments[keep];
        let entry = usize::try_from(index.saturating_sub(segment.base)).unwrap_or(usize::MAX);
        if let Some(at) = segment.positions.get(entry).copied() {
            segment.positions.truncate(entry);
            segment.len = at;
            segment.file.set_len(at).map_err(|source| StorageError::io("cut", &segment.path, source))?;
            segment.sync()?;
        }
        self.durable = self.durable.min(index);
        Ok(())
    }

    /// Drops the entries up to the purged one, which the snapshot holds. The promise is kept first: a log that begins
    /// later than it says would look damaged.
    pub(super) fn purge(&mut self, promises: &Promises) -> Result<(), StorageError> {
        self.promise(promises)?;
        let Some(purged) = promises.purged else { return Ok(()) };
        let start = purged.index + 1;
        if self.segments.last().expect("there is always a segment").end() < start {
            self.durable = start;
            return self.begin_at(start);
        }
        let gone = self.segments.partition_point(|segment| segment.base <= start).saturating_sub(1);
        for segment in self.segments.drain(..gone) {
            remove(&*self.fs, &segment.path)?;
        }
        Ok(())
    }

    /// Keeps a vote; it is on the medium when this returns.
    pub(super) fn promise(&mut self, promises: &Promises) -> Result<(), StorageError> {
        promises.save(&*self.fs, &self.dir)
    }

    /// Ends cleanly, leaving the committed index for the next start.
    pub(super) fn close(mut self, promises: &Promises) -> Result<(), StorageError> {
        self.promise(promises)
    }

    fn roll_if_full(&mut self) -> Result<(), StorageError> {
        let last = self.segments.last().expect("there is always a segment");
        if last.len < SEGMENT_BYTES {
            return Ok(());
        }
        let new = Segment::create(&*self.fs, &log_dir(&self.dir), last.end())?;
        self.segments.push(new);
        self.sync_names()
    }

    /// Begins anew with one empty segment. The new one is there before the old ones go, so that at every moment the
    /// names say where the log begins or that all of it is in the snapshot.
    fn begin_at(&mut self, start: u64) -> Result<(), StorageError> {
        let new = Segment::create(&*self.fs, &log_dir(&self.dir), start)?;
        self.sync_names()?;
        let old = std::mem::replace(&mut self.segments, vec![new]);
        for segment in old.iter().filter(|segment| segment.base != start) {
            remove(&*self.fs, &segment.path)?;
        }
        if old.is_empty() { Ok(()) } else { self.sync_names() }
    }

    /// Removes the segments from this one on, the last first, so that what is left is always a prefix.
    fn cut(&mut self, from: usize) -> Result<(), StorageError> {
        while self.segments.len() > from {
            let last = self.segments.pop().expect("it is longer than `from`");
            remove(&*self.fs, &last.path)?;
            self.sync_names()?;
        }
        Ok(())
    }

    fn sync(&self) -> Result<(), StorageError> {
        self.segments.iter().try_for_each(Segment::sync)?;
        self.sync_names()
    }

    fn sync_names(&self) -> Result<(), StorageError> {
        let dir = log_dir(&self.dir);
        self.fs.sync_dir(&dir).map_err(|source| StorageError::io("sync", &dir, source))
    }
}

impl Segment {
    fn create(fs: &dyn Fs, dir: &Path, base: u64) -> Result<Self, StorageError> {
        let path = dir.join(format!("{base:020}.log"));
        let file =
            fs.open(&path, Open::Truncate).map_err(|source| StorageError::io("create", &path, source))?;
        Ok(Self { base, path, file, positions: Vec::new(), len: 0 })
    }

    fn open(fs: &dyn Fs, scanned: &ScannedSegment) -> Result<Self, StorageError> {
        let ScannedSegment { path, base, positions, len } = scanned;
        let file = fs.open(path, Open::Write).map_err(|source| StorageError::io("open", path, source))?;
        Ok(Self { base: *base, path: path.clone(), file, positions: positions.clone(), len: *len })
    }

    /// One past its last index.
    fn end(&self) -> u64 {
        self.base + self.positions.len() as u64
    }

    fn sync(&self) -> Result<(), StorageError> {
        self.file.sync_data().map_err(|source| StorageError::io("sync", &self.path, source))
    }
}

/// Where the segments are, below the ensemble's directory.
pub(super) fn log_dir(dir: &Path) -> PathBuf {
    dir.join("log")
}

fn remove(fs: &dyn Fs, path: &Path) -> Result<(), StorageError> {
    fs.remove_file(path).map_err(|source| StorageError::io("remove", path, source))
}
