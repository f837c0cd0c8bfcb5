//! Tiered storage.
//!
//! Must never hold a value that was set; names, types and defaults are those of Kafka 4.3.1 (RemoteLogManagerConfig).

use super::super::row::{Check, Kind, Row};

#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    Row::boolean("follower.fetch.last.tiered.offset.enable", "false").cluster_wide().accepted()
        .doc(""),
    Row::long("log.local.retention.bytes", "-2").at_least(-2.0).cluster_wide().accepted()
        .doc(""),
    Row::long("log.local.retention.ms", "-2").at_least(-2.0).cluster_wide().accepted()
        .doc(""),
    Row::int("remote.fetch.max.wait.ms", "500").at_least(1.0).cluster_wide().accepted()
        .doc(""),
    Row::long("remote.list.offsets.request.timeout.ms", "30000").at_least(1.0).cluster_wide().accepted()
        .doc(""),
    Row::long("remote.log.index.file.cache.total.size.bytes", "1073741824").at_least(1.0).low().cluster_wide().accepted()
        .doc(""),
    Row::long("remote.log.index.file.cache.ttl.ms", "900000").at_least(-1.0).low().hidden().accepted()
        .doc(""),
    Row::int("remote.log.manager.copier.thread.pool.size", "10").at_least(1.0).cluster_wide().accepted()
        .doc(""),
    Row::long("remote.log.manager.copy.max.bytes.per.second", "9223372036854775807").at_least(1.0).cluster_wide().accepted()
        .doc(""),
    Row::int("remote.log.manager.copy.quota.window.num", "11").at_least(1.0).accepted()
        .doc(""),
    Row::int("remote.log.manager.copy.quota.window.size.seconds", "1").at_least(1.0).accepted()
        .doc(""),
    Row::int("remote.log.manager.expiration.thread.pool.size", "10").at_least(1.0).cluster_wide().accepted()
        .doc(""),
    Row::long("remote.log.manager.fetch.max.bytes.per.second", "9223372036854775807").at_least(1.0).cluster_wide().accepted()
        .doc(""),
    Row::int("remote.log.manager.fetch.quota.window.num", "11").at_least(1.0).accepted()
        .doc(""),
    Row::int("remote.log.manager.fetch.quota.window.size.seconds", "1").at_least(1.0).accepted()
        .doc(""),
    Row::int("remote.log.manager.follower.thread.pool.size", "2").at_least(1.0).cluster_wide().accepted()
        .doc(""),
    Row::long("remote.log.manager.task.interval.ms", "30000").at_least(1.0).low().accepted()
        .doc(""),
    Row::long("remote.log.manager.task.retry.backoff.max.ms", "30000").at_least(1.0).low().hidden().accepted()
        .doc(""),
    Row::long("remote.log.manager.task.retry.backoff.ms", "500").at_least(1.0).low().hidden().accepted()
        .doc(""),
    Row::double("remote.log.manager.task.retry.jitter", "0.2").between(0.0, 0.5).low().hidden().accepted()
        .doc(""),
    Row::int("remote.log.manager.thread.pool.size", "2").at_least(1.0).accepted()
        .doc(""),
    Row::int("remote.log.metadata.custom.metadata.max.bytes", "128").at_least(0.0).low().accepted()
        .doc(""),
    Row::text("remote.log.metadata.manager.class.name", "org.apache.kafka.server.log.remote.metadata.storage.TopicBasedRemoteLogMetadataManager").check(Check::NonEmptyText).accepted()
        .doc(""),
    Row::unset("remote.log.metadata.manager.class.path", Kind::String).accepted()
        .doc(""),
    Row::text("remote.log.metadata.manager.impl.prefix", "rlmm.config.").check(Check::NonEmptyText).accepted()
        .doc(""),
    Row::unset("remote.log.metadata.manager.listener.name", Kind::String).check(Check::NonEmptyText).accepted()
        .doc(""),
    Row::int("remote.log.reader.max.pending.tasks", "100").at_least(1.0).accepted()
        .doc(""),
    Row::int("remote.log.reader.threads", "10").at_least(1.0).cluster_wide().accepted()
        .doc(""),
    Row::unset("remote.log.storage.manager.class.name", Kind::String).check(Check::NonEmptyText).accepted()
        .doc(""),
    Row::unset("remote.log.storage.manager.class.path", Kind::String).accepted()
        .doc(""),
    Row::text("remote.log.storage.manager.impl.prefix", "rsm.config.").check(Check::NonEmptyText).accepted()
        .doc(""),
    Row::boolean("remote.log.storage.system.enable", "false").accepted().kip(405)
        .doc(""),
];
