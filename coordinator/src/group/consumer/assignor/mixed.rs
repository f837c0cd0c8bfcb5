//! The uniform assignor where members subscribe to different topics: what a member has it keeps, free partitions go to
//! who has least, and then topics are balanced one by one until nothing moves.
//!
//! Must never take more rounds than `ROUNDS_MAX`, however the subscriptions overlap.
//!
//! Kafka: `UniformHeterogeneousAssignmentBuilder`.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::Spec;
use crate::group::records::Partitions;

/// Kafka's number: each round about halves the imbalance.
const ROUNDS_MAX: usize = 16;

/// Nobody has the partition.
const NOBODY: usize = usize::MAX;

pub(super) fn assign(spec: &Spec<'_>) -> Vec<Partitions> {
    let mut balance = Balance::new(spec);
    balance.keep_what_is_owned(spec);
    let order = balance.order_of_topics();
    for &topic in &order {
        balance.deal_out_free(topic);
    }
    let movable: Vec<Uuid> =
        order.into_iter().filter(|topic| balance.topics[topic].members.len() > 1).collect();
    balance.even_out(&movable);
    balance.into_assignment(spec.members.len())
}

struct Balance {
    topics: BTreeMap<Uuid, Topic>,
    /// How many partitions each member has.
    loads: Vec<usize>,
}

struct Topic {
    /// Its subscribers, ascending.
    members: Vec<usize>,
    /// By partition.
    owners: Vec<usize>,
}

impl Balance {
    fn new(spec: &Spec<'_>) -> Self {
        let mut topics: BTreeMap<Uuid, Topic> = BTreeMap::new();
        for (index, member) in spec.members.iter().enumerate() {
            for &topic in member.topics.iter() {
                let count = usize::try_from(spec.partition_count(topic)).unwrap_or(0);
                let new = || Topic { members: Vec::new(), owners: vec![NOBODY; count] };
                topics.entry(topic).or_insert_with(new).members.push(index);
            }
        }
        Self { topics, loads: vec![0; spec.members.len()] }
    }

    fn keep_what_is_owned(&mut self, spec: &Spec<'_>) {
        for (index, member) in spec.members.iter().enumerate() {
            for (topic, partitions) in
                member.current.iter().filter(|(topic, _)| member.topics.contains(topic))
            {
                let Some(topic) = self.topics.get_mut(topic) else { continue };
                for &partition in partitions {
                    // A topic that was made anew may have fewer.
                    let slot = usize::try_from(partition).ok().and_then(|at| topic.owners.get_mut(at));
                    if let Some(owner) = slot.filter(|owner| **owner == NOBODY) {
                        *owner = index;
                        self.loads[index] += 1;
                    }
                }
            }
        }
    }

    /// Most partitions for each subscriber first, then fewest subscribers.
    fn order_of_topics(&self) -> Vec<Uuid> {
        let mut order: Vec<(&Uuid, &Topic)> = self.topics.iter().collect();
        order.sort_by(|(a_id, a), (b_id, b)| {
            // a/b against c/d without division.
            let a_density = a.owners.len() * b.members.len();
            let b_density = b.owners.len() * a.members.len();
            b_density.cmp(&a_density).then(a.members.len().cmp(&b.members.len())).then(a_id.cmp(b_id))
        });
        order.into_iter().map(|(id, _)| *id).collect()
    }

    fn deal_out_free(&mut self, id: Uuid) {
        let Some(topic) = self.topics.get_mut(&id) else { return };
        let mut least = Least::new(&topic.members, &self.loads);
        for owner in topic.owners.iter_mut().filter(|owner| **owner == NOBODY) {
            let member = least.next(&self.loads);
            *owner = member;
            self.loads[member] += 1;
        }
    }

    /// Goes round the topics until one whole round has moved nothing.
    fn even_out(&mut self, topics: &[Uuid]) {
        let mut last_moved = None;
        for _ in 0..ROUNDS_MAX {
            for (index, id) in topics.iter().enumerate() {
                if last_moved == Some(index) {
                    return;
                }
                let moved = self.even_out_topic(*id);
                if moved || last_moved.is_none() {
                    last_moved = Some(index);
                }
            }
        }
    }

    /// Moves partitions of one topic from who has most to who has least, until their loads differ by one at most or
    /// those with most have none of this topic left.
    fn even_out_topic(&mut self, id: Uuid) -> bool {
        let Some(topic) = self.topics.get_mut(&id) else { return false };
        let mut most = Most::new(&topic.members, &self.loads);
        if most.spread(&self.loads) <= 1 {
            return false;
        }
        let mut least = Least::new(&topic.members, &self.loads);
        // What each member may give, the last partition first.
        let mut gives: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (partition, owner) in topic.owners.iter().enumerate() {
            gives.entry(*owner).or_default().push(partition);
        }
        let mut moved = false;
        while let Some(partition) = most.take(&self.loads, &mut gives) {
            let to = least.next(&self.loads);
            if most.level <= least.level + 1 {
                break;
            }
            let from = std::mem::replace(&mut topic.owners[partition], to);
            self.loads[from] -= 1;
            self.loads[to] += 1;
            moved = true;
        }
        moved
    }

    fn into_assignment(self, members: usize) -> Vec<Partitions> {
        let mut assigned = vec![Partitions::new(); members];
        for (id, topic) in self.topics {
            for (partition, owner) in (0..).zip(topic.owners) {
                if owner != NOBODY {
                    assigned[owner].entry(id).or_default().insert(partition);
                }
            }
        }
        assigned
    }
}

fn by_load(members: &[usize], loads: &[usize]) -> Vec<usize> {
    let mut sorted = members.to_vec();
    sorted.sort_by_key(|member| (loads[*member], *member));
    sorted
}

/// Who gets the next partition: those with least take turns, and once each of them has one more, those that had as
/// much as they have now join in.
struct Least {
    sorted: Vec<usize>,
    /// Those before it take turns.
    end: usize,
    next: usize,
    /// What those that take turns had when the turn began.
    level: i64,
}

impl Least {
    fn new(members: &[usize], loads: &[usize]) -> Self {
        let sorted = by_load(members, loads);
        let level = sorted.first().map_or(0, |member| signed(loads[*member])) - 1;
        Self { sorted, end: 0, next: 0, level }
    }

    fn next(&mut self, loads: &[usize]) -> usize {
        if self.next >= self.end {
            self.level += 1;
            while self.sorted.get(self.end).is_some_and(|member| signed(loads[*member]) == self.level) {
                self.end += 1;
            }
            self.next = 0;
        }
        let member = self.sorted[self.next];
        self.next += 1;
        member
    }
}

/// Who gives the next partition: the mirror of `Least`, where members without a partition to give are put aside.
struct Most {
    sorted: Vec<usize>,
    start: usize,
    /// Those from here on have nothing to give.
    end: usize,
    /// The place behind the next one.
    next: usize,
    level: i64,
}

impl Most {
    fn new(members: &[usize], loads: &[usize]) -> Self {
        let sorted = by_load(members, loads);
        let count = sorted.len();
        let level = sorted.last().map_or(0, |member| signed(loads[*member])) + 1;
        Self { sorted, start: count, end: count, next: count, level }
    }

    fn spread(&self, loads: &[usize]) -> usize {
        match (self.sorted.first(), self.sorted.last()) {
            (Some(least), Some(most)) => loads[*most] - loads[*least],
            _ => 0,
        }
    }

    /// A partition of the next member that has one.
    fn take(&mut self, loads: &[usize], gives: &mut BTreeMap<usize, Vec<usize>>) -> Option<usize> {
        loop {
            let at = self.advance(loads)?;
            if let Some(partition) = gives.get_mut(&self.sorted[at]).and_then(Vec::pop) {
                return Some(partition);
            }
            self.sorted.swap(at, self.end - 1);
            self.end -= 1;
        }
    }

    fn advance(&mut self, loads: &[usize]) -> Option<usize> {
        if self.next <= self.start {
            if self.end <= self.start && self.start > 0 {
                // All of them have been put aside: go on with whoever comes next.
                self.level = signed(loads[self.sorted[self.start - 1]]);
            } else {
                self.level -= 1;
            }
            while self.start > 0 && signed(loads[self.sorted[self.start - 1]]) == self.level {
                self.start -= 1;
            }
            self.next = self.end;
        }
        if self.next == 0 {
            return None;
        }
        self.next -= 1;
        Some(self.next)
    }
}

fn signed(load: usize) -> i64 {
    i64::try_from(load).unwrap_or(i64::MAX)
}
