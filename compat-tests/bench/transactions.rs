//! Transactions of Milena next to Apache Kafka 4.3.1, measured in one run on one machine, with the ratios.
//!
//! `cargo run --release -p milena-compat-tests --bin bench-transactions [PRODUCERS [RATE]]`. A producer of our own, which costs less than a
//! broker: each transaction is one Produce 12 and one EndTxn 5 (KIP-890). With one number only so many producers are measured, each of
//! which begins the next transaction when the last has ended; with a second one they begin so many transactions a second in all, at fixed moments,
//! and a transaction's time counts from the moment at which it was due. It must never print a number that it did not measure in this
//! run, nor count a transaction that was not answered without an error.

mod table;

use std::io::{self, Write};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    EndTxnRequest, FindCoordinatorRequest, InitProducerIdRequest, ProduceRequest, ProducerId, TopicName,
    TransactionalId,
};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::Record;
use milena_compat_tests::server::Setup;
use milena_compat_tests::wire::{Wire, batch, record};
use milena_compat_tests::{Server, Target, wait};
use table::{Row, percentile};
use uuid::Uuid;

/// How long each rate is measured, after as long to warm up: a JVM needs it.
const MEASURED: Duration = Duration::from_secs(8);
/// Records of one transaction.
const MESSAGES: [usize; 3] = [1, 10, 100];
/// Producers at once, each with an id and a partition of its own.
const PRODUCERS: [usize; 2] = [1, 16];
const VALUE: &str =
    "a hundred bytes or so: transactions are about small records which have to be there together, or not";

fn main() -> io::Result<()> {
    let part = Part::given();
    let ours = measure(Target::Milena, &part)?;
    let theirs = measure(Target::Kafka, &part)?;
    table::print(&ours, &theirs)
}

/// What of the bench is run.
struct Part {
    producers: Vec<usize>,
    /// Transactions a second of all producers together; none: as many as there can be.
    rate: Option<u32>,
}

impl Part {
    fn given() -> Self {
        let mut numbers = std::env::args().skip(1).map(|word| {
            word.parse::<u32>()
                .unwrap_or_else(|error| panic!("{word} is no number of producers or rate: {error}"))
        });
        let producers = numbers.next().map(|count| vec![count as usize]);
        Self { producers: producers.unwrap_or(PRODUCERS.to_vec()), rate: numbers.next() }
    }
}

fn measure(target: Target, part: &Part) -> io::Result<Vec<Row>> {
    let server = Setup::of(target).at_full_speed().start();
    let topic = "bench-transactions";
    let partitions = part.producers.iter().max().expect("a list of numbers").to_string();
    server.tool("kafka-topics").args(["--create", "--topic", topic, "--partitions", &partitions]).ok();
    let mut rows = Vec::new();
    for &producers in &part.producers {
        for messages in MESSAGES {
            writeln!(io::stderr(), "{target:?}: {producers} producers, {messages} messages")?;
            let load = Load { producers, messages, rate: part.rate };
            let mut run = run(&server, topic, &load);
            let at = part.rate.map_or(String::new(), |rate| format!(" at {rate}/s"));
            let of = format!("{producers} x {messages} messages{at}");
            let mut note = |what: &str, larger_is_better, value| {
                rows.push(Row { what: format!("{of}, {what}"), larger_is_better, value });
            };
            note("transactions/s", true, run.ends.len() as f64 / run.lasted.as_secs_f64());
            note("commit p50 (ms)", false, percentile(&mut run.ends, 0.5));
            note("commit p99 (ms)", false, percentile(&mut run.ends, 0.99));
            if part.rate.is_some() {
                note("whole transaction p50 (ms)", false, percentile(&mut run.wholes, 0.5));
                note("whole transaction p99 (ms)", false, percentile(&mut run.wholes, 0.99));
            }
            let micros = run.processor.as_secs_f64() * 1e6 / run.ends.len() as f64;
            note("broker's processor time each (us)", false, micros);
        }
    }
    Ok(rows)
}

struct Load {
    producers: usize,
    messages: usize,
    rate: Option<u32>,
}

/// What a measured time gave: the milliseconds of every EndTxn and of every transaction, and what the broker used.
struct Run {
    ends: Vec<f64>,
    wholes: Vec<f64>,
    lasted: Duration,
    processor: Duration,
}

fn run(server: &Server, topic: &str, load: &Load) -> Run {
    let warmed = Barrier::new(load.producers + 1);
    let begun = Barrier::new(load.producers + 1);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..load.producers)
            .map(|partition| {
                let mut producer = Producer::start(server, topic, partition, load.messages);
                let (warmed, begun) = (&warmed, &begun);
                let pace = load.rate.map(|rate| Pace::of(rate, load.producers, partition));
                scope.spawn(move || {
                    let _ = producer.transactions_for(MEASURED, pace);
                    warmed.wait();
                    begun.wait();
                    producer.transactions_for(MEASURED, pace)
                })
            })
            .collect();
        warmed.wait();
        let (processor, begin) = (server.processor_time(), Instant::now());
        begun.wait();
        let done = threads.into_iter().flat_map(|thread| thread.join().expect("a producer's thread"));
        let (ends, wholes) = done.unzip();
        Run { ends, wholes, lasted: begin.elapsed(), processor: server.processor_time() - processor }
    })
}

/// When a producer's transactions are due; those of all producers are spread evenly.
#[derive(Clone, Copy)]
struct Pace {
    first: Duration,
    each: Duration,
}

impl Pace {
    fn of(rate: u32, producers: usize, which: usize) -> Self {
        let apart = Duration::from_secs(1) / rate;
        let count = |count: usize| u32::try_from(count).expect("a small number");
        Self { first: apart * count(which), each: apart * count(producers) }
    }
}

struct Producer {
    wire: Wire,
    id: TransactionalId,
    topic: TopicName,
    partition: i32,
    messages: usize,
    producer_id: i64,
    epoch: i16,
}

impl Producer {
    fn start(server: &Server, topic: &str, partition: usize, messages: usize) -> Self {
        let mut wire = server.wire();
        let id = StrBytes::from_string(format!("bench-{}", Uuid::new_v4()));
        let find = FindCoordinatorRequest::default().with_key_type(1).with_coordinator_keys(vec![id.clone()]);
        let id = TransactionalId(id);
        let init = InitProducerIdRequest::default().with_transactional_id(Some(id.clone()));
        let init = init.with_transaction_timeout_ms(60_000).with_producer_id(ProducerId(-1));
        let init = init.with_producer_epoch(-1);
        let answer = wait::until(wait::PATIENCE, "a transaction coordinator", || {
            let found = wire.call(4, &find);
            let answer = (found.coordinators[0].error_code == 0).then(|| wire.call(4, &init))?;
            (answer.error_code == 0).then_some(answer)
        });
        Self {
            wire,
            id,
            topic: TopicName(StrBytes::from_string(topic.to_owned())),
            partition: i32::try_from(partition).expect("a small number"),
            messages,
            producer_id: answer.producer_id.0,
            epoch: answer.producer_epoch,
        }
    }

    /// Commits transaction after transaction; gives the milliseconds of each commit and of each transaction, this from the moment at which
    /// it was due, so that what is late makes the next ones late.
    fn transactions_for(&mut self, time: Duration, pace: Option<Pace>) -> Vec<(f64, f64)> {
        let millis = |since: Instant| since.elapsed().as_secs_f64() * 1e3;
        let begin = Instant::now();
        let mut due = begin + pace.map_or(Duration::ZERO, |pace| pace.first);
        let mut took = Vec::new();
        while begin.elapsed() < time {
            match pace {
                Some(_) => wait::at(due),
                None => due = Instant::now(),
            }
            self.produce();
            let before = Instant::now();
            self.commit();
            took.push((millis(before), millis(due)));
            due += pace.map_or(Duration::ZERO, |pace| pace.each);
        }
        took
    }

    fn produce(&mut self) {
        let data =
            PartitionProduceData::default().with_index(self.partition).with_records(Some(self.records()));
        let topic = TopicProduceData::default().with_name(self.topic.clone()).with_partition_data(vec![data]);
        let request = ProduceRequest::default()
            .with_transactional_id(Some(self.id.clone()))
            .with_acks(-1)
            .with_timeout_ms(30_000)
            .with_topic_data(vec![topic]);
        self.until_not_busy("a produce", |wire| {
            wire.call(12, &request).responses[0].partition_responses[0].error_code
        });
    }

    /// The epoch goes up with each transaction, and its sequences begin at 0.
    fn records(&self) -> Bytes {
        let of = |sequence: usize| Record {
            transactional: true,
            producer_id: self.producer_id,
            producer_epoch: self.epoch,
            sequence: i32::try_from(sequence).expect("a small number"),
            ..record(VALUE)
        };
        batch((0..self.messages).map(of))
    }

    fn commit(&mut self) {
        let request = EndTxnRequest::default()
            .with_transactional_id(self.id.clone())
            .with_producer_id(ProducerId(self.producer_id))
            .with_producer_epoch(self.epoch)
            .with_committed(true);
        let mut next = (self.producer_id, self.epoch);
        self.until_not_busy("a commit", |wire| {
            let answer = wire.call(5, &request);
            next = (answer.producer_id.0, answer.producer_epoch);
            answer.error_code
        });
        (self.producer_id, self.epoch) = next;
    }

    /// As a client does: the markers of the transaction before may still be under way, or a producer's epochs be used up
    /// and its coordinator fetch another id.
    fn until_not_busy(&mut self, what: &str, mut ask: impl FnMut(&mut Wire) -> i16) {
        let begin = Instant::now();
        loop {
            let code = ask(&mut self.wire);
            if code == 0 {
                return;
            }
            let busy = matches!(
                ResponseError::try_from_code(code),
                Some(ResponseError::ConcurrentTransactions | ResponseError::CoordinatorLoadInProgress)
            );
            assert!(busy && begin.elapsed() < wait::PATIENCE, "{what} was refused with {code}");
        }
    }
}
