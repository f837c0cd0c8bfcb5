//! What a consumer reads from followers, what of them DeleteRecords waits for, and what operators do to a cluster as a whole.
//!
//! A test must never ask a follower for what only the leader is sure to know.

use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::{DeleteRecordsRequest, FetchRequest};
use milena_compat_tests::wait::{self, PATIENCE};
use milena_compat_tests::{Cluster, Role, Tool};

use crate::suspects::{leader, port_of};
use crate::text;

const RECORDS: usize = 200;
const NOT_LEADER_OR_FOLLOWER: i16 = 6;
/// First version in which a consumer knows that followers may be read from, and the one before.
const RACKS: i16 = 12;
const NO_RACKS: i16 = 10;

/// Broker N stands in rack rN; consumers read in their rack.
fn racked() -> Cluster {
    Cluster::start_each(|id| {
        let selector = "org.apache.kafka.common.replica.RackAwareReplicaSelector";
        vec![("replica.selector.class".into(), selector.into()), ("broker.rack".into(), format!("r{id}"))]
    })
}

fn fill(cluster: &Cluster, topic: &str) {
    let tool = cluster.tool("kafka-topics", 1).args(["--create", "--topic", topic]);
    tool.args(["--replica-assignment", "1:2:3", "--config", "min.insync.replicas=2"]).ok();
    let lines: String = (0..RECORDS).map(|number| format!("{number}\n")).collect();
    cluster.tool("kafka-console-producer", 1).args(["--topic", topic]).input(lines).ok();
    wait::until(PATIENCE, "the topic to be in sync", || {
        (leader(cluster, 1, topic, 3) == Some(1)).then_some(())
    });
}

fn fetch(
    cluster: &Cluster,
    asked: i32,
    topic: &str,
    rack: &str,
    (version, from): (i16, i64),
) -> PartitionData {
    let partition = FetchPartition::default().with_fetch_offset(from).with_partition_max_bytes(1 << 20);
    let topic = FetchTopic::default().with_topic(text(topic).into()).with_partitions(vec![partition]);
    let request = FetchRequest::default()
        .with_replica_id((-1).into())
        .with_max_wait_ms(0)
        .with_max_bytes(1 << 20)
        .with_session_epoch(-1)
        .with_topics(vec![topic]);
    let request = if version >= RACKS { request.with_rack_id(text(rack)) } else { request };
    cluster.wire(asked).call(version, &request).responses.remove(0).partitions.remove(0)
}

fn has_records(data: &PartitionData) -> bool {
    data.records.as_ref().is_some_and(|records| !records.is_empty())
}

#[test]
fn consumers_read_from_a_replica_in_their_rack() {
    let cluster = racked();
    fill(&cluster, "near");
    let sent = wait::until(PATIENCE, "the leader to know how far its followers are", || {
        let told = fetch(&cluster, 1, "near", "r2", (RACKS, 0));
        (told.preferred_read_replica.0 == 2).then_some(told)
    });
    assert!(!has_records(&sent), "nothing is read where the reader is sent on");
    let high = i64::try_from(RECORDS).unwrap();
    assert_eq!(sent.high_watermark, high);
    let near = wait::until_like(
        PATIENCE,
        "the follower to know what is committed",
        || fetch(&cluster, 2, "near", "r2", (RACKS, 0)),
        |told| told.high_watermark == high,
    );
    assert!(near.error_code == 0 && has_records(&near) && near.preferred_read_replica.0 == -1, "{near:?}");
    for rack in ["r1", "nowhere", ""] {
        let told = fetch(&cluster, 1, "near", rack, (RACKS, 0));
        assert!(told.preferred_read_replica.0 == -1 && has_records(&told), "the leader serves {rack:?}");
    }
    let old = fetch(&cluster, 2, "near", "", (NO_RACKS, 0));
    assert_eq!(old.error_code, NOT_LEADER_OR_FOLLOWER, "older consumers read from leaders");
    let beyond = fetch(&cluster, 2, "near", "r2", (RACKS, high + 1));
    assert_eq!(beyond.error_code, 1, "OFFSET_OUT_OF_RANGE sends the consumer back to the leader");
    let said = cluster
        .tool("kafka-console-consumer", 1)
        .args(["--topic", "near", "--from-beginning", "--max-messages", &RECORDS.to_string()])
        .args(["--timeout-ms", "30000", "--command-property", "client.rack=r3"])
        .ok();
    let read: Vec<&str> = said.lines().filter(|line| line.parse::<usize>().is_ok()).collect();
    assert_eq!(read.len(), RECORDS, "{said}");
}

#[test]
fn deleted_records_are_gone_on_every_replica_when_that_is_answered() {
    let cluster = Cluster::start();
    fill(&cluster, "deleted");
    let partition = DeleteRecordsPartition::default().with_offset(150);
    let topic =
        DeleteRecordsTopic::default().with_name(text("deleted").into()).with_partitions(vec![partition]);
    let request = DeleteRecordsRequest::default().with_timeout_ms(30_000).with_topics(vec![topic]);
    let answer = cluster.wire(1).call(2, &request).topics.remove(0).partitions.remove(0);
    assert_eq!((answer.error_code, answer.low_watermark), (0, 150));
    for follower in [2, 3] {
        let told = fetch(&cluster, follower, "deleted", "", (RACKS, 150));
        assert_eq!((told.error_code, told.log_start_offset), (0, 150), "broker {follower}");
    }
}

#[test]
fn features_are_described_lowered_and_raised() {
    let cluster = Cluster::start();
    let features = |arguments: &str| cluster.tool("kafka-features", 2).line(arguments);
    let told = features("describe").ok();
    let line = |told: &str, name: &str| {
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        let line = told.lines().map(words).find(|line| line.starts_with(&format!("Feature: {name} ")));
        line.unwrap_or_else(|| panic!("no {name} in {told}"))
    };
    let elr = "eligible.leader.replicas.version";
    assert!(line(&told, elr).contains("SupportedMaxVersion: 1 FinalizedVersionLevel: 1"), "{told}");
    assert!(line(&told, "metadata.version").contains("FinalizedVersionLevel: 4.3-IV0"), "{told}");
    let said = features(&format!("downgrade --feature {elr}=0")).ok();
    assert!(said.contains(&format!("{elr} was downgraded to 0.")), "{said}");
    wait::until_like(
        PATIENCE,
        "the lower level",
        || features("describe").ok(),
        |told| line(told, elr).contains("FinalizedVersionLevel: 0"),
    );
    let said = features(&format!("upgrade --feature {elr}=1")).ok();
    assert!(said.contains(&format!("{elr} was upgraded to 1.")), "{said}");
    let ran = features("upgrade --feature group.version=7").run();
    assert!(ran.all().contains("only supports versions 0-1"), "{}", ran.all());
    let ran = features("downgrade --metadata 4.2").run();
    assert!(ran.all().contains("might delete metadata information"), "{}", ran.all());
}

#[test]
fn a_broker_that_is_gone_for_good_is_unregistered() {
    let mut cluster = Cluster::start();
    cluster.add(4, Role::Broker);
    wait::until(PATIENCE, "broker 4", || port_of(&cluster, 1, 4).map(drop));
    cluster.kill(4);
    let at = cluster.address(1).to_string();
    let tool =
        |id: &str| Tool::new("kafka-cluster").args(["unregister", "--bootstrap-server", &at, "--id", id]);
    let said = tool("4").ok();
    assert!(said.contains("Broker 4 is no longer registered."), "{said}");
    assert_eq!(port_of(&cluster, 1, 4), None);
    let ran = tool("9").run();
    assert!(ran.all().contains("Broker ID 9 is not currently registered"), "{}", ran.all());
}
