//! The log directories of a broker: held by a lock, known by their identity, found to hold these partitions.
//!
//! It must never decide which partitions exist: the metadata image does.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine as _;
use milena_storage::StorageError;
use milena_storage::dirs::{self, IdentityError, LockError, MetaProperties};
use milena_storage::fs::Fs;
use milena_storage::ids::{BrokerId, Offset, Timestamp, TopicPartition};
use milena_storage::log::{Log, LogConfig, OpenHow, OpenReport};
use parking_lot::Mutex;
use thiserror::Error;
use uuid::Uuid;

use super::futures::FoundFuture;
use super::health::{DirHealth, Failures};
use super::log_dir::Found;
pub use super::log_dir::LogDir;
use crate::settings::StorageSettings;

/// Why the log directories cannot be used.
#[derive(Debug, Error)]
pub enum DiskError {
    #[error(transparent)]
    Locked(LockError),
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error("none of the log directories can be used")]
    AllFailed,
    #[error(
        "the partition {partition} lies in both {} and {}: a directory failed while the one was to replace the other. \
         Delete one of the two by hand, better the one in the directory that failed",
        .first.display(), .second.display()
    )]
    Duplicate { partition: TopicPartition, first: PathBuf, second: PathBuf },
}

/// Wishes kept; an operator who has more of them asks again.
const WISHES_MAX: usize = 10_000;

/// When the file with its topic's id is written for a new log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Naming {
    AtOnce,
    Later,
}

/// Who this node is, for the identity of its directories.
#[derive(Clone, Debug)]
pub struct Identity {
    pub node_id: BrokerId,
    /// What the settings demand, if they do.
    pub cluster_id: Option<String>,
    /// Used when neither the settings nor a directory name a cluster; none where the cluster is still to tell.
    pub fresh_cluster_id: Option<String>,
}

/// All log directories, and where each partition's log lies.
#[derive(Debug)]
pub struct Disk {
    pub fs: Arc<dyn Fs>,
    pub dirs: Vec<LogDir>,
    pub failures: Failures,
    pub(super) node_id: BrokerId,
    cluster_id: Option<String>,
    places: Mutex<HashMap<TopicPartition, usize>>,
    /// Directories that operators want for replicas which are not here yet (`LogManager.preferredLogDirs`).
    wishes: Mutex<HashMap<TopicPartition, usize>>,
    /// `-future` directories that were not looked at yet.
    futures: Mutex<Vec<FoundFuture>>,
    doomed: Mutex<Vec<Doomed>>,
    settled: AtomicBool,
    /// Partitions of an earlier run that lie in a directory which had failed at the start, each with its topic; never more than
    /// the broker had.
    lost: Mutex<HashMap<TopicPartition, Uuid>>,
    metadata_dir: PathBuf,
    /// Kafka's metadata lies here, so that Kafka may go on here.
    beside_kafka: bool,
    threads_per_dir: usize,
}

/// A log that was opened.
#[derive(Debug)]
pub struct Opened {
    /// Index of its log directory.
    pub dir: usize,
    pub log: Log,
    pub report: OpenReport,
    /// As the last checkpoint has it; 0 without one.
    pub high_watermark: Offset,
}

/// A renamed log whose files go when their time has come.
#[derive(Debug)]
struct Doomed {
    due: Timestamp,
    log: Log,
}

impl Disk {
    /// Takes possession of the directories: creates, locks, identifies and scans them.
    pub fn open(fs: Arc<dyn Fs>, settings: &StorageSettings, who: &Identity) -> Result<Self, DiskError> {
        let mut dirs = Vec::with_capacity(settings.dirs.len());
        let mut cluster_id = who.cluster_id.clone();
        let mut found = Found::default();
        let failures = Failures::default();
        for (index, path) in settings.dirs.iter().enumerate() {
            let cordoned = settings.cordoned_dirs.contains(path);
            let health = DirHealth::new(path, failures.clone());
            let opened = LogDir::open(fs.as_ref(), path, cordoned, &health, who, &mut cluster_id)
                .and_then(|dir| dir.scan(fs.as_ref(), index, &mut found));
            let dir = match opened {
                // The others go on (LogManager.createAndValidateLogDirs).
                Err(DiskError::Storage(cause @ StorageError::Io { .. })) => {
                    health.fail(&cause);
                    LogDir::failed(path, cordoned, health)
                }
                opened => opened?,
            };
            dirs.push(dir);
        }
        if dirs.iter().all(|dir| dir.health.has_failed()) {
            return Err(DiskError::AllFailed);
        }
        let kafkas = settings.metadata_dir.join(dirs::KAFKA_METADATA_DIR);
        let beside_kafka =
            fs.meta(&kafkas).map_err(|error| StorageError::io("look at", &kafkas, error))?.is_some();
        let cluster_id = cluster_id.or_else(|| who.fresh_cluster_id.clone());
        let disk = Self {
            fs,
            dirs,
            failures,
            node_id: who.node_id,
            cluster_id,
            places: Mutex::new(found.places.into_iter().map(|(name, (dir, _))| (name, dir)).collect()),
            wishes: Mutex::default(),
            futures: Mutex::new(found.futures),
            doomed: Mutex::default(),
            settled: AtomicBool::new(false),
            lost: Mutex::default(),
            metadata_dir: settings.metadata_dir.clone(),
            beside_kafka,
            threads_per_dir: settings.recovery_threads_per_dir.max(1),
        };
        // A voter counts by its directory (KIP-853), so that the id must outlive a kill before the cluster is known.
        disk.write_identities(disk.cluster_id.as_deref())?;
        Ok(disk)
    }

    /// The cluster that the settings or a directory name.
    #[must_use]
    pub fn cluster_id(&self) -> Option<&str> {
        self.cluster_id.as_deref()
    }

    /// Whether everything is here that the broker's word for it was given for: every directory is marked as cleanly stopped. An empty
    /// one is not, since its disk may be new (`LogManager.readBrokerEpochFromCleanShutdownFiles`).
    #[must_use]
    pub fn was_stopped_cleanly(&self) -> bool {
        self.dirs.iter().all(|dir| dir.marked)
    }

    /// The id by which this process is told from others: that of its metadata log directory.
    #[must_use]
    pub fn identity(&self) -> Option<Uuid> {
        Some(self.directory_id(&self.metadata_dir)).filter(|id| !id.is_nil())
    }

    /// The id of a directory, or of none.
    #[must_use]
    pub fn directory_id(&self, path: &Path) -> Uuid {
        let id = self.dirs.iter().find(|dir| dir.path == path).map_or("", |dir| &dir.id);
        let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(id).unwrap_or_default();
        Uuid::from_slice(&bytes).unwrap_or_default()
    }

    /// Opens the log of a partition where it lies, or makes it in the directory with the fewest partitions.
    pub fn open_log(
        &self,
        name: &TopicPartition,
        topic_id: Uuid,
        config: impl Into<Arc<LogConfig>> + Clone,
        now: Timestamp,
    ) -> Result<Opened, StorageError> {
        self.open_or_make(name, topic_id, config, Naming::AtOnce, now)
    }

    /// As [`Disk::open_log`]; whoever has new logs named later does so with [`Disk::name_logs`] before anything is written to them.
    pub(super) fn open_or_make(
        &self,
        name: &TopicPartition,
        topic_id: Uuid,
        config: impl Into<Arc<LogConfig>> + Clone,
        naming: Naming,
        now: Timestamp,
    ) -> Result<Opened, StorageError> {
        let (index, existed) = self.place(name);
        let dir = &self.dirs[index];
        let path = dir.path.join(name.to_string());
        if !existed {
            self.check_is_not_lost(name, topic_id, &path)?;
        }
        if existed && dirs::read_partition_metadata(self.fs.as_ref(), &path)?.is_some_and(|id| id != topic_id)
        {
            self.set_aside(name, "another incarnation of the topic")?;
            return self.open_or_make(name, topic_id, config, naming, now);
        }
        let (how, high_watermark) = if existed {
            dir.how_to_open(name)
        } else {
            (OpenHow { clean: true, ..OpenHow::default() }, Offset(0))
        };
        let (log, report) = Log::open(self.fs.clone(), &path, config, how, now)?;
        let is_named = if existed {
            dirs::read_partition_metadata(self.fs.as_ref(), &path)?.is_some()
        } else {
            naming == Naming::Later
        };
        if !is_named {
            dirs::write_partition_metadata(self.fs.as_ref(), &path, topic_id)?;
        }
        self.places.lock().insert(name.clone(), index);
        self.wishes.lock().remove(name);
        dir.points.lock().forget(name);
        Ok(Opened { dir: index, log, report, high_watermark })
    }

    /// Writes the topic's ids into the directories of new logs, durably and for all at once; false if that fails in a directory.
    pub(super) fn name_logs(&self, made: &[(usize, TopicPartition, Uuid)]) -> bool {
        let is_unnamed = |index: &usize| {
            let index = *index;
            let dir = &self.dirs[index];
            let here = made.iter().filter(|(place, ..)| *place == index);
            let named: Vec<_> = here.map(|(_, name, id)| (dir.path.join(name.to_string()), *id)).collect();
            if named.is_empty() {
                return false;
            }
            let written = dirs::write_all_partition_metadata(self.fs.as_ref(), &dir.path, &named);
            // A full disk leaves them without names, which the next start gives them.
            written.inspect_err(|error| dir.health.note(error)).is_err()
        };
        (0..self.dirs.len()).filter(is_unnamed).count() == 0
    }

    /// Says that every partition of an earlier run has been asked for: what comes from now on is new.
    pub fn settle(&self) {
        self.settled.store(true, Ordering::Release);
    }

    pub(super) fn is_settled(&self) -> bool {
        self.settled.load(Ordering::Acquire)
    }

    /// A partition of an earlier run that no good directory holds lies in a failed one; an empty log in its place would
    /// look like the loss of everything (LogManager.getOrCreateLog). However often it is asked for later, it is no new one.
    fn check_is_not_lost(
        &self,
        name: &TopicPartition,
        topic_id: Uuid,
        path: &Path,
    ) -> Result<(), StorageError> {
        let Some(failed) = self.dirs.iter().find(|dir| dir.health.has_failed()) else { return Ok(()) };
        let mut lost = self.lost.lock();
        if !self.is_settled() {
            lost.insert(name.clone(), topic_id);
        } else if lost.get(name) != Some(&topic_id) {
            return Ok(());
        }
        let cause = std::io::Error::other(format!("{} is offline", failed.path.display()));
        Err(StorageError::io("find", path, cause))
    }

    /// These directories get no new partitions from now on, the others do (KIP-1066).
    pub fn cordon(&self, paths: &[PathBuf]) {
        for dir in &self.dirs {
            dir.cordoned.store(paths.contains(&dir.path), Ordering::Relaxed);
        }
    }

    /// How many threads open or close the logs of one directory (`num.recovery.threads.per.data.dir`).
    #[must_use]
    pub fn threads_per_dir(&self) -> usize {
        self.threads_per_dir
    }

    /// The directory that holds the partition.
    #[must_use]
    pub fn dir_of(&self, name: &TopicPartition) -> Option<usize> {
        self.places.lock().get(name).copied()
    }

    /// Partitions that lie in the directories.
    #[must_use]
    pub fn found(&self) -> Vec<TopicPartition> {
        self.places.lock().keys().cloned().collect()
    }

    /// Partitions that lie in the directories, with their paths.
    #[must_use]
    pub fn found_in(&self) -> Vec<(TopicPartition, PathBuf)> {
        let places = self.places.lock();
        let path = |(name, index): (&TopicPartition, &usize)| {
            (name.clone(), self.dirs[*index].path.join(name.to_string()))
        };
        places.iter().map(path).collect()
    }

    /// Renames the directory of a partition that belongs to no topic, so that an operator can look at it
    /// (LogManager.handleStrayLog).
    pub fn set_aside(&self, name: &TopicPartition, why: &str) -> Result<(), StorageError> {
        let Some(index) = self.places.lock().remove(name) else { return Ok(()) };
        let dir = &self.dirs[index].path;
        let to = dir.join(dirs::stray_dir_name(name, &unique()));
        tracing::warn!(partition = %name, to = %to.display(), why, "set aside a stray partition");
        let from = dir.join(name.to_string());
        self.fs.rename(&from, &to).map_err(|error| StorageError::io("rename", &from, error))
    }

    /// The directory with this path.
    pub(super) fn dir_at(&self, path: &Path) -> Option<usize> {
        self.dirs.iter().position(|dir| std::path::absolute(&dir.path).is_ok_and(|known| known == path))
    }

    /// Keeps in mind where a partition is to be made when it comes here.
    pub(super) fn wish(&self, name: &TopicPartition, dir: usize) {
        let mut wishes = self.wishes.lock();
        if wishes.len() < WISHES_MAX || wishes.contains_key(name) {
            wishes.insert(name.clone(), dir);
        }
    }

    /// Makes an empty log that is to become a partition's in another directory.
    pub(super) fn make_future(
        &self,
        name: &TopicPartition,
        topic_id: Uuid,
        dir: usize,
        config: LogConfig,
        now: Timestamp,
    ) -> Result<Log, StorageError> {
        let path = self.dirs[dir].path.join(self.future_name(name));
        self.dirs[dir].points.lock().forget(name);
        let how = OpenHow { clean: true, ..OpenHow::default() };
        let (log, _) = Log::open(self.fs.clone(), &path, config, how, now)?;
        dirs::write_partition_metadata(self.fs.as_ref(), &path, topic_id)?;
        Ok(log)
    }

    fn future_name(&self, name: &TopicPartition) -> String {
        let of = if self.beside_kafka { dirs::hidden_future_dir_name } else { dirs::future_dir_name };
        of(name, &unique())
    }

    /// A partition's log is in another directory now.
    pub(super) fn moved(&self, name: &TopicPartition, dir: usize) {
        self.places.lock().insert(name.clone(), dir);
    }

    /// The `-future` directories that were found, once.
    pub(super) fn take_futures(&self) -> Vec<FoundFuture> {
        std::mem::take(&mut *self.futures.lock())
    }

    pub(super) fn open_future(
        &self,
        found: &FoundFuture,
        config: LogConfig,
        now: Timestamp,
    ) -> Result<(Log, Offset), StorageError> {
        let (how, high_watermark) = self.dirs[found.dir].how_to_open(&found.partition);
        let (mut log, _) = Log::open(self.fs.clone(), &found.path, config, how, now)?;
        if self.beside_kafka {
            // What Kafka left: from now on it knows less of the partition than we do.
            log.rename_dir(&found.path.with_file_name(self.future_name(&found.partition)))?;
        }
        let high_watermark = high_watermark.clamp(log.log_start_offset(), log.log_end_offset());
        Ok((log, high_watermark))
    }

    pub(super) fn set_future_aside(&self, found: &FoundFuture) -> Result<(), StorageError> {
        let to = self.dirs[found.dir].path.join(dirs::stray_dir_name(&found.partition, &unique()));
        tracing::warn!(from = %found.path.display(), to = %to.display(), "set aside a stray log that was being moved");
        self.fs.rename(&found.path, &to).map_err(|error| StorageError::io("rename", &found.path, error))
    }

    /// Renames a deleted partition's directory; its files go after `file.delete.delay.ms`.
    pub fn doom(&self, name: &TopicPartition, log: Log, now: Timestamp) -> Result<(), StorageError> {
        self.places.lock().remove(name);
        self.doom_log(name, log, now)
    }

    pub(super) fn doom_log(
        &self,
        name: &TopicPartition,
        mut log: Log,
        now: Timestamp,
    ) -> Result<(), StorageError> {
        let delay = log.config().file_delete_delay_ms;
        log.rename_dir(&log.dir().with_file_name(dirs::delete_dir_name(name, &unique())))?;
        self.doomed.lock().push(Doomed { due: Timestamp(now.0.saturating_add(delay)), log });
        Ok(())
    }

    /// Removes the files of deleted partitions whose delay has passed.
    pub fn remove_doomed(&self, now: Timestamp) {
        let due: Vec<Doomed> = {
            let mut doomed = self.doomed.lock();
            let (due, kept) = doomed.drain(..).partition(|each| each.due <= now);
            *doomed = kept;
            due
        };
        for each in due {
            let dir = each.log.dir().to_owned();
            if let Err(error) = each.log.delete() {
                tracing::error!(dir = %dir.display(), %error, "cannot remove a deleted partition");
            }
        }
    }

    /// The last act of a clean stop: the next start need not scan.
    pub fn mark_clean(&self, index: usize, broker_epoch: i64) -> Result<(), StorageError> {
        dirs::write_clean_shutdown(self.fs.as_ref(), &self.dirs[index].path, broker_epoch)
    }

    fn place(&self, name: &TopicPartition) -> (usize, bool) {
        let places = self.places.lock();
        if let Some(index) = places.get(name) {
            return (*index, true);
        }
        let wished = self.wishes.lock().get(name).copied();
        if let Some(dir) = wished.filter(|dir| !self.dirs[*dir].health.has_failed()) {
            return (dir, false);
        }
        let mut counts = vec![0_usize; self.dirs.len()];
        for index in places.values() {
            counts[*index] += 1;
        }
        let open = (0..self.dirs.len()).filter(|index| self.dirs[*index].takes_new());
        let live = || self.dirs.iter().position(|dir| !dir.health.has_failed());
        // Replicas may be assigned just before every directory is cordoned (LogManager.nextLogDirs).
        (open.min_by_key(|index| counts[*index]).or_else(live).unwrap_or(0), false)
    }

    /// Writes what the directories belong to where it does not stand yet.
    pub fn identify(&self, cluster_id: &str) -> Result<(), DiskError> {
        self.write_identities(Some(cluster_id))
    }

    fn write_identities(&self, cluster_id: Option<&str>) -> Result<(), DiskError> {
        for dir in self.dirs.iter().filter(|dir| !dir.is_identified.load(Ordering::Relaxed)) {
            let mine = MetaProperties {
                cluster_id: cluster_id.map(str::to_owned),
                node_id: Some(self.node_id),
                directory_id: Some(dir.id.clone()),
            };
            mine.write(self.fs.as_ref(), &dir.path)?;
            dir.is_identified.store(cluster_id.is_some(), Ordering::Relaxed);
        }
        Ok(())
    }
}

/// A UUID as Kafka writes it: URL-safe base64 without padding.
#[must_use]
pub fn uuid_text(id: Uuid) -> String {
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(id.as_bytes())
}

/// One whose text does not begin with a dash, which tools would read as a flag (Uuid.randomUuid).
#[must_use]
pub fn random_uuid() -> Uuid {
    loop {
        let id = Uuid::new_v4();
        if !uuid_text(id).starts_with('-') {
            return id;
        }
    }
}

/// As Kafka names doomed directories: a UUID without hyphens.
pub(super) fn unique() -> String {
    Uuid::new_v4().simple().to_string()
}
