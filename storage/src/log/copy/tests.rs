//! A copy that follows a log which is appended to, cut and shortened, and then takes its place.

use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::batch::{BatchBuilder, EndTransaction, Record, walk};
use crate::compress::Codec;
use crate::fs::{Fs, SimFault, SimFs};
use crate::ids::{LeaderEpoch, ProducerEpoch, ProducerId};
use crate::log::{LogConfig, OpenHow};
use crate::validate::{Origin, ValidBatch, validate};

const FROM: &str = "/one/t-0";
const COPY: &str = "/two/t-0.0123456789abcdef0123456789abcdef-future";
const TO: &str = "/two/t-0";
const NOW: Timestamp = Timestamp(0);

fn open(fs: &SimFs, dir: &str) -> Log {
    let config = LogConfig { segment_bytes: 1000, index_interval_bytes: 100, ..LogConfig::default() };
    Log::open(Arc::new(fs.clone()), Path::new(dir), config, OpenHow::default(), NOW).unwrap().0
}

fn disk() -> SimFs {
    let fs = SimFs::new();
    for dir in ["/one", "/two"] {
        fs.create_dir_all(Path::new(dir)).unwrap();
        fs.sync_dir(Path::new("/")).unwrap();
    }
    fs
}

fn valid(builder: BatchBuilder, origin: Origin) -> ValidBatch {
    validate(builder.finish(Codec::None, None), &LogConfig::default().rules(), NOW, origin).unwrap()
}

fn batch(count: usize) -> BatchBuilder {
    let mut builder = BatchBuilder::new();
    for _ in 0..count {
        builder.push(Record { timestamp: NOW, key: Some(b"k"), value: Some(&[7; 60]), headers: &[] });
    }
    builder
}

fn append(log: &mut Log, epoch: i32, count: usize) {
    let batch = valid(batch(count), Origin::Client { produce_version: 9 });
    log.append_as_leader(batch, LeaderEpoch(epoch), NOW).unwrap();
}

fn idempotent(log: &mut Log, sequence: i32) -> bool {
    let builder = batch(1).producer(ProducerId(5), ProducerEpoch(0), sequence);
    let batch = valid(builder, Origin::Client { produce_version: 9 });
    log.append_as_leader(batch, LeaderEpoch(3), NOW).unwrap().duplicate
}

/// One step; false when there is nothing to do.
fn step(copy: &mut Log, original: &Log, max_bytes: usize) -> bool {
    let step = copy.next_copy_step(original, max_bytes).unwrap();
    let records = match &step {
        CopyStep::Append(slice) => slice.read_all().unwrap().into(),
        _ => Bytes::new(),
    };
    copy.take_copy_step(&step, records, NOW).unwrap();
    copy.advance_log_start(original.log_start_offset()).unwrap();
    !matches!(step, CopyStep::Level)
}

fn level(copy: &mut Log, original: &Log) {
    let mut steps = 0;
    while step(copy, original, 300) {
        steps += 1;
        assert!(steps < 1000, "it never ends");
    }
}

/// The bytes of all batches from the log's start on.
fn bytes(log: &Log) -> Vec<u8> {
    let (mut all, mut next) = (Vec::new(), log.log_start_offset());
    while next < log.log_end_offset() {
        let slice = log.read(next, 1 << 20, log.log_end_offset(), true).unwrap().read_all().unwrap();
        let Some(last) = walk(&slice).last() else { break };
        next = last.unwrap().next_offset();
        all.extend(slice);
    }
    all
}

fn same(copy: &Log, original: &Log) {
    assert_eq!(bytes(copy), bytes(original));
    let offsets = |log: &Log| (log.log_start_offset(), log.log_end_offset());
    assert_eq!(offsets(copy), offsets(original));
}

#[test]
fn a_copy_ends_like_the_original_whatever_happens_to_that() {
    let fs = disk();
    let (mut original, mut copy) = (open(&fs, FROM), open(&fs, COPY));
    for count in 1..20 {
        append(&mut original, 0, count % 4 + 1);
    }
    assert!(step(&mut copy, &original, 300) && copy.log_end_offset() < original.log_end_offset());
    append(&mut original, 2, 3);
    level(&mut copy, &original);
    same(&copy, &original);
    // The original follows another leader: what it had of epoch 2 goes, and more of an older epoch.
    original.truncate_to(original.log_end_offset().plus(-5), NOW).unwrap();
    append(&mut original, 3, 7);
    level(&mut copy, &original);
    same(&copy, &original);
    // Cut without anything new.
    original.truncate_to(Offset(9), NOW).unwrap();
    level(&mut copy, &original);
    same(&copy, &original);
    // Deleted up to the middle of a batch, behind the copy's end.
    append(&mut original, 4, 4);
    append(&mut original, 4, 4);
    original.advance_log_start(original.log_end_offset().plus(-6)).unwrap();
    level(&mut copy, &original);
    same(&copy, &original);
    // Emptied.
    original.truncate_fully_and_start_at(Offset(500), NOW).unwrap();
    level(&mut copy, &original);
    same(&copy, &original);
    assert_eq!(copy.latest_epoch(), None);
}

#[test]
fn a_new_copy_of_a_log_that_begins_inside_a_batch_is_made() {
    let fs = disk();
    let (mut original, mut copy) = (open(&fs, FROM), open(&fs, COPY));
    (0..12).for_each(|_| append(&mut original, 1, 4));
    original.advance_log_start(Offset(18)).unwrap();
    original.retain(NOW, original.log_end_offset()).unwrap();
    level(&mut copy, &original);
    same(&copy, &original);
    assert_eq!(copy.log_start_offset(), Offset(18));
}

#[test]
fn what_compaction_emptied_is_skipped() {
    let fs = disk();
    let (mut original, mut copy) = (open(&fs, FROM), open(&fs, COPY));
    append(&mut original, 1, 2);
    original.roll(NOW).unwrap();
    // As a log stands whose last closed segment lost its last records and whose active one is empty.
    original.roll_at(Offset(40), NOW).unwrap();
    original.log_end = Offset(40);
    level(&mut copy, &original);
    same(&copy, &original);
    append(&mut original, 1, 2);
    level(&mut copy, &original);
    same(&copy, &original);
    drop(copy);
    assert_eq!(open(&fs, COPY).log_end_offset(), Offset(42));
}

#[test]
fn a_copy_takes_over_what_is_not_in_the_records() {
    let fs = disk();
    let (mut original, mut copy) = (open(&fs, FROM), open(&fs, COPY));
    append(&mut original, 1, 2);
    assert!(!idempotent(&mut original, 0));
    original.flush().unwrap();
    assert!(!idempotent(&mut original, 1));
    original.assign_epoch_start(LeaderEpoch(9), original.log_end_offset()).unwrap();
    let plan = original.flush_plan().unwrap();
    level(&mut copy, &original);
    copy.take_place_of(&mut original, Path::new(TO)).unwrap();
    std::mem::swap(&mut copy, &mut original);
    assert_eq!(original.dir(), Path::new(TO));
    assert_eq!(original.latest_epoch(), Some(LeaderEpoch(9)));
    assert_eq!(original.recovery_point(), original.log_end_offset(), "as durable as before");
    assert!(idempotent(&mut original, 1), "the producer's batch is known");
    // What was planned for the old log says nothing of the new one.
    assert!(!original.owns(&plan) && copy.owns(&plan));
    assert!(!idempotent(&mut original, 2));
    plan.run().unwrap();
    original.flushed(&plan);
    assert!(original.recovery_point() < original.log_end_offset());
}

#[test]
fn a_transaction_that_is_open_over_the_change_ends_behind_it() {
    let fs = disk();
    let (mut original, mut copy) = (open(&fs, FROM), open(&fs, COPY));
    let producer = |builder: BatchBuilder, sequence| {
        builder.producer(ProducerId(8), ProducerEpoch(1), sequence).transactional()
    };
    let data = producer(batch(2), 0);
    original.append_as_leader(valid(data, Origin::Coordinator), LeaderEpoch(1), NOW).unwrap();
    level(&mut copy, &original);
    copy.take_place_of(&mut original, Path::new(TO)).unwrap();
    assert_eq!(copy.first_unstable_offset(Offset(2)), Some(Offset(0)));
    let (key, value) = EndTransaction { commit: false, coordinator_epoch: 0 }.encode();
    let mut marker = producer(BatchBuilder::new(), -1).control();
    marker.push(Record { timestamp: NOW, key: Some(&key), value: Some(&value), headers: &[] });
    let marker = ValidBatch::built(marker.finish(Codec::None, None));
    copy.append_as_leader(marker, LeaderEpoch(1), NOW).unwrap();
    assert_eq!(copy.first_unstable_offset(Offset(3)), None);
    assert_eq!(copy.aborted_transactions(Offset(0), Offset(3)).unwrap().len(), 1);
}

/// A loss of power at every step of the exchange leaves the original, the copy, or the new log, with all that was durable.
#[test]
fn nothing_durable_is_lost_wherever_the_exchange_is_cut_short() {
    for fault_at in 0.. {
        let fs = disk();
        let (mut original, mut copy) = (open(&fs, FROM), open(&fs, COPY));
        (0..8).for_each(|_| append(&mut original, 1, 2));
        original.flush().unwrap();
        level(&mut copy, &original);
        fs.fault_after(fault_at, SimFault::Death);
        let taken = copy.take_place_of(&mut original, Path::new(TO)).is_ok();
        drop((original, copy));
        fs.heal();
        fs.power_loss(fault_at);
        let is_there = |dir| fs.meta(Path::new(dir)).unwrap().is_some();
        assert!(is_there(FROM), "the original is not touched");
        assert!(!taken || is_there(TO), "step {fault_at}");
        let dir = if is_there(TO) { TO } else { FROM };
        let how = OpenHow { recovery_point: Offset(16), ..OpenHow::default() };
        let config = LogConfig { segment_bytes: 1000, ..LogConfig::default() };
        let (log, _) = Log::open(Arc::new(fs.clone()), Path::new(dir), config, how, NOW).unwrap();
        assert_eq!(log.log_end_offset(), Offset(16), "step {fault_at} in {dir}");
        if taken {
            assert!(fault_at > 3, "the exchange takes steps");
            return;
        }
    }
}
