//! The Raft log on disk: entries as batches in a `milena_storage::log::Log`, beside the vote file.
//!
//! Blocking, and owned by the writer thread alone. Must never report an entry as written before it is synced.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use milena_storage::StorageError;
use milena_storage::fs::Fs;
use milena_storage::ids::{Offset, Timestamp};
use milena_storage::log::{AppendError, Log, LogConfig, OpenHow};

use super::entry_bytes::{Marks, encode};
use super::raft_types::Entry;
use super::scan::{Scan, Torn};
use super::vote_file::Promises;

/// A purge removes whole segments, so they are a part of what is applied between two snapshots. A larger entry has a
/// segment of its own. Tests roll often, to crash around it.
const SEGMENT_BYTES: u32 = if cfg!(test) { 8 << 10 } else { 1 << 20 };

/// Appends are synced one by one when little is going on, and are small: some hundred of them until the length changes.
const LENGTH_STEP: u32 = 64 << 10;

/// The log and the vote file of one node.
pub(super) struct EntryLog {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    log: Log,
    now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// One past the last index that is synced.
    durable: u64,
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
        if let Some(Torn { path, at, .. }) = &scan.torn {
            tracing::warn!(path = %path.display(), at, "cutting a torn end off the ensemble's log");
        }
        let start = promises.purged.map_or(0, |purged| purged.index + 1);
        let durable = scan.end().unwrap_or(start).max(start);
        let there = fs.meta(&log_dir).map_err(|source| StorageError::io("look up", &log_dir, source))?;
        // A new log has nothing to recover, and so nothing to sync before its first entry.
        let how = OpenHow { clean: there.is_none(), recovery_point: Offset(0), log_start: offset(start) };
        let (mut log, _) = Log::open(Arc::clone(&fs), &log_dir, log_config(), how, now())?;
        if log.log_end_offset() != offset(durable) {
            let reason =
                format!("entries up to {durable} are whole, but the log ends at {}", log.log_end_offset());
            return Err(StorageError::corrupt(&log_dir, 0, reason));
        }
        if durable > start {
            // What a crash left unsynced may only be counted on after a sync.
            log.flush()?;
        }
        Ok(Self { fs, dir: dir.to_owned(), log, now, durable })
    }

    /// Writes entries that follow the last one, and syncs once.
    pub(super) fn append(&mut self, entries: &[Entry], committed: u64) -> Result<(), StorageError> {
        let Some(last) = entries.last() else { return Ok(()) };
        let marks = Marks { committed, durable: self.durable };
        let now = (self.now)();
        let mut bytes = Vec::new();
        for (entry, expected) in entries.iter().zip(self.durable..) {
            if entry.log_id.index != expected {
                let reason =
                    format!("entry {} is appended where entry {expected} is expected", entry.log_id.index);
                return Err(StorageError::corrupt(self.log.dir(), 0, reason));
            }
            bytes.extend_from_slice(&encode(entry, marks, now));
        }
        self.log.append_as_follower(Bytes::from(bytes), now).map_err(|error| self.storage_error(error))?;
        self.log.flush()?;
        self.durable = last.log_id.index + 1;
        Ok(())
    }

    /// Removes the entries from `index` on: another leader has others there.
    pub(super) fn truncate_from(&mut self, index: u64) -> Result<(), StorageError> {
        self.log.truncate_to(offset(index), (self.now)())?;
        self.log.flush()?;
        self.durable = self.durable.min(index);
        Ok(())
    }

    /// Drops the entries up to the purged one, which the snapshot holds. The promise is kept first: a log that begins
    /// later than it says would look damaged.
    pub(super) fn purge(&mut self, promises: &Promises) -> Result<(), StorageError> {
        self.promise(promises)?;
        let Some(purged) = promises.purged else { return Ok(()) };
        let (start, now) = (offset(purged.index + 1), (self.now)());
        if self.log.log_end_offset() < start {
            self.log.truncate_fully_and_start_at(start, now)?;
            self.durable = purged.index + 1;
        } else {
            self.log.advance_log_start(start)?;
            self.log.retain(now, start)?;
        }
        self.log.flush()?;
        self.log.remove_deleted(now)?;
        Ok(())
    }

    /// Keeps a vote; it is on the medium when this returns.
    pub(super) fn promise(&mut self, promises: &Promises) -> Result<(), StorageError> {
        promises.save(&*self.fs, &self.dir)
    }

    /// Keeps the first vote of a new log: it is on the medium after the first append, whose sync covers the names of both.
    pub(super) fn promise_with_next_append(&mut self, promises: &Promises) -> Result<(), StorageError> {
        promises.save_unnamed(&*self.fs, &self.dir)
    }

    /// Ends cleanly, leaving the committed index for the next start.
    pub(super) fn close(mut self, promises: &Promises) -> Result<(), StorageError> {
        self.promise(promises)?;
        self.log.close_clean().map(|_| ())
    }

    fn storage_error(&self, error: AppendError) -> StorageError {
        match error {
            AppendError::Storage(error) => error,
            other => StorageError::corrupt(self.log.dir(), 0, other.to_string()),
        }
    }
}

/// Where the segments are, below the ensemble's directory.
pub(super) fn log_dir(dir: &Path) -> PathBuf {
    dir.join("log")
}

fn offset(index: u64) -> Offset {
    Offset(i64::try_from(index).expect("an index counts entries that were written one by one"))
}

/// Nothing goes by time or size, only by purge; nothing is looked up by offset, so the indexes stay empty.
fn log_config() -> LogConfig {
    LogConfig {
        segment_bytes: SEGMENT_BYTES,
        segment_ms: i64::MAX,
        index_interval_bytes: u32::MAX,
        retention_ms: -1,
        retention_bytes: -1,
        file_delete_delay_ms: 0,
        contiguous: true,
        length_step: LENGTH_STEP,
        epoch_file: false,
        ..LogConfig::default()
    }
}
