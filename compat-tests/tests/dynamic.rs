//! Settings that Kafka changes while it runs: each is set by IncrementalAlterConfigs and seen by what the broker does
//! then.
//!
//! It must never restart the broker. Of Milena it asks that a setting holds when the change is answered; Kafka's broker
//! hears of it a moment later.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::PartitionProduceResponse;
use kafka_protocol::messages::{
    ApiVersionsRequest, CreateTopicsRequest, IncrementalAlterConfigsRequest, ProduceRequest,
};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::Record;
use milena_compat_tests::server::Setup;
use milena_compat_tests::wire::{Wire, batch, frame, record};
use milena_compat_tests::{Server, Target, wait};

const PATIENCE: Duration = Duration::from_secs(30);
/// A connection that is refused is closed long before.
const CLOSED_WITHIN: Duration = Duration::from_secs(5);
/// One that waits for its turn is not served within this time, however slow the machine.
const HELD_BACK: Duration = Duration::from_millis(300);

/// The resource type of brokers; without a name it stands for all of them.
const BROKER: i8 = 4;
const MESSAGE_TOO_LARGE: i16 = 10;
const INVALID_TIMESTAMP: i16 = 32;
const INVALID_RECORD: i16 = 87;

/// A broker of its own, and the connection that changes its settings, made before any limit.
struct Live {
    server: Server,
    wire: Wire,
}

impl Live {
    fn start() -> Self {
        let server = Setup::of(Target::chosen()).start();
        Self { wire: server.wire(), server }
    }

    /// Sets values for all brokers; `None` takes one back.
    fn set(&mut self, values: &[(&str, Option<&str>)]) {
        let text = |text: &str| StrBytes::from_string(text.to_owned());
        let configs = values.iter().map(|(name, value)| {
            let config = AlterableConfig::default().with_name(text(name)).with_value(value.map(text));
            config.with_config_operation(i8::from(value.is_none()))
        });
        let resource = AlterConfigsResource::default().with_resource_type(BROKER);
        let resource = resource.with_configs(configs.collect());
        let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
        let answer = &self.wire.call(1, &request).responses[0];
        assert_eq!(answer.error_code, 0, "{values:?}: {:?}", answer.error_message);
    }

    fn expect(&self, what: &str, mut holds: impl FnMut() -> bool) {
        match self.server.target() {
            Target::Milena => assert!(holds(), "not at once: {what}"),
            Target::Kafka => wait::until(PATIENCE, what, || holds().then_some(())),
        }
    }

    fn create(&mut self, topic: &str) {
        let name = StrBytes::from_string(topic.to_owned());
        let topic = CreatableTopic::default()
            .with_name(name.into())
            .with_num_partitions(1)
            .with_replication_factor(1);
        let request = CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(30_000);
        assert_eq!(self.wire.call(5, &request).topics[0].error_code, 0);
    }
}

fn produce(wire: &mut Wire, topic: &str, record: Record) -> PartitionProduceResponse {
    let data = PartitionProduceData::default().with_index(0).with_records(Some(batch([record])));
    let name = StrBytes::from_string(topic.to_owned());
    let topic = TopicProduceData::default().with_name(name.into()).with_partition_data(vec![data]);
    let request = ProduceRequest::default().with_acks(-1).with_timeout_ms(5000).with_topic_data(vec![topic]);
    wire.call(9, &request).responses.remove(0).partition_responses.remove(0)
}

fn is_served(wire: &mut Wire) -> bool {
    wire.try_call(0, &ApiVersionsRequest::default()).is_ok()
}

/// Whether a new connection is served, or closed by the broker.
fn comes_in(address: SocketAddr) -> Option<Wire> {
    let mut wire = Wire::connect(address);
    is_served(&mut wire).then_some(wire)
}

#[test]
fn limits_per_address_follow() {
    let mut live = Live::start();
    let address = live.server.address();
    live.set(&[("max.connections.per.ip", Some("2"))]);
    let mut second = None;
    live.expect("the third connection is refused", || {
        second = None;
        second = comes_in(address);
        second.is_some() && comes_in(address).is_none()
    });
    live.set(&[("max.connections.per.ip.overrides", Some("127.0.0.1:3"))]);
    let mut third = None;
    live.expect("an override lets a third in", || {
        third = comes_in(address);
        third.is_some()
    });
    assert!(comes_in(address).is_none(), "and no fourth");
    live.set(&[("max.connections.per.ip.overrides", None), ("max.connections.per.ip", None)]);
    live.expect("without a limit a fourth comes in", || comes_in(address).is_some());
    assert!(is_served(second.as_mut().expect("it came in")), "who is in stays in");
}

#[test]
fn the_limit_on_all_connections_follows() {
    let mut live = Live::start();
    let mut clients: Vec<Wire> = (0..4).map(|_| live.server.wire()).collect();
    assert!(clients.iter_mut().all(is_served));
    live.set(&[("max.connections", Some("3"))]);
    // Kafka's threads each close one of their own, so that it may be more than two of five.
    let mut closed = 0;
    wait::until(PATIENCE, "connections over the limit to be closed", || {
        let before = clients.len();
        clients.retain_mut(|client| !client.is_closed_within(Duration::from_millis(10)));
        closed += before - clients.len();
        (closed >= 2).then_some(())
    });
    if live.server.target() == Target::Milena {
        assert_eq!(closed, 2, "no more than needed");
        // The operator's is the one used last.
        let mut next = live.server.wire();
        next.send_frame(&frame(1, 0, &ApiVersionsRequest::default())).expect("the backlog takes it");
        assert!(!next.is_readable_within(HELD_BACK), "it waits for its turn");
        live.set(&[("max.connections", None)]);
        assert!(next.read_frame().is_ok(), "without a limit it is served");
    }
}

#[test]
fn the_rate_of_new_connections_follows() {
    let mut live = Live::start();
    let address = live.server.address();
    live.set(&[("max.connection.creation.rate", Some("1"))]);
    // Ten may come at once, each further one waits for up to a second.
    live.expect("connections to be held back", || {
        let started = Instant::now();
        assert!((0..14).all(|_| comes_in(address).is_some()), "nobody is refused");
        started.elapsed() >= Duration::from_secs(2)
    });
    live.set(&[("max.connection.creation.rate", None)]);
    live.expect("nobody to wait without a limit", || {
        let started = Instant::now();
        (0..14).all(|_| comes_in(address).is_some()) && started.elapsed() < Duration::from_secs(2)
    });
}

#[test]
fn what_topics_take_from_the_broker_follows() {
    let mut live = Live::start();
    live.create("topic");
    let mut wire = live.server.wire();
    let large = "x".repeat(3000).leak();
    let keyed = |value| Record { key: Some("key".into()), ..record(value) };
    assert_eq!(produce(&mut wire, "topic", keyed(large)).error_code, 0);

    live.set(&[("message.max.bytes", Some("2000"))]);
    live.expect("a large batch is refused", || {
        produce(&mut wire, "topic", keyed(large)).error_code == MESSAGE_TOO_LARGE
    });
    live.set(&[("message.max.bytes", None), ("log.message.timestamp.type", Some("LogAppendTime"))]);
    live.expect("the broker's time is set", || {
        let answer = produce(&mut wire, "topic", keyed(large));
        answer.error_code == 0 && answer.log_append_time_ms > 0
    });
    live.set(&[("log.cleanup.policy", Some("compact"))]);
    live.expect("a null key is refused", || {
        produce(&mut wire, "topic", record("v")).error_code == INVALID_RECORD
    });
    live.set(&[("log.cleanup.policy", None), ("log.message.timestamp.type", None)]);
    live.expect("what was refused is taken", || produce(&mut wire, "topic", record("v")).error_code == 0);
    let old = || Record { timestamp: 1_000_000, ..record("v") };
    assert_eq!(produce(&mut wire, "topic", old()).error_code, 0);
    live.set(&[("log.message.timestamp.before.max.ms", Some("1000"))]);
    live.expect("what is old is refused", || {
        produce(&mut wire, "topic", old()).error_code == INVALID_TIMESTAMP
    });
}

#[test]
fn the_size_of_segments_follows() {
    let mut live = Live::start();
    live.create("rolled");
    let mut wire = live.server.wire();
    let half = "x".repeat(600 << 10).leak();
    for _ in 0..3 {
        assert_eq!(produce(&mut wire, "rolled", record(half)).error_code, 0);
    }
    let segments = |live: &Live| live.server.partition_files("rolled", 0, ".log").len();
    assert_eq!(segments(&live), 1);
    live.set(&[("log.segment.bytes", Some("1048576"))]);
    live.expect("the next batch begins a segment", || {
        assert_eq!(produce(&mut wire, "rolled", record(half)).error_code, 0);
        segments(&live) > 1
    });
}

#[test]
fn a_connection_that_is_refused_is_closed() {
    let mut live = Live::start();
    let address = live.server.address();
    live.set(&[("max.connections.per.ip", Some("1"))]);
    live.expect("a second connection is closed", || Wire::connect(address).is_closed_within(CLOSED_WITHIN));
}
