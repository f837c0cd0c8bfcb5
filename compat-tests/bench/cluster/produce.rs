//! Produce with acks=all to a topic of three replicas: throughput, the brokers' processor time, latency.
//!
//! Kafka's own performance tool writes, in a JVM that shares the machine with the three brokers. It must never count the warm-up.

use std::time::{Duration, Instant};

use bytes::Bytes;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{ProduceRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use milena_compat_tests::Tool;
use milena_compat_tests::wire::{Wire, batch, record};

use crate::table::percentile;
use crate::{Bench, topics};

const TOPIC: &str = "bench-produce";
const PARTITIONS: usize = 6;
/// 500 MB, each of which is written three times; the warm-up is a fifth of it.
const RECORDS: u64 = 500_000;
const RECORD_BYTES: u64 = 1000;
/// A load that neither of the two is full with: records a second, and for how many seconds.
const STEADY: (u64, u64) = (2000, 20);
/// Single records, each sent when the one before is acknowledged, after a fifth of them to warm up.
const SINGLE: usize = 5000;
const PATIENCE: Duration = Duration::from_secs(240);

pub(crate) fn measure(bench: &mut Bench) {
    topics::create(&bench.cluster, TOPIC, PARTITIONS);
    let _ = run(bench, RECORDS / 5, None);
    let before = bench.processor_time();
    let told = run(bench, RECORDS, None);
    let used = bench.processor_time() - before;
    bench.note("Produce, acks=all, factor 3 (MB/s)", true, told.mebibytes * 1.048_576);
    let gigabytes = (RECORDS * RECORD_BYTES) as f64 / 1e9;
    let of_each = used.as_secs_f64() / gigabytes;
    bench.note("Produce: the three brokers' processor time (s per GB)", false, of_each);

    let (rate, seconds) = STEADY;
    let _ = run(bench, rate * seconds / 4, Some(rate));
    let before = bench.processor_time();
    let told = run(bench, rate * seconds, Some(rate));
    let used = (bench.processor_time() - before).as_secs_f64() / seconds as f64;
    bench.note("2 MB/s: latency p50 (ms)", false, told.percentile("50th"));
    bench.note("2 MB/s: latency p99 (ms)", false, told.percentile("99th"));
    bench.note("2 MB/s: the three brokers' processor use (% of a core)", false, used * 100.0);

    let mut took = single(bench);
    bench.note("One record after the other: p50 (ms)", false, percentile(&mut took, 0.5));
    bench.note("One record after the other: p99 (ms)", false, percentile(&mut took, 0.99));
}

/// What the tool's last line says.
struct Told {
    mebibytes: f64,
    line: String,
}

impl Told {
    /// Milliseconds, as in `3 ms 99th`.
    fn percentile(&self, which: &str) -> f64 {
        let (before, _) = self.line.split_once(&format!(" ms {which}")).expect("the tool tells percentiles");
        let number = before.rsplit(' ').next().and_then(|word| word.parse().ok());
        number.unwrap_or_else(|| panic!("no {which} in {}", self.line))
    }
}

fn run(bench: &Bench, records: u64, rate: Option<u64>) -> Told {
    let rate = rate.map_or_else(|| "-1".to_owned(), |rate| rate.to_string());
    let tool = Tool::new("kafka-producer-perf-test").own_process().patience(PATIENCE);
    let told = tool
        .args(["--topic", TOPIC, "--throughput", &rate, "--num-records", &records.to_string()])
        .args(["--record-size", &RECORD_BYTES.to_string(), "--command-property"])
        .arg(&format!("bootstrap.servers={}", bench.cluster.bootstrap()))
        .args(["batch.size=131072", "linger.ms=5", "acks=all"])
        .ok();
    let line = told.lines().last().expect("a summary").to_owned();
    let mebibytes = line.split("records/sec (").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok());
    Told { mebibytes: mebibytes.unwrap_or_else(|| panic!("no rate in {told}")), line }
}

/// Milliseconds of each record that a connection to the leader wrote, one after the other.
fn single(bench: &Bench) -> Vec<f64> {
    let topic = "bench-single";
    topics::create(&bench.cluster, topic, 1);
    let leader = topics::leaders(&bench.cluster, topic).expect("a topic that was just made")[&0];
    let mut wire = bench.cluster.wire(leader);
    let request = request(topic, 0, batch([record("a hundred bytes or so")]));
    let took = (0..SINGLE + SINGLE / 5).map(|_| {
        let begin = Instant::now();
        assert!(is_acknowledged(&mut wire, &request), "a write is refused");
        begin.elapsed().as_secs_f64() * 1e3
    });
    took.skip(SINGLE / 5).collect()
}

/// One batch for one partition, with acks=all.
pub(crate) fn request(topic: &'static str, partition: i32, records: Bytes) -> ProduceRequest {
    let data = PartitionProduceData::default().with_index(partition).with_records(Some(records));
    let data = TopicProduceData::default()
        .with_name(TopicName(StrBytes::from_static_str(topic)))
        .with_partition_data(vec![data]);
    ProduceRequest::default().with_acks(-1).with_timeout_ms(30_000).with_topic_data(vec![data])
}

/// Whether a broker says that it is written; a connection that fails says nothing.
pub(crate) fn is_acknowledged(wire: &mut Wire, request: &ProduceRequest) -> bool {
    let answer = wire.try_call(9, request);
    answer.is_ok_and(|answer| answer.responses[0].partition_responses[0].error_code == 0)
}
