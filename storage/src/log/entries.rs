//! A file of fixed-size entries in ascending order: the shape of `.index` and `.timeindex`.
//!
//! Written in small groups as entries come, kept in memory while the segment is appended to, searched in the file
//! otherwise. Must never be trusted over the log: whatever it says can be built again.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use super::place::{FileKind, Place};
use crate::StorageError;
use crate::error::At;
use crate::fs::{File, Open};
use crate::ids::{Offset, Timestamp};

/// Entries written at once; a crash loses no more than these, and recovery builds them again.
const WRITE_GROUP: usize = 32;
/// A binary search in the file reads the remaining range at once when it is down to this many entries.
const SEARCH_BLOCK: usize = 512;
/// The largest encoded entry.
const ENTRY_LEN_MAX: usize = 12;

/// An entry and its bytes.
pub(super) trait Entry: Copy + std::fmt::Debug {
    const LEN: usize;
    const KIND: FileKind;
    fn encode(&self, out: &mut Vec<u8>);
    fn decode(bytes: &[u8]) -> Self;
}

/// `.index`: the batch at `position` ends with this offset.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct OffsetEntry {
    /// Last offset of the batch, relative to the segment's base.
    pub relative: u32,
    pub position: u32,
}

/// `.timeindex`: the largest timestamp so far, and the last offset of the batch that holds it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct TimeEntry {
    pub timestamp: Timestamp,
    pub relative: u32,
}

impl Entry for OffsetEntry {
    const LEN: usize = 8;
    const KIND: FileKind = FileKind::OffsetIndex;

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.relative.to_be_bytes());
        out.extend_from_slice(&self.position.to_be_bytes());
    }

    fn decode(bytes: &[u8]) -> Self {
        Self { relative: read_u32(bytes, 0), position: read_u32(bytes, 4) }
    }
}

impl Entry for TimeEntry {
    const LEN: usize = 12;
    const KIND: FileKind = FileKind::TimeIndex;

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.timestamp.0.to_be_bytes());
        out.extend_from_slice(&self.relative.to_be_bytes());
    }

    fn decode(bytes: &[u8]) -> Self {
        let timestamp = bytes[..8].try_into().expect("a time entry begins with eight bytes");
        Self { timestamp: Timestamp(i64::from_be_bytes(timestamp)), relative: read_u32(bytes, 8) }
    }
}

fn read_u32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

/// The entries of one segment.
#[derive(Debug)]
pub(super) struct Entries<E> {
    base: Offset,
    count: usize,
    /// Entries that are in the file; the others are in memory only.
    written: usize,
    memory: Option<Vec<E>>,
    file: OnceLock<Arc<dyn File>>,
}

impl<E: Entry> Entries<E> {
    /// No entries, and no file yet.
    pub(super) fn empty(base: Offset) -> Self {
        Self { base, count: 0, written: 0, memory: Some(Vec::new()), file: OnceLock::new() }
    }

    /// The entries of a file of `len` bytes.
    pub(super) fn on_disk(base: Offset, len: u64) -> Self {
        let count = usize::try_from(len).unwrap_or(0) / E::LEN;
        Self { base, count, written: count, memory: None, file: OnceLock::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    pub(super) fn path(&self, place: &Place) -> PathBuf {
        place.path(self.base, E::KIND)
    }

    /// The file, created if it is missing.
    pub(super) fn file(&self, place: &Place) -> Result<&Arc<dyn File>, StorageError> {
        if let Some(file) = self.file.get() {
            return Ok(file);
        }
        let path = self.path(place);
        let file = place.fs.open(&path, Open::Create).at("open", &path)?;
        Ok(self.file.get_or_init(|| file))
    }

    pub(super) fn get(&self, place: &Place, index: usize) -> Result<E, StorageError> {
        if let Some(memory) = &self.memory {
            return Ok(memory[index]);
        }
        let mut bytes = [0; ENTRY_LEN_MAX];
        let bytes = &mut bytes[..E::LEN];
        let at = (index * E::LEN) as u64;
        self.file(place)?.read_exact_at(bytes, at).at_path("read", || self.path(place))?;
        Ok(E::decode(bytes))
    }

    pub(super) fn last(&self, place: &Place) -> Result<Option<E>, StorageError> {
        self.count.checked_sub(1).map(|index| self.get(place, index)).transpose()
    }

    /// How many entries at the beginning satisfy `before`, which must hold for a prefix.
    pub(super) fn partition_point(
        &self,
        place: &Place,
        before: impl Fn(&E) -> bool,
    ) -> Result<usize, StorageError> {
        if let Some(memory) = &self.memory {
            return Ok(memory.partition_point(before));
        }
        let (mut low, mut high) = (0, self.count);
        while high - low > SEARCH_BLOCK {
            let middle = usize::midpoint(low, high);
            if before(&self.get(place, middle)?) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let block = self.read(place, low, high)?;
        Ok(low + block.partition_point(before))
    }

    fn read(&self, place: &Place, from: usize, to: usize) -> Result<Vec<E>, StorageError> {
        if from == to {
            return Ok(Vec::new());
        }
        let mut bytes = vec![0; (to - from) * E::LEN];
        self.file(place)?
            .read_exact_at(&mut bytes, (from * E::LEN) as u64)
            .at_path("read", || self.path(place))?;
        Ok(bytes.chunks_exact(E::LEN).map(E::decode).collect())
    }

    /// Adds an entry. It is kept whatever happens; a group that cannot be written is tried again with the next.
    pub(super) fn push(&mut self, place: &Place, entry: E) -> Result<(), StorageError> {
        if self.memory.is_none() {
            self.memory = Some(self.read(place, 0, self.count)?);
        }
        self.memory.as_mut().expect("loaded above").push(entry);
        self.count += 1;
        if self.count - self.written >= WRITE_GROUP { self.write_pending(place) } else { Ok(()) }
    }

    /// Brings the entries that are only in memory into the file.
    pub(super) fn write_pending(&mut self, place: &Place) -> Result<(), StorageError> {
        let file = self.file(place)?;
        let Some(memory) = self.memory.as_ref().filter(|_| self.written < self.count) else { return Ok(()) };
        let mut bytes = Vec::with_capacity((self.count - self.written) * E::LEN);
        memory[self.written..].iter().for_each(|entry| entry.encode(&mut bytes));
        file.write_at(&bytes, (self.written * E::LEN) as u64).at_path("write", || self.path(place))?;
        self.written = self.count;
        Ok(())
    }

    /// Keeps only the first `count` entries.
    pub(super) fn truncate(&mut self, place: &Place, count: usize) -> Result<(), StorageError> {
        if let Some(memory) = &mut self.memory {
            memory.truncate(count);
        }
        self.count = count;
        self.written = self.written.min(count);
        let len = (self.written * E::LEN) as u64;
        self.file(place)?.set_len(len).at_path("truncate", || self.path(place))
    }

    /// Forgets the copy in memory of a segment that is not appended to any more.
    pub(super) fn unload(&mut self) {
        if self.written == self.count {
            self.memory = None;
        }
    }

    /// Gives back memory and descriptor; the next use takes them again.
    pub(super) fn release(&mut self) {
        self.unload();
        self.file = OnceLock::new();
    }
}
