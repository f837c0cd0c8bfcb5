//! Opening the logs of partitions that the image has and the broker has not yet, several at a time in each directory
//! (`LogManager.loadLogs`).
//!
//! It must never open a log twice: what is hosted stays as it is.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use milena_coordinator::image::{MetadataImage, TopicImage};
use milena_storage::ids::{BrokerId, PartitionIndex, Timestamp, TopicPartition};
use milena_storage::log::LogConfig;
use parking_lot::Mutex;

use super::config::{log_config, topic_rules};
use super::disk::Naming;
use super::set::Partitions;
use super::throttle::{Side, ThrottledReplicas};
use super::{Partition, Place, TopicRules};
use crate::settings::Settings;

/// What all partitions of a topic share while they are brought in line.
pub(super) struct Plan<'a> {
    pub topic: &'a Arc<TopicImage>,
    pub config: Arc<LogConfig>,
    pub rules: Arc<TopicRules>,
    leader_throttled: ThrottledReplicas,
    follower_throttled: ThrottledReplicas,
    pub(super) now: Timestamp,
}

impl<'a> Plan<'a> {
    pub(super) fn of(
        image: &MetadataImage,
        topic: &'a Arc<TopicImage>,
        settings: &Settings,
        now: Timestamp,
    ) -> Self {
        let nothing = BTreeMap::new();
        let values = settings.topic(image.topic_config(&topic.name).unwrap_or(&nothing));
        let expiration = settings.transactions().producer_id_expiration.as_millis();
        let config = log_config(&values, i64::try_from(expiration).unwrap_or(i64::MAX));
        let rules = Arc::new(topic_rules(&values, &config));
        Self {
            topic,
            rules,
            config: Arc::new(config),
            leader_throttled: ThrottledReplicas::parse(&values.leader_throttled),
            follower_throttled: ThrottledReplicas::parse(&values.follower_throttled),
            now,
        }
    }

    /// Gives a partition the settings of its topic.
    pub(super) fn configure(&self, partition: &Partition, broker: BrokerId) {
        partition.reconfigure(self.rules.clone(), self.config.clone());
        let index = partition.name.partition.0;
        partition.set_throttled(Side::Leader, self.leader_throttled.contains(index, broker));
        partition.set_throttled(Side::Follower, self.follower_throttled.contains(index, broker));
    }
}

/// From so many new logs on two syncs of the whole disk cost less than two of each, even if it has a second's worth of other things to write.
const NAMED_TOGETHER: usize = 500;

/// A log to be opened.
struct Job<'a> {
    plan: &'a Plan<'a>,
    name: TopicPartition,
}

/// What was opened; `None` where that failed.
pub(super) type OpenedLogs = HashMap<TopicPartition, Option<Arc<Partition>>>;

impl Partitions {
    /// Opens the logs that are wanted here and not hosted.
    pub(super) fn open_missing(&self, plans: &[Plan<'_>]) -> OpenedLogs {
        let missing = plans.iter().flat_map(|plan| {
            let wanted = plan.topic.partitions.iter().filter(|wanted| self.is_missing(plan.topic, wanted));
            wanted.map(move |wanted| Job { plan, name: name_of(plan.topic, wanted.index) })
        });
        let mut here: Vec<Vec<Job<'_>>> = self.disk.dirs.iter().map(|_| Vec::new()).collect();
        let mut new = Vec::new();
        for job in missing {
            match self.disk.dir_of(&job.name) {
                Some(dir) => here[dir].push(job),
                None => new.push(job),
            }
        }
        let opened = Mutex::new(OpenedLogs::new());
        let threads = self.disk.threads_per_dir();
        std::thread::scope(|scope| {
            for (dir, jobs) in here.iter().enumerate().filter(|(_, jobs)| !jobs.is_empty()) {
                let progress = self.begin_progress(dir, jobs.len());
                let opened = &opened;
                // Not worth a thread.
                if let [job] = &jobs[..] {
                    opened.lock().insert(job.name.clone(), self.open(job, Some(&progress)));
                    continue;
                }
                let (progress, next) = (Arc::new(progress), Arc::new(AtomicUsize::new(0)));
                for _ in 0..threads.min(jobs.len()) {
                    let (progress, next) = (progress.clone(), next.clone());
                    scope.spawn(move || {
                        while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                            let log = self.open(job, Some(&progress));
                            opened.lock().insert(job.name.clone(), log);
                        }
                    });
                }
            }
        });
        let mut opened = opened.into_inner();
        self.make(&new, &mut opened);
        opened
    }

    /// Makes new logs, one after the other, since each goes where the fewest are; many are made durable together.
    fn make(&self, new: &[Job<'_>], opened: &mut OpenedLogs) {
        let naming = if new.len() < NAMED_TOGETHER { Naming::AtOnce } else { Naming::Later };
        let mut made = Vec::new();
        for job in new {
            let log = self.open_named(job, None, naming);
            made.extend(log.as_ref().map(|log| (log.dir(), job.name.clone(), job.plan.topic.id)));
            opened.insert(job.name.clone(), log);
        }
        if naming == Naming::Later && !self.disk.name_logs(&made) {
            tracing::error!(logs = made.len(), "the topic ids of new logs could not be written");
        }
    }

    fn begin_progress(&self, dir: usize, logs: usize) -> Progress {
        let dir = &self.disk.dirs[dir];
        let path = dir.path.display();
        if self.disk.is_settled() {
            tracing::debug!(dir = %path, logs, "opening logs");
        } else if dir.clean {
            tracing::info!(dir = %path, logs, "opening logs; none needs a scan after the clean stop");
        } else {
            tracing::warn!(dir = %path, logs, "recovering logs after an unclean stop");
        }
        Progress { recovers: !dir.clean, done: AtomicUsize::new(0), logs }
    }

    fn open(&self, job: &Job<'_>, progress: Option<&Progress>) -> Option<Arc<Partition>> {
        self.open_named(job, progress, Naming::AtOnce)
    }

    fn open_named(
        &self,
        job: &Job<'_>,
        progress: Option<&Progress>,
        naming: Naming,
    ) -> Option<Arc<Partition>> {
        let Job { plan, name } = job;
        match self.disk.open_or_make(name, plan.topic.id, plan.config.clone(), naming, plan.now) {
            Ok(opened) => {
                let report = &opened.report;
                if let Some(progress) = progress.filter(|progress| progress.recovers) {
                    let done = progress.done.fetch_add(1, Ordering::Relaxed) + 1;
                    tracing::info!(
                        partition = %name, scanned_segments = report.scanned_segments,
                        log_end = %opened.log.log_end_offset(), done, of = progress.logs, "recovered a log"
                    );
                }
                if report.cut_bytes > 0 || report.removed_segments > 0 {
                    tracing::warn!(
                        partition = %name, bytes = report.cut_bytes, segments = report.removed_segments,
                        log_end = %opened.log.log_end_offset(), "cut an incomplete end of the log"
                    );
                }
                let at = Place {
                    dir: opened.dir,
                    health: self.disk.dirs[opened.dir].health.clone(),
                    cleaner_wake: self.cleaner_wake.clone(),
                    roll_wake: self.roll_wake.clone(),
                    peers: self.peers.clone(),
                };
                let (log, high_watermark) = (opened.log, opened.high_watermark);
                let rules = plan.rules.clone();
                Some(Arc::new(Partition::new(name.clone(), plan.topic.id, at, log, high_watermark, rules)))
            }
            Err(error) => {
                tracing::error!(partition = %name, %error, "cannot open a log; the partition is offline");
                None
            }
        }
    }
}

/// How far the opening of a directory's logs is.
struct Progress {
    recovers: bool,
    done: AtomicUsize,
    logs: usize,
}

pub(super) fn name_of(topic: &TopicImage, index: PartitionIndex) -> TopicPartition {
    TopicPartition::new(&*topic.name, index.0)
}
