//! Bytes that no honest client sends: they must be refused without a panic and without memory.
//!
//! It has a process of its own, because it counts what the allocator gives.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use milena_storage::batch::{BatchBuilder, Record, walk};
use milena_storage::compress::Codec;
use milena_storage::fs::SimFs;
use milena_storage::ids::{ProducerEpoch, ProducerId, Timestamp};
use milena_storage::log::{Log, LogConfig, OpenHow};
use milena_storage::validate::{CompressionRule, Origin, Rules, validate};
use proptest::prelude::*;

/// Counts the bytes that each thread has out, and the most that it ever had.
struct Counting;

thread_local! {
    static OUT: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

fn count(change: isize) {
    OUT.set(OUT.get() + change);
    MOST.set(MOST.get().max(OUT.get()));
}

// SAFETY: every call goes to the system allocator with the caller's own arguments; counting touches only two cells
// without destructors and allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed());
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The inputs are some kilobytes; decoders may take a few blocks and buffers of their own.
const MEMORY_MAX: isize = 16 << 20;

fn bounded(work: impl FnOnce()) {
    let before = OUT.get();
    MOST.set(before);
    work();
    let taken = MOST.get() - before;
    assert!(taken < MEMORY_MAX, "{taken} bytes were taken");
}

fn honest(codec: Codec, count: i64) -> Vec<u8> {
    let mut builder = BatchBuilder::new().producer(ProducerId(1), ProducerEpoch(0), 0);
    for n in 0..count {
        let value = format!("value {n} of a batch that packs well well well well");
        builder.push(Record {
            timestamp: Timestamp(n),
            key: Some(b"key"),
            value: Some(value.as_bytes()),
            headers: &[(b"header", Some(b"value")), (b"empty", None)],
        });
    }
    builder.finish(codec, None).to_vec()
}

/// Makes the checksum match, so that the records are looked at.
fn seal(batch: &mut [u8]) {
    if batch.len() > 61 {
        let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, &batch[21..]) as u32;
        batch[17..21].copy_from_slice(&crc.to_be_bytes());
    }
}

fn feed(bytes: &[u8]) {
    let rules = LogConfig::default().rules();
    let rewriting = Rules { compression: CompressionRule::Always(Codec::Gzip, None), ..rules.clone() };
    for rules in [&rules, &rewriting] {
        let origin = Origin::Client { produce_version: 9 };
        let _ = validate(Bytes::copy_from_slice(bytes), rules, Timestamp(0), origin);
    }
    for batch in walk(bytes).flatten() {
        let mut scratch = Vec::new();
        if let Ok(records) = batch.records(&mut scratch, 1 << 20) {
            for record in records.flatten() {
                record.headers.iter().for_each(drop);
            }
        }
    }
    let how = OpenHow::default();
    let fs = Arc::new(SimFs::new());
    let (mut log, _) = Log::open(fs, Path::new("/d/t-0"), LogConfig::default(), how, Timestamp(0))
        .expect("the simulated disk has no fault");
    let _ = log.append_as_follower(Bytes::copy_from_slice(bytes), Timestamp(0));
}

fn codec() -> impl Strategy<Value = Codec> {
    proptest::sample::select(Codec::ALL.to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn changed_bytes(codec in codec(), changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6), sealed: bool) {
        let mut bytes = honest(codec, 20);
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if sealed {
            seal(&mut bytes);
        }
        bounded(|| feed(&bytes));
    }

    #[test]
    fn changed_headers(
        codec in codec(),
        at in 8usize..61,
        lie in prop_oneof![
            Just([0xFF; 4]),
            Just([0x7F, 0xFF, 0xFF, 0xFF]),
            Just([0; 4]),
            any::<[u8; 4]>()
        ],
    ) {
        let mut bytes = honest(codec, 20);
        let at = at.min(57);
        bytes[at..at + 4].copy_from_slice(&lie);
        seal(&mut bytes);
        bounded(|| feed(&bytes));
    }

    #[test]
    fn cut_and_joined(codec in codec(), cut in any::<prop::sample::Index>(), twice: bool) {
        let mut bytes = honest(codec, 20);
        if twice {
            bytes.extend_from_slice(&honest(codec, 3));
        }
        bytes.truncate(cut.index(bytes.len()));
        bounded(|| feed(&bytes));
    }

    #[test]
    fn any_bytes(mut bytes in proptest::collection::vec(any::<u8>(), 0..300), dressed: bool, codec in codec()) {
        if dressed && bytes.len() > 61 {
            // A header that everything passes, in front of garbage.
            let mut header = honest(codec, 3)[..61].to_vec();
            header[8..12].copy_from_slice(&(bytes.len() as i32 - 12).to_be_bytes());
            bytes[..61].copy_from_slice(&header);
            seal(&mut bytes);
        }
        bounded(|| feed(&bytes));
    }
}

#[test]
fn bombs_of_every_codec() {
    let zeros = vec![0; 8 << 20];
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let mut builder = BatchBuilder::new();
        for _ in 0..4 {
            builder.push(Record {
                timestamp: Timestamp(0),
                key: Some(b"k"),
                value: Some(&zeros),
                headers: &[],
            });
        }
        let bytes = builder.finish(codec, None);
        let rules = LogConfig { max_message_bytes: 16 << 20, ..LogConfig::default() }.rules();
        let origin = Origin::Client { produce_version: 9 };
        bounded(|| drop(validate(bytes, &rules, Timestamp(0), origin)));
    }
}
