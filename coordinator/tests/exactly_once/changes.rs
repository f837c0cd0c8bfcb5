//! What happens to brokers, disks, links and the controller.
//!
//! Must never choose what goes wrong: `trouble` does, and the dice.

use milena_coordinator::replica::{Outcome, Proposal};

use crate::cluster::{BROKERS, PARTITIONS};
use crate::replica::Replica;
use crate::run::{Event, Run};

impl Run {
    pub(crate) fn changes(&mut self, event: Event) {
        match event {
            Event::Trouble => self.trouble(),
            Event::Kill(broker) => {
                if self.cluster.brokers[broker].alive && self.cluster.may_end(broker, false) {
                    self.tally.kills += 1;
                    self.cluster.kill(broker);
                    self.is_down(broker, 3_000);
                }
            }
            Event::LosePower(broker) => {
                if self.cluster.brokers[broker].alive && self.cluster.may_end(broker, true) {
                    self.tally.power_losses += 1;
                    let seed = self.dice.roll(usize::MAX >> 1) as u64;
                    self.tally.unsynced += self.cluster.lose_power(broker, seed);
                    self.is_down(broker, 3_000);
                }
            }
            Event::LoseDisk(broker) => {
                if self.cluster.brokers[broker].alive && self.cluster.may_end(broker, true) {
                    self.tally.disk_losses += usize::from(self.cluster.lose_disk(broker) > 0);
                    self.is_down(broker, 3_000);
                }
            }
            Event::Fill(broker) => self.fills_up(broker),
            Event::MakeRoom(broker) => {
                self.cluster.brokers[broker].replicas.iter().for_each(Replica::make_room);
            }
            Event::Restart(broker) => self.cluster.brokers[broker].alive = true,
            Event::Roll(broker) => self.rolls(broker),
            Event::Stop(broker) => self.stops(broker),
            Event::Pause(broker, ms) => {
                if self.cluster.runs(broker) {
                    self.tally.pauses += 1;
                    self.cluster.brokers[broker].paused = self.cluster.now.0 + ms;
                }
            }
            Event::Mend(links) => {
                for link in links {
                    self.cluster.cut.remove(&link);
                }
                self.tell_all();
            }
            other => self.decides(other),
        }
    }

    /// What the controller decides, and what comes of it.
    fn decides(&mut self, event: Event) {
        match event {
            Event::Look => self.looks(),
            Event::TakeOver(choice) => {
                if let Some(node) = self.cluster.successor(choice) {
                    self.tally.take_overs += 1;
                    self.cluster.takes_over(node);
                    self.tell_all();
                }
            }
            Event::Reassign(at) => self.reassigns(at),
            Event::Prefer => {
                if self.cluster.may_decide(self.cluster.controller.node) {
                    self.cluster.controller.prefer(self.cluster.now);
                    self.tell_all();
                }
            }
            Event::Propose(broker) => self.proposes(broker),
            Event::Alter(at, leader, proposal) => self.alters(at, leader, proposal),
            Event::Settle(at, leader, proposal, outcome) => {
                if self.cluster.runs(leader) {
                    self.cluster.brokers[leader].replicas[at].settle(&proposal, outcome);
                }
            }
            Event::Learn(broker) => self.cluster.learn(broker),
            _ => unreachable!("the others are handled above"),
        }
    }

    fn is_down(&mut self, broker: usize, ms: usize) {
        let down = self.dice.ms(50, ms);
        self.after(down, Event::Restart(broker));
    }

    fn fills_up(&mut self, broker: usize) {
        self.tally.filled += 1;
        for replica in &self.cluster.brokers[broker].replicas {
            replica.fill(self.dice.roll(1_500) as u64);
        }
        let full = self.dice.ms(100, 3_000);
        self.after(full, Event::MakeRoom(broker));
    }

    /// Controlled shutdown: the controller hears of it first, if there is one.
    fn rolls(&mut self, broker: usize) {
        if !self.cluster.runs(broker) || !self.cluster.may_end(broker, false) {
            return;
        }
        let node = self.cluster.controller.node;
        let heard = self.cluster.may_decide(node) && self.cluster.is_linked(broker, node);
        if heard && self.cluster.brokers[broker].joins.is_none() {
            self.cluster.brokers[broker].stopping = true;
            self.cluster.controller.shut_down(broker, self.cluster.now);
            self.tell_all();
        }
        let last = self.dice.ms(20, 150);
        self.after(last, Event::Stop(broker));
    }

    fn stops(&mut self, broker: usize) {
        if !self.cluster.brokers[broker].alive {
            return;
        }
        self.tally.stops += 1;
        self.cluster.stop(broker);
        self.is_down(broker, 300);
        if broker + 1 < BROKERS && self.is_troubled() {
            let next = self.dice.ms(500, 1_500);
            self.after(next, Event::Roll(broker + 1));
        }
    }

    fn looks(&mut self) {
        let (is_changed, expired) = self.cluster.look();
        self.tally.expired += expired;
        if is_changed {
            self.tell_all();
        }
        // Who missed news gets them, if it can.
        for broker in (0..BROKERS).filter(|broker| self.cluster.is_behind(*broker)).collect::<Vec<_>>() {
            let late = self.dice.ms(1, 60);
            self.after(late, Event::Learn(broker));
        }
        let choice = self.dice.roll(BROKERS);
        if self.cluster.successor(choice).is_some() {
            let late = self.dice.ms(20, 400);
            self.after(late, Event::TakeOver(choice));
        }
        let next = self.dice.ms(20, 120);
        self.after(next, Event::Look);
    }

    /// Somebody moves the replicas of a partition, or takes a move back.
    fn reassigns(&mut self, at: usize) {
        if !self.cluster.may_decide(self.cluster.controller.node) {
            return;
        }
        let partition = self.cluster.controller.partition(at);
        let is_moving = !partition.adding.is_empty() || !partition.removing.is_empty();
        if is_moving && self.dice.percent(40) {
            self.cluster.controller.reassign(at, None, self.cluster.now);
        } else {
            let count = [2, 3, 3, 3, 4][self.dice.roll(5)];
            let mut target: Vec<usize> = (0..BROKERS).collect();
            while target.len() > count {
                target.remove(self.dice.roll(target.len()));
            }
            let first = self.dice.roll(count);
            target.rotate_left(first);
            let moves = self.cluster.controller.reassign(at, Some(&target), self.cluster.now);
            self.tally.moves += usize::from(moves);
        }
        self.tell_all();
    }

    fn proposes(&mut self, broker: usize) {
        if self.cluster.runs(broker) {
            for (at, proposal) in self.cluster.proposals(broker) {
                let late = self.dice.ms(1, 8);
                self.after(late, Event::Alter(at, broker, proposal));
            }
        }
        let next = self.dice.ms(15, 40);
        self.after(next, Event::Propose(broker));
    }

    /// A proposal reaches the controller, or nobody knows what became of it, and it is sent again.
    fn alters(&mut self, at: usize, leader: usize, proposal: Proposal) {
        let node = self.cluster.controller.node;
        let lost = self.is_troubled() && self.dice.percent(3);
        if lost || !self.cluster.may_decide(node) || !self.cluster.is_linked(leader, node) {
            return;
        }
        let outcome = self.cluster.alter(at, leader, &proposal);
        if outcome == Outcome::Moved {
            self.tell_all();
        }
        let lost = self.is_troubled() && self.dice.percent(3);
        if !lost && self.cluster.is_linked(node, leader) {
            let late = self.dice.ms(1, 8);
            self.after(late, Event::Settle(at, leader, proposal, outcome));
        }
    }

    /// News of leaders reaches each broker in its own time.
    pub(crate) fn tell_all(&mut self) {
        for broker in 0..BROKERS {
            let late = self.dice.ms(1, 60);
            self.after(late, Event::Learn(broker));
        }
    }

    /// Links between brokers are cut: all of one, some of it, or only one way.
    pub(crate) fn cuts(&mut self, broker: usize) {
        self.tally.cuts += 1;
        let others: Vec<usize> = (0..BROKERS).filter(|other| *other != broker).collect();
        let one = others[self.dice.roll(others.len())];
        let links: Vec<(usize, usize)> = match self.dice.roll(4) {
            0 => vec![(broker, one), (one, broker)],
            1 => vec![(broker, one)],
            2 => others.iter().map(|other| (broker, *other)).collect(),
            _ => others.iter().flat_map(|other| [(broker, *other), (*other, broker)]).collect(),
        };
        self.cluster.cut.extend(&links);
        let long = self.dice.ms(100, 4_000);
        self.after(long, Event::Mend(links));
    }

    /// Some partition.
    pub(crate) fn somewhere(&mut self) -> usize {
        self.dice.roll(PARTITIONS)
    }
}
