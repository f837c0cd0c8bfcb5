//! All partitions that this broker hosts, kept as the metadata image wants them.
//!
//! It must never create or delete a partition that the image does not ask for.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use milena_coordinator::image::{ConfigKind, MetadataImage, PartitionImage, TopicImage};
use milena_storage::ids::{BrokerId, PartitionIndex, Timestamp, TopicPartition};
use milena_storage::log::LogConfig;
use parking_lot::RwLock;
use tokio::sync::Notify;
use uuid::Uuid;

use super::config::{log_config, topic_rules};
use super::disk::{Checkpoint, Disk, LogDir};
use super::{Partition, PartitionError, Place, TopicRules};
use crate::settings::Settings;

/// The hosted partitions, by topic.
#[derive(Debug)]
pub struct Partitions {
    broker: BrokerId,
    pub disk: Disk,
    /// Wakes the cleaner: a log was opened, closed, rolled or got other settings.
    pub cleaner_wake: Arc<Notify>,
    topics: RwLock<HashMap<Arc<str>, Hosted>>,
}

#[derive(Debug)]
struct Hosted {
    id: Uuid,
    /// Index = partition number; `None` where another broker has it or its directory failed.
    partitions: Vec<Option<Arc<Partition>>>,
    image: Arc<TopicImage>,
    config_version: Option<i32>,
    settings: Arc<Settings>,
}

impl Partitions {
    #[must_use]
    pub fn new(broker: BrokerId, disk: Disk) -> Self {
        Self { broker, disk, cleaner_wake: Arc::default(), topics: RwLock::default() }
    }

    /// The partition, or the error that Kafka gives for it (ReplicaManager.getPartitionOrError).
    pub fn find(
        &self,
        image: &MetadataImage,
        topic: &str,
        index: i32,
    ) -> Result<Arc<Partition>, PartitionError> {
        if let Some(partition) = self.get(topic, index) {
            return if partition.is_offline() { Err(PartitionError::Offline) } else { Ok(partition) };
        }
        match image.partition(topic, PartitionIndex(index)) {
            Some(known) if known.replicas.contains(&self.broker) => Err(PartitionError::Offline),
            Some(_) => Err(PartitionError::NotLeader),
            None => Err(PartitionError::Unknown),
        }
    }

    /// As `find`, by topic id; a log of another incarnation is an error of its own.
    pub fn find_by_id(
        &self,
        image: &MetadataImage,
        topic: Uuid,
        index: i32,
    ) -> Result<Arc<Partition>, PartitionError> {
        let name = &image.topic_by_id(topic).ok_or(PartitionError::UnknownTopicId)?.name;
        let partition = self.find(image, name, index)?;
        if partition.topic_id == topic { Ok(partition) } else { Err(PartitionError::InconsistentTopicId) }
    }

    /// The partition, if it is hosted here.
    #[must_use]
    pub fn get(&self, topic: &str, index: i32) -> Option<Arc<Partition>> {
        let topics = self.topics.read();
        topics.get(topic)?.partitions.get(usize::try_from(index).ok()?)?.clone()
    }

    /// The partitions of a topic whose logs here cannot be used: their directory failed, or they are damaged.
    #[must_use]
    pub fn lost(&self, topic: &TopicImage) -> Vec<PartitionIndex> {
        let topics = self.topics.read();
        // Until it is taken up, nothing is known of it.
        let Some(hosted) = topics.get(&topic.name).map(|hosted| &hosted.partitions) else {
            return Vec::new();
        };
        let lost = |partition: &&Arc<PartitionImage>| {
            let here = usize::try_from(partition.index.0).ok().and_then(|index| hosted.get(index)?.as_ref());
            partition.replicas.contains(&self.broker) && here.is_none_or(|here| here.is_offline())
        };
        topic.partitions.iter().filter(lost).map(|partition| partition.index).collect()
    }

    /// All hosted partitions.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Partition>> {
        let topics = self.topics.read();
        topics.values().flat_map(|topic| topic.partitions.iter().flatten().cloned()).collect()
    }

    /// What lies in each log directory.
    #[must_use]
    pub fn log_dirs(&self) -> Vec<DirUsage> {
        let mut usage: Vec<_> = self.disk.dirs.iter().map(DirUsage::of).collect();
        for partition in self.all() {
            usage[partition.dir].partitions.push((partition.name.clone(), partition.size()));
        }
        usage.iter_mut().for_each(|dir| dir.partitions.sort());
        usage
    }

    /// Makes logs, leadership and configs ready for a new image. Only what changed costs anything.
    pub fn follow(&self, image: &MetadataImage, settings: &Arc<Settings>, now: Timestamp) {
        // A topic that was deleted and made again needs the name of its predecessor's directory.
        self.retire(now, |name, hosted| image.topic(name).is_some_and(|topic| topic.id != hosted.id));
        let changed: Vec<_> = {
            let topics = self.topics.read();
            image
                .topics()
                .filter(|topic| !is_current(topics.get(&topic.name), image, topic, settings))
                .collect()
        };
        if !changed.is_empty() {
            self.cleaner_wake.notify_one();
        }
        let threads = self.disk.recovery_threads(changed.len());
        let recovers = !self.disk.is_settled() && self.disk.dirs.iter().any(|dir| !dir.clean);
        if recovers && !changed.is_empty() {
            tracing::info!(topics = changed.len(), threads, "recovering logs after an unclean stop");
        }
        if threads <= 1 || !recovers {
            changed.iter().for_each(|topic| self.follow_topic(image, topic, settings, now));
            return;
        }
        // After an unclean stop each log is scanned; `num.recovery.threads.per.data.dir` says how many at a time.
        std::thread::scope(|scope| {
            for share in changed.chunks(changed.len().div_ceil(threads)) {
                scope.spawn(move || {
                    share.iter().for_each(|topic| self.follow_topic(image, topic, settings, now))
                });
            }
        });
    }

    /// Sets aside directories of partitions that no topic has; only after the first image.
    pub fn set_strays_aside(&self, image: &MetadataImage) {
        self.disk.settle();
        for name in self.disk.found() {
            let known = image.partition(&name.topic, name.partition);
            if known.is_none_or(|known| !known.replicas.contains(&self.broker))
                && let Err(error) = self.disk.set_aside(&name, "no topic has it")
            {
                tracing::error!(partition = %name, %error, "cannot set a stray partition aside");
            }
        }
    }

    /// Flushes and closes every log and marks the directories clean; false if a directory could not be.
    pub fn close(&self, broker_epoch: i64) -> bool {
        let mut clean: Vec<_> = self.disk.dirs.iter().map(|dir| !dir.health.has_failed()).collect();
        let mut points: Vec<Vec<Checkpoint>> = vec![Vec::new(); self.disk.dirs.len()];
        for partition in self.all() {
            if self.disk.dirs[partition.dir].health.has_failed() {
                continue;
            }
            match partition.close() {
                Ok(point) => points[partition.dir].push(point),
                Err(error) => {
                    tracing::error!(partition = %partition.name, %error, "cannot close a log cleanly");
                    clean[partition.dir] = false;
                }
            }
        }
        for (index, clean) in clean.iter_mut().enumerate() {
            if self.disk.dirs[index].health.has_failed() {
                continue;
            }
            let done = self.disk.checkpoint(index, &points[index]);
            let done =
                done.and_then(|()| if *clean { self.disk.mark_clean(index, broker_epoch) } else { Ok(()) });
            if let Err(error) = done {
                tracing::error!(%error, "cannot close a log directory cleanly");
                *clean = false;
            }
        }
        clean.into_iter().all(|each| each)
    }

    /// Wakes whoever waits for partitions of failed directories; true if the broker can go on without these.
    pub fn withdraw_failed(&self, metadata_dir: &Path) -> bool {
        for partition in self.all() {
            if self.disk.dirs[partition.dir].health.has_failed() {
                partition.take_offline();
            }
        }
        let mut failed = self.disk.dirs.iter().filter(|dir| dir.health.has_failed());
        failed.clone().count() < self.disk.dirs.len() && !failed.any(|dir| dir.path == metadata_dir)
    }

    /// Lets go of partitions that the image no longer has; their files go later.
    pub fn remove_gone(&self, image: &MetadataImage, now: Timestamp) {
        self.retire(now, |name, hosted| image.topic(name).is_none_or(|topic| topic.id != hosted.id));
    }

    fn retire(&self, now: Timestamp, goes: impl Fn(&str, &Hosted) -> bool) {
        let gone: Vec<Hosted> = {
            let mut topics = self.topics.write();
            let names: Vec<Arc<str>> = topics
                .iter()
                .filter(|(name, hosted)| goes(name, hosted))
                .map(|(name, _)| name.clone())
                .collect();
            names.iter().filter_map(|name| topics.remove(name)).collect()
        };
        if !gone.is_empty() {
            self.cleaner_wake.notify_one();
        }
        for partition in gone.into_iter().flat_map(|hosted| hosted.partitions).flatten() {
            if let Err(error) = partition.retire(&self.disk, now) {
                tracing::error!(partition = %partition.name, %error, "cannot delete a partition");
            }
        }
    }

    fn follow_topic(
        &self,
        image: &MetadataImage,
        topic: &Arc<TopicImage>,
        settings: &Arc<Settings>,
        now: Timestamp,
    ) {
        let before = self.topics.read().get(&topic.name).map(|hosted| hosted.partitions.clone());
        let before = before.unwrap_or_default();
        let plan = Plan::of(image, topic, settings, now);
        let partitions: Vec<_> = topic
            .partitions
            .iter()
            .enumerate()
            .map(|(index, wanted)| self.follow_partition(&plan, wanted, before.get(index).cloned().flatten()))
            .collect();
        let hosted = Hosted {
            id: topic.id,
            partitions,
            image: topic.clone(),
            config_version: image.config_version(ConfigKind::Topic, &topic.name),
            settings: settings.clone(),
        };
        self.topics.write().insert(topic.name.clone(), hosted);
    }

    fn follow_partition(
        &self,
        plan: &Plan<'_>,
        wanted: &PartitionImage,
        hosted: Option<Arc<Partition>>,
    ) -> Option<Arc<Partition>> {
        if !wanted.replicas.contains(&self.broker) {
            return None;
        }
        let partition = match hosted {
            Some(partition) => {
                partition.reconfigure(plan.rules.clone(), plan.config.clone());
                partition
            }
            None => Arc::new(self.open_partition(plan, wanted.index)?),
        };
        let leads = wanted.leader == Some(self.broker);
        if let Err(error) =
            partition.follow_image(leads, wanted.leader_epoch, wanted.isr.len(), wanted.replicas.len())
        {
            tracing::error!(partition = %partition.name, %error, "cannot take up leadership");
        }
        Some(partition)
    }

    fn open_partition(&self, plan: &Plan<'_>, index: PartitionIndex) -> Option<Partition> {
        let name = TopicPartition::new(&*plan.topic.name, index.0);
        match self.disk.open_log(&name, plan.topic.id, plan.config.clone(), plan.now) {
            Ok((dir, log, report)) => {
                if report.cut_bytes > 0 {
                    tracing::warn!(partition = %name, bytes = report.cut_bytes, "cut an incomplete end of the log");
                }
                let health = self.disk.dirs[dir].health.clone();
                let at = Place { dir, health, cleaner_wake: self.cleaner_wake.clone() };
                Some(Partition::new(name, plan.topic.id, at, log, plan.rules.clone()))
            }
            Err(error) => {
                tracing::error!(partition = %name, %error, "cannot open a log; the partition is offline");
                None
            }
        }
    }
}

/// One log directory as DescribeLogDirs tells it.
#[derive(Clone, Debug)]
pub struct DirUsage {
    pub path: PathBuf,
    pub cordoned: bool,
    /// Size and free space of the volume; −1 where the system does not tell.
    pub total_bytes: i64,
    pub usable_bytes: i64,
    /// Each partition with the bytes of its segments, by name.
    pub partitions: Vec<(TopicPartition, u64)>,
}

impl DirUsage {
    fn of(dir: &LogDir) -> Self {
        let volume = rustix::fs::statvfs(&dir.path).ok();
        let bytes = |blocks: u64, size: u64| i64::try_from(blocks.saturating_mul(size)).unwrap_or(i64::MAX);
        Self {
            path: dir.path.clone(),
            cordoned: dir.is_cordoned(),
            total_bytes: volume.as_ref().map_or(-1, |volume| bytes(volume.f_blocks, volume.f_frsize)),
            usable_bytes: volume.as_ref().map_or(-1, |volume| bytes(volume.f_bavail, volume.f_frsize)),
            partitions: Vec::new(),
        }
    }
}

/// What all partitions of a topic share while they are brought in line.
struct Plan<'a> {
    topic: &'a TopicImage,
    config: LogConfig,
    rules: TopicRules,
    now: Timestamp,
}

impl<'a> Plan<'a> {
    fn of(image: &MetadataImage, topic: &'a TopicImage, settings: &Settings, now: Timestamp) -> Self {
        let nothing = BTreeMap::new();
        let values = settings.topic(image.topic_config(&topic.name).unwrap_or(&nothing));
        let expiration = settings.transactions().producer_id_expiration.as_millis();
        let config = log_config(&values, i64::try_from(expiration).unwrap_or(i64::MAX));
        Self { topic, rules: topic_rules(&values, &config), config, now }
    }
}

fn is_current(
    hosted: Option<&Hosted>,
    image: &MetadataImage,
    topic: &Arc<TopicImage>,
    settings: &Arc<Settings>,
) -> bool {
    hosted.is_some_and(|hosted| {
        Arc::ptr_eq(&hosted.image, topic)
            && Arc::ptr_eq(&hosted.settings, settings)
            && hosted.config_version == image.config_version(ConfigKind::Topic, &topic.name)
    })
}
