//! Each action of a fault, on what a client sends and on what it reads.
//!
//! A test must never bound from above how long a client took: that is the machine's business.

use milena_compat_tests::http::Counts;
use milena_compat_tests::wait::{self, PATIENCE};
use serde_json::json;

use super::world::{Broker, Client};

/// A topic for each client.
const TOPICS: &str = "java:1:1,librdkafka:1:1";
const PLAIN: &[&str] = &["enable.idempotence=false", "acks=all"];
const IDEMPOTENT: &[&str] = &["enable.idempotence=true", "acks=all"];
/// How long delays and throttle times are. The broker's clock counts whole milliseconds, so that one may be missing.
const WAIT_MS: i64 = 900;
const MISSING_MS: i64 = 1;

fn counts(seen: u64, hits: u64) -> Counts {
    Counts { seen, hits }
}

#[test]
fn an_error_is_retried_or_told() {
    let broker = Broker::start(TOPICS, &[]);
    Client::both(|client| {
        let topic = client.name();
        let error = |name: &str| json!({ "kind": "error", "error": name });
        // Plain, so that a second record would be seen if anything had been applied.
        let rule = broker.rule(client, "Produce", Some(2), &error("NOT_LEADER_OR_FOLLOWER"));
        let told = broker.send(client, topic, 1, PLAIN).finish();
        assert_eq!((told.numbers("offset"), rule.remove()), (vec![0], counts(3, 2)), "{client:?} {told:?}");

        let rule = broker.rule(client, "Produce", Some(1), &error("INVALID_RECORD"));
        let told = broker.send(client, topic, 2, PLAIN).finish();
        let name = match client {
            Client::Java => "InvalidRecordException",
            Client::Librdkafka => "INVALID_RECORD",
        };
        assert_eq!((told.words("error"), told.numbers("offset")), (vec![name], vec![1]), "{told:?}");
        assert_eq!(rule.remove(), counts(2, 1), "{client:?}");
        assert_eq!(broker.records(topic), ["v0", "v1"], "{client:?}");

        let rule = broker.rule(client, "Fetch", Some(2), &error("NOT_LEADER_OR_FOLLOWER"));
        let told = broker.read(client, topic, 2, &[]).finish();
        assert_eq!(told.words("read"), ["v0", "v1"], "{client:?}");
        assert_struck(rule.remove(), 2, client);
    });
}

#[test]
fn a_delay_passes_before_the_answer_comes() {
    let broker = Broker::start(TOPICS, &[]);
    Client::both(|client| {
        let topic = client.name();
        let delay = json!({ "kind": "delay", "ms": WAIT_MS });
        let rule = broker.rule(client, "Produce", Some(1), &delay);
        let told = broker.send(client, topic, 2, PLAIN).finish();
        assert_eq!(told.numbers("offset"), [0, 1], "{client:?} {told:?}");
        assert!(told.numbers("ms")[0] >= WAIT_MS - MISSING_MS, "{client:?} {told:?}");
        assert_eq!(rule.remove(), counts(2, 1), "{client:?}");

        let rule = broker.rule(client, "Fetch", Some(1), &delay);
        let told = broker.read(client, topic, 2, &[]).finish();
        assert_eq!(told.words("read"), ["v0", "v1"], "{client:?}");
        assert!(told.numbers("ms")[0] >= WAIT_MS - MISSING_MS, "{client:?} {told:?}");
        assert_struck(rule.remove(), 1, client);
    });
}

#[test]
fn what_is_cut_before_it_is_applied_arrives_once() {
    let broker = Broker::start(TOPICS, &[]);
    Client::both(|client| {
        let topic = client.name();
        let cut = json!({ "kind": "cut", "when": "before" });
        let rule = broker.rule(client, "Produce", Some(2), &cut);
        let told = broker.send(client, topic, 1, PLAIN).finish();
        assert_eq!(told.numbers("offset"), [0], "{client:?} {told:?}");
        assert_eq!(rule.remove(), counts(3, 2), "{client:?}");
        assert_eq!(broker.records(topic), ["v0"], "{client:?}");

        let rule = broker.rule(client, "Fetch", Some(2), &cut);
        assert_eq!(broker.read(client, topic, 1, &[]).finish().words("read"), ["v0"], "{client:?}");
        assert_struck(rule.remove(), 2, client);
    });
}

#[test]
fn what_is_cut_after_it_was_applied_arrives_twice_without_idempotence() {
    let broker = Broker::start(TOPICS, &[]);
    Client::both(|client| {
        let topic = client.name();
        let cut = json!({ "kind": "cut", "when": "after" });
        let rule = broker.rule(client, "Produce", Some(1), &cut);
        broker.send(client, topic, 1, IDEMPOTENT).finish();
        assert_eq!(rule.remove(), counts(2, 1), "{client:?}");
        assert_eq!(broker.records(topic), ["v0"], "{client:?}");

        let rule = broker.rule(client, "Produce", Some(1), &cut);
        let told = broker.send(client, topic, 1, PLAIN).finish();
        assert_eq!(told.numbers("offset"), [2], "{client:?} {told:?}");
        assert_eq!(rule.remove(), counts(2, 1), "{client:?}");
        assert_eq!(broker.records(topic), ["v0", "v0", "v0"], "{client:?}");

        let rule = broker.rule(client, "Fetch", Some(1), &cut);
        let told = broker.read(client, topic, 3, &[]).finish();
        assert_eq!(told.words("read"), ["v0", "v0", "v0"], "{client:?}");
        assert_struck(rule.remove(), 1, client);
    });
}

#[test]
fn silence_lasts_over_time_outs_until_the_rule_is_gone() {
    let broker = Broker::start(TOPICS, &[]);
    Client::both(|client| {
        let topic = client.name();
        let settings = [IDEMPOTENT, client.hasty()].concat();
        let rule = broker.rule(client, "Produce", None, &json!({ "kind": "blackhole" }));
        let running = broker.send(client, topic, 1, &settings);
        // It has given up a request, and was silenced on another connection.
        wait::until(PATIENCE, "a second request", || (rule.counts().hits >= 2).then_some(()));
        assert!(broker.records(topic).is_empty() && running.told().0.is_empty(), "{client:?}");
        let counted = rule.remove();
        let told = running.finish();
        assert_eq!(told.words("sent"), ["v0"], "{client:?} {told:?}");
        assert!(told.words("error").is_empty() && told.numbers("ms")[0] >= 1000, "{client:?} {told:?}");
        assert!(counted.seen == counted.hits, "{client:?} {counted:?}");
        assert_eq!(broker.records(topic), ["v0"], "{client:?}");

        let rule = broker.rule(client, "Fetch", None, &json!({ "kind": "blackhole" }));
        let running = broker.read(client, topic, 1, client.hasty());
        wait::until(PATIENCE, "a second request", || (rule.counts().hits >= 2).then_some(()));
        assert!(running.told().0.is_empty(), "{client:?}");
        let counted = rule.remove();
        assert_eq!(running.finish().words("read"), ["v0"], "{client:?}");
        assert!(counted.seen == counted.hits, "{client:?} {counted:?}");
    });
}

#[test]
fn a_throttle_time_is_told_and_kept_by_who_keeps_it() {
    let broker = Broker::start(TOPICS, &[]);
    Client::both(|client| {
        let topic = client.name();
        let throttle = json!({ "kind": "throttle", "ms": WAIT_MS });
        let rule = broker.rule(client, "Produce", Some(1), &throttle);
        let told = broker.send(client, topic, 2, PLAIN).finish();
        assert_eq!(told.numbers("offset"), [0, 1], "{client:?} {told:?}");
        assert_eq!(told.numbers("throttled_ms"), [WAIT_MS], "{client:?} {told:?}");
        assert_eq!(rule.remove(), counts(2, 1), "{client:?}");
        if client == Client::Java {
            // librdkafka tells its application and sends on.
            let (at, took) = (told.numbers("at"), told.numbers("ms"));
            assert!(at[1] - (at[0] - took[0]) >= WAIT_MS, "{told:?}");
        }

        let rule = broker.rule(client, "Fetch", Some(1), &throttle);
        let told = broker.read(client, topic, 2, &[]).finish();
        assert_eq!(told.words("read"), ["v0", "v1"], "{client:?}");
        assert_eq!(told.numbers("throttled_ms"), [WAIT_MS], "{client:?} {told:?}");
        assert_struck(rule.remove(), 1, client);
    });
}

/// It was carried out so often, on requests that go on without end.
fn assert_struck(counted: Counts, hits: u64, client: Client) {
    assert!(counted.hits == hits && counted.seen >= hits, "{client:?} {counted:?}");
}
