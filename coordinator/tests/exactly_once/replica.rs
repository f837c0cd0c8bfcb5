//! One broker's log of one partition, the real one of `storage` on a disk in memory, and its leader's arithmetic, the real one of
//! `replica::Leading`. What stands here for the broker's `Partition` follows it step by step.
//!
//! Must never decide who leads.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use milena_coordinator::image::{MetadataImage, PartitionImage};
use milena_coordinator::replica::{Fetched, Leading, Outcome, Proposal, Shortage, Terms};
use milena_storage::StorageError;
use milena_storage::batch::{EndTransaction, Header, walk};
use milena_storage::fs::SimFs;
use milena_storage::ids::{BrokerId, LeaderEpoch, Offset, ProducerId, Timestamp};
use milena_storage::log::{
    AppendError, Appended, CleanError, Guard, Log, LogConfig, Means, OffsetMap, OpenHow, Pace,
};
use milena_storage::validate::{Origin, validate};

use crate::Bug;
use crate::cluster::MIN_IN_SYNC;
use crate::controller::id_of;

const READ_MAX: usize = 1 << 20;
const UNPACKED_MAX: usize = 1 << 20;
/// `replica.lag.time.max.ms`
const LAG_MAX_MS: i64 = 800;

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
    /// The leader and who is in sync, as far as this broker has heard, and how many must be.
    pub(crate) leader: Option<BrokerId>,
    in_sync: usize,
    min_in_sync: usize,
    /// What a leader knows of its followers.
    leading: Option<Leading>,
}

/// Who fetches, of which partition's leader it knows by then.
pub(crate) struct Fetcher<'a> {
    pub(crate) broker: usize,
    pub(crate) broker_epoch: i64,
    /// The leader's answer arrives.
    pub(crate) is_answered: bool,
    /// What the leader knows of brokers.
    pub(crate) peers: &'a MetadataImage,
    pub(crate) leaders_now: Timestamp,
    pub(crate) now: Timestamp,
}

/// Why a leader has not taken a batch.
#[derive(Debug)]
pub(crate) enum Refused {
    ByLog(AppendError),
    /// Its disk was full when the batch before came.
    BehindShortage,
    /// Fewer are in sync than `min.insync.replicas` demands.
    TooFewInSync,
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
            log: open(&fs, compacted, Timestamp(0), None),
            fs,
            compacted,
            shortage: Shortage::default(),
            epoch: -1,
            leads: false,
            high_watermark: Offset(0),
            leader: None,
            in_sync: 0,
            min_in_sync: 0,
            leading: None,
        }
    }

    /// What every replica has from the beginning.
    pub(crate) fn begins_with(&mut self, batch: Bytes, now: Timestamp) {
        let batch = validate(batch, &self.log.config().rules(), now, Origin::Coordinator).unwrap();
        self.log.append_as_leader(batch, LeaderEpoch(0), now).unwrap();
    }

    /// In a line.
    pub(crate) fn told(&self) -> String {
        let (stable, committed) = (self.stable(), self.high_watermark);
        let proposed = self.leading.as_ref().map(|leading| (leading.in_sync(), leading.under_way()));
        let (epoch, end) = (self.epoch, self.end());
        format!("epoch {epoch} stable {stable} committed {committed} end {end} leading {proposed:?}")
    }

    pub(crate) fn end(&self) -> Offset {
        self.log.log_end_offset()
    }

    /// The process is killed and another one opens the log: what was written is there, what was known is not.
    pub(crate) fn killed(&mut self, now: Timestamp) {
        self.fs.heal();
        self.reopen(now);
    }

    /// The broker is no replica any more: the log goes.
    pub(crate) fn retire(&mut self, compacted: bool) {
        if self.epoch >= 0 || self.end() > Offset(0) {
            *self = Self::new(compacted);
        }
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

    /// The broker stops in order, and another process opens the log that is closed cleanly; whether it could be.
    pub(crate) fn stops(&mut self, now: Timestamp) -> bool {
        let nothing = open(&SimFs::new(), self.compacted, now, None);
        let closed = std::mem::replace(&mut self.log, nothing).close_clean();
        self.fs.heal();
        let is_clean = closed.is_ok();
        self.log = open(&self.fs, self.compacted, now, closed.ok());
        self.high_watermark = self.high_watermark.min(self.end());
        self.forget();
        is_clean
    }

    fn reopen(&mut self, now: Timestamp) {
        self.log = open(&self.fs, self.compacted, now, None);
        self.high_watermark = self.high_watermark.min(self.end());
        self.forget();
    }

    /// A process that has only just started knows nothing of the partition but what is on the disk.
    fn forget(&mut self) {
        (self.epoch, self.leads, self.leader, self.leading) = (-1, false, None, None);
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

    /// Takes up what the image says of leadership (the broker's `Partition::follow_image`); whether another leadership of this replica
    /// has begun.
    pub(crate) fn follow(&mut self, me: usize, state: &PartitionImage, now: Timestamp) -> bool {
        let (leads, epoch) = (state.leader == Some(id_of(me)), state.leader_epoch);
        if epoch.0 < self.epoch {
            return false;
        }
        let is_new = epoch.0 > self.epoch;
        let end = self.end();
        if is_new && leads {
            // What a full disk does not note now is noted with the first batch.
            is_done(self.log.assign_epoch_start(epoch, end));
        } else if is_new {
            // An epoch in which nothing was written is not one that the leader may know of.
            is_done(self.log.truncate_to(end, now));
        }
        (self.epoch, self.leads, self.leader) = (epoch.0, leads, state.leader);
        (self.in_sync, self.min_in_sync) = (state.isr.len(), MIN_IN_SYNC.min(state.replicas.len()));
        match &mut self.leading {
            _ if !leads => self.leading = None,
            Some(leading) if leading.epoch() == epoch => leading.follow(state, now),
            _ => self.leading = Some(Leading::begin(id_of(me), state, end, now)),
        }
        is_new && leads
    }

    /// What is to be told to the controller, after a look at who is too slow.
    pub(crate) fn proposal(&mut self, peers: &MetadataImage, now: Timestamp) -> Option<Proposal> {
        let end = self.end();
        let leading = self.leading.as_mut()?;
        let _ = with_terms(peers, end, now, |terms| leading.shrink(terms));
        leading.under_way().cloned()
    }

    /// All replicas, as a set that nobody may propose.
    pub(crate) fn all(&self, state: &PartitionImage) -> Proposal {
        Proposal {
            leader_epoch: LeaderEpoch(self.epoch),
            partition_epoch: state.partition_epoch,
            isr: state.replicas.iter().map(|id| (*id, -1)).collect(),
        }
    }

    pub(crate) fn settle(&mut self, proposal: &Proposal, outcome: Outcome) {
        if let Some(leading) = &mut self.leading {
            leading.settle(proposal, outcome);
        }
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
        if self.in_sync < self.min_in_sync {
            return Err(Refused::TooFewInSync);
        }
        let rules = self.log.config().rules();
        let batch = validate(batch, &rules, now, origin).expect("a batch of our own builder");
        self.log.settle_transactions(self.high_watermark);
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

    /// Fetches from the leader what this one lacks, or gives up what the leader does not have. What its disk has no room for is
    /// fetched again.
    pub(crate) fn pull(&mut self, who: &Fetcher<'_>, leader: &mut Self) {
        if !leader.leads || leader.epoch != self.epoch || self.leads {
            return;
        }
        if !leader.leading.as_ref().is_some_and(|leading| leading.is_replica(id_of(who.broker))) {
            return;
        }
        if let Some(at) = leader.diverging(self.log.latest_epoch(), self.end()) {
            if who.is_answered {
                self.cut_back(at, who.now);
            }
            return;
        }
        leader.is_asked(who, self.end());
        let from = self.end();
        if !who.is_answered || from > leader.end() {
            return;
        }
        let slice = leader.log.read(from, 2048, leader.end(), true).unwrap();
        if !slice.is_empty() {
            match self.log.append_as_follower(slice.read_all().unwrap().into(), who.now) {
                Ok(appended) if appended.rolled => _ = is_done(self.log.flush()),
                Ok(_) => {}
                Err(AppendError::Storage(error)) if error.is_shortage() => return,
                Err(error) => panic!("{error}"),
            }
        }
        let known = leader.high_watermark.min(self.end());
        self.high_watermark = self.high_watermark.max(known);
        self.log.settle_transactions(self.high_watermark);
    }

    /// The point where the follower's log leaves this one, if it does (KIP-595).
    fn diverging(&self, epoch: Option<LeaderEpoch>, end: Offset) -> Option<(LeaderEpoch, Offset)> {
        let asked = epoch?;
        let (found, found_end) = self.log.end_offset_for_epoch(asked)?;
        (found < asked || found_end < end).then_some((found, found_end))
    }

    /// The broker's `Partition::note_fetch`.
    fn is_asked(&mut self, who: &Fetcher<'_>, end: Offset) {
        let fetched = Fetched {
            replica: id_of(who.broker),
            broker_epoch: who.broker_epoch,
            leader_epoch: LeaderEpoch(self.epoch),
            end,
            log_start: Offset(0),
        };
        let (own_end, committed) = (self.end(), self.high_watermark);
        let Some(leading) = &mut self.leading else { return };
        if leading.fetched(&fetched, own_end, who.leaders_now) {
            let expand = |terms: &Terms<'_>| leading.expand(fetched.replica, committed, terms);
            let _ = with_terms(who.peers, own_end, who.leaders_now, expand);
        }
    }

    /// Cuts the log where the leader says that it goes another way (the broker's `Partition::cut_back`).
    fn cut_back(&mut self, (epoch, end): (LeaderEpoch, Offset), now: Timestamp) {
        let own = self.log.end_offset_for_epoch(epoch).map_or(end, |(_, own_end)| own_end);
        if is_done(self.log.truncate_to(own.min(end), now)) {
            self.high_watermark = self.high_watermark.min(own.min(end));
        }
    }

    /// Whether more is committed than before.
    pub(crate) fn advance(&mut self, peers: &MetadataImage, now: Timestamp) -> bool {
        let Some(leading) = &self.leading else { return false };
        let committed = with_terms(peers, self.end(), now, |terms| leading.committed(terms));
        let Some(committed) = committed.filter(|committed| *committed > self.high_watermark) else {
            return false;
        };
        self.high_watermark = committed;
        self.log.settle_transactions(committed);
        true
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

fn with_terms<T>(peers: &MetadataImage, end: Offset, now: Timestamp, run: impl FnOnce(&Terms<'_>) -> T) -> T {
    let live = |id| peers.broker(id).filter(|broker| !broker.fenced).map(|broker| broker.epoch);
    run(&Terms { now, end, lag_max_ms: LAG_MAX_MS, min_in_sync: MIN_IN_SYNC, live: &live })
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

/// `clean` has the recovery point that a clean stop has left.
fn open(fs: &SimFs, compacted: bool, now: Timestamp, clean: Option<Offset>) -> Log {
    // Small segments, so that transactions and their index span several of them, and the coordinators' can be cleaned.
    let segment_bytes = if compacted { 1 << 10 } else { 8 << 10 };
    let (compact, delete) = (compacted, !compacted);
    let config =
        LogConfig { segment_bytes, index_interval_bytes: 256, compact, delete, ..LogConfig::default() };
    let recovery_point = clean.unwrap_or(Offset(0));
    let how = OpenHow { clean: clean.is_some(), recovery_point, log_start: Offset(0) };
    Log::open(Arc::new(fs.clone()), Path::new("/log-0"), config, how, now).unwrap().0
}
