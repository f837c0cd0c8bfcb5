//! One log directory: locked, identified, scanned for what lies there.
//!
//! It must never open a log.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use milena_storage::StorageError;
use milena_storage::dirs::{
    self, DirKind, DirLock, HIGH_WATERMARK_CHECKPOINT, LOG_START_CHECKPOINT, LockError, MetaProperties,
    PartitionDir, RECOVERY_POINT_CHECKPOINT,
};
use milena_storage::fs::Fs;
use milena_storage::ids::{Offset, TopicPartition};
use milena_storage::log::OpenHow;
use parking_lot::Mutex;

use super::disk::{DiskError, Identity, random_uuid, unique, uuid_text};
use super::futures::FoundFuture;
use super::health::DirHealth;

/// One log directory.
#[derive(Debug)]
pub struct LogDir {
    pub path: PathBuf,
    /// Empty in a directory whose file of Kafka's older version has none.
    pub id: String,
    /// Whether `meta.properties` is there and whole, or cannot be written.
    pub(super) is_identified: AtomicBool,
    /// Its logs were closed cleanly, or there are none, so none needs a scan.
    pub clean: bool,
    /// The mark of a clean stop was there; a new disk has none.
    pub(super) marked: bool,
    pub(super) cordoned: AtomicBool,
    pub health: Arc<DirHealth>,
    /// What the checkpoint files tell of logs that are not open yet.
    pub(super) points: Mutex<Points>,
    _lock: Option<DirLock>,
}

#[derive(Debug, Default)]
pub(super) struct Points {
    recovery: BTreeMap<TopicPartition, Offset>,
    log_starts: BTreeMap<TopicPartition, Offset>,
    high_watermarks: BTreeMap<TopicPartition, Offset>,
}

/// What a scan of the directories found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub places: HashMap<TopicPartition, (usize, PathBuf)>,
    pub futures: Vec<FoundFuture>,
}

/// Which of two directories is the good one, only an operator can tell (LogManager.loadLog).
fn refuse_two(partition: TopicPartition, first: Option<PathBuf>, second: PathBuf) -> Result<(), DiskError> {
    first.map_or(Ok(()), |first| Err(DiskError::Duplicate { partition, first, second }))
}

impl Points {
    fn read(fs: &dyn Fs, dir: &Path) -> Result<Self, StorageError> {
        Ok(Self {
            recovery: checkpoint(fs, dir, RECOVERY_POINT_CHECKPOINT)?,
            log_starts: checkpoint(fs, dir, LOG_START_CHECKPOINT)?,
            high_watermarks: checkpoint(fs, dir, HIGH_WATERMARK_CHECKPOINT)?,
        })
    }

    pub(super) fn forget(&mut self, name: &TopicPartition) {
        self.recovery.remove(name);
        self.log_starts.remove(name);
        self.high_watermarks.remove(name);
    }
}

impl LogDir {
    /// Whether it gets no new partitions.
    #[must_use]
    pub fn is_cordoned(&self) -> bool {
        self.cordoned.load(Ordering::Relaxed)
    }

    pub(super) fn open(
        fs: &dyn Fs,
        path: &Path,
        cordoned: bool,
        health: &Arc<DirHealth>,
        who: &Identity,
        cluster_id: &mut Option<String>,
    ) -> Result<Self, DiskError> {
        make(fs, path).map_err(|error| StorageError::io("create", path, error))?;
        let lock = DirLock::take(fs, path, &format!("milena, process {}", std::process::id()));
        let lock = lock.map_err(|error| match error {
            LockError::Storage(cause) => DiskError::Storage(cause),
            held @ LockError::Held { .. } => DiskError::Locked(held),
        })?;
        let meta = MetaProperties::read(fs, path)?;
        if let Some(meta) = &meta {
            meta.check(path, cluster_id.as_deref(), who.node_id)?;
            *cluster_id = cluster_id.take().or_else(|| meta.cluster_id.clone());
        }
        let marked = dirs::take_clean_shutdown(fs, path)?.is_some();
        Ok(Self {
            path: path.to_owned(),
            // One without a cluster was begun when its cluster was not known yet.
            is_identified: AtomicBool::new(
                meta.as_ref().is_some_and(|meta| meta.cluster_id.is_some() || meta.directory_id.is_none()),
            ),
            // A file of Kafka's older version has no directory id, and gets none while it stays as it is.
            id: match meta {
                Some(meta) => meta.directory_id.unwrap_or_default(),
                None => uuid_text(random_uuid()),
            },
            clean: marked,
            marked,
            cordoned: AtomicBool::new(cordoned),
            health: health.clone(),
            points: Mutex::new(Points::read(fs, path)?),
            _lock: Some(lock),
        })
    }

    /// A directory that cannot be used.
    pub(super) fn failed(path: &Path, cordoned: bool, health: Arc<DirHealth>) -> Self {
        Self {
            path: path.to_owned(),
            id: String::new(),
            is_identified: AtomicBool::new(true),
            clean: true,
            marked: false,
            cordoned: AtomicBool::new(cordoned),
            health,
            points: Mutex::default(),
            _lock: None,
        }
    }

    /// Enters the partitions that lie here into `places`, and ends deletions that a crash or a stop cut short.
    pub(super) fn scan(mut self, fs: &dyn Fs, index: usize, all: &mut Found) -> Result<Self, DiskError> {
        let mut empty = true;
        for PartitionDir { partition, kind, path } in dirs::partition_dirs(fs, &self.path)? {
            match kind {
                DirKind::Delete => remove_dir(fs, &path)?,
                // For an operator to look at; Kafka only opens it and says so too.
                DirKind::Stray => tracing::warn!(path = %path.display(), "found a stray partition"),
                DirKind::Current => {
                    empty = false;
                    enter(fs, all, partition, (index, path))?;
                }
                DirKind::Future => {
                    empty = false;
                    let other = all.futures.iter().find(|other| other.partition == partition);
                    refuse_two(partition.clone(), other.map(|other| other.path.clone()), path.clone())?;
                    all.futures.push(FoundFuture { partition, dir: index, path });
                }
            }
        }
        self.clean |= empty;
        Ok(self)
    }

    pub(super) fn how_to_open(&self, name: &TopicPartition) -> (OpenHow, Offset) {
        let points = self.points.lock();
        let of = |offsets: &BTreeMap<TopicPartition, Offset>| offsets.get(name).copied().unwrap_or_default();
        let how = OpenHow {
            clean: self.clean,
            recovery_point: of(&points.recovery),
            log_start: of(&points.log_starts),
        };
        (how, of(&points.high_watermarks))
    }

    pub(super) fn takes_new(&self) -> bool {
        !self.is_cordoned() && !self.health.has_failed()
    }
}

/// The offsets of a checkpoint; a damaged one is left out, which costs a longer recovery (LogManager.loadLogs).
fn checkpoint(fs: &dyn Fs, dir: &Path, name: &str) -> Result<BTreeMap<TopicPartition, Offset>, StorageError> {
    match dirs::read_checkpoint(fs, dir, name) {
        Err(error @ StorageError::Corrupt { .. }) => {
            tracing::warn!(%error, "leaving out a damaged checkpoint");
            Ok(BTreeMap::new())
        }
        read => read,
    }
}

/// Enters a partition's directory. Of two the one goes that the other was about to replace; without a word of that, only an
/// operator can tell.
fn enter(
    fs: &dyn Fs,
    all: &mut Found,
    partition: TopicPartition,
    (index, path): (usize, PathBuf),
) -> Result<(), DiskError> {
    let Some((_, other)) = all.places.get(&partition) else {
        all.places.insert(partition, (index, path));
        return Ok(());
    };
    match (dirs::is_marked_replaced(fs, other)?, dirs::is_marked_replaced(fs, &path)?) {
        (true, false) => {
            remove_replaced(fs, &partition, other)?;
            all.places.insert(partition, (index, path));
            Ok(())
        }
        (false, true) => Ok(remove_replaced(fs, &partition, &path)?),
        _ => refuse_two(partition, Some(other.clone()), path),
    }
}

/// Ends a move that was cut short when the copy had the partition's name already.
fn remove_replaced(fs: &dyn Fs, partition: &TopicPartition, path: &Path) -> Result<(), StorageError> {
    tracing::info!(%partition, path = %path.display(), "removing a log that was moved to another directory");
    // Without its name first: what is half removed has no mark.
    let doomed = path.with_file_name(dirs::delete_dir_name(partition, &unique()));
    fs.rename(path, &doomed).map_err(|error| StorageError::io("rename", path, error))?;
    fs.remove_dir_all(&doomed).map_err(|error| StorageError::io("remove", &doomed, error))
}

fn remove_dir(fs: &dyn Fs, path: &Path) -> Result<(), StorageError> {
    fs.remove_dir_all(path).map_err(|error| StorageError::io("remove", path, error))
}

/// Makes a directory, and those above it, so that a loss of power does not take it with everything that will be in it.
fn make(fs: &dyn Fs, path: &Path) -> io::Result<()> {
    let mut missing = Vec::new();
    for dir in path.ancestors().filter(|dir| !dir.as_os_str().is_empty()) {
        if fs.meta(dir)?.is_some() {
            break;
        }
        missing.push(dir);
    }
    fs.create_dir_all(path)?;
    for dir in missing {
        let above = dir.parent().filter(|above| !above.as_os_str().is_empty());
        fs.sync_dir(above.unwrap_or(Path::new(".")))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use milena_storage::fs::SimFs;
    use milena_storage::ids::BrokerId;

    use super::*;
    use crate::partition::health::Failures;

    #[test]
    fn a_new_directory_outlives_a_loss_of_power_with_those_above_it() {
        for seed in 0..20 {
            let fs = SimFs::new();
            make(&fs, Path::new("/var/lib/log")).unwrap();
            fs.power_loss(seed);
            assert!(fs.meta(Path::new("/var/lib/log")).unwrap().is_some());
        }
    }

    #[test]
    fn the_id_of_a_new_directory_can_be_given_to_a_tool() {
        let fs = SimFs::new();
        let health = DirHealth::new(Path::new("/"), Failures::default());
        let who = Identity { node_id: BrokerId(1), cluster_id: None, fresh_cluster_id: None };
        for number in 0..1000 {
            let path = PathBuf::from(format!("/log-{number}"));
            let dir = LogDir::open(&fs, &path, false, &health, &who, &mut None).unwrap();
            assert!(!dir.id.starts_with('-'), "one of 64 would be taken for a flag: {}", dir.id);
        }
    }
}
