//! Where the replicas of new partitions go: Kafka's striped placement (`StripedReplicaPlacer`).
//!
//! Racks are taken in turn, and in a rack its brokers; each partition starts one rack and one broker further, so
//! that leaders and followers spread. Live brokers come before fenced ones, and only a live one is placed first.
//! Must never place two replicas of a partition on one broker.

use std::collections::BTreeMap;

use milena_storage::ids::BrokerId;

use super::{Dice, stopped};
use crate::image::MetadataImage;

/// Chooses `replicas` brokers for each of `partitions` partitions, or says why it cannot, in Kafka's words.
pub(super) fn place(
    image: &MetadataImage,
    dice: &mut Dice,
    partitions: i32,
    replicas: i16,
) -> Result<Vec<Vec<BrokerId>>, String> {
    let wanted = usize::try_from(replicas).ok().filter(|wanted| *wanted > 0).ok_or_else(|| {
        format!("Invalid replication factor {replicas}: the replication factor must be positive.")
    })?;
    let mut racks = Racks::new(image, wanted, dice);
    if racks.live == 0 {
        return Err("All brokers are currently fenced, or have all their log directories cordoned.".into());
    }
    if wanted > racks.total {
        return Err(format!(
            "The target replication factor of {replicas} cannot be reached because only {} broker(s) are registered \
             or some brokers have all their log directories cordoned.",
            racks.total
        ));
    }
    Ok((0..partitions).map(|_| racks.next_partition(dice, wanted)).collect())
}

/// Brokers handed out in turn; each partition starts one broker further than the one before.
struct Ring {
    brokers: Vec<BrokerId>,
    start: usize,
    taken: usize,
}

impl Ring {
    fn new(brokers: Vec<BrokerId>, dice: &mut Dice) -> Self {
        let start = if brokers.is_empty() { 0 } else { dice.below(brokers.len()) };
        Self { brokers, start, taken: 0 }
    }

    fn take(&mut self) -> Option<BrokerId> {
        let broker = *self.brokers.get((self.start + self.taken) % self.brokers.len().max(1))?;
        (self.taken < self.brokers.len()).then(|| {
            self.taken += 1;
            broker
        })
    }

    fn next_partition(&mut self) {
        self.taken = 0;
        self.start = (self.start + 1) % self.brokers.len().max(1);
    }
}

struct Rack {
    live: Ring,
    fenced: Ring,
}

struct Racks {
    racks: Vec<Rack>,
    /// The rack that the next partition starts with.
    start: usize,
    /// Partitions placed since the last shuffle.
    placed: usize,
    total: usize,
    live: usize,
}

impl Racks {
    /// Brokers that stopped are among them only where there are too few others, since nobody knows their racks any more.
    fn new(image: &MetadataImage, wanted: usize, dice: &mut Dice) -> Self {
        let mut by_rack: BTreeMap<Option<&str>, (Vec<BrokerId>, Vec<BrokerId>)> = BTreeMap::new();
        let usable = || image.brokers.values().filter(|broker| !broker.cordoned);
        for broker in usable() {
            let (live, fenced) = by_rack.entry(broker.rack.as_deref()).or_default();
            if broker.fenced { fenced.push(broker.id) } else { live.push(broker.id) }
        }
        let mut total = usable().count();
        if wanted > total {
            let stopped = stopped(image);
            total += stopped.len();
            by_rack.entry(None).or_default().1.extend(stopped);
        }
        let live = by_rack.values().map(|(live, _)| live.len()).sum();
        let racks: Vec<_> = by_rack
            .into_values()
            .map(|(live, fenced)| Rack { fenced: Ring::new(fenced, dice), live: Ring::new(live, dice) })
            .collect();
        let start = if racks.is_empty() { 0 } else { dice.below(racks.len()) };
        Self { racks, start, placed: 0, total, live }
    }

    fn next_partition(&mut self, dice: &mut Dice, replicas: usize) -> Vec<BrokerId> {
        self.turn(dice);
        let count = self.racks.len();
        let (leader_rack, leader) = (0..count)
            .map(|i| (self.start + i) % count)
            .find_map(|rack| self.racks[rack].live.take().map(|broker| (rack, broker)))
            .expect("place() saw a live broker");
        let mut chosen = vec![leader];
        // The leader's rack has had its turn in the first round.
        let mut skip = Some(leader_rack);
        let mut at = self.start;
        while chosen.len() < replicas {
            if skip == Some(at) {
                skip = None;
            } else {
                let rack = &mut self.racks[at];
                chosen.extend(rack.live.take().or_else(|| rack.fenced.take()));
            }
            at = (at + 1) % count;
        }
        self.placed += 1;
        self.start = (self.start + 1) % count;
        chosen
    }

    /// Moves every ring on. After as many partitions as there are live brokers the same stripes would come again,
    /// so everything is shuffled first.
    fn turn(&mut self, dice: &mut Dice) {
        if self.placed == 0 {
            return;
        }
        if self.placed == self.live && self.live > 1 {
            dice.shuffle(&mut self.racks);
            for rack in &mut self.racks {
                dice.shuffle(&mut rack.live.brokers);
                dice.shuffle(&mut rack.fenced.brokers);
            }
            self.placed = 0;
        }
        for rack in &mut self.racks {
            rack.live.next_partition();
            rack.fenced.next_partition();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::super::testing::brokers;
    use super::*;

    #[test]
    fn three_partitions_on_three_brokers_have_three_leaders() {
        let image = brokers(&[(0, None, false), (1, None, false), (2, None, false)]);
        for seed in 0..50 {
            let placed = place(&image, &mut Dice::new(seed), 3, 3).unwrap();
            let leaders: BTreeSet<_> = placed.iter().map(|replicas| replicas[0]).collect();
            assert_eq!(leaders.len(), 3, "seed {seed}: {placed:?}");
        }
    }

    #[test]
    fn each_rack_gets_one_replica_of_each_partition() {
        let image = brokers(&[
            (0, Some("a"), false),
            (1, Some("a"), false),
            (2, Some("b"), false),
            (3, Some("b"), false),
            (4, Some("c"), false),
        ]);
        for seed in 0..50 {
            for replicas in place(&image, &mut Dice::new(seed), 20, 3).unwrap() {
                let racks: BTreeSet<_> =
                    replicas.iter().map(|id| image.broker(*id).unwrap().rack.clone()).collect();
                assert_eq!(racks.len(), 3, "seed {seed}: {replicas:?}");
            }
        }
    }

    #[test]
    fn refusals_speak_as_kafka_does() {
        let one = brokers(&[(1, None, false)]);
        let dice = &mut Dice::new(1);
        assert_eq!(
            place(&one, dice, 1, 3).unwrap_err(),
            "The target replication factor of 3 cannot be reached because only 1 broker(s) are registered or some \
             brokers have all their log directories cordoned."
        );
        let fenced = brokers(&[(1, None, true)]);
        assert_eq!(
            place(&fenced, dice, 1, 1).unwrap_err(),
            "All brokers are currently fenced, or have all their log directories cordoned."
        );
    }

    proptest! {
        #[test]
        fn replicas_differ_and_leaders_live(
            seed: u64,
            nodes in proptest::collection::btree_map(0..20i32, (0..4u8, any::<bool>()), 1..10),
            partitions in 1..40i32,
            wanted in 1..6i16,
        ) {
            let list: Vec<_> = nodes.iter().map(|(id, (rack, fenced))| {
                (*id, ["a", "b", "c"].get(usize::from(*rack)).copied(), *fenced)
            }).collect();
            let image = brokers(&list);
            let Ok(placed) = place(&image, &mut Dice::new(seed), partitions, wanted) else { return Ok(()) };
            for replicas in placed {
                let different: BTreeSet<_> = replicas.iter().collect();
                prop_assert_eq!(different.len(), usize::try_from(wanted).unwrap());
                prop_assert!(!image.broker(replicas[0]).unwrap().fenced);
            }
        }
    }
}
