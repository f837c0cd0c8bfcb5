//! Which proposals of a leader are taken, on a real tree: in-sync sets, moves of replicas, brokers that go and come back.

use kafka_protocol::messages::AlterPartitionReassignmentsRequest;
use kafka_protocol::messages::CreateTopicsRequest;
use kafka_protocol::messages::alter_partition_reassignments_request::{
    ReassignablePartition, ReassignableTopic,
};
use kafka_protocol::messages::alter_partition_request::{BrokerState, TopicData as AskedTopic};
use kafka_protocol::messages::create_topics_request::{CreatableReplicaAssignment, CreatableTopic};
use kafka_protocol::protocol::StrBytes;

use super::super::testing::Stage;
use super::super::{alter_partition_reassignments, create_topics, fail_over, restart};
use super::*;

/// Topic `t` with one partition on these brokers, of brokers 1 to 4.
fn stage(replicas: &[i32]) -> Stage {
    let mut stage = Stage::with_brokers(&[1, 2, 3, 4]);
    let ids = replicas.iter().map(|id| (*id).into()).collect();
    let assignment = CreatableReplicaAssignment::default().with_broker_ids(ids);
    let topic = CreatableTopic::default()
        .with_name(StrBytes::from_static_str("t").into())
        .with_num_partitions(-1)
        .with_replication_factor(-1)
        .with_assignments(vec![assignment]);
    let request = CreateTopicsRequest::default().with_topics(vec![topic]);
    let plan = create_topics(&mut stage.ctx(), &request).unwrap();
    assert_eq!(stage.run(plan)[0].error_code, 0);
    stage
}

fn partition(stage: &Stage) -> PartitionImage {
    (**stage.image.partition("t", PartitionIndex(0)).unwrap()).clone()
}

fn ids(list: &[BrokerId]) -> Vec<i32> {
    list.iter().map(|id| id.0).collect()
}

fn epoch_of(stage: &Stage, broker: i32) -> i64 {
    stage.image.broker(BrokerId(broker)).unwrap().epoch
}

/// What the leader would send now for this set.
fn asked(stage: &Stage, isr: &[i32]) -> Asked {
    let state = partition(stage);
    let member = |id: &i32| {
        BrokerState::default().with_broker_id((*id).into()).with_broker_epoch(epoch_of(stage, *id))
    };
    Asked::default()
        .with_partition_index(0)
        .with_leader_epoch(state.leader_epoch.0)
        .with_partition_epoch(state.partition_epoch)
        .with_new_isr_with_epochs(isr.iter().map(member).collect())
}

/// The error code of a proposal by `broker`.
fn propose(stage: &mut Stage, broker: i32, asked: Asked) -> i16 {
    let topic = stage.image.topic("t").unwrap().id;
    let topics = vec![AskedTopic::default().with_topic_id(topic).with_partitions(vec![asked])];
    let request = AlterPartitionRequest::default()
        .with_broker_id(broker.into())
        .with_broker_epoch(epoch_of(stage, broker))
        .with_topics(topics);
    let plan = alter_partition(&stage.ctx(), &request).unwrap();
    stage.run(plan)[0].1.error_code
}

fn code(error: ResponseError) -> i16 {
    error.code()
}

#[test]
fn the_leader_shrinks_and_grows_the_set() {
    let mut stage = stage(&[1, 2, 3]);
    let shrunk = asked(&stage, &[1, 2]);
    assert_eq!(propose(&mut stage, 1, shrunk), 0);
    let state = partition(&stage);
    assert_eq!((ids(&state.isr), state.leader_epoch.0, state.partition_epoch), (vec![1, 2], 0, 1), "rule 1");
    let grown = asked(&stage, &[1, 2, 3]);
    assert_eq!(propose(&mut stage, 1, grown), 0);
    assert_eq!(ids(&partition(&stage).isr), [1, 2, 3]);
}

#[test]
fn nothing_else_is_taken() {
    let mut stage = stage(&[1, 2, 3]);
    let fair = asked(&stage, &[1, 2]);
    let refusals = [
        (2, fair.clone(), ResponseError::InvalidRequest),
        (1, fair.clone().with_leader_epoch(-1), ResponseError::FencedLeaderEpoch),
        (1, fair.clone().with_leader_epoch(1), ResponseError::NotController),
        (1, fair.clone().with_partition_epoch(-1), ResponseError::InvalidUpdateVersion),
        (1, fair.clone().with_partition_epoch(1), ResponseError::NotController),
        (1, fair.clone().with_partition_index(1), ResponseError::UnknownTopicOrPartition),
        (1, asked(&stage, &[2, 3]), ResponseError::InvalidRequest),
        (1, asked(&stage, &[1, 4]), ResponseError::InvalidRequest),
        (1, asked(&stage, &[1, 2, 2]), ResponseError::InvalidRequest),
        (1, fair.clone().with_leader_recovery_state(1), ResponseError::InvalidRequest),
    ];
    for (broker, proposal, error) in refusals {
        assert_eq!(propose(&mut stage, broker, proposal), code(error), "rule 16");
    }
    let mut stale = fair;
    stale.new_isr_with_epochs[1].broker_epoch -= 1;
    assert_eq!(propose(&mut stage, 1, stale), code(ResponseError::IneligibleReplica), "rule 16");
    assert_eq!(partition(&stage).partition_epoch, 0);
    let request = AlterPartitionRequest::default().with_broker_id(1.into()).with_broker_epoch(1);
    let refusal = alter_partition(&stage.ctx(), &request).unwrap_err();
    assert_eq!(refusal.code, ResponseError::StaleBrokerEpoch);
}

fn moved(replicas: Option<&[i32]>) -> ReassignablePartition {
    ReassignablePartition::default()
        .with_partition_index(0)
        .with_replicas(replicas.map(|ids| ids.iter().map(|id| (*id).into()).collect()))
}

/// Asks for moves, topic by topic; the error codes.
fn reassign_all(stage: &mut Stage, topics: Vec<Vec<ReassignablePartition>>) -> Vec<i16> {
    let name = || StrBytes::from_static_str("t").into();
    let topics = topics.into_iter();
    let topics = topics.map(|asked| ReassignableTopic::default().with_name(name()).with_partitions(asked));
    let request = AlterPartitionReassignmentsRequest::default()
        .with_allow_replication_factor_change(true)
        .with_topics(topics.collect());
    let item = alter_partition_reassignments(&stage.ctx(), &request);
    let told = stage.run(vec![item]).remove(0);
    told.iter().flat_map(|topic| &topic.partitions).map(|each| each.error_code).collect()
}

/// Asks for a move, or with none to call it off; the error code.
fn reassign(stage: &mut Stage, replicas: Option<&[i32]>) -> i16 {
    reassign_all(stage, vec![vec![moved(replicas)]])[0]
}

#[test]
fn of_a_partition_that_is_named_twice_the_last_word_counts() {
    let mut stage = stage(&[1, 2, 3]);
    let invalid = code(ResponseError::InvalidReplicaAssignment);
    let first = vec![moved(Some(&[2, 3, 4])), moved(Some(&[1, 1]))];
    let told = reassign_all(&mut stage, vec![first, vec![moved(Some(&[3, 1, 2])), moved(Some(&[4, 2, 3]))]]);
    assert_eq!(told, [0, invalid, 0, 0]);
    let state = partition(&stage);
    assert_eq!(ids(&state.replicas), [4, 2, 3, 1]);
    assert_eq!((ids(&state.adding), ids(&state.removing)), (vec![4], vec![1]));
}

#[test]
fn a_move_completes_when_the_new_replicas_are_in_sync() {
    let mut stage = stage(&[1, 2, 3]);
    assert_eq!(reassign(&mut stage, Some(&[2, 3, 4])), 0);
    let state = partition(&stage);
    assert_eq!(ids(&state.replicas), [2, 3, 4, 1]);
    assert_eq!((ids(&state.adding), ids(&state.removing)), (vec![4], vec![1]));
    let caught_up = asked(&stage, &[1, 2, 3, 4]);
    assert_eq!(propose(&mut stage, 1, caught_up), 0);
    let state = partition(&stage);
    assert_eq!((ids(&state.replicas), ids(&state.isr)), (vec![2, 3, 4], vec![2, 3, 4]), "rule 25");
    assert_eq!((state.leader, state.leader_epoch.0), (Some(BrokerId(2)), 1), "rule 2");
    assert!(state.adding.is_empty() && state.removing.is_empty());
}

#[test]
fn a_move_can_be_called_off_and_needs_brokers_that_are_there() {
    let mut stage = stage(&[1, 2, 3]);
    assert_eq!(reassign(&mut stage, None), code(ResponseError::NoReassignmentInProgress));
    assert_eq!(reassign(&mut stage, Some(&[1, 9])), code(ResponseError::InvalidReplicaAssignment));
    assert_eq!(reassign(&mut stage, Some(&[4, 2, 3])), 0);
    assert_eq!(reassign(&mut stage, None), 0);
    let state = partition(&stage);
    assert_eq!((ids(&state.replicas), state.leader), (vec![2, 3, 1], Some(BrokerId(1))));
    assert!(state.adding.is_empty() && state.removing.is_empty());
}

#[test]
fn another_order_of_the_same_replicas_is_there_at_once() {
    let mut stage = stage(&[1, 2, 3]);
    assert_eq!(reassign(&mut stage, Some(&[3, 2, 1])), 0);
    let state = partition(&stage);
    assert_eq!((ids(&state.replicas), state.leader), (vec![3, 2, 1], Some(BrokerId(1))));
    assert!(state.adding.is_empty() && state.removing.is_empty());
}

#[test]
fn a_restarted_broker_has_lost_its_place_before_it_is_there_again() {
    let mut stage = stage(&[1, 2, 3]);
    let plan = restart(&stage.ctx(), BrokerId(1), false);
    stage.run(plan);
    let state = partition(&stage);
    assert_eq!(
        (state.leader, state.leader_epoch.0, ids(&state.isr)),
        (Some(BrokerId(2)), 1, vec![2, 3]),
        "rule 4"
    );
    assert!(fail_over(&stage.ctx()).is_empty(), "and the partition is as it should be");
}
