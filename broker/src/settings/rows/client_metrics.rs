//! The settings of a client-metrics subscription (KIP-714).
//!
//! Must never hold a value that was set; names, types and defaults are those of Kafka 4.3.1 (ClientMetricsConfigs).

use super::super::row::Row;

#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    Row::int("interval.ms", "300000").accepted().kip(714)
        .doc("How often the clients of this subscription push their metrics."),
    Row::list("match", "").distinct(true).accepted().kip(714)
        .doc("Which clients it concerns, as selector=pattern with commas between; empty is all of them."),
    Row::list("metrics", "").distinct(true).accepted().kip(714)
        .doc("Beginnings of the names of the metrics to push; * is all of them, empty none."),
];
