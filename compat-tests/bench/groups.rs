//! Consumer groups of Milena next to Apache Kafka 4.3.1, measured in one run on one machine, with the ratios.
//!
//! `cargo run --release -p milena-compat-tests --bin bench-groups [assignments|commits]`. Members of our own (`members`), each with
//! a connection; they report twice a second while a group forms, and as real clients do while it idles. It must never print a number that it did
//! not measure in this run, nor count a commit that was not answered without an error.

mod table;

use std::io::{self, Write};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::{FindCoordinatorRequest, GroupId, OffsetCommitRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use milena_compat_tests::members::{Crowd, Protocol, Subscribed, allow_many_connections};
use milena_compat_tests::server::Setup;
use milena_compat_tests::wire::Wire;
use milena_compat_tests::{Server, Target, wait};
use table::{Row, percentile};

const MEMBERS: [usize; 2] = [100, 1_000];
/// As many as the larger groups have members.
const PARTITIONS: usize = 1_000;
/// How often members report while their group forms, in both protocols.
const HASTE: Duration = Duration::from_millis(500);
/// Java's `heartbeat.interval.ms`, for the idle group of either protocol.
const HEARTBEAT: Duration = Duration::from_secs(3);
const IDLE: Duration = Duration::from_secs(30);
/// How long commits are measured, after as long to warm up: a JVM needs it.
const MEASURED: Duration = Duration::from_secs(8);
/// Connections that commit at once.
const COMMITTERS: [usize; 3] = [1, 16, 64];
const TOPIC: &str = "bench-groups";

fn main() -> io::Result<()> {
    allow_many_connections();
    let part = std::env::args().nth(1);
    let ours = measure(Target::Milena, part.as_deref())?;
    let theirs = measure(Target::Kafka, part.as_deref())?;
    table::print(&ours, &theirs)
}

fn measure(target: Target, part: Option<&str>) -> io::Result<Vec<Row>> {
    let haste = HASTE.as_millis().to_string();
    let server = Setup::of(target)
        .at_full_speed()
        .set("group.initial.rebalance.delay.ms", "0")
        .set("group.consumer.max.size", "1000")
        .set("group.consumer.min.heartbeat.interval.ms", &haste)
        .set("group.consumer.heartbeat.interval.ms", &haste)
        .start();
    server
        .tool("kafka-topics")
        .args(["--create", "--topic", TOPIC, "--partitions", &PARTITIONS.to_string()])
        .ok();
    let mut rows = Vec::new();
    if part != Some("commits") {
        let mut crowd = Crowd::connect(server.address(), MEMBERS[1]);
        for protocol in [Protocol::Classic, Protocol::Consumer] {
            for members in MEMBERS {
                writeln!(io::stderr(), "{target:?}: {members} members, {protocol:?}")?;
                assignments(&server, &mut crowd, protocol, members, &mut rows);
            }
        }
    }
    if part != Some("assignments") {
        for committers in COMMITTERS {
            writeln!(io::stderr(), "{target:?}: {committers} committers")?;
            commits(&server, committers, &mut rows);
        }
    }
    Ok(rows)
}

/// Forms a group; the largest is watched while it idles.
fn assignments(server: &Server, crowd: &mut Crowd, protocol: Protocol, members: usize, rows: &mut Vec<Row>) {
    let group = format!("{protocol:?}-{members}");
    let of = |interval| Subscribed { group: &group, topic: TOPIC, partitions: PARTITIONS, interval };
    let of_name = format!("{protocol:?}, {members} members");
    find(server, &group);
    let (processor, begin) = (server.processor_time(), Instant::now());
    crowd.join(protocol, members, of(HASTE));
    crowd.settle();
    let mut note = |what: &str, value| {
        rows.push(Row { what: format!("{of_name}: {what}"), larger_is_better: false, value });
    };
    note("stable after (ms)", begin.elapsed().as_secs_f64() * 1e3);
    note("broker's processor time (ms)", (server.processor_time() - processor).as_secs_f64() * 1e3);
    if members == MEMBERS[1] {
        crowd.report_every(HEARTBEAT);
        crowd.live(HEARTBEAT * 2);
        let (processor, begin) = (server.processor_time(), Instant::now());
        crowd.live(IDLE);
        let share = (server.processor_time() - processor).as_secs_f64() / begin.elapsed().as_secs_f64();
        note("processor of the idle group (% of a core)", share * 100.0);
    }
}

/// Commits by connections at once, all of one group and so of one partition of the offsets.
fn commits(server: &Server, committers: usize, rows: &mut Vec<Row>) {
    let group = format!("committed-by-{committers}");
    find(server, &group);
    let (mut wire, first) = (server.wire(), commit(&group, 0));
    wait::until(wait::PATIENCE, "a commit", || (code(&mut wire, &first) == 0).then_some(()));
    let (warmed, begun) = (Barrier::new(committers + 1), Barrier::new(committers + 1));
    thread::scope(|scope| {
        let threads: Vec<_> = (0..committers)
            .map(|partition| {
                let (mut wire, request) = (server.wire(), commit(&group, partition));
                let (warmed, begun) = (&warmed, &begun);
                scope.spawn(move || {
                    let _ = commit_for(&mut wire, &request, MEASURED);
                    warmed.wait();
                    begun.wait();
                    commit_for(&mut wire, &request, MEASURED)
                })
            })
            .collect();
        warmed.wait();
        let (processor, begin) = (server.processor_time(), Instant::now());
        begun.wait();
        let mut took: Vec<f64> =
            threads.into_iter().flat_map(|thread| thread.join().expect("a committer's thread")).collect();
        let lasted = begin.elapsed();
        let processor = server.processor_time() - processor;
        let count = took.len() as f64;
        let mut note = |what: &str, larger_is_better, value| {
            let what = format!("OffsetCommit by {committers}: {what}");
            rows.push(Row { what, larger_is_better, value });
        };
        note("commits/s", true, count / lasted.as_secs_f64());
        note("p50 (ms)", false, percentile(&mut took, 0.5));
        note("p99 (ms)", false, percentile(&mut took, 0.99));
        note("broker's processor time each (us)", false, processor.as_secs_f64() * 1e6 / count);
    });
}

/// Waits until the group has its coordinator; the first makes the topic of the offsets.
fn find(server: &Server, group: &str) {
    let key = StrBytes::from_string(group.to_owned());
    let request = FindCoordinatorRequest::default().with_coordinator_keys(vec![key]);
    let mut wire = server.wire();
    wait::until(wait::PATIENCE, "a coordinator", || {
        (wire.call(6, &request).coordinators[0].error_code == 0).then_some(())
    });
}

fn commit(group: &str, partition: usize) -> OffsetCommitRequest {
    let partition = OffsetCommitRequestPartition::default()
        .with_partition_index(i32::try_from(partition).expect("a small number"))
        .with_committed_offset(1);
    let topic = OffsetCommitRequestTopic::default()
        .with_name(TopicName(StrBytes::from_static_str(TOPIC)))
        .with_partitions(vec![partition]);
    OffsetCommitRequest::default()
        .with_group_id(GroupId(StrBytes::from_string(group.to_owned())))
        .with_generation_id_or_member_epoch(-1)
        .with_topics(vec![topic])
}

fn code(wire: &mut Wire, request: &OffsetCommitRequest) -> i16 {
    wire.call(9, request).topics[0].partitions[0].error_code
}

fn commit_for(wire: &mut Wire, request: &OffsetCommitRequest, time: Duration) -> Vec<f64> {
    let begin = Instant::now();
    let mut took = Vec::new();
    while begin.elapsed() < time {
        let before = Instant::now();
        assert_eq!(code(wire, request), 0, "a commit is refused");
        took.push(before.elapsed().as_secs_f64() * 1e3);
    }
    took
}
