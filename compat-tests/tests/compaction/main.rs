//! Log compaction as users see it: the official torture test, the files that it leaves, and logs that move between
//! Milena and Kafka.
//!
//! A test here must never pass on a log that was not compacted: each waits for the cleaner's checkpoint or counts records.

mod files;
mod transactions;

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use milena_compat_tests::dice::is_long;
use milena_compat_tests::server::Setup;
use milena_compat_tests::{Server, Target, Tool, wait};

/// A tool that writes and reads a hundred thousand records, on a busy machine.
const TESTER_PATIENCE: Duration = Duration::from_secs(240);

/// A broker that closes segments soon and cleans whatever is dirty.
fn setup(target: Target) -> Setup {
    Setup::of(target)
        .set("log.segment.bytes", "1048576")
        .set("log.cleaner.backoff.ms", "200")
        .set("log.cleaner.min.cleanable.ratio", "0.01")
        .set("log.cleaner.dedupe.buffer.size", "8388608")
        .set("log.cleaner.threads", "2")
        .set("log.index.interval.bytes", "1000")
}

/// The percentage in "12 rows of data produced, 3 rows of data consumed (75.0% reduction)."
fn reduction(said: &str) -> f64 {
    let (_, after) = said.split_once(" consumed (").expect("the tool counts rows");
    after.split('%').next().and_then(|number| number.parse().ok()).expect("a percentage")
}

fn tester_passes(codec: &str) {
    let server = setup(Target::chosen()).start();
    // So many that each topic fills several segments with every codec.
    let tool = server.tool("log-compaction-tester").own_process().patience(TESTER_PATIENCE);
    let tool = tool.line("--messages 150000 --duplicates 20 --topics 2 --percent-deletes 20 --sleep 3");
    let said = tool.args(["--compression-type", codec]).ok();
    assert!(said.contains(" 0 mismatches."), "{said}");
    assert!(said.contains("Data verification is completed"), "{said}");
    assert!(reduction(&said) > 20.0, "the logs should have been compacted: {said}");
}

#[test]
fn the_compaction_tester_passes_without_compression() {
    tester_passes("none");
}

/// Half a minute each on a busy machine, and the log treats all codecs alike, so the short form takes one of them.
#[test]
fn the_compaction_tester_passes_with_compression() {
    let codecs = if is_long() { ["zstd", "gzip", "snappy", "lz4"].as_slice() } else { &["zstd"] };
    codecs.iter().for_each(|codec| tester_passes(codec));
}

/// Records `key:value` for the console producer; every value is long and its own.
fn lines(round: usize, keys: usize) -> String {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ round as u64;
    let mut text = String::new();
    for key in 0..keys {
        text.push_str(&format!("key {key}:round {round} "));
        for _ in 0..300 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            text.push(char::from(b'0' + (state % 64) as u8));
        }
        text.push('\n');
    }
    text
}

fn produce(server: &Server, topic: &str, text: String) {
    let tool = server.tool("kafka-console-producer").args(["--topic", topic]).input(text);
    tool.line("--reader-property parse.key=true --reader-property key.separator=:").ok();
}

/// Each key with the start of its last value, and how many records were read.
fn last_values(server: &Server, topic: &str) -> (BTreeMap<String, String>, usize) {
    let tool = server.tool("kafka-console-consumer").args([
        "--topic",
        topic,
        "--partition",
        "0",
        "--offset",
        "earliest",
    ]);
    let tool = tool.line("--formatter-property print.key=true --formatter-property key.separator=:");
    let said = tool.line("--timeout-ms 6000 --isolation-level read_committed").run().text();
    let pairs = said.lines().filter_map(|line| line.split_once(':'));
    let value = |value: &str| value.split(' ').take(2).collect::<Vec<_>>().join(" ");
    let pairs: Vec<_> = pairs.map(|(key, text)| (key.to_owned(), value(text))).collect();
    (pairs.iter().cloned().collect(), pairs.len())
}

/// The first dirty offset in the cleaner's checkpoint.
fn first_dirty(server: &Server, topic: &str) -> Option<u64> {
    let text = fs::read_to_string(server.log_dir().join("cleaner-offset-checkpoint")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{topic} 0 ")))?.to_owned();
    line.parse().ok()
}

fn await_cleaned(server: &Server, topic: &str, up_to: u64) {
    wait::until(wait::PATIENCE, "the cleaner's checkpoint", || {
        first_dirty(server, topic).filter(|offset| *offset >= up_to)
    });
}

/// Writes ten rounds of 1,000 keys, 3 MB, and waits until most of it was cleaned.
fn filled(server: &Server, topic: &str) {
    let create = server.tool("kafka-topics").args(["--create", "--topic", topic]);
    create.line("--partitions 1 --config cleanup.policy=compact").ok();
    for round in 0..10 {
        produce(server, topic, lines(round, 1000));
    }
    await_cleaned(server, topic, 5000);
}

fn dump(files: &[PathBuf], arguments: &str) -> String {
    let list: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    Tool::new("kafka-dump-log").args(["--files", &list.join(",")]).line(arguments).ok()
}

/// What the tool says of a file that is wrong. Gaps between offsets are what compaction is for.
const COMPLAINTS: &[&str] = &[
    "Found invalid bytes",
    "isvalid: false",
    "Mismatches in",
    "mismatch",
    "out of order",
    "Index timestamp",
    "Exception",
];

fn assert_sound(server: &Server, topic: &str, records_left: Range<usize>) {
    // A segment of which little or nothing is left has empty indexes until a cleaning joins it with its neighbour.
    let files = |ending| {
        let mut files = server.partition_files(topic, 0, ending);
        files.retain(|file| fs::metadata(file).is_ok_and(|metadata| metadata.len() > 0));
        files
    };
    let (logs, indexes, times) = (files(".log"), files(".index"), files(".timeindex"));
    let said = [
        dump(&logs, "--deep-iteration --print-data-log --max-message-size 10000000"),
        dump(&indexes, "--index-sanity-check") + &dump(&indexes, "--verify-index-only") + &dump(&indexes, ""),
        dump(&times, "--index-sanity-check") + &dump(&times, ""),
    ];
    for text in &said {
        for complaint in COMPLAINTS {
            let line = text.lines().find(|line| line.contains(complaint));
            assert!(line.is_none(), "{complaint:?}: {line:?}");
        }
    }
    assert_eq!(said[1].matches("passed sanity check.").count(), indexes.len(), "{}", said[1]);
    assert_eq!(said[2].matches("passed sanity check.").count(), times.len(), "{}", said[2]);
    assert!(logs.len() > 1 && !indexes.is_empty() && !times.is_empty());
    let records = said[0].lines().filter(|line| line.contains(" payload: ")).count();
    assert!(records_left.contains(&records), "{records} records are left");
}

#[test]
fn compacted_segments_and_their_indexes_are_without_fault() {
    let mut server = setup(Target::chosen()).start();
    filled(&server, "sound");
    server.stop();
    assert_sound(&server, "sound", 1000..9000);
    let left = fs::read_dir(server.log_dir().join("sound-0")).expect("the partition");
    let names =
        left.map(|entry| entry.expect("a readable folder").file_name().to_string_lossy().into_owned());
    let unfinished: Vec<_> =
        names.filter(|name| name.ends_with(".cleaned") || name.ends_with(".swap")).collect();
    assert!(unfinished.is_empty(), "{unfinished:?}");
}

#[test]
fn the_offsets_topic_is_compacted_and_groups_know_their_offsets_afterwards() {
    let mut server = setup(Target::chosen())
        .set("offsets.topic.num.partitions", "1")
        .set("offsets.topic.segment.bytes", "1048576")
        .start();
    server.tool("kafka-topics").line("--create --topic read --partitions 400").ok();
    let tool = |server: &Server, line: &str| server.tool("kafka-consumer-groups").line(line).ok();
    // Each reset commits 400 offsets; some thirty fill a segment.
    let reset = |group: &str| format!("--reset-offsets --group {group} --topic read --to-earliest --execute");
    wait::until(TESTER_PATIENCE, "commits that fill a segment and are cleaned", || {
        for _ in 0..10 {
            tool(&server, &reset("kept"));
        }
        first_dirty(&server, "__consumer_offsets").filter(|offset| *offset > 0)
    });
    tool(&server, &reset("deleted"));
    tool(&server, "--delete --group deleted");
    server.kill();
    server.start();
    // Kafka lists what it has loaded so far.
    let groups = wait::until_like(
        wait::PATIENCE,
        "the group is loaded",
        || tool(&server, "--list"),
        |groups| groups.contains("kept"),
    );
    assert!(!groups.contains("deleted"), "{groups}");
    let told = tool(&server, "--describe --group kept --offsets");
    assert_eq!(
        told.lines().filter(|line| line.split_whitespace().nth(3) == Some("0")).count(),
        400,
        "{told}"
    );
}

fn copy_files(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("the partition that was written") {
        let path = entry.expect("a readable folder").path();
        let name = path.file_name().expect("a file").to_owned();
        // The topic has another id there.
        if name != "partition.metadata" {
            fs::copy(&path, to.join(name)).expect("a writable folder");
        }
    }
}

/// A log that `from` compacted is read and compacted further by `to`, after a clean stop or a crash.
fn moves(from: Target, to: Target, crash: bool) {
    let mut writer = setup(from).start();
    filled(&writer, "moved");
    let (before, count) = last_values(&writer, "moved");
    assert_eq!(before.len(), 1000);
    assert!(before.values().all(|value| value == "round 9") && count < 9000, "{count} records");
    writer.stop();

    let mut reader = setup(to).start();
    let create = reader.tool("kafka-topics").line("--create --topic moved --partitions 1");
    create.line("--config cleanup.policy=compact").ok();
    reader.stop();
    let place = reader.log_dir().join("moved-0");
    for entry in fs::read_dir(&place).expect("the topic's partition") {
        let path = entry.expect("a readable folder").path();
        if path.file_name().is_some_and(|name| name != "partition.metadata") {
            fs::remove_file(path).expect("a file of the partition");
        }
    }
    copy_files(&writer.log_dir().join("moved-0"), &place);
    if crash {
        // Everything is checked then, batch by batch.
        let marker = reader.log_dir().join(".kafka_cleanshutdown");
        fs::remove_file(marker).expect("a clean stop leaves its marker");
        fs::remove_file(reader.log_dir().join("recovery-point-offset-checkpoint")).expect("a checkpoint");
    }
    reader.start();
    let (moved, left) = last_values(&reader, "moved");
    assert_eq!(moved, before);
    // Both cleaners may have gone on since.
    assert!(left <= count, "{left} records, {count} before");
    for round in 10..13 {
        produce(&reader, "moved", lines(round, 1000));
    }
    await_cleaned(&reader, "moved", 10_000);
    let (after, _) = last_values(&reader, "moved");
    assert!(after.len() == 1000 && after.values().all(|value| value == "round 12"), "{after:?}");
    reader.stop();
    assert_sound(&reader, "moved", 1000..9000);
}

#[test]
fn kafka_goes_on_with_a_log_that_was_compacted_here() {
    moves(Target::chosen(), Target::Kafka, false);
}

#[test]
fn kafka_recovers_a_log_that_was_compacted_here() {
    moves(Target::chosen(), Target::Kafka, true);
}

#[test]
fn a_log_that_kafka_compacted_goes_on_here() {
    moves(Target::Kafka, Target::chosen(), false);
}

#[test]
fn a_log_that_kafka_compacted_is_recovered_here() {
    moves(Target::Kafka, Target::chosen(), true);
}
