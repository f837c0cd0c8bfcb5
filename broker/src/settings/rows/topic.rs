//! The settings of a topic, each with the broker setting that it falls back to.
//!
//! Must never hold a value that was set; names, types and defaults are those of Kafka 4.3.1 (TopicConfig, LogConfig).

use super::super::row::{Check, Kind, Row};

#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    Row::list("cleanup.policy", "delete").check(Check::Items { values: &["compact", "delete"], may_be_empty: true }).synonym("log.cleanup.policy")
        .doc(""),
    Row::int("compression.gzip.level", "-1").check(Check::LevelOrDefault { min: 1, max: 9 }).synonym("compression.gzip.level").kip(390)
        .doc(""),
    Row::int("compression.lz4.level", "9").between(1.0, 17.0).synonym("compression.lz4.level").kip(390)
        .doc(""),
    Row::text("compression.type", "producer").one_of(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]).synonym("compression.type")
        .doc(""),
    Row::int("compression.zstd.level", "3").between(-131072.0, 22.0).synonym("compression.zstd.level").kip(390)
        .doc(""),
    Row::long("delete.retention.ms", "86400000").at_least(0.0).synonym("log.cleaner.delete.retention.ms").accepted()
        .doc(""),
    Row::long("file.delete.delay.ms", "60000").at_least(0.0).synonym("log.segment.delete.delay.ms")
        .doc(""),
    Row::long("flush.messages", "9223372036854775807").at_least(1.0).synonym("log.flush.interval.messages")
        .doc(""),
    Row::long("flush.ms", "9223372036854775807").at_least(0.0).synonym("log.flush.interval.ms")
        .doc(""),
    Row::list("follower.replication.throttled.replicas", "").check(Check::ThrottledReplicas).accepted()
        .doc(""),
    Row::int("index.interval.bytes", "4096").at_least(0.0).synonym("log.index.interval.bytes")
        .doc(""),
    Row::unset("internal.segment.bytes", Kind::Int).hidden()
        .doc(""),
    Row::list("leader.replication.throttled.replicas", "").check(Check::ThrottledReplicas).accepted()
        .doc(""),
    Row::long("local.retention.bytes", "-2").at_least(-2.0).synonym("log.local.retention.bytes").accepted().kip(405)
        .doc(""),
    Row::long("local.retention.ms", "-2").at_least(-2.0).synonym("log.local.retention.ms").accepted().kip(405)
        .doc(""),
    Row::long("max.compaction.lag.ms", "9223372036854775807").at_least(1.0).synonym("log.cleaner.max.compaction.lag.ms").accepted().kip(354)
        .doc(""),
    Row::int("max.message.bytes", "1048588").at_least(0.0).synonym("message.max.bytes")
        .doc(""),
    Row::long("message.timestamp.after.max.ms", "3600000").at_least(0.0).synonym("log.message.timestamp.after.max.ms").kip(937)
        .doc(""),
    Row::long("message.timestamp.before.max.ms", "9223372036854775807").at_least(0.0).synonym("log.message.timestamp.before.max.ms").kip(937)
        .doc(""),
    Row::text("message.timestamp.type", "CreateTime").one_of(&["CreateTime", "LogAppendTime"]).synonym("log.message.timestamp.type")
        .doc(""),
    Row::double("min.cleanable.dirty.ratio", "0.5").between(0.0, 1.0).synonym("log.cleaner.min.cleanable.ratio").accepted()
        .doc(""),
    Row::long("min.compaction.lag.ms", "0").at_least(0.0).synonym("log.cleaner.min.compaction.lag.ms").accepted()
        .doc(""),
    Row::int("min.insync.replicas", "1").at_least(1.0).synonym("min.insync.replicas").kip(966)
        .doc(""),
    Row::boolean("preallocate", "false").synonym("log.preallocate")
        .doc(""),
    Row::boolean("remote.log.copy.disable", "false").accepted().kip(950)
        .doc(""),
    Row::boolean("remote.log.delete.on.disable", "false").accepted().kip(950)
        .doc(""),
    Row::boolean("remote.storage.enable", "false").accepted().kip(405)
        .doc(""),
    Row::long("retention.bytes", "-1").synonym("log.retention.bytes")
        .doc(""),
    Row::long("retention.ms", "604800000").at_least(-1.0).synonym("log.retention.ms")
        .doc(""),
    Row::int("segment.bytes", "1073741824").at_least(1048576.0).synonym("log.segment.bytes")
        .doc(""),
    Row::int("segment.index.bytes", "10485760").at_least(4.0).synonym("log.index.size.max.bytes")
        .doc(""),
    Row::long("segment.jitter.ms", "0").at_least(0.0).synonym("log.roll.jitter.ms")
        .doc(""),
    Row::long("segment.ms", "604800000").at_least(1.0).synonym("log.roll.ms")
        .doc(""),
    Row::boolean("unclean.leader.election.enable", "false").synonym("unclean.leader.election.enable").accepted().kip(106)
        .doc(""),
];
