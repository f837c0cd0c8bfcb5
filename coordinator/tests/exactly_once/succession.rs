//! The controller: who is in sync, who may lead, and who does.
//!
//! Must never let anybody lead that may lack what is committed.

use std::collections::BTreeSet;

use crate::Bug;
use crate::cluster::{Cluster, Led, MIN_IN_SYNC, PARTITIONS};

impl Cluster {
    /// The controller has heard nothing of the broker: it is in sync nowhere and leads nothing.
    pub(crate) fn fence(&mut self, broker: usize) {
        for led in &mut self.led {
            if led.in_sync.remove(&broker) && led.in_sync.len() < MIN_IN_SYNC {
                led.eligible.insert(broker);
            }
            if led.leader == Some(broker) {
                led.leader = None;
            }
        }
        self.elect(0);
    }

    /// Gives every partition without a leader one of its in-sync replicas that is there, or else of its eligible ones.
    pub(crate) fn elect(&mut self, choice: usize) {
        for at in 0..PARTITIONS {
            if self.led[at].leader.is_some() {
                continue;
            }
            let able = |broker: &&usize| self.brokers[**broker].alive && !self.brokers[**broker].isolated;
            let mut able_ones: Vec<usize> = self.led[at].in_sync.iter().filter(able).copied().collect();
            if able_ones.is_empty() && self.led[at].in_sync.is_empty() {
                able_ones = self.led[at].eligible.iter().filter(able).copied().collect();
            }
            if able_ones.is_empty() {
                continue;
            }
            let leader = able_ones[choice % able_ones.len()];
            let led = &mut self.led[at];
            led.leader = Some(leader);
            led.in_sync.insert(leader);
            led.eligible.remove(&leader);
            led.epoch += 1;
            self.elections += 1;
        }
    }

    /// Whether all that is committed would still be with others. What more brokers lose at once than
    /// `min.insync.replicas` - 1 was promised to nobody.
    pub(crate) fn may_lose_power(&self, broker: usize) -> bool {
        let others = |led: &Led| {
            let able: BTreeSet<&usize> = led.in_sync.union(&led.eligible).collect();
            able.into_iter().any(|other| *other != broker && !self.brokers[*other].powerless)
        };
        self.led.iter().all(others)
    }

    /// The broker starts where its disks may have lost something: it has a place nowhere (KIP-966).
    pub(crate) fn is_back_without_its_word(&mut self, broker: usize) {
        self.brokers[broker].powerless = false;
        if self.bug == Some(Bug::KeepsItsPlaceWithoutPower) {
            return;
        }
        for led in &mut self.led {
            led.in_sync.remove(&broker);
            led.eligible.remove(&broker);
            if led.leader == Some(broker) {
                led.leader = None;
            }
        }
    }
}
