//! The settings of a topic, each with the broker setting that it falls back to.
//!
//! Must never hold a value that was set; names, types and defaults are those of Kafka 4.3.1 (TopicConfig, LogConfig).

use super::super::row::{Check, Kind, Row};

#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    Row::list("cleanup.policy", "delete").check(Check::Items { values: &["compact", "delete"], may_be_empty: true }).synonym("log.cleanup.policy")
        .doc("What becomes of old records: delete removes them by age and size, compact keeps the last of each key. Both may stand together; empty keeps everything."),
    Row::int("compression.gzip.level", "-1").check(Check::LevelOrDefault { min: 1, max: 9 }).synonym("compression.gzip.level").kip(390)
        .doc("The gzip level where compression.type is gzip; -1 is the codec's default."),
    Row::int("compression.lz4.level", "9").between(1.0, 17.0).synonym("compression.lz4.level").kip(390)
        .doc("The lz4 level where compression.type is lz4. 9 is the fast mode; every other one is the high-compression mode."),
    Row::text("compression.type", "producer").one_of(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]).synonym("compression.type")
        .doc("The codec in which batches are kept: one of the codecs, uncompressed, or producer to keep what the producer chose."),
    Row::int("compression.zstd.level", "3").between(-131072.0, 22.0).synonym("compression.zstd.level").kip(390)
        .doc("The zstd level where compression.type is zstd."),
    Row::long("delete.retention.ms", "86400000").at_least(0.0).synonym("log.cleaner.delete.retention.ms")
        .doc("How long the markers of deleted keys stay in a compacted topic. A reader from the start must finish within this time to see them all."),
    Row::long("file.delete.delay.ms", "60000").at_least(0.0).synonym("log.segment.delete.delay.ms")
        .doc("How long a deleted file stays on disk under another name."),
    Row::long("flush.messages", "9223372036854775807").at_least(1.0).synonym("log.flush.interval.messages")
        .doc("After how many records a log is synced to disk; the default leaves it to the operating system."),
    Row::long("flush.ms", "9223372036854775807").at_least(0.0).synonym("log.flush.interval.ms")
        .doc("After what time a log is synced to disk; the default leaves it to the operating system."),
    Row::list("follower.replication.throttled.replicas", "").check(Check::ThrottledReplicas)
        .doc("Replicas whose followers are throttled, as partition:broker with commas between, or *."),
    Row::int("index.interval.bytes", "4096").at_least(0.0).synonym("log.index.interval.bytes")
        .doc("About how many bytes of a log lie between two entries of its index."),
    Row::unset("internal.segment.bytes", Kind::Int).hidden()
        .doc("The segment size in tests, without a lower limit."),
    Row::list("leader.replication.throttled.replicas", "").check(Check::ThrottledReplicas)
        .doc("Replicas whose leaders are throttled, as partition:broker with commas between, or *."),
    Row::long("local.retention.bytes", "-2").at_least(-2.0).synonym("log.local.retention.bytes").accepted().kip(405)
        .doc("Bytes of a partition that stay local when the rest is tiered; -2 is retention.bytes."),
    Row::long("local.retention.ms", "-2").at_least(-2.0).synonym("log.local.retention.ms").accepted().kip(405)
        .doc("How long records stay local when they are tiered; -2 is retention.ms."),
    Row::long("max.compaction.lag.ms", "9223372036854775807").at_least(1.0).synonym("log.cleaner.max.compaction.lag.ms").kip(354)
        .doc("The longest that a record may stay uncompacted."),
    Row::int("max.message.bytes", "1048588").at_least(0.0).synonym("message.max.bytes")
        .doc("The largest batch that is accepted, as it is compressed."),
    Row::long("message.timestamp.after.max.ms", "3600000").at_least(0.0).synonym("log.message.timestamp.after.max.ms").kip(937)
        .doc("How far a record's timestamp may lie after the broker's clock. Not looked at where the time of arrival counts."),
    Row::long("message.timestamp.before.max.ms", "9223372036854775807").at_least(0.0).synonym("log.message.timestamp.before.max.ms").kip(937)
        .doc("How far a record's timestamp may lie before the broker's clock. Not looked at where the time of arrival counts."),
    Row::text("message.timestamp.type", "CreateTime").one_of(&["CreateTime", "LogAppendTime"]).synonym("log.message.timestamp.type")
        .doc("Whether records bear the time of their creation or of their arrival."),
    Row::double("min.cleanable.dirty.ratio", "0.5").between(0.0, 1.0).synonym("log.cleaner.min.cleanable.ratio")
        .doc("The share of uncompacted bytes from which a log is compacted."),
    Row::long("min.compaction.lag.ms", "0").at_least(0.0).synonym("log.cleaner.min.compaction.lag.ms")
        .doc("The shortest time that a record stays uncompacted."),
    Row::int("min.insync.replicas", "1").at_least(1.0).synonym("min.insync.replicas").kip(966)
        .doc("How many replicas must be in sync for a write with acks=all."),
    Row::boolean("preallocate", "false").synonym("log.preallocate")
        .doc("Whether a new segment file gets its full size at once."),
    Row::boolean("remote.log.copy.disable", "false").accepted().kip(950)
        .doc("Whether a tiered topic only reads what was tiered."),
    Row::boolean("remote.log.delete.on.disable", "false").accepted().kip(950)
        .doc("Whether tiered data is deleted when the topic is no longer tiered."),
    Row::boolean("remote.storage.enable", "false").accepted().kip(405)
        .doc("Whether the topic is tiered. Refused: there is no tiered storage."),
    Row::long("retention.bytes", "-1").synonym("log.retention.bytes")
        .doc("Bytes that a partition keeps at most; -1 is no limit."),
    Row::long("retention.ms", "604800000").at_least(-1.0).synonym("log.retention.ms")
        .doc("How many milliseconds records are kept; -1 is for ever."),
    Row::int("segment.bytes", "1073741824").at_least(1048576.0).synonym("log.segment.bytes")
        .doc("The size at which a new segment is begun."),
    Row::int("segment.index.bytes", "10485760").at_least(4.0).synonym("log.index.size.max.bytes")
        .doc("The largest size of an index file."),
    Row::long("segment.jitter.ms", "0").at_least(0.0).synonym("log.roll.jitter.ms")
        .doc("The most milliseconds by which segment.ms is shortened at random, so that not all logs roll at once."),
    Row::long("segment.ms", "604800000").at_least(1.0).synonym("log.roll.ms")
        .doc("After how many milliseconds a new segment is begun, even if it is not full."),
    Row::boolean("unclean.leader.election.enable", "false").synonym("unclean.leader.election.enable").accepted().kip(106)
        .doc("Whether a replica that is not in sync may become leader, and records be lost, when no other is left."),
];
