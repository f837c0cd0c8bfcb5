//! The roles of a node and the quorum that keeps the metadata.
//!
//! Must never hold a value that was set; names, types and defaults are those of Kafka 4.3.1 (KRaftConfigs, QuorumConfig, MetadataLogConfig).

use super::super::row::{Check, Kind, Row};

#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    Row::int("broker.heartbeat.interval.ms", "2000")
        .doc("How often a broker tells the leader of the quorum that it lives."),
    Row::int("broker.id", "-1").own("1").high()
        .doc("An older name of node.id; both must be equal if both are set."),
    Row::int("broker.session.timeout.ms", "9000")
        .doc("How long a broker that reports nothing counts as alive."),
    Row::unset("cluster.id", Kind::String).hidden()
        .doc("The id of the cluster while its data directory is new, where Kafka wants kafka-storage to be run first; a random one is made if this is unset."),
    Row::unset("controller.listener.names", Kind::List).distinct(false).high().kip(500)
        .doc("Names of the listeners that controllers use: links between nodes and requests of tools arrive there."),
    Row::long("controller.performance.always.log.threshold.ms", "2000").at_least(0.0).hidden().accepted()
        .doc("A controller event slower than this is always logged."),
    Row::long("controller.performance.sample.period.ms", "60000").at_least(100.0).hidden().accepted()
        .doc("How often the controller reports its slow events."),
    Row::int("controller.quorum.append.linger.ms", "25").at_least(0.0).accepted()
        .doc("How long the quorum's leader gathers changes before it writes them."),
    Row::boolean("controller.quorum.auto.join.enable", "false").low().kip(853)
        .doc("Whether a controller adds itself to the quorum's voters."),
    Row::list("controller.quorum.bootstrap.servers", "").check(Check::NonEmptyList).high().kip(853)
        .doc("Where to find the quorum at first. Without controller.quorum.voters, the controller that is named first founds the cluster, and the others are let in."),
    Row::int("controller.quorum.election.backoff.max.ms", "1000").at_least(0.0).high().accepted()
        .doc("The longest random pause before a new election."),
    Row::int("controller.quorum.election.timeout.ms", "1000").at_least(0.0).high().accepted()
        .doc("How long a candidate waits for votes."),
    Row::int("controller.quorum.fetch.max.bytes", "1048576").at_least(1.0).low().accepted()
        .doc("The most bytes in one fetch between voters."),
    Row::int("controller.quorum.fetch.snapshot.max.bytes", "1048576").at_least(1.0).low().accepted()
        .doc("The most bytes in one piece of a snapshot between voters."),
    Row::int("controller.quorum.fetch.timeout.ms", "2000").at_least(0.0).high().accepted()
        .doc("How long a follower waits for its leader before it calls an election."),
    Row::int("controller.quorum.request.timeout.ms", "2000").at_least(0.0).accepted()
        .doc("How long a voter waits for an answer."),
    Row::int("controller.quorum.retry.backoff.ms", "20").at_least(0.0).low().accepted()
        .doc("The pause before a voter repeats a failed request."),
    Row::list("controller.quorum.voters", "").check(Check::NonEmptyList).high().kip(500)
        .doc("The first voters of the quorum as id@host:port, the same on every node. What the quorum decides later counts more."),
    Row::int("controller.socket.timeout.ms", "30000").accepted()
        .doc("Socket timeout between broker and controller."),
    Row::int("initial.broker.registration.timeout.ms", "60000")
        .doc("How long a starting broker waits to be registered."),
    Row::long("internal.metadata.delete.delay.millis", "60000").low().hidden().accepted()
        .doc("How long replaced files of the metadata log are kept."),
    Row::unset("internal.metadata.log.segment.bytes", Kind::Int).low().hidden().accepted()
        .doc("The segment size of the metadata log in tests."),
    Row::int("internal.metadata.max.batch.size.in.bytes", "8388608").low().hidden().accepted()
        .doc("The largest batch in the metadata log."),
    Row::unset("metadata.log.dir", Kind::String).high()
        .doc("Where the metadata is kept; unset, in the first log directory."),
    Row::long("metadata.log.max.record.bytes.between.snapshots", "20971520").at_least(1.0).high().accepted()
        .doc("After how many bytes of metadata a snapshot is made."),
    Row::long("metadata.log.max.snapshot.interval.ms", "3600000").at_least(0.0).high().accepted()
        .doc("After what time a snapshot is made; 0 counts bytes only."),
    Row::int("metadata.log.segment.bytes", "1073741824").at_least(8388608.0).high().accepted()
        .doc("The segment size of the metadata log."),
    Row::long("metadata.log.segment.ms", "604800000").high().accepted()
        .doc("The segment age of the metadata log."),
    Row::int("metadata.max.idle.interval.ms", "500").at_least(0.0).low().accepted().kip(835)
        .doc("How often an idle controller writes an empty record to the metadata log."),
    Row::long("metadata.max.retention.bytes", "104857600").high().accepted()
        .doc("Bytes of metadata log and snapshots that are kept."),
    Row::long("metadata.max.retention.ms", "604800000").high().accepted()
        .doc("How long metadata log and snapshots are kept."),
    Row::unset("milena.cluster.secret", Kind::Password).hidden()
        .doc("What the nodes of a cluster share and prove to each other that they know, before they are linked. Without it only nodes of one machine link."),
    Row::unset("node.id", Kind::Int).own("1").at_least(0.0).high().kip(500)
        .doc("The number of this node, unique in its cluster."),
    Row::unset("process.roles", Kind::List).own("broker,controller").check(Check::Items { values: &["broker", "controller"], may_be_empty: false }).high().kip(500)
        .doc("What this node does: it serves clients (broker), it votes and may lead the quorum (controller), or both."),
];
