//! The target assignment: what the members are to have in the end.
//!
//! Must never be computed more often than the group's interval lets it (KIP-1263), but for the first time.
//!
//! Kafka: `TargetAssignmentBuilder`, `GroupMetadataManager.maybeUpdateTargetAssignment`.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use uuid::Uuid;

use super::apply::{count_down, count_up};
use super::assignor::{Assignor, Spec, SpecMember, SubscriptionType, sort_as_java};
use super::member::{Member, pattern_of};
use super::{ConsumerGroup, subscriptions::Subscriptions};
use crate::group::Name;
use crate::group::records::{ConsumerChange, ConsumerMember, Partitions, TargetEpoch};
use crate::group::turn::Turn;
use crate::image::MetadataImage;

static NOTHING: Partitions = Partitions::new();

/// The target assignment of one member.
pub(super) struct Target {
    pub(super) epoch: i32,
    pub(super) partitions: Partitions,
}

impl ConsumerGroup {
    /// The member's target in the epoch of the group, computed anew if it is time; the last one otherwise.
    pub(super) fn target_for(
        &self,
        turn: &mut Turn<'_>,
        epoch: i32,
        kind: SubscriptionType,
        old: &Member,
        updated: &Member,
    ) -> Target {
        let interval = turn.consumer_config(&self.id).assignment_interval_ms;
        let computed = self.target_epoch.at.0;
        // A time that is still to come is of a broker whose clock is ahead, or of a clock that was set back.
        let early = (0..i64::from(interval)).contains(&turn.now.0.saturating_sub(computed));
        let due = computed == 0 || !early;
        if self.target_epoch.epoch >= epoch || !due {
            return self.last_target(updated);
        }
        let assignor = self.assignor(turn, old, updated);
        self.compute_target(turn, epoch, kind, assignor, updated)
    }

    /// Also for a static member whose predecessor it belongs to.
    pub(super) fn last_target(&self, member: &Member) -> Target {
        let owner = match &member.about.instance_id {
            None => Some(&member.id),
            Some(instance) => self.static_members.get(instance.as_str()),
        };
        let partitions = owner.and_then(|id| self.target.get(id)).cloned().unwrap_or_default();
        Target { epoch: self.target_epoch.epoch, partitions }
    }

    /// The one that most members ask for.
    fn assignor(&self, turn: &Turn<'_>, old: &Member, updated: &Member) -> Assignor {
        let mut counts = self.assignors.clone();
        // The group counts the old member only if it has it.
        if self.members.contains_key(&old.id) || self.replaced_by(updated).is_some() {
            count_down(&mut counts, old.about.server_assignor.iter());
        }
        count_up(&mut counts, updated.about.server_assignor.iter());
        preferred(&counts).unwrap_or(turn.config.consumer.assignors[0])
    }

    pub(super) fn preferred_assignor(&self) -> Option<Assignor> {
        preferred(&self.assignors)
    }

    /// The member that a static member with a new id takes the place of.
    pub(super) fn replaced_by(&self, member: &Member) -> Option<&Name> {
        let holder = self.static_members.get(member.about.instance_id.as_deref()?)?;
        (*holder != member.id).then_some(holder)
    }

    fn compute_target(
        &self,
        turn: &mut Turn<'_>,
        epoch: i32,
        kind: SubscriptionType,
        assignor: Assignor,
        updated: &Member,
    ) -> Target {
        let spec = self.spec(turn.image, kind, updated);
        let assigned = assignor.assign(&spec);
        let mut own = Partitions::new();
        let mut changes = Vec::new();
        for (member, new) in spec.members.iter().zip(assigned) {
            if *member.id == updated.id {
                own.clone_from(&new);
            }
            if self.target.get(member.id) != Some(&new) {
                changes.push(ConsumerChange::Target(member.id.to_string(), Some(new)));
            }
        }
        for change in &changes {
            self.write(turn, change);
        }
        let at = turn.now;
        self.write(turn, &ConsumerChange::TargetEpoch(Some(TargetEpoch { epoch, at })));
        tracing::debug!(group = %self.id, epoch, assignor = assignor.name(), "a new target assignment");
        Target { epoch, partitions: own }
    }

    fn spec<'a>(&'a self, image: &MetadataImage, kind: SubscriptionType, updated: &'a Member) -> Spec<'a> {
        let replaced = self.replaced_by(updated);
        let staying =
            self.members.values().filter(|member| member.id != updated.id && Some(&member.id) != replaced);
        let mut resolver = Resolver { image, subscriptions: &self.subscriptions, known: BTreeMap::new() };
        let mut members: Vec<SpecMember<'_>> = staying
            .chain([updated])
            .map(|member| {
                // A static member that comes back under a new id goes on with what it had.
                let owner = if member.id == updated.id { replaced.unwrap_or(&member.id) } else { &member.id };
                SpecMember {
                    id: &member.id,
                    instance_id: member.about.instance_id.as_deref(),
                    topics: resolver.topics(&member.about),
                    current: self.target.get(owner).unwrap_or(&NOTHING),
                }
            })
            .collect();
        sort_as_java(&mut members, |member| member.id);
        let ids: BTreeSet<Uuid> = members.iter().flat_map(|member| member.topics.iter().copied()).collect();
        let topics = ids.into_iter().filter_map(|id| Some((id, image.topic_by_id(id)?.partition_count())));
        Spec { members, kind, topics: topics.collect(), owners: &self.target_owners }
    }
}

fn preferred(counts: &BTreeMap<String, usize>) -> Option<Assignor> {
    let mut counts: Vec<(&String, usize)> = counts.iter().map(|(name, count)| (name, *count)).collect();
    sort_as_java(&mut counts, |(name, _)| name);
    let most = counts.iter().map(|(_, count)| *count).max()?;
    // An assignor of a foreign broker is none of ours.
    counts.iter().filter(|(_, count)| *count == most).find_map(|(name, _)| Assignor::parse(name))
}

/// Names, and a pattern.
type Subscribed<'a> = (&'a BTreeSet<String>, Option<&'a str>);

/// From names and patterns to the ids of topics that exist; equal subscriptions share one set.
struct Resolver<'a> {
    image: &'a MetadataImage,
    subscriptions: &'a Subscriptions,
    known: BTreeMap<Subscribed<'a>, Rc<BTreeSet<Uuid>>>,
}

impl<'a> Resolver<'a> {
    fn topics(&mut self, about: &'a ConsumerMember) -> Rc<BTreeSet<Uuid>> {
        let (image, subscriptions) = (self.image, self.subscriptions);
        let key = (&about.topics, pattern_of(about));
        let topics = self.known.entry(key).or_insert_with(|| Rc::new(topic_ids(image, subscriptions, about)));
        topics.clone()
    }
}

/// The topics that a member subscribes to. A pattern whose topics are not known yet matches none.
pub(super) fn topic_ids(
    image: &MetadataImage,
    subscriptions: &Subscriptions,
    about: &ConsumerMember,
) -> BTreeSet<Uuid> {
    let matched = pattern_of(about).and_then(|pattern| subscriptions.resolved(pattern));
    let names = about.topics.iter().chain(matched.into_iter().flat_map(|regex| &regex.topics));
    names.filter_map(|name| image.topic(name)).map(|topic| topic.id).collect()
}
