//! The rest of a broker.
//!
//! Must never hold a value that was set; names, types and defaults are those of Kafka 4.3.1 (ServerConfigs).

use super::super::row::{Kind, Row};

#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    Row::int("background.threads", "10").at_least(1.0).high().cluster_wide().accepted()
        .doc(""),
    Row::unset("broker.rack", Kind::String).kip(36)
        .doc(""),
    Row::list("config.providers", "").distinct(true).low().cluster_wide().accepted().kip(421)
        .doc(""),
    Row::boolean("controlled.shutdown.enable", "true").accepted()
        .doc(""),
    Row::int("request.timeout.ms", "30000").high()
        .doc(""),
    Row::long("server.max.startup.time.ms", "9223372036854775807").at_least(0.0).hidden().accepted()
        .doc(""),
    Row::boolean("unstable.api.versions.enable", "false").high().hidden().accepted()
        .doc(""),
    Row::boolean("unstable.feature.versions.enable", "false").high().hidden().accepted()
        .doc(""),
];
