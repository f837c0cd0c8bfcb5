//! Configs as the tools read them, and how changing them shows.
//!
//! Must never wait for time.

use kafka_protocol::messages::IncrementalAlterConfigsRequest;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};

use super::super::testing::{answer, caller, create, cx, with_quorum};
use super::super::{describe_acls, describe_cluster, incremental_alter_configs, list_config_resources};
use super::*;
use crate::state::BrokerState;
use std::sync::Arc;

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.into())
}

async fn describe(broker: &Arc<BrokerState>, kind: i8, name: &str, keys: &[&str]) -> DescribeConfigsResult {
    let keys = (!keys.is_empty()).then(|| keys.iter().map(|key| text(key)).collect());
    let resource = DescribeConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(text(name))
        .with_configuration_keys(keys);
    let request =
        DescribeConfigsRequest::default().with_resources(vec![resource]).with_include_synonyms(true);
    answer(handle(&cx(broker, &caller(), 4), request)).await.results.remove(0)
}

async fn set(broker: &Arc<BrokerState>, kind: i8, name: &str, key: &str, value: &str) -> (i16, String) {
    let config = AlterableConfig::default().with_name(text(key)).with_value(Some(text(value)));
    let resource = AlterConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(text(name))
        .with_configs(vec![config]);
    let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
    let response = answer(incremental_alter_configs::handle(&cx(broker, &caller(), 1), request)).await;
    let result = &response.responses[0];
    (result.error_code, result.error_message.clone().unwrap_or_default().to_string())
}

fn refused(result: &DescribeConfigsResult) -> (i16, &str) {
    (result.error_code, result.error_message.as_deref().unwrap_or_default())
}

#[tokio::test]
async fn a_topics_own_value_comes_before_its_defaults() {
    let broker = with_quorum().await;
    create(&broker, &[("t", 1)]).await;
    let before = describe(&broker, 2, "t", &["retention.ms"]).await;
    assert_eq!((before.configs[0].config_source, before.configs[0].value.as_deref()), (5, Some("604800000")));
    assert_eq!(set(&broker, 2, "t", "retention.ms", "1000").await, (0, String::new()));
    let after = describe(&broker, 2, "t", &["retention.ms"]).await;
    let line = &after.configs[0];
    assert_eq!(
        (line.config_source, line.value.as_deref(), line.read_only, line.config_type),
        (1, Some("1000"), false, 5)
    );
    assert_eq!(line.synonyms[0].source, 1);
    assert!(describe(&broker, 2, "t", &[]).await.configs.len() >= 33);
}

#[tokio::test]
async fn wrong_values_are_refused_and_change_nothing() {
    let broker = with_quorum().await;
    create(&broker, &[("t", 1)]).await;
    assert_eq!(set(&broker, 2, "t", "nope", "1").await, (40, "Unknown topic config name: nope".into()));
    assert_eq!(set(&broker, 2, "t", "retention.ms", "x").await.0, 40);
    assert_eq!(
        set(&broker, 2, "gone", "retention.ms", "1").await,
        (3, "The topic 'gone' does not exist.".into())
    );
    assert!(broker.image.load().topic_config("t").is_none());
}

#[tokio::test]
async fn resources_that_are_not_here_are_refused_as_by_kafka() {
    let broker = with_quorum().await;
    assert_eq!(refused(&describe(&broker, 2, "gone", &[]).await), (3, ""));
    assert_eq!(describe(&broker, 2, "not/allowed", &[]).await.error_code, 17);
    assert_eq!(
        refused(&describe(&broker, 4, "2", &[]).await),
        (42, "Unexpected broker id, expected 1 or empty string, but received 2")
    );
    assert_eq!(
        refused(&describe(&broker, 4, "x", &[]).await),
        (42, "Broker id must be an integer, but it is: x")
    );
    assert_eq!(refused(&describe(&broker, 32, "", &[]).await), (42, "Group name must not be empty"));
    assert_eq!(describe(&broker, 3, "t", &[]).await.error_code, 42);
    let group = describe(&broker, 32, "no-such-group", &[]).await;
    assert!(group.error_code == 0 && !group.configs.is_empty(), "a group that is not there has the defaults");
    assert!(describe(&broker, 4, "1", &[]).await.configs.len() > 200);
}

#[tokio::test]
async fn what_carries_configs_is_listed() {
    let broker = with_quorum().await;
    create(&broker, &[("t", 1)]).await;
    set(&broker, 32, "g", "consumer.session.timeout.ms", "50000").await;
    let list = async |version, types: &[i8]| {
        let request = kafka_protocol::messages::ListConfigResourcesRequest::default()
            .with_resource_types(types.to_vec());
        let response = answer(list_config_resources::handle(&cx(&broker, &caller(), version), request)).await;
        let told = response.config_resources.iter().map(|r| (r.resource_type, r.resource_name.to_string()));
        (response.error_code, told.collect::<Vec<_>>())
    };
    let all = [(32, "g"), (8, "1"), (4, "1"), (2, "t")].map(|(kind, name)| (kind, name.to_owned()));
    assert_eq!(list(1, &[]).await, (0, all.to_vec()));
    assert_eq!(list(1, &[2]).await, (0, all[3..].to_vec()));
    assert_eq!(list(0, &[]).await, (0, vec![]));
    assert_eq!(list(0, &[2]).await.0, 35);
}

#[tokio::test]
async fn the_cluster_and_its_missing_authorizer_are_described() {
    let broker = with_quorum().await;
    let cluster = |version, endpoint| {
        let request =
            kafka_protocol::messages::DescribeClusterRequest::default().with_endpoint_type(endpoint);
        answer(describe_cluster::handle(&cx(&broker, &caller(), version), request))
    };
    let told = cluster(1, 1).await;
    assert_eq!((told.error_code, told.controller_id.0, told.brokers[0].port), (0, 1, 9092));
    assert_eq!(
        (cluster(1, 2).await.error_code, cluster(1, 7).await.error_code, cluster(0, 2).await.error_code),
        (114, 115, 42)
    );
    let acls = answer(describe_acls::handle(&cx(&broker, &caller(), 3), Default::default())).await;
    assert_eq!(acls.error_message.as_deref(), Some("No Authorizer is configured on the broker"));
}
