//! A log with what was ever appended to it, and the rules that its content must satisfy after a cleaning.
//!
//! Must never look at the log to learn what should be in it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use milena_storage::StorageError;
use milena_storage::batch::{BatchBuilder, EndTransaction, Record, walk};
use milena_storage::compress::Codec;
use milena_storage::fs::{Fs, SimFs};
use milena_storage::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Timestamp};
use milena_storage::log::{
    AppendError, CleanError, CleanStats, Log, LogConfig, Means, OffsetMap, OpenHow, Pace, ProducerEntry,
};
use milena_storage::validate::ValidBatch;
use proptest::prelude::*;

pub(crate) const DIR: &str = "/data/t-0";
const DELETE_RETENTION_MS: i64 = 500;

/// One step of a random history.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    /// Appends records by a producer (0 to 2: none, idempotent; 3 and 4: transactional) with keys and whether each is
    /// a tombstone.
    Append {
        producer: u8,
        codec: u8,
        records: Vec<(u8, bool)>,
    },
    /// Ends the open transaction of a producer.
    End {
        producer: u8,
        commit: bool,
    },
    Roll,
    /// Lets time pass.
    Wait(u16),
    /// Cleans with a map of this many keys.
    Clean(u8),
    /// Stops without ceremony and opens again.
    Reopen,
}

pub(crate) fn ops() -> impl Strategy<Value = Vec<Op>> {
    let records = || proptest::collection::vec((0u8..7, proptest::bool::weighted(0.2)), 1..5);
    let append = (0u8..5, 0u8..5, records()).prop_map(|(producer, codec, records)| Op::Append {
        producer,
        codec,
        records,
    });
    let op = prop_oneof![
        14 => append,
        3 => (3u8..5, any::<bool>()).prop_map(|(producer, commit)| Op::End { producer, commit }),
        4 => Just(Op::Roll),
        2 => (0u16..900).prop_map(Op::Wait),
        3 => (2u8..40).prop_map(Op::Clean),
        1 => Just(Op::Reopen),
    ];
    proptest::collection::vec(op, 1..60)
}

pub(crate) fn config() -> LogConfig {
    LogConfig {
        segment_bytes: 1200,
        index_interval_bytes: 150,
        retention_ms: -1,
        delete: false,
        compact: true,
        delete_retention_ms: DELETE_RETENTION_MS,
        file_delete_delay_ms: 0,
        producer_expiration_ms: i64::MAX,
        ..LogConfig::default()
    }
}

/// What was appended at an offset.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Written {
    key: Vec<u8>,
    value: Option<Vec<u8>>,
    timestamp: i64,
    /// Index into the model's transactions.
    transaction: Option<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Transaction {
    Open,
    Committed,
    Aborted,
}

/// What a reader finds.
#[derive(Debug, Default)]
pub(crate) struct Content {
    /// Every record by offset.
    pub(crate) found: BTreeMap<i64, Written>,
    /// Offsets that a reader of committed records gets.
    pub(crate) committed: Vec<i64>,
    /// The time after which tombstones may go, where it is set.
    pub(crate) horizons: BTreeMap<i64, i64>,
}

/// A pace that lets everything pass.
pub(crate) struct Free;

impl Pace for Free {
    fn passed(&self, _bytes: u64) -> Result<(), CleanError> {
        Ok(())
    }
}

pub(crate) struct World {
    pub(crate) fs: SimFs,
    /// What the log sees of it.
    disk: Arc<dyn Fs>,
    pub(crate) log: Log,
    pub(crate) now: i64,
    /// By offset; `None` for markers.
    pub(crate) written: Vec<Option<Written>>,
    transactions: Vec<Transaction>,
    open: HashMap<u8, usize>,
    sequences: HashMap<u8, i32>,
    /// What the cleaner's checkpoint says.
    pub(crate) checkpoint: Option<Offset>,
    pub(crate) recovery_point: Offset,
    /// The time after which each tombstone may go, once a cleaning has set it.
    horizons: HashMap<i64, i64>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::over(|fs| Arc::new(fs.clone()))
    }

    /// A world whose log sees the disk through something else.
    pub(crate) fn over(disk: impl Fn(&SimFs) -> Arc<dyn Fs>) -> Self {
        let fs = SimFs::new();
        fs.create_dir_all(Path::new("/data")).expect("no fault yet");
        fs.sync_dir(Path::new("/")).expect("no fault yet");
        let disk = disk(&fs);
        let log = open(&disk, Offset(0)).expect("no fault yet");
        Self {
            fs,
            disk,
            log,
            now: 1000,
            written: Vec::new(),
            transactions: Vec::new(),
            open: HashMap::new(),
            sequences: HashMap::new(),
            checkpoint: None,
            recovery_point: Offset(0),
            horizons: HashMap::new(),
        }
    }

    pub(crate) fn apply(&mut self, op: &Op) {
        match op {
            Op::Append { producer, codec, records } => {
                self.append(*producer, *codec, records).expect("no fault")
            }
            Op::End { producer, commit } => self.end(*producer, *commit).expect("no fault"),
            Op::Roll => self.log.roll(Timestamp(self.now)).expect("no fault"),
            Op::Wait(ms) => self.now += i64::from(*ms),
            Op::Clean(keys) => {
                self.clean(usize::from(*keys)).expect("no fault");
                self.check();
            }
            Op::Reopen => {
                self.reopen().expect("no fault");
            }
        }
    }

    fn append(&mut self, producer: u8, codec: u8, records: &[(u8, bool)]) -> Result<(), AppendError> {
        let mut builder = BatchBuilder::new();
        let transaction = (producer > 2).then(|| {
            *self.open.entry(producer).or_insert_with(|| {
                self.transactions.push(Transaction::Open);
                self.transactions.len() - 1
            })
        });
        if producer > 0 {
            let sequence = self.sequences.entry(producer).or_insert(0);
            builder = builder.producer(id(producer), ProducerEpoch(0), *sequence);
            *sequence += records.len() as i32;
        }
        if transaction.is_some() {
            builder = builder.transactional();
        }
        let mut written = Vec::new();
        for (key, tombstone) in records {
            self.now += 1;
            let offset = self.written.len() + written.len();
            let value = (!tombstone).then(|| format!("value {offset} {}", "x".repeat(30)).into_bytes());
            let headers: &[(&[u8], Option<&[u8]>)] = &[(b"h", Some(b"1"))];
            let record = Record {
                timestamp: Timestamp(self.now),
                key: Some(&[*key]),
                value: value.as_deref(),
                headers,
            };
            builder.push(record);
            written.push(Some(Written { key: vec![*key], value, timestamp: self.now, transaction }));
        }
        let bytes = builder.finish(Codec::ALL[usize::from(codec)], None);
        self.log.append_as_leader(ValidBatch::built(bytes), LeaderEpoch(0), Timestamp(self.now))?;
        self.written.extend(written);
        Ok(())
    }

    fn end(&mut self, producer: u8, commit: bool) -> Result<(), AppendError> {
        let Some(index) = self.open.remove(&producer) else { return Ok(()) };
        self.now += 1;
        let (key, value) = EndTransaction { commit, coordinator_epoch: 0 }.encode();
        let mut builder =
            BatchBuilder::new().producer(id(producer), ProducerEpoch(0), -1).transactional().control();
        builder.push(Record {
            timestamp: Timestamp(self.now),
            key: Some(&key),
            value: Some(&value),
            headers: &[],
        });
        let bytes = builder.finish(Codec::None, None);
        self.log.append_as_leader(ValidBatch::built(bytes), LeaderEpoch(0), Timestamp(self.now))?;
        self.written.push(None);
        self.transactions[index] = if commit { Transaction::Committed } else { Transaction::Aborted };
        Ok(())
    }

    fn stable(&self) -> Offset {
        let end = self.log.log_end_offset();
        self.log.first_unstable_offset(end).map_or(end, |first| first.min(end))
    }

    /// Flushes, then cleans as the broker does.
    pub(crate) fn clean(&mut self, keys: usize) -> Result<CleanStats, CleanError> {
        self.log.flush()?;
        self.recovery_point = self.log.recovery_checkpoint();
        self.clean_unflushed(keys)
    }

    pub(crate) fn clean_unflushed(&mut self, keys: usize) -> Result<CleanStats, CleanError> {
        let (now, stable) = (Timestamp(self.now), self.stable());
        let what = self.log.cleanable(self.checkpoint, stable, now)?;
        let mut cleaning = self.log.begin_cleaning(&what, now)?;
        let map = OffsetMap::new(keys * 24, 0.9, cleaning.keys_max(), (1, 2));
        let mut means = Means { map, buffer: 300, pace: &Free };
        let end = cleaning.index(&mut means)?;
        while let Some(cleaned) = cleaning.next_group(&mut means)? {
            self.log.swap_in(cleaned, now)?;
        }
        self.checkpoint = Some(end);
        self.log.remove_deleted(now)?;
        Ok(cleaning.stats())
    }

    pub(crate) fn reopen(&mut self) -> Result<(), StorageError> {
        self.log = open(&self.disk, self.recovery_point)?;
        self.recovery_point = self.log.recovery_checkpoint();
        Ok(())
    }

    /// Every record in the log with its offset, read from the start; also what a reader of committed records sees.
    pub(crate) fn read(&self) -> Content {
        let end = self.log.log_end_offset();
        let mut aborted = self.log.aborted_transactions(Offset(0), end).expect("readable");
        aborted.sort_by_key(|each| std::cmp::Reverse(each.first));
        let mut skipped = HashSet::new();
        let mut content = Content::default();
        let mut next = Offset(0);
        while next < end {
            let slice = self.log.read(next, 500, end, true).expect("in range");
            let bytes = slice.read_all().expect("readable");
            assert!(!bytes.is_empty(), "nothing from {next} to {end}");
            for batch in walk(&bytes) {
                let batch = batch.expect("whole");
                batch.check_crc().expect("intact");
                assert!(batch.last_offset() >= next, "{} comes after {next}", batch.base_offset);
                while aborted.last().is_some_and(|each| each.first <= batch.last_offset()) {
                    skipped.extend(aborted.pop().map(|each| each.producer_id));
                }
                let hidden = batch.is_transactional() && skipped.contains(&batch.producer_id);
                let mut scratch = Vec::new();
                for record in batch.records(&mut scratch, 1 << 20).expect("readable") {
                    let record = record.expect("readable");
                    if batch.is_control() {
                        if EndTransaction::parse(&record).is_some_and(|end| !end.commit) {
                            skipped.remove(&batch.producer_id);
                        }
                        continue;
                    }
                    assert_eq!(record.headers.len(), 1);
                    let offset = record.offset.0;
                    let original = self.written.get(offset as usize).cloned().flatten();
                    let written = Written {
                        key: record.key.expect("every record has a key").to_vec(),
                        value: record.value.map(<[u8]>::to_vec),
                        timestamp: record.timestamp.0,
                        transaction: original.and_then(|original| original.transaction),
                    };
                    if let (None, Some(horizon)) = (&written.value, batch.delete_horizon()) {
                        content.horizons.insert(offset, horizon.0);
                    }
                    assert!(content.found.insert(offset, written).is_none(), "offset {offset} twice");
                    if !hidden {
                        content.committed.push(offset);
                    }
                }
                next = batch.next_offset();
            }
        }
        content
    }

    /// Offsets of the records that are no tombstones.
    pub(crate) fn values(&self) -> Vec<i64> {
        let found = self.read().found.into_iter();
        found.filter(|(_, record)| !record.is_tombstone()).map(|(offset, _)| offset).collect()
    }

    /// The rules; they hold after any cleaning, finished or not.
    pub(crate) fn check(&mut self) {
        assert_eq!(self.log.log_end_offset().0, self.written.len() as i64);
        let Content { found, committed, horizons } = self.read();
        for (offset, record) in &found {
            let original = self.written[*offset as usize].as_ref();
            assert_eq!(Some(record), original, "at {offset}");
        }
        self.check_last_values(&found);
        self.check_committed(&committed, &found);
        for (offset, horizon) in horizons {
            assert!(horizon <= self.now + DELETE_RETENTION_MS, "{horizon} was set before {}", self.now);
            // A crash may have taken the cleaning that had set it; it may not move otherwise.
            let set = *self.horizons.entry(offset).or_insert(horizon);
            assert!(horizon >= set, "{horizon} was {set}");
        }
    }

    /// Of each key the last value that was not aborted is there; a last tombstone is for its time.
    fn check_last_values(&self, found: &BTreeMap<i64, Written>) {
        for (offset, record) in self.last_of_keys(self.written.len()) {
            let waits = self.horizons.get(&offset).is_none_or(|horizon| self.now < *horizon);
            if record.value.is_some() || waits {
                assert!(found.contains_key(&offset), "the last record {offset} of {:?} is gone", record.key);
            }
        }
        for offset in 0..self.written.len() {
            let Some(record) = &self.written[offset] else { continue };
            let open = record.transaction.is_some_and(|index| self.transactions[index] == Transaction::Open);
            assert!(!open || found.contains_key(&(offset as i64)), "the open record {offset} is gone");
        }
    }

    /// The last record of each key below `end` that was not aborted.
    fn last_of_keys(&self, end: usize) -> Vec<(i64, &Written)> {
        let mut last = BTreeMap::new();
        for (offset, record) in self.written[..end].iter().enumerate() {
            let Some(record) = record else { continue };
            if record.transaction.is_none_or(|index| self.transactions[index] == Transaction::Committed) {
                last.insert(&record.key, (offset as i64, record));
            }
        }
        last.into_values().collect()
    }

    /// Readers of committed records see every one that is left, and none that was aborted.
    fn check_committed(&self, committed: &[i64], found: &BTreeMap<i64, Written>) {
        let aborted = |offset: &i64| {
            let transaction = found[offset].transaction;
            transaction.is_some_and(|index| self.transactions[index] == Transaction::Aborted)
        };
        let expected: Vec<i64> = found.keys().copied().filter(|offset| !aborted(offset)).collect();
        assert_eq!(committed, expected);
    }

    /// Below the clean point each key stands once, and nothing that was aborted; only after a finished cleaning.
    pub(crate) fn check_clean(&self) {
        let clean = self.checkpoint.unwrap_or_default().0;
        let found = self.read().found;
        let mut keys = HashSet::new();
        for (offset, record) in found.range(..clean) {
            assert!(keys.insert(&record.key), "the key {:?} stands twice below {clean}", record.key);
            let aborted =
                record.transaction.is_some_and(|index| self.transactions[index] == Transaction::Aborted);
            assert!(!aborted, "the aborted record {offset} is still there");
        }
    }

    /// What the log knows of its producers, without the times.
    pub(crate) fn producers(&self) -> Vec<ProducerEntry> {
        self.log.producers()
    }

    /// What is on the disk of the log, by name and length.
    pub(crate) fn files(&self) -> Vec<String> {
        self.fs.list(Path::new(DIR)).expect("readable").into_iter().map(|entry| entry.name).collect()
    }
}

fn open(fs: &Arc<dyn Fs>, recovery_point: Offset) -> Result<Log, StorageError> {
    let how = OpenHow { clean: false, recovery_point, log_start: Offset(0) };
    Ok(Log::open(fs.clone(), Path::new(DIR), config(), how, Timestamp(0))?.0)
}

fn id(producer: u8) -> ProducerId {
    ProducerId(i64::from(producer))
}

impl Written {
    pub(crate) fn is_tombstone(&self) -> bool {
        self.value.is_none()
    }
}
