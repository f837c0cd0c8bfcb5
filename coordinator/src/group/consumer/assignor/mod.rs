//! Who is to have which partition, decided on the server.
//!
//! Must never give a partition to two members, nor to one that does not subscribe to its topic.
//!
//! Kafka: `UniformAssignor`, `RangeAssignor`. Racks are no input of either, as in Kafka 4.3.1: a changed rack leads to a
//! new assignment, and that is all.

mod mixed;
mod order;
mod range;
#[cfg(test)]
mod tests;
mod uniform;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use uuid::Uuid;

use crate::group::Name;
use crate::group::records::Partitions;

pub(super) use order::sort_as_java;

/// The assignors that a group may ask for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Assignor {
    /// Equal numbers of partitions, moved as little as possible.
    Uniform,
    /// Ranges of each topic, so that equal partitions of several topics meet.
    Range,
}

impl Assignor {
    pub const ALL: [Self; 2] = [Self::Uniform, Self::Range];

    /// The name by which members ask for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Range => "range",
        }
    }

    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|assignor| assignor.name() == name)
    }

    /// The new target assignment by the members' places in the specification.
    pub(super) fn assign(self, spec: &Spec<'_>) -> Vec<Partitions> {
        match (self, spec.kind) {
            (Self::Range, _) => range::assign(spec),
            (Self::Uniform, SubscriptionType::Homogeneous) => uniform::assign(spec),
            (Self::Uniform, SubscriptionType::Heterogeneous) => mixed::assign(spec),
        }
    }
}

/// Whether all members subscribe to the same topics.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum SubscriptionType {
    Homogeneous,
    Heterogeneous,
}

/// What an assignor is given.
pub(super) struct Spec<'a> {
    /// In the order in which Kafka would go through them.
    pub(super) members: Vec<SpecMember<'a>>,
    pub(super) kind: SubscriptionType,
    /// The number of partitions of every topic that somebody subscribes to.
    pub(super) topics: BTreeMap<Uuid, i32>,
    /// Whose partitions are now.
    pub(super) owners: &'a BTreeMap<Uuid, BTreeMap<i32, Name>>,
}

pub(super) struct SpecMember<'a> {
    pub(super) id: &'a Name,
    pub(super) instance_id: Option<&'a str>,
    pub(super) topics: Rc<BTreeSet<Uuid>>,
    /// Its part of the target assignment in force.
    pub(super) current: &'a Partitions,
}

impl Spec<'_> {
    fn is_owned(&self, topic: Uuid, partition: i32) -> bool {
        self.owners.get(&topic).is_some_and(|owners| owners.contains_key(&partition))
    }

    fn partition_count(&self, topic: Uuid) -> i32 {
        self.topics.get(&topic).copied().unwrap_or(0)
    }
}
