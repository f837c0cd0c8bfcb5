//! The range assignor: each topic cut into as many ranges as it has subscribers, in an order that outlives restarts of
//! static members.
//!
//! Must never depend on what members have now.
//!
//! Kafka: `RangeAssignor`.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::{Spec, SpecMember, SubscriptionType};
use crate::group::records::Partitions;

pub(super) fn assign(spec: &Spec<'_>) -> Vec<Partitions> {
    let mut order: Vec<usize> = (0..spec.members.len()).collect();
    order.sort_by(|a, b| place(&spec.members[*a]).cmp(&place(&spec.members[*b])));
    // Members that are counted as equals have the topics of the first of them.
    let first = order.first().map(|index| spec.members[*index].topics.clone()).unwrap_or_default();
    let topics_of = |member: &SpecMember<'_>| match spec.kind {
        SubscriptionType::Homogeneous => first.clone(),
        SubscriptionType::Heterogeneous => member.topics.clone(),
    };
    let mut cuts: BTreeMap<Uuid, Cut> = BTreeMap::new();
    for member in &spec.members {
        for &topic in topics_of(member).iter() {
            cuts.entry(topic).or_insert_with(|| Cut::of(spec.partition_count(topic))).members += 1;
        }
    }
    let mut assigned = vec![Partitions::new(); spec.members.len()];
    for index in order {
        for &topic in topics_of(&spec.members[index]).iter() {
            let Some(cut) = cuts.get_mut(&topic) else { continue };
            let range = cut.next();
            if !range.is_empty() {
                assigned[index].insert(topic, range.collect());
            }
        }
    }
    assigned
}

/// Static members first, by instance id; then the others by member id.
fn place<'a>(member: &SpecMember<'a>) -> (bool, &'a str) {
    (member.instance_id.is_none(), member.instance_id.unwrap_or(member.id))
}

struct Cut {
    partitions: i32,
    members: i32,
    at: i32,
    given: i32,
}

impl Cut {
    fn of(partitions: i32) -> Self {
        Self { partitions, members: 0, at: 0, given: 0 }
    }

    /// The first ones get one more each until what is left over is gone.
    fn next(&mut self) -> std::ops::Range<i32> {
        let more = i32::from(self.given < self.partitions % self.members);
        let start = self.at;
        self.at = (start + self.partitions / self.members + more).min(self.partitions);
        self.given += 1;
        start..self.at
    }
}
