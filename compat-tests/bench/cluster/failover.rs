//! A leader's process is killed: the time until the next write with acks=all is acknowledged.
//!
//! The writer asks every broker that is left for the new leader, as fast as it is answered: what is measured is the cluster, and not a client's
//! waits. A round only begins when all replicas are in sync and each broker leads its partition.

use std::time::Instant;

use kafka_protocol::messages::describe_topic_partitions_request::TopicRequest;
use kafka_protocol::messages::{DescribeTopicPartitionsRequest, ElectLeadersRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use milena_compat_tests::wait::{self, PATIENCE};
use milena_compat_tests::wire::{Wire, batch, record};

use crate::produce::{is_acknowledged, request};
use crate::table::percentile;
use crate::{Bench, IDS, topics};

const TOPIC: &str = "bench-failover";
/// One for each broker to lead.
const PARTITIONS: usize = 3;
/// Kills of a leader that is the active controller, and of one that is not.
const KILLS: usize = 4;

pub(crate) fn measure(bench: &mut Bench) {
    topics::create(&bench.cluster, TOPIC, PARTITIONS);
    let mut of_controllers = Vec::new();
    let mut of_others = Vec::new();
    for _ in 0..KILLS {
        let controller = bench.cluster.leader();
        let other = IDS.into_iter().find(|id| *id != controller).expect("three brokers");
        of_others.push(round(bench, other));
        of_controllers.push(round(bench, bench.cluster.leader()));
    }
    for (who, mut times) in [("a leader", of_others), ("leader and controller in one", of_controllers)] {
        let what = format!("kill -9 of {who} to the next acknowledged write");
        bench.note(&format!("{what}: median of {KILLS} (ms)"), false, percentile(&mut times, 0.5));
        bench.note(&format!("{what}: worst (ms)"), false, percentile(&mut times, 1.0));
    }
}

/// Milliseconds without an acknowledged write for the partition that the victim leads.
fn round(bench: &mut Bench, victim: i32) -> f64 {
    let partition = settled(bench, victim);
    let request = request(TOPIC, partition, batch([record("a hundred bytes or so")]));
    let mut wire = bench.cluster.wire(victim);
    for _ in 0..100 {
        assert!(is_acknowledged(&mut wire, &request), "the leader refuses a write");
    }
    let begin = Instant::now();
    bench.cluster.kill(victim);
    wait::until(PATIENCE, "a write after the kill", || {
        let left = bench.cluster.running();
        let known = left.iter().filter_map(|id| topics::leaders_by(&bench.cluster, *id, TOPIC));
        let mut leaders: Vec<i32> =
            known.map(|leaders| leaders[&partition]).filter(|leader| left.contains(leader)).collect();
        leaders.dedup();
        let written = leaders.iter().any(|leader| {
            let wire = Wire::try_connect(bench.cluster.address(*leader));
            wire.is_ok_and(|mut wire| is_acknowledged(&mut wire, &request))
        });
        written.then_some(())
    });
    let took = begin.elapsed().as_secs_f64() * 1e3;
    bench.cluster.restart(victim);
    took
}

/// Waits until all replicas are in sync everywhere, lets preferred leaders lead, and gives the victim's partition.
fn settled(bench: &Bench, victim: i32) -> i32 {
    let cluster = &bench.cluster;
    wait::until(PATIENCE, "all replicas in sync, led by the first", || {
        let partitions: Vec<i32> =
            IDS.iter().map(|id| of_preferred(bench, *id, victim)).collect::<Option<_>>()?;
        // All brokers agree.
        let partition = partitions[0];
        partitions.iter().all(|it| *it == partition).then_some(())?;
        let leaders = topics::leaders(cluster, TOPIC)?;
        if leaders[&partition] == victim {
            return Some(partition);
        }
        let preferred = ElectLeadersRequest::default()
            .with_election_type(0)
            .with_topic_partitions(None)
            .with_timeout_ms(10_000);
        let _ = cluster.wire(1).try_call(2, &preferred);
        None
    })
}

/// The partition whose first replica is the victim, when a broker sees all of them in sync.
fn of_preferred(bench: &Bench, id: i32, victim: i32) -> Option<i32> {
    let topic = TopicRequest::default().with_name(TopicName(StrBytes::from_static_str(TOPIC)));
    let request = DescribeTopicPartitionsRequest::default()
        .with_topics(vec![topic])
        .with_response_partition_limit(100)
        .with_cursor(None);
    let answer = Wire::try_connect(bench.cluster.address(id)).ok()?.try_call(0, &request).ok()?;
    let partitions = &answer.topics.first()?.partitions;
    partitions.iter().all(|it| it.isr_nodes.len() == IDS.len()).then_some(())?;
    let mut led =
        partitions.iter().filter(|it| it.replica_nodes.first().is_some_and(|first| first.0 == victim));
    led.next().map(|it| it.partition_index)
}
