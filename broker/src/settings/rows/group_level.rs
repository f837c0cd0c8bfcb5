//! The settings of one group (KIP-848, KIP-932, KIP-1071), each with its broker counterpart.
//!
//! Must never hold a value that was set; names, types and defaults are those of Kafka 4.3.1 (GroupConfig).

use super::super::row::{Check, Row};

#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    Row::int("consumer.assignment.interval.ms", "1000").at_least(0.0).synonym("group.consumer.assignment.interval.ms")
        .doc("The least time between two assignments of the consumer group."),
    Row::int("consumer.heartbeat.interval.ms", "5000").at_least(1.0).synonym("group.consumer.heartbeat.interval.ms")
        .doc("How often members of the consumer group report."),
    Row::int("consumer.session.timeout.ms", "45000").at_least(1.0).synonym("group.consumer.session.timeout.ms")
        .doc("How long a member of the consumer group that does not report stays in it."),
    Row::int("share.assignment.interval.ms", "1000").at_least(0.0).synonym("group.share.assignment.interval.ms").accepted()
        .doc("The least time between two assignments of the share group."),
    Row::text("share.auto.offset.reset", "latest").check(Check::ShareOffsetReset).accepted().kip(932)
        .doc("Where the share group begins in a partition that it has no position in: latest, earliest, or by_duration: and how long ago."),
    Row::int("share.delivery.count.limit", "5").at_least(2.0).synonym("group.share.delivery.count.limit").accepted()
        .doc("How often a record is delivered to the share group before it is given up."),
    Row::int("share.heartbeat.interval.ms", "5000").at_least(1.0).synonym("group.share.heartbeat.interval.ms").accepted()
        .doc("How often members of the share group report."),
    Row::text("share.isolation.level", "read_uncommitted").one_of(&["read_committed", "read_uncommitted"]).accepted()
        .doc("Whether the share group sees records of open and aborted transactions."),
    Row::int("share.partition.max.record.locks", "2000").at_least(100.0).synonym("group.share.partition.max.record.locks").accepted()
        .doc("The most records of one partition that the share group holds locked."),
    Row::int("share.record.lock.duration.ms", "30000").at_least(1000.0).synonym("group.share.record.lock.duration.ms").accepted()
        .doc("How long a member of the share group holds a record before others may have it."),
    Row::boolean("share.renew.acknowledge.enable", "true").accepted().kip(1222)
        .doc("Whether members of the share group may prolong their hold on a record."),
    Row::int("share.session.timeout.ms", "45000").at_least(1.0).synonym("group.share.session.timeout.ms").accepted()
        .doc("How long a member of the share group that does not report stays in it."),
    Row::int("streams.assignment.interval.ms", "1000").at_least(0.0).synonym("group.streams.assignment.interval.ms").accepted()
        .doc("The least time between two assignments of the streams group."),
    Row::int("streams.heartbeat.interval.ms", "5000").at_least(1.0).synonym("group.streams.heartbeat.interval.ms").accepted()
        .doc("How often members of the streams group report."),
    Row::int("streams.initial.rebalance.delay.ms", "3000").at_least(0.0).synonym("group.streams.initial.rebalance.delay.ms").accepted()
        .doc("How long the new streams group waits for more members before its first assignment."),
    Row::int("streams.num.standby.replicas", "0").at_least(0.0).synonym("group.streams.num.standby.replicas").accepted()
        .doc("Standby replicas of each task of the streams group."),
    Row::int("streams.session.timeout.ms", "45000").at_least(1.0).synonym("group.streams.session.timeout.ms").accepted()
        .doc("How long a member of the streams group that does not report stays in it."),
];
