//! Random operations on a log, a death or a loss of power at any step of the disk, and what must be left then.
//!
//! It must never know how the log keeps its files: only what went in and what comes out.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use milena_storage::StorageError;
use milena_storage::batch::{BatchBuilder, Record, walk};
use milena_storage::compress::Codec;
use milena_storage::fs::{Fs, SimFault, SimFs};
use milena_storage::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Timestamp};
use milena_storage::log::{AppendError, Log, LogConfig, OpenHow};
use milena_storage::validate::ValidBatch;
use proptest::prelude::*;

const DIR: &str = "/data/t-0";

#[derive(Clone, Debug)]
enum Op {
    /// Appends this many records.
    Append(u8),
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
    log: Option<Log>,
    model: Model,
    /// What the log may be after the operation that is under way: between this and `model.tags`.
    before: Vec<i64>,
}

fn config() -> LogConfig {
    LogConfig {
        segment_bytes: 1500,
        index_interval_bytes: 200,
        contiguous: true,
        retention_ms: -1,
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
    fn new() -> Self {
        let fs = SimFs::new();
        // The log directory is the broker's to make; a partition's is the log's.
        fs.create_dir_all(Path::new("/data")).expect("no fault yet");
        fs.sync_dir(Path::new("/")).expect("no fault yet");
        Self { fs, log: None, model: Model::default(), before: Vec::new() }
    }

    fn open(&mut self, clean: bool) -> Result<(), StorageError> {
        let recovery_point = Offset(self.model.checkpoint);
        let how = OpenHow { clean, recovery_point, log_start: Offset(0) };
        let fs = Arc::new(self.fs.clone());
        let (log, report) = Log::open(fs, Path::new(DIR), config(), how, Timestamp(0))?;
        assert!(!clean || report.scanned_segments == 0, "{report:?} after a clean stop");
        self.log = Some(log);
        Ok(())
    }

    fn apply(&mut self, op: &Op) -> Result<(), AppendError> {
        self.before.clone_from(&self.model.tags);
        match op {
            Op::Append(count) => self.append(*count)?,
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
        self.model.next_tag += 1;
        self.model.push(tag, usize::from(count));
        let producer = ProducerId(tag % 3);
        let known = self.log().producers().into_iter().find(|entry| entry.producer_id == producer);
        let sequence = known.map_or(0, |entry| entry.last_sequence + 1);
        let builder = batch(tag, count).producer(producer, ProducerEpoch(0), sequence);
        let valid = ValidBatch::built(builder.finish(Codec::None, None));
        let epoch = LeaderEpoch((tag / 7) as i32);
        self.log().append_as_leader(valid, epoch, Timestamp(0))?;
        Ok(())
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

    /// What the log says of itself must agree with its records.
    fn check_consistency(&mut self) {
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
    fn without_faults_the_log_is_the_model(ops in ops()) {
        let mut run = Run::new();
        run.open(false).unwrap();
        for op in &ops {
            run.apply(op).unwrap();
            let tags = run.contents();
            prop_assert_eq!(&tags, &run.model.tags);
        }
        run.check_consistency();
    }

    #[test]
    fn a_death_loses_nothing_that_was_acknowledged(ops in ops(), step in 0u64..400, again in 0u64..60) {
        let mut run = Run::new();
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
    fn a_loss_of_power_keeps_what_was_flushed(ops in ops(), step in 0u64..400, seed: u64) {
        let mut run = Run::new();
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
    fn a_full_or_failing_disk_refuses_and_keeps_the_rest(ops in ops(), step in 0u64..300, full: bool) {
        let mut run = Run::new();
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
