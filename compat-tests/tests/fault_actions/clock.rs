//! The moved clock: what would come in minutes comes at once.
//!
//! A test must never wait as long as the time-out that it is about.

use std::fs;
use std::time::Duration;

use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::{BrokerId, ListOffsetsRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use milena_compat_tests::paths;
use milena_compat_tests::wait::{self, PATIENCE};

use super::groups::{self, HASTE, PROTOCOLS, TOPIC, classic, consumer, member, takes_all};
use super::world::{Broker, Client};

/// Beyond the patience of the tests, and below that with which a group waits for members that join (five minutes).
const SESSION: Duration = Duration::from_secs(240);
const SESSION_MS: &str = "240000";
const TRANSACTION: Duration = Duration::from_secs(600);
const TRANSACTION_MS: &str = "transaction.timeout.ms=600000";
/// The end of a time-out is over with this.
const BEYOND: Duration = Duration::from_millis(1);

#[test]
fn the_session_of_a_killed_member_is_over_when_the_clock_is_moved() {
    assert!(SESSION > PATIENCE && SESSION.as_millis().to_string() == SESSION_MS);
    let mut settings = HASTE.to_vec();
    settings.extend([
        ("group.consumer.max.session.timeout.ms", SESSION_MS),
        ("group.consumer.session.timeout.ms", SESSION_MS),
    ]);
    Client::both(|client| {
        for protocol in PROTOCOLS {
            // Of its own: the clock is everybody's.
            let broker = Broker::start(TOPIC, &settings);
            let at = broker.server.address();
            let session = format!("session.timeout.ms={SESSION_MS}");
            let mut more = vec!["max.poll.interval.ms=900000"];
            if protocol == "classic" {
                more.push(&session);
            }
            let mut first = member(&broker, client, "g", protocol, &more);
            takes_all(&mut first, 1);
            first.kill();
            let mut second = member(&broker, client, "g", protocol, &more);
            // The group waits for the dead member, which nobody has missed.
            wait::until(PATIENCE, "the second member waits", || {
                let waits = match protocol {
                    "classic" => classic(at, "g") == ("PreparingRebalance".to_owned(), 2),
                    _ => consumer(at, "g").1.len() == 2,
                };
                waits.then_some(())
            });
            assert_eq!(groups::takings(&second.told()), 0, "{client:?} {protocol}");
            broker.http.advance(SESSION + BEYOND);
            takes_all(&mut second, 1);
            let left = || match protocol {
                "classic" => classic(at, "g").1,
                _ => consumer(at, "g").1.len(),
            };
            wait::until(PATIENCE, "the dead member is out", || (left() == 1).then_some(()));
        }
    });
}

/// Where readers of committed records must stop.
fn last_stable(broker: &Broker, topic: &'static str) -> i64 {
    let partition = ListOffsetsPartition::default().with_timestamp(-1);
    let topic = ListOffsetsTopic::default()
        .with_name(TopicName(StrBytes::from_static_str(topic)))
        .with_partitions(vec![partition]);
    let request = ListOffsetsRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_isolation_level(1)
        .with_topics(vec![topic]);
    broker.server.wire().call(5, &request).topics[0].partitions[0].offset
}

#[test]
fn an_open_transaction_is_aborted_when_the_clock_is_moved() {
    assert!(TRANSACTION > PATIENCE);
    Client::both(|client| {
        let broker = Broker::start("t:1:1", &[]);
        let folder = paths::scratch("transaction");
        let word = folder.path().display().to_string();
        let settings = ["transactional.id=x", TRANSACTION_MS];
        let mut writer = client.start(["transaction", &broker.server.bootstrap(), "t", &word], &settings);
        writer.wait_for("an open transaction", |told| !told.of_field("open").is_empty());
        let behind = broker.send(client, "t", 1, &[]).finish();
        assert_eq!(behind.numbers("offset"), [1], "{client:?} {behind:?}");
        assert_eq!(last_stable(&broker, "t"), 0, "{client:?}");
        let reader = broker.read(client, "t", 1, &["isolation.level=read_committed"]);

        broker.http.advance(TRANSACTION + BEYOND);
        assert_eq!(reader.finish().words("read"), ["v0"], "{client:?}: what was open is aborted");
        fs::write(folder.path().join("commit"), "").expect("the scratch folder is writable");
        let told = writer.finish();
        // Kafka says the same when a transaction's time is over.
        let late = match client {
            Client::Java => "InvalidTxnStateException",
            Client::Librdkafka => "_FENCED",
        };
        assert_eq!(told.of_field("committed")[0]["committed"], false, "{client:?} {told:?}");
        assert_eq!(told.words("error"), [late], "{client:?} {told:?}");
        assert_eq!(broker.records("t"), ["open", "v0"], "{client:?}: the broker has both");
    });
}
