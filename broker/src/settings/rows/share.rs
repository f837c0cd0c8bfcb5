//! Share groups and their state topic (KIP-932).
//!
//! Must never hold a value that was set; names, types and defaults are those of Kafka 4.3.1 (ShareGroupConfig, ShareCoordinatorConfig, GroupCoordinatorConfig).

use super::super::row::Row;

#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    Row::int("group.share.assignment.interval.ms", "1000").at_least(0.0).cluster_wide().accepted()
        .doc("The least time between two assignments of a share group."),
    Row::list("group.share.assignors", "simple").distinct(false).accepted()
        .doc("The assignor for share groups."),
    Row::int("group.share.delivery.count.limit", "5").between(2.0, 10.0).accepted()
        .doc("How often a record is delivered to a share group before it is given up."),
    Row::int("group.share.heartbeat.interval.ms", "5000").at_least(1.0).accepted()
        .doc("How often members of a share group report."),
    Row::int("group.share.initialize.retry.interval.ms", "30000").at_least(1.0).low().hidden().accepted()
        .doc("How long the initialization of a share partition may take before it is tried again."),
    Row::int("group.share.max.assignment.interval.ms", "15000").at_least(0.0).accepted()
        .doc("The largest assignment interval that a share group may ask for."),
    Row::int("group.share.max.delivery.count.limit", "10").between(5.0, 25.0).accepted()
        .doc("The largest delivery limit that a share group may ask for."),
    Row::int("group.share.max.heartbeat.interval.ms", "15000").at_least(1.0).accepted()
        .doc("The largest heartbeat interval that a share group may ask for."),
    Row::int("group.share.max.partition.max.record.locks", "4000").between(2000.0, 10000.0).accepted()
        .doc("The largest number of locked records that a share group may ask for."),
    Row::int("group.share.max.record.lock.duration.ms", "60000").between(30000.0, 3600000.0).accepted()
        .doc("The longest lock that a share group may ask for."),
    Row::int("group.share.max.session.timeout.ms", "60000").at_least(1.0).accepted()
        .doc("The largest session timeout that a share group may ask for."),
    Row::int("group.share.max.share.sessions", "2000").at_least(1.0).accepted()
        .doc("The most share sessions on this broker."),
    Row::int("group.share.max.size", "200").between(1.0, 1000.0).accepted()
        .doc("The most members of a share group."),
    Row::int("group.share.min.assignment.interval.ms", "0").at_least(0.0).accepted()
        .doc("The smallest assignment interval that a share group may ask for."),
    Row::int("group.share.min.delivery.count.limit", "2").between(2.0, 5.0).accepted()
        .doc("The smallest delivery limit that a share group may ask for."),
    Row::int("group.share.min.heartbeat.interval.ms", "5000").at_least(1.0).accepted()
        .doc("The smallest heartbeat interval that a share group may ask for."),
    Row::int("group.share.min.partition.max.record.locks", "100").between(100.0, 2000.0).accepted()
        .doc("The smallest number of locked records that a share group may ask for."),
    Row::int("group.share.min.record.lock.duration.ms", "15000").between(1000.0, 30000.0).accepted()
        .doc("The shortest lock that a share group may ask for."),
    Row::int("group.share.min.session.timeout.ms", "45000").at_least(1.0).accepted()
        .doc("The smallest session timeout that a share group may ask for."),
    Row::int("group.share.partition.max.record.locks", "2000").between(100.0, 10000.0).accepted()
        .doc("The most records of one partition that a share group holds locked."),
    Row::text("group.share.persister.class.name", "org.apache.kafka.server.share.persister.DefaultStatePersister").hidden().accepted()
        .doc("The Java class that keeps the state of share groups."),
    Row::int("group.share.record.lock.duration.ms", "30000").between(1000.0, 3600000.0).accepted().kip(932)
        .doc("How long a member of a share group holds a record before others may have it."),
    Row::int("group.share.session.timeout.ms", "45000").at_least(1.0).accepted()
        .doc("How long a member of a share group that does not report stays in it."),
    Row::int("share.coordinator.append.linger.ms", "-1").at_least(-1.0).accepted()
        .doc("How long changes of share state are gathered before they are written."),
    Row::int("share.coordinator.cached.buffer.max.bytes", "1048588").at_least(524288.0).cluster_wide().accepted()
        .doc("The largest write buffer that the share coordinator keeps for reuse."),
    Row::int("share.coordinator.cold.partition.snapshot.interval.ms", "300000").at_least(1.0).low().hidden().accepted()
        .doc("How often idle share partitions get a snapshot."),
    Row::int("share.coordinator.load.buffer.size", "5242880").at_least(1.0).high().accepted()
        .doc("How many bytes are read at a time when share state is loaded."),
    Row::int("share.coordinator.snapshot.update.records.per.snapshot", "500").between(0.0, 500.0).accepted()
        .doc("After how many updates a snapshot is written."),
    Row::int("share.coordinator.state.topic.compression.codec", "0").high().accepted()
        .doc("The codec of the share state topic by its number."),
    Row::short("share.coordinator.state.topic.min.isr", "2").own_when_single("1").at_least(1.0).high().accepted()
        .doc("How many replicas of the share state topic must be in sync."),
    Row::int("share.coordinator.state.topic.num.partitions", "50").at_least(1.0).high().accepted()
        .doc("Partitions of the share state topic; not to be changed once it exists."),
    Row::int("share.coordinator.state.topic.prune.interval.ms", "300000").at_least(1.0).low().hidden().accepted()
        .doc("How often records that are no longer needed are removed from it."),
    Row::short("share.coordinator.state.topic.replication.factor", "3").own_when_single("1").at_least(1.0).high().accepted()
        .doc("Replicas of the share state topic."),
    Row::int("share.coordinator.state.topic.segment.bytes", "104857600").at_least(1.0).high().accepted()
        .doc("The segment size of the share state topic."),
    Row::int("share.coordinator.threads", "1").at_least(1.0).accepted()
        .doc("Threads of the share coordinator."),
    Row::int("share.coordinator.write.timeout.ms", "5000").at_least(1.0).high().accepted()
        .doc("How long a write of share state waits for its replicas."),
    Row::int("share.fetch.purgatory.purge.interval.requests", "1000").accepted()
        .doc("After how many waiting share fetches finished ones are cleared away."),
];
