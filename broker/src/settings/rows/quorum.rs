//! The roles of a node and the quorum that keeps the metadata.
//!
//! Must never hold a value that was set; names, types and defaults are those of Kafka 4.3.1 (KRaftConfigs, QuorumConfig, MetadataLogConfig).

use super::super::row::{Check, Kind, Row};

#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    Row::int("broker.heartbeat.interval.ms", "2000").accepted()
        .doc(""),
    Row::int("broker.id", "-1").own("1").high()
        .doc(""),
    Row::int("broker.session.timeout.ms", "9000").accepted()
        .doc(""),
    Row::unset("cluster.id", Kind::String).hidden()
        .doc("The id of the cluster while its data directory is new, where Kafka wants kafka-storage to be run first; a random one is made if this is unset."),
    Row::unset("controller.listener.names", Kind::List).distinct(false).high().kip(500)
        .doc(""),
    Row::long("controller.performance.always.log.threshold.ms", "2000").at_least(0.0).hidden().accepted()
        .doc(""),
    Row::long("controller.performance.sample.period.ms", "60000").at_least(100.0).hidden().accepted()
        .doc(""),
    Row::int("controller.quorum.append.linger.ms", "25").at_least(0.0).accepted()
        .doc(""),
    Row::boolean("controller.quorum.auto.join.enable", "false").low().accepted().kip(853)
        .doc(""),
    Row::list("controller.quorum.bootstrap.servers", "").check(Check::NonEmptyList).high().accepted().kip(853)
        .doc(""),
    Row::int("controller.quorum.election.backoff.max.ms", "1000").at_least(0.0).high().accepted()
        .doc(""),
    Row::int("controller.quorum.election.timeout.ms", "1000").at_least(0.0).high().accepted()
        .doc(""),
    Row::int("controller.quorum.fetch.max.bytes", "1048576").at_least(1.0).low().accepted()
        .doc(""),
    Row::int("controller.quorum.fetch.snapshot.max.bytes", "1048576").at_least(1.0).low().accepted()
        .doc(""),
    Row::int("controller.quorum.fetch.timeout.ms", "2000").at_least(0.0).high().accepted()
        .doc(""),
    Row::int("controller.quorum.request.timeout.ms", "2000").at_least(0.0).accepted()
        .doc(""),
    Row::int("controller.quorum.retry.backoff.ms", "20").at_least(0.0).low().accepted()
        .doc(""),
    Row::list("controller.quorum.voters", "").check(Check::NonEmptyList).high().accepted().kip(500)
        .doc(""),
    Row::int("controller.socket.timeout.ms", "30000").accepted()
        .doc(""),
    Row::int("initial.broker.registration.timeout.ms", "60000").accepted()
        .doc(""),
    Row::long("internal.metadata.delete.delay.millis", "60000").low().hidden().accepted()
        .doc(""),
    Row::unset("internal.metadata.log.segment.bytes", Kind::Int).low().hidden().accepted()
        .doc(""),
    Row::int("internal.metadata.max.batch.size.in.bytes", "8388608").low().hidden().accepted()
        .doc(""),
    Row::unset("metadata.log.dir", Kind::String).high()
        .doc(""),
    Row::long("metadata.log.max.record.bytes.between.snapshots", "20971520").at_least(1.0).high().accepted()
        .doc(""),
    Row::long("metadata.log.max.snapshot.interval.ms", "3600000").at_least(0.0).high().accepted()
        .doc(""),
    Row::int("metadata.log.segment.bytes", "1073741824").at_least(8388608.0).high().accepted()
        .doc(""),
    Row::long("metadata.log.segment.ms", "604800000").high().accepted()
        .doc(""),
    Row::int("metadata.max.idle.interval.ms", "500").at_least(0.0).low().accepted().kip(835)
        .doc(""),
    Row::long("metadata.max.retention.bytes", "104857600").high().accepted()
        .doc(""),
    Row::long("metadata.max.retention.ms", "604800000").high().accepted()
        .doc(""),
    Row::unset("node.id", Kind::Int).own("1").at_least(0.0).high().kip(500)
        .doc(""),
    Row::unset("process.roles", Kind::List).own("broker,controller").check(Check::Items { values: &["broker", "controller"], may_be_empty: false }).high().kip(500)
        .doc(""),
];
