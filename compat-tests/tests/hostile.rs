//! Bytes that no client would send: the connection closes, and the broker costs nothing more and goes on.
//!
//! Every seed is printed; `MILENA_SEED` repeats one. A test must never be satisfied with a broker that only still lives: it
//! serves a stock client afterwards.

use std::env;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    ApiVersionsRequest, CreateTopicsRequest, FetchRequest, JoinGroupRequest, ListOffsetsRequest,
    MetadataRequest, OffsetCommitRequest, ProduceRequest, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use milena_compat_tests::wire::{Wire, batch, frame, now_ms, record};
use milena_compat_tests::{Server, Target};

/// How much memory all of one test's garbage may cost a broker for good.
const ALLOWANCE: u64 = 64 << 20;

/// Time enough to see a connection closed.
const CLOSE_PATIENCE: Duration = Duration::from_secs(10);

/// The key of an API and its newest version; what is advertised is attacked.
fn served(server: &Server) -> Vec<(i16, i16, i16)> {
    let answer = server.wire().call(
        3,
        &ApiVersionsRequest::default()
            .with_client_software_name(StrBytes::from_static_str("hostile"))
            .with_client_software_version(StrBytes::from_static_str("1")),
    );
    answer.api_keys.iter().map(|key| (key.api_key, key.min_version, key.max_version)).collect()
}

/// The rounds of the short form, or of the long one.
fn rounds(short: usize, long: usize) -> usize {
    if env::var("MILENA_LONG").is_ok_and(|value| value == "1") { long } else { short }
}

/// A small generator with a seed: the same seed sends the same bytes.
struct Dice(u64);

impl Dice {
    fn thrown(test: &str) -> Self {
        let given = env::var("MILENA_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed: u64 = given.unwrap_or_else(|| u64::try_from(now_ms()).expect("after 1970"));
        eprintln!("{test}: MILENA_SEED={seed}");
        Self(seed ^ 0x9e37_79b9_7f4a_7c15)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).expect("below a usize")
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next().to_le_bytes()[3]).collect()
    }
}

/// Runs an attack and asserts that the broker, the same process, serves on and has not grown.
fn survives(server: &Server, attack: impl FnOnce(&Server)) {
    let pid = server.pid();
    // The first requests of each kind cost a broker memory that it keeps; that is not the attack's.
    for (key, _, highest) in served(server) {
        let _ = probe(server, &header(key, highest));
    }
    let before = server.resident_bytes();
    attack(server);
    assert_eq!(server.pid(), pid);
    let after = server.resident_bytes();
    assert!(
        server.target() == Target::Kafka || after < before + ALLOWANCE,
        "resident memory grew from {before} to {after} bytes"
    );
    server.tool("kafka-console-producer").line("--topic afterwards").input("served\n").ok();
    let read = server
        .tool("kafka-console-consumer")
        .line("--topic afterwards --from-beginning --max-messages 1")
        .ok();
    assert_eq!(read, "served\n");
    let output = server.output();
    assert!(!output.contains("panicked"), "{output}");
}

/// A request header of the plainest form, without a body.
fn header(key: i16, version: i16) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend_from_slice(&key.to_be_bytes());
    bytes.extend_from_slice(&version.to_be_bytes());
    bytes.extend_from_slice(&7_i32.to_be_bytes());
    bytes.extend_from_slice(&4_i16.to_be_bytes());
    bytes.extend_from_slice(b"evil");
    bytes
}

/// Sends one frame and reads what comes, if anything, for a moment.
fn probe(server: &Server, frame: &[u8]) -> bool {
    let mut wire = Wire::try_connect(server.address()).expect("the broker accepts");
    wire.send_frame(frame).is_ok() && wire.is_closed_within(Duration::from_millis(20))
}

#[test]
fn lengths_that_lie_close_the_connection() {
    let server = Server::shared();
    survives(server, |server| {
        for length in [i32::MAX, i32::MIN, -1, 1 << 30, 100 << 20 | 1] {
            let mut wire = server.wire();
            wire.send_raw(&length.to_be_bytes()).expect("the broker reads");
            let _ = wire.send_raw(&[0; 64]);
            assert!(wire.is_closed_within(CLOSE_PATIENCE), "a frame of {length} bytes");
        }
        let mut wire = server.wire();
        wire.send_raw(&0_i32.to_be_bytes()).expect("the broker reads");
        assert!(wire.is_closed_within(CLOSE_PATIENCE), "an empty frame");
        let mut wire = server.wire();
        wire.send_raw(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").expect("the broker reads");
        assert!(wire.is_closed_within(CLOSE_PATIENCE), "a web browser");
        let mut wire = server.wire();
        wire.send_raw(&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, 0, 0, 0]).expect("the broker reads");
        assert!(wire.is_closed_within(CLOSE_PATIENCE), "a TLS client");
    });
}

#[test]
fn many_half_frames_cost_no_memory() {
    let server = Server::shared();
    if server.target() == Target::Kafka {
        // It reserves what a length says, and its heap runs out.
        return;
    }
    survives(server, |server| {
        // Each says that 100 MB follow, and sends a few bytes of them.
        let mut open = Vec::new();
        for _ in 0..200 {
            let mut wire = server.wire();
            wire.send_raw(&(100_i32 << 20).to_be_bytes()).expect("the broker reads");
            wire.send_raw(&header(0, 9)).expect("the broker reads");
            open.push(wire);
        }
        let held = server.resident_bytes();
        assert!(
            server.target() == Target::Kafka || held < 256 << 20,
            "200 promises of 100 MB hold {held} bytes"
        );
    });
}

#[test]
fn array_and_string_lengths_that_lie_close_the_connection() {
    let server = Server::shared();
    survives(server, |server| {
        for (key, lowest, highest) in served(server) {
            for version in [lowest, highest] {
                for filler in [[0x7f, 0xff, 0xff, 0xff], [0xff, 0xff, 0xff, 0x07], [0x10, 0, 0, 0], [0xff; 4]]
                {
                    for tagged in [false, true] {
                        let mut bytes = header(key, version);
                        bytes.extend_from_slice(if tagged { &[0] } else { &[] });
                        bytes.extend(filler.iter().cycle().take(32));
                        let _ = probe_quietly(server, &bytes);
                    }
                }
            }
        }
    });
}

#[test]
fn random_bodies_of_every_api_close_the_connection_at_worst() {
    let server = Server::shared();
    let mut dice = Dice::thrown("random bodies");
    survives(server, |server| {
        let count = rounds(4, 200);
        for (key, lowest, highest) in served(server) {
            for version in lowest..=highest {
                for _ in 0..count {
                    let mut bytes = header(key, version);
                    let length = dice.below(200);
                    bytes.extend(dice.bytes(length));
                    let _ = probe_quietly(server, &bytes);
                }
            }
        }
        for _ in 0..200 {
            let length = dice.below(64);
            let bytes = dice.bytes(length);
            let _ = probe_quietly(server, &bytes);
        }
    });
}

/// Right requests of several kinds, to be cut and changed.
fn right_requests() -> Vec<(&'static str, BytesMut)> {
    let name = || TopicName(StrBytes::from_static_str("hostile"));
    let topic = MetadataRequestTopic::default().with_name(Some(name()));
    let data = PartitionProduceData::default().with_records(Some(batch([record("a"), record("b")])));
    let data = TopicProduceData::default().with_name(name()).with_partition_data(vec![data]);
    let produce = ProduceRequest::default().with_acks(1).with_timeout_ms(1000).with_topic_data(vec![data]);
    vec![
        ("ApiVersions", frame(1, 3, &ApiVersionsRequest::default())),
        (
            "Metadata",
            frame(1, 9, &MetadataRequest::default().with_topics(Some(vec![topic.clone(), topic.clone()]))),
        ),
        ("Metadata, old", frame(1, 4, &MetadataRequest::default().with_topics(Some(vec![topic])))),
        ("Produce", frame(1, 9, &produce)),
        ("Produce, old", frame(1, 3, &produce)),
        ("Fetch", frame(1, 12, &FetchRequest::default().with_topics(vec![Default::default()]))),
        ("ListOffsets", frame(1, 6, &ListOffsetsRequest::default().with_topics(vec![Default::default()]))),
        ("OffsetCommit", frame(1, 8, &OffsetCommitRequest::default().with_topics(vec![Default::default()]))),
        ("JoinGroup", frame(1, 6, &JoinGroupRequest::default().with_protocols(vec![Default::default()]))),
        ("CreateTopics", frame(1, 5, &CreateTopicsRequest::default().with_topics(vec![Default::default()]))),
    ]
}

#[test]
fn requests_cut_at_every_byte_close_the_connection() {
    let server = Server::shared();
    survives(server, |server| {
        for (_, right) in right_requests() {
            for end in 0..right.len() {
                let _ = probe_quietly(server, &right[..end]);
            }
        }
    });
}

#[test]
fn requests_with_changed_bytes_harm_nobody() {
    let server = Server::shared();
    let mut dice = Dice::thrown("changed bytes");
    survives(server, |server| {
        let count = rounds(60, 3000);
        for (_, right) in right_requests() {
            for _ in 0..count {
                let mut changed = right.clone();
                for _ in 0..=dice.below(3) {
                    let place = 4 + dice.below(changed.len() - 4);
                    changed[place] = [0, 1, 0x7f, 0x80, 0xff, dice.next().to_le_bytes()[0]][dice.below(6)];
                }
                let _ = probe_quietly(server, &changed);
            }
        }
    });
}

#[test]
fn record_batches_that_lie_are_refused() {
    let server = Server::shared();
    let mut dice = Dice::thrown("record batches");
    survives(server, |server| {
        server.tool("kafka-topics").line("--create --if-not-exists --topic hostile-batches").ok();
        let good = batch([record("one"), record("two"), record("three")]);
        let count = rounds(300, 20_000);
        for _ in 0..count {
            let mut bytes = BytesMut::from(&good[..]);
            let place = dice.below(bytes.len());
            bytes[place] = bytes[place].wrapping_add(1 + dice.next().to_le_bytes()[5] % 255);
            let data = PartitionProduceData::default().with_records(Some(Bytes::from(bytes)));
            let data = TopicProduceData::default()
                .with_name(TopicName(StrBytes::from_static_str("hostile-batches")))
                .with_partition_data(vec![data]);
            let request =
                ProduceRequest::default().with_acks(1).with_timeout_ms(1000).with_topic_data(vec![data]);
            let mut wire = server.wire();
            if let Ok(answer) = wire.try_call(9, &request) {
                let error = answer.responses[0].partition_responses[0].error_code;
                // Offset, length and leader epoch are not covered by the checksum; a length that lies is caught.
                assert!(
                    error != 0 || place < 8 || (12..16).contains(&place),
                    "byte {place} was taken as it was"
                );
            }
        }
    });
}

#[test]
fn a_client_that_never_reads_does_not_fill_the_memory() {
    let server = Server::shared();
    survives(server, |server| {
        let before = server.resident_bytes();
        let request = frame(1, 9, &MetadataRequest::default().with_topics(None));
        let mut wire = server.wire();
        wire.stop_writing_after(Duration::from_secs(3));
        let mut sent = 0_u64;
        while sent < 2_000_000 && wire.send_frame(&request).is_ok() {
            sent += 1;
        }
        let held = server.resident_bytes();
        assert!(
            server.target() == Target::Kafka || held < before + ALLOWANCE,
            "{sent} unread answers hold {} bytes",
            held - before
        );
    });
}

/// Sends a frame, and asks whether the broker still reads on another connection only now and then: most of the time
/// goes into connecting.
fn probe_quietly(server: &Server, frame: &[u8]) -> bool {
    let mut wire = Wire::try_connect(server.address()).expect("the broker accepts");
    wire.send_frame(frame).is_ok()
}
