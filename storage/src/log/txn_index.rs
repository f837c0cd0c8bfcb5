//! `.txnindex`: the aborted transactions of a segment, for consumers that read only what was committed.
//!
//! Must never hold a committed transaction.

use std::path::PathBuf;

use super::place::{FileKind, Place};
use crate::StorageError;
use crate::error::At;
use crate::fs::Open;
use crate::ids::{Offset, ProducerId};

const VERSION: i16 = 0;
const ENTRY_LEN: usize = 34;
/// 2 GiB segments of smallest transactions stay below this.
const FILE_MAX: usize = 1 << 30;

/// An aborted transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AbortedTransaction {
    pub producer_id: ProducerId,
    pub first: Offset,
    /// Offset of the abort marker.
    pub last: Offset,
    /// The last stable offset when the marker was written.
    pub last_stable: Offset,
}

fn path(place: &Place, base: Offset) -> PathBuf {
    place.path(base, FileKind::TransactionIndex)
}

/// Adds a transaction to the index of the segment at `base`; the file is created with the first.
pub(super) fn append(place: &Place, base: Offset, aborted: &AbortedTransaction) -> Result<(), StorageError> {
    let path = path(place, base);
    let file = place.fs.open(&path, Open::Create).at("open", &path)?;
    let len = file.len().at("measure", &path)?;
    let at = len - len % ENTRY_LEN as u64;
    file.write_at(&encode(aborted), at).at("write", &path)
}

/// The transactions of the segment at `base`, in the order of their markers.
pub(super) fn read(place: &Place, base: Offset) -> Result<Vec<AbortedTransaction>, StorageError> {
    let path = path(place, base);
    if place.fs.meta(&path).at("look at", &path)?.is_none() {
        return Ok(Vec::new());
    }
    let bytes = place.fs.read(&path, FILE_MAX).at("read", &path)?;
    bytes
        .chunks_exact(ENTRY_LEN)
        .enumerate()
        .map(|(index, entry)| {
            let at = (index * ENTRY_LEN) as u64;
            decode(entry).ok_or_else(|| StorageError::corrupt(&path, at, "its version is not known"))
        })
        .collect()
}

/// Forgets transactions whose markers are at or behind `end`.
pub(super) fn truncate(place: &Place, base: Offset, end: Offset) -> Result<(), StorageError> {
    let entries = read(place, base)?;
    let keep = entries.iter().take_while(|entry| entry.last < end).count();
    if keep == entries.len() {
        return Ok(());
    }
    let path = path(place, base);
    let file = place.fs.open(&path, Open::Write).at("open", &path)?;
    file.set_len((keep * ENTRY_LEN) as u64).and_then(|()| file.sync_data()).at("truncate", &path)
}

fn encode(aborted: &AbortedTransaction) -> [u8; ENTRY_LEN] {
    let mut entry = [0; ENTRY_LEN];
    entry[..2].copy_from_slice(&VERSION.to_be_bytes());
    entry[2..10].copy_from_slice(&aborted.producer_id.0.to_be_bytes());
    entry[10..18].copy_from_slice(&aborted.first.0.to_be_bytes());
    entry[18..26].copy_from_slice(&aborted.last.0.to_be_bytes());
    entry[26..].copy_from_slice(&aborted.last_stable.0.to_be_bytes());
    entry
}

fn decode(entry: &[u8]) -> Option<AbortedTransaction> {
    let long = |at: usize| i64::from_be_bytes(entry[at..at + 8].try_into().expect("eight bytes"));
    (entry[..2] == VERSION.to_be_bytes()).then(|| AbortedTransaction {
        producer_id: ProducerId(long(2)),
        first: Offset(long(10)),
        last: Offset(long(18)),
        last_stable: Offset(long(26)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::SimFs;
    use std::sync::Arc;

    #[test]
    fn transactions_are_kept_and_cut() {
        let place = Place::new(Arc::new(SimFs::new()), std::path::Path::new("/"));
        let aborted = |n| AbortedTransaction {
            producer_id: ProducerId(n),
            first: Offset(n * 10),
            last: Offset(n * 10 + 9),
            last_stable: Offset(n * 10 + 10),
        };
        assert_eq!(read(&place, Offset(0)).unwrap(), []);
        for n in 0..3 {
            append(&place, Offset(0), &aborted(n)).unwrap();
        }
        assert_eq!(read(&place, Offset(0)).unwrap(), [aborted(0), aborted(1), aborted(2)]);
        truncate(&place, Offset(0), Offset(19)).unwrap();
        assert_eq!(read(&place, Offset(0)).unwrap(), [aborted(0)]);
    }
}
