//! Directories that fail, are told and are cordoned, on a controller's whole tree.

use kafka_protocol::messages::assign_replicas_to_dirs_request as request;

use super::*;
use crate::controller::testing::Stage;
use crate::controller::{elect_leaders, fail_over};

const GOOD: Uuid = Uuid::from_u128(1 << 100);
const BAD: Uuid = Uuid::from_u128(2 << 100);
const BOTH: [BrokerId; 2] = [BrokerId(2), BrokerId(3)];

/// Each replica's broker has two directories.
fn stage() -> Stage {
    let mut stage = Stage::with_brokers(&[1, 2, 3]);
    stage.finalize("eligible.leader.replicas.version", 1);
    stage.create_on("t", &[2, 3]);
    for id in BOTH {
        keep(&mut stage, id, &[GOOD, BAD]);
    }
    stage
}

fn keep(stage: &mut Stage, broker: BrokerId, online: &[Uuid]) {
    let plan = keep_log_dirs(&stage.ctx(), broker, online, false).unwrap();
    stage.run(plan);
}

fn asked(stage: &Stage, broker: BrokerId, directory: Uuid, index: i32) -> AssignReplicasToDirsRequest {
    let topic = stage.image.topic("t").map_or(Uuid::nil(), |topic| topic.id);
    let partition = request::PartitionData::default().with_partition_index(index);
    let topic = request::TopicData::default().with_topic_id(topic).with_partitions(vec![partition]);
    let directory = request::DirectoryData::default().with_id(directory).with_topics(vec![topic]);
    AssignReplicasToDirsRequest::default()
        .with_broker_id(broker.0.into())
        .with_broker_epoch(stage.image.broker(broker).map_or(-1, |broker| broker.epoch))
        .with_directories(vec![directory])
}

fn place(stage: &mut Stage, broker: BrokerId, directory: Uuid) -> i16 {
    let request = asked(stage, broker, directory, 0);
    let plan = assign_replicas_to_dirs(&stage.ctx(), &request).unwrap();
    stage.run(plan)[0][0].error
}

fn partition(stage: &Stage) -> &PartitionImage {
    &stage.image.topic("t").unwrap().partitions[0]
}

fn state(stage: &Stage) -> (Option<BrokerId>, Vec<BrokerId>, Vec<BrokerId>) {
    let partition = partition(stage);
    (partition.leader, partition.isr.clone(), partition.elr.clone())
}

#[test]
fn where_a_replica_lies_is_kept_over_changes_of_the_state() {
    let mut stage = stage();
    assert_eq!(place(&mut stage, BOTH[1], GOOD), 0);
    assert_eq!(place(&mut stage, BOTH[0], BAD), 0);
    let before = partition(&stage).clone();
    assert_eq!(before.directories, [(BOTH[0], BAD), (BOTH[1], GOOD)]);
    assert_eq!(state(&stage), (Some(BOTH[0]), BOTH.to_vec(), vec![]), "nothing else changes");
    assert_eq!(place(&mut stage, BOTH[0], BAD), 0);
    assert_eq!(partition(&stage).partition_epoch, before.partition_epoch, "what is known is not written");
    let ops = crate::controller::unregister_broker(&stage.ctx(), BOTH[0]).unwrap();
    stage.commit(ops);
    let plan = fail_over(&stage.ctx());
    stage.run(plan);
    assert_eq!(state(&stage).0, Some(BOTH[1]));
    assert_eq!(partition(&stage).directories, before.directories);
}

#[test]
fn a_failed_directory_is_led_by_others_and_its_broker_keeps_the_rest() {
    let mut stage = stage();
    place(&mut stage, BOTH[0], BAD);
    place(&mut stage, BOTH[1], GOOD);
    keep(&mut stage, BOTH[1], &[GOOD]);
    assert_eq!(state(&stage), (Some(BOTH[0]), BOTH.to_vec(), vec![]), "it lies in the other");
    keep(&mut stage, BOTH[0], &[GOOD]);
    assert_eq!(state(&stage), (Some(BOTH[1]), vec![BOTH[1]], vec![]));
    assert!(!stage.image.is_usable(partition(&stage), BOTH[0]));
    assert!(!stage.image.broker(BOTH[0]).unwrap().fenced);
    let again = keep_log_dirs(&stage.ctx(), BOTH[0], &[GOOD], false).unwrap();
    assert!(again.is_empty(), "it is told again until it is answered");
    // What is not elsewhere is led by nobody, and not by whoever has lost it, even where unclean elections are asked for.
    stage.unclean("t");
    keep(&mut stage, BOTH[1], &[BAD]);
    assert_eq!(state(&stage), (None, vec![], vec![]));
    let plan = fail_over(&stage.ctx());
    stage.run(plan);
    let unclean = kafka_protocol::messages::ElectLeadersRequest::default()
        .with_election_type(1)
        .with_topic_partitions(None);
    let item = elect_leaders(&stage.ctx(), &unclean).unwrap();
    assert!(item.ops.is_empty());
    assert_eq!(state(&stage), (None, vec![], vec![]));
    // Found in a directory that serves, it may be asked for.
    place(&mut stage, BOTH[1], BAD);
    assert_eq!(state(&stage), (Some(BOTH[1]), vec![BOTH[1]], vec![]));
    assert!(partition(&stage).recovering);
}

#[test]
fn what_is_found_in_a_failed_directory_is_given_up_at_once() {
    let mut stage = stage();
    keep(&mut stage, BOTH[0], &[GOOD]);
    assert_eq!(state(&stage).0, Some(BOTH[0]), "nobody has said where it lies");
    assert_eq!(place(&mut stage, BOTH[0], BAD), 0);
    assert_eq!(state(&stage), (Some(BOTH[1]), vec![BOTH[1]], vec![]));
}

#[test]
fn a_cordoned_broker_gets_no_new_partitions_and_keeps_what_it_has() {
    let mut stage = stage();
    let plan = keep_log_dirs(&stage.ctx(), BOTH[0], &[GOOD, BAD], true).unwrap();
    stage.run(plan);
    assert_eq!(state(&stage), (Some(BOTH[0]), BOTH.to_vec(), vec![]));
    stage.create("new", 6);
    let placed = |stage: &Stage| {
        let topic = stage.image.topic("new").unwrap();
        topic.partitions.iter().any(|partition| partition.replicas.contains(&BOTH[0]))
    };
    assert!(!placed(&stage));
    keep(&mut stage, BOTH[0], &[GOOD, BAD]);
    stage.create("again", 6);
    let again = stage.image.topic("again").unwrap();
    assert!(again.partitions.iter().any(|partition| partition.replicas.contains(&BOTH[0])));
}

#[test]
fn what_was_not_asked_rightly_is_refused() {
    let mut stage = stage();
    let code = ResponseError::code;
    assert_eq!(place(&mut stage, BrokerId(1), GOOD), code(&ResponseError::NotLeaderOrFollower));
    let answer = |stage: &Stage, request: &AssignReplicasToDirsRequest| {
        assign_replicas_to_dirs(&stage.ctx(), request).map(|plan| plan[0].result[0].error)
    };
    let absent = asked(&stage, BOTH[0], GOOD, 1);
    assert_eq!(answer(&stage, &absent), Ok(code(&ResponseError::UnknownTopicOrPartition)));
    let mut other = asked(&stage, BOTH[0], GOOD, 0);
    other.directories[0].topics[0].topic_id = Uuid::from_u128(77);
    assert_eq!(answer(&stage, &other), Ok(code(&ResponseError::UnknownTopicId)));
    let stale = asked(&stage, BOTH[0], GOOD, 0).with_broker_epoch(1);
    assert_eq!(answer(&stage, &stale).unwrap_err().code, ResponseError::StaleBrokerEpoch);
    let nobody = asked(&stage, BrokerId(9), GOOD, 0);
    assert_eq!(answer(&stage, &nobody).unwrap_err().code, ResponseError::StaleBrokerEpoch);
}

#[test]
fn answers_are_in_the_order_of_the_request() {
    let answer = |directory, topic: u128, partition| Assigned {
        directory,
        topic: Uuid::from_u128(topic),
        partition,
        error: 0,
    };
    let told = assigned(vec![answer(GOOD, 1, 0), answer(GOOD, 1, 1), answer(GOOD, 2, 0), answer(BAD, 1, 2)]);
    let shape: Vec<Vec<usize>> = told
        .directories
        .iter()
        .map(|directory| directory.topics.iter().map(|topic| topic.partitions.len()).collect())
        .collect();
    assert_eq!(shape, [vec![2, 1], vec![1]]);
}
