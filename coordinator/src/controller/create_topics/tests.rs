//! What CreateTopics decides: one case per error, and what a created topic looks like.
//!
//! Must never reach around the decision: operations are applied to a real tree.

use kafka_protocol::messages::BrokerId as WireBroker;
use kafka_protocol::messages::create_topics_request::{CreatableReplicaAssignment, CreatableTopicConfig};
use milena_storage::ids::{LeaderEpoch, PartitionIndex};

use super::super::testing::Stage;
use super::*;

fn topic(name: &str, partitions: i32, factor: i16) -> CreatableTopic {
    CreatableTopic::default()
        .with_name(StrBytes::from_string(name.into()).into())
        .with_num_partitions(partitions)
        .with_replication_factor(factor)
}

fn with_config(topic: CreatableTopic, name: &str, value: Option<&str>) -> CreatableTopic {
    let mut configs = topic.configs.clone();
    configs.push(
        CreatableTopicConfig::default()
            .with_name(StrBytes::from_string(name.into()))
            .with_value(value.map(|v| StrBytes::from_string(v.into()))),
    );
    topic.with_configs(configs)
}

fn with_brokers(topic: CreatableTopic, assignments: &[(i32, &[i32])]) -> CreatableTopic {
    let assignments = assignments.iter().map(|(index, ids)| {
        CreatableReplicaAssignment::default()
            .with_partition_index(*index)
            .with_broker_ids(ids.iter().copied().map(WireBroker).collect())
    });
    topic.with_assignments(assignments.collect())
}

fn request(topics: Vec<CreatableTopic>) -> CreateTopicsRequest {
    CreateTopicsRequest::default().with_topics(topics)
}

fn create(stage: &mut Stage, topic: CreatableTopic) -> CreatableTopicResult {
    let plan = create_topics(&mut stage.ctx(), &request(vec![topic])).unwrap();
    stage.run(plan).remove(0)
}

fn error(stage: &mut Stage, topic: CreatableTopic) -> (i16, String) {
    let before = stage.tree.clone();
    let result = create(stage, topic);
    assert_eq!(stage.tree, before, "a refused topic leaves nothing behind");
    (result.error_code, result.error_message.unwrap_or_default().to_string())
}

#[test]
fn a_created_topic_has_its_partitions_leaders_and_configs() {
    let mut stage = Stage::with_brokers(&[1, 2, 3]);
    let result = create(&mut stage, with_config(topic("orders", 3, 2), "retention.ms", Some("1000")));
    assert_eq!((result.error_code, result.num_partitions, result.replication_factor), (0, 3, 2));
    assert_eq!(result.configs.unwrap()[0].name.as_str(), "retention.ms");
    let created = stage.image.topic("orders").unwrap();
    assert_eq!(stage.image.topic_by_id(result.topic_id), Some(created));
    assert_eq!((created.partition_count(), created.replication_factor()), (3, 2));
    for partition in &created.partitions {
        assert_eq!(partition.leader, partition.replicas.first().copied());
        assert_eq!(partition.isr, partition.replicas);
        assert_eq!((partition.leader_epoch, partition.partition_epoch), (LeaderEpoch(0), 0));
    }
    assert_eq!(stage.image.topic_config("orders").unwrap()["retention.ms"], "1000");
}

#[test]
fn minus_one_takes_the_brokers_defaults() {
    let mut stage = Stage::with_brokers(&[1]);
    let result = create(&mut stage, topic("t", -1, -1));
    assert_eq!((result.error_code, result.num_partitions, result.replication_factor), (0, 2, 1));
}

#[test]
fn a_manual_assignment_is_kept_as_given() {
    let mut stage = Stage::with_brokers(&[1, 2, 3]);
    let result = create(&mut stage, with_brokers(topic("t", -1, -1), &[(1, &[2, 3]), (0, &[3, 1])]));
    assert_eq!((result.error_code, result.num_partitions, result.replication_factor), (0, 2, 2));
    let partition = stage.image.partition("t", PartitionIndex(1)).unwrap();
    assert_eq!(partition.replicas, [BrokerId(2), BrokerId(3)]);
    assert_eq!(partition.leader, Some(BrokerId(2)));
}

#[test]
fn bad_names_counts_and_configs_are_refused_as_by_kafka() {
    let mut stage = Stage::with_brokers(&[1]);
    stage.create("a.b", 1);
    let cases = [
        (topic("a.b", 1, 1), 36, "Topic 'a.b' already exists."),
        (topic("a_b", 1, 1), 17, "Topic 'a_b' collides with existing topic: a.b"),
        (topic("", 1, 1), 17, "Topic name is invalid: the empty string is not allowed"),
        (topic("t", 0, 1), 37, "Number of partitions was set to an invalid non-positive value."),
        (topic("t", -2, 1), 37, "Number of partitions was set to an invalid non-positive value."),
        (topic("t", 1, 0), 38, "Replication factor must be larger than 0, or -1 to use the default value."),
        (
            topic("t", 1, 2),
            38,
            "Unable to replicate the partition 2 time(s): The target replication factor of 2 cannot be reached because \
             only 1 broker(s) are registered or some brokers have all their log directories cordoned.",
        ),
        (with_config(topic("t", 1, 1), "nope", Some("1")), 40, "Unknown topic config name: nope"),
        (
            with_config(topic("t", 1, 1), "retention.ms", Some("x")),
            40,
            "Invalid value x for configuration retention.ms",
        ),
        (
            with_config(with_config(topic("t", 1, 1), "k", None), "retention.ms", None),
            40,
            "Null value not supported for topic configs: k,retention.ms",
        ),
        (
            with_config(topic("t", 1, 1), "k", Some(&"v".repeat(32_768))),
            40,
            "The configuration value cannot be added because it exceeds the maximum value size of 32767 bytes.",
        ),
    ];
    for (topic, code, message) in cases {
        assert_eq!(error(&mut stage, topic), (code, message.into()));
    }
}

#[test]
fn bad_assignments_are_refused_as_by_kafka() {
    let mut stage = Stage::with_brokers(&[1, 2]);
    let t = |partitions, factor| topic("t", partitions, factor);
    let cases: [(CreatableTopic, i16, &str); 8] = [
        (
            with_brokers(t(-1, 1), &[(0, &[1])]),
            42,
            "A manual partition assignment was specified, but replication factor was not set to -1.",
        ),
        (
            with_brokers(t(1, -1), &[(0, &[1])]),
            42,
            "A manual partition assignment was specified, but numPartitions was not set to -1.",
        ),
        (
            with_brokers(t(-1, -1), &[(0, &[1]), (0, &[2])]),
            39,
            "Found multiple manual partition assignments for partition 0",
        ),
        (
            with_brokers(t(-1, -1), &[(1, &[1])]),
            39,
            "partitions should be a consecutive 0-based integer sequence",
        ),
        (
            with_brokers(t(-1, -1), &[(0, &[])]),
            39,
            "The manual partition assignment includes an empty replica list.",
        ),
        (
            with_brokers(t(-1, -1), &[(0, &[9])]),
            39,
            "The manual partition assignment includes broker 9, but no such broker is registered.",
        ),
        (
            with_brokers(t(-1, -1), &[(0, &[1, 1])]),
            39,
            "The manual partition assignment includes the broker 1 more than once.",
        ),
        (
            with_brokers(t(-1, -1), &[(0, &[1]), (1, &[1, 2])]),
            39,
            "The manual partition assignment includes a partition with 2 replica(s), but this is not consistent with \
             previous partitions, which have 1 replica(s).",
        ),
    ];
    for (topic, code, message) in cases {
        assert_eq!(error(&mut stage, topic), (code, message.into()));
    }
}

#[test]
fn duplicates_and_the_metadata_topic_are_answered_after_the_others() {
    let mut stage = Stage::with_brokers(&[1]);
    let topics =
        vec![topic("twice", 1, 1), topic("once", 1, 1), topic("twice", 1, 1), topic(METADATA_TOPIC, 1, 1)];
    let plan = create_topics(&mut stage.ctx(), &request(topics)).unwrap();
    let told: Vec<_> = stage
        .run(plan)
        .into_iter()
        .map(|r| (r.name.to_string(), r.error_code, r.error_message.unwrap_or_default().to_string()))
        .collect();
    assert_eq!(
        told,
        [
            ("once".into(), 0, String::new()),
            ("twice".into(), 42, "Duplicate topic name.".into()),
            (
                METADATA_TOPIC.into(),
                42,
                "Creation of internal topic __cluster_metadata is prohibited.".into()
            ),
        ]
    );
}

#[test]
fn validate_only_checks_everything_and_creates_nothing() {
    let mut stage = Stage::with_brokers(&[1]);
    let asked = request(vec![topic("t", 1, 1), topic("u", 0, 1)]).with_validate_only(true);
    let plan = create_topics(&mut stage.ctx(), &asked).unwrap();
    let codes: Vec<_> = stage.run(plan).iter().map(|r| r.error_code).collect();
    assert_eq!(codes, [0, 37]);
    assert_eq!(stage.image.topic_count(), 0);
}

#[test]
fn more_than_ten_thousand_partitions_refuse_the_whole_request() {
    let stage = Stage::with_brokers(&[1]);
    let refusal =
        create_topics(&mut stage.ctx(), &request(vec![topic("a", 9_999, 1), topic("b", -1, 1)])).unwrap_err();
    assert_eq!(refusal.code, ResponseError::PolicyViolation);
    assert_eq!(refusal.message, "Excessively large number of partitions per request.");
}
