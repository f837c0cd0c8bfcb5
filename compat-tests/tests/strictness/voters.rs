//! Who votes in the metadata quorum: told, and refused to be changed, at brokers and at controllers (KIP-853).
//!
//! A quorum of one voter that can be changed. Kafka can also have one that cannot (`kraft.version` 0) and then refuses with
//! UNSUPPORTED_VERSION; every quorum of Milena can. What the two name differently (cluster, directory, ports) is masked.

use std::net::SocketAddr;
use std::sync::OnceLock;

use bytes::{Buf, BytesMut};
use kafka_protocol::messages::add_raft_voter_request::Listener;
use kafka_protocol::messages::describe_quorum_request::{PartitionData, TopicData};
use kafka_protocol::messages::update_raft_voter_request::{KRaftVersionFeature, Listener as UpdatedListener};
use kafka_protocol::messages::{
    AddRaftVoterRequest, AddRaftVoterResponse, DescribeClusterRequest, DescribeClusterResponse,
    DescribeQuorumRequest, DescribeQuorumResponse, RemoveRaftVoterRequest, UpdateRaftVoterRequest,
};
use kafka_protocol::protocol::{Decodable, StrBytes};
use milena_compat_tests::server::Setup;
use milena_compat_tests::wire::{Wire, frame};
use milena_compat_tests::{Server, Target, port};
use uuid::Uuid;

use crate::{Answers, Pair, show, text, topic_name};

const METADATA: &str = "__cluster_metadata";
const CONTROLLERS: i8 = 2;
/// A directory that nobody has.
const OTHER: Uuid = Uuid::from_u128(0x1234_5678_9abc_4def_8123_4567_89ab_cdef);

fn pair() -> &'static Pair {
    static PAIR: OnceLock<Pair> = OnceLock::new();
    let start = |target| Setup::of(target).dynamic_quorum().start();
    PAIR.get_or_init(|| Pair { judged: start(Target::chosen()), right: start(Target::Kafka) })
}

/// One broker's quorum: what it calls itself, and where it is asked.
struct Asked<'a> {
    server: &'a Server,
    cluster: String,
    directory: Uuid,
    epoch: i32,
}

impl<'a> Asked<'a> {
    fn of(server: &'a Server) -> Self {
        let told = Wire::connect(server.controller_address())
            .call(1, &DescribeClusterRequest::default().with_endpoint_type(CONTROLLERS));
        let quorum = server.wire().call(2, &describe(METADATA, &[0]));
        let partition = &quorum.topics[0].partitions[0];
        let directory = partition.current_voters[0].replica_directory_id;
        Self { server, cluster: told.cluster_id.to_string(), directory, epoch: partition.leader_epoch }
    }

    /// The broker's own listener, and the controller's.
    fn both(&self) -> [(&'static str, SocketAddr); 2] {
        [("broker", self.server.address()), ("controller", self.server.controller_address())]
    }

    fn mask(&self, answers: Answers) -> Vec<(String, String)> {
        let directory = data_encoding(self.directory);
        let masks = [
            (self.cluster.as_str(), "CLUSTER"),
            (directory.as_str(), "DIRECTORY"),
            (&self.directory.to_string(), "DIRECTORY"),
        ];
        let mask = |answer: String| masks.iter().fold(answer, |text, (what, with)| text.replace(what, with));
        answers.0.into_iter().map(|(case, answer)| (case, mask(answer))).collect()
    }
}

/// As Kafka writes a directory id: base64 for URLs, without padding.
fn data_encoding(id: Uuid) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let bits = id.as_u128();
    let digit =
        |at: u32| char::from(ALPHABET[usize::try_from(bits >> (122 - 6 * at) & 63).expect("six bits")]);
    let last = char::from(ALPHABET[usize::try_from((bits & 3) << 4).expect("six bits")]);
    (0..21).map(digit).chain([last]).collect()
}

/// Puts the same cases to both quorums and shows every difference.
fn compare(cases: impl Fn(&Asked<'_>, &mut Answers)) {
    let ask = |server: &Server| {
        let asked = Asked::of(server);
        let mut answers = Answers::default();
        cases(&asked, &mut answers);
        asked.mask(answers)
    };
    show(&ask(&pair().judged), &ask(&pair().right));
}

fn describe(topic: &str, partitions: &[i32]) -> DescribeQuorumRequest {
    let partitions = partitions.iter().map(|index| PartitionData::default().with_partition_index(*index));
    let topic = TopicData::default().with_topic_name(topic_name(topic)).with_partitions(partitions.collect());
    DescribeQuorumRequest::default().with_topics(vec![topic])
}

/// What of an answer does not depend on when it was given.
fn lasting(mut told: DescribeQuorumResponse, controller: u16) -> DescribeQuorumResponse {
    for partition in told.topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
        assert!(partition.high_watermark > 0 || partition.error_code != 0, "{partition:?}");
        partition.high_watermark = partition.high_watermark.min(1);
        partition.leader_epoch = partition.leader_epoch.min(1);
        for replica in partition.current_voters.iter_mut().chain(&mut partition.observers) {
            replica.log_end_offset = replica.log_end_offset.signum();
            replica.last_fetch_timestamp = replica.last_fetch_timestamp.signum();
            replica.last_caught_up_timestamp = replica.last_caught_up_timestamp.signum();
        }
    }
    for listener in told.nodes.iter_mut().flat_map(|node| &mut node.listeners) {
        assert_eq!(listener.port, controller);
        listener.port = 1;
    }
    told
}

#[test]
fn the_quorum_is_told() {
    compare(|asked, answers| {
        let controller = asked.server.controller_address().port();
        for (place, at) in asked.both() {
            let mut ask = |version: i16, what: &str, request: &DescribeQuorumRequest| {
                let told = Wire::connect(at).try_call(version, request).map(|told| lasting(told, controller));
                let told = told.map_err(|error| error.kind());
                answers.note(&format!("{what}, version {version} at the {place}"), told);
            };
            for version in 0..=2 {
                ask(version, "the quorum", &describe(METADATA, &[0]));
                ask(version, "another partition", &describe(METADATA, &[1]));
            }
            ask(2, "an unknown topic", &describe("unknown", &[0]));
            ask(2, "no name", &describe("", &[0]));
            ask(2, "no partition", &describe(METADATA, &[]));
            ask(2, "the partition twice", &describe(METADATA, &[0, 0]));
            ask(2, "a partition too many", &describe(METADATA, &[0, 1]));
            ask(2, "no topic", &DescribeQuorumRequest::default());
            let mut two = describe(METADATA, &[0]);
            two.topics.extend(describe("unknown", &[0]).topics);
            ask(2, "a topic too many", &two);
        }
    });
}

fn masked_ports(mut told: DescribeClusterResponse, asked: &Asked<'_>) -> DescribeClusterResponse {
    let known = [asked.server.address().port(), asked.server.controller_address().port()];
    for broker in &mut told.brokers {
        let which = known.iter().position(|port| i32::from(*port) == broker.port);
        broker.port = i32::try_from(which.expect("a port of this server")).expect("0 or 1");
    }
    told
}

#[test]
fn the_cluster_is_told_by_kind_of_endpoint() {
    compare(|asked, answers| {
        for (place, at) in asked.both() {
            let mut ask = |version: i16, what: &str, request: DescribeClusterRequest| {
                let told = Wire::connect(at).call(version, &request);
                answers.note(&format!("{what}, version {version} at the {place}"), masked_ports(told, asked));
            };
            ask(0, "no kind", DescribeClusterRequest::default());
            for version in [1, 2] {
                for kind in [-1, 0, 1, 2, 3] {
                    let request = DescribeClusterRequest::default().with_endpoint_type(kind);
                    ask(version, &format!("kind {kind}"), request);
                }
            }
            for kind in [1, 2] {
                let request = DescribeClusterRequest::default()
                    .with_endpoint_type(kind)
                    .with_include_cluster_authorized_operations(true);
                ask(1, &format!("what may be done, kind {kind}"), request.clone());
                ask(2, &format!("fenced ones too, kind {kind}"), request.with_include_fenced_brokers(true));
            }
        }
    });
}

fn listener(name: &str, port: u16) -> Listener {
    Listener::default().with_name(text(name)).with_host(text("127.0.0.1")).with_port(port)
}

fn add(cluster: Option<&str>, id: i32, directory: Uuid, listeners: &[Listener]) -> AddRaftVoterRequest {
    AddRaftVoterRequest::default()
        .with_cluster_id(cluster.map(text))
        .with_timeout_ms(10_000)
        .with_voter_id(id)
        .with_voter_directory_id(directory)
        .with_listeners(listeners.to_vec())
}

/// Version 1, which the protocol crate lacks: it says whether to wait for the commit; the answer is that of version 0.
fn add_1(at: SocketAddr, request: &AddRaftVoterRequest, waits: bool) -> AddRaftVoterResponse {
    let mut bytes: BytesMut = frame(1, 0, request);
    bytes[2..4].copy_from_slice(&1_i16.to_be_bytes());
    bytes.truncate(bytes.len() - 1);
    bytes.extend_from_slice(&[u8::from(waits), 0]);
    let mut wire = Wire::connect(at);
    wire.send_frame(&bytes).expect("the server reads");
    let mut answer = wire.read_frame().expect("the server answers");
    answer.advance(5);
    AddRaftVoterResponse::decode(&mut answer, 0).expect("an answer as in version 0")
}

#[test]
fn voters_that_cannot_be_added() {
    compare(|asked, answers| {
        let good = [listener("CONTROLLER", 9093)];
        for (place, at) in asked.both() {
            let mut ask = |what: &str, request: AddRaftVoterRequest| {
                let told = Wire::connect(at).call(0, &request);
                answers.note(&format!("{what} at the {place}"), told);
                answers.note(&format!("{what} in version 1 at the {place}"), add_1(at, &request, true));
            };
            ask("another cluster", add(Some("another"), 7, OTHER, &good));
            ask("no cluster's name", add(Some(""), 7, OTHER, &good));
            ask("another cluster first", add(Some("another"), -1, Uuid::nil(), &[]));
            ask("no id", add(Some(&asked.cluster), -1, OTHER, &good));
            ask("no directory", add(None, 7, Uuid::nil(), &good));
            ask("no listeners", add(None, 7, OTHER, &[]));
            ask("another listener", add(None, 7, OTHER, &[listener("OTHER", 9093)]));
            ask("the voter itself", add(None, 1, asked.directory, &good));
            ask("the voter's id", add(Some(&asked.cluster), 1, OTHER, &good));
            ask(
                "the voter's id, by a listener in small letters",
                add(None, 1, OTHER, &[listener("controller", 1)]),
            );
            ask("no voter at all", add(None, -5, Uuid::nil(), &[]));
        }
    });
}

#[test]
fn a_voter_that_does_not_answer_is_not_added() {
    compare(|asked, answers| {
        // Kafka says for which error of its own client; the code is the promise.
        let request = add(Some(&asked.cluster), 7, OTHER, &[listener("CONTROLLER", port::free())]);
        let told = Wire::connect(asked.server.controller_address()).call(0, &request);
        answers.note("nobody is there", (told.error_code, told.error_message.is_some()));
    });
}

#[test]
fn voters_that_cannot_be_removed() {
    compare(|asked, answers| {
        for (place, at) in asked.both() {
            let mut ask = |what: &str, cluster: Option<&str>, id: i32, directory: Uuid| {
                let request = RemoveRaftVoterRequest::default()
                    .with_cluster_id(cluster.map(text))
                    .with_voter_id(id)
                    .with_voter_directory_id(directory);
                answers.note(&format!("{what} at the {place}"), Wire::connect(at).call(0, &request));
            };
            ask("another cluster", Some("another"), 1, asked.directory);
            ask("no id", None, -1, asked.directory);
            ask("no directory", None, 1, Uuid::nil());
            ask("nobody", Some(&asked.cluster), 7, OTHER);
            ask("another directory", Some(&asked.cluster), 1, OTHER);
            ask("the last voter", Some(&asked.cluster), 1, asked.directory);
            ask("another voter in that directory", None, 2, asked.directory);
        }
    });
}

fn update(asked: &Asked<'_>) -> UpdateRaftVoterRequest {
    let listener = UpdatedListener::default()
        .with_name(text("CONTROLLER"))
        .with_host(text("127.0.0.1"))
        .with_port(asked.server.controller_address().port());
    UpdateRaftVoterRequest::default()
        .with_cluster_id(Some(StrBytes::from_string(asked.cluster.clone())))
        .with_current_leader_epoch(asked.epoch)
        .with_voter_id(1)
        .with_voter_directory_id(asked.directory)
        .with_listeners(vec![listener])
        .with_k_raft_version_feature(range(0, 1))
}

fn range(min: i16, max: i16) -> KRaftVersionFeature {
    KRaftVersionFeature::default().with_min_supported_version(min).with_max_supported_version(max)
}

/// Refusals alone: Kafka's process ends when its leader is told of itself. What is taken is seen in the suite `cluster`.
#[test]
fn voters_that_tell_of_themselves_wrongly() {
    compare(|asked, answers| {
        let good = || update(asked);
        let other = UpdatedListener::default().with_name(text("OTHER")).with_port(1);
        let cases = [
            ("another cluster", good().with_cluster_id(Some(text("another")))),
            ("an earlier epoch", good().with_current_leader_epoch(asked.epoch - 1)),
            ("no epoch", good().with_current_leader_epoch(-1)),
            ("a later epoch", good().with_current_leader_epoch(asked.epoch + 1)),
            (
                "a later epoch and no voter",
                good().with_current_leader_epoch(asked.epoch + 1).with_voter_id(-1),
            ),
            ("no id", good().with_voter_id(-1)),
            ("no directory", good().with_voter_directory_id(Uuid::nil())),
            ("no listeners", good().with_listeners(Vec::new())),
            ("another listener", good().with_listeners(vec![other])),
            ("an impossible range", good().with_k_raft_version_feature(range(1, 0))),
            ("a negative level", good().with_k_raft_version_feature(range(-1, 1))),
            ("only level 0", good().with_k_raft_version_feature(range(0, 0))),
            ("only level 2", good().with_k_raft_version_feature(range(2, 2))),
            ("another voter", good().with_voter_id(7)),
            ("another directory", good().with_voter_directory_id(OTHER)),
        ];
        let controller = asked.server.controller_address();
        for (what, request) in cases {
            let mut told = Wire::connect(controller).try_call(0, &request).map_err(|error| error.kind());
            if let Ok(told) = &mut told {
                let leader = &mut told.current_leader;
                assert_eq!(leader.port, i32::from(controller.port()), "{what}");
                leader.port = 1;
                leader.leader_epoch -= asked.epoch;
            }
            answers.note(what, told);
        }
        let refused = asked.server.wire().try_call(0, &good());
        answers.note("asked of a broker", refused.map_err(|error| error.kind()).is_ok());
    });
}
