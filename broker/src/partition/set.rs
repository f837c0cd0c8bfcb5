//! All partitions that this broker hosts, kept as the metadata image wants them.
//!
//! It must never create or delete a partition that the image does not ask for.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use milena_coordinator::image::{ConfigKind, MetadataImage, PartitionImage, TopicImage};
use milena_storage::ids::{BrokerId, Offset, PartitionIndex, Timestamp, TopicPartition};
use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;
use uuid::Uuid;

use super::checkpoints::{Point, Written};
use super::disk::{Disk, LogDir};
use super::futures::Future;
use super::opening::{OpenedLogs, Plan, name_of};
use super::peers::Peers;
use super::traffic::Traffic;
use super::{Partition, PartitionError};
use crate::settings::Settings;

/// The hosted partitions, by topic.
#[derive(Debug)]
pub struct Partitions {
    pub(super) broker: BrokerId,
    /// The directory id that this process registers with.
    identity: Option<Uuid>,
    pub disk: Disk,
    /// Wakes the cleaner: a log was opened, closed, rolled or got other settings.
    pub cleaner_wake: Arc<Notify>,
    /// Wakes housekeeping: a segment was closed and is to be synced.
    pub roll_wake: Arc<Notify>,
    pub(super) written: Written,
    /// Few, if any: on their way to another directory.
    pub(super) futures: Mutex<Vec<Arc<Future>>>,
    /// Wakes who moves logs: there is one more.
    pub move_wake: Arc<Notify>,
    /// Wakes who tells the controller of log directories: one was cordoned, or a log was moved.
    pub moved_wake: Notify,
    /// Held while logs change their directories, or moves begin and end.
    pub(super) exchanging: Mutex<()>,
    pub peers: Arc<Peers>,
    /// What partitions that are gone had counted.
    pub past: Traffic,
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
    pub fn new(peers: Arc<Peers>, disk: Disk) -> Self {
        let written = Written::new(disk.dirs.len());
        Self {
            broker: peers.local,
            identity: disk.identity(),
            peers,
            disk,
            cleaner_wake: Arc::default(),
            roll_wake: Arc::default(),
            written,
            futures: Mutex::default(),
            move_wake: Arc::default(),
            moved_wake: Notify::new(),
            exchanging: Mutex::default(),
            past: Traffic::default(),
            topics: RwLock::default(),
        }
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
            usage[partition.dir()].partitions.push((partition.name.clone(), partition.size()));
        }
        usage.iter_mut().for_each(|dir| dir.partitions.sort());
        usage
    }

    /// Makes logs, leadership and configs ready for a new image. Only what changed costs anything. Gives the partitions
    /// that had to go for it.
    pub fn follow(&self, image: &MetadataImage, settings: &Arc<Settings>, now: Timestamp) -> Vec<Gone> {
        // Before anything else: a process that comes back after its id was taken leads nothing.
        let all = self.peers.set_usurped(self.is_usurped(image));
        if all && self.peers.is_usurped() {
            tracing::error!(
                broker = %self.broker,
                "another process is registered with this broker's id; this one leads and fetches nothing until that has gone"
            );
        }
        // A topic that was deleted and made again needs the name of its predecessor's directory.
        let gone =
            self.retire(now, |name, hosted| image.topic(name).is_some_and(|topic| topic.id != hosted.id));
        let changed: Vec<_> = {
            let topics = self.topics.read();
            image
                .topics()
                .filter(|topic| all || !is_current(topics.get(&topic.name), image, topic, settings))
                .collect()
        };
        if changed.is_empty() {
            return gone;
        }
        self.cleaner_wake.notify_one();
        let plans: Vec<_> = changed.iter().map(|topic| Plan::of(image, topic, settings, now)).collect();
        let opened = self.open_missing(&plans);
        plans.iter().for_each(|plan| self.follow_topic(image, plan, &opened, settings));
        gone
    }

    /// Whether the broker of this id that is registered runs over another directory (`metadata.log.dir`'s id).
    fn is_usurped(&self, image: &MetadataImage) -> bool {
        let registered = image.broker(self.broker).and_then(|broker| broker.directory);
        registered.zip(self.identity).is_some_and(|(registered, own)| registered != own)
    }

    /// True for a partition that should be here and is not open.
    pub(super) fn is_missing(&self, topic: &TopicImage, wanted: &PartitionImage) -> bool {
        wanted.replicas.contains(&self.broker) && self.get(&topic.name, wanted.index.0).is_none()
    }

    /// Sets aside directories of partitions that no topic has; only after the first image.
    pub fn set_strays_aside(&self, image: &MetadataImage, now: Timestamp) {
        self.disk.settle();
        let found = self.disk.found();
        for name in &found {
            let known = image.partition(&name.topic, name.partition);
            if known.is_none_or(|known| !known.replicas.contains(&self.broker))
                && let Err(error) = self.disk.set_aside(name, "no topic has it")
            {
                tracing::error!(partition = %name, %error, "cannot set a stray partition aside");
            }
        }
        self.load_futures(image, now);
        if found.is_empty() {
            // There is nothing to note: a first start does not wait for the disk to hold that.
            return;
        }
        self.checkpoint(Point::Recovery);
        self.checkpoint(Point::LogStart);
    }

    /// Flushes and closes every log and marks the directories clean; false if a directory could not be.
    pub fn close(&self, broker_epoch: i64) -> bool {
        // No log changes its directory from here on.
        let _alone = self.exchanging.lock();
        self.checkpoint(Point::HighWatermark);
        let mut of_dirs: Vec<Vec<Arc<Partition>>> = vec![Vec::new(); self.disk.dirs.len()];
        for partition in self.all() {
            of_dirs[partition.dir()].push(partition);
        }
        let closed: Vec<bool> = std::thread::scope(|scope| {
            let closing: Vec<_> = of_dirs
                .iter()
                .enumerate()
                .map(|(dir, partitions)| scope.spawn(move || self.close_dir(dir, partitions, broker_epoch)))
                .collect();
            closing.into_iter().map(|dir| dir.join().unwrap_or(false)).collect()
        });
        closed.into_iter().all(|each| each)
    }

    fn close_dir(&self, dir: usize, partitions: &[Arc<Partition>], broker_epoch: i64) -> bool {
        if self.disk.dirs[dir].health.has_failed() {
            return false;
        }
        let share = partitions.len().div_ceil(self.disk.threads_per_dir()).max(1);
        let points: Vec<Option<Closed>> = std::thread::scope(|scope| {
            let shares = partitions.chunks(share);
            let closing: Vec<_> = shares
                .map(|share| scope.spawn(|| share.iter().map(|each| close(each)).collect::<Vec<_>>()))
                .collect();
            closing.into_iter().flat_map(|share| share.join().unwrap_or(vec![None])).collect()
        });
        // Nothing is copied any more.
        let futures = |point| {
            let all = self.future_points(point).into_iter();
            all.filter(|(of, ..)| *of == dir).map(|(_, name, offset)| (name, offset)).collect::<Vec<_>>()
        };
        let mut recovery: Vec<_> =
            points.iter().flatten().map(|closed| (closed.name.clone(), closed.recovery_point)).collect();
        let starts = points.iter().flatten();
        let mut starts: Vec<_> =
            starts.filter_map(|closed| Some((closed.name.clone(), closed.log_start?))).collect();
        recovery.extend(futures(Point::Recovery));
        starts.extend(futures(Point::LogStart));
        if !self.close_futures(dir)
            || !self.write_points(dir, Point::Recovery, &mut recovery)
            || !self.write_points(dir, Point::LogStart, &mut starts)
            || points.iter().any(Option::is_none)
        {
            return false;
        }
        let marked = self.disk.mark_clean(dir, broker_epoch);
        marked.inspect_err(|error| tracing::error!(%error, "cannot mark a log directory clean")).is_ok()
    }

    /// Writes the recovery points of a directory after a log in it was cut, so that none stays above its log's end.
    pub fn keep_recovery_point(&self, cut: &Partition) {
        self.checkpoint_in(Point::Recovery, |dir| dir == cut.dir());
    }

    /// Wakes whoever waits for partitions of failed directories; true if the broker can go on without these.
    pub fn withdraw_failed(&self, metadata_dir: &Path) -> bool {
        for partition in self.all() {
            if self.disk.dirs[partition.dir()].health.has_failed() {
                partition.take_offline();
            }
        }
        self.withdraw_futures();
        let mut failed = self.disk.dirs.iter().filter(|dir| dir.health.has_failed());
        failed.clone().count() < self.disk.dirs.len() && !failed.any(|dir| dir.path == metadata_dir)
    }

    /// Lets go of partitions that the image no longer has; their files go later.
    pub fn remove_gone(&self, image: &MetadataImage, now: Timestamp) -> Vec<Gone> {
        self.retire(now, |name, hosted| image.topic(name).is_none_or(|topic| topic.id != hosted.id))
    }

    fn retire(&self, now: Timestamp, goes: impl Fn(&str, &Hosted) -> bool) -> Vec<Gone> {
        let gone: Vec<Hosted> = {
            let mut topics = self.topics.write();
            let names: Vec<Arc<str>> = topics
                .iter()
                .filter(|(name, hosted)| goes(name, hosted))
                .map(|(name, _)| name.clone())
                .collect();
            names.iter().filter_map(|name| topics.remove(name)).collect()
        };
        if gone.is_empty() {
            return Vec::new();
        }
        self.cleaner_wake.notify_one();
        let partitions: Vec<_> = gone.into_iter().flat_map(|hosted| hosted.partitions).flatten().collect();
        self.retire_all(&partitions, now)
    }

    /// Deletes the logs of partitions that are not hosted any more.
    fn retire_all(&self, partitions: &[Arc<Partition>], now: Timestamp) -> Vec<Gone> {
        let exchanging = self.exchanging.lock();
        for partition in partitions {
            self.past.take_over(&partition.traffic);
            if let Err(error) = partition.retire(&self.disk, now) {
                tracing::error!(partition = %partition.name, %error, "cannot delete a partition");
            }
        }
        // So that a partition of the same name does not get these (LogManager.asyncDelete).
        let went: Vec<_> =
            partitions.iter().map(|partition| (partition.name.clone(), partition.topic_id)).collect();
        self.retire_futures(&went, now);
        drop(exchanging);
        let touched = |dir| partitions.iter().any(|partition| partition.dir() == dir);
        self.checkpoint_in(Point::Recovery, touched);
        self.checkpoint_in(Point::LogStart, touched);
        went
    }

    fn follow_topic(
        &self,
        image: &MetadataImage,
        plan: &Plan<'_>,
        opened: &OpenedLogs,
        settings: &Arc<Settings>,
    ) {
        let topic = plan.topic;
        let before = self.topics.read().get(&topic.name).map(|hosted| hosted.partitions.clone());
        let before = before.unwrap_or_default();
        // Whose replica has moved to other brokers for good; while it moves, this one is still named.
        let left = |(index, partition): (usize, &Option<Arc<Partition>>)| {
            let wanted = topic.partitions.get(index)?;
            partition.clone().filter(|_| !wanted.replicas.contains(&self.broker))
        };
        let left: Vec<_> = before.iter().enumerate().filter_map(left).collect();
        let partitions: Vec<_> = topic
            .partitions
            .iter()
            .enumerate()
            .map(|(index, wanted)| {
                let hosted = before.get(index).cloned().flatten();
                let fresh = || opened.get(&name_of(topic, wanted.index)).cloned().flatten();
                self.follow_partition(plan, wanted, hosted.or_else(fresh)?)
            })
            .collect();
        let hosted = Hosted {
            id: topic.id,
            partitions,
            image: topic.clone(),
            config_version: image.config_version(ConfigKind::Topic, &topic.name),
            settings: settings.clone(),
        };
        self.topics.write().insert(topic.name.clone(), hosted);
        if !left.is_empty() {
            self.retire_all(&left, plan.now);
        }
    }

    fn follow_partition(
        &self,
        plan: &Plan<'_>,
        wanted: &PartitionImage,
        partition: Arc<Partition>,
    ) -> Option<Arc<Partition>> {
        if !wanted.replicas.contains(&self.broker) {
            return None;
        }
        plan.configure(&partition, self.broker);
        if let Err(error) = partition.follow_image(wanted, plan.now) {
            tracing::error!(partition = %partition.name, %error, "cannot take up leadership");
        }
        Some(partition)
    }
}

/// A partition that went, of one incarnation of its topic.
pub type Gone = (TopicPartition, Uuid);

/// A log that was closed; what the checkpoints then say of it.
struct Closed {
    name: TopicPartition,
    recovery_point: Offset,
    log_start: Option<Offset>,
}

/// Closes a log; `None` if that failed.
fn close(partition: &Partition) -> Option<Closed> {
    let log_start = partition.point(Point::LogStart);
    match partition.close() {
        Ok(recovery_point) => Some(Closed { name: partition.name.clone(), recovery_point, log_start }),
        Err(error) => {
            tracing::error!(partition = %partition.name, %error, "cannot close a log cleanly");
            None
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

#[cfg(test)]
mod tests;
