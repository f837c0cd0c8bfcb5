//! The cores that serve connections: who serves how many is counted, looked at ten times a second, and changed by [`spread`].
//!
//! Must never move a connection itself: each asks, when nothing of it is under way, and goes. Nothing is looked at while no requests come.

pub(super) mod idle;
mod spread;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tracing::debug;

use super::workers::Core;
use crate::clock::thread_time;
use spread::{Did, Spread, WINDOW};

/// What a request takes of a core besides its bytes, in bytes: of 100 bytes one takes about 6 us, a GB of large ones 0.9 s.
const REQUEST: u64 = 6 << 10;
/// Work that takes longer keeps small requests waiting for many times what they take themselves.
pub(super) const LONG: Duration = Duration::from_micros(250);

/// All of a broker's cores; the first so many serve connections.
pub(super) struct Cores {
    lanes: Vec<Lane>,
    used: AtomicUsize,
    /// The number of the window, and until when it goes, in nanoseconds of the broker's uptime.
    window: AtomicU64,
    ends: AtomicU64,
    looks: Mutex<Looks>,
    dealt: AtomicUsize,
}

/// One core's counts since it began, which its own thread writes; in cache lines of their own.
#[repr(align(128))]
struct Lane {
    core: Core,
    work: AtomicU64,
    connections: AtomicU64,
    /// Nanoseconds for which its thread had a processor, as of the last window in which it had a request.
    ran: AtomicU64,
    ran_in: AtomicU64,
    /// When its last request began, and after how many sleeps that was.
    began: AtomicU64,
    sleeps: AtomicU64,
    kept_waiting: AtomicU64,
    /// How much work it has to give, and to which core. Whoever looks sets it, its connections take from it.
    give: AtomicU64,
    to: AtomicUsize,
}

struct Looks {
    spread: Spread,
    /// At the last look.
    before: Vec<Counts>,
}

#[derive(Clone, Copy, Default)]
struct Counts {
    at: Duration,
    slept: Duration,
    ran: u64,
    kept_waiting: u64,
    work: u64,
    connections: u64,
}

/// Where a connection is, and the work that it did there in this window and in the one before.
#[derive(Default, Debug)]
pub(super) struct Place {
    core: usize,
    window: u64,
    work: u64,
    before: u64,
}

impl Cores {
    pub(super) fn new(cores: Vec<Core>) -> Self {
        let lanes: Vec<Lane> = cores.into_iter().map(Lane::new).collect();
        let looks =
            Looks { spread: Spread::new(lanes.len()), before: lanes.iter().map(Lane::counts).collect() };
        // One core has nobody to give to.
        let ends = if lanes.len() == 1 { u64::MAX } else { nanos(WINDOW) };
        Self {
            lanes,
            used: AtomicUsize::new(1),
            window: AtomicU64::new(1),
            ends: AtomicU64::new(ends),
            looks: Mutex::new(looks),
            dealt: AtomicUsize::new(0),
        }
    }

    /// The one that everything but connections runs on.
    pub(super) fn first(&self) -> &Core {
        &self.lanes[0].core
    }

    pub(super) fn core(&self, place: &Place) -> &Core {
        &self.lanes[place.core].core
    }

    /// For a new connection.
    pub(super) fn deal(&self) -> Place {
        let core = self.dealt.fetch_add(1, Ordering::Relaxed) % self.used.load(Ordering::Relaxed);
        Place { core, ..Place::default() }
    }

    /// A request begins.
    pub(super) fn begin(&self, place: &mut Place, now: Duration) {
        let (lane, now) = (&self.lanes[place.core], nanos(now));
        let (before, sleeps) = (lane.began.load(Ordering::Relaxed), lane.core.idle.sleeps());
        let took = now.saturating_sub(before);
        let is_first = before == 0;
        if took >= nanos(LONG) && !is_first && lane.sleeps.load(Ordering::Relaxed) == sleeps {
            add(&lane.kept_waiting, took);
        }
        lane.began.store(now, Ordering::Relaxed);
        lane.sleeps.store(sleeps, Ordering::Relaxed);
        if now >= self.ends.load(Ordering::Relaxed) {
            self.look(now);
        }
        let window = self.window.load(Ordering::Relaxed);
        if lane.ran_in.load(Ordering::Relaxed) != window {
            lane.ran_in.store(window, Ordering::Relaxed);
            lane.ran.store(nanos(thread_time()), Ordering::Relaxed);
        }
        if place.window != window {
            place.before = if place.window + 1 == window { place.work } else { 0 };
            place.work = 0;
            place.window = window;
            add(&lane.connections, 1);
        }
        self.count(place, REQUEST);
    }

    /// So many bytes of requests or answers.
    pub(super) fn count(&self, place: &mut Place, bytes: u64) {
        place.work += bytes;
        add(&self.lanes[place.core].work, bytes);
    }

    /// Where a connection has to go; it goes.
    pub(super) fn leave(&self, place: &Place) -> Option<Place> {
        let used = self.used.load(Ordering::Relaxed);
        let there = |core| Place { core, window: place.window, ..Place::default() };
        if place.core >= used {
            return Some(there(place.core % used));
        }
        let lane = &self.lanes[place.core];
        let give = lane.give.load(Ordering::Relaxed);
        let is_of_now = place.window == self.window.load(Ordering::Relaxed);
        // Half as much too much is nearer than nothing; one that does everything stays.
        if give == 0 || !is_of_now || place.before == 0 || place.before > give + give / 2 {
            return None;
        }
        let left = give.saturating_sub(place.before);
        // It is another number when a look has set it meanwhile: then the next request asks again.
        lane.give.compare_exchange(give, left, Ordering::Relaxed, Ordering::Relaxed).ok()?;
        Some(there(lane.to.load(Ordering::Relaxed)))
    }

    fn look(&self, now: u64) {
        // Somebody else looks already, or has.
        let Some(mut looks) = self.looks.try_lock() else { return };
        if now < self.ends.load(Ordering::Relaxed) {
            return;
        }
        let counts: Vec<Counts> = self.lanes.iter().map(Lane::counts).collect();
        let elapsed = counts[0].at.saturating_sub(looks.before[0].at);
        let did: Vec<Did> = looks.before.iter().zip(&counts).map(|(before, now)| now.since(before)).collect();
        looks.before = counts;
        let before = looks.spread.used();
        let orders = looks.spread.step(elapsed, &did);
        if looks.spread.used() != before {
            debug!(cores = looks.spread.used(), ?did, "another number of cores serves connections");
        }
        self.used.store(looks.spread.used(), Ordering::Relaxed);
        for lane in &self.lanes {
            lane.give.store(0, Ordering::Relaxed);
        }
        for order in orders {
            let lane = &self.lanes[order.from];
            lane.to.store(order.to, Ordering::Relaxed);
            lane.give.store(whole(order.work), Ordering::Relaxed);
        }
        self.window.fetch_add(1, Ordering::Relaxed);
        self.ends.store(now.saturating_add(nanos(WINDOW)), Ordering::Relaxed);
    }
}

impl Lane {
    fn new(core: Core) -> Self {
        Self {
            core,
            work: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            ran: AtomicU64::new(0),
            ran_in: AtomicU64::new(0),
            began: AtomicU64::new(0),
            sleeps: AtomicU64::new(0),
            kept_waiting: AtomicU64::new(0),
            give: AtomicU64::new(0),
            to: AtomicUsize::new(0),
        }
    }

    fn counts(&self) -> Counts {
        let (at, slept) = self.core.idle.total();
        Counts {
            at,
            slept,
            ran: self.ran.load(Ordering::Relaxed),
            kept_waiting: self.kept_waiting.load(Ordering::Relaxed),
            work: self.work.load(Ordering::Relaxed),
            connections: self.connections.load(Ordering::Relaxed),
        }
    }
}

impl Counts {
    #[expect(clippy::cast_precision_loss, reason = "what is compared differs by percents")]
    fn since(&self, before: &Self) -> Did {
        let elapsed = self.at.saturating_sub(before.at).as_secs_f64().max(f64::EPSILON);
        let slept = self.slept.saturating_sub(before.slept).as_secs_f64();
        let part = |nanos: u64| (Duration::from_nanos(nanos).as_secs_f64() / elapsed).min(1.0);
        Did {
            busy: (1.0 - slept / elapsed).clamp(0.0, 1.0),
            ran: part(self.ran.saturating_sub(before.ran)),
            kept_waiting: part(self.kept_waiting.saturating_sub(before.kept_waiting)),
            work: self.work.saturating_sub(before.work) as f64,
            connections: self.connections.saturating_sub(before.connections),
        }
    }
}

/// Only the lane's own thread adds, so that this needs no locked instruction.
fn add(to: &AtomicU64, more: u64) {
    to.store(to.load(Ordering::Relaxed) + more, Ordering::Relaxed);
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "work is never negative, and far below 2^64"
)]
fn whole(work: f64) -> u64 {
    work as u64
}

#[cfg(test)]
impl Cores {
    /// As if it had been decided: so many are used.
    pub(super) fn set_used(&self, used: usize) {
        self.used.store(used, Ordering::Relaxed);
    }

    /// As if it had been decided: what worked in the last window goes there.
    pub(super) fn order(&self, from: usize, to: usize) {
        self.window.fetch_add(1, Ordering::Relaxed);
        let lane = &self.lanes[from];
        lane.to.store(to, Ordering::Relaxed);
        lane.give.store(u64::MAX / 2, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
