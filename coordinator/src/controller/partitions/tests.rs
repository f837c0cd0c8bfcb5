//! What CreatePartitions decides.
//!
//! Must never reach around the decision: operations are applied to a real tree.

use kafka_protocol::messages::BrokerId as WireBroker;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsAssignment;

use super::super::testing::Stage;
use super::super::unregister_broker;
use super::*;

fn topic(name: &str, count: i32, assignments: Option<&[&[i32]]>) -> CreatePartitionsTopic {
    let assignment = |ids: &&[i32]| {
        CreatePartitionsAssignment::default().with_broker_ids(ids.iter().copied().map(WireBroker).collect())
    };
    CreatePartitionsTopic::default()
        .with_name(StrBytes::from_string(name.into()).into())
        .with_count(count)
        .with_assignments(assignments.map(|list| list.iter().map(assignment).collect()))
}

fn grow(stage: &mut Stage, topics: Vec<CreatePartitionsTopic>, validate: bool) -> Vec<(i16, String)> {
    let request = CreatePartitionsRequest::default().with_topics(topics).with_validate_only(validate);
    let plan = create_partitions(&mut stage.ctx(), &request);
    let message =
        |r: CreatePartitionsTopicResult| (r.error_code, r.error_message.unwrap_or_default().to_string());
    stage.run(plan).into_iter().map(message).collect()
}

#[test]
fn a_grown_topic_keeps_its_id_and_old_partitions() {
    let mut stage = Stage::with_brokers(&[1, 2]);
    stage.create("t", 2);
    let before = stage.image.topic("t").unwrap().clone();
    assert_eq!(grow(&mut stage, vec![topic("t", 5, None)], false), [(0, String::new())]);
    let after = stage.image.topic("t").unwrap();
    assert_eq!((after.id, after.partition_count()), (before.id, 5));
    assert!(after.partitions.iter().zip(&before.partitions).all(|(a, b)| std::sync::Arc::ptr_eq(a, b)));
    assert_eq!(grow(&mut stage, vec![topic("t", 6, Some(&[&[2]]))], false), [(0, String::new())]);
    assert_eq!(stage.image.topic("t").unwrap().partitions[5].replicas, [BrokerId(2)]);
}

#[test]
fn what_kafka_refuses_is_refused_with_its_words() {
    let mut stage = Stage::with_brokers(&[1, 2]);
    stage.create("t", 3);
    let cases: [(CreatePartitionsTopic, i16, &str); 6] = [
        (topic("gone", 4, None), 3, ""),
        (topic("t", 3, None), 37, "Topic already has 3 partition(s)."),
        (topic("t", 2, None), 37, "The topic t currently has 3 partition(s); 2 would not be an increase."),
        (
            topic("t", 5, Some(&[&[1]])),
            39,
            "Attempted to add 2 additional partition(s), but only 1 assignment(s) were specified.",
        ),
        (
            topic("t", 4, Some(&[&[7]])),
            39,
            "The manual partition assignment includes broker 7, but no such broker is registered.",
        ),
        (
            topic("t", 4, Some(&[&[1, 2]])),
            39,
            "The manual partition assignment includes a partition with 2 replica(s), but this is not consistent with \
             previous partitions, which have 1 replica(s).",
        ),
    ];
    for (topic, code, message) in cases {
        assert_eq!(grow(&mut stage, vec![topic], false), [(code, message.into())]);
    }
    let twice = vec![topic("t", 4, None), topic("t", 5, None)];
    assert_eq!(grow(&mut stage, twice, false), [(42, "Duplicate topic name.".into())]);
    assert_eq!(grow(&mut stage, vec![topic("t", 9, None)], true), [(0, String::new())]);
    assert_eq!(stage.image.topic("t").unwrap().partition_count(), 3);
}

#[test]
fn a_stopped_broker_that_partitions_name_is_registered() {
    let mut stage = Stage::with_brokers(&[1, 2, 3]);
    stage.create_on("t", &[3, 2, 1]);
    let ops = unregister_broker(&stage.ctx(), BrokerId(3)).unwrap();
    stage.commit(ops);
    // By hand, and where there are too few others.
    assert_eq!(grow(&mut stage, vec![topic("t", 2, Some(&[&[3, 1, 2]]))], false), [(0, String::new())]);
    assert_eq!(grow(&mut stage, vec![topic("t", 4, None)], false), [(0, String::new())]);
    for partition in &stage.image.topic("t").unwrap().partitions[1..] {
        assert_eq!(partition.replicas.len(), 3);
        assert!(!partition.isr.contains(&BrokerId(3)) && partition.isr.len() == 2, "{partition:?}");
        assert_ne!(partition.leader, Some(BrokerId(3)));
    }
    let (code, said) = &grow(&mut stage, vec![topic("t", 5, Some(&[&[3, 1, 4]]))], false)[0];
    assert_eq!((*code, said.contains("broker 4")), (39, true), "{said}");
    assert!(place(&stage.image, &mut stage.ctx().dice, 1, 4).unwrap_err().contains("only 3 broker(s)"));
    // As long as the others are enough, nothing is put on it.
    let placed = place(&stage.image, &mut stage.ctx().dice, 20, 2).unwrap();
    assert!(placed.iter().all(|replicas| !replicas.contains(&BrokerId(3))));
}
