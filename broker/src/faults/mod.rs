//! Faults on demand: rules that tests set, and the decision which of them a request meets.
//!
//! Must never do what a rule asks for (`api/dispatch/faulty.rs` does), nor cost a request more than one load while
//! there is no rule.

mod rule;
mod subjects;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use thiserror::Error;
use tokio::sync::watch;

use rule::Armed;
pub use rule::{Action, Rule, When};
pub use subjects::{Asked, Subjects};

/// Rules that may stand at a time: each is looked at for each request.
const RULES_MAX: usize = 100;

/// The rules of one broker.
#[derive(Debug, Default)]
pub struct Faults {
    armed: AtomicBool,
    rules: Mutex<Rules>,
}

#[derive(Debug, Default)]
struct Rules {
    last_id: u64,
    by_id: BTreeMap<u64, Armed>,
}

/// What a request has met.
#[derive(Debug)]
pub struct Hit {
    pub rule: u64,
    pub act: Act,
    /// Partitions that the rule means, for answers that tell of several.
    pub partitions: Vec<(String, i32)>,
    /// Its sender goes with the rule.
    pub gone: watch::Receiver<()>,
}

/// What is to be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Act {
    /// Answer with this code, and apply nothing.
    Error(i16),
    /// Apply, and answer so many milliseconds later.
    Delay(u64),
    CutBefore,
    CutAfter,
    /// Answer nothing until the rule goes.
    Silence,
    /// Answer that the client shall wait so many milliseconds.
    Throttle(i32),
}

/// Why a rule is refused.
#[derive(Debug, PartialEq, Eq, Error)]
pub enum RuleError {
    #[error("api {0:?} is none that this broker serves")]
    Api(String),
    #[error("error {0:?} is none of Kafka's")]
    Code(String),
    #[error("{0} has no answer with an error of its own; use another action, or another api")]
    NoError(&'static str),
    #[error("{0} has no field for a throttle time; use another api")]
    NoThrottle(&'static str),
    #[error("probability is {0}, and not between 0 and 1")]
    Probability(String),
    #[error("ms is {0}, more than {1}")]
    Long(u64, u64),
    #[error("partition is {0}")]
    Partition(i32),
    #[error("there are {RULES_MAX} rules; remove some")]
    Many,
}

/// A rule with what it has seen.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Counted {
    pub id: u64,
    #[serde(flatten)]
    pub rule: Rule,
    /// Requests that it was meant for.
    pub seen: u64,
    /// Those that it was carried out on.
    pub hits: u64,
}

impl Faults {
    /// Whether there is any rule. All that a request pays while there is none.
    #[inline]
    #[must_use]
    pub fn is_armed(&self) -> bool {
        self.armed.load(Ordering::Relaxed)
    }

    /// Adds a rule behind the others; the first that strikes decides.
    pub fn add(&self, rule: Rule) -> Result<Counted, RuleError> {
        let mut rules = self.rules.lock();
        if rules.by_id.len() >= RULES_MAX {
            return Err(RuleError::Many);
        }
        let armed = Armed::new(rule)?;
        rules.last_id += 1;
        let id = rules.last_id;
        let counted = armed.counted(id);
        rules.by_id.insert(id, armed);
        self.armed.store(true, Ordering::Relaxed);
        Ok(counted)
    }

    /// Takes a rule away and tells what it has seen.
    pub fn remove(&self, id: u64) -> Option<Counted> {
        let mut rules = self.rules.lock();
        let counted = rules.by_id.remove(&id).map(|armed| armed.counted(id));
        self.armed.store(!rules.by_id.is_empty(), Ordering::Relaxed);
        counted
    }

    /// Takes all rules away.
    pub fn clear(&self) -> Vec<Counted> {
        let mut rules = self.rules.lock();
        self.armed.store(false, Ordering::Relaxed);
        std::mem::take(&mut rules.by_id).iter().map(|(id, armed)| armed.counted(*id)).collect()
    }

    #[must_use]
    pub fn get(&self, id: u64) -> Option<Counted> {
        self.rules.lock().by_id.get(&id).map(|armed| armed.counted(id))
    }

    #[must_use]
    pub fn all(&self) -> Vec<Counted> {
        self.rules.lock().by_id.iter().map(|(id, armed)| armed.counted(*id)).collect()
    }

    /// What a request meets, if anything.
    #[must_use]
    pub fn judge(&self, asked: &Asked<'_>) -> Option<Hit> {
        let mut rules = self.rules.lock();
        rules.by_id.iter_mut().find_map(|(id, armed)| {
            let (act, partitions) = armed.judge(asked)?;
            Some(Hit { rule: *id, act, partitions, gone: armed.gone() })
        })
    }
}

#[cfg(test)]
mod tests;
