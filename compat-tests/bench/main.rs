//! Milena next to Apache Kafka 4.3.1, measured in one run on one machine, with the ratios.
//!
//! `cargo run --release -p milena-compat-tests --bin bench`. The client is Kafka's own performance tool for both, in a JVM of
//! its own, which on a small machine takes more of the processor than a broker does: the processor time per GB tells more
//! than the throughput. It must never print a number that it did not measure in this run.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use kafka_protocol::messages::ApiVersionsRequest;
use kafka_protocol::protocol::StrBytes;
use milena_compat_tests::server::Setup;
use milena_compat_tests::wire::Wire;
use milena_compat_tests::{Server, Target, Tool, wait};

/// Starts whose median is told.
const MILENA_STARTS: usize = 21;

/// A JVM's start takes seconds.
const KAFKA_STARTS: usize = 3;

/// How long an idle broker is watched.
const IDLE: Duration = Duration::from_secs(10);

/// Records of 1000 bytes for the throughput, 400 MB in all.
const RECORDS: u64 = 400_000;
const RECORD_BYTES: u64 = 1000;

/// Single records, each sent when the one before has come back.
const LATENCY_RECORDS: u64 = 5000;

/// Patience for a measuring tool.
const TOOL_PATIENCE: Duration = Duration::from_secs(600);

/// One measured number; smaller is better unless said.
struct Row {
    what: &'static str,
    unit: &'static str,
    larger_is_better: bool,
    value: f64,
}

fn main() -> io::Result<()> {
    let milena = measure(Target::Milena)?;
    let kafka = measure(Target::Kafka)?;
    let mut out = io::stdout().lock();
    writeln!(out, "\n{:<44}{:>14}{:>14}   better by", "", "Milena", "Kafka 4.3.1")?;
    for (ours, theirs) in milena.iter().zip(&kafka) {
        let ratio = if ours.larger_is_better { ours.value / theirs.value } else { theirs.value / ours.value };
        let what = format!("{} ({})", ours.what, ours.unit);
        writeln!(out, "{what:<44}{:>14}{:>14}   {}", digits(ours.value), digits(theirs.value), times(ratio))?;
    }
    writeln!(
        out,
        "\n{MILENA_STARTS} starts of Milena and {KAFKA_STARTS} of Kafka (median); {RECORDS} records of {RECORD_BYTES} bytes, one \
         partition, no compression; the perf tools' JVM shares the machine with the broker."
    )
}

fn measure(target: Target) -> io::Result<Vec<Row>> {
    let mut rows = Vec::new();
    let mut note =
        |what, unit, larger_is_better, value| rows.push(Row { what, unit, larger_is_better, value });
    say(&format!("{target:?}: starts"))?;
    note("start to first answer", "ms", false, median_start(target).as_secs_f64() * 1e3);

    say(&format!("{target:?}: idle"))?;
    let server = Setup::of(target).at_full_speed().start();
    first_answer(&server);
    let before = server.processor_time();
    let until = Instant::now() + IDLE;
    wait::until(IDLE * 2, "the idle time to pass", || (Instant::now() >= until).then_some(()));
    let used = (server.processor_time() - before).as_secs_f64();
    note("idle resident memory", "MiB", false, mib(server.resident_bytes()));
    note("idle processor use", "% of a core", false, used / IDLE.as_secs_f64() * 100.0);

    say(&format!("{target:?}: throughput"))?;
    server.tool("kafka-topics").line("--create --topic bench --partitions 1").ok();
    // What is measured is the second round: the first warms both JVMs and the page cache.
    let _ = produce(&server, RECORDS / 4);
    let (rate, processor) = measured(&server, || produce(&server, RECORDS));
    note("produce", "MB/s", true, rate);
    note("broker's processor time to produce", "s per GB", false, processor / gigabytes(RECORDS));
    let (rate, processor) = measured(&server, || consume(&server, RECORDS));
    note("fetch", "MB/s", true, rate);
    note("broker's processor time to fetch", "s per GB", false, processor / gigabytes(RECORDS));
    note("resident memory after that", "MiB", false, mib(server.resident_bytes()));

    say(&format!("{target:?}: latency"))?;
    let (middle, tail) = latency(&server);
    note("produce to consume, p50", "ms", false, middle);
    note("produce to consume, p99", "ms", false, tail);
    Ok(rows)
}

fn say(line: &str) -> io::Result<()> {
    writeln!(io::stderr().lock(), "{line}")
}

/// From the start of the process to the answer to the first request, on an empty directory.
fn median_start(target: Target) -> Duration {
    let count = if target == Target::Milena { MILENA_STARTS } else { KAFKA_STARTS };
    let mut times: Vec<Duration> = (0..count)
        .map(|_| {
            let server = Setup::of(target).at_full_speed().start();
            first_answer(&server);
            server.since_started()
        })
        .collect();
    times.sort();
    times[count / 2]
}

fn first_answer(server: &Server) {
    let hello = ApiVersionsRequest::default()
        .with_client_software_name(StrBytes::from_static_str("bench"))
        .with_client_software_version(StrBytes::from_static_str("1"));
    let answer = Wire::connect(server.address()).call(3, &hello);
    assert_eq!(answer.error_code, 0);
}

/// What a run gives, and the broker's processor time in it.
fn measured(server: &Server, run: impl FnOnce() -> f64) -> (f64, f64) {
    let before = server.processor_time();
    let result = run();
    (result, (server.processor_time() - before).as_secs_f64())
}

/// MB per second, by the tool's own count.
fn produce(server: &Server, records: u64) -> f64 {
    let tool = Tool::new("kafka-producer-perf-test").own_process().patience(TOOL_PATIENCE);
    let told = tool
        .args(["--topic", "bench", "--throughput", "-1", "--num-records", &records.to_string()])
        .args(["--record-size", &RECORD_BYTES.to_string(), "--command-property"])
        .arg(&format!("bootstrap.servers={}", server.bootstrap()))
        .args(["batch.size=131072", "linger.ms=5", "acks=all"])
        .ok();
    let summary = told.lines().last().expect("a summary");
    let rate = summary.split("records/sec (").nth(1).and_then(|rest| rest.split(' ').next());
    let mebibytes: f64 =
        rate.and_then(|rate| rate.parse().ok()).unwrap_or_else(|| panic!("no rate in {told}"));
    mebibytes * 1.048_576
}

fn consume(server: &Server, records: u64) -> f64 {
    let tool = Tool::new("kafka-consumer-perf-test").at(server).own_process().patience(TOOL_PATIENCE);
    let tool = tool.args(["--topic", "bench", "--num-records", &records.to_string()]);
    let told = tool.args(["--timeout", "60000"]).ok();
    let row: Vec<&str> = told.lines().last().expect("a row").split(", ").collect();
    // The column fetch.MB.sec leaves out the time of the group's first rebalance.
    let rate: f64 =
        row.get(8).and_then(|rate| rate.trim().parse().ok()).unwrap_or_else(|| panic!("no rate in {told}"));
    rate * 1.048_576
}

/// The middle and the tail of the time from send to receipt.
fn latency(server: &Server) -> (f64, f64) {
    let mut values: Vec<f64> = Vec::new();
    let topic = "bench-latency";
    let mut wire = server.wire();
    server.tool("kafka-topics").args(["--create", "--topic", topic, "--partitions", "1"]).ok();
    let mut offset = 0;
    for number in 0..LATENCY_RECORDS {
        let before = Instant::now();
        requests::send(&mut wire, topic);
        offset = requests::receive(&mut wire, topic, offset);
        if number >= LATENCY_RECORDS / 5 {
            values.push(before.elapsed().as_secs_f64() * 1e3);
        }
    }
    values.sort_by(f64::total_cmp);
    (values[values.len() / 2], values[values.len() * 99 / 100])
}

/// The two requests of the latency loop.
mod requests {
    use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
    use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
    use kafka_protocol::messages::{BrokerId, FetchRequest, ProduceRequest, TopicName};
    use kafka_protocol::protocol::StrBytes;
    use milena_compat_tests::wire::{Wire, batch, record};

    pub(super) fn send(wire: &mut Wire, topic: &'static str) {
        let data =
            PartitionProduceData::default().with_records(Some(batch([record("a hundred bytes or so")])));
        let data = TopicProduceData::default()
            .with_name(TopicName(StrBytes::from_static_str(topic)))
            .with_partition_data(vec![data]);
        let request =
            ProduceRequest::default().with_acks(-1).with_timeout_ms(5000).with_topic_data(vec![data]);
        let answer = wire.call(9, &request);
        assert_eq!(answer.responses[0].partition_responses[0].error_code, 0, "{answer:?}");
    }

    /// Reads one record at the offset, gives the next.
    pub(super) fn receive(wire: &mut Wire, topic: &'static str, offset: i64) -> i64 {
        let place = FetchPartition::default().with_fetch_offset(offset).with_partition_max_bytes(1 << 20);
        let place = FetchTopic::default()
            .with_topic(TopicName(StrBytes::from_static_str(topic)))
            .with_partitions(vec![place]);
        let request = FetchRequest::default()
            .with_replica_id(BrokerId(-1))
            .with_max_wait_ms(500)
            .with_min_bytes(1)
            .with_max_bytes(1 << 20)
            .with_session_epoch(-1)
            .with_topics(vec![place]);
        let answer = wire.call(12, &request);
        let partition = &answer.responses[0].partitions[0];
        assert!(partition.records.as_ref().is_some_and(|records| !records.is_empty()), "{answer:?}");
        offset + 1
    }
}

#[expect(clippy::cast_precision_loss, reason = "sizes here are far below 2^52")]
fn gigabytes(records: u64) -> f64 {
    (records * RECORD_BYTES) as f64 / 1e9
}

#[expect(clippy::cast_precision_loss, reason = "sizes here are far below 2^52")]
fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn digits(value: f64) -> String {
    if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

fn times(ratio: f64) -> String {
    if ratio.is_finite() { format!("{ratio:.1} times") } else { "(none was used)".to_owned() }
}
