//! From one state of a partition to the next: who leads, who is in sync, who may lead when nobody is (KIP-966).
//!
//! Kafka: `PartitionChangeBuilder`, with eligible leader replicas in force. An in-sync set below the minimum keeps those who left it
//! as eligible, since they have everything that was committed; it may become empty. When nobody is left at all, the last leader is
//! remembered and leads again when it returns, as a leader that has yet to recover. Must never elect anybody else outside the
//! two sets unless the topic asks for unclean elections.

use milena_storage::ids::{BrokerId, LeaderEpoch};

use crate::image::nodes::{StateNode, to_json};
use crate::image::{MetadataImage, PartitionImage, paths};
use crate::plant::{self, Bug};
use crate::tree::Op;

/// Whether a replica of a partition may lead and be in sync.
pub(super) type Live<'a> = &'a dyn Fn(&PartitionImage, BrokerId) -> bool;

/// What holds for all partitions of a topic while states are worked out.
pub(super) struct Ground<'a> {
    pub(super) controller_epoch: i32,
    /// Eligible leader replicas are kept (`eligible.leader.replicas.version`); without them the last of an in-sync set stays in it.
    pub(super) eligible: bool,
    /// Replicas that may lead and be in sync.
    pub(super) live: Live<'a>,
    /// `min.insync.replicas`
    pub(super) min_in_sync: usize,
    /// `unclean.leader.election.enable`
    pub(super) unclean: bool,
}

/// The state after `isr` has become the in-sync set, and after `distrusted`, which came back without a clean stop, has lost its
/// word for what it has. `None` if nothing changes.
pub(super) fn next_state(
    ground: &Ground<'_>,
    partition: &PartitionImage,
    isr: Vec<BrokerId>,
    distrusted: Option<BrokerId>,
) -> Option<StateNode> {
    let mut next = Next {
        leader: partition.leader,
        isr,
        elr: partition.elr.clone(),
        last_known: partition.last_known_elr.clone(),
        recovering: partition.recovering,
    };
    next.keep_eligible(ground, partition, distrusted);
    next.elect(ground, partition);
    if next.is(partition) {
        return None;
    }
    let LeaderEpoch(epoch) = partition.leader_epoch;
    let epoch = if next.leader == partition.leader { epoch } else { epoch + 1 };
    let leader = next.leader.unwrap_or(BrokerId(-1));
    let mut state = StateNode::of(partition, leader, epoch, ground.controller_epoch, &next.isr);
    state.elr = next.elr.iter().map(|id| id.0).collect();
    state.last_known_elr = next.last_known.iter().map(|id| id.0).collect();
    state.leader_recovery_state = i8::from(next.recovering);
    Some(state)
}

/// The checked write of a state.
pub(super) fn write(topic: &str, partition: &PartitionImage, state: &StateNode) -> Op {
    Op::set(paths::partition_state(topic, partition.index.0), to_json(state), partition.partition_epoch)
}

/// Whether a replica's broker is registered and not fenced, and its log directory has not failed.
pub(super) fn is_live(image: &MetadataImage, partition: &PartitionImage, id: BrokerId) -> bool {
    let is_planted = || plant::is_planted(Bug::IgnoresBrokerEpochs) && image.broker(id).is_none();
    image.is_usable(partition, id) || is_planted()
}

struct Next {
    leader: Option<BrokerId>,
    isr: Vec<BrokerId>,
    elr: Vec<BrokerId>,
    last_known: Vec<BrokerId>,
    recovering: bool,
}

impl Next {
    /// `PartitionChangeBuilder.populateTargetElr`
    fn keep_eligible(
        &mut self,
        ground: &Ground<'_>,
        partition: &PartitionImage,
        distrusted: Option<BrokerId>,
    ) {
        if !ground.eligible {
            self.elr.clear();
            self.last_known.clear();
            if self.isr.is_empty() {
                self.isr.clone_from(&partition.isr);
            }
            return;
        }
        if self.isr.len() >= ground.min_in_sync.min(partition.replicas.len()) {
            self.elr.clear();
            self.last_known.clear();
            return;
        }
        let left = partition.isr.iter().filter(|id| !partition.elr.contains(id));
        let eligible = partition.elr.iter().chain(left).copied();
        // Kafka keeps one that a cancelled move took away from the replicas: it can never lead, and would keep the last leader from it.
        let counts = |id: &BrokerId| partition.replicas.contains(id) && Some(*id) != distrusted;
        self.elr = eligible.filter(|id| !self.isr.contains(id) && counts(id)).collect();
    }

    /// `PartitionChangeBuilder.electLeader` for an election of whoever is available.
    fn elect(&mut self, ground: &Ground<'_>, partition: &PartitionImage) {
        let live = |id: &BrokerId| (ground.live)(partition, *id);
        let first =
            |from: &[BrokerId]| partition.replicas.iter().copied().find(|id| from.contains(id) && live(id));
        if self.leader.is_some_and(|leader| self.isr.contains(&leader) && live(&leader)) {
            return;
        }
        if plant::is_planted(Bug::ElectsOutsideIsr)
            && let Some(leader) = first(&partition.replicas)
        {
            return self.lead_alone(leader, false);
        }
        if let Some(leader) = first(&self.isr) {
            self.leader = Some(leader);
            return;
        }
        let gives_up = !ground.eligible && ground.unclean;
        if !self.isr.is_empty() && !gives_up {
            self.leader = None;
            return;
        }
        if let Some(leader) = first(&self.elr) {
            self.elr.retain(|id| *id != leader);
            return self.lead_alone(leader, partition.recovering);
        }
        let last = match self.last_known.as_slice() {
            [last] if self.elr.is_empty() && live(last) => Some(*last),
            _ => None,
        };
        let unclean = || first(&partition.replicas).filter(|_| ground.unclean);
        match last.or_else(unclean) {
            Some(leader) => {
                self.elr.clear();
                self.lead_alone(leader, true);
            }
            None => {
                if let Some(last) = partition.leader.filter(|_| ground.eligible) {
                    self.last_known = vec![last];
                }
                self.leader = None;
            }
        }
    }

    fn lead_alone(&mut self, leader: BrokerId, recovering: bool) {
        self.leader = Some(leader);
        self.isr = vec![leader];
        self.recovering = recovering;
    }

    fn is(&self, partition: &PartitionImage) -> bool {
        self.leader == partition.leader
            && self.isr == partition.isr
            && self.elr == partition.elr
            && self.last_known == partition.last_known_elr
            && self.recovering == partition.recovering
    }
}

#[cfg(test)]
#[path = "next_state/tests.rs"]
mod tests;
