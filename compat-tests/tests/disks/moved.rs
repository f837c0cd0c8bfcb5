//! A replica that is moved between the log directories of a broker (KIP-113): by the official tool, through kills, and begun by
//! Kafka.
//!
//! Must never look at a copy while it is written.

use std::fs;
use std::path::{Path, PathBuf};

use kafka_protocol::messages::DescribeLogDirsRequest;
use milena_compat_tests::{Server, Target, paths, wait};

use super::{partitions_in, produce, read, two_dirs};

/// Records of 100 KB, so that a throttled copy of them takes minutes.
const RECORDS: usize = 40;

fn is_future(name: &str) -> bool {
    name.starts_with("t-0.") && name.ends_with("-future")
}

/// The names in a directory that belong to the partition.
fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).expect("a log directory");
    let names = entries.map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned());
    // A move that was given up leaves its copy for file.delete.delay.ms.
    names.filter(|name| name.starts_with("t-0") && !name.ends_with("-delete")).collect()
}

/// Whether each entry of the partition is a future one, with its lag, by directory.
fn described(server: &Server) -> Vec<Vec<(bool, i64)>> {
    let dirs = server.wire().call(4, &DescribeLogDirsRequest::default().with_topics(None)).results;
    let of_topic = |dir: &kafka_protocol::messages::describe_log_dirs_response::DescribeLogDirsResult| {
        let topics = dir.topics.iter().filter(|topic| topic.name.as_str() == "t");
        topics.flat_map(|topic| &topic.partitions).map(|each| (each.is_future_key, each.offset_lag)).collect()
    };
    dirs.iter().map(of_topic).collect()
}

/// The plan that brings the partition to a directory.
fn plan(own: &Path, to: &Path) -> String {
    let plan = own.join("plan.json");
    let text = format!(
        r#"{{"version":1,"partitions":[{{"topic":"t","partition":0,"replicas":[1],"log_dirs":["{}"]}}]}}"#,
        to.display()
    );
    fs::write(&plan, text).expect("a scratch directory");
    plan.display().to_string()
}

fn reassign(server: &Server, plan: &str, arguments: &str) -> String {
    let tool = server.tool("kafka-reassign-partitions").args(["--reassignment-json-file", plan]);
    tool.line(arguments).ok()
}

/// A topic with records; the directory that holds it first.
fn with_records(own: &Path, target: Target) -> (Server, [PathBuf; 2]) {
    let server = two_dirs(own, target);
    server.tool("kafka-topics").line("--create --topic t --partitions 1").ok();
    for tag in 0..RECORDS {
        let tag = u8::try_from(tag).expect("a small number");
        assert_eq!(produce(&server, "t", 0, vec![tag; 100_000]), (0, i64::from(tag)));
    }
    let mut dirs = ["one", "two"].map(|name| own.join(name));
    if partitions_in(&dirs[0]).is_empty() {
        dirs.reverse();
    }
    (server, dirs)
}

/// What DescribeLogDirs tells of the partition, by these directories.
fn told(server: &Server, dirs: &[PathBuf; 2]) -> Vec<Vec<(bool, i64)>> {
    let mut told = described(server);
    if dirs[0].ends_with("two") {
        told.reverse();
    }
    told
}

/// Waits until the partition is in the second directory alone.
fn until_moved([from, to]: &[PathBuf; 2]) {
    wait::until(wait::PATIENCE, "the move ends", || {
        (names(to) == ["t-0"] && !names(from).contains(&"t-0".to_owned())).then_some(())
    });
}

#[test]
fn the_official_tool_moves_a_replica_and_sees_the_move_end() {
    let own = paths::scratch("moving");
    let (mut server, dirs) = with_records(own.path(), Target::chosen());
    let there = plan(own.path(), &dirs[1]);
    let throttle = "--replica-alter-log-dirs-throttle 100000";
    reassign(&server, &there, &format!("--execute {throttle}"));
    wait::until(wait::PATIENCE, "the copy has begun", || {
        matches!(told(&server, &dirs)[1][..], [(true, lag)] if lag > 0).then_some(())
    });
    let said = reassign(&server, &there, "--verify --preserve-throttles");
    assert!(said.contains("t-0-1 is still in progress"), "{said}");
    // Asked back, the move ends at once.
    let back = plan(own.path(), &dirs[0]);
    reassign(&server, &back, &format!("--execute --additional {throttle}"));
    assert_eq!(told(&server, &dirs), [vec![(false, 0)], vec![]]);
    let there = plan(own.path(), &dirs[1]);
    reassign(&server, &there, "--execute --additional --replica-alter-log-dirs-throttle 1000000000");
    assert_eq!(produce(&server, "t", 0, vec![99; 100]), (0, RECORDS as i64), "clients do not notice");
    until_moved(&dirs);
    let said = reassign(&server, &there, "--verify");
    assert!(said.contains("t-0-1 completed successfully") || said.contains("t-0-1 is completed"), "{said}");
    let configs = server.tool("kafka-configs").line("--describe --entity-type brokers --entity-name 1").ok();
    assert!(!configs.contains("replica.alter.log.dirs.io.max.bytes.per.second=1000000000"), "{configs}");
    for _ in 0..2 {
        assert_eq!(told(&server, &dirs), [vec![], vec![(false, 0)]]);
        let (code, records) = read(&server, "t", 0);
        assert_eq!((code, records.len(), records.last()), (0, RECORDS + 1, Some(&(RECORDS as i64, 99))));
        let _ = server.stop();
        server.start();
    }
}

#[test]
fn a_kill_in_the_middle_of_a_move_costs_nothing() {
    let own = paths::scratch("moving");
    let (mut server, dirs) = with_records(own.path(), Target::chosen());
    let there = plan(own.path(), &dirs[1]);
    reassign(&server, &there, "--execute --replica-alter-log-dirs-throttle 100000");
    wait::until(wait::PATIENCE, "the copy has begun", || {
        matches!(told(&server, &dirs)[1][..], [(true, lag)] if lag > 0).then_some(())
    });
    server.kill();
    assert!(names(&dirs[1]).iter().all(|name| is_future(name)), "{:?}", names(&dirs[1]));
    server.start();
    assert_eq!(read(&server, "t", 0).1.len(), RECORDS);
    unthrottle(&server);
    until_moved(&dirs);
    assert_eq!(read(&server, "t", 0).1.len(), RECORDS);
}

fn unthrottle(server: &Server) {
    let throttle = "replica.alter.log.dirs.io.max.bytes.per.second";
    let configs = server.tool("kafka-configs").line("--alter --entity-type brokers --entity-name 1");
    configs.args(["--delete-config", throttle]).ok();
}

#[test]
fn a_move_that_kafka_began_is_ended_and_none_is_left_to_it() {
    let own = paths::scratch("moved");
    let (mut server, dirs) = with_records(own.path(), Target::Kafka);
    let there = plan(own.path(), &dirs[1]);
    reassign(&server, &there, "--execute --replica-alter-log-dirs-throttle 1000");
    wait::until(wait::PATIENCE, "the copy has begun", || {
        let copied = names(&dirs[1]).into_iter().find(|name| is_future(name))?;
        let log = dirs[1].join(copied).join("00000000000000000000.log");
        fs::metadata(log).is_ok_and(|log| log.len() > 0).then_some(())
    });
    server.kill();

    server.start_as(Target::Milena);
    assert_eq!(told(&server, &dirs)[0], [(false, 0)]);
    assert_eq!(read(&server, "t", 0).1.len(), RECORDS);
    assert_eq!(produce(&server, "t", 0, vec![99; 100]).0, 0);
    unthrottle(&server);
    until_moved(&dirs);
    let whole = |server: &Server| {
        let (code, records) = read(server, "t", 0);
        assert_eq!((code, records.len(), records.last()), (0, RECORDS + 1, Some(&(RECORDS as i64, 99))));
    };
    whole(&server);
    assert_eq!(told(&server, &dirs), [vec![], vec![(false, 0)]]);

    // Back by Milena, and left in the middle: Kafka, which last knew the partition in that directory, must not take the copy for it.
    let back = plan(own.path(), &dirs[0]);
    reassign(&server, &back, "--execute --replica-alter-log-dirs-throttle 1000");
    wait::until(wait::PATIENCE, "the copy has begun", || {
        matches!(told(&server, &dirs)[0][..], [(true, lag)] if lag > 0).then_some(())
    });
    let _ = server.stop();
    assert!(names(&dirs[0]).iter().all(|name| name.ends_with("-stray")));
    server.start_as(Target::Kafka);
    whole(&server);
    assert_eq!(told(&server, &dirs)[1], [(false, 0)]);
    let _ = server.stop();
    server.start_as(Target::Milena);
    unthrottle(&server);
    until_moved(&[dirs[1].clone(), dirs[0].clone()]);
    whole(&server);
}
