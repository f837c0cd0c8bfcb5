//! The rest of a broker.
//!
//! Must never hold a value that was set; names, types and defaults are those of Kafka 4.3.1 (ServerConfigs).

use super::super::row::{Kind, Row};

#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    Row::int("background.threads", "10").at_least(1.0).high().cluster_wide().accepted()
        .doc("Threads for work in the background."),
    Row::unset("broker.rack", Kind::String).kip(36)
        .doc("The rack or zone that this broker stands in, for placing replicas and for consumers that read nearby."),
    Row::list("config.providers", "").distinct(true).low().cluster_wide().accepted().kip(421)
        .doc("Names of Java classes that replace placeholders in values."),
    Row::boolean("controlled.shutdown.enable", "true").accepted()
        .doc("Whether a stopping broker hands its leaderships over first."),
    Row::int("request.timeout.ms", "30000").high().accepted()
        .doc("How long the broker waits for the answer to a request of its own."),
    Row::long("server.max.startup.time.ms", "9223372036854775807").at_least(0.0).hidden().accepted()
        .doc("How long a start may take."),
    Row::boolean("unstable.api.versions.enable", "false").high().hidden().accepted()
        .doc("Whether versions of APIs that are not released are served."),
    Row::boolean("unstable.feature.versions.enable", "false").high().hidden().accepted()
        .doc("Whether versions of features that are not released may be used."),
];
