//! The requests that are measured, as frames, and what has to be there before they can be answered.
//!
//! It must never make a request that a stock client would not send.

use bytes::Bytes;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    CreateTopicsRequest, DeleteTopicsRequest, FetchRequest, FindCoordinatorRequest, GroupId,
    HeartbeatRequest, JoinGroupRequest, OffsetCommitRequest, ProduceRequest, SyncGroupRequest, TopicName,
};
use kafka_protocol::protocol::{Request, StrBytes};
use kafka_protocol::records::Record;
use milena_compat_tests::wire::{Wire, batch, frame, record};
use milena_compat_tests::{Server, wait};
use uuid::Uuid;

/// A batch goes no further than `max.message.bytes`, with what it has beside its records.
pub(crate) const MOST_RECORDS: usize = 1_000;
/// Long enough that a group stays while nothing but heartbeats is sent.
const SESSION_MS: i32 = 300_000;
/// A version that names topics, of the clients of the last years.
const PRODUCE: i16 = 9;
const FETCH: i16 = 12;
const COMMIT: i16 = 8;
/// Before the error code of a flexible answer: size, correlation, no tags.
const HEADER: usize = 9;

/// A frame, and where the error code of its answer is.
pub(crate) struct Asked {
    pub(crate) frame: Vec<u8>,
    pub(crate) error_at: usize,
}

fn asked<R: Request>(version: i16, request: &R, error_at: usize) -> Asked {
    let body = frame(1, version, request);
    let size = u32::try_from(body.len()).expect("a small request");
    Asked { frame: [&size.to_be_bytes()[..], &body].concat(), error_at }
}

/// One batch of so many records of so many bytes, to the only partition of a topic.
pub(crate) fn produce(topic: &str, records: usize, bytes: usize) -> Asked {
    asked(PRODUCE, &produce_request(topic, records, bytes), HEADER + 1 + 1 + topic.len() + 1 + 4)
}

fn produce_request(topic: &str, records: usize, bytes: usize) -> ProduceRequest {
    let value = Bytes::from(vec![b'm'; bytes]);
    let records = (0..records).map(|_| Record { value: Some(value.clone()), ..record("") });
    let data = PartitionProduceData::default().with_records(Some(batch(records)));
    let topic = TopicProduceData::default().with_name(name(topic)).with_partition_data(vec![data]);
    ProduceRequest::default().with_acks(1).with_timeout_ms(30_000).with_topic_data(vec![topic])
}

/// The first records of a topic, about so many bytes; without a session, so that each request is the same.
pub(crate) fn fetch(topic: &str, bytes: i32) -> Asked {
    let partition = FetchPartition::default().with_partition_max_bytes(bytes);
    let asks = FetchTopic::default().with_topic(name(topic)).with_partitions(vec![partition]);
    let request = FetchRequest::default()
        .with_session_epoch(-1)
        .with_max_wait_ms(500)
        .with_min_bytes(1)
        .with_max_bytes(64 << 20)
        .with_topics(vec![asks]);
    asked(FETCH, &request, HEADER + 4 + 2 + 4 + 1 + 1 + topic.len() + 1 + 4)
}

/// A topic of one partition.
pub(crate) fn create(server: &Server, topic: &str) {
    let topic =
        CreatableTopic::default().with_name(name(topic)).with_num_partitions(1).with_replication_factor(1);
    let request = CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(30_000);
    assert_eq!(server.wire().call(5, &request).topics[0].error_code, 0);
}

/// What was produced is not needed any more.
pub(crate) fn delete(server: &Server, topic: &str) {
    let request = DeleteTopicsRequest::default().with_topic_names(vec![name(topic)]).with_timeout_ms(30_000);
    assert_eq!(server.wire().call(5, &request).responses[0].error_code, 0);
}

/// Fills a topic, as soon as it is there.
pub(crate) fn fill(server: &Server, topic: &str, batches: usize, records: usize, bytes: usize) {
    let mut wire = server.wire();
    let request = produce_request(topic, records, bytes);
    let mut code = || wire.call(PRODUCE, &request).responses[0].partition_responses[0].error_code;
    wait::until(wait::PATIENCE, "a new topic", || (code() == 0).then_some(()));
    for _ in 1..batches {
        assert_eq!(code(), 0);
    }
}

/// The heartbeat of a classic group's only member, which joins first.
pub(crate) fn heartbeat(server: &Server) -> Asked {
    let mut wire = server.wire();
    let group = coordinated(&mut wire);
    let protocol = JoinGroupRequestProtocol::default().with_name(StrBytes::from_static_str("range"));
    let join = JoinGroupRequest::default()
        .with_group_id(group.clone())
        .with_session_timeout_ms(SESSION_MS)
        .with_rebalance_timeout_ms(SESSION_MS)
        .with_protocol_type(StrBytes::from_static_str("consumer"))
        .with_protocols(vec![protocol]);
    let joined = wait::until(wait::PATIENCE, "a member of a group", || {
        let answer = wire.call(3, &join);
        (answer.error_code == 0).then_some(answer)
    });
    let assignment = SyncGroupRequestAssignment::default().with_member_id(joined.member_id.clone());
    let sync = SyncGroupRequest::default()
        .with_group_id(group.clone())
        .with_generation_id(joined.generation_id)
        .with_member_id(joined.member_id.clone())
        .with_assignments(vec![assignment]);
    assert_eq!(wire.call(3, &sync).error_code, 0);
    let request = HeartbeatRequest::default()
        .with_group_id(group)
        .with_generation_id(joined.generation_id)
        .with_member_id(joined.member_id);
    asked(4, &request, HEADER + 4)
}

/// A new group that has a coordinator.
fn coordinated(wire: &mut Wire) -> GroupId {
    let group = StrBytes::from_string(format!("bench-{}", Uuid::new_v4()));
    let find = FindCoordinatorRequest::default().with_coordinator_keys(vec![group.clone()]);
    let found = |wire: &mut Wire| wire.call(4, &find).coordinators[0].error_code == 0;
    wait::until(wait::PATIENCE, "a coordinator", || found(wire).then_some(()));
    GroupId(group)
}

/// One partition's offset of a group without members, once the group's coordinator takes it.
pub(crate) fn commit(server: &Server, topic: &str) -> Asked {
    let mut wire = server.wire();
    let request = commit_request(topic, &coordinated(&mut wire));
    let mut code = || wire.call(COMMIT, &request).topics[0].partitions[0].error_code;
    wait::until(wait::PATIENCE, "a commit", || (code() == 0).then_some(()));
    asked(COMMIT, &request, HEADER + 4 + 1 + 1 + topic.len() + 1 + 4)
}

/// A request that is as long, for a loop that looks at nothing.
pub(crate) fn any() -> Asked {
    asked(COMMIT, &commit_request("bench-limits", &GroupId::default()), HEADER)
}

fn commit_request(topic: &str, group: &GroupId) -> OffsetCommitRequest {
    let partition = OffsetCommitRequestPartition::default().with_committed_offset(7);
    let topics = OffsetCommitRequestTopic::default().with_name(name(topic)).with_partitions(vec![partition]);
    OffsetCommitRequest::default().with_group_id(group.clone()).with_topics(vec![topics])
}

fn name(topic: &str) -> TopicName {
    TopicName(StrBytes::from_string(topic.to_owned()))
}
