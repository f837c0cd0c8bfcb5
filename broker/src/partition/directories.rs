//! What the cluster should know of this broker's log directories: which serve, and what lies where (KIP-858).
//!
//! A broker with one directory does not say what lies there: all of it does, and without it the broker ends. Must never tell of another's
//! registration, as that of a process that took this one's id.

use milena_coordinator::image::MetadataImage;
use milena_storage::ids::PartitionIndex;
use uuid::Uuid;

use super::disk::{Disk, LogDir};
use super::set::Partitions;

/// The upper half of ids for directories that have none: a file of Kafka's older version stays as it is. The lower half is the broker and the
/// directory's place in its list.
const NAMELESS: u64 = 0x6d69_6c65_6e61_4000;

/// Where a replica lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub directory: Uuid,
    pub topic: Uuid,
    pub partition: PartitionIndex,
}

/// What the image does not say, or says wrongly.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Untold {
    /// The epoch of the registration that the image has.
    pub broker_epoch: i64,
    /// The directories that serve, if there are several, and whether all of them are cordoned.
    pub directories: Option<(Vec<Uuid>, bool)>,
    /// In order.
    pub places: Vec<Place>,
}

impl Untold {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.directories.is_none() && self.places.is_empty()
    }
}

impl Disk {
    /// Whether there is anything to be told.
    #[must_use]
    pub fn has_several_dirs(&self) -> bool {
        self.dirs.len() > 1
    }

    /// The ids of the directories that serve, if there are several; empty otherwise.
    #[must_use]
    pub fn told_dirs(&self) -> Vec<Uuid> {
        let serving = (0..self.dirs.len()).filter(|index| !self.dirs[*index].health.has_failed());
        if self.has_several_dirs() { serving.map(|index| self.told_dir(index)).collect() } else { Vec::new() }
    }

    /// Whether no directory takes new partitions, by the operator's word.
    #[must_use]
    pub fn is_cordoned(&self) -> bool {
        self.dirs.iter().filter(|dir| !dir.health.has_failed()).all(LogDir::is_cordoned)
    }

    fn told_dir(&self, index: usize) -> Uuid {
        let id = self.directory_id(&self.dirs[index].path);
        let index = u64::try_from(index).expect("few directories");
        let number = u64::from(self.node_id.0.unsigned_abs()) << 32 | index;
        if id.is_nil() { Uuid::from_u64_pair(NAMELESS, number) } else { id }
    }
}

impl Partitions {
    /// Compares what is here with what the image says of it; nothing while this process is not registered.
    #[must_use]
    pub fn untold(&self, image: &MetadataImage) -> Untold {
        let registered = image.broker(self.broker).filter(|_| !self.peers.is_usurped());
        let Some(broker) = registered else { return Untold::default() };
        let (serving, cordoned) = (self.disk.told_dirs(), self.disk.is_cordoned());
        // With the last directory the broker ends.
        let has_ended = serving.is_empty() && self.disk.has_several_dirs();
        let is_known = has_ended || (&serving, cordoned) == (&broker.log_dirs, broker.cordoned);
        let told = if self.disk.has_several_dirs() { self.all() } else { Vec::new() };
        let places = told.into_iter().filter_map(|partition| {
            let known = image.topic_by_id(partition.topic_id)?.partition(partition.name.partition)?;
            let directory = self.disk.told_dir(partition.dir());
            let is_told = known.directory(self.broker) == Some(directory);
            let place = Place { directory, topic: partition.topic_id, partition: partition.name.partition };
            (!is_told && known.replicas.contains(&self.broker)).then_some(place)
        });
        let mut places: Vec<Place> = places.collect();
        places.sort_unstable();
        Untold { broker_epoch: broker.epoch, directories: (!is_known).then_some((serving, cordoned)), places }
    }
}
