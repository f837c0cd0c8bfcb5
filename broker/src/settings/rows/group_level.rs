//! The settings of one group (KIP-848, KIP-932, KIP-1071), each with its broker counterpart.
//!
//! Must never hold a value that was set; names, types and defaults are those of Kafka 4.3.1 (GroupConfig).

use super::super::row::{Check, Row};

#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    Row::int("consumer.assignment.interval.ms", "1000").at_least(0.0).synonym("group.consumer.assignment.interval.ms").accepted()
        .doc(""),
    Row::int("consumer.heartbeat.interval.ms", "5000").at_least(1.0).synonym("group.consumer.heartbeat.interval.ms").accepted()
        .doc(""),
    Row::int("consumer.session.timeout.ms", "45000").at_least(1.0).synonym("group.consumer.session.timeout.ms").accepted()
        .doc(""),
    Row::int("share.assignment.interval.ms", "1000").at_least(0.0).synonym("group.share.assignment.interval.ms").accepted()
        .doc(""),
    Row::text("share.auto.offset.reset", "latest").check(Check::ShareOffsetReset).accepted().kip(932)
        .doc(""),
    Row::int("share.delivery.count.limit", "5").at_least(2.0).synonym("group.share.delivery.count.limit").accepted()
        .doc(""),
    Row::int("share.heartbeat.interval.ms", "5000").at_least(1.0).synonym("group.share.heartbeat.interval.ms").accepted()
        .doc(""),
    Row::text("share.isolation.level", "read_uncommitted").one_of(&["read_committed", "read_uncommitted"]).accepted()
        .doc(""),
    Row::int("share.partition.max.record.locks", "2000").at_least(100.0).synonym("group.share.partition.max.record.locks").accepted()
        .doc(""),
    Row::int("share.record.lock.duration.ms", "30000").at_least(1000.0).synonym("group.share.record.lock.duration.ms").accepted()
        .doc(""),
    Row::boolean("share.renew.acknowledge.enable", "true").accepted().kip(1222)
        .doc(""),
    Row::int("share.session.timeout.ms", "45000").at_least(1.0).synonym("group.share.session.timeout.ms").accepted()
        .doc(""),
    Row::int("streams.assignment.interval.ms", "1000").at_least(0.0).synonym("group.streams.assignment.interval.ms").accepted()
        .doc(""),
    Row::int("streams.heartbeat.interval.ms", "5000").at_least(1.0).synonym("group.streams.heartbeat.interval.ms").accepted()
        .doc(""),
    Row::int("streams.initial.rebalance.delay.ms", "3000").at_least(0.0).synonym("group.streams.initial.rebalance.delay.ms").accepted()
        .doc(""),
    Row::int("streams.num.standby.replicas", "0").at_least(0.0).synonym("group.streams.num.standby.replicas").accepted()
        .doc(""),
    Row::int("streams.session.timeout.ms", "45000").at_least(1.0).synonym("group.streams.session.timeout.ms").accepted()
        .doc(""),
];
