//! Tests of single rules of compaction over the simulated disk; random histories stand in `tests/compaction`.

use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::batch::{BatchBuilder, EndTransaction, Header, Record, walk};
use crate::compress::Codec;
use crate::fs::{Fs, Open, SimFs};
use crate::ids::LeaderEpoch;
use crate::log::OpenHow;
use crate::validate::ValidBatch;

const DIR: &str = "/data/topic-0";
const RETENTION_MS: i64 = 1000;

fn compacted() -> LogConfig {
    LogConfig {
        segment_bytes: 10_000,
        index_interval_bytes: 100,
        delete: false,
        compact: true,
        delete_retention_ms: RETENTION_MS,
        producer_expiration_ms: i64::MAX,
        ..LogConfig::default()
    }
}

fn open(fs: &SimFs, config: LogConfig) -> Log {
    Log::open(Arc::new(fs.clone()), Path::new(DIR), config, OpenHow::default(), Timestamp(0)).unwrap().0
}

fn new_log() -> (SimFs, Log) {
    let fs = SimFs::new();
    let log = open(&fs, compacted());
    (fs, log)
}

/// Lets `left` calls pass, then ends the cleaning.
struct Until(Cell<u32>);

impl Pace for Until {
    fn passed(&self, _bytes: u64) -> Result<(), CleanError> {
        let left = self.0.get().checked_sub(1).ok_or(CleanError::Aborted)?;
        self.0.set(left);
        Ok(())
    }
}

fn forever() -> Until {
    Until(Cell::new(u32::MAX))
}

fn builder(records: &[(&str, Option<&str>)], ms: i64) -> BatchBuilder {
    let mut builder = BatchBuilder::new();
    for (key, value) in records {
        let key = (!key.is_empty()).then_some(key.as_bytes());
        let value = value.map(str::as_bytes);
        builder.push(Record { timestamp: Timestamp(ms), key, value, headers: &[] });
    }
    builder
}

fn append(log: &mut Log, builder: BatchBuilder, codec: Codec) {
    let batch = ValidBatch::built(builder.finish(codec, None));
    log.append_as_leader(batch, LeaderEpoch(0), Timestamp(0)).unwrap();
}

fn put(log: &mut Log, records: &[(&str, Option<&str>)], ms: i64) {
    append(log, builder(records, ms), Codec::None);
}

fn transactional(log: &mut Log, producer: i64, sequence: i32, records: &[(&str, Option<&str>)]) {
    let batch =
        builder(records, 1).producer(ProducerId(producer), ProducerEpoch(0), sequence).transactional();
    append(log, batch, Codec::None);
}

fn marker(log: &mut Log, producer: i64, commit: bool) {
    let (key, value) = EndTransaction { commit, coordinator_epoch: 0 }.encode();
    let mut batch = BatchBuilder::new().producer(ProducerId(producer), ProducerEpoch(0), -1);
    batch.push(Record { timestamp: Timestamp(1), key: Some(&key), value: Some(&value), headers: &[] });
    append(log, batch.transactional().control(), Codec::None);
}

fn roll(log: &mut Log) {
    log.roll(Timestamp(0)).unwrap();
}

/// Cleans all that is closed, from the first dirty offset on, with a map of so many keys.
fn clean_with(
    log: &mut Log,
    first_dirty: i64,
    keys: usize,
    now: i64,
    pace: &Until,
) -> Result<(Offset, CleanStats), CleanError> {
    log.flush()?;
    let end = log.log_end_offset();
    let stable = log.first_unstable_offset(end).unwrap_or(end);
    let what = log.cleanable(Some(Offset(first_dirty)), stable, Timestamp(now))?;
    let mut cleaning = log.begin_cleaning(&what, Timestamp(now))?;
    let map = OffsetMap::new(keys * 24, 1.0, cleaning.keys_max(), (5, 6));
    let mut means = Means { map, buffer: 256, pace };
    let end = cleaning.index(&mut means)?;
    while let Some(cleaned) = cleaning.next_group(&mut means)? {
        log.swap_in(cleaned, Timestamp(now))?;
    }
    Ok((end, cleaning.stats()))
}

fn clean(log: &mut Log, first_dirty: i64, now: i64) -> (Offset, CleanStats) {
    clean_with(log, first_dirty, 1000, now, &forever()).unwrap()
}

/// Every batch of the log: its header and the offsets of its records.
fn batches(log: &Log) -> Vec<(Header, Vec<i64>)> {
    let mut found = Vec::new();
    let mut next = log.log_start_offset();
    while next < log.log_end_offset() {
        let bytes = log.read(next, 1000, log.log_end_offset(), true).unwrap().read_all().unwrap();
        for batch in walk(&bytes) {
            let batch = batch.unwrap();
            batch.check_crc().unwrap();
            let mut scratch = Vec::new();
            let records = batch.records(&mut scratch, 1 << 20).unwrap();
            found.push((*batch.header(), records.map(|record| record.unwrap().offset.0).collect()));
            next = batch.next_offset();
        }
    }
    found
}

fn offsets(log: &Log) -> Vec<i64> {
    batches(log).into_iter().flat_map(|(_, offsets)| offsets).collect()
}

#[test]
fn a_batch_that_loses_nothing_keeps_every_byte() {
    let (fs, mut log) = new_log();
    for codec in Codec::ALL {
        append(
            &mut log,
            builder(&[(&format!("{codec}1"), Some("v")), (&format!("{codec}2"), Some("w"))], 5),
            codec,
        );
    }
    let path = Path::new("/data/topic-0/00000000000000000000.log");
    let before = fs.read(path, 10_000).unwrap();
    roll(&mut log);
    let (end, stats) = clean(&mut log, 0, 10);
    assert_eq!(fs.read(path, 10_000).unwrap(), before);
    assert_eq!((end, stats.read_records, stats.written_records), (Offset(10), 10, 10));
    assert_eq!((stats.read_bytes, stats.written_bytes), (before.len() as u64, before.len() as u64));
}

#[test]
fn codecs_stay_what_they_are_when_records_go() {
    for codec in Codec::ALL {
        let (_, mut log) = new_log();
        append(&mut log, builder(&[("a", Some("1")), ("b", Some("2")), ("c", Some("3"))], 5), codec);
        put(&mut log, &[("b", Some("4"))], 6);
        roll(&mut log);
        clean(&mut log, 0, 10);
        let batches = batches(&log);
        assert_eq!(offsets(&log), [0, 2, 3], "{codec}");
        assert_eq!((batches[0].0.codec().unwrap(), batches[0].0.last_offset()), (codec, Offset(2)));
    }
}

#[test]
fn small_segments_grow_together_and_old_files_go_later() {
    let (fs, mut log) = new_log();
    for n in 0..6 {
        put(&mut log, &[("k", Some("v")), (&n.to_string(), Some("w"))], 5);
        roll(&mut log);
    }
    assert_eq!(log.segment_count(), 7);
    clean(&mut log, 0, 10);
    assert_eq!((log.segment_count(), offsets(&log)), (2, vec![1, 3, 5, 7, 9, 10, 11]));
    let names = || fs.list(Path::new(DIR)).unwrap().into_iter().map(|entry| entry.name).collect::<Vec<_>>();
    assert!(names().contains(&"00000000000000000002.log.deleted".to_owned()), "{:?}", names());
    assert!(!names().contains(&"00000000000000000002.snapshot".to_owned()));
    log.remove_deleted(Timestamp(10 + log.config().file_delete_delay_ms)).unwrap();
    assert!(!names().iter().any(|name| name.ends_with(".deleted")), "{:?}", names());
    drop(log);
    let log = open(&fs, compacted());
    assert_eq!(offsets(&log), [1, 3, 5, 7, 9, 10, 11]);
}

#[test]
fn tombstones_go_after_the_horizon_that_their_batch_was_given() {
    let (_, mut log) = new_log();
    put(&mut log, &[("a", Some("1")), ("b", Some("2"))], 5);
    put(&mut log, &[("a", None)], 6);
    roll(&mut log);
    put(&mut log, &[("c", Some("3"))], 7);
    roll(&mut log);
    clean(&mut log, 0, 100);
    assert_eq!(offsets(&log), [1, 2, 3]);
    let tombstone = batches(&log)[1].0;
    assert_eq!(tombstone.delete_horizon(), Some(Timestamp(100 + RETENTION_MS)));
    assert_eq!((tombstone.max_timestamp, tombstone.base_offset), (Timestamp(6), Offset(2)));
    // A later cleaning does not move the horizon.
    clean(&mut log, 0, 100 + RETENTION_MS - 1);
    assert_eq!(batches(&log)[1].0.delete_horizon(), Some(Timestamp(100 + RETENTION_MS)));
    clean(&mut log, 0, 100 + RETENTION_MS);
    assert_eq!(offsets(&log), [1, 3]);
}

#[test]
fn the_last_batch_of_a_producer_and_of_the_round_stay_without_records() {
    let (_, mut log) = new_log();
    let idempotent =
        |sequence| builder(&[("k", Some("v"))], 5).producer(ProducerId(9), ProducerEpoch(0), sequence);
    append(&mut log, idempotent(0), Codec::Gzip);
    append(&mut log, idempotent(1), Codec::Gzip);
    put(&mut log, &[("k", Some("w"))], 6);
    put(&mut log, &[("", Some("a record without a key"))], 6);
    roll(&mut log);
    let (_, stats) = clean(&mut log, 0, 10);
    let told: Vec<_> =
        batches(&log).iter().map(|(header, offsets)| (header.base_offset.0, offsets.clone())).collect();
    assert_eq!(told, [(1, vec![]), (2, vec![2]), (3, vec![])]);
    assert_eq!((batches(&log)[0].0.last_sequence(), stats.keyless_records), (1, 1));
    // Once others have taken their place, neither is needed.
    append(&mut log, idempotent(2), Codec::None);
    roll(&mut log);
    clean(&mut log, 4, 10);
    let told: Vec<_> =
        batches(&log).iter().map(|(header, offsets)| (header.base_offset.0, offsets.clone())).collect();
    assert_eq!(told, [(4, vec![4])]);
}

#[test]
fn aborted_records_go_at_once_and_their_marker_when_its_time_has_come() {
    let (_, mut log) = new_log();
    transactional(&mut log, 1, 0, &[("a", Some("kept"))]);
    transactional(&mut log, 2, 0, &[("a", Some("aborted")), ("z", Some("aborted"))]);
    // The abort stands in a later segment than the records.
    roll(&mut log);
    marker(&mut log, 1, true);
    marker(&mut log, 2, false);
    // Both producers go on, so that these batches are not their last.
    for producer in [1, 2] {
        transactional(&mut log, producer, 2, &[(&format!("last {producer}"), Some("v"))]);
        marker(&mut log, producer, true);
    }
    roll(&mut log);
    clean(&mut log, 0, 100);
    assert_eq!(offsets(&log), [0, 3, 4, 5, 6, 7, 8]);
    let aborted = log.aborted_transactions(Offset(0), Offset(9)).unwrap();
    assert_eq!(
        aborted.iter().map(|each| (each.producer_id.0, each.first.0, each.last.0)).collect::<Vec<_>>(),
        [(2, 1, 4)]
    );
    // Now the marker has nothing to end: its time begins, then it goes. The commit still ends a record that is left.
    clean(&mut log, 0, 200);
    let header =
        |log: &Log, offset| batches(log).into_iter().find(|(header, _)| header.base_offset.0 == offset);
    assert_eq!(header(&log, 4).unwrap().0.delete_horizon(), Some(Timestamp(200 + RETENTION_MS)));
    assert!(log.aborted_transactions(Offset(0), Offset(9)).unwrap().is_empty());
    assert_eq!(header(&log, 3).unwrap().0.delete_horizon(), None);
    clean(&mut log, 0, 200 + RETENTION_MS);
    assert_eq!(offsets(&log), [0, 3, 5, 6, 7, 8]);
}

#[test]
fn nothing_from_an_open_transaction_on_is_cleaned() {
    let (_, mut log) = new_log();
    put(&mut log, &[("a", Some("1"))], 5);
    roll(&mut log);
    put(&mut log, &[("a", Some("2"))], 5);
    transactional(&mut log, 7, 0, &[("a", Some("open"))]);
    roll(&mut log);
    put(&mut log, &[("a", Some("3"))], 5);
    roll(&mut log);
    let what = log.cleanable(None, Offset(2), Timestamp(10)).unwrap();
    assert_eq!(
        (what.first_dirty, what.first_uncleanable, what.waits_for_stable),
        (Offset(0), Offset(1), true)
    );
    let (end, _) = clean(&mut log, 0, 10);
    assert_eq!((end, offsets(&log)), (Offset(1), vec![0, 1, 2, 3]));
}

#[test]
fn a_full_map_cleans_a_part_and_the_next_round_goes_on_there() {
    let (_, mut log) = new_log();
    for n in 0..20 {
        put(&mut log, &[(&format!("key {}", n % 10), Some("v"))], 5);
    }
    roll(&mut log);
    // Three slots of which one stays empty: two keys a round.
    let (end, stats) = clean_with(&mut log, 0, 3, 10, &forever()).unwrap();
    assert_eq!((end, offsets(&log).len()), (Offset(2), 20));
    assert!(stats.map_utilization > 0.6);
    let mut first_dirty = end;
    let mut rounds = 1;
    while first_dirty < Offset(20) {
        let (end, _) = clean_with(&mut log, first_dirty.0, 3, 10, &forever()).unwrap();
        assert!(end > first_dirty, "no way on from {first_dirty}");
        first_dirty = end;
        rounds += 1;
    }
    assert_eq!((offsets(&log), rounds), ((10..20).collect(), 10));
}

#[test]
fn what_can_be_cleaned_follows_ratio_lags_and_checkpoint() {
    let (_, mut log) = new_log();
    for ms in [100, 200, 300] {
        put(&mut log, &[("k", Some("v"))], ms);
        roll(&mut log);
    }
    let look = |log: &mut Log, checkpoint: Option<i64>, now| {
        log.cleanable(checkpoint.map(Offset), Offset(3), Timestamp(now)).unwrap()
    };
    let all = look(&mut log, None, 1000);
    let size = all.cleanable_bytes / 3;
    assert_eq!((all.first_dirty, all.first_uncleanable, all.clean_bytes), (Offset(0), Offset(3), 0));
    assert!((all.ratio() - 1.0).abs() < 1e-9 && all.is_due(0.99) && !all.is_due(1.0));
    let rest = look(&mut log, Some(2), 1000);
    assert_eq!((rest.clean_bytes, rest.cleanable_bytes, rest.checkpoint_invalid), (2 * size, size, false));
    assert!(rest.is_due(0.3) && !rest.is_due(0.34));
    let none = look(&mut log, Some(3), 1000);
    assert!(none.cleanable_bytes == 0 && !none.is_due(0.0) && !none.waits_for_stable);
    let beyond = look(&mut log, Some(4), 1000);
    assert_eq!((beyond.first_dirty, beyond.checkpoint_invalid), (Offset(0), true));

    log.set_config(LogConfig { min_compaction_lag_ms: 750, ..compacted() });
    let lagging = look(&mut log, None, 1000);
    assert_eq!((lagging.first_uncleanable, lagging.look_again), (Offset(2), Some(Timestamp(1050))));
    assert_eq!(look(&mut log, None, 1050).first_uncleanable, Offset(3));

    log.set_config(LogConfig { max_compaction_lag_ms: 800, ..compacted() });
    assert_eq!(look(&mut log, None, 900).look_again, Some(Timestamp(901)));
    let overdue = look(&mut log, None, 950);
    assert_eq!((overdue.overdue_ms, overdue.is_due(1.0)), (50, true));

    log.advance_log_start(Offset(1)).unwrap();
    let moved = look(&mut log, Some(0), 1000);
    assert_eq!((moved.first_dirty, moved.checkpoint_invalid), (Offset(1), true));
}

#[test]
fn what_is_not_flushed_is_not_cleaned() {
    let (_, mut log) = new_log();
    put(&mut log, &[("k", Some("1"))], 5);
    roll(&mut log);
    log.flush().unwrap();
    put(&mut log, &[("k", Some("2"))], 5);
    roll(&mut log);
    let what = log.cleanable(None, Offset(2), Timestamp(10)).unwrap();
    let mut cleaning = log.begin_cleaning(&what, Timestamp(10)).unwrap();
    let mut means = Means { map: OffsetMap::new(1000, 0.9, 10, (1, 1)), buffer: 100, pace: &forever() };
    assert_eq!(cleaning.index(&mut means).unwrap(), Offset(1));
}

#[test]
fn a_cleaning_that_ends_early_or_comes_too_late_changes_nothing() {
    let leftovers = |fs: &SimFs| {
        let names = fs.list(Path::new(DIR)).unwrap().into_iter().map(|entry| entry.name);
        names.filter(|name| name.ends_with(".cleaned") || name.ends_with(".swap")).count()
    };
    let filled = || {
        let (fs, mut log) = new_log();
        for n in 0..30 {
            put(&mut log, &[(&(n % 3).to_string(), Some("some value"))], 5);
        }
        roll(&mut log);
        put(&mut log, &[("k", Some("active"))], 5);
        (fs, log)
    };
    for calls in 0..8 {
        let (fs, mut log) = filled();
        let outcome = clean_with(&mut log, 0, 100, 10, &Until(Cell::new(calls)));
        assert!(matches!(outcome, Err(CleanError::Aborted)), "{calls}: {outcome:?}");
        assert_eq!((offsets(&log).len(), leftovers(&fs)), (31, 0));
    }
    let cuts: [fn(&mut Log); 2] = [
        |log| assert!(log.truncate_to(Offset(20), Timestamp(0)).unwrap()),
        |log| {
            log.set_config(LogConfig { delete: true, retention_bytes: 0, ..compacted() });
            log.retain(Timestamp(0), Offset(30)).unwrap();
        },
    ];
    for cut in cuts {
        let (fs, mut log) = filled();
        log.flush().unwrap();
        let what = log.cleanable(None, Offset(31), Timestamp(10)).unwrap();
        let mut cleaning = log.begin_cleaning(&what, Timestamp(10)).unwrap();
        let pace = forever();
        let mut means = Means { map: OffsetMap::new(10_000, 0.9, 100, (1, 1)), buffer: 100, pace: &pace };
        cleaning.index(&mut means).unwrap();
        let cleaned = cleaning.next_group(&mut means).unwrap().unwrap();
        cut(&mut log);
        let before = offsets(&log);
        assert!(matches!(log.swap_in(cleaned, Timestamp(10)), Err(CleanError::Aborted)));
        assert_eq!((offsets(&log), leftovers(&fs)), (before, 0));
        put(&mut log, &[("k", Some("and on"))], 5);
    }
}

#[test]
fn a_damaged_batch_ends_the_cleaning_and_stays_for_the_operator() {
    let (fs, mut log) = new_log();
    put(&mut log, &[("a", Some("1"))], 5);
    put(&mut log, &[("a", Some("2"))], 5);
    roll(&mut log);
    log.flush().unwrap();
    let path = Path::new("/data/topic-0/00000000000000000000.log");
    fs.open(path, Open::Write).unwrap().write_at(b"!", 70).unwrap();
    let outcome = clean_with(&mut log, 0, 100, 10, &forever());
    assert!(matches!(outcome, Err(CleanError::Storage(StorageError::Corrupt { .. }))), "{outcome:?}");
    assert_eq!(log.segment_count(), 2);
    put(&mut log, &[("a", Some("3"))], 5);
}

#[test]
fn times_and_offsets_are_found_in_a_cleaned_log() {
    let (fs, mut log) = new_log();
    let value = "x".repeat(90);
    for n in 0..60i64 {
        put(&mut log, &[(&(n % 20).to_string(), Some(&value))], 1000 + n * 10);
    }
    roll(&mut log);
    put(&mut log, &[("end", Some("v"))], 9000);
    clean(&mut log, 0, 10_000);
    let check = |log: &Log| {
        assert_eq!(offsets(log)[..20], (40..60).collect::<Vec<i64>>());
        for n in 0..60i64 {
            let found = log.offset_for_timestamp(Timestamp(1000 + n * 10), Offset(61)).unwrap().unwrap();
            assert_eq!(found.offset.0, n.max(40));
            assert_eq!(log.read(Offset(n), 1, Offset(61), true).unwrap().first, Offset(n.max(40)));
        }
        assert_eq!(log.max_timestamp().unwrap().unwrap().offset, Offset(60));
    };
    check(&log);
    log.close_clean().unwrap();
    check(
        &Log::open(
            Arc::new(fs),
            Path::new(DIR),
            compacted(),
            OpenHow { clean: true, ..OpenHow::default() },
            Timestamp(0),
        )
        .unwrap()
        .0,
    );
}

#[test]
fn a_file_whose_records_have_no_time_keeps_its_own() {
    let (fs, mut log) = new_log();
    fs.set_now(Timestamp(777));
    put(&mut log, &[("a", Some("1"))], -1);
    roll(&mut log);
    fs.set_now(Timestamp(999));
    clean(&mut log, 0, 1000);
    let meta = fs.meta(Path::new("/data/topic-0/00000000000000000000.log")).unwrap().unwrap();
    assert_eq!(meta.modified, Timestamp(777));
}
