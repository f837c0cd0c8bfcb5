//! `kill -9` under load with `acks=1`, and then segments that end at any place behind the recovery point, as a loss of
//! power may leave them: what is left is a prefix, and the broker says what it cut.
//!
//! Must never cut below a recovery point: that was promised to be on the disk.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread;

use bytes::Bytes;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{BrokerId, FetchRequest, ProduceRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::{Record, RecordBatchDecoder};
use milena_compat_tests::server::Setup;
use milena_compat_tests::wire::{Wire, batch, now_ms, record};
use milena_compat_tests::{Server, Target, wait};

const TOPIC: &str = "load";
const PARTITIONS: usize = 8;
const RECORDS_PER_BATCH: i64 = 10;
/// Five segments of 1 MiB in each partition.
const RECORDS_MIN: i64 = 5_000;

fn topic() -> TopicName {
    TopicName(StrBytes::from_static_str(TOPIC))
}

/// The value of the record at an offset: the partition, the offset, and a kilobyte.
fn value(partition: usize, offset: i64) -> Bytes {
    Bytes::from(format!("{partition} {offset} {}", "x".repeat(1000)))
}

fn request(partition: usize, first: i64) -> ProduceRequest {
    let records = (first..first + RECORDS_PER_BATCH)
        .map(|offset| Record { value: Some(value(partition, offset)), ..record("") });
    let index = i32::try_from(partition).expect("a small number");
    let data = PartitionProduceData::default().with_index(index).with_records(Some(batch(records)));
    let topic = TopicProduceData::default().with_name(topic()).with_partition_data(vec![data]);
    ProduceRequest::default().with_acks(1).with_timeout_ms(30_000).with_topic_data(vec![topic])
}

/// Appends from `next` on until the broker is gone; tells through `acknowledged` how far it was answered.
fn load(mut wire: Wire, partition: usize, mut next: i64, acknowledged: &AtomicI64) {
    while let Ok(answer) = wire.try_call(9, &request(partition, next)) {
        let answer = &answer.responses[0].partition_responses[0];
        assert_eq!((answer.error_code, answer.base_offset), (0, next));
        next += RECORDS_PER_BATCH;
        acknowledged.store(next, Ordering::Release);
    }
}

/// Loads every partition from these ends on and kills the broker in the middle; gives what was acknowledged.
fn killed_under_load(server: &mut Server, from: &[i64], records: i64) -> Vec<i64> {
    let acknowledged: Vec<_> = from.iter().map(|end| Arc::new(AtomicI64::new(*end))).collect();
    let loads: Vec<_> = acknowledged
        .iter()
        .enumerate()
        .map(|(partition, acknowledged)| {
            let (wire, next, acknowledged) = (server.wire(), from[partition], acknowledged.clone());
            thread::spawn(move || load(wire, partition, next, &acknowledged))
        })
        .collect();
    wait::until(wait::PATIENCE, "segments that are full", || {
        let far = |(now, from): (&Arc<AtomicI64>, &i64)| now.load(Ordering::Acquire) >= from + records;
        acknowledged.iter().zip(from).all(far).then_some(())
    });
    server.kill();
    loads.into_iter().for_each(|load| load.join().expect("the answers were right"));
    acknowledged.iter().map(|end| end.load(Ordering::Acquire)).collect()
}

/// Reads a partition to its end; every record must be the one that was written there.
fn read(server: &Server, partition: usize) -> i64 {
    let mut wire = server.wire();
    let mut next = 0;
    loop {
        let asked = FetchPartition::default()
            .with_partition(i32::try_from(partition).expect("a small number"))
            .with_fetch_offset(next)
            .with_partition_max_bytes(4 << 20);
        let topic = FetchTopic::default().with_topic(topic()).with_partitions(vec![asked]);
        let request = FetchRequest::default()
            .with_replica_id(BrokerId(-1))
            .with_max_bytes(4 << 20)
            .with_topics(vec![topic]);
        let answer = wire.call(11, &request);
        let answer = &answer.responses[0].partitions[0];
        assert_eq!(answer.error_code, 0, "partition {partition} from {next}");
        let records = answer.records.clone().unwrap_or_default();
        let whole = batches(&records).last().map_or(0, |batch| batch.end);
        if whole == 0 {
            assert_eq!(answer.high_watermark, next, "partition {partition}");
            return next;
        }
        for set in RecordBatchDecoder::decode_all(&mut records.slice(..whole)).expect("whole batches") {
            for record in set.records {
                assert_eq!(record.offset, next, "partition {partition} has a gap");
                assert_eq!(
                    record.value,
                    Some(value(partition, next)),
                    "partition {partition}, offset {next}"
                );
                next += 1;
            }
        }
    }
}

/// A whole batch in a segment or an answer: its offset and where it ends.
struct Span {
    offset: i64,
    start: usize,
    end: usize,
}

fn batches(bytes: &[u8]) -> Vec<Span> {
    const LENGTH_AT: usize = 8;
    const PREFIX_LEN: usize = 12;
    let mut found = Vec::new();
    let mut start = 0;
    while let Some(prefix) = bytes.get(start..start + PREFIX_LEN) {
        let offset = i64::from_be_bytes(prefix[..LENGTH_AT].try_into().expect("eight bytes"));
        let length = u32::from_be_bytes(prefix[LENGTH_AT..].try_into().expect("four bytes"));
        let end = start + PREFIX_LEN + length as usize;
        if end > bytes.len() || length == 0 {
            break;
        }
        found.push(Span { offset, start, end });
        start = end;
    }
    found
}

/// The recovery points in the checkpoint of the log directory.
fn recovery_points(log_dir: &Path) -> BTreeMap<usize, i64> {
    let text = fs::read_to_string(log_dir.join("recovery-point-offset-checkpoint")).unwrap_or_default();
    let entries = text.lines().filter_map(|line| line.strip_prefix(&format!("{TOPIC} "))?.split_once(' '));
    entries.filter_map(|(partition, offset)| Some((partition.parse().ok()?, offset.parse().ok()?))).collect()
}

struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).expect("below a usize")
    }
}

/// Truncates about half of the partition's segments that reach behind the recovery point, each at a random byte behind
/// it; gives the offset that the log must end at then.
fn truncate_half(segments: &[PathBuf], recovery_point: i64, dice: &mut Dice) -> Option<i64> {
    let mut end = None;
    for path in segments {
        let bytes = fs::read(path).expect("a segment");
        let unflushed: Vec<_> =
            batches(&bytes).into_iter().filter(|batch| batch.offset >= recovery_point).collect();
        let (Some(first), true) = (unflushed.first(), dice.below(2) == 0) else { continue };
        let mut at = first.start + dice.below(bytes.len() - first.start);
        // Between two batches, in the middle of a log, it would look like a gap that compaction left, to Kafka too.
        at += usize::from(unflushed.iter().any(|batch| batch.start == at));
        let file = OpenOptions::new().write(true).open(path).expect("a segment");
        file.set_len(at as u64).expect("a shorter segment");
        let cut = unflushed.iter().find(|batch| batch.end > at).map(|batch| batch.offset);
        end = end.or(cut);
    }
    end
}

#[test]
fn what_is_left_of_truncated_segments_is_a_prefix() {
    let seed = u64::try_from(now_ms()).expect("a time after 1970");
    println!("seed {seed}");
    let mut dice = Dice(seed | 1);
    let mut server = Setup::of(Target::chosen())
        .set("log.segment.bytes", "1048576")
        .set("log.initial.task.delay.ms", "0")
        .set("log.flush.offset.checkpoint.interval.ms", "100")
        .start();
    let create = server.tool("kafka-topics").args(["--create", "--topic", TOPIC]);
    create.args(["--partitions", &PARTITIONS.to_string()]).ok();
    let mut ends = vec![0; PARTITIONS];
    let mut cut_once = false;
    for round in 0..3 {
        let records = if round == 0 { RECORDS_MIN } else { RECORDS_MIN / 5 };
        let acknowledged = killed_under_load(&mut server, &ends, records);
        let points = recovery_points(&server.log_dir());
        let mut expected = Vec::new();
        for partition in 0..PARTITIONS {
            let mut segments =
                server.partition_files(TOPIC, i32::try_from(partition).expect("a small number"), ".log");
            segments.sort();
            let point = points.get(&partition).copied().unwrap_or(0);
            expected.push(if round == 2 { None } else { truncate_half(&segments, point, &mut dice) });
        }
        cut_once |= expected.iter().any(Option::is_some);
        let before = server.output().len();
        server.start();
        let said = server.output()[before..].to_owned();
        for (partition, cut) in expected.iter().enumerate() {
            let name = format!("{TOPIC}-{partition}");
            let end = read(&server, partition);
            match cut {
                Some(cut) => assert_eq!(end, *cut, "{name}, seed {seed}"),
                None => assert!(end >= acknowledged[partition], "{name} lost what was acknowledged: {end}"),
            }
            let told = said.lines().any(|line| line.contains("cut") && line.contains(&name));
            assert!(
                told || cut.is_none() || server.target() == Target::Kafka,
                "{name} was cut silently: {said}"
            );
            ends[partition] = end;
        }
        assert!(!said.contains("panicked"), "{said}");
    }
    assert!(cut_once, "no segment was truncated, seed {seed}");
}
