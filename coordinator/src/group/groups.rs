//! The groups of a shard, of whichever kind.
//!
//! Must never decide: each question goes to the kind that the group is of.

use std::collections::BTreeMap;

use super::Name;
use super::classic::ClassicGroup;
use super::consumer::ConsumerGroup;

/// Every group of a shard, in the order of their ids.
pub(super) type Groups = BTreeMap<Name, Group>;

#[derive(Debug)]
pub(super) enum Group {
    Classic(Box<ClassicGroup>),
    Consumer(Box<ConsumerGroup>),
}

impl Group {
    pub(super) fn classic(group: ClassicGroup) -> Self {
        Self::Classic(Box::new(group))
    }

    pub(super) fn consumer(group: ConsumerGroup) -> Self {
        Self::Consumer(Box::new(group))
    }

    pub(super) fn as_classic(&self) -> Option<&ClassicGroup> {
        if let Self::Classic(group) = self { Some(group) } else { None }
    }

    pub(super) fn as_classic_mut(&mut self) -> Option<&mut ClassicGroup> {
        if let Self::Classic(group) = self { Some(group) } else { None }
    }

    pub(super) fn as_consumer(&self) -> Option<&ConsumerGroup> {
        if let Self::Consumer(group) = self { Some(group) } else { None }
    }

    pub(super) fn as_consumer_mut(&mut self) -> Option<&mut ConsumerGroup> {
        if let Self::Consumer(group) = self { Some(group) } else { None }
    }

    pub(super) fn id(&self) -> &Name {
        match self {
            Self::Classic(group) => &group.id,
            Self::Consumer(group) => &group.id,
        }
    }

    /// Whether a member may read the topic; an unreadable subscription counts as one to everything.
    pub(super) fn is_subscribed_to(&self, topic: &str) -> bool {
        match self {
            Self::Classic(group) => group.is_subscribed_to(topic),
            Self::Consumer(group) => group.is_subscribed_to(topic),
        }
    }

    /// Whether nothing but its offsets would be lost with the group.
    pub(super) fn is_vacant(&self) -> bool {
        match self {
            Self::Classic(group) => group.is_vacant(),
            Self::Consumer(group) => group.is_empty(),
        }
    }
}

/// The classic group of an id; another kind of group is none.
pub(super) fn classic_mut<'a>(groups: &'a mut Groups, id: &str) -> Option<&'a mut ClassicGroup> {
    groups.get_mut(id).and_then(Group::as_classic_mut)
}

/// The consumer group of an id; another kind of group is none.
pub(super) fn consumer_mut<'a>(groups: &'a mut Groups, id: &str) -> Option<&'a mut ConsumerGroup> {
    groups.get_mut(id).and_then(Group::as_consumer_mut)
}
