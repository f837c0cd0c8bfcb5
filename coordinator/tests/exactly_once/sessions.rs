//! Who is heard by the controller, and who that is.
//!
//! The controller is the broker that leads the ensemble, whose voters are the first three. It decides as long as one other voter hears
//! it and is heard; then another one takes over. Must never decide where no majority could have committed.

use crate::Bug;
use crate::cluster::{BROKERS, Cluster};

/// The brokers that vote in the ensemble.
const VOTERS: usize = 3;
/// After so long a silence a session is over.
pub(crate) const SESSION_MS: i64 = 1_000;

impl Cluster {
    /// Whether what this broker decided as the controller would be committed.
    pub(crate) fn may_decide(&self, node: usize) -> bool {
        let hears =
            |other: usize| self.runs(other) && self.is_linked(node, other) && self.is_linked(other, node);
        node < VOTERS && self.runs(node) && (0..VOTERS).any(|other| other != node && hears(other))
    }

    /// A voter that could take over, now that the controller decides no more.
    pub(crate) fn successor(&self, choice: usize) -> Option<usize> {
        if self.may_decide(self.controller.node) {
            return None;
        }
        (0..VOTERS).map(|one| (one + choice) % VOTERS).find(|one| self.may_decide(*one))
    }

    pub(crate) fn takes_over(&mut self, node: usize) {
        self.silent_since = [None; BROKERS];
        self.controller.take_over(node, self.now);
    }

    /// Whether there is something that the broker does not know yet.
    pub(crate) fn is_behind(&self, broker: usize) -> bool {
        self.brokers[broker].image.zxid != self.controller.image.zxid
    }

    /// The controller looks at its links: it fences who is silent, ends sessions, takes back who is heard again and registers who has
    /// started. Whether anything changed, and how many sessions ended.
    pub(crate) fn look(&mut self) -> (bool, usize) {
        let node = self.controller.node;
        if !self.may_decide(node) {
            return (false, 0);
        }
        let (before, mut expired) = (self.controller.changes(), 0);
        for broker in 0..BROKERS {
            let is_heard = self.runs(broker) && self.is_linked(broker, node);
            if is_heard {
                self.silent_since[broker] = None;
                self.hears(broker, node);
                continue;
            }
            let since = *self.silent_since[broker].get_or_insert(self.now.0);
            if !self.controller.is_registered(broker) {
                continue;
            }
            if self.now.0 - since > SESSION_MS {
                expired += 1;
                self.controller.expire(broker, self.now);
            } else if !self.controller.is_silent(broker) {
                self.controller.suspect(broker, self.now);
            }
        }
        self.trust_again();
        (self.controller.changes() != before, expired)
    }

    fn hears(&mut self, broker: usize, node: usize) {
        let here = &self.brokers[broker];
        let (joins, stopping) = (here.joins, here.stopping);
        let is_registered = self.controller.is_registered(broker);
        let keeps = self.bug == Some(Bug::KeepsItsPlaceWithoutPower) && is_registered;
        if keeps {
            self.brokers[broker].joins = None;
        }
        if (joins.is_some() && !keeps) || !is_registered {
            // A process that goes on after its session keeps its word for what it has.
            if self.is_linked(node, broker) && !stopping {
                self.controller.register(broker, joins.unwrap_or(true), self.now);
                self.brokers[broker].joins = None;
            }
        } else if self.controller.is_silent(broker) {
            self.controller.hears(broker, self.now);
        }
    }
}
