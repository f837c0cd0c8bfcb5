//! The shards through their handlers, over real partitions on a simulated disk.
//!
//! Must never wait for time: the clock is moved, and every wait is for something that happens.

use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    DeleteTopicsRequest, DescribeGroupsRequest, FindCoordinatorRequest, GroupId, HeartbeatRequest,
    JoinGroupRequest, JoinGroupResponse, ListGroupsRequest, OffsetCommitRequest, OffsetCommitResponse,
    OffsetFetchRequest, SyncGroupRequest, TopicName,
};
use kafka_protocol::protocol::StrBytes;

use milena_coordinator::group::{Reply, Request};
use milena_coordinator::image::PartitionImage;
use milena_storage::ids::{BrokerId, Offset};

use super::*;
use crate::api::testing::{answer, caller, create, cx, with_quorum_and};
use crate::api::{
    Ask, Outcome, describe_groups, find_coordinator, heartbeat, join_group, list_groups, offset_commit,
    offset_fetch, sync_group,
};
use crate::partition::ReadFrom;
use crate::partition::replicas::Replica;
use crate::partition::waiters::Wakes;
use crate::state::BrokerState;

/// Opens the partitions and takes up the shards, as a broker's followers do.
struct Follow(Arc<BrokerState>, ShardFollower);

impl Follower for Follow {
    fn prepare(&mut self, change: &ImageChange) {
        self.0.partitions.follow(&change.new, &self.0.settings.load_full(), self.0.clock.now());
        self.1.prepare(change);
    }

    fn published(&mut self, change: &ImageChange) {
        self.1.published(change);
    }
}

/// A broker with its deadlines running.
async fn broker() -> Arc<BrokerState> {
    broker_with(&[]).await
}

async fn broker_with(settings: &[(&str, &str)]) -> Arc<BrokerState> {
    let broker = with_quorum_and(settings).await;
    let follow = Follow(broker.clone(), ShardFollower(broker.shards.clone()));
    broker.quorum().unwrap().follow(Box::new(follow)).await;
    tokio::spawn(broker.shards.clone().run_deadlines());
    broker
}

fn text(value: &str) -> StrBytes {
    StrBytes::from_string(value.to_owned())
}

async fn find(broker: &Arc<BrokerState>, group: &str) -> (i16, i32) {
    let request = FindCoordinatorRequest::default().with_coordinator_keys(vec![text(group)]);
    let found = answer(find_coordinator::handle(&cx(broker, &caller(), 6), request)).await;
    (found.coordinators[0].error_code, found.coordinators[0].port)
}

/// Joins with a version that needs no id first.
fn start_join(broker: &Arc<BrokerState>, group: &str, member: &str) -> Outcome<JoinGroupResponse> {
    join_group::handle(&cx(broker, &caller(), 3), join_request(group, member))
}

fn join_request(group: &str, member: &str) -> JoinGroupRequest {
    let protocol = JoinGroupRequestProtocol::default().with_name(text("range"));
    JoinGroupRequest::default()
        .with_group_id(GroupId(text(group)))
        .with_member_id(text(member))
        .with_protocol_type(text("consumer"))
        .with_session_timeout_ms(10_000)
        .with_rebalance_timeout_ms(60_000)
        .with_protocols(vec![protocol])
}

/// Shards are taken up before the image that names their topic is published, so there are requests that still go by the one before.
#[tokio::test]
async fn who_does_not_know_the_topic_yet_finds_no_shard() {
    let broker = broker().await;
    find(&broker, "g").await;
    // Partition 0 is where an id would be put whose hash is taken modulo nothing.
    assert!(broker.shards.slot_of(0).is_some());
    let before = MetadataImage::default();
    let question = Question::new(&cx(&broker, &caller(), 3), Request::Join(join_request("g", "")));
    let Reply::Join(refused) = broker.shards.ask_with(&before, "g", question).wait().await else {
        panic!("a reply is of its request's kind")
    };
    assert_eq!(refused.error_code, ResponseError::NotCoordinator.code());
    assert_eq!(state_of(&broker).await, "Dead", "nothing was begun anywhere");
    let listed = answer(list_groups::handle(&cx(&broker, &caller(), 4), ListGroupsRequest::default())).await;
    assert!(listed.groups.is_empty());
}

async fn sync(broker: &Arc<BrokerState>, joined: &JoinGroupResponse) -> Bytes {
    let assignment = SyncGroupRequestAssignment::default()
        .with_member_id(joined.member_id.clone())
        .with_assignment(Bytes::from_static(b"all"));
    let request = SyncGroupRequest::default()
        .with_group_id(GroupId(text("g")))
        .with_member_id(joined.member_id.clone())
        .with_generation_id(joined.generation_id)
        .with_assignments(vec![assignment]);
    let synced = answer(sync_group::handle(&cx(broker, &caller(), 3), request)).await;
    assert_eq!(synced.error_code, 0);
    synced.assignment
}

async fn beat(broker: &Arc<BrokerState>, joined: &JoinGroupResponse) -> i16 {
    let request = HeartbeatRequest::default()
        .with_group_id(GroupId(text("g")))
        .with_member_id(joined.member_id.clone())
        .with_generation_id(joined.generation_id);
    answer(heartbeat::handle(&cx(broker, &caller(), 4), request)).await.error_code
}

/// Commits without a group and tells the error.
async fn commit(broker: &Arc<BrokerState>, topic: &str, offset: i64) -> i16 {
    code(answer(start_commit(broker, topic, offset)).await)
}

fn code(committed: OffsetCommitResponse) -> i16 {
    committed.topics[0].partitions[0].error_code
}

fn start_commit(broker: &Arc<BrokerState>, topic: &str, offset: i64) -> Outcome<OffsetCommitResponse> {
    let partition = OffsetCommitRequestPartition::default().with_committed_offset(offset);
    let topic = OffsetCommitRequestTopic::default()
        .with_name(TopicName(text(topic)))
        .with_partitions(vec![partition]);
    let request = OffsetCommitRequest::default().with_group_id(GroupId(text("g"))).with_topics(vec![topic]);
    let mut body = Vec::new();
    kafka_protocol::protocol::Encodable::encode(&request, &mut body, 9).unwrap();
    let asked = offset_commit::Asked::decode(body.into(), 9).unwrap();
    offset_commit::handle(&cx(broker, &caller(), 9), asked)
}

/// All committed offsets of the group, and the error.
async fn fetch(broker: &Arc<BrokerState>) -> (i16, Vec<i64>) {
    let request = OffsetFetchRequest::default().with_group_id(GroupId(text("g"))).with_topics(None);
    let mut body = Vec::new();
    kafka_protocol::protocol::Encodable::encode(&request, &mut body, 5).unwrap();
    let asked = offset_fetch::Asked::decode(body.into(), 5).unwrap();
    let fetched = answer(offset_fetch::handle(&cx(broker, &caller(), 5), asked)).await;
    let offsets = fetched.topics.iter().flat_map(|topic| &topic.partitions).map(|each| each.committed_offset);
    (fetched.error_code, offsets.collect())
}

async fn state_of(broker: &Arc<BrokerState>) -> String {
    let request = DescribeGroupsRequest::default().with_groups(vec![GroupId(text("g"))]);
    answer(describe_groups::handle(&cx(broker, &caller(), 5), request)).await.groups[0]
        .group_state
        .to_string()
}

/// The same partitions under new shards, as after a restart.
fn restarted(broker: &Arc<BrokerState>) -> Arc<Shards> {
    let env = &broker.shards.env;
    let setup = env.settings.clone();
    let tuning = Tuning { group: setup.config, consumer_protocol: true, pace: env.pace.clone() };
    let shards =
        Shards::new(broker.id, broker.clock.clone(), broker.partitions.clone(), broker.image.clone(), tuning);
    shards.follow(&broker.image.load());
    shards
}

fn slot_of(shards: &Shards, broker: &Arc<BrokerState>) -> Arc<Slot<GroupMachine>> {
    shards.slot(&broker.image.load(), "g").unwrap()
}

/// Looks again until it holds, letting other tasks run; bounded by the test's own deadline.
async fn until(mut holds: impl AsyncFnMut() -> bool) {
    let waited = async {
        while !holds().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waited).await.expect("it happens in time");
}

#[tokio::test]
async fn the_first_group_call_on_a_fresh_broker_does_not_fail() {
    let broker = broker().await;
    assert_eq!(find(&broker, "g").await, (0, 9092));
    let joined = answer(start_join(&broker, "g", "")).await;
    assert_eq!((joined.error_code, joined.generation_id), (0, 1));
    assert_eq!(&sync(&broker, &joined).await[..], b"all");
    assert_eq!(beat(&broker, &joined).await, 0);
}

#[tokio::test]
async fn without_the_internal_topic_nobody_coordinates_and_nothing_is_listed() {
    let broker = broker().await;
    let joined = answer(start_join(&broker, "g", "")).await;
    assert_eq!(joined.error_code, ResponseError::NotCoordinator.code());
    let listed = answer(list_groups::handle(&cx(&broker, &caller(), 5), ListGroupsRequest::default())).await;
    assert_eq!((listed.error_code, listed.groups.len()), (0, 0));
}

#[tokio::test]
async fn a_silent_member_is_out_when_its_deadline_passes() {
    let broker = broker().await;
    find(&broker, "g").await;
    let joined = answer(start_join(&broker, "g", "")).await;
    sync(&broker, &joined).await;
    broker.clock.advance(Duration::from_secs(9));
    assert_eq!(beat(&broker, &joined).await, 0);
    broker.clock.advance(Duration::from_secs(9));
    assert_eq!(beat(&broker, &joined).await, 0);
    broker.clock.advance(Duration::from_secs(11));
    until(async || state_of(&broker).await == "Empty").await;
    assert_eq!(beat(&broker, &joined).await, ResponseError::UnknownMemberId.code());
}

#[tokio::test]
async fn offsets_and_groups_are_found_again_in_the_log() {
    let broker = broker().await;
    find(&broker, "g").await;
    create(&broker, &[("t", 1)]).await;
    for offset in 0..100 {
        assert_eq!(commit(&broker, "t", offset).await, 0);
    }
    let joined = answer(start_join(&broker, "g", "")).await;
    sync(&broker, &joined).await;
    let shards = restarted(&broker);
    let slot = slot_of(&shards, &broker);
    let caller = caller();
    let cx = cx(&broker, &caller, 5);
    let describe = || {
        let asked =
            shards.ask(&cx, "g", Question::new(&cx, Request::Describe { groups: vec!["g".to_owned()] }));
        let Asked::Now(Reply::Describe(mut groups)) = asked else { panic!("not described at once") };
        groups.remove(0)
    };
    assert_eq!(describe().error_code, ResponseError::CoordinatorLoadInProgress.code());
    until(async || !slot.is_loading()).await;
    let group = describe();
    assert_eq!(group.group_state.as_str(), "Stable");
    assert_eq!(&group.members[0].member_assignment[..], b"all");
    let request = kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup::default()
        .with_group_id(GroupId(text("g")))
        .with_topics(None);
    let asked = shards.ask(
        &cx,
        "g",
        Question::new(&cx, Request::FetchOffsets { group: request, require_stable: false }),
    );
    let Asked::Now(Reply::FetchOffsets(group)) = asked else { panic!("not fetched at once") };
    assert_eq!(group.topics[0].partitions[0].committed_offset, 99);
}

#[tokio::test]
async fn offsets_of_a_deleted_topic_go_with_it() {
    let broker = broker().await;
    find(&broker, "g").await;
    create(&broker, &[("t", 1), ("u", 1)]).await;
    assert_eq!(commit(&broker, "nope", 1).await, ResponseError::UnknownTopicOrPartition.code());
    assert_eq!(commit(&broker, "t", 1).await, 0);
    assert_eq!(commit(&broker, "u", 2).await, 0);
    let request = DeleteTopicsRequest::default().with_topic_names(vec![TopicName(text("t"))]);
    broker.quorum().unwrap().delete_topics(request).await.unwrap();
    until(async || fetch(&broker).await == (0, vec![2])).await;
}

#[tokio::test]
async fn who_waits_is_sent_away_when_the_shard_goes() {
    let broker = broker().await;
    find(&broker, "g").await;
    let first = answer(start_join(&broker, "g", "")).await;
    sync(&broker, &first).await;
    let second = start_join(&broker, "g", "");
    assert!(matches!(second, Outcome::Later(_)), "it waits for the first");
    broker.shards.stop();
    assert_eq!(answer(second).await.error_code, ResponseError::NotCoordinator.code());
    assert_eq!(beat(&broker, &first).await, ResponseError::NotCoordinator.code());
}

#[tokio::test]
async fn a_refused_append_is_answered_and_the_shard_loads_anew() {
    let broker = broker().await;
    find(&broker, "g").await;
    create(&broker, &[("t", 1)]).await;
    assert_eq!(commit(&broker, "t", 1).await, 0);
    let slot = slot_of(&broker.shards, &broker);
    let partition = slot.partition().clone();
    let led = broker.image.load().partition(&partition.name.topic, partition.name.partition).unwrap().clone();
    let lost = PartitionImage { leader: None, ..(*led).clone() };
    partition.follow_image(&lost, broker.clock.now()).unwrap();
    assert_eq!(commit(&broker, "t", 2).await, ResponseError::NotCoordinator.code());
    partition.follow_image(&led, broker.clock.now()).unwrap();
    // Loading may have met the partition without a leader; then it is the next image that takes it up again.
    until(async || !slot.is_loading()).await;
    let again = restarted(&broker);
    let slot = slot_of(&again, &broker);
    until(async || !slot.is_loading()).await;
    let caller = caller();
    let cx = cx(&broker, &caller, 8);
    let request = kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup::default()
        .with_group_id(GroupId(text("g")))
        .with_topics(None);
    let asked = again.ask(
        &cx,
        "g",
        Question::new(&cx, Request::FetchOffsets { group: request, require_stable: true }),
    );
    let Asked::Now(Reply::FetchOffsets(group)) = asked else { panic!("not fetched at once") };
    assert_eq!(group.topics[0].partitions[0].committed_offset, 1, "what was refused is not seen");
}

#[tokio::test]
async fn a_thousand_members_get_their_generation() {
    let broker = broker().await;
    find(&broker, "g").await;
    let first = answer(start_join(&broker, "g", "")).await;
    sync(&broker, &first).await;
    let waiting: Vec<_> = (1..1000).map(|_| start_join(&broker, "g", "")).collect();
    let leader = answer(start_join(&broker, "g", &first.member_id)).await;
    assert_eq!(leader.members.len(), 1000);
    for member in waiting {
        let joined = answer(member).await;
        assert_eq!((joined.error_code, joined.generation_id), (0, 2));
    }
}

/// The batches of a shard's partition.
fn batches(slot: &Slot<GroupMachine>) -> usize {
    let from = ReadFrom {
        any_replica: false,
        offset: slot.partition().log_start_offset(),
        max_bytes: 1 << 20,
        at_least_one: true,
        committed: false,
        whole: false,
        current_leader_epoch: -1,
        last_fetched_epoch: -1,
    };
    let slice = slot.partition().read(from).unwrap().slice.unwrap();
    let mut bytes = vec![0; slice.len];
    slice.file.read_exact_at(&mut bytes, slice.position).unwrap();
    milena_storage::batch::walk(&bytes).map(|batch| batch.map(|_| ()).unwrap()).count()
}

#[tokio::test]
async fn commits_that_come_together_share_one_append_and_a_read_waits_for_them() {
    let broker = broker().await;
    find(&broker, "g").await;
    create(&broker, &[("t", 1)]).await;
    assert_eq!(commit(&broker, "t", 0).await, 0);
    let slot = slot_of(&broker.shards, &broker);
    let before = (batches(&slot), slot.partition().log_end_offset());
    let waiting: Vec<_> = (1..=100).map(|offset| start_commit(&broker, "t", offset)).collect();
    assert!(waiting.iter().all(|outcome| matches!(outcome, Outcome::Later(_))));
    assert_eq!(slot.partition().log_end_offset(), before.1, "nothing is written yet");
    assert_eq!(fetch(&broker).await, (0, vec![100]));
    assert_eq!(slot.partition().log_end_offset(), before.1.plus(100), "what was read is in the log");
    for outcome in waiting {
        assert_eq!(code(answer(outcome).await), 0);
    }
    assert_eq!(batches(&slot), before.0 + 1);
}

#[tokio::test]
async fn all_who_share_a_refused_append_are_told() {
    let broker = broker().await;
    find(&broker, "g").await;
    create(&broker, &[("t", 1)]).await;
    assert_eq!(commit(&broker, "t", 1).await, 0);
    let slot = slot_of(&broker.shards, &broker);
    let partition = slot.partition().clone();
    let waiting: Vec<_> = (2..=9).map(|offset| start_commit(&broker, "t", offset)).collect();
    let led = broker.image.load().partition(&partition.name.topic, partition.name.partition).unwrap().clone();
    let lost = PartitionImage { leader: None, ..(*led).clone() };
    partition.follow_image(&lost, broker.clock.now()).unwrap();
    for outcome in waiting {
        assert_eq!(code(answer(outcome).await), ResponseError::NotCoordinator.code());
    }
}

#[tokio::test]
async fn an_offset_counts_when_the_replicas_in_sync_have_it() {
    let broker = broker_with(&[("min.insync.replicas", "2")]).await;
    find(&broker, "g").await;
    create(&broker, &[("t", 1)]).await;
    assert_eq!(commit(&broker, "t", 1).await, 0, "one replica of one is enough");
    let slot = slot_of(&broker.shards, &broker);
    let partition = slot.partition().clone();
    let led = broker.image.load().partition(&partition.name.topic, partition.name.partition).unwrap().clone();
    let [own, other] = [broker.id, BrokerId(broker.id.0 + 1)];
    let two = PartitionImage {
        replicas: vec![own, other],
        isr: vec![own, other],
        partition_epoch: led.partition_epoch + 1,
        ..(*led).clone()
    };
    partition.follow_image(&two, broker.clock.now()).unwrap();
    let Outcome::Later(mut committed) = start_commit(&broker, "t", 2) else { panic!("not answered at once") };
    until(async || partition.log_end_offset() > partition.high_watermark()).await;
    let mut looking = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(
        committed.as_mut().poll(&mut looking).is_pending(),
        "rule 26: the other replica does not have it"
    );
    let at = ReadFrom {
        any_replica: false,
        offset: partition.log_end_offset(),
        max_bytes: 1,
        at_least_one: false,
        committed: false,
        whole: false,
        current_leader_epoch: led.leader_epoch.0,
        last_fetched_epoch: -1,
    };
    let replica = Replica { id: other, broker_epoch: -1, log_start: Offset::default() };
    let mut wakes = Wakes::default();
    partition.read_as_replica(at, replica, broker.clock.now(), &mut wakes).unwrap();
    wakes.fire();
    assert_eq!(code(committed.await), 0);
    let alone = PartitionImage { isr: vec![own], partition_epoch: two.partition_epoch + 1, ..two };
    partition.follow_image(&alone, broker.clock.now()).unwrap();
    let end = partition.log_end_offset();
    let refused = commit(&broker, "t", 3).await;
    assert_eq!(refused, ResponseError::CoordinatorNotAvailable.code(), "rule 26: too few are in sync");
    assert_eq!(partition.log_end_offset(), end, "rule 26: nothing is written that may not be kept");
}
