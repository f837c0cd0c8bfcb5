//! A partition that Kafka was moving to another log directory when it was killed: Milena serves it and keeps what was
//! copied, and Kafka ends the move afterwards.
//!
//! Must never move anything itself.

use std::fs;
use std::path::Path;

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
    names.filter(|name| name.starts_with("t-0")).collect()
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

#[test]
fn a_move_that_kafka_began_is_served_and_kept_for_it() {
    let own = paths::scratch("moved");
    let mut server = two_dirs(own.path(), Target::Kafka);
    server.tool("kafka-topics").line("--create --topic t --partitions 1").ok();
    for tag in 0..RECORDS {
        let tag = u8::try_from(tag).expect("a small number");
        assert_eq!(produce(&server, "t", 0, vec![tag; 100_000]), (0, i64::from(tag)));
    }
    let dirs = ["one", "two"].map(|name| own.path().join(name));
    let from = usize::from(partitions_in(&dirs[0]).is_empty());
    let to = 1 - from;
    let plan = own.path().join("plan.json");
    let target = dirs[to].display();
    let text = format!(
        r#"{{"version":1,"partitions":[{{"topic":"t","partition":0,"replicas":[1],"log_dirs":["{target}"]}}]}}"#
    );
    fs::write(&plan, text).expect("a scratch directory");
    let reassign = |arguments: &str| {
        let tool = server.tool("kafka-reassign-partitions").arg("--reassignment-json-file");
        tool.arg(&plan.display().to_string()).line(arguments).ok()
    };
    reassign("--execute --replica-alter-log-dirs-throttle 1000");
    wait::until(wait::PATIENCE, "the copy has begun", || {
        let copied = names(&dirs[to]).into_iter().find(|name| is_future(name))?;
        let log = dirs[to].join(copied).join("00000000000000000000.log");
        fs::metadata(log).is_ok_and(|log| log.len() > 0).then_some(())
    });
    server.kill();

    server.start_as(Target::Milena);
    let told = described(&server);
    assert_eq!(told[from], [(false, 0)]);
    assert!(matches!(told[to][..], [(true, lag)] if lag > 0), "{told:?}");
    assert_eq!(read(&server, "t", 0).1.len(), RECORDS);
    assert_eq!(produce(&server, "t", 0, vec![99; 100]).0, 0);
    let _ = server.stop();
    assert!(names(&dirs[to]).iter().all(|name| is_future(name)), "{:?}", names(&dirs[to]));

    server.start_as(Target::Kafka);
    let throttle = "replica.alter.log.dirs.io.max.bytes.per.second";
    let configs =
        server.tool("kafka-configs").args(["--alter", "--entity-type", "brokers", "--entity-name", "1"]);
    configs.args(["--delete-config", throttle]).ok();
    wait::until(wait::PATIENCE, "Kafka ends the move", || {
        (names(&dirs[to]) == ["t-0"] && !names(&dirs[from]).contains(&"t-0".to_owned())).then_some(())
    });
    let (code, records) = read(&server, "t", 0);
    assert_eq!((code, records.len(), records.last()), (0, RECORDS + 1, Some(&(RECORDS as i64, 99))));
    let _ = server.stop();

    server.start_as(Target::Milena);
    assert_eq!(read(&server, "t", 0).1.len(), RECORDS + 1);
    assert_eq!(described(&server)[to], [(false, 0)]);
}
