//! Quota windows and replication throttles of a broker.
//!
//! Must never hold a value that was set; names, types and defaults are those of Kafka 4.3.1 (QuotaConfig).

use super::super::row::{Kind, Row};

#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    Row::int("alter.log.dirs.replication.quota.window.num", "11").at_least(1.0).low()
        .doc("How many sample windows are kept for the quota on moves between log directories."),
    Row::int("alter.log.dirs.replication.quota.window.size.seconds", "1").at_least(1.0).low()
        .doc("The length of each of these windows."),
    Row::unset("client.quota.callback.class", Kind::Class).low().accepted().kip(257)
        .doc("A Java class that computes client quotas."),
    Row::int("controller.quota.window.num", "11").at_least(1.0).low()
        .doc("How many sample windows are kept for quotas on changes of metadata."),
    Row::int("controller.quota.window.size.seconds", "1").at_least(1.0).low()
        .doc("The length of each of these windows."),
    Row::long("follower.replication.throttled.rate", "9223372036854775807").at_least(0.0).cluster_wide().hidden()
        .doc("Bytes per second that followers of throttled replicas may fetch."),
    Row::long("leader.replication.throttled.rate", "9223372036854775807").at_least(0.0).cluster_wide().hidden()
        .doc("Bytes per second that leaders of throttled replicas may serve to followers."),
    Row::int("quota.window.num", "11").at_least(1.0).low()
        .doc("How many sample windows are kept for client quotas and for the rate of new connections."),
    Row::int("quota.window.size.seconds", "1").at_least(1.0).low()
        .doc("The length of each of these windows."),
    Row::long("replica.alter.log.dirs.io.max.bytes.per.second", "9223372036854775807").at_least(0.0).cluster_wide().hidden()
        .doc("Bytes per second for moves between log directories."),
    Row::int("replication.quota.window.num", "11").at_least(1.0).low()
        .doc("How many sample windows are kept for replication quotas."),
    Row::int("replication.quota.window.size.seconds", "1").at_least(1.0).low()
        .doc("The length of each of these windows."),
];
