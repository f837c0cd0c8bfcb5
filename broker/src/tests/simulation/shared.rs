//! What the hosts of one simulation share: where it stands, which brokers run, and what clients have seen.
//!
//! Nothing of it reaches a broker. Must never be asked by a broker.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::history::History;
use crate::state::BrokerState;

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// Brokers die and are cut off.
    Trouble,
    /// All is healed; clients go on until each has got further.
    Recovery,
    /// Producers have ended; readers read to the end.
    End,
}

/// See the module; clones are the same.
#[derive(Clone)]
pub(super) struct Shared(Rc<Inner>);

struct Inner {
    phase: Cell<Phase>,
    running: RefCell<BTreeMap<i32, Arc<BrokerState>>>,
    history: RefCell<History>,
    brokers: i32,
    now: Cell<Duration>,
}

impl Shared {
    pub(super) fn new(brokers: i32) -> Self {
        Self(Rc::new(Inner {
            phase: Cell::new(Phase::Trouble),
            running: RefCell::default(),
            history: RefCell::default(),
            brokers,
            now: Cell::default(),
        }))
    }

    pub(super) fn brokers(&self) -> Vec<i32> {
        (1..=self.0.brokers).collect()
    }

    /// Tells what time it is.
    pub(super) fn set_now(&self, now: Duration) {
        self.0.now.set(now);
    }

    pub(super) fn phase(&self) -> Phase {
        self.0.phase.get()
    }

    pub(super) fn enter(&self, phase: Phase) {
        self.note(|| format!("{phase:?}"));
        self.0.phase.set(phase);
    }

    pub(super) fn started(&self, id: i32, broker: Arc<BrokerState>) {
        self.0.running.borrow_mut().insert(id, broker);
    }

    pub(super) fn stopped(&self, id: i32) {
        self.0.running.borrow_mut().remove(&id);
    }

    /// The brokers that have started, for whoever judges.
    pub(super) fn running(&self) -> BTreeMap<i32, Arc<BrokerState>> {
        self.0.running.borrow().clone()
    }

    pub(super) fn history<T>(&self, on: impl FnOnce(&mut History) -> T) -> T {
        on(&mut self.0.history.borrow_mut())
    }

    /// Writes a line into the run's trace.
    pub(super) fn note(&self, line: impl FnOnce() -> String) {
        let ms = self.0.now.get().as_millis();
        let line = format!("{ms:>6} {}", line());
        tracing::debug!("{line}");
        self.history(|history| history.trace.push(line));
    }

    /// Something happened that must not.
    pub(super) fn fault(&self, what: String) {
        self.note(|| format!("FAULT {what}"));
        self.history(|history| history.faults.push(what));
    }
}
