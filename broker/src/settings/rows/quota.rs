//! Quota windows and replication throttles of a broker.
//!
//! Must never hold a value that was set; names, types and defaults are those of Kafka 4.3.1 (QuotaConfig).

use super::super::row::{Kind, Row};

#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    Row::int("alter.log.dirs.replication.quota.window.num", "11").at_least(1.0).low().accepted()
        .doc(""),
    Row::int("alter.log.dirs.replication.quota.window.size.seconds", "1").at_least(1.0).low().accepted()
        .doc(""),
    Row::unset("client.quota.callback.class", Kind::Class).low().accepted().kip(257)
        .doc(""),
    Row::int("controller.quota.window.num", "11").at_least(1.0).low().accepted()
        .doc(""),
    Row::int("controller.quota.window.size.seconds", "1").at_least(1.0).low().accepted()
        .doc(""),
    Row::long("follower.replication.throttled.rate", "9223372036854775807").at_least(0.0).cluster_wide().hidden().accepted()
        .doc(""),
    Row::long("leader.replication.throttled.rate", "9223372036854775807").at_least(0.0).cluster_wide().hidden().accepted()
        .doc(""),
    Row::int("quota.window.num", "11").at_least(1.0).low().accepted()
        .doc(""),
    Row::int("quota.window.size.seconds", "1").at_least(1.0).low().accepted()
        .doc(""),
    Row::long("replica.alter.log.dirs.io.max.bytes.per.second", "9223372036854775807").at_least(0.0).cluster_wide().hidden().accepted()
        .doc(""),
    Row::int("replication.quota.window.num", "11").at_least(1.0).low().accepted()
        .doc(""),
    Row::int("replication.quota.window.size.seconds", "1").at_least(1.0).low().accepted()
        .doc(""),
];
