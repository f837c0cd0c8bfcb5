//! Topics, messages and fetching, as a broker sees them.
//!
//! Must never hold a value that was set; names, types and defaults are those of Kafka 4.3.1 (ServerLogConfigs, ServerConfigs).

use super::super::row::{Check, Kind, Row};

#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    Row::unset("alter.config.policy.class.name", Kind::Class).low().accepted()
        .doc("A Java class that may veto changes of settings."),
    Row::boolean("auto.create.topics.enable", "true").high()
        .doc("Whether a topic comes into being when a client asks for it by name and allows its creation."),
    Row::int("compression.gzip.level", "-1").check(Check::LevelOrDefault { min: 1, max: 9 }).cluster_wide().kip(390)
        .doc("The gzip level for topics whose compression.type is gzip; -1 is the codec's default."),
    Row::int("compression.lz4.level", "9").between(1.0, 17.0).cluster_wide().kip(390)
        .doc("The lz4 level for topics whose compression.type is lz4."),
    Row::text("compression.type", "producer").one_of(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]).high().cluster_wide()
        .doc("The codec in which batches are kept: one of the codecs, uncompressed, or producer to keep what the producer chose."),
    Row::int("compression.zstd.level", "3").between(-131072.0, 22.0).cluster_wide().kip(390)
        .doc("The zstd level for topics whose compression.type is zstd."),
    Row::unset("create.topic.policy.class.name", Kind::Class).low().accepted()
        .doc("A Java class that may veto new topics."),
    Row::int("delete.records.purgatory.purge.interval.requests", "1").accepted()
        .doc("After how many waiting requests to delete records finished ones are cleared away."),
    Row::boolean("delete.topic.enable", "true").high()
        .doc("Whether topics can be deleted."),
    Row::int("fetch.max.bytes", "57671680").at_least(1024.0)
        .doc("The most bytes in the answer to one fetch, whatever the client asks for; a larger first batch is still returned."),
    Row::int("fetch.purgatory.purge.interval.requests", "1000").accepted()
        .doc("After how many waiting fetches finished ones are cleared away."),
    Row::int("max.incremental.fetch.session.cache.slots", "1000").at_least(0.0).kip(227)
        .doc("How many incremental fetch sessions are kept."),
    Row::int("max.request.partition.size.limit", "2000").at_least(1.0).kip(966)
        .doc("The most partitions in one answer to DescribeTopicPartitions."),
    Row::int("message.max.bytes", "1048588").at_least(0.0).high().cluster_wide()
        .doc("The largest batch that is accepted, as it is compressed."),
    Row::int("num.partitions", "1").at_least(1.0)
        .doc("Partitions of a topic that is created without a number, automatically or by request."),
    Row::int("producer.purgatory.purge.interval.requests", "1000").accepted()
        .doc("After how many waiting writes finished ones are cleared away."),
];
