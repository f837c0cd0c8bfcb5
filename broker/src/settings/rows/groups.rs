//! Classic, consumer and streams groups, and committed offsets.
//!
//! Must never hold a value that was set; names, types and defaults are those of Kafka 4.3.1 (GroupCoordinatorConfig).

use super::super::row::{Check, Row};

#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    Row::int("group.consumer.assignment.interval.ms", "1000").at_least(0.0).cluster_wide().accepted()
        .doc(""),
    Row::list("group.consumer.assignors", "uniform,range").distinct(false).accepted()
        .doc(""),
    Row::int("group.consumer.heartbeat.interval.ms", "5000").at_least(1.0).accepted()
        .doc(""),
    Row::int("group.consumer.max.assignment.interval.ms", "15000").at_least(0.0).accepted()
        .doc(""),
    Row::int("group.consumer.max.heartbeat.interval.ms", "15000").at_least(1.0).accepted()
        .doc(""),
    Row::int("group.consumer.max.session.timeout.ms", "60000").at_least(1.0).accepted()
        .doc(""),
    Row::int("group.consumer.max.size", "2147483647").at_least(1.0).accepted()
        .doc(""),
    Row::text("group.consumer.migration.policy", "bidirectional").check(Check::OneOfIgnoringCase(&["DISABLED", "DOWNGRADE", "UPGRADE", "BIDIRECTIONAL"])).accepted().kip(848)
        .doc(""),
    Row::int("group.consumer.min.assignment.interval.ms", "0").at_least(0.0).accepted()
        .doc(""),
    Row::int("group.consumer.min.heartbeat.interval.ms", "5000").at_least(1.0).accepted()
        .doc(""),
    Row::int("group.consumer.min.session.timeout.ms", "45000").at_least(1.0).accepted()
        .doc(""),
    Row::int("group.consumer.regex.refresh.interval.ms", "600000").at_least(10000.0).hidden().accepted().kip(848)
        .doc(""),
    Row::int("group.consumer.session.timeout.ms", "45000").at_least(1.0).accepted().kip(848)
        .doc(""),
    Row::int("group.coordinator.append.linger.ms", "-1").at_least(-1.0).accepted()
        .doc(""),
    Row::int("group.coordinator.background.threads", "2").at_least(1.0).high().accepted()
        .doc(""),
    Row::int("group.coordinator.cached.buffer.max.bytes", "1048588").at_least(524288.0).cluster_wide().accepted()
        .doc(""),
    Row::list("group.coordinator.rebalance.protocols", "classic,consumer,streams").check(Check::Items { values: &["consumer", "classic", "share", "streams"], may_be_empty: false })
        .doc(""),
    Row::int("group.coordinator.threads", "4").at_least(1.0).high().accepted()
        .doc(""),
    Row::int("group.initial.rebalance.delay.ms", "3000").own("0").kip(134)
        .doc(""),
    Row::int("group.max.session.timeout.ms", "1800000")
        .doc(""),
    Row::int("group.max.size", "2147483647").at_least(1.0).kip(389)
        .doc(""),
    Row::int("group.min.session.timeout.ms", "6000")
        .doc(""),
    Row::int("group.streams.assignment.interval.ms", "1000").at_least(0.0).cluster_wide().accepted()
        .doc(""),
    Row::int("group.streams.heartbeat.interval.ms", "5000").at_least(1.0).accepted()
        .doc(""),
    Row::int("group.streams.initial.rebalance.delay.ms", "3000").at_least(0.0).accepted()
        .doc(""),
    Row::int("group.streams.max.assignment.interval.ms", "15000").at_least(0.0).accepted()
        .doc(""),
    Row::int("group.streams.max.heartbeat.interval.ms", "15000").at_least(1.0).accepted()
        .doc(""),
    Row::int("group.streams.max.session.timeout.ms", "60000").at_least(1.0).accepted()
        .doc(""),
    Row::int("group.streams.max.size", "2147483647").at_least(1.0).accepted()
        .doc(""),
    Row::int("group.streams.max.standby.replicas", "2").at_least(0.0).accepted()
        .doc(""),
    Row::int("group.streams.min.assignment.interval.ms", "0").at_least(0.0).accepted()
        .doc(""),
    Row::int("group.streams.min.heartbeat.interval.ms", "5000").at_least(1.0).accepted()
        .doc(""),
    Row::int("group.streams.min.session.timeout.ms", "45000").at_least(1.0).accepted()
        .doc(""),
    Row::int("group.streams.num.standby.replicas", "0").at_least(0.0).accepted()
        .doc(""),
    Row::int("group.streams.session.timeout.ms", "45000").at_least(1.0).accepted().kip(1071)
        .doc(""),
    Row::int("offset.metadata.max.bytes", "4096").high()
        .doc(""),
    Row::int("offsets.commit.timeout.ms", "5000").at_least(1.0).high()
        .doc(""),
    Row::int("offsets.load.buffer.size", "5242880").at_least(1.0).high()
        .doc(""),
    Row::long("offsets.retention.check.interval.ms", "600000").at_least(1.0).high()
        .doc(""),
    Row::int("offsets.retention.minutes", "10080").at_least(1.0).high().kip(211)
        .doc(""),
    Row::int("offsets.topic.compression.codec", "0").high()
        .doc(""),
    Row::int("offsets.topic.num.partitions", "50").at_least(1.0).high()
        .doc(""),
    Row::short("offsets.topic.replication.factor", "3").own_when_single("1").at_least(1.0).high()
        .doc(""),
    Row::int("offsets.topic.segment.bytes", "104857600").at_least(1.0).high()
        .doc(""),
];
