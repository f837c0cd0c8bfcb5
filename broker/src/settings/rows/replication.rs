//! Replication and leadership.
//!
//! Must never hold a value that was set; names, types and defaults are those of Kafka 4.3.1 (ReplicationConfigs).

use super::super::row::{Kind, Row};

#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    Row::boolean("auto.leader.rebalance.enable", "true").high().accepted()
        .doc(""),
    Row::int("default.replication.factor", "1")
        .doc(""),
    Row::unset("inter.broker.listener.name", Kind::String).kip(103)
        .doc(""),
    Row::long("leader.imbalance.check.interval.seconds", "300").at_least(1.0).high().accepted()
        .doc(""),
    Row::int("min.insync.replicas", "1").at_least(1.0).high().cluster_wide()
        .doc(""),
    Row::unset("num.replica.alter.log.dirs.threads", Kind::Int).high().accepted()
        .doc(""),
    Row::int("num.replica.fetchers", "1").at_least(1.0).high().cluster_wide().accepted()
        .doc(""),
    Row::int("replica.fetch.backoff.ms", "1000").at_least(0.0).accepted()
        .doc(""),
    Row::int("replica.fetch.max.bytes", "1048576").at_least(0.0).accepted()
        .doc(""),
    Row::int("replica.fetch.min.bytes", "1").high().accepted()
        .doc(""),
    Row::int("replica.fetch.response.max.bytes", "10485760").at_least(0.0).accepted()
        .doc(""),
    Row::int("replica.fetch.wait.max.ms", "500").high().accepted()
        .doc(""),
    Row::long("replica.high.watermark.checkpoint.interval.ms", "5000").high()
        .doc(""),
    Row::long("replica.lag.time.max.ms", "30000").high().accepted()
        .doc(""),
    Row::unset("replica.selector.class", Kind::String).accepted().kip(392)
        .doc(""),
    Row::int("replica.socket.receive.buffer.bytes", "65536").high().accepted()
        .doc(""),
    Row::int("replica.socket.timeout.ms", "30000").high().accepted()
        .doc(""),
    Row::boolean("unclean.leader.election.enable", "false").high().cluster_wide().accepted()
        .doc(""),
    Row::long("unclean.leader.election.interval.ms", "300000").at_least(1.0).hidden().accepted()
        .doc(""),
];
