//! The log cleaner.
//!
//! Must never hold a value that was set; names, types and defaults are those of Kafka 4.3.1 (CleanerConfig).

use super::super::row::Row;

#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    Row::long("log.cleaner.backoff.ms", "15000").at_least(0.0).cluster_wide()
        .doc("How long the cleaner sleeps when there is nothing to clean."),
    Row::long("log.cleaner.dedupe.buffer.size", "134217728").cluster_wide()
        .doc("Memory for the keys of all cleaner threads together."),
    Row::long("log.cleaner.delete.retention.ms", "86400000").at_least(0.0).cluster_wide()
        .doc("How long the markers of deleted keys stay in compacted topics."),
    Row::boolean("log.cleaner.enable", "true")
        .doc("Whether compacted topics are compacted."),
    Row::double("log.cleaner.io.buffer.load.factor", "0.9").cluster_wide()
        .doc("How full the cleaner's table of keys may get."),
    Row::int("log.cleaner.io.buffer.size", "524288").at_least(0.0).cluster_wide()
        .doc("Memory for the input and output of all cleaner threads together."),
    Row::double("log.cleaner.io.max.bytes.per.second", "1.7976931348623157E308").cluster_wide()
        .doc("The most bytes per second that the cleaner reads and writes."),
    Row::long("log.cleaner.max.compaction.lag.ms", "9223372036854775807").at_least(1.0).cluster_wide().kip(354)
        .doc("The longest that a record of a compacted topic may stay uncompacted."),
    Row::double("log.cleaner.min.cleanable.ratio", "0.5").between(0.0, 1.0).cluster_wide()
        .doc("The share of uncompacted bytes from which a log is compacted."),
    Row::long("log.cleaner.min.compaction.lag.ms", "0").at_least(0.0).cluster_wide()
        .doc("The shortest time that a record stays uncompacted."),
    Row::int("log.cleaner.threads", "1").at_least(0.0).cluster_wide()
        .doc("Threads of the cleaner."),
];
