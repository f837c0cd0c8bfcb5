//! Who is elected, and who is not.
//!
//! Must never reach around the decision: operations are applied to a real tree.

use kafka_protocol::messages::elect_leaders_request::TopicPartitions;
use milena_storage::ids::LeaderEpoch;

use super::super::testing::Stage;
use super::*;
use crate::image::nodes::StateNode;

fn ask(kind: i8, topic: &str) -> ElectLeadersRequest {
    let topics = TopicPartitions::default()
        .with_topic(StrBytes::from_string(topic.into()).into())
        .with_partitions(vec![0]);
    ElectLeadersRequest::default().with_election_type(kind).with_topic_partitions(Some(vec![topics]))
}

fn elect(stage: &mut Stage, request: &ElectLeadersRequest) -> (i16, String) {
    let item = elect_leaders(&stage.ctx(), request).unwrap();
    stage.commit(item.ops);
    let results = item.result.replica_election_results;
    let first = results.first().and_then(|t| t.partition_result.first());
    first.map_or((0, "none".into()), |p| {
        (p.error_code, p.error_message.clone().unwrap_or_default().to_string())
    })
}

fn put_state(stage: &mut Stage, state: &StateNode) {
    stage.commit(vec![Op::set(paths::partition_state("t", 0), to_json(state), crate::tree::ANY_VERSION)]);
}

/// One partition on broker 1, without a leader.
fn offline() -> Stage {
    let mut stage = Stage::with_brokers(&[1]);
    stage.create("t", 1);
    put_state(&mut stage, &StateNode::new(BrokerId(-1), 4, 1, &[BrokerId(1)]));
    stage
}

#[test]
fn needless_and_unknown_elections_are_told_so() {
    let mut stage = Stage::with_brokers(&[1]);
    stage.create("t", 1);
    let needless = (84, "Leader election not needed for topic partition.".to_owned());
    assert_eq!(elect(&mut stage, &ask(0, "t")), needless);
    assert_eq!(elect(&mut stage, &ask(1, "t")), needless);
    assert_eq!(elect(&mut stage, &ask(0, "u")), (3, "No such topic as u".into()));
    let all = ElectLeadersRequest::default().with_topic_partitions(None);
    assert_eq!(elect(&mut stage, &all), (0, "none".into()), "asked about all, needless ones are left out");
    let refusal = elect_leaders(&stage.ctx(), &ask(5, "t")).unwrap_err();
    assert_eq!((refusal.code.code(), &*refusal.message), (42, "Unknown election type 5"));
}

#[test]
fn an_in_sync_replica_takes_a_leaderless_partition_with_the_next_epoch() {
    let mut stage = offline();
    assert_eq!(elect(&mut stage, &ask(0, "t")).0, 0);
    let partition = stage.image.partition("t", PartitionIndex(0)).unwrap();
    assert_eq!((partition.leader, partition.leader_epoch), (Some(BrokerId(1)), LeaderEpoch(5)));
    assert!(!partition.recovering);
}

#[test]
fn a_partition_that_is_named_twice_is_elected_for_once() {
    let mut stage = offline();
    let mut request = ask(0, "t");
    let topics = request.topic_partitions.as_mut().unwrap();
    topics[0].partitions.push(0);
    topics.push(topics[0].clone());
    let item = elect_leaders(&stage.ctx(), &request).unwrap();
    stage.commit(item.ops);
    let results = item.result.replica_election_results.iter().flat_map(|topic| &topic.partition_result);
    assert_eq!(results.map(|each| each.error_code).collect::<Vec<_>>(), [0; 4]);
    let partition = stage.image.partition("t", PartitionIndex(0)).unwrap();
    assert_eq!((partition.leader, partition.leader_epoch), (Some(BrokerId(1)), LeaderEpoch(5)));
}

#[test]
fn a_replica_out_of_sync_leads_only_by_unclean_election() {
    let mut stage = offline();
    put_state(&mut stage, &StateNode::new(BrokerId(-1), 4, 1, &[BrokerId(2)]));
    assert_eq!(elect(&mut stage, &ask(0, "t")), (80, "The preferred leader was not available.".into()));
    assert_eq!(elect(&mut stage, &ask(1, "t")).0, 0);
    let partition = stage.image.partition("t", PartitionIndex(0)).unwrap();
    assert_eq!(
        (partition.leader, &partition.isr[..], partition.recovering),
        (Some(BrokerId(1)), &[BrokerId(1)][..], true)
    );
}

#[test]
fn a_start_after_a_crash_raises_leader_epochs_and_a_clean_one_does_not() {
    let mut stage = Stage::with_brokers(&[1]);
    stage.create("t", 2);
    assert_eq!(take_up_leadership(&stage.image, BrokerId(1), true), []);
    let ops = take_up_leadership(&stage.image, BrokerId(1), false);
    stage.commit(ops);
    let epochs: Vec<_> =
        stage.image.topic("t").unwrap().partitions.iter().map(|p| p.leader_epoch.0).collect();
    assert_eq!(epochs, [1, 1]);
    let mut stage = offline();
    let ops = take_up_leadership(&stage.image, BrokerId(1), true);
    stage.commit(ops);
    assert_eq!(stage.image.partition("t", PartitionIndex(0)).unwrap().leader, Some(BrokerId(1)));
}
