//! What records do to a consumer group.
//!
//! Must never fail: a log that was compacted may bring records in an order in which nobody wrote them.
//!
//! Kafka: the `replay` methods of `GroupMetadataManager` for these records, and `ConsumerGroup.updateMember`.

use std::collections::BTreeMap;

use super::member::{LEAVING, Member};
use super::{ConsumerGroup, NO_TARGET};
use crate::group::Name;
use crate::group::records::{ConsumerChange, ConsumerMember, CurrentAssignment, Owned, Partitions, Regex};

impl ConsumerGroup {
    /// Takes over one record; `false` if it deletes the group.
    pub(in crate::group) fn apply(&mut self, change: ConsumerChange) -> bool {
        match change {
            ConsumerChange::Epoch(Some(value)) => {
                self.epoch = value.epoch;
                self.metadata_hash = value.metadata_hash;
            }
            ConsumerChange::Epoch(None) => return false,
            ConsumerChange::PartitionMetadata(present) => self.has_partition_metadata = present,
            ConsumerChange::Member(id, Some(about)) => self.apply_member(&id, about),
            ConsumerChange::Member(id, None) => self.remove_member(&id),
            ConsumerChange::TargetEpoch(value) => self.target_epoch = value.unwrap_or(NO_TARGET),
            ConsumerChange::Target(id, target) => self.apply_target(&id, target),
            ConsumerChange::Current(id, value) => self.apply_current(&id, value),
            ConsumerChange::Regex(pattern, regex) => self.apply_regex(&pattern, regex),
        }
        true
    }

    fn apply_member(&mut self, id: &str, about: ConsumerMember) {
        let mut member = self.members.get(id).cloned().unwrap_or_else(|| Member::new(id.into()));
        member.about = about;
        self.put_member(member);
    }

    fn apply_current(&mut self, id: &str, value: Option<CurrentAssignment>) {
        let gone = CurrentAssignment {
            epoch: LEAVING,
            previous_epoch: LEAVING,
            state: 0,
            assigned: Owned::new(),
            revoking: Owned::new(),
        };
        let known = self.members.get(id).cloned();
        let Some(mut member) = known.or_else(|| value.is_some().then(|| Member::new(id.into()))) else {
            return;
        };
        let state = member.state;
        let deleted = value.is_none();
        member.take(value.unwrap_or(gone));
        if deleted {
            member.state = state;
        }
        self.put_member(member);
    }

    fn apply_regex(&mut self, pattern: &str, regex: Option<Regex>) {
        self.subscriptions.resolve(pattern, regex);
    }

    fn put_member(&mut self, member: Member) {
        let before = self.members.remove(&member.id);
        self.count(before.as_ref(), Some(&member));
        if let Some(instance) = &member.about.instance_id {
            self.static_members.insert(instance.as_str().into(), member.id.clone());
        }
        self.members.insert(member.id.clone(), member);
    }

    fn remove_member(&mut self, id: &str) {
        let Some(member) = self.members.remove(id) else { return };
        self.count(Some(&member), None);
        self.joins_due.remove(id);
        if let Some(instance) = &member.about.instance_id
            && self.static_members.get(instance.as_str()).is_some_and(|owner| **owner == *id)
        {
            self.static_members.remove(instance.as_str());
        }
    }

    fn count(&mut self, before: Option<&Member>, after: Option<&Member>) {
        self.subscriptions.change(before.map(|member| &member.about), after.map(|member| &member.about));
        if let Some(before) = before {
            release(&mut self.partition_epochs, &before.assigned, before.epoch);
            release(&mut self.partition_epochs, &before.revoking, before.epoch);
            count_down(&mut self.assignors, before.about.server_assignor.iter());
            self.classic_members -= usize::from(before.is_classic());
            count_down(&mut self.classic_protocols, protocols(before));
        }
        if let Some(after) = after {
            own(&mut self.partition_epochs, &after.assigned, after.epoch);
            own(&mut self.partition_epochs, &after.revoking, after.epoch);
            count_up(&mut self.assignors, after.about.server_assignor.iter());
            self.classic_members += usize::from(after.is_classic());
            count_up(&mut self.classic_protocols, protocols(after));
        }
    }

    fn apply_target(&mut self, id: &str, target: Option<Partitions>) {
        let id: Name = id.into();
        let before = self.target.remove(&id).unwrap_or_default();
        for (topic, partitions) in &before {
            let Some(owners) = self.target_owners.get_mut(topic) else { continue };
            for partition in partitions {
                // It may have been given to somebody else before it is taken from this one.
                if owners.get(partition) == Some(&id) {
                    owners.remove(partition);
                }
            }
            if owners.is_empty() {
                self.target_owners.remove(topic);
            }
        }
        let Some(target) = target else { return };
        for (topic, partitions) in &target {
            let owners = self.target_owners.entry(*topic).or_default();
            owners.extend(partitions.iter().map(|partition| (*partition, id.clone())));
        }
        self.target.insert(id, target);
    }
}

fn protocols(member: &Member) -> impl Iterator<Item = &String> {
    member.about.classic.iter().flat_map(|classic| classic.protocols.iter().map(|(name, _)| name))
}

pub(super) fn count_up<'a>(counts: &mut BTreeMap<String, usize>, names: impl Iterator<Item = &'a String>) {
    for name in names {
        *counts.entry(name.clone()).or_default() += 1;
    }
}

pub(super) fn count_down<'a>(counts: &mut BTreeMap<String, usize>, names: impl Iterator<Item = &'a String>) {
    for name in names {
        if let Some(count) = counts.get_mut(name) {
            *count -= 1;
            if *count == 0 {
                counts.remove(name);
            }
        }
    }
}

type Epochs = BTreeMap<uuid::Uuid, BTreeMap<i32, i32>>;

/// Only what is still held in that epoch: the next owner may have come first.
fn release(epochs: &mut Epochs, owned: &Owned, epoch: i32) {
    for (topic, partitions) in owned {
        let Some(of_topic) = epochs.get_mut(topic) else { continue };
        for partition in partitions.keys() {
            if of_topic.get(partition) == Some(&epoch) {
                of_topic.remove(partition);
            }
        }
        if of_topic.is_empty() {
            epochs.remove(topic);
        }
    }
}

fn own(epochs: &mut Epochs, owned: &Owned, epoch: i32) {
    for (topic, partitions) in owned {
        let of_topic = epochs.entry(*topic).or_default();
        for partition in partitions.keys() {
            let held = of_topic.entry(*partition).or_insert(epoch);
            *held = epoch.max(*held);
        }
    }
}
