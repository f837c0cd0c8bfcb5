//! A topic and its partitions as the image holds them.
//!
//! Must never hold log state: offsets and high watermarks belong to the broker that has the log.

use std::borrow::Cow;
use std::sync::Arc;

use milena_storage::ids::{BrokerId, LeaderEpoch, PartitionIndex};
use uuid::Uuid;

/// `/brokers/topics/<name>` with the state of each partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicImage {
    pub name: Arc<str>,
    pub id: Uuid,
    /// Node version of `/brokers/topics/<name>`, for a checked write.
    pub version: i32,
    /// Index = partition number.
    pub partitions: Vec<Arc<PartitionImage>>,
}

/// `/brokers/topics/<t>/partitions/<p>/state` and the topic node's assignment for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionImage {
    pub index: PartitionIndex,
    /// `None`: the partition is offline.
    pub leader: Option<BrokerId>,
    pub leader_epoch: LeaderEpoch,
    /// Node version of the state node.
    pub partition_epoch: i32,
    pub replicas: Vec<BrokerId>,
    pub isr: Vec<BrokerId>,
    pub adding: Vec<BrokerId>,
    pub removing: Vec<BrokerId>,
    /// Eligible leader replicas (KIP-966).
    pub elr: Vec<BrokerId>,
    pub last_known_elr: Vec<BrokerId>,
    /// The leader came from an unclean election and has not finished recovering.
    pub recovering: bool,
    /// In which log directories replicas lie, for brokers with several that have said so (KIP-858).
    pub directories: Vec<(BrokerId, Uuid)>,
}

impl PartitionImage {
    /// The log directory of a replica, if its broker has named one.
    pub fn directory(&self, replica: BrokerId) -> Option<Uuid> {
        self.directories.iter().find(|(id, _)| *id == replica).map(|(_, directory)| *directory)
    }
}

impl TopicImage {
    pub fn partition(&self, index: PartitionIndex) -> Option<&Arc<PartitionImage>> {
        self.partitions.get(usize::try_from(index.0).ok()?)
    }

    pub fn partition_count(&self) -> i32 {
        i32::try_from(self.partitions.len()).unwrap_or(i32::MAX)
    }

    /// As Kafka counts it: the replicas of partition 0.
    pub fn replication_factor(&self) -> i16 {
        let replicas = self.partitions.first().map_or(0, |p| p.replicas.len());
        i16::try_from(replicas).unwrap_or(i16::MAX)
    }

    pub fn is_internal(&self) -> bool {
        is_internal_topic(&self.name)
    }
}

/// Topics that only the broker writes (`Topic.INTERNAL_TOPICS`).
pub fn is_internal_topic(name: &str) -> bool {
    matches!(name, "__consumer_offsets" | "__transaction_state" | "__share_group_state")
}

/// The name under which two topics collide: metric names cannot tell '.' from '_' (`Topic.unifyCollisionChars`).
pub(super) fn normalized(name: &str) -> Cow<'_, str> {
    if name.contains('.') { Cow::Owned(name.replace('.', "_")) } else { Cow::Borrowed(name) }
}

/// Whether a name takes part in the collision rule at all (`Topic.hasCollisionChars`).
pub(super) fn has_collision_chars(name: &str) -> bool {
    name.contains(['.', '_'])
}
