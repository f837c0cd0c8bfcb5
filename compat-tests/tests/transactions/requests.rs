//! Transactions by single requests: what no client library lets one do.

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::{
    AddPartitionsToTxnRequest, EndTxnRequest, EndTxnResponse, FindCoordinatorRequest, GroupId,
    InitProducerIdRequest, InitProducerIdResponse, OffsetFetchRequest, ProduceRequest, ProducerId, TopicName,
    TransactionalId, TxnOffsetCommitRequest,
};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::Record;
use milena_compat_tests::wire::{batch, now_ms, record};
use milena_compat_tests::{Server, wait};

use super::committed;

/// Clients before KIP-890 send this version of Produce at most; those after it the next.
const PRODUCE_BEFORE: i16 = 11;
const PRODUCE_ADDS: i16 = 12;
const END_BEFORE: i16 = 4;
const END_BUMPS: i16 = 5;

fn text(value: &str) -> StrBytes {
    StrBytes::from_string(value.to_owned())
}

pub(crate) fn error(code: i16) -> Option<ResponseError> {
    ResponseError::try_from_code(code)
}

/// A transaction with one record in partition 0 of its topic.
pub(crate) struct Open {
    id: String,
    pub(crate) producer_id: i64,
    pub(crate) epoch: i16,
    pub(crate) first_offset: i64,
}

/// Begins a transaction as a client of KIP-890 does, and leaves it open.
pub(crate) fn open_transaction(server: &Server, id: &str, topic: &str) -> Open {
    server.tool("kafka-topics").args(["--create", "--topic", topic, "--partitions", "1"]).ok();
    let (producer_id, epoch) = init(server, id);
    let first_offset = once_led(|| produce(server, PRODUCE_ADDS, id, (producer_id, epoch, 0), topic, "open"));
    Open { id: id.to_owned(), producer_id, epoch, first_offset }
}

/// Writes a record of a transaction that the coordinator does not know, an hour old: nobody will ever end it. Only a broker
/// that does not verify takes it.
pub(crate) fn hanging_transaction(server: &Server, id: &str, topic: &str) -> Open {
    create(server, topic);
    let (producer_id, epoch) = init(server, id);
    let old = Record {
        transactional: true,
        producer_id,
        producer_epoch: epoch,
        sequence: 0,
        timestamp: now_ms() - 3_600_000,
        ..record("hanging")
    };
    let batch = batch([old]);
    let first_offset = once_led(|| send(server, 9, id, batch.clone(), topic));
    Open { id: id.to_owned(), producer_id, epoch, first_offset }
}

/// The offset of what is written as soon as the new topic has its leader.
fn once_led(write: impl Fn() -> (i16, i64)) -> i64 {
    wait::until(wait::PATIENCE, "a leader that takes a batch", || {
        let (code, offset) = write();
        let absent = matches!(
            error(code),
            Some(ResponseError::NotLeaderOrFollower | ResponseError::UnknownTopicOrPartition)
        );
        assert!(absent || code == 0, "{:?}", error(code));
        (!absent).then_some(offset)
    })
}

impl Open {
    /// Ends it; the coordinator may still be busy with what came before.
    pub(crate) fn end(&self, server: &Server, commit: bool) -> EndTxnResponse {
        end(server, END_BUMPS, &self.id, (self.producer_id, self.epoch), commit)
    }
}

fn try_init(server: &Server, id: &str, timeout_ms: i32) -> InitProducerIdResponse {
    let mut wire = server.wire();
    let find = FindCoordinatorRequest::default().with_key_type(1).with_coordinator_keys(vec![text(id)]);
    wait::until(wait::PATIENCE, "a transaction coordinator", || {
        let found = wire.call(4, &find);
        (found.coordinators[0].error_code == 0).then_some(())
    });
    let request = InitProducerIdRequest::default()
        .with_transactional_id(Some(TransactionalId(text(id))))
        .with_transaction_timeout_ms(timeout_ms)
        .with_producer_id(ProducerId(-1))
        .with_producer_epoch(-1);
    wait::until(wait::PATIENCE, "an epoch", || {
        let answer = wire.call(4, &request);
        let busy = [
            ResponseError::ConcurrentTransactions,
            ResponseError::CoordinatorLoadInProgress,
            ResponseError::NotCoordinator,
        ];
        (!error(answer.error_code).is_some_and(|code| busy.contains(&code))).then_some(answer)
    })
}

pub(crate) fn init(server: &Server, id: &str) -> (i64, i16) {
    let answer = try_init(server, id, 60_000);
    assert_eq!(error(answer.error_code), None);
    (answer.producer_id.0, answer.producer_epoch)
}

fn transactional_batch((producer_id, epoch, sequence): (i64, i16, i32), value: &'static str) -> Bytes {
    batch([Record { transactional: true, producer_id, producer_epoch: epoch, sequence, ..record(value) }])
}

/// The code for the one partition, and the offset.
fn produce(
    server: &Server,
    version: i16,
    id: &str,
    producer: (i64, i16, i32),
    topic: &str,
    value: &'static str,
) -> (i16, i64) {
    send(server, version, id, transactional_batch(producer, value), topic)
}

fn send(server: &Server, version: i16, id: &str, records: Bytes, topic: &str) -> (i16, i64) {
    let data = PartitionProduceData::default().with_index(0).with_records(Some(records));
    let topic = TopicProduceData::default().with_name(TopicName(text(topic))).with_partition_data(vec![data]);
    let request = ProduceRequest::default()
        .with_transactional_id(Some(TransactionalId(text(id))))
        .with_acks(-1)
        .with_timeout_ms(30_000)
        .with_topic_data(vec![topic]);
    let answer = server.wire().call(version, &request);
    let partition = &answer.responses[0].partition_responses[0];
    (partition.error_code, partition.base_offset)
}

fn add(server: &Server, id: &str, (producer_id, epoch): (i64, i16), topic: &str) -> i16 {
    let topic = AddPartitionsToTxnTopic::default().with_name(TopicName(text(topic))).with_partitions(vec![0]);
    let request = AddPartitionsToTxnRequest::default()
        .with_v3_and_below_transactional_id(TransactionalId(text(id)))
        .with_v3_and_below_producer_id(ProducerId(producer_id))
        .with_v3_and_below_producer_epoch(epoch)
        .with_v3_and_below_topics(vec![topic]);
    let answer = server.wire().call(3, &request);
    answer.results_by_topic_v3_and_below[0].results_by_partition[0].partition_error_code
}

fn end(server: &Server, version: i16, id: &str, producer: (i64, i16), commit: bool) -> EndTxnResponse {
    let request = EndTxnRequest::default()
        .with_transactional_id(TransactionalId(text(id)))
        .with_producer_id(ProducerId(producer.0))
        .with_producer_epoch(producer.1)
        .with_committed(commit);
    server.wire().call(version, &request)
}

fn create(server: &Server, topic: &str) {
    server.tool("kafka-topics").args(["--create", "--topic", topic, "--partitions", "1"]).ok();
}

#[test]
fn a_batch_outside_any_transaction_is_refused() {
    let server = Server::shared();
    create(server, "req-outside");
    let (producer_id, epoch) = init(server, "req-outside");
    // The client was to add the partition first.
    let (code, _) =
        produce(server, PRODUCE_BEFORE, "req-outside", (producer_id, epoch, 0), "req-outside", "x");
    assert_eq!(error(code), Some(ResponseError::TransactionAbortable));
    let (code, _) = produce(server, 9, "req-outside", (producer_id, epoch, 0), "req-outside", "x");
    assert_eq!(error(code), Some(ResponseError::InvalidTxnState));
    assert_eq!(error(add(server, "req-outside", (producer_id, epoch), "req-outside")), None);
    let (code, _) = produce(server, 9, "req-outside", (producer_id, epoch, 0), "req-outside", "in");
    assert_eq!(error(code), None);
    let ended = end(server, END_BEFORE, "req-outside", (producer_id, epoch), true);
    assert_eq!((error(ended.error_code), ended.producer_epoch), (None, -1));
    assert_eq!(committed(server, "req-outside", 1), ["in"]);
    // It is over: the next batch would begin a transaction that nobody ends.
    wait::until(wait::PATIENCE, "the markers", || {
        let again = produce(server, 9, "req-outside", (producer_id, epoch, 1), "req-outside", "late");
        (error(again.0) == Some(ResponseError::InvalidTxnState)).then_some(())
    });
}

#[test]
fn a_zombie_is_fenced_by_whoever_takes_its_id_over() {
    let server = Server::shared();
    let zombie = open_transaction(server, "req-zombie", "req-zombie");
    let (producer_id, epoch) = init(server, "req-zombie");
    assert_eq!(producer_id, zombie.producer_id);
    assert_eq!(epoch, zombie.epoch + 2, "one epoch for the fence, one for the heir");
    let old = (zombie.producer_id, zombie.epoch, 1);
    let (code, _) = produce(server, PRODUCE_ADDS, "req-zombie", old, "req-zombie", "zombie");
    assert_eq!(error(code), Some(ResponseError::InvalidProducerEpoch));
    let ended = zombie.end(server, true);
    assert_eq!(error(ended.error_code), Some(ResponseError::ProducerFenced));
    let heir = (producer_id, epoch, 0);
    let (code, _) = produce(server, PRODUCE_ADDS, "req-zombie", heir, "req-zombie", "heir");
    assert_eq!(error(code), None);
    let ended = end(server, END_BUMPS, "req-zombie", (producer_id, epoch), true);
    assert_eq!((error(ended.error_code), ended.producer_epoch), (None, epoch + 1));
    assert_eq!(committed(server, "req-zombie", 1), ["heir"]);
}

#[test]
fn a_time_out_that_is_too_long_is_refused() {
    let server = Server::shared();
    for timeout in [0, -1, 900_001] {
        let answer = try_init(server, "req-timeout", timeout);
        assert_eq!(error(answer.error_code), Some(ResponseError::InvalidTransactionTimeout), "{timeout}");
    }
}

#[test]
fn offsets_of_an_open_transaction_are_not_stable() {
    let server = Server::shared();
    create(server, "req-offsets");
    let group = "req-offsets";
    let find = FindCoordinatorRequest::default().with_coordinator_keys(vec![text(group)]);
    wait::until(wait::PATIENCE, "a group coordinator", || {
        (server.wire().call(4, &find).coordinators[0].error_code == 0).then_some(())
    });
    let (producer_id, epoch) = init(server, group);
    let partition = TxnOffsetCommitRequestPartition::default()
        .with_partition_index(0)
        .with_committed_offset(7)
        .with_committed_metadata(Some(text("m")));
    let topic = TxnOffsetCommitRequestTopic::default()
        .with_name(TopicName(text("req-offsets")))
        .with_partitions(vec![partition]);
    let commit = TxnOffsetCommitRequest::default()
        .with_transactional_id(TransactionalId(text(group)))
        .with_group_id(GroupId(text(group)))
        .with_producer_id(ProducerId(producer_id))
        .with_producer_epoch(epoch)
        .with_generation_id(-1)
        .with_topics(vec![topic]);
    // Before KIP-890 the partition has to be added first.
    let early = server.wire().call(3, &commit).topics[0].partitions[0].error_code;
    assert_eq!(error(early), Some(ResponseError::InvalidTxnState));
    let answer = server.wire().call(5, &commit);
    assert_eq!(error(answer.topics[0].partitions[0].error_code), None);

    let fetch = |stable: bool| {
        let topics = OffsetFetchRequestTopics::default()
            .with_name(TopicName(text(group)))
            .with_partition_indexes(vec![0]);
        let asked = OffsetFetchRequestGroup::default()
            .with_group_id(GroupId(text(group)))
            .with_member_epoch(-1)
            .with_topics(Some(vec![topics]));
        let request = OffsetFetchRequest::default().with_groups(vec![asked]).with_require_stable(stable);
        let answer = server.wire().call(8, &request);
        let partition = &answer.groups[0].topics[0].partitions[0];
        (error(partition.error_code), partition.committed_offset)
    };
    assert_eq!(fetch(false), (None, -1));
    assert_eq!(fetch(true), (Some(ResponseError::UnstableOffsetCommit), -1));
    let ended = end(server, END_BUMPS, group, (producer_id, epoch), true);
    assert_eq!(error(ended.error_code), None);
    wait::until(wait::PATIENCE, "the marker", || (fetch(true) == (None, 7)).then_some(()));
}
