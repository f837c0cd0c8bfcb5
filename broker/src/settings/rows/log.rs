//! Log directories, segments, retention, flushing and timestamps.
//!
//! Must never hold a value that was set; names, types and defaults are those of Kafka 4.3.1 (ServerLogConfigs).

use super::super::row::{Check, Kind, Row};

#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    Row::list("cordoned.log.dirs", "").distinct(true).per_broker().kip(1066)
        .doc("Log directories that get no new partitions; * is all of them."),
    Row::list("log.cleanup.policy", "delete").check(Check::Items { values: &["compact", "delete"], may_be_empty: true }).cluster_wide()
        .doc("What becomes of old records: delete removes them by age and size, compact keeps the last of each key. Both may stand together; empty keeps everything."),
    Row::list("log.dir", "/tmp/kafka-logs").own("./milena-data").distinct(false).high()
        .doc("The log directory where log.dirs is not set."),
    Row::long("log.dir.failure.timeout.ms", "30000").at_least(1.0).low().accepted()
        .doc("How long a broker with a failed log directory waits to tell the controller before it stops."),
    Row::unset("log.dirs", Kind::List).distinct(false).high()
        .doc("The directories of the partitions, one per disk, with commas between."),
    Row::long("log.flush.interval.messages", "9223372036854775807").at_least(1.0).high().cluster_wide()
        .doc("After how many records a log is synced to disk; the default leaves it to the operating system."),
    Row::unset("log.flush.interval.ms", Kind::Long).high().cluster_wide()
        .doc("After what time a log is synced to disk; unset, log.flush.scheduler.interval.ms holds."),
    Row::int("log.flush.offset.checkpoint.interval.ms", "60000").at_least(0.0).high()
        .doc("How often the recovery points are written down; recovery starts there."),
    Row::long("log.flush.scheduler.interval.ms", "9223372036854775807").high()
        .doc("How often logs are looked at for whether they are to be synced."),
    Row::int("log.flush.start.offset.checkpoint.interval.ms", "60000").at_least(0.0).high()
        .doc("How often the start offsets of the logs are written down."),
    Row::int("log.index.interval.bytes", "4096").at_least(0.0).cluster_wide()
        .doc("About how many bytes of a log lie between two entries of its index."),
    Row::int("log.index.size.max.bytes", "10485760").at_least(4.0).cluster_wide()
        .doc("The largest size of an index file."),
    Row::long("log.initial.task.delay.ms", "30000").at_least(0.0).low().hidden()
        .doc("How long after the start the recurring tasks on logs begin."),
    Row::long("log.message.timestamp.after.max.ms", "3600000").at_least(0.0).cluster_wide().kip(937)
        .doc("How far a record's timestamp may lie after the broker's clock."),
    Row::long("log.message.timestamp.before.max.ms", "9223372036854775807").at_least(0.0).cluster_wide().kip(937)
        .doc("How far a record's timestamp may lie before the broker's clock."),
    Row::text("log.message.timestamp.type", "CreateTime").one_of(&["CreateTime", "LogAppendTime"]).cluster_wide()
        .doc("Whether records bear the time of their creation or of their arrival."),
    Row::boolean("log.preallocate", "false").cluster_wide()
        .doc("Whether a new segment file gets its full size at once."),
    Row::long("log.retention.bytes", "-1").high().cluster_wide()
        .doc("Bytes that a partition keeps at most; -1 is no limit."),
    Row::long("log.retention.check.interval.ms", "300000").at_least(1.0)
        .doc("How often logs are looked at for records to delete."),
    Row::int("log.retention.hours", "168").high()
        .doc("How many hours records are kept; weaker than log.retention.minutes."),
    Row::unset("log.retention.minutes", Kind::Int).high()
        .doc("How many minutes records are kept; weaker than log.retention.ms."),
    Row::unset("log.retention.ms", Kind::Long).high().cluster_wide()
        .doc("How many milliseconds records are kept; -1 is for ever."),
    Row::int("log.roll.hours", "168").at_least(1.0).high()
        .doc("After how many hours a new segment is begun; weaker than log.roll.ms."),
    Row::int("log.roll.jitter.hours", "0").at_least(0.0).high()
        .doc("The most hours by which this time is shortened at random; weaker than log.roll.jitter.ms."),
    Row::unset("log.roll.jitter.ms", Kind::Long).high().cluster_wide()
        .doc("The most milliseconds by which this time is shortened at random, so that not all logs roll at once."),
    Row::unset("log.roll.ms", Kind::Long).high().cluster_wide()
        .doc("After how many milliseconds a new segment is begun, even if it is not full."),
    Row::int("log.segment.bytes", "1073741824").at_least(1048576.0).high().cluster_wide()
        .doc("The size at which a new segment is begun."),
    Row::long("log.segment.delete.delay.ms", "60000").at_least(0.0).high().cluster_wide()
        .doc("How long a deleted file stays on disk under another name."),
    Row::int("num.recovery.threads.per.data.dir", "2").at_least(1.0).high().cluster_wide()
        .doc("Threads per log directory for opening and closing logs."),
];
