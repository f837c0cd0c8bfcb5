//! What was acknowledged survives a stop and a kill: topics, ids, settings, records, offsets, producers.
//!
//! A test in this file must never look into the directory: it asks the broker as a client does.

mod truncated;

use bytes::Bytes;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse, ProduceRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use milena_compat_tests::wire::idempotent_batch;
use milena_compat_tests::{Server, wait};

/// How a broker ends.
#[derive(Debug, Clone, Copy)]
enum End {
    Stop,
    Kill,
}

fn restart(server: &mut Server, end: End) {
    match end {
        End::Stop => {
            let status = server.stop();
            assert!(status.success() || status.code() == Some(143), "a clean stop, not {status}");
        }
        End::Kill => server.kill(),
    }
    server.start();
}

/// Everything a user can see of a topic, a group and a setting.
fn seen(server: &Server) -> String {
    let ask = |tool: &str, line: &str| server.tool(tool).line(line).ok();
    let mut told = ask("kafka-topics", "--describe --topic kept");
    told += &ask("kafka-configs", "--describe --topic kept");
    told += &ask("kafka-configs", "--describe --broker-defaults");
    told += &ask("kafka-get-offsets", "--topic kept");
    told += &ask("kafka-console-consumer", "--topic kept --partition 0 --offset earliest --max-messages 100");
    told += &ask("kafka-consumer-groups", "--describe --group kept-group");
    told + &ask("kafka-consumer-groups", "--list --state")
}

fn everything_stays(end: End) {
    let mut server = Server::start_default();
    let ask = |tool: &str, line: &str| server.tool(tool).line(line).ok();
    ask("kafka-topics", "--create --topic kept --partitions 1 --config retention.ms=77777777");
    ask("kafka-topics", "--create --topic removed --partitions 1");
    ask("kafka-topics", "--delete --topic removed");
    ask("kafka-configs", "--alter --topic kept --add-config max.message.bytes=555555");
    ask("kafka-configs", "--alter --broker-defaults --add-config log.cleaner.threads=2");
    let lines: String = (0..100).map(|number| format!("line {number}\n")).collect();
    server.tool("kafka-console-producer").line("--topic kept").input(lines).ok();
    ask("kafka-console-consumer", "--topic kept --group kept-group --from-beginning --max-messages 42");
    wait::until_like(
        wait::PATIENCE,
        "the settings are in force",
        || seen(&server),
        |told| told.contains("max.message.bytes=555555") && told.contains("log.cleaner.threads=2"),
    );
    let before = seen(&server);
    for round in 0..3 {
        restart(&mut server, end);
        assert_eq!(seen(&server), before, "after {end:?} number {round}");
    }
    let topics = server.tool("kafka-topics").arg("--list").ok();
    assert!(!topics.lines().any(|line| line == "removed"), "{topics}");
    server.tool("kafka-console-producer").line("--topic kept").input("and on\n").ok();
    let rest =
        server.tool("kafka-console-consumer").line("--topic kept --group kept-group --max-messages 59").ok();
    assert!(rest.starts_with("line 42\n") && rest.ends_with("line 99\nand on\n"), "{rest}");
}

#[test]
fn everything_stays_when_the_broker_stops_and_starts() {
    everything_stays(End::Stop);
}

#[test]
fn everything_stays_when_the_broker_is_killed() {
    everything_stays(End::Kill);
}

#[test]
fn every_acknowledged_record_survives_kills_under_load_with_all_replicas() {
    kills_under_load("-1");
}

#[test]
fn every_acknowledged_record_survives_kills_under_load_with_the_leader_alone() {
    kills_under_load("1");
}

fn kills_under_load(acks: &str) {
    let mut server = Server::start_default();
    server.tool("kafka-topics").line("--create --topic load --partitions 1").ok();
    for round in 0..4_usize {
        let tool = server.tool("kafka-verifiable-producer").line("--topic load --throughput 2000");
        let producer = tool.args(["--acks", acks, "--value-prefix", &round.to_string()]).spawn();
        let _ = producer.wait_for("three hundred acknowledgements", |text| acknowledged(text).len() > 300);
        server.kill();
        let acknowledged = acknowledged(&producer.kill().text());
        server.start();
        let ends = server.tool("kafka-get-offsets").line("--topic load").ok();
        let end: usize = ends.trim().rsplit(':').next().and_then(|end| end.parse().ok()).expect("an offset");
        let consumer =
            server.tool("kafka-console-consumer").line("--topic load --partition 0 --offset earliest");
        let read = consumer.args(["--max-messages", &end.to_string()]).ok();
        let read: Vec<&str> = read.lines().collect();
        for (offset, value) in acknowledged {
            assert_eq!(read.get(offset), Some(&value.as_str()), "offset {offset} of {end}, round {round}");
        }
    }
}

/// Offset and value of each record that the verifiable producer saw acknowledged.
fn acknowledged(text: &str) -> Vec<(usize, String)> {
    let events = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let sent = events.filter(|event| event["name"] == "producer_send_success");
    sent.map(|event| {
        let offset = event["offset"].as_u64().and_then(|offset| usize::try_from(offset).ok());
        (offset.expect("an offset"), event["value"].as_str().expect("a value").to_owned())
    })
    .collect()
}

/// The error code and base offset that one batch gets.
fn produce(server: &Server, batch: Bytes) -> (i16, i64) {
    let partition = PartitionProduceData::default().with_index(0).with_records(Some(batch));
    let topic = TopicProduceData::default()
        .with_name(TopicName(StrBytes::from_static_str("idempotent")))
        .with_partition_data(vec![partition]);
    let request =
        ProduceRequest::default().with_acks(-1).with_timeout_ms(30_000).with_topic_data(vec![topic]);
    let response = server.wire().call(9, &request);
    let answer = &response.responses[0].partition_responses[0];
    (answer.error_code, answer.base_offset)
}

fn new_producer(server: &Server) -> InitProducerIdResponse {
    let request =
        InitProducerIdRequest::default().with_transactional_id(None).with_transaction_timeout_ms(60_000);
    // A broker that has no block of ids yet asks for one first, and the client asks again.
    wait::until_like(
        wait::PATIENCE,
        "a producer id",
        || server.wire().call(4, &request),
        |answer| answer.error_code == 0,
    )
}

fn duplicates_are_known(end: End) {
    let mut server = Server::start_default();
    server.tool("kafka-topics").line("--create --topic idempotent --partitions 1").ok();
    let ready = new_producer(&server);
    let producer = (ready.producer_id.0, ready.producer_epoch);
    let first = idempotent_batch(producer, 0, &["a", "b", "c"]);
    let second = idempotent_batch(producer, 3, &["d"]);
    assert_eq!(produce(&server, first.clone()), (0, 0));
    assert_eq!(produce(&server, second.clone()), (0, 3));
    assert_eq!(produce(&server, first), (0, 0), "a duplicate gets the first answer");
    restart(&mut server, end);
    // Kafka's snapshots hold each producer's last batch only; older duplicates are unknown after a restart.
    assert_eq!(produce(&server, second), (0, 3), "a duplicate gets the first answer after {end:?}");
    let out_of_order = 45;
    assert_eq!(produce(&server, idempotent_batch(producer, 9, &["gap"])).0, out_of_order);
    assert_eq!(produce(&server, idempotent_batch(producer, 4, &["e"])), (0, 4));
    let invalid_epoch = 47;
    let later = (producer.0, producer.1 + 1);
    assert_eq!(produce(&server, idempotent_batch(later, 0, &["f"])), (0, 5));
    assert_eq!(produce(&server, idempotent_batch(producer, 5, &["old"])).0, invalid_epoch);
    let read = server
        .tool("kafka-console-consumer")
        .line("--topic idempotent --from-beginning --max-messages 6")
        .ok();
    assert_eq!(read, "a\nb\nc\nd\ne\nf\n");

    let again = new_producer(&server);
    assert!(again.producer_id.0 > producer.0, "{} after {}", again.producer_id.0, producer.0);
}

#[test]
fn duplicates_are_known_across_a_stop() {
    duplicates_are_known(End::Stop);
}

#[test]
fn duplicates_are_known_across_a_kill() {
    duplicates_are_known(End::Kill);
}

#[test]
fn a_second_broker_on_the_same_directory_is_refused() {
    use milena_compat_tests::{Target, paths};
    use std::process::Command;

    let server = Server::start_default();
    if server.target() == Target::Kafka {
        // How the refusal reads and how the process is started are Milena's own.
        return;
    }
    let output = Command::new(paths::milena())
        .args(["start", "--override", "listeners=PLAINTEXT://127.0.0.1:0", "--override"])
        .arg(format!("log.dirs={}", server.log_dir().display()))
        .output()
        .expect("the binary starts");
    assert!(!output.status.success());
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(said.contains(&server.pid().to_string()), "who holds it is said: {said}");
    assert!(said.contains(&server.log_dir().display().to_string()), "{said}");
}
