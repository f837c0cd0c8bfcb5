//! A load by librdkafka for benchmarks: as many records as are asked for, as fast as the library goes.
//!
//! `milena-rdkafka-load produce|consume BOOTSTRAP TOPIC RECORDS BYTES` prints the MB per second of records. It must never count a record that was
//! not acknowledged, or that did not arrive.

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::{Offset, TopicPartitionList};

/// No load here lasts longer.
const PATIENCE: Duration = Duration::from_secs(300);
const POLL: Duration = Duration::from_millis(100);

type Done<T> = Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let lasted = match run(&arguments) {
        Ok(lasted) => lasted,
        Err(error) => {
            let _ = writeln!(io::stderr(), "{error}");
            return ExitCode::FAILURE;
        }
    };
    let _ = writeln!(io::stdout(), "{lasted}");
    ExitCode::SUCCESS
}

fn run(arguments: &[String]) -> Done<f64> {
    let [what, bootstrap, topic, records, bytes] = arguments else {
        return Err(
            "give produce or consume, the bootstrap address, a topic, the records and their bytes".into()
        );
    };
    let (records, bytes): (u64, usize) = (records.parse()?, bytes.parse()?);
    let lasted = match what.as_str() {
        "produce" => produce(bootstrap, topic, records, bytes)?,
        "consume" => consume(bootstrap, topic, records)?,
        other => return Err(format!("neither produce nor consume: {other}").into()),
    };
    Ok(records as f64 * bytes as f64 / 1e6 / lasted.as_secs_f64())
}

/// Counts what the broker took, and what it did not.
#[derive(Clone, Default)]
struct Deliveries {
    taken: Arc<AtomicU64>,
    failed: Arc<AtomicU64>,
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, delivered: &DeliveryResult<'_>, (): ()) {
        let count = if delivered.is_ok() { &self.taken } else { &self.failed };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

fn produce(bootstrap: &str, topic: &str, records: u64, bytes: usize) -> Done<Duration> {
    let deliveries = Deliveries::default();
    let producer: BaseProducer<Deliveries> = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("acks", "all")
        .set("linger.ms", "5")
        .set("batch.size", "131072")
        .create_with_context(deliveries.clone())?;
    let value: Vec<u8> = (b'a'..=b'z').cycle().take(bytes).collect();
    // What it has to ask first is not part of the load.
    producer.client().fetch_metadata(Some(topic), PATIENCE)?;
    let begin = Instant::now();
    for _ in 0..records {
        let mut record = BaseRecord::<(), _>::to(topic).payload(&value);
        while let Err((error, again)) = producer.send(record) {
            if error != KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) {
                return Err(error.into());
            }
            producer.poll(POLL);
            record = again;
        }
        producer.poll(Duration::ZERO);
    }
    producer.flush(PATIENCE)?;
    let lasted = begin.elapsed();
    let (taken, failed) =
        (deliveries.taken.load(Ordering::Relaxed), deliveries.failed.load(Ordering::Relaxed));
    if taken != records {
        return Err(format!("{taken} of {records} records were taken, {failed} refused").into());
    }
    Ok(lasted)
}

fn consume(bootstrap: &str, topic: &str, records: u64) -> Done<Duration> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "load")
        .set("enable.auto.commit", "false")
        .create()?;
    consumer.fetch_metadata(Some(topic), PATIENCE)?;
    let mut from = TopicPartitionList::new();
    from.add_partition_offset(topic, 0, Offset::Beginning)?;
    let begin = Instant::now();
    consumer.assign(&from)?;
    let mut had = 0;
    while had < records {
        if begin.elapsed() > PATIENCE {
            return Err(format!("{had} of {records} records came").into());
        }
        if let Some(message) = consumer.poll(POLL) {
            had += u64::from(message?.payload().is_some());
        }
    }
    Ok(begin.elapsed())
}
