//! Classic, consumer and streams groups, and committed offsets.
//!
//! Must never hold a value that was set; names, types and defaults are those of Kafka 4.3.1 (GroupCoordinatorConfig).

use super::super::row::{Check, Row};

#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    Row::int("group.consumer.assignment.interval.ms", "1000").at_least(0.0).cluster_wide()
        .doc("The least time between two assignments of a consumer group."),
    Row::list("group.consumer.assignors", "uniform,range").distinct(false)
        .doc("Assignors for consumer groups; the first is used when members ask for none."),
    Row::int("group.consumer.heartbeat.interval.ms", "5000").at_least(1.0)
        .doc("How often members of a consumer group report."),
    Row::int("group.consumer.max.assignment.interval.ms", "15000").at_least(0.0)
        .doc("The largest assignment interval that a consumer group may ask for."),
    Row::int("group.consumer.max.heartbeat.interval.ms", "15000").at_least(1.0)
        .doc("The largest heartbeat interval that a consumer group may ask for."),
    Row::int("group.consumer.max.session.timeout.ms", "60000").at_least(1.0)
        .doc("The largest session timeout that a consumer group may ask for."),
    Row::int("group.consumer.max.size", "2147483647").at_least(1.0)
        .doc("The most members of a consumer group."),
    Row::text("group.consumer.migration.policy", "bidirectional").check(Check::OneOfIgnoringCase(&["DISABLED", "DOWNGRADE", "UPGRADE", "BIDIRECTIONAL"])).kip(848)
        .doc("Which way a group may change between the classic and the consumer protocol while it has members."),
    Row::int("group.consumer.min.assignment.interval.ms", "0").at_least(0.0)
        .doc("The smallest assignment interval that a consumer group may ask for."),
    Row::int("group.consumer.min.heartbeat.interval.ms", "5000").at_least(1.0)
        .doc("The smallest heartbeat interval that a consumer group may ask for."),
    Row::int("group.consumer.min.session.timeout.ms", "45000").at_least(1.0)
        .doc("The smallest session timeout that a consumer group may ask for."),
    Row::int("group.consumer.regex.refresh.interval.ms", "600000").at_least(10000.0).hidden().kip(848)
        .doc("How often patterns of topics are matched anew."),
    Row::int("group.consumer.session.timeout.ms", "45000").at_least(1.0).kip(848)
        .doc("How long a member of a consumer group that does not report stays in it."),
    Row::int("group.coordinator.append.linger.ms", "-1").at_least(-1.0).accepted()
        .doc("How long group changes are gathered before they are written; -1 lets the coordinator choose, 0 writes at once."),
    Row::int("group.coordinator.background.threads", "2").at_least(1.0).high().accepted()
        .doc("Threads of the group coordinator for work in the background."),
    Row::int("group.coordinator.cached.buffer.max.bytes", "1048588").at_least(524288.0).cluster_wide().accepted()
        .doc("The largest write buffer that the group coordinator keeps for reuse."),
    Row::list("group.coordinator.rebalance.protocols", "classic,consumer,streams").check(Check::Items { values: &["consumer", "classic", "share", "streams"], may_be_empty: false })
        .doc("Kinds of groups that the coordinator serves."),
    Row::int("group.coordinator.threads", "4").at_least(1.0).high().accepted()
        .doc("Threads of the group coordinator."),
    Row::int("group.initial.rebalance.delay.ms", "3000").own("0").kip(134)
        .doc("How long a new classic group waits for more members before its first assignment. Kafka's default is meant for services that start many members at once."),
    Row::int("group.max.session.timeout.ms", "1800000")
        .doc("The largest session timeout that a member of a classic group may ask for."),
    Row::int("group.max.size", "2147483647").at_least(1.0).kip(389)
        .doc("The most members of a classic group."),
    Row::int("group.min.session.timeout.ms", "6000")
        .doc("The smallest session timeout that a member of a classic group may ask for."),
    Row::int("group.streams.assignment.interval.ms", "1000").at_least(0.0).cluster_wide().accepted()
        .doc("The least time between two assignments of a streams group."),
    Row::int("group.streams.heartbeat.interval.ms", "5000").at_least(1.0).accepted()
        .doc("How often members of a streams group report."),
    Row::int("group.streams.initial.rebalance.delay.ms", "3000").at_least(0.0).accepted()
        .doc("How long a new streams group waits for more members before its first assignment."),
    Row::int("group.streams.max.assignment.interval.ms", "15000").at_least(0.0).accepted()
        .doc("The largest assignment interval that a streams group may ask for."),
    Row::int("group.streams.max.heartbeat.interval.ms", "15000").at_least(1.0).accepted()
        .doc("The largest heartbeat interval that a streams group may ask for."),
    Row::int("group.streams.max.session.timeout.ms", "60000").at_least(1.0).accepted()
        .doc("The largest session timeout that a streams group may ask for."),
    Row::int("group.streams.max.size", "2147483647").at_least(1.0).accepted()
        .doc("The most members of a streams group."),
    Row::int("group.streams.max.standby.replicas", "2").at_least(0.0).accepted()
        .doc("The most standby replicas that a streams group may ask for."),
    Row::int("group.streams.min.assignment.interval.ms", "0").at_least(0.0).accepted()
        .doc("The smallest assignment interval that a streams group may ask for."),
    Row::int("group.streams.min.heartbeat.interval.ms", "5000").at_least(1.0).accepted()
        .doc("The smallest heartbeat interval that a streams group may ask for."),
    Row::int("group.streams.min.session.timeout.ms", "45000").at_least(1.0).accepted()
        .doc("The smallest session timeout that a streams group may ask for."),
    Row::int("group.streams.num.standby.replicas", "0").at_least(0.0).accepted()
        .doc("Standby replicas of each task of a streams group."),
    Row::int("group.streams.session.timeout.ms", "45000").at_least(1.0).accepted().kip(1071)
        .doc("How long a member of a streams group that does not report stays in it."),
    Row::int("offset.metadata.max.bytes", "4096").high()
        .doc("The longest text that a client may commit with an offset."),
    Row::int("offsets.commit.timeout.ms", "5000").at_least(1.0).high()
        .doc("How long a commit waits for the replicas of the offsets topic."),
    Row::int("offsets.load.buffer.size", "5242880").at_least(1.0).high()
        .doc("How many bytes are read at a time when a partition of the offsets topic is loaded."),
    Row::long("offsets.retention.check.interval.ms", "600000").at_least(1.0).high()
        .doc("How often offsets of the past are looked for."),
    Row::int("offsets.retention.minutes", "10080").at_least(1.0).high().kip(211)
        .doc("How long offsets outlive the last member of their group, or the last commit of a consumer without a group."),
    Row::int("offsets.topic.compression.codec", "0").high()
        .doc("The codec of the offsets topic by its number: 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd."),
    Row::int("offsets.topic.num.partitions", "50").at_least(1.0).high()
        .doc("Partitions of the offsets topic; not to be changed once it exists."),
    Row::short("offsets.topic.replication.factor", "3").own_when_single("1").at_least(1.0).high()
        .doc("Replicas of the offsets topic; its creation waits for as many brokers."),
    Row::int("offsets.topic.segment.bytes", "104857600").at_least(1.0).high()
        .doc("The segment size of the offsets topic."),
];
