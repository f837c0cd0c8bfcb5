//! Hashes of topics: a group's record keeps one of all its topics, and a new one means a new assignment (KIP-1101).
//!
//! Must never differ from Kafka's: a group in a directory that Kafka wrote would be assigned anew for nothing.
//!
//! Kafka: `Utils.computeTopicHash` and `computeGroupHash`, XXH3 over hash4j's encoding: numbers little-endian, strings
//! as UTF-16 with their length behind.

use std::collections::BTreeMap;
use std::sync::Arc;

use milena_storage::ids::BrokerId;
use twox_hash::XxHash3_64;

use crate::group::Name;
use crate::image::{MetadataImage, PartitionImage, TopicImage};

/// Hashes of topics at hand, and what they are made of beside the topics.
#[derive(Debug, Default)]
pub(in crate::group) struct TopicHashes {
    /// A hash holds as long as the image has the very same topic.
    known: BTreeMap<Name, (Arc<TopicImage>, i64)>,
    /// The last known racks of brokers. A broker that is down keeps its place in the hash, as Kafka's registrations
    /// outlive the process.
    racks: BTreeMap<BrokerId, String>,
}

const MAGIC: u8 = 0;

impl TopicHashes {
    /// The hash of a group that subscribes to these topics, in their order; those that do not exist do not count.
    pub(super) fn of_group<'a>(
        &mut self,
        image: &MetadataImage,
        topics: impl Iterator<Item = &'a str>,
    ) -> i64 {
        self.learn_racks(image);
        let mut bytes = Vec::new();
        for topic in topics.filter_map(|name| image.topic(name)) {
            bytes.extend(self.of_topic(topic).to_le_bytes());
        }
        if bytes.is_empty() { 0 } else { hash(&bytes) }
    }

    pub(in crate::group) fn forget(&mut self, topic: &str) {
        self.known.remove(topic);
    }

    fn learn_racks(&mut self, image: &MetadataImage) {
        for (id, broker) in image.brokers.iter() {
            let changed = match (&broker.rack, self.racks.get(id)) {
                (Some(rack), Some(known)) => rack != known,
                (None, None) => false,
                _ => true,
            };
            if changed {
                self.known.clear();
                match &broker.rack {
                    Some(rack) => self.racks.insert(*id, rack.clone()),
                    None => self.racks.remove(id),
                };
            }
        }
    }

    fn of_topic(&mut self, topic: &Arc<TopicImage>) -> i64 {
        if let Some((known, hash)) = self.known.get(&topic.name)
            && Arc::ptr_eq(known, topic)
        {
            return *hash;
        }
        let hash = hash(&self.encode(topic));
        self.known.insert(topic.name.clone(), (topic.clone(), hash));
        hash
    }

    fn encode(&self, topic: &TopicImage) -> Vec<u8> {
        let mut bytes = vec![MAGIC];
        let (high, low) = topic.id.as_u64_pair();
        bytes.extend(high.to_le_bytes());
        bytes.extend(low.to_le_bytes());
        put_string(&mut bytes, &topic.name);
        bytes.extend(topic.partition_count().to_le_bytes());
        for partition in &topic.partitions {
            bytes.extend(partition.index.0.to_le_bytes());
            for rack in self.racks_of(partition) {
                put_length(&mut bytes, rack);
                put_string(&mut bytes, rack);
            }
        }
        bytes
    }

    fn racks_of(&self, partition: &PartitionImage) -> Vec<&str> {
        let mut racks: Vec<&str> =
            partition.replicas.iter().filter_map(|id| self.racks.get(id)).map(String::as_str).collect();
        racks.sort_unstable();
        racks
    }
}

fn hash(bytes: &[u8]) -> i64 {
    XxHash3_64::oneshot(bytes).cast_signed()
}

fn put_string(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend(text.encode_utf16().flat_map(u16::to_le_bytes));
    put_length(bytes, text);
}

fn put_length(bytes: &mut Vec<u8>, text: &str) {
    let units = i32::try_from(text.encode_utf16().count()).unwrap_or(i32::MAX);
    bytes.extend(units.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use milena_storage::ids::{LeaderEpoch, PartitionIndex};
    use uuid::Uuid;

    use super::*;

    fn partition(index: i32, replica: i32) -> Arc<PartitionImage> {
        Arc::new(PartitionImage {
            index: PartitionIndex(index),
            leader: None,
            leader_epoch: LeaderEpoch(0),
            partition_epoch: 0,
            replicas: vec![BrokerId(replica)],
            isr: Vec::new(),
            adding: Vec::new(),
            removing: Vec::new(),
            elr: Vec::new(),
            last_known_elr: Vec::new(),
            recovering: false,
            directories: Vec::new(),
        })
    }

    // Expected values: Kafka 4.3.1's own classes.
    #[test]
    fn topics_and_groups_hash_as_with_kafka() {
        let topic = TopicImage {
            name: "foo".into(),
            id: Uuid::from_u128(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10),
            version: 0,
            partitions: vec![partition(0, 1), partition(1, 2)],
        };
        let mut hashes = TopicHashes::default();
        hashes.racks.insert(BrokerId(1), "r1".to_owned());
        assert_eq!(hashes.of_topic(&Arc::new(topic)), 5_382_482_066_484_344_319);
        let two = [7_i64.to_le_bytes(), 5_i64.to_le_bytes()].concat();
        assert_eq!(hash(&two), -2_790_182_192_306_960_565);
    }
}
