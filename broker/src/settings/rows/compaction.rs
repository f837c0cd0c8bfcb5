//! The log cleaner.
//!
//! Must never hold a value that was set; names, types and defaults are those of Kafka 4.3.1 (CleanerConfig).

use super::super::row::Row;

#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    Row::long("log.cleaner.backoff.ms", "15000").at_least(0.0).cluster_wide().accepted()
        .doc(""),
    Row::long("log.cleaner.dedupe.buffer.size", "134217728").cluster_wide().accepted()
        .doc(""),
    Row::long("log.cleaner.delete.retention.ms", "86400000").at_least(0.0).cluster_wide().accepted()
        .doc(""),
    Row::boolean("log.cleaner.enable", "true").accepted()
        .doc(""),
    Row::double("log.cleaner.io.buffer.load.factor", "0.9").cluster_wide().accepted()
        .doc(""),
    Row::int("log.cleaner.io.buffer.size", "524288").at_least(0.0).cluster_wide().accepted()
        .doc(""),
    Row::double("log.cleaner.io.max.bytes.per.second", "1.7976931348623157E308").cluster_wide().accepted()
        .doc(""),
    Row::long("log.cleaner.max.compaction.lag.ms", "9223372036854775807").at_least(1.0).cluster_wide().accepted().kip(354)
        .doc(""),
    Row::double("log.cleaner.min.cleanable.ratio", "0.5").between(0.0, 1.0).cluster_wide().accepted()
        .doc(""),
    Row::long("log.cleaner.min.compaction.lag.ms", "0").at_least(0.0).cluster_wide().accepted()
        .doc(""),
    Row::int("log.cleaner.threads", "1").at_least(0.0).cluster_wide().accepted()
        .doc(""),
];
