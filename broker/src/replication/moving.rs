//! Carries the moves between this broker's log directories on, as fast as `replica.alter.log.dirs.io.max.bytes.per.second` lets it
//! (`ReplicaAlterLogDirsManager`).
//!
//! It must never tick while nothing is moved, and never work on a thread that serves connections.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::Means;
use super::throughput::Throughput;
use crate::blocking;
use crate::clock::Clock;
use crate::partition::moves::{Move, Moved};
use crate::settings::MoveSettings;

/// Pause of what is throttled, in milliseconds; the rate is measured over seconds.
const THROTTLED_MS: i64 = 100;

/// Moves the logs of one broker.
pub(super) struct Mover {
    means: Arc<Means>,
    passed: Mutex<Throughput>,
}

/// What a round came to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Round {
    /// Nothing can be done for now.
    Stuck,
    /// As many bytes have passed as may.
    Throttled,
    Moved,
}

impl Mover {
    pub(super) fn new(means: Arc<Means>) -> Arc<Self> {
        Arc::new(Self { means, passed: Mutex::default() })
    }

    /// Runs until `stop` changes and the round under way has ended.
    pub(super) async fn run(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let wake = self.means.partitions.move_wake.clone();
        while !*stop.borrow() {
            let moves = self.means.partitions.moves();
            let pause_ms = if moves.is_empty() { None } else { Some(self.round(&moves).await) };
            let until = pause_ms.map(|pause_ms| self.means.clock.steady_ms().saturating_add(pause_ms));
            tokio::select! {
                biased;
                _ = stop.changed() => {}
                () = reached(&self.means.clock, until) => {}
                () = wake.notified() => {}
            }
        }
    }

    /// Gives every move its turn, several at a time; how many milliseconds to pause then.
    async fn round(self: &Arc<Self>, moves: &[Move]) -> i64 {
        let settings = self.means.settings.load().moves();
        let share = moves.len().div_ceil(settings.threads.max(1)).max(1);
        let mut running = JoinSet::new();
        for moves in moves.chunks(share) {
            let (mover, moves, settings) = (self.clone(), moves.to_vec(), settings.clone());
            blocking::spawn_in(&mut running, move || {
                moves.iter().map(|each| mover.advance(each, &settings)).max().unwrap_or(Round::Stuck)
            });
        }
        let mut best = Round::Stuck;
        while let Some(round) = running.join_next().await {
            match round {
                Ok(round) => best = best.max(round),
                Err(error) => tracing::error!(%error, "a move between log directories failed"),
            }
        }
        match best {
            Round::Moved => 0,
            Round::Throttled => THROTTLED_MS,
            Round::Stuck => i64::try_from(settings.backoff.as_millis()).unwrap_or(i64::MAX).max(1),
        }
    }

    fn advance(&self, each: &Move, settings: &MoveSettings) -> Round {
        let now_ms = self.means.clock.steady_ms();
        if self.passed.lock().is_exceeded(settings.bytes_per_second, now_ms, settings.window) {
            return Round::Throttled;
        }
        match self.means.partitions.advance(each, settings.chunk_bytes, self.means.clock.now()) {
            Moved::Some(bytes) => {
                self.passed.lock().record(bytes, now_ms, settings.window);
                Round::Moved
            }
            Moved::Done { partition, from, to } => {
                self.means.cleaner.changed_dir(&partition, from, to);
                Round::Moved
            }
            Moved::Over => Round::Moved,
            Moved::Stuck => Round::Stuck,
        }
    }
}

/// Resolves when the steady clock has reached `at`; never without one.
async fn reached(clock: &Clock, at: Option<i64>) {
    match at {
        Some(at) => clock.sleep_until(at).await,
        None => std::future::pending().await,
    }
}
