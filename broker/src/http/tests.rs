//! The HTTP port of a real broker, asked over its socket.

use std::net::SocketAddr;

use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    BrokerId as WireBroker, EndTxnRequest, FetchRequest, FindCoordinatorRequest, GroupId, HeartbeatRequest,
    InitProducerIdRequest, JoinGroupRequest, ListOffsetsRequest, MetadataRequest, OffsetFetchRequest,
    ProduceRequest, SyncGroupRequest, TopicName, TransactionalId,
};
use kafka_protocol::protocol::StrBytes;
use milena_storage::batch::{BatchBuilder, Record};
use milena_storage::compress::Codec;
use milena_storage::ids::Timestamp;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::broker::Broker;
use crate::replication::pool::PeerPool;

/// A broker with the port, and where that is.
pub(super) async fn broker(settings: &[(&str, &str)]) -> (Broker, SocketAddr) {
    let mut all = vec![("milena.http.listener", "0")];
    all.extend_from_slice(settings);
    let broker = Broker::ephemeral_with(&all).await.unwrap();
    let port = broker.listening().iter().find(|each| each.name == "HTTP").expect("the port is told").bound;
    (broker, port)
}

/// Status and body of one request.
pub(super) async fn ask(at: SocketAddr, method: &str, path: &str, body: &str) -> (u16, String) {
    raw(
        at,
        &format!(
            "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ),
    )
    .await
}

async fn raw(at: SocketAddr, request: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(at).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    (head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0), body.to_owned())
}

#[tokio::test]
async fn health_metrics_and_the_description_are_served_on_loopback() {
    let (broker, at) = broker(&[("milena.create.topics", "a:2:1")]).await;
    assert!(at.ip().is_loopback(), "{at}");
    assert_eq!(ask(at, "GET", "/healthz", "").await, (200, "ok\n".to_owned()));
    let (status, ready) = ask(at, "GET", "/readyz", "").await;
    assert_eq!((status, ready.contains("\"ready\": true")), (200, true), "{ready}");
    let (status, metrics) = ask(at, "GET", "/metrics", "").await;
    assert_eq!(status, 200);
    for line in [
        "kafka_brokers 1",
        "kafka_topic_partitions{topic=\"a\"} 2",
        "kafka_topic_partition_current_offset{topic=\"a\",partition=\"1\"} 0",
        "kafka_server_replicamanager_leadercount 2",
        "kafka_controller_kafkacontroller_activecontrollercount 1",
        "kafka_server_raftmetrics_current_state{state=\"leader\"} 1",
        "kafka_server_socket_server_metrics_connection_count{listener=\"PLAINTEXT\",networkProcessor=\"0\"} 0",
    ] {
        assert!(metrics.lines().any(|each| each == line), "{line} is not in\n{metrics}");
    }
    let (status, page) = ask(at, "GET", "/openapi.json", "").await;
    assert_eq!((status, page.contains("\"/readyz\"")), (200, true));
    broker.stop().await;
}

#[tokio::test]
async fn what_is_wrong_is_refused() {
    let (broker, at) = broker(&[]).await;
    assert_eq!(ask(at, "GET", "/nothing", "").await.0, 404);
    assert_eq!(ask(at, "POST", "/healthz", "").await.0, 405);
    assert_eq!(ask(at, "HEAD", "/healthz", "").await, (200, String::new()));
    assert_eq!(raw(at, "no request at all\r\n\r\n").await.0, 400);
    let long = "x".repeat(32 << 10);
    assert_eq!(raw(at, &format!("GET /{long} HTTP/1.1\r\n\r\n")).await.0, 431);
    broker.stop().await;
}

#[tokio::test]
async fn retention_follows_a_clock_that_is_moved() {
    let file = tempfile::Builder::new().suffix(".json").tempfile().unwrap();
    let topics = r#"{"topics": [{"name": "old", "partitions": 1, "records": [{"value": "v"}]}]}"#;
    std::fs::write(file.path(), topics).unwrap();
    let (broker, at) = broker(&[("milena.create.topics.file", &file.path().display().to_string())]).await;
    let log = broker.state().partitions.get("old", 0).unwrap();
    assert_eq!((log.log_start_offset().0, log.log_end_offset().0), (0, 1));
    let (status, clock) = ask(at, "POST", "/v1/clock/advance", r#"{"ms": 691200000}"#).await;
    assert_eq!((status, clock.contains("\"ahead_ms\": 691200000")), (200, true), "{clock}");
    let deleted = async {
        while log.log_start_offset().0 < 1 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), deleted).await.expect("seven days are over");
    for wrong in ["", "{}", r#"{"ms": -1}"#, r#"{"ms": 1, "s": 2}"#, r#"{"ms": 99999999999999}"#, "x"] {
        assert_eq!(ask(at, "POST", "/v1/clock/advance", wrong).await.0, 400, "{wrong}");
    }
    let page = "POST /v1/clock/advance HTTP/1.1\r\nhost: x\r\nconnection: close\r\norigin: http://e\r\n\r\n";
    assert_eq!(raw(at, page).await.0, 403);
    broker.stop().await;
}

/// The `n` of `"name": n` in an answer.
fn number(answer: &str, name: &str) -> u64 {
    let value: serde_json::Value = serde_json::from_str(answer).expect(answer);
    value[name].as_u64().unwrap_or_else(|| panic!("{name} in {answer}"))
}

/// Asks the broker over its own listener, as any client would.
fn peers(broker: &Broker) -> std::sync::Arc<PeerPool> {
    let state = broker.state();
    PeerPool::new(state.id, state.image.clone(), state.settings.clone())
}

fn produce(topic: &str) -> ProduceRequest {
    let mut batch = BatchBuilder::new();
    batch.push(Record { timestamp: Timestamp(1), key: None, value: Some(b"v"), headers: &[] });
    let data =
        PartitionProduceData::default().with_index(0).with_records(Some(batch.finish(Codec::None, None)));
    let topic = TopicProduceData::default()
        .with_name(TopicName(StrBytes::from_string(topic.to_owned())))
        .with_partition_data(vec![data]);
    ProduceRequest::default().with_acks(-1).with_timeout_ms(1000).with_topic_data(vec![topic])
}

#[tokio::test]
async fn faults_strike_requests_and_are_counted() {
    let (broker, at) = broker(&[("milena.create.topics", "a:1:1,b:1:1")]).await;
    let (peers, id) = (peers(&broker), broker.state().id);
    let end = |topic| broker.state().partitions.get(topic, 0).expect("it is here").log_end_offset().0;
    let add = async |rule: &str| {
        let (status, answer) = ask(at, "POST", "/v1/faults", rule).await;
        assert_eq!(status, 201, "{answer}");
        format!("/v1/faults/{}", number(&answer, "id"))
    };
    let hits = async |rule: &str| number(&ask(at, "DELETE", rule, "").await.1, "hits");
    let code = async |topic| {
        let answer = peers.ask(id, 12, &produce(topic)).await.map_err(|error| error.to_string())?;
        Ok::<_, String>(answer.responses[0].partition_responses[0].error_code)
    };
    // An error, of one topic only and once: nothing is applied.
    let rule = add(
        r#"{"api": ["Produce"], "topic": "a", "times": 1, "action": {"kind": "error", "error": "NOT_LEADER_OR_FOLLOWER"}}"#,
    )
    .await;
    assert_eq!((code("b").await, code("a").await, end("a"), end("b")), (Ok(0), Ok(6), 0, 1));
    assert_eq!((code("a").await, hits(&rule).await, end("a")), (Ok(0), 1, 1));
    // Cut before it is applied, and after.
    let rule = add(r#"{"api": ["Produce"], "action": {"kind": "cut", "when": "before"}}"#).await;
    assert!(code("a").await.is_err());
    assert_eq!((hits(&rule).await, end("a")), (1, 1));
    let rule = add(r#"{"api": ["Produce"], "action": {"kind": "cut", "when": "after"}}"#).await;
    assert!(code("a").await.is_err());
    assert_eq!((hits(&rule).await, end("a")), (1, 2));
    // A throttle time is told.
    let rule = add(r#"{"api": ["Produce", "Metadata"], "action": {"kind": "throttle", "ms": 1234}}"#).await;
    assert_eq!(peers.ask(id, 12, &produce("a")).await.expect("an answer").throttle_time_ms, 1234);
    assert_eq!(peers.ask(id, 8, &produce("a")).await.expect("an answer").throttle_time_ms, 1234);
    let metadata = MetadataRequest::default().with_topics(None);
    assert_eq!(peers.ask(id, 12, &metadata).await.expect("an answer").throttle_time_ms, 1234);
    assert_eq!(hits(&rule).await, 3);
    // A delay passes by the broker's clock, and what is silenced hears of its end.
    let rule = add(r#"{"api": ["Produce"], "action": {"kind": "delay", "ms": 3000000}}"#).await;
    let delayed = async {
        while end("a") < 5 {
            tokio::task::yield_now().await;
        }
        ask(at, "POST", "/v1/clock/advance", r#"{"ms": 3000000}"#).await.0
    };
    assert_eq!(tokio::join!(code("a"), delayed), (Ok(0), 200));
    assert_eq!(hits(&rule).await, 1);
    let rule = add(r#"{"api": ["Produce"], "client_id": "broker-*", "action": {"kind": "blackhole"}}"#).await;
    let given_up = async {
        while broker.state().faults.all()[0].hits == 0 {
            tokio::task::yield_now().await;
        }
        hits(&rule).await
    };
    let (silenced, counted) = tokio::join!(code("a"), given_up);
    assert!(silenced.is_err() && counted == 1, "{silenced:?} {counted}");
    assert_eq!((end("a"), code("a").await), (5, Ok(0)));
    assert_eq!(ask(at, "GET", "/v1/faults/99", "").await.0, 404);
    assert_eq!(ask(at, "POST", "/v1/faults", r#"{"action": {"kind": "melt"}}"#).await.0, 400);
    assert_eq!(ask(at, "GET", "/v1/faults", "").await.1.matches("\"id\"").count(), 0);
    broker.stop().await;
}

#[tokio::test]
async fn every_api_that_can_be_refused_tells_the_error() {
    let (broker, at) = broker(&[("milena.create.topics", "a:1:1")]).await;
    let (peers, id) = (peers(&broker), broker.state().id);
    let rule = r#"{"action": {"kind": "error", "error": "COORDINATOR_NOT_AVAILABLE"}}"#;
    let (status, answer) = ask(at, "POST", "/v1/faults", rule).await;
    assert_eq!(status, 201, "{answer}");
    let group = || GroupId("g".into());
    let join = JoinGroupRequest::default().with_group_id(group()).with_session_timeout_ms(10_000);
    assert_eq!(peers.ask(id, 9, &join).await.expect("an answer").error_code, 15);
    let beat = HeartbeatRequest::default().with_group_id(group());
    assert_eq!(peers.ask(id, 4, &beat).await.expect("an answer").error_code, 15);
    let find = FindCoordinatorRequest::default().with_coordinator_keys(vec!["g".into()]);
    assert_eq!(peers.ask(id, 4, &find).await.expect("an answer").coordinators[0].error_code, 15);
    let asked = OffsetFetchRequestGroup::default().with_group_id(group()).with_topics(None);
    let fetch = OffsetFetchRequest::default().with_groups(vec![asked]);
    assert_eq!(peers.ask(id, 9, &fetch).await.expect("an answer").groups[0].error_code, 15);
    let topics = vec![
        ListOffsetsTopic::default()
            .with_name(TopicName("a".into()))
            .with_partitions(vec![ListOffsetsPartition::default().with_timestamp(-1)]),
    ];
    let offsets = ListOffsetsRequest::default().with_replica_id(WireBroker(-1)).with_topics(topics);
    let told = peers.ask(id, 9, &offsets).await.expect("an answer");
    assert_eq!(told.topics[0].partitions[0].error_code, 15);
    let producer = InitProducerIdRequest::default().with_transaction_timeout_ms(1000);
    assert_eq!(peers.ask(id, 4, &producer).await.expect("an answer").error_code, 15);
    let end = EndTxnRequest::default().with_transactional_id(TransactionalId("t".into()));
    assert_eq!(peers.ask(id, 3, &end).await.expect("an answer").error_code, 15);
    let partition = FetchPartition::default().with_partition_max_bytes(1000);
    let topic = FetchTopic::default().with_topic(TopicName("a".into())).with_partitions(vec![partition]);
    let fetch = FetchRequest::default().with_replica_id(WireBroker(-1)).with_max_wait_ms(100_000);
    let fetch = fetch.with_min_bytes(1).with_max_bytes(1000).with_topics(vec![topic]).with_session_epoch(-1);
    let told = peers.ask(id, 12, &fetch).await.expect("an answer, long before its wait is over");
    assert_eq!(told.responses[0].partitions[0].error_code, 15);
    let (status, rules) = ask(at, "DELETE", "/v1/faults", "").await;
    assert_eq!((status, rules.contains("\"hits\": 8")), (200, true), "{rules}");
    broker.stop().await;
}

#[tokio::test]
async fn a_reset_leaves_an_empty_cluster_of_the_same_id() {
    let (broker, at) = broker(&[("milena.create.topics", "a:2:1,b:1:1")]).await;
    let (peers, id, cluster) = (peers(&broker), broker.state().id, broker.cluster_id());
    assert_eq!(
        peers.ask(id, 12, &produce("a")).await.expect("an answer").responses[0].partition_responses[0]
            .error_code,
        0
    );
    let find = FindCoordinatorRequest::default().with_coordinator_keys(vec!["g".into()]);
    assert_eq!(peers.ask(id, 4, &find).await.expect("an answer").coordinators[0].error_code, 0);
    let (status, answer) = ask(at, "POST", "/v1/reset", "").await;
    assert_eq!((status, number(&answer, "topics_deleted")), (200, 3), "{answer}");
    assert_eq!(broker.state().image.load().topic_count(), 0);
    assert!(broker.state().partitions.all().is_empty() && broker.state().shards.all().is_empty());
    let (status, answer) = ask(at, "POST", "/v1/reset", r#"{"start_topics": true}"#).await;
    assert_eq!((status, number(&answer, "topics_deleted")), (200, 0));
    assert_eq!(broker.state().partitions.get("a", 0).expect("it is back").log_end_offset().0, 0);
    assert_eq!((broker.state().image.load().topic_count(), broker.cluster_id()), (2, cluster));
    assert_eq!(
        peers.ask(id, 12, &produce("a")).await.expect("an answer").responses[0].partition_responses[0]
            .error_code,
        0
    );
    broker.stop().await;
}

#[tokio::test]
async fn members_of_a_group_are_told_to_join_again() {
    let (broker, at) = broker(&[]).await;
    let (peers, id) = (peers(&broker), broker.state().id);
    let find = FindCoordinatorRequest::default().with_coordinator_keys(vec!["g".into()]);
    peers.ask(id, 4, &find).await.expect("an answer");
    assert_eq!(ask(at, "POST", "/v1/groups/g/rebalance", "").await.0, 404);
    let group = || GroupId("g".into());
    let protocol = JoinGroupRequestProtocol::default().with_name("range".into());
    let join = JoinGroupRequest::default()
        .with_group_id(group())
        .with_session_timeout_ms(10_000)
        .with_rebalance_timeout_ms(10_000)
        .with_protocol_type("consumer".into())
        .with_protocols(vec![protocol]);
    let joined = peers.ask(id, 3, &join).await.expect("an answer");
    assert_eq!(joined.error_code, 0, "{joined:?}");
    let sync = SyncGroupRequest::default()
        .with_group_id(group())
        .with_generation_id(joined.generation_id)
        .with_member_id(joined.member_id.clone());
    assert_eq!(peers.ask(id, 3, &sync).await.expect("an answer").error_code, 0);
    let beat = HeartbeatRequest::default()
        .with_group_id(group())
        .with_generation_id(joined.generation_id)
        .with_member_id(joined.member_id.clone());
    assert_eq!(peers.ask(id, 3, &beat).await.expect("an answer").error_code, 0);
    assert_eq!(ask(at, "POST", "/v1/groups/g/rebalance", "").await.0, 200);
    assert_eq!(peers.ask(id, 3, &beat).await.expect("an answer").error_code, 27, "REBALANCE_IN_PROGRESS");
    broker.stop().await;
}

/// 100 clusters are made, used and dropped; what they held goes with them.
#[tokio::test]
async fn virtual_clusters_come_and_go() {
    let (broker, at) = broker(&[]).await;
    let count = if std::env::var("MILENA_LONG").is_ok_and(|value| value == "1") { 100 } else { 4 };
    let mut made = Vec::new();
    for _ in 0..count {
        let body = r#"{"settings": {"milena.create.topics": "t:1:1"}}"#;
        let (status, answer) = ask(at, "POST", "/v1/clusters", body).await;
        assert_eq!(status, 201, "{answer}");
        made.push(number(&answer, "id"));
    }
    let listed = ask(at, "GET", "/v1/clusters", "").await.1;
    let told: serde_json::Value = serde_json::from_str(&listed).expect("JSON");
    let servers: std::collections::BTreeSet<&str> = told["clusters"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|cluster| cluster["bootstrap_servers"].as_str())
        .collect();
    assert_eq!(servers.len(), count, "each has a port of its own: {listed}");
    for server in &servers {
        TcpStream::connect(server).await.expect("it listens");
    }
    for id in made {
        assert_eq!(ask(at, "DELETE", &format!("/v1/clusters/{id}"), "").await.0, 200);
    }
    assert_eq!(ask(at, "DELETE", "/v1/clusters/1", "").await.0, 404);
    for server in servers {
        assert!(TcpStream::connect(server).await.is_err(), "nobody listens there any more");
    }
    let bad = ask(at, "POST", "/v1/clusters", r#"{"settings": {"num.partitions": "x"}}"#).await;
    assert!(bad.0 == 400 && bad.1.contains("num.partitions"), "{bad:?}");
    broker.stop().await;
}
