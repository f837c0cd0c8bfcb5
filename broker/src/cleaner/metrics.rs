//! What Kafka's `LogCleaner` and `LogCleanerManager` tell of their work, as plain values.
//!
//! It must never decide anything: the cleaner notes, a metrics endpoint reads.

use std::collections::VecDeque;
use std::path::PathBuf;

use milena_storage::ids::Timestamp;
use milena_storage::log::CleanStats;

/// One finished cleaning.
#[derive(Clone, Copy, Debug)]
pub(super) struct Finished {
    pub stats: CleanStats,
    pub elapsed_ms: i64,
    /// By how much the partition that waited longest was past its `max.compaction.lag.ms`.
    pub delay_ms: i64,
}

/// The cleaner's values, named like Kafka's gauges of `kafka.log:type=LogCleaner` and `type=LogCleanerManager`.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct CleanerMetrics {
    /// `max-dirty-percent`: of the dirtiest log, when the cleaner last looked.
    pub max_dirty_percent: i32,
    /// `cleaner-recopy-percent`: bytes kept, of those read, in the last cleaning of each thread.
    pub recopy_percent: i32,
    /// `max-clean-time-secs`: the longest of these.
    pub max_clean_time_secs: i32,
    /// `max-buffer-utilization-percent`: the fullest map of keys of these.
    pub max_buffer_utilization_percent: i32,
    /// `max-compaction-delay-secs`: the longest that a log was past its `max.compaction.lag.ms`.
    pub max_compaction_delay_secs: i32,
    /// `DeadThreadCount`: cleanings that ended in a panic.
    pub dead_thread_count: i32,
    /// `time-since-last-run-ms`
    pub time_since_last_run_ms: i64,
    /// `uncleanable-partitions-count` and `uncleanable-bytes` of each log directory.
    pub uncleanable: Vec<(PathBuf, usize, u64)>,
}

/// What the values are made of.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub dirtiest_ratio: f64,
    pub last_run: Timestamp,
    pub dead: i32,
    last: VecDeque<Finished>,
}

impl Ledger {
    pub(super) fn new(now: Timestamp) -> Self {
        Self { last_run: now, ..Self::default() }
    }

    /// Notes a cleaning; only the last one of each thread counts.
    pub(super) fn finish(&mut self, finished: Finished, threads: usize) {
        self.last.push_back(finished);
        while self.last.len() > threads.max(1) {
            self.last.pop_front();
        }
    }

    pub(super) fn values(&self, now: Timestamp, uncleanable: Vec<(PathBuf, usize, u64)>) -> CleanerMetrics {
        let sum = |part: fn(&CleanStats) -> u64| self.last.iter().map(|each| part(&each.stats)).sum::<u64>();
        let longest = |part: fn(&Finished) -> i64| {
            let ms = self.last.iter().map(part).max().unwrap_or(0);
            i32::try_from(ms / 1000).unwrap_or(i32::MAX)
        };
        let utilization = self.last.iter().map(|each| each.stats.map_utilization).fold(0.0, f64::max);
        let recopy = sum(|stats| stats.written_bytes) as f64 / sum(|stats| stats.read_bytes).max(1) as f64;
        CleanerMetrics {
            max_dirty_percent: percent(self.dirtiest_ratio),
            recopy_percent: percent(recopy),
            max_clean_time_secs: longest(|each| each.elapsed_ms),
            max_buffer_utilization_percent: percent(utilization),
            max_compaction_delay_secs: longest(|each| each.delay_ms),
            dead_thread_count: self.dead,
            time_since_last_run_ms: now.0.saturating_sub(self.last_run.0),
            uncleanable,
        }
    }
}

fn percent(share: f64) -> i32 {
    (share * 100.0) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_those_of_the_last_cleaning_of_each_thread() {
        let mut ledger = Ledger { dirtiest_ratio: 0.756, last_run: Timestamp(1000), ..Ledger::default() };
        let finished = |read_bytes, written_bytes, elapsed_ms| Finished {
            stats: CleanStats { read_bytes, written_bytes, map_utilization: 0.5, ..CleanStats::default() },
            elapsed_ms,
            delay_ms: 61_500,
        };
        for (read, written, ms) in [(1, 1, 999_000), (100, 20, 3100), (300, 80, 2900)] {
            ledger.finish(finished(read, written, ms), 2);
        }
        let values = ledger.values(Timestamp(1500), Vec::new());
        assert_eq!((values.max_dirty_percent, values.recopy_percent), (75, 25));
        assert_eq!((values.max_clean_time_secs, values.max_compaction_delay_secs), (3, 61));
        assert_eq!((values.max_buffer_utilization_percent, values.time_since_last_run_ms), (50, 500));
        let none = Ledger::default().values(Timestamp(0), Vec::new());
        assert_eq!(none, CleanerMetrics::default());
    }
}
