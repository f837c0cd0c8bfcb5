//! The assignors: known cases, and what must hold whatever the group looks like.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use proptest::prelude::*;
use uuid::Uuid;

use super::*;

/// A group by itself: members with the topics that they subscribe to and what they have.
#[derive(Clone, Debug, Default)]
struct World {
    topics: BTreeMap<Uuid, i32>,
    members: Vec<(Name, BTreeSet<Uuid>, Partitions)>,
}

impl World {
    fn assign(&self, assignor: Assignor) -> Vec<Partitions> {
        let mut owners: BTreeMap<Uuid, BTreeMap<i32, Name>> = BTreeMap::new();
        for (id, _, current) in &self.members {
            for (topic, partitions) in current {
                let of_topic = owners.entry(*topic).or_default();
                of_topic.extend(partitions.iter().map(|partition| (*partition, id.clone())));
            }
        }
        let same = self.members.windows(2).all(|pair| pair[0].1 == pair[1].1);
        let members = self.members.iter().map(|(id, topics, current)| SpecMember {
            id,
            instance_id: None,
            topics: Rc::new(topics.clone()),
            current,
        });
        let kind = if same { SubscriptionType::Homogeneous } else { SubscriptionType::Heterogeneous };
        assignor.assign(&Spec {
            members: members.collect(),
            kind,
            topics: self.topics.clone(),
            owners: &owners,
        })
    }

    fn reassign(&mut self, assignor: Assignor) -> Vec<Partitions> {
        let assigned = self.assign(assignor);
        for ((_, _, current), new) in self.members.iter_mut().zip(&assigned) {
            current.clone_from(new);
        }
        assigned
    }
}

fn topic(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn same_topics(members: usize, topics: &[i32]) -> World {
    let topics: BTreeMap<Uuid, i32> = (1..).map(topic).zip(topics.iter().copied()).collect();
    let ids: BTreeSet<Uuid> = topics.keys().copied().collect();
    let member = |index: usize| (Name::from(format!("m{index:04}")), ids.clone(), Partitions::new());
    World { members: (0..members).map(member).collect(), topics }
}

fn sizes(assigned: &[Partitions]) -> Vec<usize> {
    assigned.iter().map(|partitions| partitions.values().map(BTreeSet::len).sum()).collect()
}

#[test]
fn ranges_meet_where_topics_are_cut_alike() {
    let assigned = same_topics(2, &[3, 3]).assign(Assignor::Range);
    let range = |indexes: &[i32]| indexes.iter().copied().collect::<BTreeSet<i32>>();
    assert_eq!(assigned[0], Partitions::from([(topic(1), range(&[0, 1])), (topic(2), range(&[0, 1]))]));
    assert_eq!(assigned[1], Partitions::from([(topic(1), range(&[2])), (topic(2), range(&[2]))]));
}

#[test]
fn the_uniform_assignor_moves_only_what_it_must() {
    let mut world = same_topics(2, &[6]);
    let before = world.reassign(Assignor::Uniform);
    assert_eq!(sizes(&before), [3, 3]);
    world.members.push((Name::from("m9"), world.members[0].1.clone(), Partitions::new()));
    let after = world.assign(Assignor::Uniform);
    assert_eq!(sizes(&after), [2, 2, 2]);
    for (before, after) in before.iter().zip(&after) {
        assert!(after[&topic(1)].is_subset(&before[&topic(1)]));
    }
}

#[test]
fn different_subscriptions_are_balanced_too() {
    let mut world = same_topics(3, &[9, 9]);
    world.members[0].1 = [topic(1)].into();
    world.members[2].1 = [topic(2)].into();
    // The subscribers of each topic differ by one; that all could be equal is not seen, as in Kafka.
    assert_eq!(sizes(&world.assign(Assignor::Uniform)), [5, 6, 7]);
}

/// 1,000 members over 10,000 partitions have to take well under a second, also in an unoptimized build.
#[test]
fn a_thousand_members_share_ten_thousand_partitions() {
    for assignor in Assignor::ALL {
        let mut world = same_topics(1_000, &[1_000; 10]);
        let assigned = world.reassign(assignor);
        assert_eq!(sizes(&assigned).iter().sum::<usize>(), 10_000);
        // One more comes, and the subscriptions differ.
        world.members[7].1.pop_first();
        assert_eq!(sizes(&world.reassign(assignor)).iter().sum::<usize>(), 10_000);
    }
}

fn worlds() -> impl Strategy<Value = World> {
    let topics = proptest::collection::vec(0..12_i32, 1..5);
    (topics, 1..6_usize, any::<bool>(), proptest::collection::vec(any::<u8>(), 64)).prop_map(
        |(topics, members, same, dice)| {
            let mut world = same_topics(members, &topics);
            let ids: Vec<Uuid> = world.topics.keys().copied().collect();
            for (index, (_, subscribed, _)) in world.members.iter_mut().enumerate() {
                if !same {
                    subscribed.retain(|id| !(id.as_u128() as u8 ^ dice[index]).is_multiple_of(3));
                }
            }
            // Whoever had something: one member of each partition, subscribed or not.
            let mut at = 0;
            for (id, count) in &world.topics {
                for partition in 0..*count {
                    at = (at + 1) % dice.len();
                    let owner = usize::from(dice[at]) % (members + 1);
                    if let Some((_, _, current)) = world.members.get_mut(owner) {
                        current.entry(*id).or_default().insert(partition);
                    }
                }
            }
            assert!(!ids.is_empty());
            world
        },
    )
}

proptest! {
    #[test]
    fn every_partition_has_one_owner_who_wants_it(world in worlds(), range in any::<bool>()) {
        let assignor = if range { Assignor::Range } else { Assignor::Uniform };
        let assigned = world.assign(assignor);
        let mut owned = BTreeSet::new();
        for ((_, topics, _), partitions) in world.members.iter().zip(&assigned) {
            for (topic, indexes) in partitions {
                prop_assert!(topics.contains(topic) && !indexes.is_empty());
                for index in indexes {
                    prop_assert!(owned.insert((*topic, *index)), "two owners");
                }
            }
        }
        let wanted: BTreeSet<&Uuid> = world.members.iter().flat_map(|(_, topics, _)| topics).collect();
        let all = world.topics.iter().filter(|(id, _)| wanted.contains(id)).map(|(_, count)| *count as usize);
        prop_assert_eq!(owned.len(), all.sum::<usize>());
    }

    #[test]
    fn equal_subscriptions_get_equal_shares_and_stay(mut world in worlds()) {
        let topics: BTreeSet<Uuid> = world.topics.keys().copied().collect();
        for (_, subscribed, _) in &mut world.members {
            subscribed.clone_from(&topics);
        }
        let assigned = world.reassign(Assignor::Uniform);
        let sizes = sizes(&assigned);
        prop_assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1);
        prop_assert_eq!(world.assign(Assignor::Uniform), assigned);
    }
}
