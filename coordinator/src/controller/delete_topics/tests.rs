//! What DeleteTopics decides.
//!
//! Must never reach around the decision: operations are applied to a real tree.

use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::{IncrementalAlterConfigsRequest, TopicName};

use super::super::incremental_alter_configs;
use super::super::testing::Stage;
use super::*;

fn name(name: &str) -> TopicName {
    StrBytes::from_string(name.into()).into()
}

fn state(topic: Option<&str>, id: Uuid) -> DeleteTopicState {
    DeleteTopicState::default().with_name(topic.map(name)).with_topic_id(id)
}

fn delete(stage: &mut Stage, request: &DeleteTopicsRequest) -> Vec<(Option<String>, i16, String)> {
    let plan = delete_topics(&mut stage.ctx(), request);
    let told = stage.run(plan).into_iter();
    told.map(|r| {
        (r.name.map(|n| n.to_string()), r.error_code, r.error_message.unwrap_or_default().to_string())
    })
    .collect()
}

#[test]
fn a_deleted_topic_leaves_no_node_behind() {
    let mut stage = Stage::with_brokers(&[1]);
    let empty = stage.tree.subtree("/").map(|(path, ..)| path.clone()).collect::<Vec<_>>();
    stage.create("t", 3);
    let config = AlterableConfig::default()
        .with_name(StrBytes::from_static_str("k"))
        .with_value(Some(StrBytes::from_static_str("v")));
    let resource = AlterConfigsResource::default()
        .with_resource_type(2)
        .with_resource_name(StrBytes::from_static_str("t"))
        .with_configs(vec![config]);
    let plan = incremental_alter_configs(
        &stage.ctx(),
        &IncrementalAlterConfigsRequest::default().with_resources(vec![resource]),
    );
    stage.run(plan);
    let request = DeleteTopicsRequest::default().with_topic_names(vec![name("t")]);
    assert_eq!(delete(&mut stage, &request), [(Some("t".into()), 0, String::new())]);
    assert_eq!(stage.tree.subtree("/").map(|(path, ..)| path.clone()).collect::<Vec<_>>(), empty);
    assert_eq!((stage.image.topic_count(), stage.image.topic_config("t")), (0, None));
}

#[test]
fn topics_are_deleted_by_id_and_answered_with_their_names() {
    let mut stage = Stage::with_brokers(&[1]);
    stage.create("t", 1);
    let id = stage.image.topic("t").unwrap().id;
    let request = DeleteTopicsRequest::default().with_topics(vec![state(None, id)]);
    assert_eq!(delete(&mut stage, &request), [(Some("t".into()), 0, String::new())]);
}

#[test]
fn confused_requests_are_answered_one_by_one() {
    let mut stage = Stage::with_brokers(&[1]);
    stage.create("t", 1);
    stage.create("u", 1);
    let (t, u, other) =
        (stage.image.topic("t").unwrap().id, stage.image.topic("u").unwrap().id, Uuid::from_u128(9));
    let request = DeleteTopicsRequest::default().with_topics(vec![
        state(None, Uuid::nil()),
        state(Some("t"), t),
        state(Some("x"), Uuid::nil()),
        state(Some("x"), Uuid::nil()),
        state(None, other),
        state(Some("gone"), Uuid::nil()),
        state(None, u),
        state(Some("u"), Uuid::nil()),
    ]);
    let told = delete(&mut stage, &request);
    assert_eq!(
        told,
        [
            (None, 42, "Neither topic name nor id were specified.".into()),
            (Some("t".into()), 42, "You may not specify both topic name and topic id.".into()),
            (Some("x".into()), 42, "Duplicate topic name.".into()),
            (None, 100, "This server does not host this topic ID.".into()),
            (Some("gone".into()), 3, "This server does not host this topic-partition.".into()),
            (Some("u".into()), 42, "The provided topic name maps to an ID that was already supplied.".into()),
        ]
    );
    assert_eq!(stage.image.topic_count(), 2);
}
