//! What goes wrong in a run, and when.
//!
//! Must never ask anything but the dice and what a run has shown so far.

use crate::cluster::{BROKERS, PARTITIONS, STATE};
use crate::copier::Phase;
use crate::hosts::Work;
use crate::run::{Event, IDS, Run};
use crate::sessions::SESSION_MS;

impl Run {
    /// Another copier takes over an id, whose last one is killed, or goes on as a zombie.
    fn replace(&mut self, id: usize, kill: bool) {
        let old = self.newest[id];
        if old == usize::MAX {
            return;
        }
        if kill {
            self.end(old, Phase::Dead);
        } else {
            self.tally.zombies += 1;
        }
        self.newest[id] = usize::MAX;
        let pause = self.dice.ms(1, 500);
        self.after(pause, Event::Start(id));
    }

    /// Followers of a partition stand still, and most times their leader dies before they go on, with all that only it has.
    fn stall(&mut self, id: usize) {
        let at = if self.dice.percent(50) { STATE } else { self.dice.roll(PARTITIONS) };
        let still = self.dice.ms(20, 300);
        self.stalled[at] = self.cluster.now.0 + still;
        self.aimed |= at == STATE;
        if self.dice.percent(40) {
            self.replace(id, true);
        }
        if let Some(leader) = self.cluster.leader(at).filter(|_| self.dice.percent(70)) {
            self.after(still - 1, Event::Kill(leader));
        }
    }

    /// Kills the coordinator that has some markers of a transaction written and others not, and the transaction's copier.
    pub(crate) fn strike(&mut self) {
        let Some(leader) = self.cluster.leader(STATE) else { return };
        let Some(host) = &self.cluster.brokers[leader].transactions else { return };
        let halfway = |work: &&Work| (1..work.order.partitions.len()).contains(&work.left.len());
        let Some(work) = host.works.iter().find(halfway) else { return };
        let id = IDS.iter().position(|id| **id == *work.order.id).expect("one of ours");
        self.aimed = false;
        self.changes(Event::Kill(leader));
        self.replace(id, true);
    }

    /// A broker that leads something, or follows, or is the controller, or any.
    fn somebody(&mut self) -> usize {
        let at = self.somewhere();
        let any = self.dice.roll(BROKERS);
        match self.dice.roll(4) {
            0 => self.cluster.leader(at).unwrap_or(any),
            1 => self
                .cluster
                .replicas(at)
                .into_iter()
                .find(|one| Some(*one) != self.cluster.leader(at))
                .unwrap_or(any),
            2 => self.cluster.controller.node,
            _ => any,
        }
    }

    pub(crate) fn trouble(&mut self) {
        if !self.is_troubled() {
            return;
        }
        let broker = self.somebody();
        let id = self.dice.roll(IDS.len());
        match self.dice.roll(20) {
            0 => self.after(1, Event::Kill(broker)),
            1 => {
                // Together with another.
                let other = self.somebody();
                self.after(1, Event::Kill(broker));
                self.after(2, Event::Kill(other));
            }
            2 => self.cuts(broker),
            3 => {
                // Leadership moves on without anybody's fault.
                self.after(1, Event::Prefer);
            }
            4 | 14..=18 => self.stall(id),
            5 | 6 => self.replace(id, true),
            7 => self.after(1, Event::LosePower(broker)),
            8 => self.after(1, Event::Fill(broker)),
            9 | 10 => {
                let at = self.somewhere();
                self.after(1, Event::Reassign(at));
            }
            11 => {
                let long = if self.dice.percent(50) { SESSION_MS as usize } else { 4 * SESSION_MS as usize };
                let still = self.dice.ms(50, long);
                self.after(1, Event::Pause(broker, still));
            }
            12 => {
                let first = self.dice.roll(BROKERS);
                self.after(1, Event::Roll(first));
            }
            13 => self.after(1, Event::LoseDisk(broker)),
            _ => self.replace(id, false),
        }
        let next = self.dice.ms(120, 1_200);
        self.after(next, Event::Trouble);
    }
}
