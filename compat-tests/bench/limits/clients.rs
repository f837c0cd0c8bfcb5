//! The part that measures with stock clients: Kafka's own performance tools, each in a JVM of its own, and librdkafka's producer and consumer.
//!
//! It must never take a client's word for more than the client's own throughput: the processor time is read from the broker.

use std::io;
use std::time::Duration;

use milena_compat_tests::program::Program;
use milena_compat_tests::{Tool, fetched};

use crate::parts::say;
use crate::peers::{Running, processor_time};
use crate::report::{Numbers, PER_GB, RATE, Table};
use crate::requests;
use crate::{Length, guarded};

const RECORD_BYTES: u64 = 1_000;
/// More than a consumer reads, and little enough that later records take the memory of earlier ones: a machine that has to get its memory
/// from a hypervisor first was seen to spend 3.5 s on each GB of it, ten times as much as on a GB that it had.
const KEPT: u64 = 512 << 20;
const PATIENCE: Duration = Duration::from_secs(600);

/// A client, and what it does with all records of a topic.
const LINES: [(&str, Client); 4] = [
    ("kafka-producer-perf-test", java_produce),
    ("kafka-consumer-perf-test", java_consume),
    ("librdkafka, producer", librdkafka_produce),
    ("librdkafka, consumer", librdkafka_consume),
];

/// Moves so many records to or from a topic of the broker there, and tells the MB per second.
type Client = fn(&str, &str, u64) -> io::Result<f64>;

pub(crate) fn of_broker(table: &mut Table, broker: &Running, length: &Length) -> io::Result<()> {
    let mut wire = broker.wire()?;
    let topic = requests::new_topic();
    requests::create_brief(&mut wire, &topic, KEPT)?;
    let bootstrap = broker.address().to_string();
    for (name, client) in LINES {
        say(&format!("{}: {name}", broker.column.title()));
        let one = |records| -> io::Result<Numbers> {
            let before = processor_time(broker.pid())?;
            let rate = guarded(&mut || client(&bootstrap, &topic, records))?;
            let used = processor_time(broker.pid())?.saturating_sub(before).as_secs_f64();
            Ok(vec![(RATE, rate), (PER_GB, used / ((records * RECORD_BYTES) as f64 / 1e9))])
        };
        let mut runs = Vec::new();
        // The first is the broker's warm-up.
        let _ = one(length.client_records)?;
        for _ in 0..length.runs {
            runs.push(one(length.client_records)?);
        }
        table.runs(broker.column, name, &runs);
    }
    let _ = broker.wire().and_then(|mut wire| requests::delete(&mut wire, &[topic]));
    Ok(())
}

fn java_produce(bootstrap: &str, topic: &str, records: u64) -> io::Result<f64> {
    let tool = Tool::new("kafka-producer-perf-test").own_process().patience(PATIENCE);
    let told = tool
        .args(["--topic", topic, "--throughput", "-1", "--num-records", &records.to_string()])
        .args(["--record-size", &RECORD_BYTES.to_string(), "--command-property"])
        .arg(&format!("bootstrap.servers={bootstrap}"))
        .args(["batch.size=131072", "linger.ms=5", "acks=all"])
        .ok();
    let summary = told.lines().last().unwrap_or_default();
    let rate = summary.split("records/sec (").nth(1).and_then(|rest| rest.split(' ').next());
    // What it calls MB are MiB.
    Ok(number(rate, &told)? * 1.048_576)
}

fn java_consume(bootstrap: &str, topic: &str, records: u64) -> io::Result<f64> {
    let tool = Tool::new("kafka-consumer-perf-test").own_process().patience(PATIENCE);
    let tool = tool.args(["--bootstrap-server", bootstrap, "--topic", topic]);
    let told = tool.args(["--num-records", &records.to_string(), "--timeout", "60000"]).ok();
    // The column fetch.MB.sec leaves out the time of the group's first rebalance.
    let rate = told.lines().last().and_then(|row| row.split(", ").nth(8));
    Ok(number(rate, &told)? * 1.048_576)
}

fn librdkafka_produce(bootstrap: &str, topic: &str, records: u64) -> io::Result<f64> {
    librdkafka("produce", bootstrap, topic, records)
}

fn librdkafka_consume(bootstrap: &str, topic: &str, records: u64) -> io::Result<f64> {
    librdkafka("consume", bootstrap, topic, records)
}

fn librdkafka(what: &str, bootstrap: &str, topic: &str, records: u64) -> io::Result<f64> {
    let load = Program::new(fetched::rdkafka("milena-rdkafka-load")).patience(PATIENCE);
    let told = load.args([what, bootstrap, topic, &records.to_string(), &RECORD_BYTES.to_string()]).ok();
    number(Some(&told), &told)
}

fn number(text: Option<&str>, told: &str) -> io::Result<f64> {
    let number = text.and_then(|text| text.trim().parse().ok());
    number.ok_or_else(|| io::Error::other(format!("no rate in {told}")))
}
