//! Transactions in a compacted log: what was aborted goes, what was committed is compacted, and readers of committed
//! records never see the difference.

use std::collections::BTreeMap;

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    EndTxnRequest, FindCoordinatorRequest, InitProducerIdRequest, ProduceRequest, ProducerId, TopicName,
    TransactionalId,
};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::Record;
use milena_compat_tests::wire::{Wire, batch, record};
use milena_compat_tests::{Server, Target, wait};

use super::{assert_sound, await_cleaned, setup};

/// Versions of clients since KIP-890: the first record adds its partition, the end of a transaction bumps the epoch.
const PRODUCE: i16 = 12;
const END: i16 = 5;
pub(super) const KEYS: usize = 50;

fn text(value: &str) -> StrBytes {
    StrBytes::from_string(value.to_owned())
}

fn busy(code: i16) -> bool {
    let passing = [
        ResponseError::ConcurrentTransactions,
        ResponseError::CoordinatorLoadInProgress,
        ResponseError::NotCoordinator,
    ];
    ResponseError::try_from_code(code).is_some_and(|error| passing.contains(&error))
}

/// A transactional producer that sends all keys in one batch.
pub(super) struct Producer {
    wire: Wire,
    id: i64,
    epoch: i16,
    /// Of the next record in each topic.
    sequences: BTreeMap<String, i32>,
}

impl Producer {
    pub(super) fn new(server: &Server) -> Self {
        let mut wire = server.wire();
        let find = FindCoordinatorRequest::default().with_key_type(1).with_coordinator_keys(vec![text("t")]);
        wait::until(wait::PATIENCE, "a transaction coordinator", || {
            (wire.call(4, &find).coordinators[0].error_code == 0).then_some(())
        });
        let init = InitProducerIdRequest::default()
            .with_transactional_id(Some(TransactionalId(text("t"))))
            .with_transaction_timeout_ms(60_000)
            .with_producer_id(ProducerId(-1))
            .with_producer_epoch(-1);
        let answer = wait::until(wait::PATIENCE, "a producer id", || {
            Some(wire.call(4, &init)).filter(|answer| !busy(answer.error_code))
        });
        assert_eq!(answer.error_code, 0);
        Self { wire, id: answer.producer_id.0, epoch: answer.producer_epoch, sequences: BTreeMap::new() }
    }

    pub(super) fn send(&mut self, topic: &str, word: &str) {
        let first = self.sequences.get(topic).copied().unwrap_or(0);
        let value = Bytes::from(format!("{word} {}", "x".repeat(4000)));
        let record = |key: usize| Record {
            transactional: true,
            producer_id: self.id,
            producer_epoch: self.epoch,
            sequence: first + i32::try_from(key).expect("a small number"),
            key: Some(Bytes::from(format!("key {key}"))),
            value: Some(value.clone()),
            ..record("")
        };
        let records = batch((0..KEYS).map(record));
        let data = PartitionProduceData::default().with_index(0).with_records(Some(records));
        let data =
            TopicProduceData::default().with_name(TopicName(text(topic))).with_partition_data(vec![data]);
        let request = ProduceRequest::default()
            .with_transactional_id(Some(TransactionalId(text("t"))))
            .with_acks(-1)
            .with_timeout_ms(30_000)
            .with_topic_data(vec![data]);
        let code = wait::until(wait::PATIENCE, "room for a transaction", || {
            let answer = self.wire.call(PRODUCE, &request);
            Some(answer.responses[0].partition_responses[0].error_code).filter(|code| !busy(*code))
        });
        assert_eq!(code, 0);
        let next = first + i32::try_from(KEYS).expect("a small number");
        self.sequences.insert(topic.to_owned(), next);
    }

    pub(super) fn end(&mut self, commit: bool) {
        let request = EndTxnRequest::default()
            .with_transactional_id(TransactionalId(text("t")))
            .with_producer_id(ProducerId(self.id))
            .with_producer_epoch(self.epoch)
            .with_committed(commit);
        let answer = wait::until(wait::PATIENCE, "an end", || {
            Some(self.wire.call(END, &request)).filter(|answer| !busy(answer.error_code))
        });
        assert_eq!(answer.error_code, 0);
        if answer.producer_epoch != self.epoch {
            self.epoch = answer.producer_epoch;
            self.sequences.clear();
        }
    }
}

/// The first word of every value, in order.
fn words(server: &Server, topic: &str, isolation: &str) -> Vec<String> {
    let tool = server.tool("kafka-console-consumer").args([
        "--topic",
        topic,
        "--partition",
        "0",
        "--offset",
        "earliest",
    ]);
    let said = tool.line("--timeout-ms 6000 --isolation-level").arg(isolation).run().text();
    said.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

#[test]
fn readers_of_committed_records_see_no_difference() {
    let mut server = setup(Target::chosen()).start();
    let create = server.tool("kafka-topics").line("--create --topic transactions --partitions 1");
    create.line("--config cleanup.policy=compact --config delete.retention.ms=1").ok();
    let mut producer = Producer::new(&server);
    // Each round is 200 KB and five of them a segment; the last one that is committed is number 28.
    let mut offset = 0;
    for round in 0..30 {
        let commit = round % 2 == 0;
        producer.send("transactions", &format!("{}{round}", if commit { "committed" } else { "aborted" }));
        producer.end(commit);
        offset += KEYS as u64 + 1;
    }
    // All but the last segment.
    await_cleaned(&server, "transactions", offset - 6 * (KEYS as u64 + 1));
    let committed = words(&server, "transactions", "read_committed");
    assert!(committed.iter().all(|word| word.starts_with("committed")), "{committed:?}");
    assert_eq!(&committed[committed.len() - KEYS..], vec!["committed28"; KEYS]);
    assert!(committed.len() <= 5 * KEYS, "{} records of {}", committed.len(), 15 * KEYS);
    let all = words(&server, "transactions", "read_uncommitted");
    let aborted = all.iter().filter(|word| word.starts_with("aborted")).count();
    assert!(aborted <= 4 * KEYS, "{aborted} aborted records of {} are left", 15 * KEYS);
    // The producer goes on, and the log is what it was after a crash.
    producer.send("transactions", "committed30");
    producer.end(true);
    let before = words(&server, "transactions", "read_committed");
    server.kill();
    server.start();
    let after = words(&server, "transactions", "read_committed");
    assert_eq!(after[after.len() - KEYS..], before[before.len() - KEYS..]);
    assert!(after.iter().all(|word| word.starts_with("committed")), "{after:?}");
    server.stop();
    assert_sound(&server, "transactions", KEYS..15 * KEYS);
}
