//! The way of one member to its target assignment: it gives up what it must, and then gets what is free.
//!
//! Must never give a member a partition that another one may still be reading.
//!
//! Kafka: `CurrentAssignmentBuilder`, `GroupMetadataManager.maybeReconcile`.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::error::ResponseError;
use uuid::Uuid;

use super::ConsumerGroup;
use super::epoch::Reported;
use super::member::{Member, MemberState};
use super::refused::Refused;
use super::target::{Target, topic_ids};
use crate::group::records::{ConsumerChange, Owned};
use crate::group::turn::Turn;

impl ConsumerGroup {
    /// The member one step further, with a record of it if that changed it.
    pub(super) fn reconcile(
        &self,
        turn: &mut Turn<'_>,
        member: Member,
        target: &Target,
        subscription_changed: bool,
        owned: &Reported,
    ) -> Result<Member, Refused> {
        if !subscription_changed && member.is_reconciled_to(target.epoch) {
            return Ok(member);
        }
        let topics = topic_ids(turn.image, &self.subscriptions, &member.about);
        let next = Way { group: self, target, topics, owned, member: &member }.next(subscription_changed)?;
        if next == member {
            return Ok(member);
        }
        self.write(turn, &ConsumerChange::Current(next.id.to_string(), Some(next.current_assignment())));
        // Classic members have deadlines to join and to sync instead.
        if !next.is_classic() {
            if next.is_revoking() {
                let timeout = i64::from(next.about.rebalance_timeout_ms);
                turn.set_timer(self.revocation_timer(&next.id), timeout);
            } else {
                turn.cancel_timer(self.revocation_timer(&next.id));
            }
        }
        Ok(next)
    }
}

struct Way<'a> {
    group: &'a ConsumerGroup,
    target: &'a Target,
    /// What the member subscribes to.
    topics: BTreeSet<Uuid>,
    owned: &'a Reported,
    member: &'a Member,
}

impl Way<'_> {
    fn next(&self, subscription_changed: bool) -> Result<Member, Refused> {
        let member = self.member;
        Ok(match member.state {
            MemberState::Stable if member.epoch != self.target.epoch => self.towards_target(member.epoch),
            MemberState::Stable if subscription_changed => self.without_unsubscribed(),
            MemberState::Stable => member.clone(),
            MemberState::UnrevokedPartitions if self.still_has(&member.revoking) => {
                if subscription_changed {
                    self.without_unsubscribed()
                } else {
                    member.clone()
                }
            }
            MemberState::UnrevokedPartitions | MemberState::UnreleasedPartitions => {
                self.towards_target(member.epoch)
            }
            MemberState::Unknown if self.owned.as_ref().is_none_or(|owned| !owned.is_empty()) => {
                return Err(Refused::new(
                    ResponseError::FencedMemberEpoch,
                    "The consumer group member is in a unknown state. The member must abandon all its \
                     partitions and rejoin.",
                ));
            }
            MemberState::Unknown => self.towards_target(self.target.epoch),
        })
    }

    /// Whether the member says that it has one of these, or says nothing.
    fn still_has(&self, partitions: &Owned) -> bool {
        let Some(owned) = self.owned else { return true };
        owned.iter().any(|(topic, reported)| {
            let of_topic = partitions.get(topic);
            of_topic.is_some_and(|of_topic| reported.iter().any(|index| of_topic.contains_key(index)))
        })
    }

    /// As `towards_target` in the same epoch, where only topics can have gone.
    fn without_unsubscribed(&self) -> Member {
        let mut next = self.member.clone();
        next.assigned.retain(|topic, _| self.topics.contains(topic));
        if next.assigned.len() == self.member.assigned.len() {
            return next;
        }
        for (topic, partitions) in &self.member.assigned {
            if !self.topics.contains(topic) {
                next.revoking.entry(*topic).or_default().extend(partitions);
            }
        }
        next.previous_epoch = next.epoch;
        if self.still_has(&next.revoking) {
            next.state = MemberState::UnrevokedPartitions;
        } else {
            // It has given them up already.
            next.revoking.clone_from(&self.member.revoking);
        }
        next
    }

    fn towards_target(&self, epoch: i32) -> Member {
        let mut kept = Owned::new();
        let mut revoking = Owned::new();
        let mut fresh = Owned::new();
        let mut waits = false;
        let nothing = BTreeMap::new();
        let all: BTreeSet<&Uuid> = self.target.partitions.keys().chain(self.member.assigned.keys()).collect();
        for topic in all {
            let has = self.member.assigned.get(topic).unwrap_or(&nothing);
            let wanted = self.target.partitions.get(topic).filter(|_| self.topics.contains(topic));
            for (&index, &since) in has {
                let keeps = wanted.is_some_and(|wanted| wanted.contains(&index));
                let to = if keeps { &mut kept } else { &mut revoking };
                to.entry(*topic).or_default().insert(index, since);
            }
            for &index in wanted.into_iter().flatten().filter(|index| !has.contains_key(index)) {
                if self.is_held_by_another(*topic, index) {
                    waits = true;
                } else {
                    fresh.entry(*topic).or_default().insert(index, self.target.epoch);
                }
            }
        }
        let mut next = self.member.clone();
        // The epoch before this step, whatever it was: the answer to it may get lost.
        next.previous_epoch = next.epoch;
        if !revoking.is_empty() && self.still_has(&revoking) {
            next.state = MemberState::UnrevokedPartitions;
            next.epoch = epoch;
            next.assigned = kept;
            next.revoking = revoking;
            return next;
        }
        for (topic, partitions) in fresh {
            kept.entry(topic).or_default().extend(partitions);
        }
        next.state = if waits { MemberState::UnreleasedPartitions } else { MemberState::Stable };
        next.epoch = self.target.epoch;
        next.assigned = kept;
        next.revoking = Owned::new();
        next
    }

    /// What the member is about to give up is its own, though it is on no list of what it has.
    fn is_held_by_another(&self, topic: Uuid, index: i32) -> bool {
        self.group.partition_epoch(topic, index).is_some()
            && !self.member.revoking.get(&topic).is_some_and(|revoking| revoking.contains_key(&index))
    }
}
