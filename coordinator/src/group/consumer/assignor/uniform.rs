//! The uniform assignor where all members subscribe to the same topics: equal shares, and what a member has it keeps
//! as far as its share goes.
//!
//! Must never leave shares that differ by more than one partition.
//!
//! Kafka: `UniformHomogeneousAssignmentBuilder`.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::Spec;
use crate::group::records::Partitions;

pub(super) fn assign(spec: &Spec<'_>) -> Vec<Partitions> {
    let Some(first) = spec.members.first() else { return Vec::new() };
    let topics = first.topics.clone();
    if topics.is_empty() {
        return vec![Partitions::new(); spec.members.len()];
    }
    let count = |topic: &Uuid| usize::try_from(spec.partition_count(*topic)).unwrap_or(0);
    let total: usize = topics.iter().map(count).sum();
    let mut excess: Vec<(Uuid, i32)> = Vec::new();
    let mut shares = Shares {
        least: total / spec.members.len(),
        extra: total % spec.members.len(),
        left: spec.members.len(),
    };
    let mut hungry = Vec::new();
    let mut taken = BTreeSet::new();
    let mut assigned = Vec::with_capacity(spec.members.len());
    for (index, member) in spec.members.iter().enumerate() {
        let (mut share, takes_extra) = shares.next();
        let mut kept = Partitions::new();
        for (topic, partitions) in member.current.iter().filter(|(topic, _)| topics.contains(topic)) {
            // In a damaged log two members may have it, or it may not exist.
            let exists = 0..spec.partition_count(*topic);
            let owned = partitions.iter().copied().filter(|partition| exists.contains(partition));
            let owned = owned.filter(|partition| taken.insert((*topic, *partition)));
            let owned: Vec<i32> = owned.collect();
            let keeps: BTreeSet<i32> = owned.iter().copied().take(share).collect();
            excess.extend(owned.iter().skip(share).map(|partition| (*topic, *partition)));
            share -= keeps.len();
            if !keeps.is_empty() {
                kept.insert(*topic, keeps);
            }
        }
        share -= shares.settle(share, takes_extra);
        if share > 0 {
            hungry.push((index, share));
        }
        assigned.push(kept);
    }
    let unowned = topics
        .iter()
        .flat_map(|&topic| (0..spec.partition_count(topic)).map(move |partition| (topic, partition)));
    // In a damaged log the owners and what members have need not agree.
    let unowned = unowned.filter(|place| !spec.is_owned(place.0, place.1) && !taken.contains(place));
    let mut free = unowned.chain(excess);
    for (index, share) in hungry {
        for (topic, partition) in free.by_ref().take(share) {
            assigned[index].entry(topic).or_default().insert(partition);
        }
    }
    assert!(free.next().is_none(), "the shares add up to all partitions");
    assigned
}

/// What is left to give: everybody gets the least, and as many as there are extra ones get one more.
struct Shares {
    least: usize,
    extra: usize,
    /// Members that have not been looked at.
    left: usize,
}

impl Shares {
    /// The share of the next member, as if it took one of the extra ones.
    fn next(&self) -> (usize, bool) {
        let takes_extra = self.extra > 0;
        (self.least + usize::from(takes_extra), takes_extra)
    }

    /// How much of its open share a member gives up: an extra partition that it does not have already goes to one who
    /// comes later, unless there are no more of them than extra ones.
    fn settle(&mut self, open: usize, takes_extra: bool) -> usize {
        let gives_up = open > 0 && takes_extra && self.left > self.extra;
        if takes_extra && !gives_up {
            self.extra -= 1;
        }
        self.left -= 1;
        usize::from(gives_up)
    }
}
