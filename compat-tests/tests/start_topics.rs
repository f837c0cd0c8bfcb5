//! Topics that are there when the broker says that it is ready, and the commands that test environments ask.
//!
//! It must never look inside: it sees arguments, variables, files, clients' answers and exit codes.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Command, Output};

use kafka_protocol::messages::{MetadataRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use milena_compat_tests::process::Guarded;
use milena_compat_tests::program::Program;
use milena_compat_tests::wait::{self, PATIENCE};
use milena_compat_tests::{paths, port, wire::Wire};

const FILE: &str = r#"
[[topics]]
name = "seeded"
partitions = 2
configs = { "cleanup.policy" = "compact" }
records = [
    { key = "k1", value = "v1", partition = 1, headers = { h = "x" } },
    { key = "k2", value = "v2", partition = 1 },
]
"#;

/// A broker with these topics on a port that is known beforehand.
fn command(directory: &Path, port: u16, listed: &str) -> Command {
    let mut command = Command::new(paths::milena());
    command
        .current_dir(directory)
        .env("KAFKA_CREATE_TOPICS", listed)
        .args(["--override", &format!("listeners=PLAINTEXT://127.0.0.1:{port}")])
        .args(["--override", "milena.create.topics.file=topics.toml"]);
    command
}

fn start(directory: &Path, port: u16, listed: &str) -> (Guarded, SocketAddr) {
    let process =
        Guarded::start(&mut command(directory, port, listed), &directory.join(format!("output-{port}")));
    let ready = || process.output().contains("Kafka Server started").then_some(());
    wait::until(PATIENCE, "the ready line", ready);
    (process, (Ipv4Addr::LOCALHOST, port).into())
}

fn output(command: &mut Command) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } = command.output().expect("the binary runs");
    let text = String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr);
    (status.code(), text)
}

/// Partitions of a topic as Metadata tells them, with the number of those that have a leader.
fn partitions(at: SocketAddr, topic: &str) -> (usize, usize) {
    let name = TopicName(StrBytes::from_string(topic.to_owned()));
    let wanted =
        kafka_protocol::messages::metadata_request::MetadataRequestTopic::default().with_name(Some(name));
    let request =
        MetadataRequest::default().with_topics(Some(vec![wanted])).with_allow_auto_topic_creation(false);
    let topics = Wire::connect(at).call(9, &request).topics;
    let partitions = &topics[0].partitions;
    (partitions.len(), partitions.iter().filter(|partition| partition.leader_id.0 == 1).count())
}

fn records(at: SocketAddr, topic: &str) -> String {
    let at = at.to_string();
    Program::new("kcat").args(["-b", &at, "-C", "-q", "-e", "-t", topic, "-f", "%p %k %s %h\\n"]).ok()
}

#[test]
fn topics_are_there_with_leaders_and_records_once() {
    let directory = paths::scratch("start-topics");
    fs::write(directory.path().join("topics.toml"), FILE).expect("a writable directory");
    let (mut broker, at) = start(directory.path(), port::free(), "orders:3:1,state:1:1:compact");
    assert_eq!(partitions(at, "orders"), (3, 3));
    assert_eq!(partitions(at, "state"), (1, 1));
    let seeded = "1 k1 v1 h=x\n1 k2 v2 \n";
    assert_eq!(records(at, "seeded"), seeded);
    broker.terminate(PATIENCE);

    // What is there stays as it is, whatever the list says now.
    let (_broker, at) = start(directory.path(), port::free(), "orders:5:1,later");
    assert_eq!(partitions(at, "orders"), (3, 3));
    assert_eq!(partitions(at, "later"), (1, 1));
    assert_eq!(records(at, "seeded"), seeded);
}

#[test]
fn an_item_that_cannot_be_made_stops_the_start_and_is_quoted() {
    let directory = paths::scratch("start-topics");
    fs::write(directory.path().join("topics.toml"), FILE).expect("a writable directory");
    for (listed, code, quoted) in [
        ("ok:1:1,orders:three:1", 2, "'orders:three:1'"),
        ("bad/name:1:1", 1, "'bad/name'"),
        ("many:1:3", 1, "'many'"),
        ("odd:1:1:shred", 1, "'odd'"),
    ] {
        let (status, said) = output(&mut command(directory.path(), port::free(), listed));
        assert!(status == Some(code) && said.contains(quoted), "{listed}: {status:?} {said}");
        assert!(!said.contains("Kafka Server started"), "{said}");
    }
    fs::write(directory.path().join("topics.toml"), "[[topics]]\nnome = 'x'\n")
        .expect("a writable directory");
    let (status, said) = output(&mut command(directory.path(), port::free(), ""));
    assert!(status == Some(2) && said.contains("topics.toml") && said.contains("nome"), "{said}");
}

#[test]
fn health_and_settings_can_be_asked_for() {
    let directory = paths::scratch("start-topics");
    fs::write(directory.path().join("topics.toml"), FILE).expect("a writable directory");
    let healthcheck = |at: SocketAddr| {
        output(Command::new(paths::milena()).args(["healthcheck", "--bootstrap-server", &at.to_string()]))
    };
    let (mut broker, at) = start(directory.path(), port::free(), "");
    assert_eq!(healthcheck(at), (Some(0), String::new()));
    broker.terminate(PATIENCE);
    let (status, said) = healthcheck(at);
    assert!(status == Some(1) && said.contains(&at.to_string()), "{status:?} {said}");

    let check =
        |setting: &str| output(Command::new(paths::milena()).args(["check-config", "--override", setting]));
    let (status, said) = check("num.partitons=3");
    assert!(status == Some(0) && said.contains("did you mean num.partitions"), "{status:?} {said}");
    let (status, said) = check("num.partitions=three");
    assert!(status == Some(2) && said.contains("remedy"), "{status:?} {said}");
}
