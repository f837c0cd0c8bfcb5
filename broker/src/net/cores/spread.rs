//! How many cores serve connections, and which of them gives some to which: one until it has no rest, and another only where more gets done or
//! less is waited.
//!
//! A core that serves all of what there is wakes less often and gets more done each time: with 16 clients that wait for each answer, one takes a
//! fifth less processor time a request than two (measured). Must never read a clock nor move a connection: what each core did comes in, what is
//! to change goes out.

use std::time::Duration;

/// How long what the cores did is added up before it is looked at.
pub(super) const WINDOW: Duration = Duration::from_millis(100);
/// Above this a core has no rest, and whatever comes has to wait for it.
const NO_REST: f64 = 0.95;
/// The part of the time in which connections are kept waiting by [long](super::LONG) work that is worth another core, too.
const KEPT_WAITING: f64 = 0.2;
/// The part in which another core helps at once: what takes long gains nothing from being on one core. Batches of 1 MB are above it, and other
/// loads now and then, where the machine has no processor for a thread.
const MOSTLY_WAITING: f64 = 0.5;
/// Another core is worth it if so much more gets done, or if so little of the waiting is left.
const MORE: f64 = 1.05;
const LESS: f64 = 0.7;
/// As much gets done if it is so much of what was done before.
const AS_MUCH: f64 = 0.97;
/// What takes the others so much of their processors' time is done by them without a trial.
const EASY: f64 = 0.6;
/// What takes them more than this is not tried with them: each has one processor, but fewer take less.
const TOO_MUCH: f64 = 1.1;
/// Windows in a row in which it would, before they do: work comes in bursts.
const CALM: u32 = 10;
/// Two cores may differ by this without one giving to the other.
const UNEVEN: f64 = 0.25;
/// Windows between a trial that changed nothing and the next; doubled each time up to the second one, a minute.
const FIRST_PAUSE: u32 = 10;
const LAST_PAUSE: u32 = 640;
/// With so many times as much or as little to do it is tried again at once: others ask for other things.
const ANOTHER_LOAD: f64 = 1.5;
/// A window that took longer by this factor had hardly any requests, which ask for the look.
const LATE: u32 = 3;

/// What a core did in a window.
#[derive(Clone, Copy, Default, PartialEq, Debug)]
pub(super) struct Did {
    /// The part of the time in which it was not asleep: also while its thread waited for a processor or for a disk.
    pub(super) busy: f64,
    /// The part of the time in which it had a processor.
    pub(super) ran: f64,
    /// The part of the time that long work took behind which other work waited.
    pub(super) kept_waiting: f64,
    /// In bytes; a request counts as some, too.
    pub(super) work: f64,
    /// Connections that had requests.
    pub(super) connections: u64,
}

/// A core gives connections that did so much work together to another.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Order {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) work: f64,
}

/// What was decided so far.
#[derive(Debug)]
pub(super) struct Spread {
    cores: usize,
    used: usize,
    trial: Option<Trial>,
    /// Windows until the next trial, and how many that were after the last.
    pause: u32,
    last_pause: u32,
    calm: u32,
    /// What was seen before the last trial that changed nothing.
    in_vain: Option<Seen>,
}

/// Another number of cores, to see what comes of it.
#[derive(Debug)]
struct Trial {
    hope: Hope,
    /// The number before, and what was seen then.
    back: usize,
    before: Seen,
    /// Whether everybody has had a window to move.
    settled: bool,
}

/// What another number of cores is tried for.
#[derive(Clone, Copy, Debug)]
enum Hope {
    /// More gets done, or as much with less waiting.
    Better,
    /// One less is as good.
    AsGood,
}

/// What got done by all cores, per second, and the part of the time in which a connection was kept waiting, on the average.
#[derive(Clone, Copy, Debug)]
struct Seen {
    rate: f64,
    kept_waiting: f64,
}

impl Seen {
    fn of(did: &[Did], elapsed: Duration) -> Self {
        let work: f64 = did.iter().map(|did| did.work).sum();
        let connections: u64 = did.iter().map(|did| did.connections).sum();
        // Who is alone on a core keeps nobody waiting.
        let among_others = did.iter().filter(|did| did.connections > 1);
        let kept_waiting: f64 = among_others.map(|did| did.kept_waiting * as_number(did.connections)).sum();
        Self {
            rate: work / elapsed.as_secs_f64().max(f64::EPSILON),
            kept_waiting: kept_waiting / as_number(connections.max(1)),
        }
    }

    /// Whether what a trial showed of that one need not hold for this one.
    fn is_another_load(self, before: Self) -> bool {
        let is_near =
            (1.0 / ANOTHER_LOAD..=ANOTHER_LOAD).contains(&(self.rate / before.rate.max(f64::EPSILON)));
        !is_near || (self.kept_waiting - before.kept_waiting).abs() > KEPT_WAITING
    }

    fn fulfils(self, hope: Hope, before: Self) -> bool {
        let waits_less =
            self.kept_waiting <= before.kept_waiting * LESS && before.kept_waiting >= KEPT_WAITING;
        let waits_more = self.kept_waiting > before.kept_waiting.max(KEPT_WAITING);
        let is_as_much = self.rate >= before.rate * AS_MUCH;
        match hope {
            Hope::Better => self.rate >= before.rate * MORE || (is_as_much && waits_less),
            Hope::AsGood => is_as_much && !waits_more,
        }
    }
}

impl Spread {
    pub(super) fn new(cores: usize) -> Self {
        Self { cores, used: 1, trial: None, pause: 0, last_pause: 0, calm: 0, in_vain: None }
    }

    /// The first so many cores have the connections.
    pub(super) fn used(&self) -> usize {
        self.used
    }

    /// After a window that took so long. Connections of cores that are not used any more go to those that are; others only by order.
    pub(super) fn step(&mut self, elapsed: Duration, did: &[Did]) -> Vec<Order> {
        let seen = Seen::of(did, elapsed);
        self.pause = self.pause.saturating_sub(1);
        if elapsed > WINDOW * LATE || self.in_vain.is_some_and(|before| seen.is_another_load(before)) {
            self.forget(0);
        }
        match self.trial.take() {
            Some(trial) if elapsed > WINDOW * LATE => self.used = trial.back,
            Some(trial) if !trial.settled => self.trial = Some(Trial { settled: true, ..trial }),
            Some(trial) => self.judge(&trial, seen),
            None => self.adjust(did, seen),
        }
        self.even_out(did)
    }

    fn judge(&mut self, trial: &Trial, seen: Seen) {
        if seen.fulfils(trial.hope, trial.before) {
            self.forget(FIRST_PAUSE);
        } else {
            self.used = trial.back;
            self.last_pause = (self.last_pause * 2).clamp(FIRST_PAUSE, LAST_PAUSE);
            self.pause = self.last_pause;
            self.in_vain = Some(trial.before);
        }
    }

    /// What was tried in vain; the next trial may come after so many windows.
    fn forget(&mut self, pause: u32) {
        (self.pause, self.last_pause, self.in_vain) = (pause, 0, None);
    }

    fn adjust(&mut self, did: &[Did], seen: Seen) {
        let more = (self.used * 2).min(self.cores);
        let has_no_rest = |did: &Did| did.connections > 1 && did.busy >= NO_REST;
        let needs_help = seen.kept_waiting >= KEPT_WAITING || did.iter().any(has_no_rest);
        if more > self.used && seen.kept_waiting >= MOSTLY_WAITING {
            self.used = more;
            // It may have been a moment only: fewer are tried again soon.
            self.forget(FIRST_PAUSE);
            return;
        }
        if more > self.used && needs_help {
            self.try_with(more, Hope::Better, seen);
        }
        if self.trial.is_none() && self.used > 1 {
            self.use_fewer(did, seen);
        }
    }

    fn use_fewer(&mut self, did: &[Did], seen: Seen) {
        let others = self.used - 1;
        let ran = did.iter().map(|did| did.ran).sum::<f64>() / as_number(others as u64);
        let is_easy = ran < EASY && seen.kept_waiting < KEPT_WAITING / 2.0;
        self.calm = if is_easy { self.calm + 1 } else { 0 };
        if self.calm >= CALM {
            self.used = others;
            self.calm = 0;
        } else if !is_easy && ran <= TOO_MUCH && seen.kept_waiting < MOSTLY_WAITING {
            self.try_with(others, Hope::AsGood, seen);
        }
    }

    fn try_with(&mut self, used: usize, hope: Hope, before: Seen) {
        if self.pause == 0 {
            self.trial = Some(Trial { hope, back: self.used, before, settled: false });
            self.used = used;
        }
    }

    /// The busiest core gives to the one that is least busy, the second to the second least, so that both have as much.
    fn even_out(&self, did: &[Did]) -> Vec<Order> {
        let mut by_busy: Vec<usize> = (0..self.used).collect();
        by_busy.sort_by(|a, b| did[*b].busy.total_cmp(&did[*a].busy));
        let pairs = by_busy.iter().zip(by_busy.iter().rev()).take(self.used / 2);
        let uneven = pairs.map(|(from, to)| (*from, *to, did[*from].busy - did[*to].busy));
        uneven
            .filter(|(from, _, by)| *by >= UNEVEN && did[*from].connections > 1)
            .map(|(from, to, by)| Order { from, to, work: did[from].work * by / 2.0 / did[from].busy })
            .collect()
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "no machine has as many cores or connections as would lose a digit"
)]
fn as_number(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests;
