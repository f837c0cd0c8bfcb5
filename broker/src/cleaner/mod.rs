//! The log cleaner: finds the dirtiest compacted log, has it cleaned, and deletes what `compact,delete` lets go
//! (Kafka's `LogCleaner` and `LogCleanerManager`).
//!
//! It must never clean at or above the last stable offset, and never run on a thread that serves connections. Nothing
//! ticks: a rolled segment, a changed topic or a time that was foretold wakes it.

mod checkpoints;
mod metrics;
mod pass;
mod throttle;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use milena_storage::ids::TopicPartition;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use uuid::Uuid;

pub use metrics::CleanerMetrics;

use crate::blocking;
use crate::clock::Clock;
use crate::partition::Partition;
use crate::partition::set::{Gone, Partitions};
use crate::settings::Settings;
use checkpoints::Checkpoints;
use metrics::Ledger;
use pass::{Look, Work};
use throttle::Throttle;

/// The cleaner of one broker.
#[derive(Debug)]
pub struct Cleaner {
    partitions: Arc<Partitions>,
    clock: Arc<Clock>,
    settings: Arc<ArcSwap<Settings>>,
    /// Keys the hashes of record keys, so that no client can foretell them.
    seed: (u64, u64),
    throttle: Mutex<Throttle>,
    state: Mutex<State>,
}

/// A partition of one incarnation of its topic.
type Incarnation = (TopicPartition, Uuid);

#[derive(Debug)]
struct State {
    checkpoints: Checkpoints,
    in_progress: HashSet<Incarnation>,
    /// A cleaning of them failed by what their log holds; they are left alone until the next start.
    uncleanable: HashSet<Incarnation>,
    ledger: Ledger,
}

impl Cleaner {
    #[must_use]
    pub fn new(
        partitions: Arc<Partitions>,
        clock: Arc<Clock>,
        settings: Arc<ArcSwap<Settings>>,
        seed: (u64, u64),
    ) -> Arc<Self> {
        let state = State {
            checkpoints: Checkpoints::load(&partitions.disk),
            in_progress: HashSet::new(),
            uncleanable: HashSet::new(),
            ledger: Ledger::new(clock.now()),
        };
        Arc::new(Self {
            partitions,
            clock,
            settings,
            seed,
            throttle: Mutex::default(),
            state: Mutex::new(state),
        })
    }

    /// What the cleaner tells of its work.
    #[must_use]
    pub fn metrics(&self) -> CleanerMetrics {
        let now = self.clock.now();
        let dirs = &self.partitions.disk.dirs;
        let mut uncleanable: Vec<_> = dirs.iter().map(|dir| (dir.path.clone(), 0, 0)).collect();
        let state = &mut *self.state.lock();
        for partition in self.partitions.all() {
            if !state.uncleanable.contains(&incarnation(&partition)) {
                continue;
            }
            let checkpoint = state.checkpoints.get(&partition);
            let stable = partition.last_stable_offset();
            let cleanable = partition.tend(|log| log.cleanable(checkpoint, stable, now));
            let (_, count, bytes) = &mut uncleanable[partition.dir()];
            *count += 1;
            *bytes += cleanable.map_or(0, |cleanable| cleanable.cleanable_bytes);
        }
        state.ledger.values(now, uncleanable)
    }

    /// Forgets partitions that were deleted, so that others of their names do not get their offsets
    /// (`LogCleanerManager.updateCheckpoints`).
    pub fn forget(&self, gone: &[Gone]) {
        self.state.lock().checkpoints.forget(&self.partitions.disk, gone);
    }

    /// A partition's log was cut: what is in its active segment was never cleaned
    /// (`LogCleanerManager.maybeTruncateCheckpoint`).
    pub fn truncated(&self, partition: &Partition) {
        let base = partition.active_base();
        self.state.lock().checkpoints.truncate(&self.partitions.disk, partition, base);
    }

    /// A partition's log is in another directory now.
    pub fn changed_dir(&self, name: &TopicPartition, from: usize, to: usize) {
        self.state.lock().checkpoints.change_dir(&self.partitions.disk, name, from, to);
        self.partitions.cleaner_wake.notify_one();
    }

    /// Runs until `stop` changes and the cleanings under way have ended.
    pub async fn run(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let settings = self.settings.load().cleaner();
        if !settings.enabled || settings.threads == 0 {
            tracing::warn!("the log cleaner is switched off: compacted topics grow for ever");
        }
        if !settings.enabled {
            return;
        }
        let wake = self.partitions.cleaner_wake.clone();
        let mut agenda = Agenda { wanted: true, ..Agenda::default() };
        let mut tasks: JoinSet<Done> = JoinSet::new();
        while !*stop.borrow() {
            let settings = self.settings.load().cleaner();
            if agenda.wanted && !agenda.looking && agenda.cleaning < settings.threads {
                agenda.begin_look(self.clock.steady_ms());
                let cleaner = self.clone();
                blocking::spawn_in(&mut tasks, move || Done::Looked(cleaner.look()));
            }
            tokio::select! {
                _ = stop.changed() => {}
                Some(done) = tasks.join_next() => {
                    if let Some(work) = self.note(done, &mut agenda, settings.backoff) {
                        let (cleaner, stop) = (self.clone(), stop.clone());
                        blocking::spawn_in(&mut tasks, move || {
                            cleaner.clean(&work, stop);
                            Done::Cleaned
                        });
                    }
                }
                () = wake.notified() => agenda.look_after(settings.backoff),
                () = reached(&self.clock, agenda.look_at) => agenda.want(),
            }
        }
        // They see the stop at their next read.
        while tasks.join_next().await.is_some() {}
    }

    /// Takes up what a task did; returns what is to be cleaned next.
    fn note(
        &self,
        done: Result<Done, JoinError>,
        agenda: &mut Agenda,
        backoff: Duration,
    ) -> Option<Box<Work>> {
        match done {
            Ok(Done::Looked(look)) => {
                agenda.looking = false;
                if let Some(wait_ms) = look.look_again_in_ms {
                    agenda.look_in(wait_ms, backoff);
                }
                let work = look.work?;
                agenda.cleaning += 1;
                // Another thread may find something too.
                agenda.wanted = true;
                Some(work)
            }
            Ok(Done::Cleaned) => {
                agenda.cleaning -= 1;
                agenda.wanted = true;
                None
            }
            Err(error) => {
                tracing::error!(%error, "a cleaner thread died; its partition is not cleaned until the next start");
                self.state.lock().ledger.dead += 1;
                // A look and a cleaning end alike; whichever it was, the loop must not wait for it.
                if agenda.looking {
                    agenda.looking = false
                } else {
                    agenda.cleaning -= 1
                }
                None
            }
        }
    }
}

/// What a task has done.
enum Done {
    Looked(Look),
    Cleaned,
}

/// When the cleaner looks at the logs again.
#[derive(Debug, Default)]
struct Agenda {
    wanted: bool,
    looking: bool,
    cleaning: usize,
    last_look: i64,
    /// On the steady clock.
    look_at: Option<i64>,
}

impl Agenda {
    fn begin_look(&mut self, now: i64) {
        (self.wanted, self.looking, self.last_look, self.look_at) = (false, true, now, None);
    }

    /// Something has changed: looks, but not sooner than the back-off after the last time.
    fn look_after(&mut self, backoff: Duration) {
        self.look_in(0, backoff);
    }

    /// Looks `wait_ms` after the last time, or after the back-off if that is later.
    fn look_in(&mut self, wait_ms: i64, backoff: Duration) {
        let backoff_ms = i64::try_from(backoff.as_millis()).unwrap_or(i64::MAX);
        let at = self.last_look.saturating_add(wait_ms.max(backoff_ms));
        self.look_at = Some(self.look_at.map_or(at, |earlier| earlier.min(at)));
    }

    fn want(&mut self) {
        (self.wanted, self.look_at) = (true, None);
    }
}

/// Resolves when the steady clock has reached `at`; never without one.
async fn reached(clock: &Clock, at: Option<i64>) {
    match at {
        Some(at) => clock.sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn incarnation(partition: &Partition) -> Incarnation {
    (partition.name.clone(), partition.topic_id)
}

#[cfg(test)]
mod tests;
