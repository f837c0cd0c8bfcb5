//! Metrics and client telemetry.
//!
//! Must never hold a value that was set; names, types and defaults are those of Kafka 4.3.1 (MetricConfigs).

use super::super::row::Row;

#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    Row::int("kafka.metrics.polling.interval.secs", "10").at_least(1.0).low().accepted()
        .doc("How often older metrics reporters are asked."),
    Row::list("kafka.metrics.reporters", "").distinct(true).low().accepted()
        .doc("Java classes that report metrics of the older kind."),
    Row::list("metric.reporters", "org.apache.kafka.common.metrics.JmxReporter").distinct(true).low().cluster_wide().accepted()
        .doc("Java classes that report metrics."),
    Row::int("metrics.num.samples", "2").at_least(1.0).low().accepted()
        .doc("How many samples a metric is computed from."),
    Row::text("metrics.recording.level", "INFO").low().accepted()
        .doc("From which level on metrics are recorded."),
    Row::long("metrics.sample.window.ms", "30000").at_least(1.0).low().accepted()
        .doc("The length of a metric's sample."),
    Row::int("telemetry.max.bytes", "1048576").at_least(1.0).low().kip(714)
        .doc("The most bytes of metrics that a client may push at a time."),
];
