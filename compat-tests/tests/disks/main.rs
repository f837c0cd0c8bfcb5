//! Disks that fill up or fail, and several of them: what is refused, what goes on, and what clients are told.
//!
//! A test here must never break a disk that is not its own.

mod moved;

use std::fs;
use std::path::Path;
use std::process::Command;

use bytes::Bytes;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    BrokerId, DescribeLogDirsRequest, FetchRequest, MetadataRequest, MetadataResponse, ProduceRequest,
    TopicName,
};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::{Record, RecordBatchDecoder};
use milena_compat_tests::server::{Setup, Target};
use milena_compat_tests::wire::{Wire, batch, record};
use milena_compat_tests::{Server, paths, wait};

const STORAGE_ERROR: i16 = 56;
const LEADER_NOT_AVAILABLE: i16 = 5;

fn name(topic: &str) -> TopicName {
    TopicName(StrBytes::from_string(topic.to_owned()))
}

fn one_record(topic: &str, partition: i32, value: Vec<u8>) -> ProduceRequest {
    let batch = batch([Record { value: Some(Bytes::from(value)), ..record("") }]);
    let data = PartitionProduceData::default().with_index(partition).with_records(Some(batch));
    let topic = TopicProduceData::default().with_name(name(topic)).with_partition_data(vec![data]);
    ProduceRequest::default().with_acks(1).with_timeout_ms(30_000).with_topic_data(vec![topic])
}

/// The error code and base offset that one record gets.
fn produce(server: &Server, topic: &str, partition: i32, value: Vec<u8>) -> (i16, i64) {
    let answer =
        &server.wire().call(9, &one_record(topic, partition, value)).responses[0].partition_responses[0];
    (answer.error_code, answer.base_offset)
}

/// The error code, and the offset and first byte of every record.
fn read(server: &Server, topic: &str, partition: i32) -> (i16, Vec<(i64, u8)>) {
    let mut found: Vec<(i64, u8)> = Vec::new();
    loop {
        let next = found.last().map_or(0, |(offset, _)| offset + 1);
        let asked = FetchPartition::default()
            .with_partition(partition)
            .with_fetch_offset(next)
            .with_partition_max_bytes(1 << 20);
        let topic = FetchTopic::default().with_topic(name(topic)).with_partitions(vec![asked]);
        let request = FetchRequest::default()
            .with_replica_id(BrokerId(-1))
            .with_max_bytes(1 << 20)
            .with_topics(vec![topic]);
        let answer = server.wire().call(11, &request);
        let answer = &answer.responses[0].partitions[0];
        let mut bytes = whole_batches(answer.records.clone().unwrap_or_default());
        if bytes.is_empty() {
            return (answer.error_code, found);
        }
        for set in RecordBatchDecoder::decode_all(&mut bytes).expect("whole batches") {
            let tag = |record: &Record| record.value.as_ref().and_then(|value| value.first().copied());
            found.extend(set.records.iter().map(|record| (record.offset, tag(record).expect("a value"))));
        }
    }
}

/// Without the last batch if the limit cut it.
fn whole_batches(bytes: Bytes) -> Bytes {
    const BEFORE_LENGTH: usize = 8;
    const WITH_LENGTH: usize = 12;
    let mut end = 0;
    while let Some(length) = bytes.get(end + BEFORE_LENGTH..end + WITH_LENGTH) {
        let length = u32::from_be_bytes(length.try_into().expect("four bytes")) as usize;
        if end + WITH_LENGTH + length > bytes.len() {
            break;
        }
        end += WITH_LENGTH + length;
    }
    bytes.slice(..end)
}

fn metadata(server: &Server, topic: &str) -> MetadataResponse {
    let topic = MetadataRequestTopic::default().with_name(Some(name(topic)));
    server.wire().call(9, &MetadataRequest::default().with_topics(Some(vec![topic])))
}

#[test]
fn a_full_disk_refuses_what_is_new_and_keeps_what_is_there() {
    let own = paths::scratch("disk");
    let (disk, metadata) = (own.path().join("disk"), own.path().join("metadata"));
    for dir in [&disk, &metadata] {
        fs::create_dir(dir).expect("a scratch directory");
    }
    let server = Setup::of(Target::Milena)
        .small_disk(&disk, 8)
        .set("log.dirs", &disk.display().to_string())
        .set("metadata.log.dir", &metadata.display().to_string())
        .start();
    server.tool("kafka-topics").line("--create --topic t --partitions 2").ok();
    let mut kept = Vec::new();
    let refused = loop {
        let tag = u8::try_from(kept.len() % 251).expect("below 251");
        match produce(&server, "t", 0, vec![tag; 100_000]) {
            (0, offset) => kept.push((offset, tag)),
            (code, _) => break code,
        }
        assert!(kept.len() < 200, "the disk has 8 MiB");
    };
    assert_eq!(refused, STORAGE_ERROR);
    // A filler takes the rest, so that not even a small record fits.
    let filler = server.inside(&disk).join("filler");
    let filled =
        Command::new("dd").args(["if=/dev/zero", "bs=4096"]).arg(format!("of={}", filler.display())).output();
    assert!(!filled.expect("dd starts").status.success(), "the disk is full now");
    for _ in 0..3 {
        assert_eq!(produce(&server, "t", 0, vec![255; 20_000]).0, STORAGE_ERROR);
        assert_eq!(produce(&server, "t", 1, vec![255; 20_000]).0, STORAGE_ERROR);
        assert_eq!(read(&server, "t", 0), (0, kept.clone()));
    }
    fs::remove_file(&filler).expect("the filler is ours");
    for tag in [7, 8, 9] {
        let (code, offset) = produce(&server, "t", 0, vec![tag; 5000]);
        assert_eq!(code, 0, "there is room again");
        kept.push((offset, tag));
        assert_eq!(produce(&server, "t", 1, vec![tag; 5000]).0, 0);
    }
    assert_eq!(read(&server, "t", 0), (0, kept.clone()));
    assert_eq!(read(&server, "t", 1).1, [(0, 7), (1, 8), (2, 9)]);
    assert!(kept.iter().zip(0..).all(|((offset, _), expected)| *offset == expected), "no offset was lost");
}

/// Numbers that spread over their range (SplitMix64).
fn chance(seed: &mut u64, below: u64) -> u64 {
    *seed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mixed = (*seed ^ (*seed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    (mixed ^ (mixed >> 27)) % below
}

#[test]
fn segments_cut_at_random_places_leave_a_consistent_prefix() {
    let mut seed = std::env::var("MILENA_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(20_261_125);
    let mut server = Setup::of(Target::Milena).start();
    server.tool("kafka-topics").line("--create --topic t --partitions 4 --config segment.bytes=1048576").ok();
    for round in 0..3 {
        println!("round {round}, seed {seed}");
        let mut kept: Vec<Vec<(i64, u8)>> = (0..4).map(|partition| read(&server, "t", partition).1).collect();
        for number in 0..120 {
            for partition in 0..4 {
                let tag = u8::try_from(chance(&mut seed, 251)).expect("below 251");
                let (code, offset) = produce(&server, "t", partition, vec![tag; 40_000]);
                assert_eq!(code, 0, "record {number} of {partition}");
                kept[usize::try_from(partition).expect("small")].push((offset, tag));
            }
        }
        server.kill();
        // Nothing was flushed yet, so that every byte is past the recovery point.
        let mut cut = 0;
        for partition in 0..4 {
            for path in server.partition_files("t", partition, ".log") {
                let len = fs::metadata(&path).expect("a segment").len();
                if len > 0 && chance(&mut seed, 2) == 0 {
                    let file = fs::File::options().write(true).open(&path).expect("a segment");
                    file.set_len(chance(&mut seed, len)).expect("a segment");
                    cut += 1;
                }
            }
        }
        assert!(cut > 0);
        let before = server.output().len();
        server.start();
        let said = server.output()[before..].to_owned();
        assert!(
            !said.contains("panicked") && said.contains("recovering logs after an unclean stop"),
            "{said}"
        );
        for (partition, kept) in (0..4).zip(&kept) {
            let (code, left) = read(&server, "t", partition);
            assert_eq!(code, 0);
            assert_eq!(left[..], kept[..left.len()], "a prefix of {partition}, seed {seed}");
            assert_eq!(produce(&server, "t", partition, vec![1]), (0, left.len() as i64), "it goes on there");
        }
    }
}

/// A broker with two log directories and its metadata elsewhere.
fn two_dirs(own: &Path, target: Target) -> Server {
    let dirs = [own.join("one"), own.join("two")].map(|dir| dir.display().to_string());
    Setup::of(target)
        .set("log.dirs", &dirs.join(","))
        .set("metadata.log.dir", &own.join("metadata").display().to_string())
        .start()
}

/// The partitions in a directory, by name.
fn partitions_in(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).expect("a log directory");
    let names = entries.map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned());
    let mut names: Vec<_> =
        names.filter(|name| name.rsplit_once('-').is_some_and(|(t, _)| t == "t")).collect();
    names.sort();
    names
}

/// Puts a file in the place of a directory, so that nothing can be opened or made in it any more.
fn break_dir(dir: &Path) {
    fs::rename(dir, dir.with_extension("broken")).expect("a directory of ours");
    fs::write(dir, b"").expect("a directory of ours");
}

/// Produces to a partition until a new segment cannot be made.
fn produce_until_refused(server: &Server, partition: i32) -> i16 {
    wait::until(wait::PATIENCE, "the directory's failure is noticed", || {
        let (code, _) = produce(server, "t", partition, vec![1; 300_000]);
        (code != 0).then_some(code)
    })
}

#[test]
fn a_failed_directory_goes_offline_and_the_others_serve_on() {
    let own = paths::scratch("disks");
    let mut server = two_dirs(own.path(), Target::Milena);
    server.tool("kafka-topics").line("--create --topic t --partitions 6 --config segment.bytes=1048576").ok();
    let (one, two) = (own.path().join("one"), own.path().join("two"));
    assert_eq!((partitions_in(&one).len(), partitions_in(&two).len()), (3, 3), "the fewest get the next");
    for partition in 0..6 {
        assert_eq!(produce(&server, "t", partition, vec![9; 100]), (0, 0));
    }
    let of =
        |name: &String| name.rsplit_once('-').and_then(|(_, n)| n.parse::<i32>().ok()).expect("a number");
    let good: Vec<i32> = partitions_in(&one).iter().map(of).collect();
    let bad: Vec<i32> = partitions_in(&two).iter().map(of).collect();
    break_dir(&two);
    assert_eq!(produce_until_refused(&server, bad[0]), STORAGE_ERROR);
    let check = |server: &Server, good_records: usize| {
        for partition in &bad {
            assert_eq!(produce(server, "t", *partition, vec![2]).0, STORAGE_ERROR, "{partition}");
            assert_eq!(read(server, "t", *partition).0, STORAGE_ERROR, "{partition}");
        }
        for partition in &good {
            assert_eq!(produce(server, "t", *partition, vec![2]).0, 0, "{partition}");
            assert_eq!(read(server, "t", *partition).1.len(), good_records, "{partition}");
        }
        for partition in &metadata(server, "t").topics[0].partitions {
            let lost = bad.contains(&partition.partition_index);
            let expected = if lost { (LEADER_NOT_AVAILABLE, -1, 1) } else { (0, 1, 0) };
            let told = (partition.error_code, partition.leader_id.0, partition.offline_replicas.len());
            assert_eq!(told, expected, "{partition:?}");
        }
        let dirs = server.wire().call(4, &DescribeLogDirsRequest::default().with_topics(None)).results;
        let told: Vec<_> = dirs.iter().map(|dir| (dir.error_code, dir.topics.is_empty())).collect();
        assert_eq!(told, [(0, false), (STORAGE_ERROR, true)]);
    };
    check(&server, 2);
    // A start finds the directory as bad, and makes no empty partitions in the place of the lost ones.
    let _ = server.stop();
    server.start();
    check(&server, 3);
    server.tool("kafka-topics").line("--create --topic new --partitions 2").ok();
    assert_eq!(produce(&server, "new", 1, vec![3]), (0, 0), "new partitions go where they can");
    let _ = server.stop();
    fs::remove_file(&two).expect("ours");
    fs::rename(two.with_extension("broken"), &two).expect("ours");
    server.start();
    for partition in bad {
        let (code, records) = read(&server, "t", partition);
        assert_eq!((code, records.first()), (0, Some(&(0, 9))), "the repaired directory serves again");
        assert_eq!(produce(&server, "t", partition, vec![4]).0, 0);
    }
}

#[test]
fn a_broker_without_any_good_directory_ends() {
    let own = paths::scratch("disks");
    let mut server = two_dirs(own.path(), Target::Milena);
    server.tool("kafka-topics").line("--create --topic t --partitions 2 --config segment.bytes=1048576").ok();
    let (one, two) = (own.path().join("one"), own.path().join("two"));
    break_dir(&one);
    break_dir(&two);
    let status = wait::until(wait::PATIENCE, "the broker's end", || {
        for partition in [0, 1] {
            // It may end at any moment.
            let wire = Wire::try_connect(server.address());
            let _ = wire.and_then(|mut wire| wire.try_call(9, &one_record("t", partition, vec![1; 300_000])));
        }
        server.ended()
    });
    assert!(!status.success(), "{status}");
    assert!(server.output().contains("have failed"), "{}", server.output());
}
