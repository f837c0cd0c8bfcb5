//! The HTTP port of a real broker, asked over its socket.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::broker::Broker;

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
