//! Topics of many partitions: the time until they are made and led, and what a replica costs in memory.
//!
//! Kafka makes at most 10,000 records of one request, so the largest topic is made with half of its partitions and grows by the other half, at
//! both. A topic is only there when every broker serves the partitions that it leads; an answer of the controller is not enough.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{
    BrokerId, CreatePartitionsRequest, CreateTopicsRequest, ListOffsetsRequest, MetadataRequest, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use milena_compat_tests::{Cluster, Target, wait};

use crate::{Bench, IDS};

const LARGE: [(&str, usize); 2] = [("bench-1000", 1_000), ("bench-10000", 10_000)];
/// What one request makes at most.
const TOGETHER: usize = 5_000;
const PATIENCE: Duration = Duration::from_secs(180);
/// How long idle brokers are watched, after as long to settle.
const IDLE: Duration = Duration::from_secs(10);

pub(crate) fn measure(bench: &mut Bench) {
    // The first of all costs a JVM the loading of its code.
    create(&bench.cluster, "bench-warm", 100);
    let mut before = Memory::of(bench);
    for (topic, partitions) in LARGE {
        before = Memory::of(bench);
        let processor = bench.processor_time();
        let (answered, served) = create(&bench.cluster, topic, partitions);
        let used = bench.processor_time() - processor;
        let of = format!("A topic of {partitions} partitions, factor 3");
        bench.note(&format!("{of}: answered after (ms)"), false, answered.as_secs_f64() * 1e3);
        bench.note(&format!("{of}: served by all leaders after (ms)"), false, served.as_secs_f64() * 1e3);
        bench.note(&format!("{of}: the three brokers' processor time (ms)"), false, used.as_secs_f64() * 1e3);
    }
    let _ = bench.idle_use(IDLE);
    let idle = bench.idle_use(IDLE);
    bench.note("11,100 replicas on each broker: idle processor use of one (% of a core)", false, idle);
    let (after, replicas) = (Memory::of(bench), LARGE[1].1 as f64 * IDS.len() as f64);
    let each = |after: u64, before: u64| after.saturating_sub(before) as f64 / 1024.0 / replicas;
    bench.note(
        "Memory of one of 10,000 replicas: resident (KiB)",
        false,
        each(after.resident, before.resident),
    );
    bench.note(
        "Memory of one of 10,000 replicas: own, or live in the heap (KiB)",
        false,
        each(after.own, before.own),
    );
}

/// Bytes of all three brokers together.
struct Memory {
    resident: u64,
    /// Of a process what is not of a file; of a JVM the heap that is live after a full collection.
    own: u64,
}

impl Memory {
    fn of(bench: &Bench) -> Self {
        let processes = IDS.map(|id| bench.cluster.process(id));
        let resident = processes.iter().map(|process| process.memory_bytes("VmRSS")).sum();
        let own = |pid| match bench.target {
            Target::Milena => None,
            Target::Kafka => Some(live_heap(pid)),
        };
        let own =
            processes.iter().map(|it| own(it.pid()).unwrap_or_else(|| it.memory_bytes("RssAnon"))).sum();
        Self { resident, own }
    }
}

/// What `jcmd` counts, which collects first: the last line of its histogram is `Total instances bytes`.
fn live_heap(pid: u32) -> u64 {
    let output = Command::new("jcmd").args([&pid.to_string(), "GC.class_histogram"]).output();
    let output = output.expect("the JDK has jcmd");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let total = text.lines().rev().find(|line| line.starts_with("Total"));
    let bytes = total.and_then(|line| line.split_whitespace().last()?.parse().ok());
    bytes.unwrap_or_else(|| panic!("no total of the JVM {pid}: {text}"))
}

/// Makes a topic with three replicas, of which two must have a write. Gives the time until the (last) answer, and until every partition is
/// served by its leader.
pub(crate) fn create(cluster: &Cluster, topic: &'static str, partitions: usize) -> (Duration, Duration) {
    let in_sync = CreatableTopicConfig::default()
        .with_name(StrBytes::from_static_str("min.insync.replicas"))
        .with_value(Some(StrBytes::from_static_str("2")));
    let made = CreatableTopic::default()
        .with_configs(vec![in_sync])
        .with_name(TopicName(StrBytes::from_static_str(topic)))
        .with_num_partitions(count(partitions.min(TOGETHER)))
        .with_replication_factor(3);
    let request = CreateTopicsRequest::default().with_topics(vec![made]).with_timeout_ms(25_000);
    let mut wire = cluster.wire(1);
    let begin = Instant::now();
    let answer = wire.call(7, &request);
    assert_eq!(answer.topics[0].error_code, 0, "{answer:?}");
    if partitions > TOGETHER {
        grow(cluster, topic, partitions);
    }
    let answered = begin.elapsed();
    wait::until(PATIENCE, "all leaders to serve", || {
        let leaders = leaders(cluster, topic).filter(|leaders| leaders.len() == partitions)?;
        IDS.iter().all(|id| serves(cluster, *id, topic, &leaders)).then_some(())
    });
    (answered, begin.elapsed())
}

/// Asks again while a broker that is asked does not know the topic yet.
fn grow(cluster: &Cluster, topic: &'static str, partitions: usize) {
    let grown = CreatePartitionsTopic::default()
        .with_name(TopicName(StrBytes::from_static_str(topic)))
        .with_count(count(partitions))
        .with_assignments(None);
    let request = CreatePartitionsRequest::default().with_topics(vec![grown]).with_timeout_ms(25_000);
    wait::until(PATIENCE, "a larger topic", || {
        let answer = cluster.wire(1).call(3, &request);
        let code = answer.results[0].error_code;
        let is_unknown = code == ResponseError::UnknownTopicOrPartition.code();
        assert!(code == 0 || is_unknown, "{answer:?}");
        (code == 0).then_some(())
    });
}

fn count(partitions: usize) -> i32 {
    i32::try_from(partitions).expect("a small number")
}

/// The leader of each partition as the first broker that answers knows it; none while one has none.
pub(crate) fn leaders(cluster: &Cluster, topic: &'static str) -> Option<BTreeMap<i32, i32>> {
    let mut wires = cluster.running().into_iter();
    wires.find_map(|id| leaders_by(cluster, id, topic))
}

/// The leader of each partition as one broker knows it; none when it does not answer, or one has none.
pub(crate) fn leaders_by(cluster: &Cluster, id: i32, topic: &'static str) -> Option<BTreeMap<i32, i32>> {
    let asked = MetadataRequestTopic::default().with_name(Some(TopicName(StrBytes::from_static_str(topic))));
    let request = MetadataRequest::default().with_topics(Some(vec![asked]));
    let mut wire = milena_compat_tests::wire::Wire::try_connect(cluster.address(id)).ok()?;
    let answer = wire.try_call(9, &request).ok()?;
    let partitions = &answer.topics.first()?.partitions;
    let led = partitions.iter().map(|it| {
        (it.error_code == 0 && it.leader_id.0 >= 0).then_some((it.partition_index, it.leader_id.0))
    });
    led.collect()
}

/// Whether a broker answers for every partition that it leads.
fn serves(cluster: &Cluster, id: i32, topic: &'static str, leaders: &BTreeMap<i32, i32>) -> bool {
    let led = leaders.iter().filter(|(_, leader)| **leader == id);
    let places: Vec<_> = led
        .map(|(partition, _)| {
            ListOffsetsPartition::default().with_partition_index(*partition).with_timestamp(-1)
        })
        .collect();
    if places.is_empty() {
        return true;
    }
    let topic = ListOffsetsTopic::default()
        .with_name(TopicName(StrBytes::from_static_str(topic)))
        .with_partitions(places);
    let request = ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![topic]);
    let answer = cluster.wire(id).call(5, &request);
    answer.topics[0].partitions.iter().all(|partition| partition.error_code == 0)
}
