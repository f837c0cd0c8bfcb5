//! Tests of the log over the simulated disk: what is appended is read, kept, cut and recovered.

mod ahead;
mod full;
mod repeated;
mod together;

use std::sync::Arc;

use bytes::Bytes;

use super::*;
use crate::batch::{BatchBuilder, BatchView, EndTransaction, HEADER_LEN, Record, walk};
use crate::compress::Codec;
use crate::fs::{Fs, Open, SimFault, SimFs};
use crate::validate::{Origin, ValidBatch, validate};

const DIR: &str = "/data/topic-0";
const EPOCH: LeaderEpoch = LeaderEpoch(0);
const CLIENT: Origin = Origin::Client { produce_version: 9 };

fn at(ms: i64) -> Timestamp {
    Timestamp(ms)
}

/// Small segments and a dense index.
fn small() -> LogConfig {
    LogConfig { segment_bytes: 1000, index_interval_bytes: 100, ..LogConfig::default() }
}

fn open_as(fs: &SimFs, config: LogConfig, how: OpenHow) -> (Log, OpenReport) {
    Log::open(Arc::new(fs.clone()), Path::new(DIR), config, how, at(0)).unwrap()
}

fn open(fs: &SimFs, config: LogConfig) -> Log {
    open_as(fs, config, OpenHow::default()).0
}

fn clean() -> OpenHow {
    OpenHow { clean: true, ..OpenHow::default() }
}

/// `count` records at time `ms`, whose values tell `tag`.
fn records(tag: i64, count: i64, ms: i64) -> BatchBuilder {
    let mut builder = BatchBuilder::new();
    for n in 0..count {
        let value = format!("{tag}:{n}:{}", "x".repeat(60));
        let record =
            Record { timestamp: at(ms + n), key: Some(b"k"), value: Some(value.as_bytes()), headers: &[] };
        builder.push(record);
    }
    builder
}

fn valid(builder: BatchBuilder) -> ValidBatch {
    let rules = crate::validate::Rules { after_max_ms: i64::MAX, ..LogConfig::default().rules() };
    validate(builder.finish(Codec::None, None), &rules, at(0), CLIENT).unwrap()
}

fn append(log: &mut Log, tag: i64, count: i64, ms: i64) -> Appended {
    log.append_as_leader(valid(records(tag, count, ms)), EPOCH, at(ms)).unwrap()
}

fn idempotent(log: &mut Log, id: i64, sequence: i32, ms: i64) -> Result<Appended, AppendError> {
    let builder = records(id, 2, ms).producer(ProducerId(id), ProducerEpoch(0), sequence);
    log.append_as_leader(valid(builder), EPOCH, at(ms))
}

/// All offsets and values from `from` on, read slice by slice.
fn contents(log: &Log, from: i64, max_bytes: usize) -> Vec<(i64, String)> {
    let mut next = Offset(from);
    let mut found = Vec::new();
    while next < log.log_end_offset() {
        let slice = log.read(next, max_bytes, log.log_end_offset(), true).unwrap();
        assert!(!slice.is_empty(), "nothing at {next} below {}", log.log_end_offset());
        let bytes = slice.read_all().unwrap();
        for batch in walk(&bytes) {
            let batch = batch.unwrap();
            batch.check_crc().unwrap();
            let mut scratch = Vec::new();
            for record in batch.records(&mut scratch, 1 << 20).unwrap() {
                let record = record.unwrap();
                if record.offset.0 >= next.0 {
                    let value = String::from_utf8(record.value.unwrap_or_default().to_vec()).unwrap();
                    found.push((record.offset.0, value.trim_end_matches('x').to_owned()));
                }
            }
            next = next.max(batch.next_offset());
        }
    }
    found
}

fn offsets(log: &Log, from: i64) -> Vec<i64> {
    contents(log, from, 300).into_iter().map(|(offset, _)| offset).collect()
}

fn names(fs: &SimFs) -> Vec<String> {
    fs.list(Path::new(DIR)).unwrap().into_iter().map(|entry| entry.name).collect()
}

#[test]
fn what_is_appended_is_read_from_every_offset() {
    let fs = SimFs::new();
    let mut log = open(&fs, small());
    for n in 0..20 {
        let appended = append(&mut log, n, 1 + n % 3, n * 10);
        assert!(!appended.duplicate && appended.bytes > 0);
    }
    let end = log.log_end_offset().0;
    assert!(log.segment_count() > 3);
    for from in 0..end {
        for max_bytes in [1, 300, 10_000] {
            let read: Vec<i64> =
                contents(&log, from, max_bytes).into_iter().map(|(offset, _)| offset).collect();
            assert_eq!(read, (from..end).collect::<Vec<_>>(), "from {from} by {max_bytes}");
        }
    }
}

#[test]
fn reading_stays_below_the_upper_bound_and_inside_the_limit() {
    let fs = SimFs::new();
    let mut log = open(&fs, LogConfig { index_interval_bytes: 100, ..LogConfig::default() });
    for n in 0..40 {
        append(&mut log, n, 2, n);
    }
    let one = log.read(Offset(0), 1, Offset(80), true).unwrap();
    for upper in 0..=80i64 {
        for from in 0..=80i64 {
            let slice = log.read(Offset(from), usize::MAX, Offset(upper), true).unwrap();
            let bytes = slice.read_all().unwrap();
            let last = walk(&bytes).last().map(|batch| batch.unwrap().last_offset().0);
            // Batches of two: the last one that ends below the bound.
            let expected = (upper / 2 * 2 > from).then_some(upper / 2 * 2 - 1);
            assert_eq!(last, expected, "from {from} below {upper}");
        }
    }
    assert!(log.read(Offset(3), one.len - 1, Offset(80), false).unwrap().is_empty());
    assert_eq!(log.read(Offset(3), one.len - 1, Offset(80), true).unwrap().len, one.len);
    assert_eq!(log.read(Offset(3), one.len + 5, Offset(80), false).unwrap().len, one.len + 5);
    assert!(log.read(Offset(80), 100, Offset(80), true).unwrap().is_empty());
    assert!(matches!(log.read(Offset(81), 100, Offset(81), true), Err(ReadError::OutOfRange { .. })));
    assert!(matches!(log.read(Offset(-1), 100, Offset(81), true), Err(ReadError::OutOfRange { .. })));
}

#[test]
fn a_clean_stop_keeps_everything_without_a_scan() {
    let fs = SimFs::new();
    let mut log = open(&fs, small());
    for n in 0..10 {
        idempotent(&mut log, 1 + n % 2, (n / 2 * 2) as i32, n * 100).unwrap();
    }
    let (before, producers) = (contents(&log, 0, 500), log.producers());
    log.close_clean().unwrap();
    let (mut log, report) = open_as(&fs, small(), clean());
    assert_eq!(report, OpenReport::default());
    assert_eq!((contents(&log, 0, 500), log.producers()), (before, producers));
    assert_eq!(log.recovery_point(), log.log_end_offset());
    assert!(idempotent(&mut log, 1, 8, 3000).unwrap().duplicate);
    assert_eq!(idempotent(&mut log, 1, 10, 3000).unwrap().first, Offset(20));
}

#[test]
fn a_killed_process_loses_nothing() {
    let fs = SimFs::new();
    let mut log = open(&fs, small());
    for n in 0..15 {
        idempotent(&mut log, 1, (n * 2) as i32, n * 100).unwrap();
    }
    let before = contents(&log, 0, 500);
    drop(log);
    fs.heal();
    let (mut log, report) = open_as(&fs, small(), OpenHow::default());
    assert_eq!(report.cut_bytes, 0);
    assert!(report.scanned_segments > 1);
    assert_eq!(contents(&log, 0, 500), before);
    assert!(idempotent(&mut log, 1, 28, 3000).unwrap().duplicate);
    assert!(matches!(idempotent(&mut log, 1, 31, 3000), Err(AppendError::Sequence { .. })));
    assert_eq!(idempotent(&mut log, 1, 30, 3000).unwrap().first, Offset(30));
}

#[test]
fn a_torn_batch_is_cut_and_the_rest_stays() {
    let fs = SimFs::new();
    let mut log = open(&fs, small());
    for n in 0..3 {
        append(&mut log, n, 2, n);
    }
    fs.fault_after(0, SimFault::Death);
    let torn = log.append_as_leader(valid(records(9, 3, 9)), EPOCH, at(9));
    assert!(matches!(torn, Err(AppendError::Storage(_))));
    fs.heal();
    let (mut log, report) = open_as(&fs, small(), OpenHow::default());
    assert!(report.cut_bytes > 0);
    assert_eq!(offsets(&log, 0), (0..6).collect::<Vec<_>>());
    append(&mut log, 10, 2, 10);
    assert_eq!(offsets(&log, 0), (0..8).collect::<Vec<_>>());
}

#[test]
fn everything_behind_a_damaged_batch_goes() {
    let fs = SimFs::new();
    let mut log = open(&fs, small());
    for n in 0..20 {
        append(&mut log, n, 2, n);
    }
    let damaged = log.segments[1].base;
    let path = log.segments[1].path(&log.place);
    drop(log);
    let file = fs.open(&path, Open::Write).unwrap();
    file.write_at(&[0xAA; 4], 70).unwrap();
    let (log, report) = open_as(&fs, small(), OpenHow::default());
    assert!(report.removed_segments > 0);
    assert_eq!(log.log_end_offset(), damaged);
    assert_eq!(offsets(&log, 0), (0..damaged.0).collect::<Vec<_>>());
}

#[test]
fn old_message_formats_are_refused_and_not_cut() {
    let fs = SimFs::new();
    let mut log = open(&fs, small());
    append(&mut log, 0, 1, 0);
    let path = log.segments[0].path(&log.place);
    drop(log);
    let size = fs.meta(&path).unwrap().unwrap().len;
    // A message of magic 1 without key: attributes, timestamp, null, value.
    let checked = [&[1u8, 0][..], &[0; 8], &(-1i32).to_be_bytes(), &3i32.to_be_bytes(), b"old"].concat();
    let len = i32::try_from(checked.len() + 4).unwrap();
    let crc = crate::batch::crc32(&checked);
    let message = [&1i64.to_be_bytes()[..], &len.to_be_bytes(), &crc.to_be_bytes(), &checked].concat();
    fs.open(&path, Open::Write).unwrap().write_at(&message, size).unwrap();
    let size = size + message.len() as u64;
    let error =
        Log::open(Arc::new(fs.clone()), Path::new(DIR), small(), OpenHow::default(), at(0)).unwrap_err();
    assert!(error.to_string().contains("formats 0 and 1"), "{error}");
    assert_eq!(fs.meta(&path).unwrap().unwrap().len, size);
    // With a wrong checksum it is what a loss of power leaves.
    fs.open(&path, Open::Write).unwrap().write_at(b"x", size - 1).unwrap();
    let (log, report) = open_as(&fs, small(), OpenHow::default());
    assert_eq!((report.cut_bytes, log.log_end_offset()), (message.len() as u64, Offset(1)));
}

#[test]
fn a_failed_write_leaves_no_trace_and_a_failed_sync_closes_the_log() {
    let fs = SimFs::new();
    let mut log = open(&fs, small());
    append(&mut log, 0, 2, 0);
    fs.fault_after(0, SimFault::Full);
    let full = log.append_as_leader(valid(records(1, 2, 1)), EPOCH, at(1)).unwrap_err();
    assert!(matches!(&full, AppendError::Storage(error) if error.is_shortage()), "{full}");
    fs.heal();
    assert_eq!(append(&mut log, 2, 2, 2).first, Offset(2));
    assert_eq!(contents(&log, 0, 500)[2].1, "2:0:");
    fs.fault_after(0, SimFault::Error);
    log.flush().unwrap_err();
    assert!(log.append_as_leader(valid(records(3, 2, 3)), EPOCH, at(3)).is_err());
    assert!(log.flush().is_err());
}

#[test]
fn segments_roll_by_event_time_and_by_age() {
    let config = LogConfig { segment_ms: 1000, ..LogConfig::default() };
    let fs = SimFs::new();
    let mut log = open(&fs, config.clone());
    append(&mut log, 0, 1, 5000);
    append(&mut log, 1, 1, 6000);
    assert_eq!(log.segment_count(), 1);
    assert!(append(&mut log, 2, 1, 6001).rolled);
    // Without timestamps the wall clock counts.
    let fs = SimFs::new();
    let mut log = open(&fs, config);
    let untimed = || valid(records(0, 1, -1));
    log.append_as_leader(untimed(), EPOCH, at(0)).unwrap();
    assert!(!log.append_as_leader(untimed(), EPOCH, at(1000)).unwrap().rolled);
    assert!(log.append_as_leader(untimed(), EPOCH, at(1001)).unwrap().rolled);
}

#[test]
fn segments_roll_when_an_index_is_full() {
    let config = LogConfig { segment_index_bytes: 48, index_interval_bytes: 0, ..LogConfig::default() };
    let fs = SimFs::new();
    let mut log = open(&fs, config);
    for n in 0..20 {
        append(&mut log, n, 1, n);
    }
    assert!(log.segment_count() > 3, "{}", log.segment_count());
    assert_eq!(offsets(&log, 0), (0..20).collect::<Vec<_>>());
}

#[test]
fn files_are_named_and_filled_as_kafkas() {
    let fs = SimFs::new();
    let mut log = open(&fs, small());
    for n in 0..12 {
        append(&mut log, n, 1, n * 10);
    }
    log.close_clean().unwrap();
    let listed = names(&fs);
    for name in ["00000000000000000000.log", "00000000000000000000.index", "00000000000000000000.timeindex"] {
        assert!(listed.contains(&name.to_owned()), "{name} in {listed:?}");
    }
    assert!(listed.contains(&"00000000000000000012.snapshot".to_owned()), "{listed:?}");
    assert!(listed.contains(&"leader-epoch-checkpoint".to_owned()));
    let dir = Path::new(DIR);
    let log_bytes = fs.read(&dir.join("00000000000000000000.log"), 10_000).unwrap();
    let index = fs.read(&dir.join("00000000000000000000.index"), 10_000).unwrap();
    assert!(!index.is_empty());
    for entry in index.chunks_exact(8) {
        let relative = u32::from_be_bytes(entry[..4].try_into().unwrap());
        let position = u32::from_be_bytes(entry[4..].try_into().unwrap());
        let batch = BatchView::parse(&log_bytes[position as usize..]).unwrap();
        assert_eq!(batch.last_offset().0, i64::from(relative));
    }
    let times = fs.read(&dir.join("00000000000000000000.timeindex"), 10_000).unwrap();
    let last = times.chunks_exact(12).last().unwrap();
    let last_batch = walk(&log_bytes).last().unwrap().unwrap();
    assert_eq!(i64::from_be_bytes(last[..8].try_into().unwrap()), last_batch.max_timestamp.0);
    assert_eq!(i64::from(u32::from_be_bytes(last[8..].try_into().unwrap())), last_batch.last_offset().0);
}

#[test]
fn missing_and_broken_indexes_are_built_again() {
    let fs = SimFs::new();
    let mut log = open(&fs, small());
    for n in 0..30 {
        append(&mut log, n, 1, n * 10);
    }
    log.close_clean().unwrap();
    let dir = Path::new(DIR);
    let bases: Vec<String> = names(&fs).into_iter().filter(|name| name.ends_with(".log")).collect();
    let stem = |index: usize| bases[index].trim_end_matches(".log").to_owned();
    let kept = fs.read(&dir.join(format!("{}.index", stem(0))), 1000).unwrap();
    fs.remove_file(&dir.join(format!("{}.index", stem(0)))).unwrap();
    fs.open(&dir.join(format!("{}.timeindex", stem(1))), Open::Write).unwrap().set_len(7).unwrap();
    let (log, report) = open_as(&fs, small(), clean());
    assert_eq!((report.scanned_segments, report.cut_bytes), (2, 0));
    assert_eq!(offsets(&log, 0), (0..30).collect::<Vec<_>>());
    assert_eq!(fs.read(&dir.join(format!("{}.index", stem(0))), 1000).unwrap(), kept);
    assert_eq!(log.offset_for_timestamp(at(155), Offset(30)).unwrap().unwrap().offset, Offset(16));
}

#[test]
fn followers_keep_offsets_and_epochs() {
    let fs = SimFs::new();
    let mut log = open(&fs, small());
    let batch = |base: i64, epoch: i32| {
        records(base, 2, base)
            .base_offset(Offset(base))
            .leader_epoch(LeaderEpoch(epoch))
            .finish(Codec::None, None)
    };
    let cut = batch(99, 9);
    let all: Vec<u8> = (0..12)
        .flat_map(|n| batch(n * 3, (n / 4) as i32))
        .chain(cut[..HEADER_LEN + 3].iter().copied())
        .collect();
    let appended = log.append_as_follower(Bytes::from(all), at(0)).unwrap();
    assert_eq!((appended.first, appended.last), (Offset(0), Offset(34)));
    assert!(log.segment_count() > 1, "a follower rolls between the batches of one fetch");
    assert_eq!(log.latest_epoch(), Some(LeaderEpoch(2)));
    assert_eq!(log.end_offset_for_epoch(LeaderEpoch(0)), Some((LeaderEpoch(0), Offset(12))));
    assert_eq!(log.epoch_of(Offset(13)), Some(LeaderEpoch(1)));
    let gaps: Vec<i64> = (0..12).flat_map(|n| [n * 3, n * 3 + 1]).collect();
    assert_eq!(offsets(&log, 0), gaps);
    let error = log.append_as_follower(batch(34, 2), at(0)).unwrap_err();
    assert!(matches!(error, AppendError::BeforeLogEnd { first: Offset(34), log_end: Offset(35) }));
    let swapped = [batch(50, 2), batch(40, 2)].concat();
    assert!(matches!(log.append_as_follower(swapped.into(), at(0)), Err(AppendError::OutOfOrder { .. })));
    let mut damaged = batch(40, 2).to_vec();
    damaged[70] ^= 1;
    assert!(matches!(log.append_as_follower(damaged.into(), at(0)), Err(AppendError::Batch { at: 0, .. })));
}

#[test]
fn leader_epochs_survive_the_loss_of_their_file() {
    let fs = SimFs::new();
    let mut log = open(&fs, small());
    for epoch in 0..4 {
        for _ in 0..3 {
            log.append_as_leader(valid(records(0, 2, 0)), LeaderEpoch(epoch), at(0)).unwrap();
        }
    }
    let ends: Vec<_> = (0..4).map(|epoch| log.end_offset_for_epoch(LeaderEpoch(epoch))).collect();
    log.close_clean().unwrap();
    for damage in ["", "0\n1\nx\n"] {
        fs.replace(&Path::new(DIR).join("leader-epoch-checkpoint"), damage.as_bytes()).unwrap();
        if damage.is_empty() {
            fs.remove_file(&Path::new(DIR).join("leader-epoch-checkpoint")).unwrap();
        }
        let (log, _) = open_as(&fs, small(), clean());
        assert_eq!(
            (0..4).map(|epoch| log.end_offset_for_epoch(LeaderEpoch(epoch))).collect::<Vec<_>>(),
            ends
        );
        log.close_clean().unwrap();
    }
}

#[test]
fn truncation_forgets_records_epochs_and_producers() {
    for cut in [0, 2, 8, 9, 10, 19, 26, 39, 40, 50] {
        let fs = SimFs::new();
        let mut log = open(&fs, small());
        for n in 0..20i64 {
            let builder =
                records(n, 2, n * 10).producer(ProducerId(n % 2), ProducerEpoch(0), (n / 2 * 2) as i32);
            log.append_as_leader(valid(builder), LeaderEpoch((n / 5) as i32), at(n)).unwrap();
        }
        assert_eq!(log.truncate_to(Offset(cut), at(100)).unwrap(), cut < 40, "{cut}");
        let end = cut.min(40);
        assert_eq!(log.log_end_offset(), Offset(end));
        let kept = end / 2 * 2;
        assert_eq!(offsets_below_gap(&log), (0..kept).collect::<Vec<_>>(), "{cut}");
        let batches = kept / 2;
        let expected = |id: i64| {
            let last = (0..batches).filter(|n| n % 2 == id).max();
            last.map(|n| (n / 2 * 2 + 1) as i32)
        };
        for id in 0..2 {
            let entry = log.producers().into_iter().find(|entry| entry.producer_id.0 == id);
            assert_eq!(entry.map(|entry| entry.last_sequence), expected(id), "cut {cut} producer {id}");
        }
        let latest = log.latest_epoch().map(|epoch| epoch.0);
        assert_eq!(latest, (0..4).filter(|epoch| epoch * 10 < end).max().map(|epoch| epoch as i32));
        let max = log.max_timestamp().unwrap().map(|found| found.timestamp.0);
        assert_eq!(max, (batches > 0).then(|| (batches - 1) * 10 + 1));
        // The log goes on, and what it says survives a kill.
        append(&mut log, 77, 2, 5000);
        assert_eq!(log.log_end_offset(), Offset(end + 2));
        drop(log);
        let log = open(&fs, small());
        assert_eq!(log.log_end_offset(), Offset(end + 2), "{cut}");
    }
}

/// Offsets of the records that are there; a cut inside a batch leaves a gap at the end.
fn offsets_below_gap(log: &Log) -> Vec<i64> {
    let mut found = Vec::new();
    let mut next = Offset(0);
    loop {
        let slice = log.read(next, 200, log.log_end_offset(), true).unwrap();
        if slice.is_empty() {
            return found;
        }
        for batch in walk(&slice.read_all().unwrap()) {
            let batch = batch.unwrap();
            found.extend(batch.base_offset.0..=batch.last_offset().0);
            next = batch.next_offset();
        }
    }
}

#[test]
fn a_log_restarted_elsewhere_begins_there() {
    let fs = SimFs::new();
    let mut log = open(&fs, small());
    for n in 0..10 {
        idempotent(&mut log, 1, (n * 2) as i32, n).unwrap();
    }
    log.truncate_fully_and_start_at(Offset(500), at(1)).unwrap();
    assert_eq!((log.log_start_offset(), log.log_end_offset()), (Offset(500), Offset(500)));
    assert!(log.producers().is_empty() && log.latest_epoch().is_none());
    assert_eq!(append(&mut log, 0, 2, 2).first, Offset(500));
    drop(log);
    let log = open(&fs, small());
    assert_eq!((log.log_start_offset(), offsets(&log, 500)), (Offset(500), vec![500, 501]));
}

#[test]
fn retention_by_size_keeps_as_much_as_allowed() {
    let fs = SimFs::new();
    let mut log = open(&fs, LogConfig { retention_bytes: 2500, retention_ms: -1, ..small() });
    for n in 0..30 {
        append(&mut log, n, 2, n);
    }
    let before = log.size();
    let report = log.retain(at(100), Offset(60)).unwrap();
    assert_eq!(report.bytes, before - log.size());
    assert!(log.size() >= 2500 && log.size() < 2500 + 1000, "{}", log.size());
    assert_eq!(log.log_start_offset(), log.segments[0].base);
    assert_eq!(offsets(&log, log.log_start_offset().0), (log.log_start_offset().0..60).collect::<Vec<_>>());
    assert!(log.latest_epoch().is_some());
}

#[test]
fn retention_by_time_removes_even_the_last_segment_but_not_above_the_bound() {
    let fs = SimFs::new();
    let mut log = open(&fs, LogConfig { retention_ms: 1000, ..small() });
    for n in 0..20 {
        append(&mut log, n, 2, n * 10);
    }
    assert_eq!(log.retain(at(1000), Offset(40)).unwrap().segments, 0);
    let bound = log.segments[2].base;
    assert_eq!(log.retain(at(5000), bound).unwrap().segments, 2);
    assert_eq!(log.log_start_offset(), bound);
    log.retain(at(5000), Offset(40)).unwrap();
    assert_eq!((log.log_start_offset(), log.log_end_offset(), log.size()), (Offset(40), Offset(40), 0));
    assert_eq!(append(&mut log, 1, 1, 6000).first, Offset(40));
    // Files wait for their readers, then go.
    assert!(names(&fs).iter().any(|name| name.ends_with(".deleted")));
    assert_eq!(log.remove_deleted(at(5000)).unwrap(), Some(at(65_000)));
    assert_eq!(log.remove_deleted(at(65_000)).unwrap(), None);
    assert!(!names(&fs).iter().any(|name| name.ends_with(".deleted")));
}

#[test]
fn slices_outlive_the_segments_they_came_from() {
    let fs = SimFs::new();
    let mut log = open(&fs, LogConfig { retention_ms: 0, file_delete_delay_ms: 0, ..small() });
    for n in 0..20 {
        append(&mut log, n, 2, n);
    }
    let slice = log.read(Offset(0), 10_000, Offset(40), true).unwrap();
    log.retain(at(100_000), Offset(40)).unwrap();
    log.remove_deleted(at(100_000)).unwrap();
    assert!(walk(&slice.read_all().unwrap()).all(|batch| batch.unwrap().check_crc().is_ok()));
}

#[test]
fn deleted_records_are_hidden_at_once_and_removed_by_segments() {
    let fs = SimFs::new();
    let mut log = open(&fs, LogConfig { delete: false, compact: true, ..small() });
    for n in 0..20 {
        append(&mut log, n, 2, n);
    }
    let inside = log.segments[2].base.plus(1);
    assert!(log.advance_log_start(inside).unwrap());
    assert!(!log.advance_log_start(Offset(1)).unwrap());
    assert!(matches!(log.read(inside.plus(-1), 1, Offset(40), true), Err(ReadError::OutOfRange { .. })));
    assert!(log.log_start_needs_checkpoint());
    assert_eq!(log.retain(at(0), Offset(40)).unwrap().segments, 2);
    assert_eq!(log.log_start_offset(), inside);
    assert_eq!(offsets(&log, inside.0)[0], inside.0);
    drop(log);
    let how = OpenHow { log_start: inside, ..OpenHow::default() };
    assert_eq!(open_as(&fs, small(), how).0.log_start_offset(), inside);
}

#[test]
fn a_log_start_above_the_end_begins_an_empty_log_there() {
    let fs = SimFs::new();
    let mut log = open(&fs, small());
    append(&mut log, 0, 2, 0);
    drop(log);
    let how = OpenHow { log_start: Offset(10), ..OpenHow::default() };
    let (mut log, _) = open_as(&fs, small(), how);
    assert_eq!((log.log_start_offset(), log.log_end_offset()), (Offset(10), Offset(10)));
    assert_eq!(append(&mut log, 0, 2, 0).first, Offset(10));
}

#[test]
fn times_are_found_as_in_a_linear_search() {
    let fs = SimFs::new();
    let mut log = open(&fs, small());
    let mut model = Vec::new();
    // Out of order, with ties and gaps.
    for n in 0..40i64 {
        let ms = 1000 + (n * 37 % 23) * 10;
        let appended = append(&mut log, n, 3, ms);
        model.extend((0..3).map(|i| (appended.first.0 + i, ms + i)));
    }
    for start in [0, 50] {
        log.advance_log_start(Offset(start)).unwrap();
        log.retain(at(0), Offset(50)).unwrap();
        for target in 990..1250 {
            let expected = model.iter().find(|(offset, ms)| *ms >= target && *offset >= start);
            let found = log.offset_for_timestamp(at(target), Offset(120)).unwrap();
            assert_eq!(found.map(|found| (found.offset.0, found.timestamp.0)), expected.copied(), "{target}");
        }
    }
    let largest =
        model.iter().filter(|(offset, _)| *offset >= log.segments[0].base.0).map(|(_, ms)| *ms).max();
    let first = model.iter().find(|(offset, ms)| Some(*ms) == largest && *offset >= log.segments[0].base.0);
    let found = log.max_timestamp().unwrap().unwrap();
    assert_eq!((found.offset.0, found.timestamp.0), *first.unwrap());
    assert_eq!(log.offset_for_timestamp(at(1000), Offset(50)).unwrap(), None, "nothing below the bound");
}

#[test]
fn an_empty_log_has_no_times() {
    let log = open(&SimFs::new(), small());
    assert_eq!(log.max_timestamp().unwrap(), None);
    assert_eq!(log.offset_for_timestamp(at(0), Offset(9)).unwrap(), None);
    assert!(log.read(Offset(0), 10, Offset(0), true).unwrap().is_empty());
}

#[test]
fn batches_larger_than_a_segment_are_refused() {
    let mut log = open(&SimFs::new(), small());
    let large = log.append_as_leader(valid(records(0, 30, 0)), EPOCH, at(0)).unwrap_err();
    assert!(matches!(large, AppendError::LargerThanSegment { segment_bytes: 1000, .. }));
}

#[test]
fn flushing_follows_messages_and_time() {
    let config = LogConfig { flush_messages: 3, flush_ms: 1000, ..LogConfig::default() };
    let mut log = open(&SimFs::new(), config);
    assert!(!append(&mut log, 0, 2, 0).flush_due);
    assert!(append(&mut log, 1, 1, 0).flush_due);
    assert!(!log.flush_due(at(999)) && log.flush_due(at(1000)));
    assert_eq!(log.flush().unwrap(), Offset(3));
    assert_eq!(log.recovery_point(), Offset(3));
    assert!(!log.flush_due(at(9000)));
    assert!(!append(&mut log, 2, 2, 0).flush_due);
}

#[test]
fn a_flush_that_ran_beside_appends_and_truncations_promises_only_what_it_saw() {
    let mut log = open(&SimFs::new(), small());
    append(&mut log, 0, 2, 0);
    let plan = log.flush_plan().unwrap();
    append(&mut log, 1, 2, 0);
    let same = log.flush_plan().unwrap();
    assert!(same.files() > 0, "a file is due until a flush of it is confirmed");
    plan.run().unwrap();
    log.flushed(&plan);
    assert_eq!(log.recovery_point(), Offset(2));
    let plan = log.flush_plan().unwrap();
    plan.run().unwrap();
    log.truncate_to(Offset(1), at(0)).unwrap();
    append(&mut log, 2, 9, 0);
    log.flushed(&plan);
    assert_eq!(log.recovery_point(), Offset(1), "the plan is older than the truncation");
}

#[test]
fn aborted_transactions_are_indexed_and_found_again() {
    let fs = SimFs::new();
    let mut log = open(&fs, small());
    let data =
        |sequence| records(0, 2, 0).producer(ProducerId(7), ProducerEpoch(0), sequence).transactional();
    let marker = |commit| {
        let (key, value) = EndTransaction { commit, coordinator_epoch: 1 }.encode();
        let mut builder =
            BatchBuilder::new().producer(ProducerId(7), ProducerEpoch(0), -1).transactional().control();
        builder.push(Record { timestamp: at(5), key: Some(&key), value: Some(&value), headers: &[] });
        ValidBatch::built(builder.finish(Codec::None, None))
    };
    log.append_as_leader(valid(data(0)), EPOCH, at(0)).unwrap();
    assert_eq!(log.first_unstable_offset(Offset(2)), Some(Offset(0)));
    log.append_as_leader(marker(false), EPOCH, at(0)).unwrap();
    log.append_as_leader(valid(data(2)), EPOCH, at(0)).unwrap();
    log.append_as_leader(marker(true), EPOCH, at(0)).unwrap();
    let aborted = log.aborted_transactions(Offset(0), Offset(10)).unwrap();
    assert_eq!(aborted.len(), 1);
    assert_eq!(
        (aborted[0].first, aborted[0].last, aborted[0].last_stable),
        (Offset(0), Offset(2), Offset(3))
    );
    assert!(log.aborted_transactions(Offset(3), Offset(10)).unwrap().is_empty());
    drop(log);
    let log = open(&fs, small());
    assert_eq!(log.aborted_transactions(Offset(0), Offset(10)).unwrap(), aborted);
    assert_eq!(log.first_unstable_offset(Offset(6)), None);
}

#[test]
fn unfinished_compactions_of_kafka_are_finished_or_dropped() {
    let fs = SimFs::new();
    let mut log = open(&fs, small());
    for n in 0..20 {
        append(&mut log, n, 2, n);
    }
    let bases: Vec<i64> = log.segments.iter().map(|segment| segment.base.0).collect();
    log.close_clean().unwrap();
    let dir = Path::new(DIR);
    let name = |base: i64, suffix: &str| dir.join(format!("{base:020}{suffix}"));
    // One batch is all that compaction left of the first two segments.
    let all = fs.read(&name(bases[1], ".log"), 10_000).unwrap();
    let last = walk(&all).last().unwrap().unwrap().bytes().to_vec();
    for suffix in [".log.swap", ".index.swap", ".timeindex.swap"] {
        let content = if suffix == ".log.swap" { last.as_slice() } else { &[] };
        fs.replace(&name(bases[0], suffix), content).unwrap();
    }
    fs.replace(&name(bases[3], ".log.cleaned"), &last).unwrap();
    fs.replace(&name(bases[3], ".log.swap"), &last).unwrap();
    fs.replace(&name(bases[4], ".log.deleted"), &last).unwrap();
    let (log, _) = open_as(&fs, small(), clean());
    let expected: Vec<i64> = (bases[2] - 2..40).collect();
    assert_eq!(offsets(&log, 0), expected);
    assert!(!names(&fs).iter().any(|name| name.ends_with(".cleaned") || name.ends_with(".swap")));
}

#[test]
fn an_idle_log_opens_no_file_for_appending_and_reserves_nothing() {
    assert!(size_of::<Log>() + size_of::<Segment>() < 1500, "{}", size_of::<Log>() + size_of::<Segment>());
}

#[test]
fn a_renamed_directory_is_still_the_log() {
    let fs = SimFs::new();
    let mut log = open(&fs, small());
    append(&mut log, 0, 2, 0);
    log.rename_dir(Path::new("/data/topic-0.abc-delete")).unwrap();
    append(&mut log, 1, 20 / 2, 0);
    assert_eq!(offsets(&log, 0), (0..12).collect::<Vec<_>>());
    log.delete().unwrap();
    assert!(fs.list(Path::new("/data")).unwrap().is_empty());
}

/// A transactional batch of two records, or a marker.
fn transactional(log: &mut Log, id: i64, sequence: i32) -> Offset {
    let builder = records(id, 2, 0).producer(ProducerId(id), ProducerEpoch(0), sequence).transactional();
    log.append_as_leader(valid(builder), EPOCH, at(0)).unwrap().first
}

fn end_transaction(log: &mut Log, id: i64, commit: bool) -> Offset {
    let (key, value) = EndTransaction { commit, coordinator_epoch: 0 }.encode();
    let mut marker =
        BatchBuilder::new().producer(ProducerId(id), ProducerEpoch(0), -1).transactional().control();
    marker.push(Record { timestamp: at(0), key: Some(&key), value: Some(&value), headers: &[] });
    let marker = ValidBatch::built(marker.finish(Codec::None, None));
    log.append_as_leader(marker, EPOCH, at(0)).unwrap().first
}

#[test]
fn every_reader_learns_of_the_aborted_transactions_among_its_records() {
    let fs = SimFs::new();
    let mut log = open(&fs, small());
    let mut sequences = [0; 4];
    let mut open_since: [Option<i64>; 4] = [None; 4];
    // (producer, first, marker) of every aborted transaction; long ones reach over segments.
    let mut aborted = Vec::new();
    for n in 0..120usize {
        let id = (n * 7 % 13) % 4;
        let first = transactional(&mut log, id as i64, sequences[id]).0;
        sequences[id] += 2;
        open_since[id].get_or_insert(first);
        if n % (3 + id) == 0 {
            let commit = n % 2 == 0;
            let marker = end_transaction(&mut log, id as i64, commit).0;
            let first = open_since[id].take().unwrap();
            if !commit {
                aborted.push((id as i64, first, marker));
            }
        }
    }
    assert!(log.segment_count() > 5 && aborted.len() > 5);
    let check = |log: &Log| {
        let end = log.log_end_offset();
        for from in 0..end.0 {
            for max_bytes in [1, 400, 5000] {
                let slice = log.read(Offset(from), max_bytes, end, true).unwrap();
                let bytes = slice.read_all().unwrap();
                let last = walk(&bytes).filter_map(Result::ok).last().unwrap().last_offset().0;
                let told = log.aborted_in(Offset(from), &slice).unwrap();
                let told: Vec<_> = told.iter().map(|a| (a.producer_id.0, a.first.0, a.last.0)).collect();
                let needed = aborted.iter().filter(|(_, first, marker)| *first <= last && *marker >= from);
                for each in needed {
                    assert!(told.contains(each), "{each:?} at {from}");
                }
                assert!(told.iter().all(|each| aborted.contains(each) && each.2 >= from));
            }
        }
    };
    check(&log);
    drop(log);
    let (log, report) = open_as(&fs, small(), OpenHow::default());
    assert!(report.scanned_segments > 0);
    check(&log);
    log.close_clean().unwrap();
    check(&open_as(&fs, small(), clean()).0);
}

#[test]
fn a_fenced_producer_hears_of_its_epoch_before_anything_else() {
    let fs = SimFs::new();
    let mut log = open(&fs, small());
    let (key, value) = EndTransaction { commit: false, coordinator_epoch: 0 }.encode();
    let mut marker =
        BatchBuilder::new().producer(ProducerId(7), ProducerEpoch(1), -1).transactional().control();
    marker.push(Record { timestamp: at(0), key: Some(&key), value: Some(&value), headers: &[] });
    let marker = ValidBatch::built(marker.finish(Codec::None, None));
    log.append_as_leader(marker, EPOCH, at(0)).unwrap();
    let batch = |epoch: i16, sequence: i32, guard: Guard| {
        let builder = records(7, 1, 0).producer(ProducerId(7), ProducerEpoch(epoch), sequence);
        let origin = Origin::Transaction { produce_version: 12, guard };
        ValidBatch { origin, ..valid(builder.transactional()) }
    };
    let asked = log.begin_verification(batch(0, 1, Guard::NOT_ASKED).header(), true, at(0));
    for guard in [Guard::NOT_ASKED, asked] {
        let refused = log.append_as_leader(batch(0, 1, guard), EPOCH, at(0)).unwrap_err();
        assert!(matches!(refused, AppendError::ProducerEpoch { .. }), "{refused}");
    }
    let refused = log.append_as_leader(batch(1, 0, Guard::NOT_ASKED), EPOCH, at(0)).unwrap_err();
    assert!(matches!(refused, AppendError::NotVerified { .. }), "{refused}");
}
