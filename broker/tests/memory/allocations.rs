//! How often the broker allocates for one request that clients send all day, from its socket to its socket.
//!
//! Each bound is what was counted when it was set, so that one allocation more for each request fails: in a path of 6 microseconds each costs a
//! hundredth or two, and nobody notices one at a time. A bound is raised only with a reason, and lowered whenever something was saved.
//! Must never count what a start, a first request or a full buffer costs once.

use bytes::{Bytes, BytesMut};
use kafka_protocol::indexmap::IndexMap;
use kafka_protocol::messages::consumer_group_heartbeat_request::ConsumerGroupHeartbeatRequest;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    CreateTopicsRequest, FetchRequest, FindCoordinatorRequest, GroupId, HeartbeatRequest, JoinGroupRequest,
    MetadataRequest, OffsetCommitRequest, ProduceRequest, SyncGroupRequest, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::{
    Compression, NO_PARTITION_LEADER_EPOCH, Record, RecordBatchEncoder, RecordEncodeOptions, TimestampType,
};
use uuid::Uuid;

use super::client::{Client, Served};
use super::counting;

/// Requests before anything is counted: buffers, sessions and indexes have their size then.
const WARM_UP: usize = 300;
/// The middle of so many rounds counts: what a timer or a growing index costs falls into a few of them.
const ROUNDS: usize = 11;
const REQUESTS: u64 = 100;
/// A buffer that grows now and then.
const NOW_AND_THEN: f64 = 0.5;

const TOPIC: &str = "counted";

#[test]
fn requests_allocate_no_more_than_they_did() {
    counting::set_aside();
    let broker = Served::start(&[
        ("offsets.topic.num.partitions", "1"),
        ("group.initial.rebalance.delay.ms", "0"),
        ("auto.create.topics.enable", "false"),
    ]);
    let mut client = broker.connect();
    let topic = create(&mut client);
    let find =
        FindCoordinatorRequest::default().with_coordinator_keys(vec![StrBytes::from_static_str("any")]);
    until_found(|| (client.call(4, &find).coordinators[0].error_code, ()));
    let mut over = Vec::new();
    for (what, bound, counted) in [
        produce(&mut client, topic),
        produce_run(&mut client, topic),
        fetch(&mut client, topic),
        tail(&mut client, &mut broker.connect(), topic),
        heartbeat(&mut client),
        consumer_heartbeat(&mut client),
        commit(&mut client),
        metadata(&mut client),
    ] {
        eprintln!("{what}: {counted:.2} allocations, at most {bound}");
        if counted > bound + NOW_AND_THEN {
            over.push(format!("{what}: {counted:.2} instead of {bound}"));
        }
    }
    assert!(over.is_empty(), "{over:#?}");
}

/// Allocations for each call, in the middle round.
fn counted(mut call: impl FnMut()) -> f64 {
    (0..WARM_UP).for_each(|_| call());
    let mut rounds: Vec<u64> = (0..ROUNDS)
        .map(|_| {
            let before = counting::taken();
            (0..REQUESTS).for_each(|_| call());
            counting::taken() - before
        })
        .collect();
    rounds.sort_unstable();
    rounds[ROUNDS / 2] as f64 / REQUESTS as f64
}

type Counted = (&'static str, f64, f64);

fn produce(client: &mut Client, topic: Uuid) -> Counted {
    let request = produce_request(topic);
    let call = || {
        let answer = client.call(13, &request);
        assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
    };
    ("Produce of one record", 6.0, counted(call))
}

/// Five that come in together and are appended with one write: thirty as alone, and the lists that a run passes through, for one lock and one
/// write instead of five.
fn produce_run(client: &mut Client, topic: Uuid) -> Counted {
    let request = produce_request(topic);
    let call = || {
        let answers = client.call_together(13, &request, 5);
        assert!(answers.iter().all(|answer| answer.responses[0].partition_responses[0].error_code == 0));
    };
    ("Produce of one record, five together", 46.0, counted(call))
}

/// A consumer that follows behind: a session, one batch of one record each time.
fn fetch(client: &mut Client, topic: Uuid) -> Counted {
    let mut reader = Reader::new(client, topic, 0);
    let call = || {
        reader.ask(client);
        assert_eq!(reader.hear(client), 1);
    };
    ("Fetch of one batch", 13.0, counted(call))
}

/// A consumer that waits at the end until a producer's record is there: two requests.
fn tail(client: &mut Client, waiting: &mut Client, topic: Uuid) -> Counted {
    let request = produce_request(topic);
    let end = client.call(13, &request).responses[0].partition_responses[0].base_offset + 1;
    let mut reader = Reader::new(waiting, topic, end);
    let call = || {
        reader.ask(waiting);
        // Whether the wait has begun when the record comes is up to the threads; mostly it has.
        let answer = client.call(13, &request);
        assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
        assert_eq!(reader.hear(waiting), 1);
    };
    // 18 where it does not, and about 24 where it does: that is up to the threads.
    ("Produce to a Fetch that waits", 26.0, counted(call))
}

fn heartbeat(client: &mut Client) -> Counted {
    let group = GroupId(StrBytes::from_static_str("classic"));
    let protocol = JoinGroupRequestProtocol::default().with_name(StrBytes::from_static_str("range"));
    let join = JoinGroupRequest::default()
        .with_group_id(group.clone())
        .with_session_timeout_ms(60_000)
        .with_rebalance_timeout_ms(60_000)
        .with_protocol_type(StrBytes::from_static_str("consumer"))
        .with_protocols(vec![protocol]);
    let joined = until_found(|| {
        let answer = client.call(3, &join);
        (answer.error_code, answer)
    });
    let assignment = SyncGroupRequestAssignment::default().with_member_id(joined.member_id.clone());
    let sync = SyncGroupRequest::default()
        .with_group_id(group.clone())
        .with_generation_id(joined.generation_id)
        .with_member_id(joined.member_id.clone())
        .with_assignments(vec![assignment]);
    assert_eq!(client.call(3, &sync).error_code, 0);
    let request = HeartbeatRequest::default()
        .with_group_id(group)
        .with_generation_id(joined.generation_id)
        .with_member_id(joined.member_id);
    let call = || assert_eq!(client.call(4, &request).error_code, 0);
    ("Heartbeat", 5.0, counted(call))
}

fn consumer_heartbeat(client: &mut Client) -> Counted {
    let member = StrBytes::from_static_str("AAAAAAAAAAAAAAAAAAAAAQ");
    let of = |epoch: i32| {
        ConsumerGroupHeartbeatRequest::default()
            .with_group_id(GroupId(StrBytes::from_static_str("consumer")))
            .with_member_id(member.clone())
            .with_member_epoch(epoch)
    };
    let join = of(0)
        .with_rebalance_timeout_ms(60_000)
        .with_subscribed_topic_names(Some(vec![TopicName(StrBytes::from_static_str(TOPIC))]))
        .with_topic_partitions(Some(Vec::new()));
    let joined = until_found(|| {
        let answer = client.call(1, &join);
        (answer.error_code, answer)
    });
    let request = of(joined.member_epoch);
    let call = || assert_eq!(client.call(1, &request).error_code, 0);
    ("ConsumerGroupHeartbeat", 21.0, counted(call))
}

fn commit(client: &mut Client) -> Counted {
    let partition = OffsetCommitRequestPartition::default().with_committed_offset(7);
    let topic = OffsetCommitRequestTopic::default()
        .with_name(TopicName(StrBytes::from_static_str(TOPIC)))
        .with_partitions(vec![partition]);
    let request = OffsetCommitRequest::default()
        .with_group_id(GroupId(StrBytes::from_static_str("alone")))
        .with_topics(vec![topic]);
    let call = || {
        let answer = client.call(9, &request);
        assert_eq!(answer.topics[0].partitions[0].error_code, 0);
    };
    ("OffsetCommit of one partition", 39.0, counted(call))
}

fn metadata(client: &mut Client) -> Counted {
    let topic = MetadataRequestTopic::default().with_name(Some(TopicName(StrBytes::from_static_str(TOPIC))));
    let request = MetadataRequest::default().with_topics(Some(vec![topic]));
    let call = || assert_eq!(client.call(12, &request).topics[0].error_code, 0);
    ("Metadata of one topic", 13.0, counted(call))
}

pub(crate) fn create(client: &mut Client) -> Uuid {
    let topic = CreatableTopic::default()
        .with_name(TopicName(StrBytes::from_static_str(TOPIC)))
        .with_num_partitions(1)
        .with_replication_factor(1);
    let answer = client.call(7, &CreateTopicsRequest::default().with_topics(vec![topic]));
    assert_eq!(answer.topics[0].error_code, 0);
    answer.topics[0].topic_id
}

/// Asks again while the group's coordinator is being made.
fn until_found<T>(mut ask: impl FnMut() -> (i16, T)) -> T {
    const ATTEMPTS: usize = 100_000;
    let answers = (0..ATTEMPTS).map(|_| ask());
    let found = answers.into_iter().find(|(code, _)| ![14, 15, 16].contains(code));
    let (code, answer) = found.expect("a coordinator");
    assert_eq!(code, 0);
    answer
}

pub(crate) fn produce_request(topic: Uuid) -> ProduceRequest {
    let record = Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: NO_PARTITION_LEADER_EPOCH,
        producer_id: -1,
        producer_epoch: -1,
        timestamp_type: TimestampType::Creation,
        offset: 0,
        sequence: -1,
        timestamp: 1_700_000_000_000,
        key: None,
        value: Some(Bytes::from_static(&[7; 100])),
        headers: IndexMap::new(),
    };
    let options = RecordEncodeOptions { version: 2, compression: Compression::None };
    let mut records = BytesMut::new();
    RecordBatchEncoder::encode(&mut records, [&record], &options).unwrap();
    let data = PartitionProduceData::default().with_records(Some(records.freeze()));
    let topic = TopicProduceData::default().with_topic_id(topic).with_partition_data(vec![data]);
    ProduceRequest::default().with_acks(-1).with_timeout_ms(30_000).with_topic_data(vec![topic])
}

/// A consumer's session with one partition, read batch by batch.
pub(crate) struct Reader {
    request: FetchRequest,
}

impl Reader {
    pub(crate) fn new(client: &mut Client, topic: Uuid, from: i64) -> Self {
        let partition = FetchPartition::default().with_fetch_offset(from).with_partition_max_bytes(1);
        let topic = FetchTopic::default().with_topic_id(topic).with_partitions(vec![partition]);
        let mut request =
            FetchRequest::default().with_session_epoch(0).with_max_bytes(1 << 20).with_topics(vec![topic]);
        let answer = client.call(17, &request);
        assert_eq!(answer.error_code, 0);
        request.session_id = answer.session_id;
        request.max_wait_ms = 30_000;
        request.min_bytes = 1;
        Self { request }
    }

    pub(crate) fn ask(&mut self, client: &mut Client) {
        self.request.session_epoch += 1;
        client.send(17, &self.request);
    }

    /// How many batches came; the next question is for what is behind them.
    pub(crate) fn hear(&mut self, client: &mut Client) -> usize {
        let answer = client.receive::<FetchRequest>(17);
        let records = answer.responses[0].partitions[0].records.clone().unwrap();
        let batches = usize::from(!records.is_empty());
        self.request.topics[0].partitions[0].fetch_offset += batches as i64;
        batches
    }
}
