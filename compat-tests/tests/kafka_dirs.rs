//! A directory that Apache Kafka 4.3.1 wrote is served by Milena as Kafka served it, and the other way round.
//!
//! A test here must never compare what it did not first see from Kafka.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicI64, Ordering};

use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    AddPartitionsToTxnRequest, BrokerId, EndTxnRequest, FetchRequest, FetchResponse, FindCoordinatorRequest,
    InitProducerIdRequest, ListOffsetsRequest, ProduceRequest, ProducerId, TopicName, TransactionalId,
};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::Record;
use milena_compat_tests::server::Setup;
use milena_compat_tests::wire::{batch, record};
use milena_compat_tests::{Server, Target, wait};

const CODECS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];
const TRANSACTIONS: &str = "transactions";

fn name(topic: &str) -> TopicName {
    TopicName(StrBytes::from_string(topic.to_owned()))
}

/// A producer with a transactional id, spoken by hand.
struct Transactions<'a> {
    server: &'a Server,
    id: TransactionalId,
    producer: (i64, i16),
    sequences: [i32; 2],
}

impl<'a> Transactions<'a> {
    fn start(server: &'a Server, id: &str) -> Self {
        let find = FindCoordinatorRequest::default()
            .with_key(StrBytes::from_string(id.to_owned()))
            .with_key_type(TRANSACTIONAL);
        wait::until_like(
            wait::PATIENCE,
            "the topic of the transactions",
            || server.wire().call(3, &find),
            |answer| answer.error_code == 0,
        );
        let id = TransactionalId(StrBytes::from_string(id.to_owned()));
        let request = InitProducerIdRequest::default()
            .with_transactional_id(Some(id.clone()))
            .with_transaction_timeout_ms(60_000);
        let ready = wait::until_like(
            wait::PATIENCE,
            "the transaction coordinator",
            || server.wire().call(4, &request),
            |answer| answer.error_code == 0,
        );
        Self { server, id, producer: (ready.producer_id.0, ready.producer_epoch), sequences: [0, 0] }
    }

    fn send(&mut self, partition: i32, count: i32) {
        let topic =
            AddPartitionsToTxnTopic::default().with_name(name(TRANSACTIONS)).with_partitions(vec![partition]);
        let add = AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(self.id.clone())
            .with_v3_and_below_producer_id(ProducerId(self.producer.0))
            .with_v3_and_below_producer_epoch(self.producer.1)
            .with_v3_and_below_topics(vec![topic]);
        wait::until_like(
            wait::PATIENCE,
            "the partition in the transaction",
            || {
                self.server.wire().call(3, &add).results_by_topic_v3_and_below[0].results_by_partition[0]
                    .clone()
            },
            |answer| answer.partition_error_code == 0,
        );
        let first = &mut self.sequences[usize::try_from(partition).expect("0 or 1")];
        let records = batch((*first..*first + count).map(|sequence| Record {
            transactional: true,
            producer_id: self.producer.0,
            producer_epoch: self.producer.1,
            sequence,
            ..record("in a transaction")
        }));
        *first += count;
        let data = PartitionProduceData::default().with_index(partition).with_records(Some(records));
        let topic = TopicProduceData::default().with_name(name(TRANSACTIONS)).with_partition_data(vec![data]);
        let request = ProduceRequest::default()
            .with_transactional_id(Some(self.id.clone()))
            .with_acks(-1)
            .with_timeout_ms(30_000)
            .with_topic_data(vec![topic]);
        let answer = self.server.wire().call(9, &request);
        assert_eq!(answer.responses[0].partition_responses[0].error_code, 0, "{answer:?}");
    }

    fn end(&mut self, commit: bool) {
        let request = EndTxnRequest::default()
            .with_transactional_id(self.id.clone())
            .with_producer_id(ProducerId(self.producer.0))
            .with_producer_epoch(self.producer.1)
            .with_committed(commit);
        assert_eq!(self.server.wire().call(3, &request).error_code, 0);
    }
}

fn fetch(server: &Server, topic: &str, partition: i32, from: i64, committed: bool) -> FetchResponse {
    let asked = FetchPartition::default()
        .with_partition(partition)
        .with_fetch_offset(from)
        .with_partition_max_bytes(1 << 20);
    let topic = FetchTopic::default().with_topic(name(topic)).with_partitions(vec![asked]);
    let request = FetchRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_max_bytes(8 << 20)
        .with_isolation_level(i8::from(committed))
        .with_topics(vec![topic]);
    server.wire().call(11, &request)
}

/// The offset of a special timestamp.
fn offset(server: &Server, topic: &str, partition: i32, timestamp: i64, committed: bool) -> i64 {
    let asked = ListOffsetsPartition::default().with_partition_index(partition).with_timestamp(timestamp);
    let topic = ListOffsetsTopic::default().with_name(name(topic)).with_partitions(vec![asked]);
    let request = ListOffsetsRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_isolation_level(i8::from(committed))
        .with_topics(vec![topic]);
    let answer = &server.wire().call(4, &request).topics[0].partitions[0];
    assert_eq!(answer.error_code, 0, "{answer:?}");
    answer.offset
}

/// The key type of FindCoordinator for transactional ids.
const TRANSACTIONAL: i8 = 1;
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;

/// Everything that a consumer can see of a partition: offsets, the bytes of its batches, its aborted transactions.
fn partition(server: &Server, topic: &str, index: i32) -> String {
    let mut told = format!("{topic}-{index}:");
    for (what, timestamp, committed) in
        [("start", EARLIEST, false), ("end", LATEST, false), ("stable end", LATEST, true)]
    {
        let _ = write!(told, " {what} {}", offset(server, topic, index, timestamp, committed));
    }
    for committed in [false, true] {
        let end = offset(server, topic, index, LATEST, committed);
        let mut next = offset(server, topic, index, EARLIEST, false);
        while next < end {
            let answer = fetch(server, topic, index, next, committed);
            let answer = &answer.responses[0].partitions[0];
            assert_eq!(answer.error_code, 0, "{answer:?}");
            let bytes = answer.records.clone().unwrap_or_default();
            let _ = write!(told, "\n  committed {committed} from {next}: {:?}", answer.aborted_transactions);
            let before = next;
            for (first, last, size, sum) in batches(&bytes) {
                let _ = write!(told, " [{first}-{last} {size} {sum:x}]");
                next = last + 1;
            }
            assert!(next > before, "nothing at {before} below {end}");
        }
    }
    told
}

/// First and last offset, size and a sum over all bytes of each whole batch.
fn batches(mut bytes: &[u8]) -> Vec<(i64, i64, usize, u64)> {
    let mut found = Vec::new();
    while bytes.len() >= 61 {
        let size = 12 + u32::from_be_bytes(bytes[8..12].try_into().expect("four bytes")) as usize;
        let Some(batch) = bytes.get(..size) else { break };
        let first = i64::from_be_bytes(batch[..8].try_into().expect("eight bytes"));
        let delta = i32::from_be_bytes(batch[23..27].try_into().expect("four bytes"));
        let sum = batch.iter().fold(0, |sum: u64, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
        found.push((first, first + i64::from(delta), size, sum));
        bytes = &bytes[size..];
    }
    found
}

/// What Kafka's directory holds, asked for over the wire and with the official tools.
fn seen(server: &Server) -> String {
    let ask = |tool: &str, line: &str| server.tool(tool).line(line).ok();
    let mut told = String::new();
    for topic in CODECS.map(|codec| format!("in-{codec}")).iter().map(String::as_str).chain([
        "compacted",
        "idempotent",
        "cut",
        TRANSACTIONS,
    ]) {
        // Id, partitions, configs; leaders, which change with every start, are left out.
        let described = ask("kafka-topics", &format!("--describe --topic {topic}"));
        told += described.lines().next().expect("a line");
        told += "\n";
        told += &partition(server, topic, 0);
        told += "\n";
    }
    told += &partition(server, TRANSACTIONS, 1);
    told += &ask("kafka-configs", "--describe --topic compacted");
    told += &ask("kafka-configs", "--describe --broker-defaults");
    for of in ["users", "clients", "users --entity-type clients", "ips"] {
        told += &ask("kafka-configs", &format!("--describe --entity-type {of}"));
    }
    let offsets = ask("kafka-consumer-groups", "--describe --offsets --group readers");
    let mut lines: Vec<_> =
        offsets.lines().map(str::trim).filter(|line| line.starts_with("readers")).collect();
    lines.sort_unstable();
    assert_eq!(lines.len(), 2, "{offsets}");
    told + &lines.join("\n")
}

/// Fills a Kafka with everything that its log can hold.
fn fill(server: &Server) {
    let ask = |tool: &str, line: &str| server.tool(tool).line(line).ok();
    for codec in CODECS {
        let topic = format!("in-{codec}");
        ask(
            "kafka-topics",
            &format!("--create --topic {topic} --partitions 1 --config segment.bytes=1048576"),
        );
        let lines: String =
            (0..20_000).map(|n| format!("line {n} in {codec} {}\n", n * 7919 % 1000)).collect();
        let line = format!("--topic {topic} --compression-codec {codec} --batch-size 4000");
        server.tool("kafka-console-producer").line(&line).input(lines).ok();
    }
    let compacting = "--config cleanup.policy=compact --config segment.bytes=1048576 \
                      --config min.cleanable.dirty.ratio=0.01 --config segment.ms=100";
    ask("kafka-topics", &format!("--create --topic compacted --partitions 1 {compacting}"));
    for round in 0..3 {
        let lines: String = (0..1000).map(|n| format!("key{}\tvalue {n} of {round}\n", n % 10)).collect();
        let line = "--topic compacted --property parse.key=true";
        server.tool("kafka-console-producer").line(line).input(lines).ok();
    }
    // The cleaner leaves gaps in front, which a reader of the batches sees.
    wait::until(wait::PATIENCE, "the cleaner's work", || {
        let answer = fetch(server, "compacted", 0, 0, false);
        let bytes = answer.responses[0].partitions[0].records.clone().unwrap_or_default();
        batches(&bytes).first().is_some_and(|first| first.0 > 0 || first.1 > 500).then_some(())
    });
    // Later passes of either broker would change what is compared.
    ask(
        "kafka-configs",
        "--alter --topic compacted --add-config min.cleanable.dirty.ratio=1,segment.ms=99999999",
    );
    ask("kafka-topics", "--create --topic idempotent --partitions 1");
    let idempotent = "--topic idempotent --producer-property enable.idempotence=true";
    server.tool("kafka-console-producer").line(idempotent).input("a\nb\nc\n").ok();
    ask("kafka-topics", "--create --topic cut --partitions 1");
    server.tool("kafka-console-producer").line("--topic cut").input("a\nb\nc\nd\n").ok();
    let cut = server.log_dir().with_file_name("cut.json");
    std::fs::write(&cut, r#"{"version":1,"partitions":[{"topic":"cut","partition":0,"offset":2}]}"#)
        .expect("the directory is ours");
    ask("kafka-delete-records", &format!("--offset-json-file {}", cut.display()));
    ask("kafka-console-consumer", "--topic in-gzip --group readers --from-beginning --max-messages 777");
    ask("kafka-console-consumer", "--topic cut --group readers --from-beginning --max-messages 1");
    ask("kafka-configs", "--alter --broker-defaults --add-config log.cleaner.threads=2");
    let rate = "--add-config producer_byte_rate=1e12";
    for of in ["--user a/b", "--user a/b --client c", "--user-defaults --client c", "--client-defaults"] {
        ask("kafka-configs", &format!("--alter {of} {rate}"));
    }
    ask("kafka-configs", "--alter --ip 10.1.2.3 --add-config connection_creation_rate=7");
    ask("kafka-configs", "--alter --user a/b --add-config SCRAM-SHA-256=[iterations=4096,password=p]");
    transactions(server);
}

/// Committed, aborted and open transactions of several producers, overlapping.
fn transactions(server: &Server) {
    server.tool("kafka-topics").line("--create --topic transactions --partitions 2").ok();
    let mut one = Transactions::start(server, "one");
    let mut two = Transactions::start(server, "two");
    for round in 0..6 {
        one.send(0, 3);
        two.send(round % 2, 2);
        one.send(1, 1);
        one.end(round % 3 != 0);
        two.end(round % 3 == 0);
    }
    let mut open = Transactions::start(server, "left open");
    open.send(0, 4);
    one.send(0, 1);
    one.end(true);
    // Markers are written behind the answer.
    wait::until(wait::PATIENCE, "the last marker", || {
        let ends = [true, false].map(|committed| offset(server, TRANSACTIONS, 1, LATEST, committed));
        (ends[0] == ends[1]).then_some(())
    });
    static LAST: AtomicI64 = AtomicI64::new(-1);
    wait::until(wait::PATIENCE, "the markers of partition 0", || {
        let end = offset(server, TRANSACTIONS, 0, LATEST, false);
        // Four open records, one committed one and its marker follow the rest.
        (LAST.swap(end, Ordering::Relaxed) == end && end > 30).then_some(())
    });
}

fn filled() -> (Server, String) {
    let server = Setup::of(Target::Kafka)
        .set("offsets.topic.num.partitions", "5")
        .set("transaction.state.log.num.partitions", "3")
        .set("log.cleaner.backoff.ms", "100")
        // What DeleteRecords hid is known after a kill only from a checkpoint.
        .set("log.flush.start.offset.checkpoint.interval.ms", "100")
        .set("log.flush.offset.checkpoint.interval.ms", "100")
        .set("log.initial.task.delay.ms", "100")
        .start();
    fill(&server);
    let mut before = String::new();
    // A pass of the cleaner may still be under way.
    wait::until(wait::PATIENCE, "two equal looks", || {
        let now = seen(&server);
        let settled = now == before;
        before = now;
        settled.then_some(())
    });
    for expected in ["producer_id", "stable end"] {
        assert!(before.contains(expected), "{before}");
    }
    (server, before)
}

fn compare(server: &Server, before: &str) {
    let now = seen(server);
    for (now, before) in now.lines().zip(before.lines()) {
        assert_eq!(now, before);
    }
    assert_eq!(now, before);
}

fn produce(server: &Server, topic: &str, line: &str) {
    server.tool("kafka-console-producer").line(&format!("--topic {topic}")).input(format!("{line}\n")).ok();
}

fn end(server: &mut Server, kill: bool) {
    if kill {
        server.kill();
    } else {
        let _ = server.stop();
    }
}

fn there_and_back(kill: bool) {
    let (mut server, before) = filled();
    end(&mut server, kill);
    server.start_as(Target::Milena);
    assert!(server.output().contains("taken over from Apache Kafka"), "{}", server.output());
    compare(&server, &before);
    let strays = std::fs::read_dir(server.log_dir()).expect("a directory");
    for entry in strays {
        let name = entry.expect("readable").file_name().to_string_lossy().into_owned();
        assert!(!name.ends_with("-stray"), "{name}");
    }
    // A producer id of Kafka's is not given out again, and records go on where they ended.
    let request = InitProducerIdRequest::default().with_transactional_id(None).with_transaction_timeout_ms(1);
    let ready = wait::until_like(
        wait::PATIENCE,
        "a producer id",
        || server.wire().call(4, &request),
        |answer| answer.error_code == 0,
    );
    assert!(ready.producer_id.0 >= 1000, "{ready:?}");
    let next = offset(&server, "idempotent", 0, LATEST, false);
    produce(&server, "idempotent", "from Milena");
    assert_eq!(offset(&server, "idempotent", 0, LATEST, false), next + 1);
    let _ =
        server.tool("kafka-console-consumer").line("--topic in-gzip --group readers --max-messages 3").ok();
    let after = seen(&server);
    end(&mut server, kill);
    server.start();
    compare(&server, &after);
    end(&mut server, kill);
    server.start_as(Target::Kafka);
    compare(&server, &after);
    produce(&server, "idempotent", "from Kafka again");
    let read = "--topic idempotent --from-beginning --max-messages 5";
    let read = server.tool("kafka-console-consumer").line(read).ok();
    assert_eq!(read, "a\nb\nc\nfrom Milena\nfrom Kafka again\n");
    // What Kafka did since is taken over too.
    server.tool("kafka-topics").line("--create --topic later --partitions 1").ok();
    produce(&server, "later", "kept");
    end(&mut server, kill);
    server.start_as(Target::Milena);
    produce(&server, "idempotent", "and from Milena");
    for (topic, count, last) in [("later", 1, "kept\n"), ("idempotent", 6, "again\nand from Milena\n")] {
        let read = format!("--topic {topic} --from-beginning --max-messages {count}");
        let read = server.tool("kafka-console-consumer").line(&read).ok();
        assert!(read.ends_with(last), "{read}");
    }
}

#[test]
fn a_directory_goes_from_kafka_to_milena_and_back() {
    there_and_back(false);
}

#[test]
fn a_directory_goes_there_and_back_when_each_is_killed() {
    there_and_back(true);
}
