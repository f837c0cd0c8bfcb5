//! Brokers that are killed, and brokers that pose as others: what is seen of them at once, long before a session is over.
//!
//! A test must never set the session's length: it is Kafka's, of nine seconds.

use std::time::{Duration, Instant};

use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{DescribeClusterRequest, MetadataRequest, ProduceRequest};
use milena_compat_tests::program::Program;
use milena_compat_tests::wait::{self, PATIENCE};
use milena_compat_tests::wire::{batch, record};
use milena_compat_tests::{Cluster, Role, paths};

use crate::text;

/// From the kill of a leader to the next acknowledged write.
const NEXT_WRITE_MAX: Duration = Duration::from_secs(1);
/// If it led the quorum, too, which elects another first; by its lease and the election time-out alone that takes as long.
const NEXT_WRITE_AND_ELECTION_MAX: Duration = Duration::from_millis(1500);

fn create(cluster: &Cluster, topic: &str, assignment: &str) {
    let tool = cluster.tool("kafka-topics", 1).args(["--create", "--topic", topic]);
    tool.args(["--replica-assignment", assignment, "--config", "min.insync.replicas=1"]).ok();
}

/// The leader of partition 0 as a node says, if it is in sync with that many.
pub(crate) fn leader(cluster: &Cluster, asked: i32, topic: &str, in_sync_min: usize) -> Option<i32> {
    let wanted = MetadataRequestTopic::default().with_name(Some(text(topic).into()));
    let request = MetadataRequest::default().with_topics(Some(vec![wanted]));
    let told = cluster.wire(asked).try_call(12, &request).ok()?;
    let partition = told.topics.first()?.partitions.first()?;
    (partition.isr_nodes.len() >= in_sync_min).then_some(partition.leader_id.0).filter(|id| *id >= 0)
}

/// Produces to whoever leads by the word of `asked`; true if it was acknowledged by all that are in sync.
fn produces(cluster: &Cluster, asked: i32, topic: &str) -> bool {
    let Some(leader) = leader(cluster, asked, topic, 1) else { return false };
    let partition = PartitionProduceData::default().with_records(Some(batch([record("value")])));
    let data = TopicProduceData::default().with_name(text(topic).into()).with_partition_data(vec![partition]);
    let request = ProduceRequest::default().with_acks(-1).with_timeout_ms(5000).with_topic_data(vec![data]);
    let Ok(mut wire) = milena_compat_tests::wire::Wire::try_connect(cluster.address(leader)) else {
        return false;
    };
    let answer = wire.try_call(9, &request).ok();
    answer.is_some_and(|answer| answer.responses[0].partition_responses[0].error_code == 0)
}

/// Kills the leader of a topic and returns how long it took until the next write was acknowledged.
fn kill_and_write(cluster: &mut Cluster, topic: &str, killed: i32, asked: i32) -> Duration {
    wait::until(PATIENCE, "the topic to be in sync", || {
        (leader(cluster, asked, topic, 3) == Some(killed)).then_some(())
    });
    assert!(produces(cluster, asked, topic));
    let began = Instant::now();
    cluster.kill(killed);
    wait::until(PATIENCE, "an acknowledged write", || produces(cluster, asked, topic).then_some(()));
    began.elapsed()
}

#[test]
fn a_killed_leader_is_followed_within_a_second() {
    let mut cluster = Cluster::start();
    let quorum_leader = cluster.leader();
    let others: Vec<i32> = (1..=3).filter(|id| *id != quorum_leader).collect();
    let (first, second) = (others[0], others[1]);
    create(&cluster, "first", &format!("{first}:{second}:{quorum_leader}"));
    create(&cluster, "second", &format!("{quorum_leader}:{first}:{second}"));
    let took = kill_and_write(&mut cluster, "first", first, second);
    println!("the next write after {took:?}");
    assert!(took < NEXT_WRITE_MAX, "{took:?}");
    cluster.restart(first);
    let took = kill_and_write(&mut cluster, "second", quorum_leader, second);
    println!("the next write after {took:?}, with a new leader of the quorum");
    assert!(took < NEXT_WRITE_AND_ELECTION_MAX, "{took:?}");
}

/// Where a broker is reached as a node says; none if it is not registered, or fenced.
pub(crate) fn port_of(cluster: &Cluster, asked: i32, broker: i32) -> Option<i32> {
    let told = cluster.wire(asked).try_call(0, &DescribeClusterRequest::default()).ok()?;
    told.brokers.into_iter().find(|each| each.broker_id.0 == broker).map(|each| each.port)
}

#[test]
fn a_second_process_with_a_brokers_id_is_refused_while_the_first_lives() {
    let mut cluster = Cluster::start();
    cluster.add(4, Role::Broker);
    let port = i32::from(cluster.address(4).port());
    let registered = |cluster: &Cluster| port_of(cluster, 1, 4);
    wait::until(PATIENCE, "broker 4", || (registered(&cluster) == Some(port)).then_some(()));
    let folder = paths::scratch("second");
    let data = folder.path().join("data");
    let settings = [
        "listeners=PLAINTEXT://127.0.0.1:0".to_owned(),
        format!("log.dirs={}", data.display()),
        "initial.broker.registration.timeout.ms=3000".to_owned(),
    ];
    let overrides = settings.iter().flat_map(|each| ["--override", each.as_str()]);
    let second =
        Program::new(paths::milena()).args(["start", "--config"]).arg(cluster.config(4)).args(overrides);
    let ran = second.patience(PATIENCE).run();
    assert!(ran.status != Some(0), "{}", ran.output);
    assert!(ran.output.contains("Another broker is registered with that broker id"), "{}", ran.output);
    assert_eq!(registered(&cluster), Some(port), "the first keeps its registration");
    // A killed broker's place is free at once for whoever comes from its directory.
    let began = Instant::now();
    cluster.kill(4);
    cluster.restart(4);
    let took = began.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
    wait::until(PATIENCE, "broker 4 again", || (registered(&cluster) == Some(port)).then_some(()));
}
