//! Metadata as clients of every age ask for it.
//!
//! Must never wait for time.

use kafka_protocol::messages::BrokerId as WireBroker;

use super::super::testing::{answer, caller, create, cx, with_quorum, with_quorum_and};
use super::*;
use crate::state::BrokerState;

fn by(name: &str) -> MetadataRequestTopic {
    MetadataRequestTopic::default().with_name(Some(StrBytes::from_string(name.into()).into()))
}

fn request(topics: Option<Vec<MetadataRequestTopic>>) -> MetadataRequest {
    MetadataRequest::default().with_topics(topics).with_allow_auto_topic_creation(false)
}

async fn ask(
    broker: &std::sync::Arc<BrokerState>,
    version: i16,
    request: MetadataRequest,
) -> MetadataResponse {
    answer(handle(&cx(broker, &caller(), version), request)).await
}

fn told(response: &MetadataResponse) -> Vec<(String, i16)> {
    let name =
        |topic: &MetadataResponseTopic| topic.name.as_deref().map(ToString::to_string).unwrap_or_default();
    response.topics.iter().map(|topic| (name(topic), topic.error_code)).collect()
}

#[tokio::test]
async fn the_cluster_its_brokers_and_its_controller_are_told() {
    let broker = with_quorum().await;
    let response = ask(&broker, 13, request(Some(vec![]))).await;
    assert_eq!(response.cluster_id.as_deref(), Some("AAAAAAAAAAAAAAAAAAAAAA"));
    assert_eq!((response.controller_id, response.error_code), (WireBroker(1), 0));
    let told: Vec<_> = response.brokers.iter().map(|b| (b.node_id.0, b.host.as_str(), b.port)).collect();
    assert_eq!(told, [(1, "127.0.0.1", 9092)]);
}

#[tokio::test]
async fn null_means_all_and_so_does_an_empty_list_in_version_0_only() {
    let broker = with_quorum().await;
    create(&broker, &[("b", 1), ("a", 2)]).await;
    let all = vec![("a".to_owned(), 0), ("b".to_owned(), 0)];
    assert_eq!(told(&ask(&broker, 9, request(None)).await), all);
    assert_eq!(told(&ask(&broker, 0, request(Some(vec![]))).await), all);
    assert_eq!(told(&ask(&broker, 1, request(Some(vec![]))).await), []);
}

#[tokio::test]
async fn a_topics_partitions_are_told_with_their_leader() {
    let broker = with_quorum().await;
    create(&broker, &[("t", 2)]).await;
    let response = ask(&broker, 12, request(Some(vec![by("t"), by("t")]))).await;
    assert_eq!(response.topics.len(), 1, "a name asked for twice is answered once");
    let topic = &response.topics[0];
    assert!(!topic.topic_id.is_nil());
    assert_eq!(topic.topic_authorized_operations, operations::NOT_ASKED);
    for (index, partition) in (0..).zip(&topic.partitions) {
        assert_eq!(
            (partition.partition_index, partition.leader_id, partition.error_code),
            (index, WireBroker(1), 0)
        );
        assert_eq!((&partition.replica_nodes, partition.leader_epoch), (&vec![WireBroker(1)], 0));
        assert_eq!(
            (&partition.isr_nodes[..], &partition.offline_replicas[..]),
            (&[WireBroker(1)][..], &[][..])
        );
    }
}

#[tokio::test]
async fn unknown_topics_illegal_names_and_unknown_ids_have_their_errors() {
    let broker = with_quorum().await;
    let names = request(Some(vec![by("unknown"), by("not/allowed")]));
    assert_eq!(told(&ask(&broker, 12, names).await), [("unknown".into(), 3), ("not/allowed".into(), 17)]);
    let id = MetadataRequestTopic::default().with_topic_id(Uuid::from_u128(7)).with_name(None);
    let response = ask(&broker, 12, request(Some(vec![id.clone()]))).await;
    assert_eq!((response.topics[0].error_code, &response.topics[0].name), (100, &None));
    let old = ask(&broker, 11, request(Some(vec![id]))).await;
    assert_eq!((old.topics[0].error_code, old.error_code), (42, 42));
    assert!(old.brokers.is_empty());
}

#[tokio::test]
async fn topics_are_found_by_id() {
    let broker = with_quorum().await;
    create(&broker, &[("t", 1)]).await;
    let id = broker.image.load().topic("t").unwrap().id;
    let asked = MetadataRequestTopic::default().with_topic_id(id).with_name(None);
    assert_eq!(told(&ask(&broker, 12, request(Some(vec![asked]))).await), [("t".into(), 0)]);
}

#[tokio::test]
async fn a_topic_created_on_demand_is_unknown_at_first_and_there_soon() {
    let broker = with_quorum().await;
    let asked =
        || request(Some(vec![by("t"), by("__consumer_offsets")])).with_allow_auto_topic_creation(true);
    let first = ask(&broker, 9, asked()).await;
    assert_eq!(told(&first), [("t".into(), 3), ("__consumer_offsets".into(), 3)]);
    assert!(first.topics[1].is_internal);
    // Decisions are taken in turn: when this one is answered, those are done.
    create(&broker, &[("after", 1)]).await;
    assert_eq!(told(&ask(&broker, 9, asked()).await), [("t".into(), 0), ("__consumer_offsets".into(), 0)]);
    assert_eq!(broker.image.load().topic("__consumer_offsets").unwrap().partition_count(), 2);
}

#[tokio::test]
async fn nothing_is_created_when_broker_or_request_forbid_it() {
    for (setting, allowed) in [("false", true), ("true", false)] {
        let broker = with_quorum_and(&[("auto.create.topics.enable", setting)]).await;
        let asked = request(Some(vec![by("t")])).with_allow_auto_topic_creation(allowed);
        assert_eq!(told(&ask(&broker, 9, asked).await), [("t".into(), 3)]);
        create(&broker, &[("after", 1)]).await;
        assert!(broker.image.load().topic("t").is_none());
    }
}

#[tokio::test]
async fn operations_are_told_when_asked_for() {
    let broker = with_quorum().await;
    create(&broker, &[("t", 1)]).await;
    let asked = request(None)
        .with_include_topic_authorized_operations(true)
        .with_include_cluster_authorized_operations(true);
    let response = ask(&broker, 10, asked.clone()).await;
    assert_eq!(
        (response.cluster_authorized_operations, response.topics[0].topic_authorized_operations),
        (8096, 3576)
    );
    assert_eq!(ask(&broker, 12, asked).await.cluster_authorized_operations, i32::MIN);
}
