//! Replication and leadership.
//!
//! Must never hold a value that was set; names, types and defaults are those of Kafka 4.3.1 (ReplicationConfigs).

use super::super::row::{Kind, Row};

/// The classes of Kafka that `replica.selector.class` may name: others would have to be loaded.
pub(in crate::settings) const RACK_AWARE: &str = "org.apache.kafka.common.replica.RackAwareReplicaSelector";
pub(in crate::settings) const LEADER: &str = "org.apache.kafka.common.replica.LeaderSelector";

#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    Row::boolean("auto.leader.rebalance.enable", "true").high()
        .doc("Whether leadership goes back to preferred replicas by itself."),
    Row::int("default.replication.factor", "1")
        .doc("Replicas of a topic that is created without a number, automatically or by request."),
    Row::unset("inter.broker.listener.name", Kind::String).kip(103)
        .doc("The listener that brokers use among themselves. Unset, it is the one named after security.inter.broker.protocol, or the first."),
    Row::long("leader.imbalance.check.interval.seconds", "300").at_least(1.0).high()
        .doc("How often the controller looks whether leadership is where it is preferred."),
    Row::int("min.insync.replicas", "1").at_least(1.0).high().cluster_wide()
        .doc("How many replicas must be in sync for a write with acks=all."),
    Row::unset("num.replica.alter.log.dirs.threads", Kind::Int).high()
        .doc("Threads for moves between log directories; unset, one per directory."),
    Row::int("num.replica.fetchers", "1").at_least(1.0).high().cluster_wide()
        .doc("Threads that fetch from each other broker."),
    Row::int("replica.fetch.backoff.ms", "1000").at_least(0.0)
        .doc("How long a follower pauses after a failed fetch."),
    Row::int("replica.fetch.max.bytes", "1048576").at_least(0.0)
        .doc("Bytes that a follower asks for from each partition."),
    Row::int("replica.fetch.min.bytes", "1").high()
        .doc("Bytes that a follower waits for."),
    Row::int("replica.fetch.response.max.bytes", "10485760").at_least(0.0)
        .doc("Bytes that a follower asks for in one answer."),
    Row::int("replica.fetch.wait.max.ms", "500").high()
        .doc("How long a follower's fetch waits for these bytes."),
    Row::long("replica.high.watermark.checkpoint.interval.ms", "5000").high()
        .doc("How often the high watermarks are written down."),
    Row::long("replica.lag.time.max.ms", "30000").high()
        .doc("A follower that has not caught up for this long is no longer in sync."),
    Row::unset("replica.selector.class", Kind::String).kip(392)
        .doc("Which replica consumers read from: the leader, or by the rack-aware class one in their rack (client.rack)."),
    Row::int("replica.socket.receive.buffer.bytes", "65536").high().accepted()
        .doc("The receive buffer of connections to other brokers."),
    Row::int("replica.socket.timeout.ms", "30000").high()
        .doc("Socket timeout between brokers."),
    Row::boolean("unclean.leader.election.enable", "false").high().cluster_wide()
        .doc("Whether a replica that is not in sync may become leader, and records be lost, when no other is left."),
    Row::long("unclean.leader.election.interval.ms", "300000").at_least(1.0).hidden()
        .doc("How often the controller looks for partitions to elect such a leader for."),
];
