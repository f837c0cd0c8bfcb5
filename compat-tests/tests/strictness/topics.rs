//! Refused topics: names, counts, placements.

use kafka_protocol::messages::create_partitions_request::{
    CreatePartitionsAssignment, CreatePartitionsTopic,
};
use kafka_protocol::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use kafka_protocol::messages::create_topics_response::CreateTopicsResponse;
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::{BrokerId, CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest};
use milena_compat_tests::{Server, wait};
use uuid::Uuid;

use crate::{compare, text, topic_name};

pub(crate) fn topic(name: &str, partitions: i32, replicas: i16) -> CreatableTopic {
    CreatableTopic::default()
        .with_name(topic_name(name))
        .with_num_partitions(partitions)
        .with_replication_factor(replicas)
}

pub(crate) fn create(server: &Server, topics: Vec<CreatableTopic>, validate: bool) -> CreateTopicsResponse {
    let request = CreateTopicsRequest::default()
        .with_topics(topics)
        .with_timeout_ms(10_000)
        .with_validate_only(validate);
    server.wire().call(7, &request)
}

fn with_configs(topic: CreatableTopic, configs: &[(&str, &str)]) -> CreatableTopic {
    let config = |(name, value): &(&str, &str)| {
        CreatableTopicConfig::default().with_name(text(name)).with_value(Some(text(value)))
    };
    topic.with_configs(configs.iter().map(config).collect())
}

/// Creates a topic of one partition, and waits until records are taken.
pub(crate) fn create_with(server: &Server, name: &str, configs: &[(&str, &str)]) {
    let answer = create(server, vec![with_configs(topic(name, 1, 1), configs)], false);
    assert_eq!(answer.topics[0].error_code, 0, "{answer:?}");
    wait::until(wait::PATIENCE, "the topic has a leader", || {
        let described = server.tool("kafka-topics").args(["--describe", "--topic", name]).run();
        described.text().contains("Leader: 1").then_some(())
    });
}

fn placed(name: &str, placement: &[(i32, &[i32])]) -> CreatableTopic {
    let assignment = |(partition, brokers): &(i32, &[i32])| {
        CreatableReplicaAssignment::default()
            .with_partition_index(*partition)
            .with_broker_ids(brokers.iter().map(|&broker| BrokerId(broker)).collect())
    };
    topic(name, -1, -1).with_assignments(placement.iter().map(assignment).collect())
}

#[test]
fn names_that_no_topic_may_have() {
    compare(|server, answers| {
        let long = "n".repeat(250);
        for name in ["", ".", "..", "a b", "a/b", "a:b", "ä", "a\n", "a*", "a,b", &long] {
            answers.note(&format!("the name {name:?}"), create(server, vec![topic(name, 1, 1)], true));
        }
        create_with(server, "near.miss", &[]);
        answers.note("a dot for an underscore", create(server, vec![topic("near_miss", 1, 1)], false));
        answers.note("one that exists", create(server, vec![topic("near.miss", 1, 1)], false));
        answers.note("one that exists, validated", create(server, vec![topic("near.miss", 1, 1)], true));
        let twice = vec![topic("same-twice", 1, 1), topic("same-twice", 2, 1), topic("once.", 1, 0)];
        let mut answer = create(server, twice, true);
        answer.topics.sort_by_key(|topic| topic.name.to_string());
        answers.note("the same name twice", answer);
        answers.note("an internal name", create(server, vec![topic("__consumer_offsets", 0, 1)], true));
    });
}

#[test]
fn counts_and_placements_that_cannot_be() {
    compare(|server, answers| {
        for (partitions, replicas) in
            [(0, 1), (-2, 1), (1, 0), (1, -2), (1, 2), (1, 3), (1, 32767), (0, 0), (-1, 2), (100_001, 1)]
        {
            let case = format!("{partitions} partitions, {replicas} replicas");
            answers.note(&case, create(server, vec![topic("counted", partitions, replicas)], true));
        }
        for (case, placement) in [
            ("an unknown broker", &[(0, &[9][..])][..]),
            ("a broker twice", &[(0, &[1, 1][..])]),
            ("no broker", &[(0, &[][..])]),
            ("a gap", &[(0, &[1][..]), (2, &[1])]),
            ("not from 0", &[(1, &[1][..])]),
            ("a partition twice", &[(0, &[1][..]), (0, &[1])]),
            ("different factors", &[(0, &[1][..]), (1, &[1, 2])]),
            ("a negative partition", &[(-1, &[1][..])]),
        ] {
            answers.note(case, create(server, vec![placed("placed", placement)], true));
        }
        let both = placed("placed", &[(0, &[1])]).with_num_partitions(1);
        answers.note("a placement and a count", create(server, vec![both.clone()], true));
        let both = both.with_num_partitions(-1).with_replication_factor(1);
        answers.note("a placement and a factor", create(server, vec![both], true));
    });
}

#[test]
fn settings_that_no_topic_may_have() {
    compare(|server, answers| {
        for (name, value) in [
            ("nonsense", "1"),
            ("retention.ms", "soon"),
            ("retention.ms", "-2"),
            ("cleanup.policy", "burn"),
            ("cleanup.policy", "delete,burn"),
            ("compression.type", "rar"),
            ("segment.bytes", "13"),
            ("segment.ms", "0"),
            ("max.message.bytes", "-1"),
            ("min.insync.replicas", "0"),
            ("min.cleanable.dirty.ratio", "1.5"),
            ("message.timestamp.type", "Whenever"),
            ("preallocate", "maybe"),
            ("unclean.leader.election.enable", "2"),
            ("compression.gzip.level", "10"),
            ("compression.zstd.level", "100"),
            ("flush.messages", "0"),
            ("index.interval.bytes", "-5"),
            ("local.retention.ms", "-3"),
            ("remote.storage.enable", "true"),
            ("min.compaction.lag.ms", "9223372036854775808"),
            ("message.timestamp.difference.max.ms", "1"),
            ("message.format.version", "3.0"),
        ] {
            let topics = vec![with_configs(topic("set", 1, 1), &[(name, value)])];
            answers.note(&format!("{name}={value}"), create(server, topics, true));
        }
        let lags = [("min.compaction.lag.ms", "100"), ("max.compaction.lag.ms", "50")];
        answers.note(
            "lags that contradict",
            create(server, vec![with_configs(topic("set", 1, 1), &lags)], true),
        );
        let null = CreatableTopicConfig::default().with_name(text("retention.ms")).with_value(None);
        answers.note("a null value", create(server, vec![topic("set", 1, 1).with_configs(vec![null])], true));
        let good = [("retention.ms", "1000"), ("cleanup.policy", "compact")];
        let answer = create(server, vec![with_configs(topic("set", 2, 1), &good)], true);
        let told = &answer.topics[0];
        answers.note("a good one", (told.error_code, told.num_partitions, told.replication_factor));
        let configs = told.configs.iter().flatten();
        let mut all: Vec<_> =
            configs.map(|c| (&c.name, &c.value, c.read_only, c.config_source, c.is_sensitive)).collect();
        all.sort_by_key(|entry| entry.0.to_string());
        answers.note("the settings of a good one", all);
    });
}

#[test]
fn partitions_that_cannot_be_added_and_topics_that_cannot_go() {
    compare(|server, answers| {
        create_with(server, "grown", &[]);
        let mut grow = |case: &str, name: &str, count: i32, placement: Option<&[&[i32]]>| {
            let assignment = |brokers: &&[i32]| {
                let brokers = brokers.iter().map(|&broker| BrokerId(broker)).collect();
                CreatePartitionsAssignment::default().with_broker_ids(brokers)
            };
            let topic = CreatePartitionsTopic::default()
                .with_name(topic_name(name))
                .with_count(count)
                .with_assignments(placement.map(|list| list.iter().map(assignment).collect()));
            let request = CreatePartitionsRequest::default()
                .with_topics(vec![topic])
                .with_timeout_ms(5000)
                .with_validate_only(true);
            answers.note(case, server.wire().call(3, &request));
        };
        grow("none more", "grown", 1, None);
        grow("fewer", "grown", 0, None);
        grow("a negative count", "grown", -1, None);
        grow("an unknown topic", "ungrown", 3, None);
        grow("too few placements", "grown", 3, Some(&[&[1]]));
        grow("too many placements", "grown", 2, Some(&[&[1], &[1]]));
        grow("an unknown broker", "grown", 2, Some(&[&[5]]));
        grow("too many replicas", "grown", 2, Some(&[&[1, 2]]));
        grow("an empty placement", "grown", 2, Some(&[&[]]));
        grow("a right one", "grown", 2, Some(&[&[1]]));

        let mut delete = |case: &str, state: DeleteTopicState| {
            let request = DeleteTopicsRequest::default().with_topics(vec![state]).with_timeout_ms(5000);
            answers.note(case, server.wire().try_call(6, &request).map_err(|error| error.kind()));
        };
        delete("an unknown name", DeleteTopicState::default().with_name(Some(topic_name("undeleted"))));
        delete(
            "an unknown id",
            DeleteTopicState::default().with_name(None).with_topic_id(Uuid::from_u128(5)),
        );
        delete("neither", DeleteTopicState::default().with_name(None));
        let both = DeleteTopicState::default()
            .with_name(Some(topic_name("grown")))
            .with_topic_id(Uuid::from_u128(5));
        delete("both", both);
    });
}
