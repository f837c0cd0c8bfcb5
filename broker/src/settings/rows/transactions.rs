//! Transactions and producer ids.
//!
//! Must never hold a value that was set; names, types and defaults are those of Kafka 4.3.1 (TransactionLogConfig, TransactionStateManagerConfig, AddPartitionsToTxnConfig).

use super::super::row::Row;

#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    Row::int("add.partitions.to.txn.retry.backoff.max.ms", "100").at_least(0.0).high().accepted()
        .doc("The longest that the broker itself retries adding a partition to a transaction before it answers the client."),
    Row::int("add.partitions.to.txn.retry.backoff.ms", "20").at_least(1.0).high().accepted()
        .doc("The pause between such retries on the broker."),
    Row::int("producer.id.expiration.check.interval.ms", "600000").at_least(1.0).low().hidden()
        .doc("How often producers of the past are looked for."),
    Row::int("producer.id.expiration.ms", "86400000").at_least(1.0).low().cluster_wide()
        .doc("How long a partition remembers an idle producer, and so recognizes its duplicates."),
    Row::int("transaction.abort.timed.out.transaction.cleanup.interval.ms", "10000").at_least(1.0).low()
        .doc("How often transactions that took too long are looked for and aborted."),
    Row::int("transaction.max.timeout.ms", "900000").at_least(1.0).high()
        .doc("The longest timeout that a transaction may ask for."),
    Row::boolean("transaction.partition.verification.enable", "true").low().cluster_wide().kip(890)
        .doc("Whether a partition asks the coordinator if a transaction is open before it takes its records."),
    Row::int("transaction.remove.expired.transaction.cleanup.interval.ms", "3600000").at_least(1.0).low()
        .doc("How often transactional ids of the past are looked for."),
    Row::int("transaction.state.log.load.buffer.size", "5242880").at_least(1.0).high()
        .doc("How many bytes are read at a time when a partition of the transaction topic is loaded."),
    Row::int("transaction.state.log.min.isr", "2").own_when_single("1").at_least(1.0).high()
        .doc("How many replicas of the transaction topic must be in sync."),
    Row::int("transaction.state.log.num.partitions", "50").at_least(1.0).high()
        .doc("Partitions of the transaction topic; not to be changed once it exists."),
    Row::short("transaction.state.log.replication.factor", "3").own_when_single("1").at_least(1.0).high()
        .doc("Replicas of the transaction topic; its creation waits for as many brokers."),
    Row::int("transaction.state.log.segment.bytes", "104857600").at_least(1.0).high()
        .doc("The segment size of the transaction topic."),
    Row::boolean("transaction.two.phase.commit.enable", "false").low().kip(939)
        .doc("Whether clients may take part in two-phase commits."),
    Row::int("transactional.id.expiration.ms", "604800000").at_least(1.0).high()
        .doc("How long an unused transactional id is remembered."),
];
