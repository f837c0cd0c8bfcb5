//! What the two ways of altering configs decide.
//!
//! Must never reach around the decision: operations are applied to a real tree.

use kafka_protocol::messages::alter_configs_request::{
    AlterConfigsResource as LegacyResource, AlterableConfig as LegacyConfig,
};
use kafka_protocol::messages::incremental_alter_configs_request::AlterConfigsResource;

use super::super::testing::Stage;
use super::*;

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.into())
}

fn resource(kind: i8, name: &str, entries: &[(&str, i8, Option<&str>)]) -> AlterConfigsResource {
    let configs = entries.iter().map(|(key, operation, value)| {
        AlterableConfig::default()
            .with_name(text(key))
            .with_config_operation(*operation)
            .with_value(value.map(text))
    });
    AlterConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(text(name))
        .with_configs(configs.collect())
}

fn alter(stage: &mut Stage, resources: Vec<AlterConfigsResource>) -> Vec<(i16, String)> {
    let request = IncrementalAlterConfigsRequest::default().with_resources(resources);
    let plan = incremental_alter_configs(&stage.ctx(), &request);
    stage
        .run(plan)
        .into_iter()
        .map(|r| (r.error_code, r.error_message.unwrap_or_default().to_string()))
        .collect()
}

fn of_topic(stage: &Stage) -> Vec<(String, String)> {
    stage.image.topic_config("t").map(|c| c.clone().into_iter().collect()).unwrap_or_default()
}

fn topic_stage() -> Stage {
    let mut stage = Stage::with_brokers(&[1]);
    stage.create("t", 1);
    stage
}

#[test]
fn set_append_subtract_and_delete_change_one_config() {
    let mut stage = topic_stage();
    let ok = [(0, String::new())];
    let steps: [(&str, i8, Option<&str>, Option<&str>); 7] = [
        ("cleanup.policy", APPEND, Some("compact"), Some("delete,compact")),
        ("cleanup.policy", APPEND, Some("compact,delete"), Some("delete,compact")),
        ("cleanup.policy", SUBTRACT, Some("delete,other"), Some("compact")),
        ("cleanup.policy", SUBTRACT, Some("compact"), Some("")),
        ("cleanup.policy", SET, Some("compact"), Some("compact")),
        ("cleanup.policy", DELETE, None, None),
        ("cleanup.policy", DELETE, Some("ignored"), None),
    ];
    for (key, operation, value, after) in steps {
        assert_eq!(alter(&mut stage, vec![resource(2, "t", &[(key, operation, value)])]), ok);
        assert_eq!(of_topic(&stage).first().map(|(_, v)| v.as_str()), after);
    }
    assert_eq!(stage.image.config_version(ConfigKind::Topic, "t"), None, "an empty config has no node");
}

#[test]
fn what_kafka_refuses_is_refused_with_its_words() {
    let mut stage = topic_stage();
    let cases = [
        (resource(2, "gone", &[("k", SET, Some("v"))]), 3, "The topic 'gone' does not exist."),
        (resource(2, "", &[("k", SET, Some("v"))]), 42, "Default topic resources are not allowed."),
        (resource(2, "t", &[("nope", SET, Some("v"))]), 40, "Unknown topic config name: nope"),
        (
            resource(2, "t", &[("k", APPEND, Some("v"))]),
            40,
            "Can't APPEND to key k because its type is not LIST.",
        ),
        (
            resource(2, "t", &[("nope", SUBTRACT, Some("v"))]),
            40,
            "Can't SUBTRACT to key nope because its type is not LIST.",
        ),
        (
            resource(2, "t", &[("k", SET, None), ("l", APPEND, None)]),
            42,
            "Null value not supported for : k, l",
        ),
        (
            resource(2, "t", &[("k", SET, Some("a")), ("k", DELETE, None)]),
            42,
            "Error due to duplicate config keys",
        ),
        (resource(2, "t", &[("k", 7, Some("a"))]), 42, "Unknown operations type 7"),
        (resource(3, "t", &[]), 42, "Unknown resource type 3"),
        (resource(4, "x", &[]), 42, "Node id must be an integer, but it is: x"),
        (resource(4, "2", &[]), 42, "Unexpected broker id, expected 1, but received 2"),
        (
            resource(4, "1", &[("k", APPEND, Some("v"))]),
            40,
            "Config value append is not allowed for config key: k",
        ),
        (resource(4, "", &[("nope", APPEND, Some("v"))]), 40, "Unknown config name: nope"),
        (resource(32, "", &[]), 42, "Default group resources are not allowed."),
        (resource(8, "2", &[]), 42, "Unexpected node id. Expected 1, but received 2"),
    ];
    for (resource, code, message) in cases {
        assert_eq!(alter(&mut stage, vec![resource]), [(code, message.into())]);
    }
    let twice = vec![resource(2, "t", &[]), resource(2, "t", &[]), resource(4, "", &[])];
    let refused = (42, "Each resource must appear at most once.".to_owned());
    assert_eq!(alter(&mut stage, twice), [refused.clone(), refused, (0, String::new())]);
}

#[test]
fn one_refused_key_refuses_its_resource_and_no_other() {
    let mut stage = topic_stage();
    let resources = vec![
        resource(2, "t", &[("k", SET, Some("v")), ("nope", SET, Some("v"))]),
        resource(4, "", &[("k", SET, Some("v"))]),
    ];
    let codes: Vec<_> = alter(&mut stage, resources).into_iter().map(|(code, _)| code).collect();
    assert_eq!(codes, [40, 0]);
    assert_eq!(of_topic(&stage), []);
    assert_eq!(stage.image.config(ConfigKind::Broker, "").unwrap()["k"], "v");
}

#[test]
fn a_brokers_configs_are_written_again_though_equal() {
    let mut stage = topic_stage();
    let same =
        || vec![resource(4, "1", &[("k", SET, Some("v"))]), resource(2, "t", &[("k", SET, Some("v"))])];
    alter(&mut stage, same());
    alter(&mut stage, same());
    assert_eq!(stage.image.config_version(ConfigKind::Broker, "1"), Some(1));
    assert_eq!(stage.image.config_version(ConfigKind::Topic, "t"), Some(0));
}

#[test]
fn the_old_way_replaces_everything() {
    let mut stage = topic_stage();
    alter(&mut stage, vec![resource(2, "t", &[("k", SET, Some("v"))])]);
    let legacy = |key: &str, value: Option<&str>| {
        let config = LegacyConfig::default().with_name(text(key)).with_value(value.map(text));
        let resource = LegacyResource::default()
            .with_resource_type(2)
            .with_resource_name(text("t"))
            .with_configs(vec![config]);
        AlterConfigsRequest::default().with_resources(vec![resource])
    };
    let plan = alter_configs(&stage.ctx(), &legacy("retention.ms", Some("5")).with_validate_only(true));
    assert_eq!(stage.run(plan)[0].error_code, 0);
    assert_eq!(of_topic(&stage), [("k".into(), "v".into())], "validated only");
    let plan = alter_configs(&stage.ctx(), &legacy("retention.ms", Some("5")));
    assert_eq!(stage.run(plan)[0].error_code, 0);
    assert_eq!(of_topic(&stage), [("retention.ms".into(), "5".into())]);
    let plan = alter_configs(&stage.ctx(), &legacy("k", None));
    assert_eq!(stage.run(plan)[0].error_message.as_deref(), Some("Null value not supported for : k"));
}

#[test]
fn group_names_of_any_kind_carry_configs() {
    let mut stage = Stage::with_brokers(&[1]);
    for name in ["a/b", "..", "<default>", "ü %2F"] {
        assert_eq!(
            alter(&mut stage, vec![resource(32, name, &[("k", SET, Some(name))])]),
            [(0, String::new())]
        );
        assert_eq!(stage.image.config(ConfigKind::Group, name).unwrap()["k"], name);
    }
    assert_eq!(stage.image.configs(ConfigKind::Group).count(), 4);
}

#[test]
fn another_number_of_replicas_in_sync_makes_nobody_eligible_any_more() {
    let mut stage = Stage::with_brokers(&[1, 2, 3]);
    stage.finalize("eligible.leader.replicas.version", 1);
    stage.create_on("t", &[1, 2]);
    stage.create_on("u", &[1, 2]);
    let eligible = |stage: &mut Stage| {
        for topic in ["t", "u"] {
            let mut state = StateNode::new(BrokerId(1), 3, 1, &[BrokerId(1)]);
            (state.elr, state.last_known_elr) = (vec![2], vec![3]);
            let path = paths::partition_state(topic, 0);
            stage.commit(vec![Op::set(path, to_json(&state), crate::tree::ANY_VERSION)]);
        }
    };
    let kept = |stage: &Stage| {
        ["t", "u"].map(|topic| {
            let partition = &stage.image.topic(topic).unwrap().partitions[0];
            assert_eq!((partition.leader, partition.leader_epoch.0), (Some(BrokerId(1)), 3));
            partition.elr.len() + partition.last_known_elr.len()
        })
    };
    let ok = [(0, String::new())];
    let of = |kind, name: &str, operation, value| {
        vec![resource(kind, name, &[("min.insync.replicas", operation, value)])]
    };
    eligible(&mut stage);
    assert_eq!(alter(&mut stage, vec![resource(2, "t", &[("k", SET, Some("v"))])]), ok);
    assert_eq!(kept(&stage), [2, 2], "that was another config");
    assert_eq!(alter(&mut stage, of(2, "t", SET, Some("2"))), ok);
    assert_eq!(kept(&stage), [0, 2], "rule 9");
    eligible(&mut stage);
    assert_eq!(alter(&mut stage, of(2, "t", SET, Some("2"))), ok);
    assert_eq!(kept(&stage), [2, 2], "it was two before");
    assert_eq!(alter(&mut stage, of(4, "", SET, Some("2"))), ok);
    assert_eq!(kept(&stage), [0, 0], "rule 9");
    let refused = |message: &str| [(40, message.to_owned())];
    assert_eq!(
        alter(&mut stage, of(4, "", DELETE, None)),
        refused("Cluster-level min.insync.replicas cannot be removed while ELR is enabled.")
    );
    assert_eq!(
        alter(&mut stage, of(4, "1", SET, Some("2"))),
        refused("Broker-level min.insync.replicas cannot be altered while ELR is enabled.")
    );
}
