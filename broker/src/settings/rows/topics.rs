//! Topics, messages and fetching, as a broker sees them.
//!
//! Must never hold a value that was set; names, types and defaults are those of Kafka 4.3.1 (ServerLogConfigs, ServerConfigs).

use super::super::row::{Check, Kind, Row};

#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    Row::unset("alter.config.policy.class.name", Kind::Class).low().accepted()
        .doc(""),
    Row::boolean("auto.create.topics.enable", "true").high()
        .doc(""),
    Row::int("compression.gzip.level", "-1").check(Check::LevelOrDefault { min: 1, max: 9 }).cluster_wide().kip(390)
        .doc(""),
    Row::int("compression.lz4.level", "9").between(1.0, 17.0).cluster_wide().kip(390)
        .doc(""),
    Row::text("compression.type", "producer").one_of(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]).high().cluster_wide()
        .doc(""),
    Row::int("compression.zstd.level", "3").between(-131072.0, 22.0).cluster_wide().kip(390)
        .doc(""),
    Row::unset("create.topic.policy.class.name", Kind::Class).low().accepted()
        .doc(""),
    Row::int("delete.records.purgatory.purge.interval.requests", "1").accepted()
        .doc(""),
    Row::boolean("delete.topic.enable", "true").high()
        .doc(""),
    Row::int("fetch.max.bytes", "57671680").at_least(1024.0)
        .doc(""),
    Row::int("fetch.purgatory.purge.interval.requests", "1000").accepted()
        .doc(""),
    Row::int("max.incremental.fetch.session.cache.slots", "1000").at_least(0.0).kip(227)
        .doc(""),
    Row::int("max.request.partition.size.limit", "2000").at_least(1.0).kip(966)
        .doc(""),
    Row::int("message.max.bytes", "1048588").at_least(0.0).high().cluster_wide()
        .doc(""),
    Row::int("num.partitions", "1").at_least(1.0)
        .doc(""),
    Row::int("producer.purgatory.purge.interval.requests", "1000").accepted()
        .doc(""),
];
