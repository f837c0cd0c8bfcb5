//! One broker's log of one partition, the real one of `storage` on a disk in memory, and what a leader knows of its followers.
//!
//! Must never decide who leads.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use milena_coordinator::replica::Shortage;
use milena_storage::StorageError;
use milena_storage::batch::{EndTransaction, Header, walk};
use milena_storage::fs::SimFs;
use milena_storage::ids::{LeaderEpoch, Offset, ProducerId, Timestamp};
use milena_storage::log::{
    AppendError, Appended, CleanError, Guard, Log, LogConfig, Means, OffsetMap, OpenHow, Pace,
};
use milena_storage::validate::{Origin, validate};

use crate::Bug;
use crate::cluster::MIN_IN_SYNC;

const READ_MAX: usize = 1 << 20;
const UNPACKED_MAX: usize = 1 << 20;

pub(crate) struct Replica {
    fs: SimFs,
    /// The partition is compacted.
    compacted: bool,
    log: Log,
    shortage: Shortage,
    /// Of the partition, as far as this broker has heard.
    pub(crate) epoch: i32,
    pub(crate) leads: bool,
    pub(crate) high_watermark: Offset,
    pub(crate) in_sync: BTreeSet<usize>,
    /// How far followers have come, as their leader knows.
    fetched: BTreeMap<usize, Offset>,
}

/// Why a leader has not taken a batch.
#[derive(Debug)]
pub(crate) enum Refused {
    ByLog(AppendError),
    /// Its disk was full when the batch before came.
    BehindShortage,
}

/// A record or a marker as it stands in the log.
pub(crate) enum Entry {
    Record { producer: Option<ProducerId>, key: Bytes, value: Option<Bytes> },
    Marker { producer: ProducerId, commit: bool },
}

impl Replica {
    pub(crate) fn new(compacted: bool) -> Self {
        let fs = SimFs::new();
        Self {
            log: open(&fs, compacted, Timestamp(0)),
            fs,
            compacted,
            shortage: Shortage::default(),
            epoch: 0,
            leads: false,
            high_watermark: Offset(0),
            in_sync: BTreeSet::new(),
            fetched: BTreeMap::new(),
        }
    }

    /// In a line.
    pub(crate) fn told(&self) -> String {
        let (stable, committed) = (self.stable(), self.high_watermark);
        format!("epoch {} stable {stable} committed {committed} end {}", self.epoch, self.end())
    }

    pub(crate) fn end(&self) -> Offset {
        self.log.log_end_offset()
    }

    /// The process is killed and another one opens the log: what was written is there, what was known is not.
    pub(crate) fn killed(&mut self, now: Timestamp) {
        self.fs.heal();
        self.reopen(now);
    }

    /// Only so many bytes more fit onto its disk.
    pub(crate) fn fill(&self, free: u64) {
        self.fs.fill(free);
    }

    /// There is room again.
    pub(crate) fn make_room(&self) {
        self.fs.heal();
    }

    /// The machine loses power, and the disk with it what was not synced. Gives how many offsets are gone.
    pub(crate) fn loses_power(&mut self, seed: u64, now: Timestamp) -> i64 {
        let before = self.end();
        self.fs.power_loss(seed);
        self.reopen(now);
        before.0 - self.end().0
    }

    fn reopen(&mut self, now: Timestamp) {
        self.log = open(&self.fs, self.compacted, now);
        self.high_watermark = self.high_watermark.min(self.end());
        self.leads = false;
        self.in_sync.clear();
        self.fetched.clear();
        self.shortage = Shortage::default();
    }

    /// Cleans what is committed, as the broker does; tells whether less is left than there was. Where there is no room for what is
    /// cleaned, it stays as it is.
    pub(crate) fn clean(&mut self, now: Timestamp, bug: Option<Bug>) -> bool {
        let before = self.log.size();
        match self.try_to_clean(now, bug) {
            Ok(()) => self.log.size() < before,
            Err(CleanError::Storage(error)) if error.is_shortage() => false,
            Err(error) => panic!("{error}"),
        }
    }

    fn try_to_clean(&mut self, now: Timestamp, bug: Option<Bug>) -> Result<(), CleanError> {
        self.log.flush()?;
        let early = bug == Some(Bug::CleansWhatIsNotCommitted);
        let stable = if early { self.end() } else { self.stable() };
        let what = self.log.cleanable(None, stable, now)?;
        let mut cleaning = self.log.begin_cleaning(&what, now)?;
        let map = OffsetMap::new(1 << 16, 0.9, cleaning.keys_max(), (1, 2));
        let mut means = Means { map, buffer: 1024, pace: &Free };
        cleaning.index(&mut means)?;
        while let Some(cleaned) = cleaning.next_group(&mut means)? {
            self.log.swap_in(cleaned, now)?;
        }
        self.log.remove_deleted(now)?;
        Ok(())
    }

    pub(crate) fn lead(&mut self, epoch: i32, in_sync: &BTreeSet<usize>) {
        self.epoch = epoch;
        self.leads = true;
        self.in_sync.clone_from(in_sync);
        self.fetched.clear();
        // What a full disk does not note now is noted with the first batch.
        is_done(self.log.assign_epoch_start(LeaderEpoch(epoch), self.log.log_end_offset()));
    }

    pub(crate) fn follow(&mut self, epoch: i32) {
        self.epoch = epoch;
        self.leads = false;
    }

    pub(crate) fn guard(&mut self, header: &Header, bumps: bool, now: Timestamp) -> Guard {
        self.log.begin_verification(header, bumps, now)
    }

    pub(crate) fn append(
        &mut self,
        batch: Bytes,
        origin: Origin,
        now: Timestamp,
    ) -> Result<Appended, Refused> {
        let rules = self.log.config().rules();
        let batch = validate(batch, &rules, now, origin).expect("a batch of our own builder");
        let appended = self.log.append_as_leader(batch, LeaderEpoch(self.epoch), now);
        if self.shortage.is_behind(&appended, now) {
            return Err(Refused::BehindShortage);
        }
        let appended = appended.map_err(Refused::ByLog)?;
        if appended.rolled {
            is_done(self.log.flush());
        }
        Ok(appended)
    }

    /// Fetches from the leader what this one lacks, and gives up what the leader does not have. What its disk has no room for is
    /// fetched again.
    pub(crate) fn pull(&mut self, me: usize, leader: &mut Self, now: Timestamp) {
        let alike = self.log.latest_epoch() == leader.log.latest_epoch() && self.end() <= leader.end();
        if !alike && !is_done(self.cut_back(leader, now)) {
            return;
        }
        let from = self.end();
        let slice = leader.log.read(from, 2048, leader.end(), true).unwrap();
        if !slice.is_empty() {
            match self.log.append_as_follower(slice.read_all().unwrap().into(), now) {
                Ok(appended) if appended.rolled => _ = is_done(self.log.flush()),
                Ok(_) => {}
                Err(AppendError::Storage(error)) if error.is_shortage() => return,
                Err(error) => panic!("{error}"),
            }
        }
        let known = leader.high_watermark.min(self.end());
        self.high_watermark = self.high_watermark.max(known);
        self.log.settle_transactions(self.high_watermark);
        leader.fetched.insert(me, self.end());
    }

    /// Truncation by the leader's epochs (KIP-101, KIP-279).
    fn cut_back(&mut self, leader: &Self, now: Timestamp) -> Result<(), StorageError> {
        while let Some(mine) = self.log.latest_epoch() {
            let Some((theirs, end)) = leader.log.end_offset_for_epoch(mine) else {
                return self.log.truncate_to(Offset(0), now).map(drop);
            };
            let own = self.log.end_offset_for_epoch(theirs).map_or(Offset(0), |(_, end)| end);
            let cut = if theirs == mine { end } else { end.min(own) };
            let before = (self.end(), self.log.latest_epoch());
            let _ = self.log.truncate_to(cut, now)?;
            if theirs == mine || before == (self.end(), self.log.latest_epoch()) {
                break;
            }
        }
        Ok(())
    }

    /// Whether more is committed than before, now that all in-sync replicas have come so far.
    pub(crate) fn advance(&mut self, me: usize) -> bool {
        let nothing = Offset(0);
        let end_of = |replica: &usize| {
            if *replica == me { self.end() } else { *self.fetched.get(replica).unwrap_or(&nothing) }
        };
        // With too few in sync nothing more is committed (KIP-966).
        let enough = self.in_sync.len() >= MIN_IN_SYNC;
        let committed = self.in_sync.iter().map(end_of).min().filter(|_| enough).unwrap_or(nothing);
        let moved = committed > self.high_watermark;
        if moved {
            self.high_watermark = committed;
            self.log.settle_transactions(committed);
        }
        moved
    }

    /// The last stable offset.
    pub(crate) fn stable(&self) -> Offset {
        let first = self.log.first_unstable_offset(self.high_watermark);
        first.map_or(self.high_watermark, |first| first.min(self.high_watermark))
    }

    /// All that is in the log, for a machine that is to be loaded.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        let bytes = self.bytes();
        let (mut entries, mut scratch) = (Vec::new(), Vec::new());
        for batch in walk(&bytes) {
            let batch = batch.unwrap();
            let header = *batch.header();
            let producer = header.is_transactional().then_some(header.producer_id);
            for record in batch.records(&mut scratch, UNPACKED_MAX).unwrap() {
                let record = record.unwrap();
                if header.is_control() {
                    let end = EndTransaction::parse(&record).unwrap();
                    entries.push(Entry::Marker { producer: header.producer_id, commit: end.commit });
                    continue;
                }
                let key = Bytes::copy_from_slice(record.key.unwrap_or_default());
                let value = record.value.map(Bytes::copy_from_slice);
                entries.push(Entry::Record { producer, key, value });
            }
        }
        entries
    }

    /// What a consumer of committed records makes of the log from there on, and where it goes on: Fetch's records and
    /// aborted transactions, and the rules of the Java client's `CompletedFetch`.
    pub(crate) fn committed(&self, from: Offset, bug: Option<Bug>) -> (Vec<String>, Offset) {
        let unstable = bug == Some(Bug::ReadsWhatIsOpen);
        let upper = if unstable { self.high_watermark } else { self.stable() };
        if from >= upper {
            return (Vec::new(), from);
        }
        let slice = self.log.read(from, READ_MAX, upper, true).unwrap();
        let bytes = slice.read_all().unwrap();
        let mut aborted = self.log.aborted_in(from, &slice).unwrap();
        if bug == Some(Bug::ReadsWhatIsAborted) {
            aborted.clear();
        }
        aborted.sort_by_key(|transaction| std::cmp::Reverse(transaction.first));
        let (mut seen, mut next) = (Vec::new(), from);
        let (mut open, mut scratch) = (BTreeSet::new(), Vec::new());
        for batch in walk(&bytes) {
            let batch = batch.unwrap();
            let header = *batch.header();
            while aborted.last().is_some_and(|transaction| transaction.first <= header.last_offset()) {
                open.extend(aborted.pop().map(|transaction| transaction.producer_id));
            }
            next = header.next_offset();
            if header.is_control() {
                open.remove(&header.producer_id);
            } else if !open.contains(&header.producer_id) {
                let records = batch.records(&mut scratch, UNPACKED_MAX).unwrap();
                let values = records.filter_map(|record| record.unwrap().value.map(<[u8]>::to_vec));
                seen.extend(values.map(|value| String::from_utf8(value).unwrap()));
            }
        }
        (seen, next)
    }

    /// The batches, for whoever has to find out where two logs part.
    pub(crate) fn batches(&self) -> Vec<String> {
        walk(&self.bytes()).map(|batch| format!("{:?}", batch.unwrap().header())).collect()
    }

    /// Every byte of the log, over all segments.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let (mut all, mut from) = (Vec::new(), self.log.log_start_offset());
        while from < self.end() {
            let slice = self.log.read(from, READ_MAX, self.end(), true).unwrap();
            let bytes = slice.read_all().unwrap();
            from = walk(&bytes).last().expect("there is more").unwrap().header().next_offset();
            all.extend(bytes);
        }
        all
    }
}

/// The latest value of each key, for a log of which only these stay.
pub(crate) type Latest = BTreeMap<Bytes, Option<Bytes>>;

impl Replica {
    pub(crate) fn latest(&self) -> Latest {
        let entries = self.entries().into_iter().filter_map(|entry| match entry {
            Entry::Record { key, value, .. } => Some((key, value)),
            Entry::Marker { .. } => None,
        });
        entries.collect()
    }
}

/// Whether there was room for it; of other faults the disks have none.
fn is_done<T>(done: Result<T, StorageError>) -> bool {
    match done {
        Ok(_) => true,
        Err(error) if error.is_shortage() => false,
        Err(error) => panic!("{error}"),
    }
}

/// Nobody holds a cleaning up.
struct Free;

impl Pace for Free {
    fn passed(&self, _bytes: u64) -> Result<(), CleanError> {
        Ok(())
    }
}

fn open(fs: &SimFs, compacted: bool, now: Timestamp) -> Log {
    // Small segments, so that transactions and their index span several of them, and the coordinators' can be cleaned.
    let segment_bytes = if compacted { 1 << 10 } else { 8 << 10 };
    let (compact, delete) = (compacted, !compacted);
    let config =
        LogConfig { segment_bytes, index_interval_bytes: 256, compact, delete, ..LogConfig::default() };
    let how = OpenHow { clean: false, recovery_point: Offset(0), log_start: Offset(0) };
    Log::open(Arc::new(fs.clone()), Path::new("/log-0"), config, how, now).unwrap().0
}
