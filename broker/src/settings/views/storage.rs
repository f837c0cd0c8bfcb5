//! What the log directories and the cleaner get.

use std::path::PathBuf;
use std::time::Duration;

use super::super::Settings;

/// Log directories and the tasks over all logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageSettings {
    pub dirs: Vec<PathBuf>,
    /// Directories that get no new partitions (KIP-1066).
    pub cordoned_dirs: Vec<PathBuf>,
    /// Where the metadata log lives; the first log directory unless set.
    pub metadata_dir: PathBuf,
    pub recovery_threads_per_dir: usize,
    pub retention_check_interval: Duration,
    pub initial_task_delay: Duration,
    pub recovery_point_checkpoint_interval: Duration,
    pub start_offset_checkpoint_interval: Duration,
    pub high_watermark_checkpoint_interval: Duration,
    /// How often logs are looked at for `flush.ms`.
    pub flush_check_interval: Duration,
    pub dir_failure_timeout: Duration,
}

/// Compaction.
#[derive(Clone, Debug, PartialEq)]
pub struct CleanerSettings {
    pub enabled: bool,
    pub threads: usize,
    pub dedupe_buffer_bytes: usize,
    pub io_buffer_bytes: usize,
    pub io_buffer_load_factor: f64,
    pub io_max_bytes_per_second: f64,
    pub backoff: Duration,
}

/// Over what a quota is measured: `*.quota.window.num` samples of `*.quota.window.size.seconds` each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QuotaWindow {
    pub samples: usize,
    pub sample_ms: i64,
}

/// Moves between log directories (KIP-113).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MoveSettings {
    /// How many logs are copied at a time.
    pub threads: usize,
    pub bytes_per_second: i64,
    /// Over what that is measured.
    pub window: QuotaWindow,
    /// Bytes copied at a time.
    pub chunk_bytes: usize,
    /// Pause where nothing can be done.
    pub backoff: Duration,
}

impl Settings {
    pub fn moves(&self) -> MoveSettings {
        let threads = self.optional_long("num.replica.alter.log.dirs.threads");
        MoveSettings {
            threads: threads
                .map_or_else(|| self.log_dirs().len(), |threads| usize::try_from(threads).unwrap_or(1)),
            bytes_per_second: self.long("replica.alter.log.dirs.io.max.bytes.per.second"),
            window: QuotaWindow {
                samples: self.count("alter.log.dirs.replication.quota.window.num"),
                sample_ms: self
                    .long("alter.log.dirs.replication.quota.window.size.seconds")
                    .saturating_mul(1000),
            },
            chunk_bytes: self.count("replica.fetch.max.bytes"),
            backoff: self.millis("replica.fetch.backoff.ms"),
        }
    }

    pub fn storage(&self) -> StorageSettings {
        let dirs = self.log_dirs();
        let metadata_dir = self.text("metadata.log.dir").filter(|dir| !dir.is_empty());
        StorageSettings {
            cordoned_dirs: self.cordoned_log_dirs(&dirs),
            metadata_dir: metadata_dir.map_or_else(|| dirs[0].clone(), PathBuf::from),
            dirs,
            recovery_threads_per_dir: self.count("num.recovery.threads.per.data.dir"),
            retention_check_interval: self.millis("log.retention.check.interval.ms"),
            initial_task_delay: self.millis("log.initial.task.delay.ms"),
            recovery_point_checkpoint_interval: self.millis("log.flush.offset.checkpoint.interval.ms"),
            start_offset_checkpoint_interval: self.millis("log.flush.start.offset.checkpoint.interval.ms"),
            high_watermark_checkpoint_interval: self.millis("replica.high.watermark.checkpoint.interval.ms"),
            flush_check_interval: self.millis("log.flush.scheduler.interval.ms"),
            dir_failure_timeout: self.millis("log.dir.failure.timeout.ms"),
        }
    }

    pub fn cleaner(&self) -> CleanerSettings {
        CleanerSettings {
            enabled: self.boolean("log.cleaner.enable"),
            threads: self.count("log.cleaner.threads"),
            dedupe_buffer_bytes: self.count("log.cleaner.dedupe.buffer.size"),
            io_buffer_bytes: self.count("log.cleaner.io.buffer.size"),
            io_buffer_load_factor: self.double("log.cleaner.io.buffer.load.factor"),
            io_max_bytes_per_second: self.double("log.cleaner.io.max.bytes.per.second"),
            backoff: self.millis("log.cleaner.backoff.ms"),
        }
    }

    /// `log.dirs`, else `log.dir`; never empty.
    fn log_dirs(&self) -> Vec<PathBuf> {
        let mut dirs = self.list("log.dirs");
        if dirs.is_empty() {
            dirs = self.list("log.dir");
        }
        assert!(!dirs.is_empty(), "log.dir has a default and its check refuses an empty list");
        dirs.into_iter().map(PathBuf::from).collect()
    }

    fn cordoned_log_dirs(&self, dirs: &[PathBuf]) -> Vec<PathBuf> {
        let cordoned = self.list("cordoned.log.dirs");
        if cordoned.iter().any(|dir| dir == "*") {
            return dirs.to_vec();
        }
        cordoned.into_iter().map(PathBuf::from).collect()
    }
}
