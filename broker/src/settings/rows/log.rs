//! Log directories, segments, retention, flushing and timestamps.
//!
//! Must never hold a value that was set; names, types and defaults are those of Kafka 4.3.1 (ServerLogConfigs).

use super::super::row::{Check, Kind, Row};

#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    Row::list("cordoned.log.dirs", "").distinct(true).per_broker().accepted().kip(1066)
        .doc(""),
    Row::list("log.cleanup.policy", "delete").check(Check::Items { values: &["compact", "delete"], may_be_empty: true }).cluster_wide()
        .doc(""),
    Row::list("log.dir", "/tmp/kafka-logs").own("./milena-data").distinct(false).high()
        .doc(""),
    Row::long("log.dir.failure.timeout.ms", "30000").at_least(1.0).low().accepted()
        .doc(""),
    Row::unset("log.dirs", Kind::List).distinct(false).high()
        .doc(""),
    Row::long("log.flush.interval.messages", "9223372036854775807").at_least(1.0).high().cluster_wide()
        .doc(""),
    Row::unset("log.flush.interval.ms", Kind::Long).high().cluster_wide()
        .doc(""),
    Row::int("log.flush.offset.checkpoint.interval.ms", "60000").at_least(0.0).high()
        .doc(""),
    Row::long("log.flush.scheduler.interval.ms", "9223372036854775807").high()
        .doc(""),
    Row::int("log.flush.start.offset.checkpoint.interval.ms", "60000").at_least(0.0).high()
        .doc(""),
    Row::int("log.index.interval.bytes", "4096").at_least(0.0).cluster_wide()
        .doc(""),
    Row::int("log.index.size.max.bytes", "10485760").at_least(4.0).cluster_wide()
        .doc(""),
    Row::long("log.initial.task.delay.ms", "30000").at_least(0.0).low().hidden()
        .doc(""),
    Row::long("log.message.timestamp.after.max.ms", "3600000").at_least(0.0).cluster_wide().kip(937)
        .doc(""),
    Row::long("log.message.timestamp.before.max.ms", "9223372036854775807").at_least(0.0).cluster_wide().kip(937)
        .doc(""),
    Row::text("log.message.timestamp.type", "CreateTime").one_of(&["CreateTime", "LogAppendTime"]).cluster_wide()
        .doc(""),
    Row::boolean("log.preallocate", "false").cluster_wide()
        .doc(""),
    Row::long("log.retention.bytes", "-1").high().cluster_wide()
        .doc(""),
    Row::long("log.retention.check.interval.ms", "300000").at_least(1.0)
        .doc(""),
    Row::int("log.retention.hours", "168").high()
        .doc(""),
    Row::unset("log.retention.minutes", Kind::Int).high()
        .doc(""),
    Row::unset("log.retention.ms", Kind::Long).high().cluster_wide()
        .doc(""),
    Row::int("log.roll.hours", "168").at_least(1.0).high()
        .doc(""),
    Row::int("log.roll.jitter.hours", "0").at_least(0.0).high()
        .doc(""),
    Row::unset("log.roll.jitter.ms", Kind::Long).high().cluster_wide()
        .doc(""),
    Row::unset("log.roll.ms", Kind::Long).high().cluster_wide()
        .doc(""),
    Row::int("log.segment.bytes", "1073741824").at_least(1048576.0).high().cluster_wide()
        .doc(""),
    Row::long("log.segment.delete.delay.ms", "60000").at_least(0.0).high().cluster_wide()
        .doc(""),
    Row::int("num.recovery.threads.per.data.dir", "2").at_least(1.0).high().cluster_wide()
        .doc(""),
];
