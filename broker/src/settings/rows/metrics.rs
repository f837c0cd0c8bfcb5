//! Metrics and client telemetry.
//!
//! Must never hold a value that was set; names, types and defaults are those of Kafka 4.3.1 (MetricConfigs).

use super::super::row::Row;

#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    Row::int("kafka.metrics.polling.interval.secs", "10").at_least(1.0).low().accepted()
        .doc(""),
    Row::list("kafka.metrics.reporters", "").distinct(true).low().accepted()
        .doc(""),
    Row::list("metric.reporters", "org.apache.kafka.common.metrics.JmxReporter").distinct(true).low().cluster_wide().accepted()
        .doc(""),
    Row::int("metrics.num.samples", "2").at_least(1.0).low().accepted()
        .doc(""),
    Row::text("metrics.recording.level", "INFO").low().accepted()
        .doc(""),
    Row::long("metrics.sample.window.ms", "30000").at_least(1.0).low().accepted()
        .doc(""),
    Row::int("telemetry.max.bytes", "1048576").at_least(1.0).low().accepted().kip(714)
        .doc(""),
];
