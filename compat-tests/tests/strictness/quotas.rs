//! Quotas of clients: what may be set, what is told of it, and that clients have to wait.
//!
//! Times are looked at from below only: who has to wait a second is not answered earlier.

use std::time::{Duration, Instant};

use bytes::Bytes;
use kafka_protocol::messages::alter_client_quotas_request::{EntityData, EntryData, OpData};
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::describe_client_quotas_request::ComponentData;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::*;
use kafka_protocol::records::Record;
use milena_compat_tests::server::Setup;
use milena_compat_tests::wait::{self, PATIENCE};
use milena_compat_tests::wire::{Wire, batch, record};
use milena_compat_tests::{Server, Target};

use crate::topics::create_with;
use crate::{compare, text, topic_name};

/// `user=alice client-id=app`; a type alone is everybody else.
fn entry(entity: &str, ops: &str) -> EntryData {
    let part = |part: &str| {
        let (kind, name) = part.split_once('=').map_or((part, None), |(kind, name)| (kind, Some(text(name))));
        EntityData::default().with_entity_type(text(kind)).with_entity_name(name)
    };
    // `key=5 other=-`; a dash removes.
    let op = |op: &str| {
        let (key, value) = op.split_once('=').expect("a key and a value");
        let op = OpData::default().with_key(text(key));
        if value == "-" { op.with_remove(true) } else { op.with_value(value.parse().expect("a number")) }
    };
    EntryData::default()
        .with_entity(entity.split_whitespace().map(part).collect())
        .with_ops(ops.split_whitespace().map(op).collect())
}

/// Kafka answers in the order of a hash table.
fn alter(
    server: &Server,
    version: i16,
    entries: &[(&str, &str)],
    only_validate: bool,
) -> AlterClientQuotasResponse {
    let entries = entries.iter().map(|(entity, ops)| entry(entity, ops)).collect();
    let request = AlterClientQuotasRequest::default().with_entries(entries).with_validate_only(only_validate);
    let mut answer = server.wire().call(version, &request);
    for entry in &mut answer.entries {
        entry.entity.sort_by(|a, b| a.entity_type.cmp(&b.entity_type));
    }
    answer.entries.sort_by_key(|entry| format!("{:?}", entry.entity));
    answer
}

fn describe(
    server: &Server,
    version: i16,
    filter: &[(&str, i8, Option<&str>)],
    strict: bool,
) -> DescribeClientQuotasResponse {
    let component = |(kind, matching, name): &(&str, i8, Option<&str>)| {
        let component = ComponentData::default().with_entity_type(text(kind)).with_match_type(*matching);
        component.with_match(name.map(text))
    };
    let request = DescribeClientQuotasRequest::default()
        .with_components(filter.iter().map(component).collect())
        .with_strict(strict);
    let mut answer = server.wire().call(version, &request);
    if let Some(entries) = &mut answer.entries {
        entries.sort_by_key(|entry| format!("{:?}", entry.entity));
        entries.iter_mut().for_each(|entry| entry.values.sort_by(|a, b| a.key.cmp(&b.key)));
    }
    answer
}

/// Sets quotas and waits until the broker has heard of them.
fn set(server: &Server, entity: &str, ops: &str) {
    let answer = alter(server, 1, &[(entity, ops)], false);
    assert!(answer.entries.iter().all(|entry| entry.error_code == 0), "{answer:?}");
    let key = ops.split_once('=').expect("a key and a value").0;
    let wanted = entry(entity, "").entity.len();
    wait::until(PATIENCE, "the broker to have heard", || {
        let told = describe(server, 1, &[], false).entries.unwrap_or_default();
        let is_there = told.iter().any(|told| {
            let parts = entity.split_whitespace().filter(|part| {
                let (kind, name) = part.split_once('=').unwrap_or((part, ""));
                told.entity.iter().any(|part| {
                    part.entity_type.as_str() == kind
                        && part.entity_name.as_deref().unwrap_or_default() == name
                })
            });
            told.entity.len() == wanted
                && parts.count() == wanted
                && told.values.iter().any(|value| value.key.as_str() == key)
        });
        (is_there != ops.ends_with("=-")).then_some(())
    });
}

const REFUSED: &[(&str, &str)] = &[
    ("", "producer_byte_rate=1"),
    ("shoe=a", "producer_byte_rate=1"),
    ("user=", "producer_byte_rate=1"),
    ("client-id=", "producer_byte_rate=1"),
    ("ip=", "connection_creation_rate=1"),
    ("user=u ip=1.2.3.4", "producer_byte_rate=1"),
    ("client-id=u ip", "producer_byte_rate=1"),
    ("user=u", "colour=1"),
    ("user=u", "connection_creation_rate=1"),
    ("user=u", "SCRAM-SHA-256=1"),
    ("ip=1.2.3.4", "producer_byte_rate=1"),
    ("ip=no.such.host.", "connection_creation_rate=1"),
    ("ip=1.2.3.4", "connection_creation_rate=1.5"),
    ("ip", "connection_creation_rate=2147483648"),
    ("client-id=c", "producer_byte_rate=0"),
    ("client-id=c", "producer_byte_rate=-1"),
    ("client-id=c", "consumer_byte_rate=1.5"),
    ("client-id=c", "consumer_byte_rate=1e19"),
    ("client-id=c", "controller_mutation_rate=0"),
    ("user client-id", "producer_byte_rate=1 producer_byte_rate=2"),
    ("user=a client-id", "producer_byte_rate=1 producer_byte_rate=-"),
];

const SET: &[(&str, &str)] = &[
    ("user=alice", "producer_byte_rate=1048576 consumer_byte_rate=2e6 request_percentage=50.5"),
    ("user=alice client-id=app", "producer_byte_rate=1"),
    ("user=alice client-id", "controller_mutation_rate=0.25"),
    ("user client-id=app", "request_percentage=1e6"),
    ("user", "request_percentage=1e6"),
    ("user client-id", "request_percentage=1e6"),
    ("client-id=a/b", "producer_byte_rate=5"),
    ("client-id=<default>", "producer_byte_rate=6"),
    ("client-id", "producer_byte_rate=1e12"),
    ("ip=1.2.3.4", "connection_creation_rate=10"),
    ("ip=::1", "connection_creation_rate=10"),
    ("ip", "connection_creation_rate=1e6"),
];

#[test]
fn client_quotas() {
    compare(|server, answers| {
        for version in [0, 1] {
            answers.note("nobody has any", describe(server, version, &[], false));
            for case in REFUSED {
                answers.note(&format!("{case:?}"), alter(server, version, &[*case], false));
            }
            answers.note("no entries", alter(server, version, &[], false));
            answers.note("nothing to do", alter(server, version, &[("user=u", "")], false));
            answers.note("only validated", alter(server, version, SET, true));
            answers.note("several at once", alter(server, version, SET, false));
            set(server, "user=last", "producer_byte_rate=1");
            for case in [
                ("user=alice", "producer_byte_rate=-"),
                ("user=nobody", "producer_byte_rate=-"),
                ("user=alice", "colour=-"),
            ] {
                answers.note(&format!("{case:?}"), alter(server, version, &[case], false));
            }
            let twice = [
                ("user=last", "producer_byte_rate=2"),
                ("user=last", "consumer_byte_rate=2"),
                ("user=bob", "colour=2"),
            ];
            answers.note("twice", alter(server, version, &twice, false));
            set(server, "user=zz", "producer_byte_rate=1");
            let filters: &[&[(&str, i8, Option<&str>)]] = &[
                &[],
                &[("user", 2, None)],
                &[("user", 1, None)],
                &[("user", 0, Some("alice"))],
                &[("user", 0, Some("alice")), ("client-id", 2, None)],
                &[("user", 1, None), ("client-id", 1, None)],
                &[("client-id", 0, Some("<default>"))],
                &[("ip", 2, None)],
                &[("ip", 0, Some("1.2.3.4"))],
                &[("ip", 0, Some("1.2.3.4")), ("user", 2, None)],
                &[("user", 0, None)],
                &[("user", 1, Some("a"))],
                &[("user", 2, Some("a"))],
                &[("user", 3, None)],
                &[("user", 2, None), ("user", 1, None)],
                &[("", 2, None)],
                &[("shoe", 2, None)],
            ];
            for filter in filters {
                for strict in [false, true] {
                    answers.note(&format!("{filter:?} {strict}"), describe(server, version, filter, strict));
                }
            }
            let keys = [
                "producer_byte_rate",
                "consumer_byte_rate",
                "request_percentage",
                "controller_mutation_rate",
            ];
            let of_clients = keys.map(|key| format!("{key}=-")).join(" ");
            let others = [("user=last", ""), ("user=zz", ""), ("user=bob", "")];
            let keys_of = |entity: &str| {
                let is_ip = entity.starts_with("ip");
                if is_ip { "connection_creation_rate=-".to_owned() } else { of_clients.clone() }
            };
            let gone: Vec<(&str, String)> =
                SET.iter().chain(&others).map(|(entity, _)| (*entity, keys_of(entity))).collect();
            let gone: Vec<(&str, &str)> = gone.iter().map(|(entity, ops)| (*entity, ops.as_str())).collect();
            answers.note("all are taken back", alter(server, version, &gone, false));
            wait::until(PATIENCE, "the broker to have heard", || {
                describe(server, version, &[], false).entries.unwrap_or_default().is_empty().then_some(())
            });
        }
    });
}

/// Both brokers, by themselves: quotas of one test would hold for the clients of another.
fn each(check: impl Fn(&Server)) {
    let mut targets = vec![Target::Kafka];
    if Target::chosen() != Target::Kafka {
        targets.push(Target::chosen());
    }
    for target in targets {
        check(&Setup::of(target).start());
    }
}

fn value(length: usize) -> Record {
    Record { value: Some(Bytes::from(vec![b'x'; length])), ..record("") }
}

fn produce(topic: &str, acks: i16, length: usize) -> ProduceRequest {
    let data = PartitionProduceData::default().with_index(0).with_records(Some(batch([value(length)])));
    let topic = TopicProduceData::default().with_name(topic_name(topic)).with_partition_data(vec![data]);
    ProduceRequest::default().with_acks(acks).with_timeout_ms(5000).with_topic_data(vec![topic])
}

fn ms(told: i32) -> Duration {
    Duration::from_millis(u64::try_from(told).expect("a throttle time"))
}

#[test]
fn a_producer_that_sends_too_much_is_answered_and_then_has_to_wait() {
    each(|server| {
        create_with(server, "throttled", &[]);
        set(server, "client-id=producer", "producer_byte_rate=10000");
        let mut wire = server.wire().named("producer");
        // A hundred thousand bytes are free: ten whole windows.
        let answer = wire.call(9, &produce("throttled", -1, 90_000));
        assert_eq!((answer.throttle_time_ms, answer.responses[0].partition_responses[0].error_code), (0, 0));
        let sent = Instant::now();
        let answer = wire.call(9, &produce("throttled", -1, 25_000));
        assert_eq!(answer.responses[0].partition_responses[0].error_code, 0, "it is applied all the same");
        assert!((500..=1700).contains(&answer.throttle_time_ms), "{answer:?}");
        let told = ms(answer.throttle_time_ms);
        assert!(wire.call(1, &MetadataRequest::default()).throttle_time_ms == 0);
        assert!(sent.elapsed() >= told, "{:?} of {told:?}", sent.elapsed());
        // Another client is not held up, and without an answer one has to wait as well.
        assert_eq!(server.wire().call(9, &produce("throttled", -1, 50_000)).throttle_time_ms, 0);
        let sent = Instant::now();
        wire.start(9, &produce("throttled", 0, 20_000));
        wire.call(1, &MetadataRequest::default());
        assert!(sent.elapsed() >= Duration::from_millis(500), "{:?}", sent.elapsed());
        set(server, "client-id=producer", "producer_byte_rate=-");
        assert_eq!(wire.call(9, &produce("throttled", -1, 200_000)).throttle_time_ms, 0);
    });
}

#[test]
fn a_consumer_that_reads_too_much_gets_nothing_until_it_has_waited() {
    each(|server| {
        create_with(server, "read", &[]);
        for _ in 0..15 {
            assert_eq!(server.wire().call(9, &produce("read", -1, 10_000)).throttle_time_ms, 0);
        }
        set(server, "user=ANONYMOUS client-id=consumer", "consumer_byte_rate=10000");
        let fetch = |offset: i64| {
            let partition =
                FetchPartition::default().with_fetch_offset(offset).with_partition_max_bytes(1 << 20);
            let topic = FetchTopic::default().with_topic(topic_name("read")).with_partitions(vec![partition]);
            FetchRequest::default()
                .with_session_epoch(-1)
                .with_max_bytes(1 << 20)
                .with_min_bytes(1)
                .with_topics(vec![topic])
        };
        let mut wire = server.wire().named("consumer");
        // With what surrounds them, as many bytes as are free may be a few too many.
        let first = wait::until(PATIENCE, "the first", || {
            let answer = wire.call(12, &fetch(0));
            assert_eq!(answer.responses.is_empty(), answer.throttle_time_ms > 0);
            (!answer.responses.is_empty()).then_some(answer)
        });
        let bytes = first.responses[0].partitions[0].records.as_ref().map_or(0, Bytes::len);
        assert!((80_000..=100_000).contains(&bytes), "{bytes}");
        let sent = Instant::now();
        let second = wire.call(12, &fetch(9));
        assert!(
            second.throttle_time_ms > 0 && second.responses.is_empty() && second.error_code == 0,
            "{second:?}"
        );
        wire.call(1, &MetadataRequest::default());
        assert!(sent.elapsed() >= ms(second.throttle_time_ms));
        let told = wait::until(PATIENCE, "the rest", || {
            let answer = wire.call(12, &fetch(9));
            (!answer.responses.is_empty()).then_some(answer)
        });
        assert_eq!(told.throttle_time_ms, 0);
    });
}

#[test]
fn a_client_that_keeps_threads_busy_has_to_wait() {
    each(|server| {
        set(server, "user", "request_percentage=0.001");
        let mut wire = server.wire().named("busy");
        let answer = wait::until(PATIENCE, "a throttle time", || {
            let answer = wire.call(4, &MetadataRequest::default().with_topics(None));
            (answer.throttle_time_ms > 0).then_some(answer)
        });
        assert!(answer.throttle_time_ms <= 1000, "never longer than a window: {answer:?}");
        let sent = Instant::now();
        let versions = wire.call(0, &ApiVersionsRequest::default());
        assert_eq!(versions.error_code, 0);
        assert!(
            sent.elapsed() + Duration::from_millis(100)
                >= ms(answer.throttle_time_ms).min(Duration::from_millis(100))
        );
    });
}

fn create(
    server: &Server,
    client: &'static str,
    version: i16,
    topic: &str,
    partitions: i32,
) -> (i16, String, i32) {
    let topic = CreatableTopic::default()
        .with_name(topic_name(topic))
        .with_num_partitions(partitions)
        .with_replication_factor(1);
    let request = CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(30_000);
    let answer = server.wire().named(client).call(version, &request);
    let topic = &answer.topics[0];
    let message = topic.error_message.as_ref().map(ToString::to_string).unwrap_or_default();
    (topic.error_code, message, answer.throttle_time_ms)
}

#[test]
fn changes_of_metadata_that_are_too_many_are_refused_or_waited_for() {
    const EXCEEDED: i16 = 89;
    each(|server| {
        set(server, "client-id=strict", "controller_mutation_rate=1");
        set(server, "client-id=older", "controller_mutation_rate=1");
        assert_eq!(create(server, "strict", 7, "a", 16), (0, String::new(), 0), "the last may overdraw");
        let (code, message, wait) = create(server, "strict", 7, "b", 1);
        assert_eq!((code, &*message), (EXCEEDED, ""), "clients have words of their own");
        assert!((3000..=5000).contains(&wait), "{wait}");
        let more =
            CreatePartitionsTopic::default().with_name(topic_name("a")).with_count(17).with_assignments(None);
        let request = CreatePartitionsRequest::default().with_topics(vec![more]).with_timeout_ms(30_000);
        let answer = server.wire().named("strict").call(3, &request);
        assert!(answer.results[0].error_code == EXCEEDED && answer.throttle_time_ms > 0, "{answer:?}");
        let gone = DeleteTopicState::default().with_name(Some(topic_name("a")));
        let request = DeleteTopicsRequest::default().with_topics(vec![gone]).with_timeout_ms(30_000);
        let answer = server.wire().named("strict").call(6, &request);
        assert!(answer.responses[0].error_code == EXCEEDED && answer.throttle_time_ms > 0, "{answer:?}");
        let (code, _, wait) = create(server, "older", 5, "c", 16);
        assert!(code == 0 && (3000..=6000).contains(&wait), "{code} {wait}");
        assert_eq!(create(server, "another", 7, "d", 30), (0, String::new(), 0));
    });
}

#[test]
fn an_address_that_connects_too_often_is_cut_off() {
    each(|server| {
        let mut first = server.wire();
        set(server, "ip=127.0.0.1", "connection_creation_rate=1");
        // Ten are free at once: ten whole windows.
        let mut many: Vec<Wire> = (0..30).filter_map(|_| Wire::try_connect(server.address()).ok()).collect();
        let cut_off =
            many.iter_mut().filter_map(|wire| wire.is_closed_within(Duration::from_secs(2)).then_some(()));
        assert!(cut_off.count() > 0);
        let request = AlterClientQuotasRequest::default();
        let answer =
            first.call(1, &request.with_entries(vec![entry("ip=127.0.0.1", "connection_creation_rate=-")]));
        assert_eq!(answer.entries[0].error_code, 0, "connections that are there stay");
        wait::until(PATIENCE, "to be let in again", || {
            let mut wire = Wire::try_connect(server.address()).ok()?;
            wire.try_call(0, &ApiVersionsRequest::default()).ok()
        });
    });
}
