//! What goes wrong in a run, and when.
//!
//! Must never ask anything but the dice and what a run has shown so far.

use crate::cluster::{BROKERS, PARTITIONS, STATE};
use crate::copier::Phase;
use crate::hosts::Work;
use crate::run::{Event, IDS, Run};

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
        if let Some(leader) = self.cluster.led[at].leader.filter(|_| self.dice.percent(70)) {
            self.after(still - 1, Event::Kill(leader));
        }
    }

    /// Kills the coordinator that has some markers of a transaction written and others not, and the transaction's copier.
    pub(crate) fn strike(&mut self) {
        let Some(leader) = self.cluster.led[STATE].leader else { return };
        let Some(host) = &self.cluster.brokers[leader].transactions else { return };
        let halfway = |work: &&Work| (1..work.order.partitions.len()).contains(&work.left.len());
        let Some(work) = host.works.iter().find(halfway) else { return };
        let id = IDS.iter().position(|id| **id == *work.order.id).expect("one of ours");
        self.aimed = false;
        self.changes(Event::Kill(leader));
        self.replace(id, true);
    }

    pub(crate) fn trouble(&mut self) {
        if !self.is_troubled() {
            return;
        }
        let broker = self.dice.roll(BROKERS);
        let id = self.dice.roll(IDS.len());
        match self.dice.roll(9) {
            7 => self.after(1, Event::LosePower(broker)),
            8 => self.after(1, Event::Fill(broker)),
            0 | 1 => self.after(1, Event::Kill(broker)),
            2 => self.after(1, Event::Isolate(broker)),
            3 => {
                // Leadership moves on without anybody's fault.
                let at = self.dice.roll(PARTITIONS);
                self.cluster.led[at].leader = None;
                let choice = self.dice.roll(BROKERS);
                self.cluster.elect(choice);
                self.tell_all();
            }
            4 => self.stall(id),
            kind => self.replace(id, kind == 5),
        }
        let next = self.dice.ms(100, 1_200);
        self.after(next, Event::Trouble);
    }
}
