//! A quota of a client instead of a fault: what stock clients hear of it, and that the broker makes those wait that would not.
//!
//! A test must never bound from above how long a client took.

use super::world::{Broker, Client};

const TOPICS: &str = "java:1:1,librdkafka:1:1";
/// One at a time; each is a request of more than a hundred bytes.
const RECORDS: i64 = 30;
/// Bytes per second: ten seconds' worth is free, which is less than all records are.
const RATE: i64 = 250;
/// What is more than that takes longer.
const OWED_MS: i64 = 1000;

#[test]
fn a_producer_that_sends_too_much_hears_of_it_and_waits() {
    let broker = Broker::start(TOPICS, &[]);
    Client::both(|client| {
        let line = format!("--alter --client {} --add-config producer_byte_rate={RATE}", client.id());
        broker.server.tool("kafka-configs").line(&line).ok();
        let told = broker.send(client, client.name(), 30, &["enable.idempotence=false", "acks=all"]).finish();
        assert_eq!(told.numbers("offset"), (0..RECORDS).collect::<Vec<_>>(), "{client:?} {told:?}");
        assert!(told.numbers("throttled_ms").iter().any(|ms| *ms > 0), "{client:?} {told:?}");
        // librdkafka tells its application and sends on, to a connection from which nothing is taken.
        assert!(told.numbers("at").last().is_some_and(|at| *at >= OWED_MS), "{client:?} {told:?}");
    });
}
