//! Tiered storage.
//!
//! Must never hold a value that was set; names, types and defaults are those of Kafka 4.3.1 (RemoteLogManagerConfig).

use super::super::row::{Check, Kind, Row};

#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    Row::boolean("follower.fetch.last.tiered.offset.enable", "false").cluster_wide().accepted()
        .doc("Whether a new follower starts where tiered storage ends."),
    Row::long("log.local.retention.bytes", "-2").at_least(-2.0).cluster_wide().accepted()
        .doc("Bytes of a partition that stay local when the rest is tiered; -2 is log.retention.bytes."),
    Row::long("log.local.retention.ms", "-2").at_least(-2.0).cluster_wide().accepted()
        .doc("How long records stay local when they are tiered; -2 is log.retention.ms."),
    Row::int("remote.fetch.max.wait.ms", "500").at_least(1.0).cluster_wide().accepted()
        .doc("How long a fetch waits for tiered storage."),
    Row::long("remote.list.offsets.request.timeout.ms", "30000").at_least(1.0).cluster_wide().accepted()
        .doc("How long a look-up of an offset waits for tiered storage."),
    Row::long("remote.log.index.file.cache.total.size.bytes", "1073741824").at_least(1.0).low().cluster_wide().accepted()
        .doc("Disk space for indexes fetched from tiered storage."),
    Row::long("remote.log.index.file.cache.ttl.ms", "900000").at_least(-1.0).low().hidden().accepted()
        .doc("How long an unused entry of that cache is kept."),
    Row::int("remote.log.manager.copier.thread.pool.size", "10").at_least(1.0).cluster_wide().accepted()
        .doc("Threads that copy segments to tiered storage."),
    Row::long("remote.log.manager.copy.max.bytes.per.second", "9223372036854775807").at_least(1.0).cluster_wide().accepted()
        .doc("Bytes per second to tiered storage."),
    Row::int("remote.log.manager.copy.quota.window.num", "11").at_least(1.0).accepted()
        .doc("How many sample windows are kept for that quota."),
    Row::int("remote.log.manager.copy.quota.window.size.seconds", "1").at_least(1.0).accepted()
        .doc("The length of each of these windows."),
    Row::int("remote.log.manager.expiration.thread.pool.size", "10").at_least(1.0).cluster_wide().accepted()
        .doc("Threads that delete expired segments from tiered storage."),
    Row::long("remote.log.manager.fetch.max.bytes.per.second", "9223372036854775807").at_least(1.0).cluster_wide().accepted()
        .doc("Bytes per second from tiered storage."),
    Row::int("remote.log.manager.fetch.quota.window.num", "11").at_least(1.0).accepted()
        .doc("How many sample windows are kept for that quota."),
    Row::int("remote.log.manager.fetch.quota.window.size.seconds", "1").at_least(1.0).accepted()
        .doc("The length of each of these windows."),
    Row::int("remote.log.manager.follower.thread.pool.size", "2").at_least(1.0).cluster_wide().accepted()
        .doc("Threads for partitions that this broker follows."),
    Row::long("remote.log.manager.task.interval.ms", "30000").at_least(1.0).low().accepted()
        .doc("How often the tasks of tiered storage run."),
    Row::long("remote.log.manager.task.retry.backoff.max.ms", "30000").at_least(1.0).low().hidden().accepted()
        .doc("The longest pause before such a task is tried again."),
    Row::long("remote.log.manager.task.retry.backoff.ms", "500").at_least(1.0).low().hidden().accepted()
        .doc("The first pause before such a task is tried again."),
    Row::double("remote.log.manager.task.retry.jitter", "0.2").between(0.0, 0.5).low().hidden().accepted()
        .doc("The random share of these pauses."),
    Row::int("remote.log.manager.thread.pool.size", "2").at_least(1.0).accepted()
        .doc("Threads for the tasks of tiered storage."),
    Row::int("remote.log.metadata.custom.metadata.max.bytes", "128").at_least(0.0).low().accepted()
        .doc("The most bytes that a storage plug-in may keep with a segment."),
    Row::text("remote.log.metadata.manager.class.name", "org.apache.kafka.server.log.remote.metadata.storage.TopicBasedRemoteLogMetadataManager").check(Check::NonEmptyText).accepted()
        .doc("The Java class that keeps the metadata of tiered segments."),
    Row::unset("remote.log.metadata.manager.class.path", Kind::String).accepted()
        .doc("Where that class is loaded from."),
    Row::text("remote.log.metadata.manager.impl.prefix", "rlmm.config.").check(Check::NonEmptyText).accepted()
        .doc("The beginning of the names of its own settings."),
    Row::unset("remote.log.metadata.manager.listener.name", Kind::String).check(Check::NonEmptyText).accepted()
        .doc("The listener through which it reaches the brokers."),
    Row::int("remote.log.reader.max.pending.tasks", "100").at_least(1.0).accepted()
        .doc("How many reads from tiered storage may wait."),
    Row::int("remote.log.reader.threads", "10").at_least(1.0).cluster_wide().accepted()
        .doc("Threads that read from tiered storage."),
    Row::unset("remote.log.storage.manager.class.name", Kind::String).check(Check::NonEmptyText).accepted()
        .doc("The Java class that stores tiered segments."),
    Row::unset("remote.log.storage.manager.class.path", Kind::String).accepted()
        .doc("Where that class is loaded from."),
    Row::text("remote.log.storage.manager.impl.prefix", "rsm.config.").check(Check::NonEmptyText).accepted()
        .doc("The beginning of the names of its own settings."),
    Row::boolean("remote.log.storage.system.enable", "false").accepted().kip(405)
        .doc("Whether topics may be tiered."),
];
