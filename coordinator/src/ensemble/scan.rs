//! Reads every entry of the log at the start, and tells a torn end from damage.
//!
//! What a loss of power leaves is a bad end with nothing behind it that was written later: it is cut off, and nobody
//! was told of those entries. A bad place with something behind it that was written when the place was known to be
//! synced is lost data, and must never be cut off silently: Raft would go on without entries that it has
//! acknowledged.

use std::path::{Path, PathBuf};

use milena_storage::StorageError;
use milena_storage::batch::{BatchView, HEADER_LEN, size_and_magic};
use milena_storage::fs::Fs;

use super::entry_bytes::{Stored, decode};

/// Largest segment that is read: far more than one is ever told to hold.
const MAX_SEGMENT_BYTES: usize = 1 << 30;

/// The entries that are whole and in order.
#[derive(Debug, Default)]
pub(super) struct Scan {
    pub(super) entries: Vec<Stored>,
    /// Where everything from there on is to be cut off.
    pub(super) torn: Option<Torn>,
    /// Entries below are in the snapshot; only before it may a gap be.
    start: u64,
}

/// The first bad place.
#[derive(Debug)]
pub(super) struct Torn {
    pub(super) path: PathBuf,
    pub(super) at: u64,
    /// Index of the entry that should be there.
    next: u64,
}

impl Scan {
    /// One past the last index.
    pub(super) fn end(&self) -> Option<u64> {
        self.entries.last().map(|stored| stored.entry.log_id.index + 1)
    }

    /// Adds the whole entries at the front of a segment; returns the bytes they take. Batches that are whole but hold
    /// something else are an error: no crash writes a right checksum over wrong content.
    fn take(&mut self, path: &Path, base: u64, bytes: &[u8]) -> Result<usize, StorageError> {
        // A log that began anew behind a snapshot, and a loss of power that brought back what was before.
        if base >= self.start && self.end().is_some_and(|end| end < base && end <= self.start) {
            self.entries.clear();
        }
        let mut at = 0;
        while let Some(batch) = whole_batch(&bytes[at..]) {
            let corrupt = |reason: String| StorageError::corrupt(path, at as u64, reason);
            let stored = decode(&batch).map_err(|error| corrupt(error.to_string()))?;
            let (index, expected) = (stored.entry.log_id.index, self.end().unwrap_or(base));
            // The offset stands before all that the checksum covers. Alone in a sector that was lost with the power it reads as
            // zero, with a whole batch behind it: a torn end like any other.
            if index == 0 && expected != 0 {
                break;
            }
            if index != expected {
                return Err(corrupt(format!("entry {index} stands where entry {expected} is expected")));
            }
            self.entries.push(stored);
            at += batch.size();
        }
        Ok(at)
    }
}

/// Reads the segments in `dir`, which need not exist; `start` is the first entry that is not in the snapshot.
pub(super) fn scan(fs: &dyn Fs, dir: &Path, start: u64) -> Result<Scan, StorageError> {
    let mut scan = Scan { start, ..Scan::default() };
    let segments = segments(fs, dir)?;
    let last = segments.last().map(|(base, _)| *base);
    for (base, path) in segments {
        let bytes =
            fs.read(&path, MAX_SEGMENT_BYTES).map_err(|source| StorageError::io("read", &path, source))?;
        let mut behind = 0;
        if scan.torn.is_none() {
            behind = scan.take(&path, base, &bytes)?;
            // The file that is appended to is longer than what was appended (`LogConfig::length_step`).
            let unused = last == Some(base) && bytes[behind..].iter().all(|byte| *byte == 0);
            if behind < bytes.len() && !unused {
                let next = scan.end().unwrap_or(base);
                scan.torn = Some(Torn { path, at: behind as u64, next });
            }
        }
        refuse_damage(&scan, &bytes[behind..])?;
    }
    Ok(scan)
}

/// The log's segments, oldest first, each with the index in its name.
fn segments(fs: &dyn Fs, dir: &Path) -> Result<Vec<(u64, PathBuf)>, StorageError> {
    let there = fs.meta(dir).map_err(|source| StorageError::io("look up", dir, source))?;
    if there.is_none() {
        return Ok(Vec::new());
    }
    let names = fs.list(dir).map_err(|source| StorageError::io("list", dir, source))?;
    let segment = |name: &str| {
        let stem = name.strip_suffix(".log").filter(|stem| stem.len() == 20)?;
        Some((stem.parse().ok()?, dir.join(name)))
    };
    Ok(names.iter().filter_map(|entry| segment(&entry.name)).collect())
}

/// Fails if anything behind a torn place was written when that place was known to be synced.
fn refuse_damage(scan: &Scan, behind: &[u8]) -> Result<(), StorageError> {
    let Some(Torn { path, at, next }) = &scan.torn else { return Ok(()) };
    match durable_mark_in(behind, *next) {
        None => Ok(()),
        Some(durable) => {
            let reason = format!("entry {next} is damaged, but entries below {durable} were synced");
            Err(StorageError::corrupt(path, *at, reason))
        }
    }
}

fn whole_batch(bytes: &[u8]) -> Option<BatchView<'_>> {
    BatchView::parse(bytes).ok().filter(|batch| batch.check_crc().is_ok())
}

/// Looks for a whole entry that was written when entry `damaged` was known to be synced. The length in front of a bad
/// place may be bad itself, so every byte is tried.
fn durable_mark_in(bytes: &[u8], damaged: u64) -> Option<u64> {
    (0..bytes.len().saturating_sub(HEADER_LEN)).find_map(|at| {
        let rest = &bytes[at..];
        // The checksum is the expensive part; these two throw out nearly every place.
        let (size, magic) = size_and_magic(rest).ok()?;
        if magic != 2 || size > rest.len() {
            return None;
        }
        let stored = decode(&whole_batch(rest)?).ok()?;
        Some(stored.marks.durable).filter(|durable| *durable > damaged)
    })
}
