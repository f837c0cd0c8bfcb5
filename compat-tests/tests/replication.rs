//! Three brokers keep each other's records: leaders are killed and stopped under producers, replicas move.
//!
//! Kafka's verifiable producer says what was acknowledged; each of these records must be read, and none twice. A test must never
//! count a record that was not acknowledged.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use kafka_protocol::messages::MetadataRequest;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::protocol::StrBytes;
use milena_compat_tests::wait::{self, PATIENCE};
use milena_compat_tests::{Cluster, Running, Tool, paths};
use serde_json::Value;

/// A killed broker's session ends soon, preferred leaders return soon, and followers that are away are soon missed.
const QUICK: [(&str, &str); 4] = [
    ("broker.session.timeout.ms", "1500"),
    ("broker.heartbeat.interval.ms", "300"),
    ("leader.imbalance.check.interval.seconds", "1"),
    ("replica.lag.time.max.ms", "3000"),
];
const RECORDS: usize = 6000;
const PER_SECOND: usize = 400;

/// The leader and the in-sync set of a partition, as one node says.
fn state(cluster: &Cluster, asked: i32, topic: &'static str, partition: i32) -> Option<(i32, BTreeSet<i32>)> {
    let topic = MetadataRequestTopic::default().with_name(Some(StrBytes::from_static_str(topic).into()));
    let request = MetadataRequest::default().with_topics(Some(vec![topic]));
    let told = cluster.wire(asked).try_call(12, &request).ok()?;
    let found = told.topics.first()?.partitions.iter().find(|each| each.partition_index == partition)?;
    Some((found.leader_id.0, found.isr_nodes.iter().map(|id| id.0).collect()))
}

fn create(cluster: &Cluster, topic: &str, more: &[&str]) {
    cluster.tool("kafka-topics", 1).args(["--create", "--topic", topic]).args(more.iter().copied()).ok();
}

/// The verifiable producer with what a producer's defaults are; the tool itself would not try again.
fn producer(cluster: &Cluster, topic: &str, folder: &Path) -> Running {
    let config = folder.join("producer.properties");
    fs::write(&config, "retries=2147483647\n").expect("the scratch folder is writable");
    let tool = Tool::new("kafka-verifiable-producer").args(["--bootstrap-server", &cluster.bootstrap()]);
    let tool = tool.args(["--topic", topic, "--acks", "-1", "--max-messages", &RECORDS.to_string()]);
    let tool = tool.args(["--command-config", &config.display().to_string()]);
    tool.args(["--throughput", &PER_SECOND.to_string()]).patience(Duration::from_secs(180)).spawn()
}

/// The values that the producer says were acknowledged, and how many it says were not.
fn verdict(said: &str) -> (BTreeSet<String>, usize) {
    let events = || said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let acked = events().filter(|event| event["name"] == "producer_send_success");
    let acked = acked.filter_map(|event| event["value"].as_str().map(str::to_owned)).collect();
    (acked, events().filter(|event| event["name"] == "producer_send_error").count())
}

/// Reads all that is there, as far as the ends of the partitions say; each acknowledged value must be, and none twice. A reader that
/// went by a time of silence would take a busy machine for the end.
fn all_is_there(cluster: &Cluster, topic: &str, acked: &BTreeSet<String>) {
    let ends = Tool::new("kafka-get-offsets").args(["--bootstrap-server", &cluster.bootstrap()]);
    let ends = ends.args(["--topic", topic, "--time", "latest"]).ok();
    let end = |line: &str| line.rsplit(':').next().and_then(|end| end.parse::<usize>().ok());
    let count: usize = ends.lines().map(|line| end(line).unwrap_or_else(|| panic!("no end in {line}"))).sum();
    let tool = Tool::new("kafka-console-consumer").args(["--bootstrap-server", &cluster.bootstrap()]);
    let tool = tool.args(["--topic", topic, "--from-beginning", "--max-messages", &count.to_string()]);
    let said = tool.patience(PATIENCE).ok();
    let read: Vec<&str> = said.lines().collect();
    let distinct: BTreeSet<&str> = read.iter().copied().collect();
    let lost: Vec<&String> =
        acked.iter().filter(|value| !distinct.contains(value.as_str())).take(10).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?} of {}", acked.len());
    assert_eq!(read.len(), distinct.len(), "records came twice");
}

fn acked_so_far(text: &str) -> usize {
    text.matches("producer_send_success").count()
}

#[test]
fn a_killed_leader_is_followed_and_leads_again_when_it_is_back() {
    let mut cluster = Cluster::start_with(&QUICK);
    create(&cluster, "seed", &["--replica-assignment", "1:2,2:3", "--config", "min.insync.replicas=1"]);
    let everybody = |first: i32| BTreeSet::from([first, first + 1]);
    let stands = |cluster: &Cluster, partition: i32, wanted: (i32, BTreeSet<i32>)| {
        wait::until_like(
            PATIENCE,
            "the partition's leader and in-sync set",
            || state(cluster, 3, "seed", partition),
            |told| told.as_ref() == Some(&wanted),
        );
    };
    stands(&cluster, 0, (1, everybody(1)));
    stands(&cluster, 1, (2, everybody(2)));
    let folder = paths::scratch("seed");
    let running = producer(&cluster, "seed", folder.path());
    let _ = running.wait_for("some records", |text| acked_so_far(text) > RECORDS / 6);
    cluster.kill(1);
    stands(&cluster, 0, (2, BTreeSet::from([2])));
    let before = acked_so_far(&running.so_far());
    let _ = running.wait_for("records from the follower", |text| acked_so_far(text) > before + RECORDS / 6);
    cluster.restart(1);
    // The recovered broker catches up, and leads again by itself.
    stands(&cluster, 0, (1, everybody(1)));
    let said = running.finish();
    let (acked, failed) = verdict(&said.text());
    assert_eq!((acked.len(), failed), (RECORDS, 0), "the client recovers by itself");
    all_is_there(&cluster, "seed", &acked);
}

#[test]
fn a_rolling_restart_fails_no_produce() {
    let mut cluster = Cluster::start_with(&QUICK);
    create(
        &cluster,
        "rolling",
        &["--partitions", "6", "--replication-factor", "3", "--config", "min.insync.replicas=2"],
    );
    let folder = paths::scratch("rolling");
    let running = producer(&cluster, "rolling", folder.path());
    for node in 1..=3 {
        let before = acked_so_far(&running.so_far());
        let _ = running.wait_for("more records", |text| acked_so_far(text) > before + RECORDS / 12);
        cluster.stop(node);
        cluster.restart(node);
        // The next one is only stopped when this one is in sync again, as an operator does it.
        (0..6).for_each(|partition| {
            wait::until_like(
                PATIENCE,
                "all replicas are in sync",
                || state(&cluster, node, "rolling", partition),
                |told| told.as_ref().is_some_and(|(_, isr)| isr.len() == 3),
            );
        });
    }
    let said = running.finish();
    let (acked, failed) = verdict(&said.text());
    assert_eq!((acked.len(), failed), (RECORDS, 0), "{}", said.all());
    all_is_there(&cluster, "rolling", &acked);
}

#[test]
fn brokers_killed_one_after_the_other_lose_nothing_that_was_acknowledged() {
    let mut cluster = Cluster::start_with(&QUICK);
    create(
        &cluster,
        "killed",
        &["--partitions", "3", "--replication-factor", "3", "--config", "min.insync.replicas=2"],
    );
    let folder = paths::scratch("killed");
    let running = producer(&cluster, "killed", folder.path());
    for node in [2, 3, 1] {
        let before = acked_so_far(&running.so_far());
        let _ = running.wait_for("more records", |text| acked_so_far(text) > before + RECORDS / 12);
        cluster.kill(node);
        let before = acked_so_far(&running.so_far());
        let _ = running.wait_for("records of the others", |text| acked_so_far(text) > before + RECORDS / 24);
        cluster.restart(node);
        (0..3).for_each(|partition| {
            wait::until_like(
                PATIENCE,
                "all replicas are in sync",
                || state(&cluster, node, "killed", partition),
                |told| told.as_ref().is_some_and(|(_, isr)| isr.len() == 3),
            );
        });
    }
    let said = running.finish();
    let (acked, failed) = verdict(&said.text());
    assert_eq!((acked.len(), failed), (RECORDS, 0), "{}", said.all());
    // All of them at once, which is no loss of power: what was acknowledged is in the page cache of each.
    (1..=3).for_each(|node| cluster.kill(node));
    cluster.restart_together();
    all_is_there(&cluster, "killed", &acked);
}

#[test]
fn transactions_over_several_brokers_are_whole_whoever_is_killed() {
    const COUNT: usize = 1500;
    let mut cluster = Cluster::start_with(&QUICK);
    // The input, the output, the group's offsets and the coordinator are led by different brokers in turn.
    create(&cluster, "original", &["--replica-assignment", "1:2:3", "--config", "min.insync.replicas=2"]);
    create(&cluster, "copy", &["--replica-assignment", "2:3:1", "--config", "min.insync.replicas=2"]);
    let lines: String = (0..COUNT).map(|number| format!("{number}\n")).collect();
    cluster.tool("kafka-console-producer", 1).args(["--topic", "original"]).input(lines).ok();
    let tool = Tool::new("transactional-message-copier").args(["--broker-list", &cluster.bootstrap()]);
    let tool = tool.args(["--input-topic", "original", "--input-partition", "0", "--output-topic", "copy"]);
    let tool = tool.args(["--transactional-id", "copier", "--consumer-group", "copiers"]);
    let tool = tool.args(["--transaction-size", "20", "--enable-random-aborts"]);
    let running = tool.patience(Duration::from_secs(180)).spawn();
    let loops = |text: &str| text.matches("\"stage\":\"ProcessLoop\"").count();
    for (round, node) in (1..).zip([2, 1, 3]) {
        let _ = running.wait_for("more transactions", |text| loops(text) >= 12 * round);
        cluster.kill(node);
        cluster.restart(node);
        ["original", "copy"].into_iter().for_each(|topic| {
            wait::until_like(
                PATIENCE,
                "all replicas are in sync",
                || state(&cluster, node, topic, 0),
                |told| told.as_ref().is_some_and(|(_, isr)| isr.len() == 3),
            );
        });
    }
    let said = running.finish();
    assert!(said.text().contains("ShutdownComplete"), "{}", said.all());
    // The last record tells the reader where to end: it must not take a busy machine for the end.
    cluster.tool("kafka-console-producer", 1).args(["--topic", "copy"]).input("end\n").ok();
    let reader = Tool::new("kafka-console-consumer").args(["--bootstrap-server", &cluster.bootstrap()]);
    let reader = reader.line("--topic copy --from-beginning --isolation-level read_committed");
    let reader = reader.args(["--max-messages", &(COUNT + 1).to_string()]);
    let read = reader.patience(PATIENCE).ok();
    let copies = (0..COUNT).map(|number| number.to_string());
    let wanted: Vec<String> = copies.chain(["end".to_owned()]).collect();
    assert_eq!(read.lines().collect::<Vec<_>>(), wanted);
}

#[test]
fn replicas_move_to_another_broker() {
    let cluster = Cluster::start_with(&QUICK);
    create(&cluster, "moving", &["--replica-assignment", "1:2"]);
    let lines: String = (0..500).map(|number| format!("{number}\n")).collect();
    cluster.tool("kafka-console-producer", 2).args(["--topic", "moving"]).input(lines).ok();
    let folder = paths::scratch("moving");
    let plan = folder.path().join("plan.json");
    let text = r#"{"version":1,"partitions":[{"topic":"moving","partition":0,"replicas":[3,2]}]}"#;
    fs::write(&plan, text).expect("the scratch folder is writable");
    let plan = plan.display().to_string();
    let tool = |how: &str| {
        cluster.tool("kafka-reassign-partitions", 2).args(["--reassignment-json-file", &plan, how])
    };
    let said = tool("--execute").ok();
    assert!(said.contains("Successfully started partition reassignment for moving-0"), "{said}");
    wait::until_like(
        PATIENCE,
        "the move's end",
        || tool("--verify").ok(),
        |said| said.contains("Reassignment of partition moving-0 is completed."),
    );
    let moved = BTreeSet::from([2, 3]);
    let told = wait::until_like(
        PATIENCE,
        "another node hears of the move's end",
        || state(&cluster, 1, "moving", 0),
        |told| told.as_ref().is_some_and(|(_, isr)| *isr == moved),
    );
    assert!(told.is_some_and(|(leader, _)| moved.contains(&leader)));
    let wanted: BTreeSet<String> = (0..500).map(|number| number.to_string()).collect();
    all_is_there(&cluster, "moving", &wanted);
    let gone = cluster.log_dir(1).join("moving-0");
    wait::until(PATIENCE, "the old replica's files to go", || (!gone.exists()).then_some(()));
}
