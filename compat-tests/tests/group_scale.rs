//! A thousand members in one group and five thousand groups on one broker, while somebody produces and fetches.
//!
//! It must never count a time in which nothing was asked of the broker: the probe runs as long as the groups do, and its slowest
//! request is judged.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    BrokerId, FetchRequest, GroupId, HeartbeatRequest, JoinGroupRequest, ListGroupsRequest,
    OffsetCommitRequest, ProduceRequest, SyncGroupRequest, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use milena_compat_tests::members::{Crowd, Protocol, Subscribed, allow_many_connections};
use milena_compat_tests::server::Setup;
use milena_compat_tests::wire::{Wire, batch, record};
use milena_compat_tests::{Server, Target, wait};

const MEMBERS: usize = 1_000;
const PARTITIONS: usize = 100;
const GROUPS: usize = 5_000;
/// Connections of the five thousand groups.
const LANES: usize = 5;
/// The slowest produce or fetch. A machine with two cores runs the groups' members too, and others' tests; a stall would be as
/// long as a rebalance.
const SLOWEST: Duration = Duration::from_secs(2);
/// All but one in a hundred.
const USUAL: Duration = Duration::from_millis(250);

fn text(value: &str) -> StrBytes {
    StrBytes::from_string(value.to_owned())
}

fn create(server: &Server, topic: &str, partitions: usize) {
    server
        .tool("kafka-topics")
        .args(["--create", "--topic", topic, "--partitions", &partitions.to_string()])
        .ok();
}

/// Produces a record with all acks, then fetches it, again and again; gives how long each took.
fn probe(server: &Server, until: &AtomicBool) -> Vec<Duration> {
    let mut wire = server.wire();
    let mut took = Vec::new();
    while !until.load(Ordering::Acquire) {
        let data = PartitionProduceData::default().with_records(Some(batch([record("probe")])));
        let topic =
            TopicProduceData::default().with_name(TopicName(text("probe"))).with_partition_data(vec![data]);
        let request =
            ProduceRequest::default().with_acks(-1).with_timeout_ms(30_000).with_topic_data(vec![topic]);
        let before = Instant::now();
        let answer = wire.call(9, &request);
        took.push(before.elapsed());
        let produced = &answer.responses[0].partition_responses[0];
        assert_eq!(produced.error_code, 0);

        let partition = FetchPartition::default()
            .with_fetch_offset(produced.base_offset)
            .with_partition_max_bytes(1 << 20);
        let topic =
            FetchTopic::default().with_topic(TopicName(text("probe"))).with_partitions(vec![partition]);
        let request = FetchRequest::default()
            .with_replica_id(BrokerId(-1))
            .with_max_wait_ms(30_000)
            .with_min_bytes(1)
            .with_max_bytes(1 << 20)
            .with_session_epoch(-1)
            .with_topics(vec![topic]);
        let before = Instant::now();
        let answer = wire.call(12, &request);
        took.push(before.elapsed());
        let fetched = &answer.responses[0].partitions[0];
        assert_eq!(fetched.error_code, 0);
        assert!(fetched.records.as_ref().is_some_and(|records| !records.is_empty()));
    }
    took
}

/// Runs the groups beside the probe, and judges the probe.
fn beside_a_probe(server: &Server, what: &str, groups: impl FnOnce()) {
    let done = AtomicBool::new(false);
    let mut took = thread::scope(|scope| {
        let probing = scope.spawn(|| probe(server, &done));
        // Also when the groups fail, or the probe would go on.
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(groups));
        done.store(true, Ordering::Release);
        let took = probing.join().expect("the probe is answered");
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        took
    });
    took.sort_unstable();
    let (usual, slowest) = (took[took.len() * 99 / 100], took[took.len() - 1]);
    eprintln!("{what}: {} requests, p99 {usual:?}, slowest {slowest:?}", took.len());
    assert!(took.len() > 100, "{} requests are no measure", took.len());
    assert!(usual < USUAL && slowest < SLOWEST, "{what}: p99 {usual:?}, slowest {slowest:?}");
}

#[test]
fn a_thousand_members_join_one_group_while_others_produce_and_fetch() {
    allow_many_connections();
    let server = Setup::of(Target::chosen())
        .set("group.initial.rebalance.delay.ms", "0")
        .set("group.consumer.max.size", "1000")
        .set("group.consumer.min.heartbeat.interval.ms", "500")
        .set("group.consumer.heartbeat.interval.ms", "500")
        .start();
    create(&server, "probe", 1);
    create(&server, "crowded", PARTITIONS);
    let interval = Duration::from_millis(500);
    let mut crowd = Crowd::connect(server.address(), MEMBERS);
    for (protocol, group) in [(Protocol::Classic, "classic"), (Protocol::Consumer, "consumer")] {
        beside_a_probe(&server, group, || {
            let what = Subscribed { group, topic: "crowded", partitions: PARTITIONS, interval };
            crowd.join(protocol, MEMBERS, what);
            crowd.settle();
            crowd.live(interval * 2);
        });
    }
}

#[test]
fn five_thousand_groups_live_on_one_broker_while_others_produce_and_fetch() {
    let server = Setup::of(Target::chosen()).set("group.initial.rebalance.delay.ms", "0").start();
    create(&server, "probe", 1);
    create(&server, "many", 1);
    beside_a_probe(&server, "groups", || {
        thread::scope(|scope| {
            for lane in 0..LANES {
                let server = &server;
                scope.spawn(move || live_in_groups((lane..GROUPS).step_by(LANES), &mut server.wire()));
            }
        });
    });
    let listed = server.wire().call(5, &ListGroupsRequest::default());
    let stable = listed.groups.iter().filter(|group| group.group_state.as_str() == "Stable").count();
    assert_eq!((listed.error_code, stable), (0, GROUPS));
}

/// A member for each of these groups: it joins, reports and commits.
fn live_in_groups(numbers: impl Iterator<Item = usize>, wire: &mut Wire) {
    let members: Vec<(GroupId, StrBytes)> = numbers
        .map(|number| {
            let group = GroupId(text(&format!("group-{number}")));
            let id = join(wire, &group);
            (group, id)
        })
        .collect();
    for offset in 1..=2 {
        for (group, id) in &members {
            let beat = HeartbeatRequest::default()
                .with_group_id(group.clone())
                .with_member_id(id.clone())
                .with_generation_id(1);
            assert_eq!(wire.call(4, &beat).error_code, 0);
            let partition = OffsetCommitRequestPartition::default().with_committed_offset(offset);
            let topic = OffsetCommitRequestTopic::default()
                .with_name(TopicName(text("many")))
                .with_partitions(vec![partition]);
            let commit = OffsetCommitRequest::default()
                .with_group_id(group.clone())
                .with_member_id(id.clone())
                .with_generation_id_or_member_epoch(1)
                .with_topics(vec![topic]);
            assert_eq!(wire.call(8, &commit).topics[0].partitions[0].error_code, 0);
        }
    }
}

/// Joins a group as its only member, with a version that needs no id first.
fn join(wire: &mut Wire, group: &GroupId) -> StrBytes {
    let protocol = JoinGroupRequestProtocol::default().with_name(text("range"));
    let request = JoinGroupRequest::default()
        .with_group_id(group.clone())
        .with_protocol_type(text("consumer"))
        .with_session_timeout_ms(60_000)
        .with_rebalance_timeout_ms(60_000)
        .with_protocols(vec![protocol]);
    let joined = wait::until(wait::PATIENCE, "a coordinator", || {
        let joined = wire.call(3, &request);
        // The topic of the offsets is made by the first who look for a coordinator.
        if joined.error_code != 0 {
            let find = kafka_protocol::messages::FindCoordinatorRequest::default();
            let _ = wire.call(6, &find.with_coordinator_keys(vec![group.0.clone()]));
        }
        (joined.error_code == 0).then_some(joined)
    });
    let assignment = SyncGroupRequestAssignment::default()
        .with_member_id(joined.member_id.clone())
        .with_assignment(Bytes::from_static(b"all"));
    let request = SyncGroupRequest::default()
        .with_group_id(group.clone())
        .with_member_id(joined.member_id.clone())
        .with_generation_id(joined.generation_id)
        .with_assignments(vec![assignment]);
    assert_eq!(wire.call(3, &request).error_code, 0);
    joined.member_id
}
