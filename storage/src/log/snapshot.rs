//! Producer snapshots: the state of all producers below the offset in the file's name.
//!
//! Must never be believed without its checksum.

use std::path::Path;

use super::place::{FileKind, Place};
use super::producers::{Producer, Producers, Written};
use crate::StorageError;
use crate::batch::crc32c;
use crate::error::At;
use crate::ids::{Offset, ProducerEpoch, ProducerId, Timestamp};

const VERSION: i16 = 1;
/// Version and checksum.
const PREFIX_LEN: usize = 6;
const ENTRY_LEN: usize = 46;
/// A million producers in one partition are more than memory should be spent on.
const SNAPSHOT_MAX: usize = 10 + 1_000_000 * ENTRY_LEN;

/// Writes the snapshot of `producers.end` into the page cache.
pub(super) fn write(place: &Place, producers: &Producers) -> Result<(), StorageError> {
    let path = place.path(producers.end, FileKind::Snapshot);
    place.fs.replace_unsynced(&path, &encode(producers)).at("write", &path).map(drop)
}

/// Reads a snapshot; a damaged one is an error of its own, which the caller may survive.
pub(super) fn read(place: &Place, end: Offset) -> Result<Producers, StorageError> {
    let path = place.path(end, FileKind::Snapshot);
    let bytes = place.fs.read(&path, SNAPSHOT_MAX).at("read", &path)?;
    decode(&bytes, end, &path)
}

fn encode(producers: &Producers) -> Vec<u8> {
    let mut body = vec![0; 4];
    let mut count = 0u32;
    for (id, producer) in producers.iter() {
        let last = producer.last().copied();
        let none =
            Written { last_sequence: -1, last_offset: Offset(-1), offset_delta: 0, timestamp: Timestamp(-1) };
        let last = last.unwrap_or(none);
        body.extend_from_slice(&id.0.to_be_bytes());
        body.extend_from_slice(&producer.epoch.0.to_be_bytes());
        body.extend_from_slice(&last.last_sequence.to_be_bytes());
        body.extend_from_slice(&last.last_offset.0.to_be_bytes());
        body.extend_from_slice(&last.offset_delta.to_be_bytes());
        body.extend_from_slice(&producer.last_timestamp.0.to_be_bytes());
        body.extend_from_slice(&producer.coordinator_epoch.to_be_bytes());
        body.extend_from_slice(&producer.transaction_start.map_or(-1, |offset| offset.0).to_be_bytes());
        count += 1;
    }
    body[..4].copy_from_slice(&count.to_be_bytes());
    let mut bytes = VERSION.to_be_bytes().to_vec();
    bytes.extend_from_slice(&crc32c(&body).to_be_bytes());
    bytes.extend_from_slice(&body);
    bytes
}

fn decode(bytes: &[u8], end: Offset, path: &Path) -> Result<Producers, StorageError> {
    let bad = |reason: &str| StorageError::corrupt(path, 0, reason);
    let (prefix, body) = bytes.split_at_checked(PREFIX_LEN).ok_or_else(|| bad("it is cut"))?;
    if prefix[..2] != VERSION.to_be_bytes() {
        return Err(bad("its version is not known"));
    }
    if prefix[2..] != crc32c(body).to_be_bytes() {
        return Err(bad("its checksum does not match"));
    }
    let (count, entries) = body.split_first_chunk::<4>().ok_or_else(|| bad("it is cut"))?;
    if entries.len() != u32::from_be_bytes(*count) as usize * ENTRY_LEN {
        return Err(bad("its count does not match its size"));
    }
    let mut producers = Producers::none(end);
    for entry in entries.chunks_exact(ENTRY_LEN) {
        let (id, producer) = decode_entry(entry);
        producers.insert(id, producer);
    }
    Ok(producers)
}

fn decode_entry(entry: &[u8]) -> (ProducerId, Producer) {
    let long = |at: usize| i64::from_be_bytes(entry[at..at + 8].try_into().expect("eight bytes"));
    let int = |at: usize| i32::from_be_bytes(entry[at..at + 4].try_into().expect("four bytes"));
    let epoch = i16::from_be_bytes(entry[8..10].try_into().expect("two bytes"));
    let timestamp = Timestamp(long(26));
    let mut producer = Producer {
        epoch: ProducerEpoch(epoch),
        coordinator_epoch: int(34),
        last_timestamp: timestamp,
        transaction_start: (long(38) >= 0).then(|| Offset(long(38))),
        written: Vec::new(),
        is_whole: false,
    };
    if long(14) >= 0 {
        let last_offset = Offset(long(14));
        producer.push(Written { last_sequence: int(10), last_offset, offset_delta: int(22), timestamp });
    }
    (ProducerId(long(0)), producer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::SimFs;
    use std::sync::Arc;

    fn sample() -> Producers {
        let mut producers = Producers::none(Offset(100));
        for id in 0..3i64 {
            let mut producer = Producer {
                epoch: ProducerEpoch(2),
                coordinator_epoch: 9,
                last_timestamp: Timestamp(1234),
                transaction_start: (id == 1).then_some(Offset(77)),
                written: Vec::new(),
                is_whole: false,
            };
            if id != 2 {
                producer.push(Written {
                    last_sequence: 41,
                    last_offset: Offset(99),
                    offset_delta: 4,
                    timestamp: Timestamp(1234),
                });
            }
            producers.insert(ProducerId(id), producer);
        }
        producers
    }

    #[test]
    fn producers_come_back() {
        let place = Place::new(Arc::new(SimFs::new()), Path::new("/"));
        write(&place, &sample()).unwrap();
        assert_eq!(read(&place, Offset(100)).unwrap(), sample());
        let bytes = place.fs.read(Path::new("/00000000000000000100.snapshot"), 1000).unwrap();
        assert_eq!(bytes.len(), 10 + 3 * 46);
    }

    #[test]
    fn every_damaged_byte_is_noticed() {
        let bytes = encode(&sample());
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            assert!(decode(&damaged, Offset(100), Path::new("s")).is_err(), "byte {at}");
        }
        assert!(decode(&bytes[..bytes.len() - 1], Offset(100), Path::new("s")).is_err());
        assert!(decode(&[], Offset(100), Path::new("s")).is_err());
    }
}
