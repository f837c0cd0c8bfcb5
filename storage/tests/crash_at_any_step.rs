//! Random operations on a log, a death or a loss of power at any step of the disk, and what must be left then.
//!
//! It must never know how the log keeps its files: only what went in and what comes out.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use milena_storage::StorageError;
use milena_storage::batch::{BatchBuilder, Record, walk};
use milena_storage::compress::Codec;
use milena_storage::fs::{Fs, Open, SimFault, SimFs, SimLie};
use milena_storage::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Timestamp};
use milena_storage::log::{AppendError, Log, LogConfig, OpenHow};
use milena_storage::validate::ValidBatch;
use proptest::prelude::*;

const DIR: &str = "/data/t-0";

#[derive(Clone, Debug)]
enum Op {
    /// Appends this many records.
    Append(u8),
    /// Appends four batches together, the first and the last of one producer.
    Together(u8),
    /// Appends two batches as a follower.
    Follow(u8),
    Flush,
    Roll,
    /// Cuts this many records from the end.
    Truncate(u8),
    /// Stops and starts cleanly.
    Restart,
    /// Stops without ceremony, starts again.
    Kill,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        8 => (1u8..6).prop_map(Op::Append),
        4 => (1u8..6).prop_map(Op::Together),
        2 => (1u8..6).prop_map(Op::Follow),
        3 => Just(Op::Flush),
        2 => Just(Op::Roll),
        2 => (1u8..20).prop_map(Op::Truncate),
        1 => Just(Op::Restart),
        1 => Just(Op::Kill),
    ];
    proptest::collection::vec(op, 1..50)
}

/// What must be in the log: the tag of the batch that wrote each offset.
#[derive(Clone, Debug, Default)]
struct Model {
    tags: Vec<i64>,
    /// Offsets below were flushed.
    durable: usize,
    /// What the checkpoint of the recovery point says.
    checkpoint: i64,
    /// Every tag that was ever written at an offset, by offset.
    history: Vec<Vec<i64>>,
    next_tag: i64,
}

impl Model {
    fn push(&mut self, tag: i64, count: usize) {
        for _ in 0..count {
            let offset = self.tags.len();
            self.tags.push(tag);
            if self.history.len() <= offset {
                self.history.push(Vec::new());
            }
            self.history[offset].push(tag);
        }
    }
}

struct Run {
    fs: SimFs,
    /// As the Raft log is: longer than what it holds, without a file of epochs, checked whole at each start.
    raft: bool,
    log: Option<Log>,
    model: Model,
    /// What the log may be after the operation that is under way: between this and `model.tags`.
    before: Vec<i64>,
}

fn config(raft: bool) -> LogConfig {
    LogConfig {
        segment_bytes: 1500,
        index_interval_bytes: 200,
        contiguous: true,
        retention_ms: -1,
        length_step: if raft { 600 } else { 0 },
        epoch_file: !raft,
        ..LogConfig::default()
    }
}

fn batch(tag: i64, count: u8) -> BatchBuilder {
    let mut builder = BatchBuilder::new();
    for _ in 0..count {
        let value = tag.to_be_bytes();
        builder.push(Record {
            timestamp: Timestamp(tag),
            key: Some(&value),
            value: Some(&[9; 40]),
            headers: &[],
        });
    }
    builder
}

impl Run {
    fn new(raft: bool) -> Self {
        let fs = SimFs::new();
        // The log directory is the broker's to make; a partition's is the log's.
        fs.create_dir_all(Path::new("/data")).expect("no fault yet");
        fs.sync_dir(Path::new("/")).expect("no fault yet");
        Self { fs, raft, log: None, model: Model::default(), before: Vec::new() }
    }

    fn open(&mut self, clean: bool) -> Result<(), StorageError> {
        let clean = clean && !self.raft;
        let recovery_point = Offset(if self.raft { 0 } else { self.model.checkpoint });
        let how = OpenHow { clean, recovery_point, log_start: Offset(0) };
        let fs = Arc::new(self.fs.clone());
        let (log, report) = Log::open(fs, Path::new(DIR), config(self.raft), how, Timestamp(0))?;
        assert!(!clean || report.scanned_segments == 0, "{report:?} after a clean stop");
        self.log = Some(log);
        Ok(())
    }

    fn apply(&mut self, op: &Op) -> Result<(), AppendError> {
        self.before.clone_from(&self.model.tags);
        match op {
            Op::Append(count) => self.append(*count)?,
            Op::Together(count) => self.append_together(*count)?,
            Op::Follow(count) => self.follow(*count)?,
            Op::Flush => {
                self.log().flush()?;
                self.model.durable = self.model.tags.len();
                self.checkpoint();
            }
            Op::Roll => self.log().roll(Timestamp(0))?,
            Op::Truncate(back) => {
                // Truncation happens at the ends of batches.
                let mut end = self.model.tags.len().saturating_sub(usize::from(*back));
                while end > 0
                    && end < self.model.tags.len()
                    && self.model.tags[end] == self.model.tags[end - 1]
                {
                    end -= 1;
                }
                self.model.durable = self.model.durable.min(end);
                self.model.tags.truncate(end);
                self.model.checkpoint = self.model.checkpoint.min(end as i64);
                self.log().truncate_to(Offset(end as i64), Timestamp(0))?;
            }
            Op::Restart => {
                self.log.take().expect("open").close_clean()?;
                self.model.durable = self.model.tags.len();
                self.model.checkpoint = self.model.durable as i64;
                self.open(true)?;
                self.checkpoint();
            }
            Op::Kill => self.open(false)?,
        }
        Ok(())
    }

    fn checkpoint(&mut self) {
        self.model.checkpoint = self.log().recovery_checkpoint().0;
    }

    fn log(&mut self) -> &mut Log {
        self.log.as_mut().expect("open")
    }

    fn append(&mut self, count: u8) -> Result<(), AppendError> {
        let tag = self.model.next_tag;
        let sequence = self.next_sequence(tag);
        let valid = self.next_batch(count, sequence);
        let epoch = LeaderEpoch((tag / 7) as i32);
        self.log().append_as_leader(valid, epoch, Timestamp(0))?;
        Ok(())
    }

    fn append_together(&mut self, count: u8) -> Result<(), AppendError> {
        // All of one epoch.
        if self.model.next_tag % 7 > 3 {
            self.model.next_tag += 7 - self.model.next_tag % 7;
        }
        let first = self.model.next_tag;
        let sequences = (0..4i64).map(|n| {
            let behind_first = if n == 3 { i32::from(count) } else { 0 };
            self.next_sequence(first + n) + behind_first
        });
        let sequences: Vec<i32> = sequences.collect();
        let batches: Vec<_> =
            sequences.into_iter().map(|sequence| self.next_batch(count, sequence)).collect();
        let epoch = LeaderEpoch((first / 7) as i32);
        let appended = self.log().append_all_as_leader(&batches, epoch, Timestamp(0));
        assert!(appended.len() == 4 || appended.last().is_some_and(Result::is_err));
        appended.into_iter().collect::<Result<Vec<_>, _>>().map(drop)
    }

    /// Of the producer that writes this tag.
    fn next_sequence(&mut self, tag: i64) -> i32 {
        let producer = ProducerId(tag % 3);
        let known = self.log().producers().into_iter().find(|entry| entry.producer_id == producer);
        known.map_or(0, |entry| entry.last_sequence + 1)
    }

    fn next_batch(&mut self, count: u8, sequence: i32) -> ValidBatch {
        let tag = self.model.next_tag;
        self.model.next_tag += 1;
        self.model.push(tag, usize::from(count));
        let builder = batch(tag, count).producer(ProducerId(tag % 3), ProducerEpoch(0), sequence);
        ValidBatch::built(builder.finish(Codec::None, None))
    }

    fn follow(&mut self, count: u8) -> Result<(), AppendError> {
        let mut bytes = Vec::new();
        for _ in 0..2 {
            let (tag, base) = (self.model.next_tag, self.model.tags.len() as i64);
            self.model.next_tag += 1;
            self.model.push(tag, usize::from(count));
            let epoch = LeaderEpoch((tag / 7) as i32);
            let builder = batch(tag, count).base_offset(Offset(base)).leader_epoch(epoch);
            bytes.extend_from_slice(&builder.finish(Codec::None, None));
        }
        self.log().append_as_follower(Bytes::from(bytes), Timestamp(0))?;
        Ok(())
    }

    /// The tags in the log, read through its public face.
    fn contents(&mut self) -> Vec<i64> {
        let log = self.log();
        let end = log.log_end_offset();
        let mut tags = Vec::new();
        while (tags.len() as i64) < end.0 {
            let slice = log.read(Offset(tags.len() as i64), 700, end, true).expect("in range");
            let bytes = slice.read_all().expect("readable");
            assert!(!bytes.is_empty(), "a gap at {} of {end}", tags.len());
            for batch in walk(&bytes) {
                let batch = batch.expect("whole");
                batch.check_crc().expect("intact");
                let mut scratch = Vec::new();
                for record in batch.records(&mut scratch, 1 << 20).expect("readable") {
                    let record = record.expect("readable");
                    assert_eq!(record.offset.0, tags.len() as i64);
                    tags.push(i64::from_be_bytes(
                        record.key.expect("tagged").try_into().expect("eight bytes"),
                    ));
                }
            }
        }
        tags
    }

    /// Indexes and producers must be those that the records alone give.
    fn check_against_rebuilt(&mut self) {
        let bare = SimFs::new();
        bare.create_dir_all(Path::new(DIR)).expect("no fault");
        for entry in self.fs.list(Path::new(DIR)).expect("no fault") {
            if entry.name.ends_with(".log") {
                let path = Path::new(DIR).join(&entry.name);
                let bytes = self.fs.read(&path, 1 << 30).expect("no fault");
                bare.open(&path, Open::Create).and_then(|file| file.write_at(&bytes, 0)).expect("no fault");
            }
        }
        let how = OpenHow::default();
        let rebuilt = Log::open(Arc::new(bare), Path::new(DIR), config(self.raft), how, Timestamp(0));
        let (rebuilt, _) = rebuilt.expect("no fault");
        let log = self.log();
        let end = log.log_end_offset();
        assert_eq!(rebuilt.log_end_offset(), end);
        let producers = |log: &Log| {
            let entries = log.producers();
            entries.iter().map(|entry| (entry.producer_id, entry.last_sequence)).collect::<Vec<_>>()
        };
        assert_eq!(producers(log), producers(&rebuilt), "producers");
        for offset in 0..end.0 {
            let place = |log: &Log| {
                let slice = log.read(Offset(offset), 1, end, true).expect("in range");
                (slice.position, slice.len, slice.first)
            };
            assert_eq!(place(log), place(&rebuilt), "the place of {offset}");
        }
        for time in -1..self.model.next_tag + 1 {
            let found = |log: &Log| log.offset_for_timestamp(Timestamp(time), end).expect("readable");
            assert_eq!(found(self.log.as_ref().expect("open")), found(&rebuilt), "time {time}");
        }
    }

    /// What the log says of itself must agree with its records.
    fn check_consistency(&mut self) {
        self.check_against_rebuilt();
        let tags = self.contents();
        let largest = tags.iter().max().copied();
        let log = self.log();
        let found = log.max_timestamp().expect("readable");
        assert_eq!(found.map(|found| found.timestamp.0), largest);
        let epoch = tags.last().map(|tag| LeaderEpoch((tag / 7) as i32));
        assert!(log.latest_epoch() >= epoch, "{:?} {epoch:?}", log.latest_epoch());
        for (offset, tag) in tags.iter().enumerate() {
            assert_eq!(
                log.epoch_of(Offset(offset as i64)),
                Some(LeaderEpoch((tag / 7) as i32)),
                "at {offset}"
            );
        }
    }
}

/// Runs until the fault; returns whether it came.
fn run_until_fault(run: &mut Run, ops: &[Op]) -> bool {
    if run.open(false).is_err() {
        return true;
    }
    ops.iter().any(|op| run.apply(op).is_err())
}

fn common_prefix(a: &[i64], b: &[i64]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn without_faults_the_log_is_the_model(raft: bool, ops in ops()) {
        let mut run = Run::new(raft);
        run.open(false).unwrap();
        for op in &ops {
            run.apply(op).unwrap();
            let tags = run.contents();
            prop_assert_eq!(&tags, &run.model.tags);
        }
        run.check_consistency();
    }

    #[test]
    fn a_death_loses_nothing_that_was_acknowledged(raft: bool, ops in ops(), step in 0u64..400, again in 0u64..60) {
        let mut run = Run::new(raft);
        run.fs.fault_after(step, SimFault::Death);
        let died = run_until_fault(&mut run, &ops);
        run.fs.heal();
        // A second death may come during the recovery.
        run.fs.fault_after(again, SimFault::Death);
        let _ = run.open(false);
        run.fs.heal();
        run.open(false).unwrap();
        let left = run.contents();
        let (before, after) = (&run.before, &run.model.tags);
        let shared = common_prefix(before, after);
        let (least, most) = if before.len() > after.len() { (after, before) } else { (before, after) };
        prop_assert!(left.len() >= shared.min(least.len()), "{} of {}", left.len(), least.len());
        prop_assert_eq!(&left[..], &most[..left.len()]);
        prop_assert!(died || left == *after);
        run.check_consistency();
    }

    #[test]
    fn a_loss_of_power_keeps_what_was_flushed(raft: bool, ops in ops(), step in 0u64..400, seed: u64) {
        let mut run = Run::new(raft);
        run.fs.fault_after(step, SimFault::Death);
        run_until_fault(&mut run, &ops);
        run.fs.power_loss(seed);
        // The checkpoint of the recovery point may be older than the flush.
        let durable = run.model.durable;
        if seed % 2 == 0 {
            run.model.checkpoint = 0;
        }
        run.open(false).unwrap();
        let left = run.contents();
        prop_assert!(left.len() >= durable, "{} of {durable} flushed", left.len());
        prop_assert_eq!(&left[..durable], &run.model.tags[..durable]);
        for (offset, tag) in left.iter().enumerate() {
            prop_assert!(run.model.history[offset].contains(tag), "{tag} was never at {offset}");
        }
        run.check_consistency();
        // The log goes on.
        run.model.tags.clone_from(&left);
        run.model.next_tag += 1000;
        run.append(3).unwrap();
        prop_assert_eq!(run.contents().len(), left.len() + 3);
    }

    #[test]
    fn a_full_or_failing_disk_refuses_and_keeps_the_rest(raft: bool, ops in ops(), step in 0u64..300, full: bool) {
        let mut run = Run::new(raft);
        run.fs.fault_after(step, if full { SimFault::Full } else { SimFault::Error });
        run_until_fault(&mut run, &ops);
        run.fs.heal();
        run.open(false).unwrap();
        let left = run.contents();
        let shared = common_prefix(&run.before, &run.model.tags);
        prop_assert!(left.len() >= shared);
        let longer = if run.before.len() > run.model.tags.len() { &run.before } else { &run.model.tags };
        prop_assert_eq!(&left[..], &longer[..left.len()]);
        run.check_consistency();
    }
}

/// Plants a bug in runs of many seeds; the checks must notice it in one of them, and none without it.
fn is_noticed(bug: Option<SimLie>, check: impl Fn(&SimFs, u64) + std::panic::RefUnwindSafe) -> bool {
    (0..200).any(|seed| {
        let fs = SimFs::new();
        if let Some(lie) = bug {
            fs.lie(lie);
        }
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check(&fs, seed))).is_err()
    })
}

fn run_on(fs: &SimFs) -> Run {
    fs.create_dir_all(Path::new("/data")).expect("no fault");
    fs.sync_dir(Path::new("/")).expect("no fault");
    let mut run = Run { fs: fs.clone(), raft: false, log: None, model: Model::default(), before: Vec::new() };
    run.open(false).expect("no fault");
    run
}

#[test]
fn a_sync_that_is_left_out_is_noticed() {
    let flushed_then_lost = |fs: &SimFs, seed| {
        let mut run = run_on(fs);
        for op in [Op::Append(4), Op::Append(4), Op::Flush, Op::Append(2)] {
            run.apply(&op).expect("no fault");
        }
        fs.power_loss(seed);
        run.open(false).expect("recovers");
        assert!(run.contents().len() >= run.model.durable);
    };
    assert!(!is_noticed(None, flushed_then_lost));
    assert!(is_noticed(Some(SimLie::Syncs), flushed_then_lost));
}

#[test]
fn an_index_that_is_not_cut_is_noticed() {
    let cut_and_written_again = |fs: &SimFs, seed: u64| {
        let mut run = run_on(fs);
        let size = |n: u64| 1 + u8::try_from((seed + n) % 5).expect("small");
        for op in (0..8).map(|n| Op::Append(size(n))) {
            run.apply(&op).expect("no fault");
        }
        run.apply(&Op::Truncate(9)).expect("no fault");
        run.apply(&Op::Append(size(3))).expect("no fault");
        run.apply(&Op::Restart).expect("no fault");
        assert_eq!(run.contents(), run.model.tags);
        run.check_consistency();
    };
    assert!(!is_noticed(None, cut_and_written_again));
    assert!(is_noticed(Some(SimLie::Shortening("index")), cut_and_written_again));
}

#[test]
fn a_snapshot_from_the_future_is_noticed_or_left_out() {
    let snapshot = |end: i64| Path::new(DIR).join(format!("{end:020}.snapshot"));
    let run_with_future = |plant: bool| {
        let fs = SimFs::new();
        let mut run = run_on(&fs);
        for op in [Op::Append(3), Op::Append(3), Op::Append(3), Op::Restart] {
            run.apply(&op).expect("no fault");
        }
        let future = fs.read(&snapshot(9), 1 << 20).expect("left by the clean stop");
        run.apply(&Op::Truncate(3)).expect("no fault");
        drop(run.log.take().map(Log::close_clean));
        // One that reaches behind the end is left out; one that claims a smaller end lies, and only the check can tell.
        fs.replace(&snapshot(if plant { 6 } else { 9 }), &future).expect("no fault");
        run.open(true).expect("opens");
        run
    };
    run_with_future(false).check_consistency();
    let noticed = std::panic::catch_unwind(|| run_with_future(true).check_consistency());
    assert!(noticed.is_err(), "producers of the future");
}
