//! Pages of topics, and where they end.
//!
//! Must never wait for time.

use kafka_protocol::messages::describe_topic_partitions_request::{Cursor as From, TopicRequest};

use super::super::testing::{answer, caller, create, cx, with_quorum};
use super::*;
use crate::state::BrokerState;

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.into())
}

fn request(topics: &[&str], limit: i32, cursor: Option<(&str, i32)>) -> DescribeTopicPartitionsRequest {
    let topics = topics.iter().map(|name| TopicRequest::default().with_name(text(name).into()));
    let cursor = cursor.map(|(topic, partition)| {
        From::default().with_topic_name(text(topic).into()).with_partition_index(partition)
    });
    DescribeTopicPartitionsRequest::default()
        .with_topics(topics.collect())
        .with_response_partition_limit(limit)
        .with_cursor(cursor)
}

type Told = (Vec<(String, i16, Vec<i32>)>, Option<(String, i32)>);

async fn ask(broker: &std::sync::Arc<BrokerState>, request: DescribeTopicPartitionsRequest) -> Told {
    let response = answer(handle(&cx(broker, &caller(), 0), request)).await;
    let topics = response.topics.into_iter().map(|topic| {
        let indexes = topic.partitions.iter().map(|p| p.partition_index).collect();
        (topic.name.unwrap().to_string(), topic.error_code, indexes)
    });
    (topics.collect(), response.next_cursor.map(|c| (c.topic_name.to_string(), c.partition_index)))
}

async fn broker() -> std::sync::Arc<BrokerState> {
    let broker = with_quorum().await;
    create(&broker, &[("a", 3), ("b", 1), ("c", 2)]).await;
    broker
}

fn topic(name: &str, indexes: &[i32]) -> (String, i16, Vec<i32>) {
    (name.to_owned(), 0, indexes.to_vec())
}

#[tokio::test]
async fn pages_follow_each_other_without_a_gap() {
    let broker = broker().await;
    let (topics, next) = ask(&broker, request(&[], 2, None)).await;
    assert_eq!((topics, next), (vec![topic("a", &[0, 1])], Some(("a".into(), 2))));
    let (topics, next) = ask(&broker, request(&[], 2, Some(("a", 2)))).await;
    assert_eq!((topics, next), (vec![topic("a", &[2]), topic("b", &[0])], Some(("c".into(), 0))));
    let (topics, next) = ask(&broker, request(&[], 2, Some(("c", 0)))).await;
    assert_eq!((topics, next), (vec![topic("c", &[0, 1])], None));
    let (topics, _) = ask(&broker, request(&[], 0, None)).await;
    assert_eq!(topics, [topic("a", &[0])], "at least one partition");
}

#[tokio::test]
async fn topics_asked_for_come_by_name_with_their_errors() {
    let broker = broker().await;
    let (topics, next) = ask(&broker, request(&["c", "gone", "not/allowed", "b"], 100, None)).await;
    let expected = [
        topic("b", &[0]),
        topic("c", &[0, 1]),
        ("gone".into(), 3, vec![]),
        ("not/allowed".into(), 17, vec![]),
    ];
    assert_eq!((&topics[..], next), (&expected[..], None));
}

#[tokio::test]
async fn a_cursor_outside_the_topics_asked_for_is_refused() {
    let broker = broker().await;
    let (topics, _) = ask(&broker, request(&["a", "c"], 9, Some(("b", 0)))).await;
    assert_eq!(topics, [("a".into(), 42, vec![]), ("c".into(), 42, vec![])]);
    let (topics, _) = ask(&broker, request(&["a"], 9, Some(("a", -1)))).await;
    assert_eq!(topics, [("a".into(), 42, vec![])]);
    let (topics, _) = ask(&broker, request(&[], 9, Some(("bb", 0)))).await;
    assert_eq!(topics, [topic("c", &[0, 1])], "a deleted topic is passed over");
}
