//! Transactions and producer ids.
//!
//! Must never hold a value that was set; names, types and defaults are those of Kafka 4.3.1 (TransactionLogConfig, TransactionStateManagerConfig, AddPartitionsToTxnConfig).

use super::super::row::Row;

#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    Row::int("add.partitions.to.txn.retry.backoff.max.ms", "100").at_least(0.0).high().accepted()
        .doc(""),
    Row::int("add.partitions.to.txn.retry.backoff.ms", "20").at_least(1.0).high().accepted()
        .doc(""),
    Row::int("producer.id.expiration.check.interval.ms", "600000").at_least(1.0).low().hidden()
        .doc(""),
    Row::int("producer.id.expiration.ms", "86400000").at_least(1.0).low().cluster_wide()
        .doc(""),
    Row::int("transaction.abort.timed.out.transaction.cleanup.interval.ms", "10000").at_least(1.0).low().accepted()
        .doc(""),
    Row::int("transaction.max.timeout.ms", "900000").at_least(1.0).high().accepted()
        .doc(""),
    Row::boolean("transaction.partition.verification.enable", "true").low().cluster_wide().accepted().kip(890)
        .doc(""),
    Row::int("transaction.remove.expired.transaction.cleanup.interval.ms", "3600000").at_least(1.0).low().accepted()
        .doc(""),
    Row::int("transaction.state.log.load.buffer.size", "5242880").at_least(1.0).high().accepted()
        .doc(""),
    Row::int("transaction.state.log.min.isr", "2").own_when_single("1").at_least(1.0).high().accepted()
        .doc(""),
    Row::int("transaction.state.log.num.partitions", "50").at_least(1.0).high().accepted()
        .doc(""),
    Row::short("transaction.state.log.replication.factor", "3").own_when_single("1").at_least(1.0).high().accepted()
        .doc(""),
    Row::int("transaction.state.log.segment.bytes", "104857600").at_least(1.0).high().accepted()
        .doc(""),
    Row::boolean("transaction.two.phase.commit.enable", "false").low().accepted().kip(939)
        .doc(""),
    Row::int("transactional.id.expiration.ms", "604800000").at_least(1.0).high().accepted()
        .doc(""),
];
