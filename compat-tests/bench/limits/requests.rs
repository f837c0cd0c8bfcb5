//! The requests that are measured, as frames, and what has to be there before they can be answered.
//!
//! It must never make a request that a stock client would not send.

use std::io;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    ApiVersionsRequest, CreateTopicsRequest, DeleteTopicsRequest, FetchRequest, FindCoordinatorRequest,
    GroupId, HeartbeatRequest, JoinGroupRequest, MetadataRequest, OffsetCommitRequest, ProduceRequest,
    SyncGroupRequest, TopicName,
};
use kafka_protocol::protocol::{Request, StrBytes};
use kafka_protocol::records::Record;
use milena_compat_tests::wait;
use milena_compat_tests::wire::{Wire, batch, frame, record};
use uuid::Uuid;

/// A batch goes no further than `max.message.bytes`, with what it has beside its records.
pub(crate) const MOST_RECORDS: usize = 1_000;
/// A topic's files, and how much a topic keeps. With all that is produced kept, what is measured is a machine that finds memory for its page
/// cache, the more so the later in the run: a file that goes leaves its pages to the next one.
pub(crate) const SEGMENT: u32 = 64 << 20;
pub(crate) const KEPT: u64 = 256 << 20;
/// Between two looks of a broker for what is too much.
pub(crate) const RETENTION_LOOK_MS: &str = "100";
/// What is made first is there within this time.
const PATIENCE: Duration = Duration::from_secs(60);
/// Long enough that a group stays while nothing but heartbeats is sent.
const SESSION_MS: i32 = 300_000;
/// A version that names topics, of the clients of the last years.
const PRODUCE: i16 = 9;
pub(crate) const FETCH: i16 = 12;
const COMMIT: i16 = 8;
const METADATA: i16 = 9;
const TOPICS: i16 = 5;
/// Before the error code of a flexible answer: size, correlation, no tags.
const HEADER: usize = 9;

/// Frames of one length, and where the error codes of their answers are.
pub(crate) struct Asked {
    pub(crate) frames: Vec<Vec<u8>>,
    pub(crate) error_at: Option<usize>,
}

fn asked<R: Request>(version: i16, request: &R, error_at: usize) -> Asked {
    Asked { frames: vec![sized(version, request)], error_at: Some(error_at) }
}

/// A request with its size.
fn sized<R: Request>(version: i16, request: &R) -> Vec<u8> {
    let body = frame(1, version, request);
    let size = u32::try_from(body.len()).expect("a small request");
    [&size.to_be_bytes()[..], &body].concat()
}

fn refused(what: &str, code: i16) -> io::Error {
    io::Error::other(format!("{what} was refused with {code}"))
}

/// Asks until there is no error, as a client does while something is made.
fn until_accepted(what: &str, mut ask: impl FnMut() -> io::Result<i16>) -> io::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match ask()? {
            0 => return Ok(()),
            code if Instant::now() > deadline => return Err(refused(what, code)),
            _ => wait::at(Instant::now() + Duration::from_millis(20)),
        }
    }
}

/// So many records of so many bytes in a batch.
pub(crate) fn records(count: usize, bytes: usize) -> Bytes {
    let value = Bytes::from(vec![b'm'; bytes]);
    batch((0..count).map(|_| Record { value: Some(value.clone()), ..record("") }))
}

/// One batch to each of the first partitions of a topic.
pub(crate) fn produce(topic: &str, partitions: i32, batch: &Bytes) -> Asked {
    let frame = |index| sized(PRODUCE, &produce_request(topic, index, batch.clone()));
    let error_at = Some(HEADER + 1 + 1 + topic.len() + 1 + 4);
    Asked { frames: (0..partitions).map(frame).collect(), error_at }
}

fn produce_request(topic: &str, partition: i32, batch: Bytes) -> ProduceRequest {
    let data = PartitionProduceData::default().with_index(partition).with_records(Some(batch));
    let topic = TopicProduceData::default().with_name(name(topic)).with_partition_data(vec![data]);
    ProduceRequest::default().with_acks(1).with_timeout_ms(30_000).with_topic_data(vec![topic])
}

/// About so many bytes of a topic from an offset on; without a session, so that each request is the same.
pub(crate) fn fetch_request(topic: &str, offset: i64, bytes: i32) -> FetchRequest {
    let partition = FetchPartition::default().with_fetch_offset(offset).with_partition_max_bytes(bytes);
    let asks = FetchTopic::default().with_topic(name(topic)).with_partitions(vec![partition]);
    FetchRequest::default()
        .with_session_epoch(-1)
        .with_max_wait_ms(500)
        .with_min_bytes(1)
        .with_max_bytes(64 << 20)
        .with_topics(vec![asks])
}

/// The first records of a topic.
pub(crate) fn fetch(topic: &str, bytes: i32) -> Asked {
    let error_at = HEADER + 4 + 2 + 4 + 1 + 1 + topic.len() + 1 + 4;
    asked(FETCH, &fetch_request(topic, 0, bytes), error_at)
}

/// A fetch from this offset on, with its size.
pub(crate) fn fetch_from(topic: &str, offset: i64) -> Vec<u8> {
    sized(FETCH, &fetch_request(topic, offset, 1 << 20))
}

/// New topics of so many partitions.
pub(crate) fn create(wire: &mut Wire, topics: &[String], partitions: i32) -> io::Result<()> {
    create_with(wire, topics, partitions, &[])
}

/// A new topic of one partition, which keeps so many bytes of what it is given: see [`KEPT`].
pub(crate) fn create_brief(wire: &mut Wire, topic: &String, kept: u64) -> io::Result<()> {
    let configs = [
        ("segment.bytes", SEGMENT.to_string()),
        ("retention.bytes", kept.to_string()),
        ("file.delete.delay.ms", "0".into()),
    ];
    let configs = configs.map(|(name, value)| {
        let config = CreatableTopicConfig::default().with_name(StrBytes::from_static_str(name));
        config.with_value(Some(value.into()))
    });
    create_with(wire, std::slice::from_ref(topic), 1, &configs)
}

fn create_with(
    wire: &mut Wire,
    topics: &[String],
    partitions: i32,
    configs: &[CreatableTopicConfig],
) -> io::Result<()> {
    let new = |topic: &String| {
        let new = CreatableTopic::default().with_name(name(topic)).with_num_partitions(partitions);
        new.with_replication_factor(1).with_configs(configs.to_vec())
    };
    for some in topics.chunks(100) {
        let request = CreateTopicsRequest::default().with_topics(some.iter().map(new).collect());
        let answer = wire.try_call(TOPICS, &request.with_timeout_ms(60_000))?;
        let code = answer.topics.iter().map(|topic| topic.error_code).find(|code| *code != 0);
        code.map_or(Ok(()), |code| Err(refused("a new topic", code)))?;
    }
    Ok(())
}

/// What was produced is not needed any more.
pub(crate) fn delete(wire: &mut Wire, topics: &[String]) -> io::Result<()> {
    for some in topics.chunks(100) {
        let names = some.iter().map(|topic| name(topic)).collect();
        let request = DeleteTopicsRequest::default().with_topic_names(names).with_timeout_ms(60_000);
        let code = wire.try_call(TOPICS, &request)?.responses.iter().find_map(|one| {
            let refused = one.error_code != 0;
            refused.then_some(one.error_code)
        });
        code.map_or(Ok(()), |code| Err(refused("the end of a topic", code)))?;
    }
    Ok(())
}

/// Fills one partition of a topic with this batch so many times, as soon as it is there.
pub(crate) fn fill(
    wire: &mut Wire,
    topic: &str,
    partition: i32,
    times: usize,
    batch: &Bytes,
) -> io::Result<()> {
    let request = produce_request(topic, partition, batch.clone());
    let mut code = || -> io::Result<i16> {
        let answer = wire.try_call(PRODUCE, &request)?;
        let partition = answer.responses.first().and_then(|topic| topic.partition_responses.first());
        partition.map(|partition| partition.error_code).ok_or_else(|| refused("an answer", -1))
    };
    until_accepted("a record for a new topic", &mut code)?;
    for _ in 1..times {
        let code = code()?;
        if code != 0 {
            return Err(refused("a record", code));
        }
    }
    Ok(())
}

/// The first request of a client.
pub(crate) fn hello(wire: &mut Wire) -> io::Result<()> {
    let request = ApiVersionsRequest::default()
        .with_client_software_name(StrBytes::from_static_str("bench"))
        .with_client_software_version(StrBytes::from_static_str("1"));
    match wire.try_call(3, &request)?.error_code {
        0 => Ok(()),
        code => Err(refused("the first request", code)),
    }
}

/// The heartbeat of a classic group's only member, which joins first.
pub(crate) fn heartbeat(wire: &mut Wire) -> io::Result<Asked> {
    let group = coordinated(wire)?;
    let protocol = JoinGroupRequestProtocol::default().with_name(StrBytes::from_static_str("range"));
    let join = JoinGroupRequest::default()
        .with_group_id(group.clone())
        .with_session_timeout_ms(SESSION_MS)
        .with_rebalance_timeout_ms(SESSION_MS)
        .with_protocol_type(StrBytes::from_static_str("consumer"))
        .with_protocols(vec![protocol]);
    let mut joined = None;
    until_accepted("a member", || {
        let answer = joined.insert(wire.try_call(3, &join)?);
        Ok(answer.error_code)
    })?;
    let joined = joined.unwrap_or_default();
    let assignment = SyncGroupRequestAssignment::default().with_member_id(joined.member_id.clone());
    let sync = SyncGroupRequest::default()
        .with_group_id(group.clone())
        .with_generation_id(joined.generation_id)
        .with_member_id(joined.member_id.clone())
        .with_assignments(vec![assignment]);
    match wire.try_call(3, &sync)?.error_code {
        0 => {}
        code => return Err(refused("a member's share", code)),
    }
    let request = HeartbeatRequest::default()
        .with_group_id(group)
        .with_generation_id(joined.generation_id)
        .with_member_id(joined.member_id);
    Ok(asked(4, &request, HEADER + 4))
}

/// A new group that has a coordinator.
fn coordinated(wire: &mut Wire) -> io::Result<GroupId> {
    let group = StrBytes::from_string(format!("bench-{}", Uuid::new_v4()));
    let find = FindCoordinatorRequest::default().with_coordinator_keys(vec![group.clone()]);
    until_accepted("a group's coordinator", || {
        Ok(wire.try_call(4, &find)?.coordinators.first().map_or(-1, |found| found.error_code))
    })?;
    Ok(GroupId(group))
}

/// One partition's offset of a group without members, once the group's coordinator takes it.
pub(crate) fn commit(wire: &mut Wire, topic: &str) -> io::Result<Asked> {
    let request = commit_request(topic, &coordinated(wire)?);
    until_accepted("a commit", || {
        let answer = wire.try_call(COMMIT, &request)?;
        let partition = answer.topics.first().and_then(|topic| topic.partitions.first());
        Ok(partition.map_or(-1, |partition| partition.error_code))
    })?;
    Ok(asked(COMMIT, &request, HEADER + 4 + 1 + 1 + topic.len() + 1 + 4))
}

/// All topics, once so many are there.
pub(crate) fn metadata(wire: &mut Wire, topics: usize) -> io::Result<Asked> {
    let request = MetadataRequest::default().with_topics(None);
    until_accepted("the topics", || {
        let answer = wire.try_call(METADATA, &request)?;
        let whole = answer.topics.len() >= topics && answer.topics.iter().all(|topic| topic.error_code == 0);
        Ok(if whole { 0 } else { -1 })
    })?;
    Ok(Asked { frames: vec![sized(METADATA, &request)], error_at: None })
}

/// A request that is as long as a heartbeat or a commit, for a loop that looks at nothing.
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

/// A name that no topic had.
pub(crate) fn new_topic() -> String {
    format!("bench-{}", Uuid::new_v4())
}
