//! Refused settings.

use kafka_protocol::messages::alter_configs_request::{AlterConfigsResource, AlterableConfig as OldConfig};
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource as Resource, AlterableConfig,
};
use kafka_protocol::messages::{
    AlterConfigsRequest, DescribeConfigsRequest, IncrementalAlterConfigsRequest, ListConfigResourcesRequest,
};

use crate::topics::create_with;
use crate::{compare, text};

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const CLIENT_METRICS: i8 = 16;
const GROUP: i8 = 32;

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

type Change<'a> = (i8, &'a str, Option<&'a str>);

fn incremental(kind: i8, name: &str, changes: &[Change<'_>]) -> IncrementalAlterConfigsRequest {
    let config = |(operation, name, value): &Change<'_>| {
        AlterableConfig::default()
            .with_name(text(name))
            .with_config_operation(*operation)
            .with_value(value.map(text))
    };
    let resource = Resource::default()
        .with_resource_type(kind)
        .with_resource_name(text(name))
        .with_configs(changes.iter().map(config).collect());
    IncrementalAlterConfigsRequest::default().with_resources(vec![resource]).with_validate_only(true)
}

#[test]
fn limits_on_connections_that_are_not_taken() {
    compare(|server, answers| {
        for (case, kind, name, changes) in [
            ("no connections for all", BROKER, "", &[(SET, "max.connections", Some("0"))][..]),
            ("no new connections", BROKER, "1", &[(SET, "max.connection.creation.rate", Some("0"))]),
            (
                "no connections of a listener",
                BROKER,
                "1",
                &[(SET, "listener.name.plaintext.max.connections", Some("0"))],
            ),
            (
                "a limit of a listener that is no number",
                BROKER,
                "1",
                &[(SET, "listener.name.plaintext.max.connections", Some("few"))],
            ),
        ] {
            answers.note(case, server.wire().call(1, &incremental(kind, name, changes)));
        }
    });
}

#[test]
fn changes_that_are_not_taken() {
    compare(|server, answers| {
        create_with(server, "changed", &[]);
        for (case, kind, name, changes) in [
            ("an unknown name", TOPIC, "changed", &[(SET, "nonsense", Some("1"))][..]),
            ("a wrong value", TOPIC, "changed", &[(SET, "retention.ms", Some("x"))]),
            ("a null value", TOPIC, "changed", &[(SET, "retention.ms", None)]),
            ("appending to a number", TOPIC, "changed", &[(APPEND, "retention.ms", Some("1"))]),
            ("subtracting from a number", TOPIC, "changed", &[(SUBTRACT, "retention.ms", Some("1"))]),
            ("appending to a list", TOPIC, "changed", &[(APPEND, "cleanup.policy", Some("compact"))]),
            ("appending nonsense to a list", TOPIC, "changed", &[(APPEND, "cleanup.policy", Some("x"))]),
            ("deleting what is not set", TOPIC, "changed", &[(DELETE, "retention.ms", None)]),
            (
                "one name twice",
                TOPIC,
                "changed",
                &[(SET, "segment.ms", Some("1")), (DELETE, "segment.ms", None)],
            ),
            ("an unknown topic", TOPIC, "unchanged", &[(SET, "retention.ms", Some("1"))]),
            ("a topic without a name", TOPIC, "", &[(SET, "retention.ms", Some("1"))]),
            ("a wrong topic name", TOPIC, "a b", &[(SET, "retention.ms", Some("1"))]),
            ("an unknown kind", 77, "changed", &[(SET, "retention.ms", Some("1"))]),
            ("no change", TOPIC, "changed", &[]),
            ("another broker", BROKER, "99", &[(SET, "log.cleaner.threads", Some("1"))]),
            ("a broker that is no number", BROKER, "one", &[(SET, "log.cleaner.threads", Some("1"))]),
            ("a broker setting that is fixed", BROKER, "1", &[(SET, "broker.id", Some("7"))]),
            ("a setting of one broker for all", BROKER, "", &[(SET, "listeners", Some("PLAINTEXT://:1"))]),
            ("replicas in sync of one broker", BROKER, "1", &[(SET, "min.insync.replicas", Some("2"))]),
            ("no replicas in sync for the cluster", BROKER, "", &[(DELETE, "min.insync.replicas", None)]),
            ("a wrong broker value", BROKER, "1", &[(SET, "log.cleaner.threads", Some("-1"))]),
            ("an unknown group setting", GROUP, "changed-group", &[(SET, "nonsense", Some("1"))]),
            (
                "a group setting out of range",
                GROUP,
                "changed-group",
                &[(SET, "consumer.session.timeout.ms", Some("1"))],
            ),
            ("a group without a name", GROUP, "", &[(SET, "consumer.session.timeout.ms", Some("45000"))]),
            (
                "an unknown subscription setting",
                CLIENT_METRICS,
                "changed-sub",
                &[(SET, "nonsense", Some("1"))],
            ),
            ("too short an interval", CLIENT_METRICS, "changed-sub", &[(SET, "interval.ms", Some("5"))]),
            ("a wrong match", CLIENT_METRICS, "changed-sub", &[(SET, "match", Some("nonsense"))]),
        ] {
            answers.note(case, server.wire().call(1, &incremental(kind, name, changes)));
        }
        // Kafka's answer is UNKNOWN_SERVER_ERROR; a better one is as good.
        let strange = incremental(TOPIC, "changed", &[(9, "retention.ms", Some("1"))]);
        let refused = server.wire().call(1, &strange).responses[0].error_code != 0;
        answers.note("an unknown operation", refused);
        let mut twice = incremental(TOPIC, "changed", &[(SET, "segment.ms", Some("1"))]);
        twice.resources.push(twice.resources[0].clone());
        answers.note("one resource twice", server.wire().call(1, &twice));

        let old = |name: &str, value: Option<&str>| {
            let config = OldConfig::default().with_name(text(name)).with_value(value.map(text));
            let resource = AlterConfigsResource::default()
                .with_resource_type(TOPIC)
                .with_resource_name(text("changed"))
                .with_configs(vec![config]);
            AlterConfigsRequest::default().with_resources(vec![resource]).with_validate_only(true)
        };
        answers.note("old: an unknown name", server.wire().call(2, &old("nonsense", Some("1"))));
        answers.note("old: a wrong value", server.wire().call(2, &old("retention.ms", Some("x"))));
        answers.note("old: a null value", server.wire().call(2, &old("retention.ms", None)));
        answers.note("old: a good one", server.wire().call(2, &old("retention.ms", Some("5"))));
    });
}

#[test]
fn questions_without_an_answer() {
    compare(|server, answers| {
        create_with(server, "asked", &[]);
        let ask = |kind: i8, name: &str, keys: &[&str]| {
            let resource = DescribeConfigsResource::default()
                .with_resource_type(kind)
                .with_resource_name(text(name))
                .with_configuration_keys(Some(keys.iter().map(|key| text(key)).collect()));
            let request = DescribeConfigsRequest::default()
                .with_resources(vec![resource])
                .with_include_synonyms(true)
                .with_include_documentation(false);
            server.wire().call(4, &request)
        };
        answers.note("an unknown topic", ask(TOPIC, "unasked", &["retention.ms"]));
        answers.note("a wrong topic name", ask(TOPIC, "a b", &["retention.ms"]));
        answers.note("another broker", ask(BROKER, "99", &["num.partitions"]));
        answers.note("a broker that is no number", ask(BROKER, "one", &["num.partitions"]));
        answers.note("an unknown kind", ask(77, "x", &["y"]));
        answers.note("an unknown name", ask(TOPIC, "asked", &["nonsense"]));
        answers.note("some names", ask(TOPIC, "asked", &["retention.ms"]));
        answers.note("a list", ask(TOPIC, "asked", &["cleanup.policy"]));
        answers.note("an unknown group", ask(GROUP, "unasked", &["consumer.session.timeout.ms"]));
        answers.note("an unknown subscription", ask(CLIENT_METRICS, "unasked", &["interval.ms"]));
        let list = |kinds: Vec<i8>| {
            server.wire().call(1, &ListConfigResourcesRequest::default().with_resource_types(kinds))
        };
        answers.note("resources of an unknown kind", list(vec![77]));
        answers.note("brokers", list(vec![BROKER]));
    });
}
