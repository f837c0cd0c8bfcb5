//! kafka-dump-log and the console formatters: the files on disk are Kafka's, to the byte.

use std::path::Path;

use milena_compat_tests::server::Setup;
use milena_compat_tests::{Server, Target, Tool, wait};

use super::{create, numbers, produce};

pub(crate) fn dump(files: &[impl AsRef<Path>], arguments: &str) -> String {
    let list: Vec<String> = files.iter().map(|file| file.as_ref().display().to_string()).collect();
    Tool::new("kafka-dump-log").args(["--files", &list.join(",")]).line(arguments).ok()
}

/// What the tool says of a file that is wrong.
const COMPLAINTS: &[&str] = &[
    "Found invalid bytes",
    "invalid",
    "Mismatches in",
    "mismatch",
    "Non-secutive",
    "Non-consecutive",
    "out of order",
    "Index timestamp",
    "isvalid: false",
    "CorruptIndexException",
    "Exception",
];

pub(crate) fn assert_clean(told: &str) {
    for complaint in COMPLAINTS {
        assert!(!told.contains(complaint), "{complaint:?} in {told}");
    }
}

/// The smallest segments that Kafka allows, and many index entries.
const SMALL_SEGMENTS: &str =
    "--partitions 1 --config segment.bytes=1048576 --config index.interval.bytes=500";

/// Lines of 400 letters that no codec makes much smaller.
fn noise(count: usize) -> String {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut text = String::with_capacity(count * 401);
    for _ in 0..count {
        for _ in 0..400 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            text.push(char::from(b'0' + (state % 64) as u8));
        }
        text.push('\n');
    }
    text
}

#[test]
fn segments_and_indexes_are_without_fault() {
    let mut server = Setup::of(Target::chosen()).start();
    create(&server, "dump", SMALL_SEGMENTS);
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let producer = server.tool("kafka-console-producer").line("--topic dump --batch-size 4000");
        producer.args(["--compression-codec", codec]).input(noise(5000)).ok();
    }
    // A broker at work keeps its newest indexes at their full size, which the tool takes for a fault.
    server.stop();
    assert_clean_files(&server, 25_000);
}

#[test]
fn segments_and_indexes_are_without_fault_after_stop_and_after_kill() {
    let mut server = Setup::of(Target::chosen()).start();
    create(&server, "dump", SMALL_SEGMENTS);
    let write = |server: &Server| {
        let producer = server.tool("kafka-console-producer").line("--topic dump --batch-size 4000");
        producer.input(noise(5000)).ok();
    };
    write(&server);
    server.stop();
    assert_clean_files(&server, 5000);
    server.start();
    write(&server);
    server.kill();
    server.start();
    write(&server);
    server.stop();
    assert_clean_files(&server, 15_000);
}

fn assert_clean_files(server: &Server, records: usize) {
    let logs = server.partition_files("dump", 0, ".log");
    assert!(logs.len() > 1, "the segments should have rolled: {logs:?}");
    let told = dump(&logs, "--deep-iteration --print-data-log --max-message-size 10000000");
    assert_clean(&told);
    let payloads = told.lines().filter(|line| line.contains(" payload: ")).count();
    assert_eq!(payloads, records);
    assert!(told.contains("isvalid: true"), "{told}");

    let indexes = server.partition_files("dump", 0, ".index");
    assert_eq!(indexes.len(), logs.len());
    assert_clean(&dump(&indexes, ""));
    let sane = dump(&indexes, "--index-sanity-check");
    assert_clean(&sane);
    assert_eq!(sane.matches("passed sanity check.").count(), indexes.len(), "{sane}");
    let entries = dump(&indexes, "--verify-index-only");
    assert_clean(&entries);

    let times = server.partition_files("dump", 0, ".timeindex");
    assert_eq!(times.len(), logs.len());
    let told = dump(&times, "");
    assert_clean(&told);
    assert!(told.contains("timestamp: "), "{told}");
    let sane = dump(&times, "--index-sanity-check");
    assert_eq!(sane.matches("passed sanity check.").count(), times.len(), "{sane}");
}

#[test]
fn batches_are_printed_as_they_were_sent() {
    let server = Server::shared();
    create(server, "dump-batch", "--partitions 1");
    produce(server, "dump-batch", "alpha\nbeta\n");
    let told = dump(&server.partition_files("dump-batch", 0, ".log"), "--print-data-log");
    assert!(told.contains("Log starting offset: 0"), "{told}");
    let batch = told.lines().find(|line| line.starts_with("baseOffset: 0 ")).expect("a batch");
    for part in [
        "lastOffset: 1 count: 2 baseSequence: 0 lastSequence: 1 ",
        "producerEpoch: 0 partitionLeaderEpoch: 0 isTransactional: false isControl: false ",
        "position: 0 ",
        "magic: 2 compresscodec: none ",
        "isvalid: true",
    ] {
        assert!(batch.contains(part), "{part} in {batch}");
    }
    assert!(told.contains("payload: alpha") && told.contains("payload: beta"), "{told}");
}

#[test]
fn a_producer_snapshot_is_readable_after_a_clean_stop() {
    let mut server = Setup::of(Target::chosen()).start();
    create(&server, "dump-snapshot", "--partitions 1");
    produce(&server, "dump-snapshot", &numbers(7));
    server.stop();
    let told = dump(&server.partition_files("dump-snapshot", 0, ".snapshot"), "");
    let entry = told.lines().find(|line| line.starts_with("producerId: ")).expect("a producer");
    assert!(
        entry.contains("producerEpoch: 0") && entry.contains("currentTxnFirstOffset: OptionalLong.empty"),
        "{entry}"
    );
    assert!(entry.contains("lastSequence: 6"), "{entry}");
}

/// The one partition of `__consumer_offsets` that holds the group.
pub(crate) fn group_logs(server: &Server) -> Vec<std::path::PathBuf> {
    let partitions = std::fs::read_dir(server.log_dir()).expect("the log directory");
    let mut logs: Vec<std::path::PathBuf> = partitions
        .map(|entry| entry.expect("a readable directory").path())
        .filter(|path| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("__consumer_offsets-"))
        })
        .map(|path| path.join("00000000000000000000.log"))
        .filter(|path| std::fs::metadata(path).is_ok_and(|metadata| metadata.len() > 0))
        .collect();
    logs.sort();
    logs
}

/// What a formatter of the console consumer makes of `__consumer_offsets`.
pub(crate) fn formatted(server: &Server, formatter: &str) -> String {
    let tool = server.tool("kafka-console-consumer").line(
        "--topic __consumer_offsets --from-beginning --timeout-ms 5000 --command-property \
         exclude.internal.topics=false --formatter",
    );
    tool.arg(&format!("org.apache.kafka.tools.consumer.{formatter}")).run().text()
}

#[test]
fn group_records_are_decoded_from_the_log_and_by_the_console_formatters() {
    let server = Setup::of(Target::chosen()).start();
    create(&server, "dump-group", "--partitions 1");
    produce(&server, "dump-group", &numbers(10));
    let consumer = server.tool("kafka-console-consumer");
    consumer.line("--topic dump-group --group dump-g --from-beginning --max-messages 6").ok();

    let told = wait::until_like(
        wait::PATIENCE,
        "the group's records in the log",
        || dump(&group_logs(&server), "--offsets-decoder --print-data-log"),
        |told| told.contains(r#""offset":6"#),
    );
    assert_clean(&told);
    for part in [
        r#"{"type":"1","data":{"group":"dump-g","topic":"dump-group","partition":0}}"#,
        r#""metadata":"","commitTimestamp":"#,
        r#"{"type":"2","data":{"group":"dump-g"}}"#,
        r#""protocolType":"consumer""#,
        r#""protocol":"range""#,
    ] {
        assert!(told.contains(part), "{part} in {told}");
    }

    let offsets = formatted(&server, "OffsetsMessageFormatter");
    assert!(offsets.contains(r#""group":"dump-g","topic":"dump-group","partition":0"#), "{offsets}");
    assert!(offsets.contains(r#""offset":6"#), "{offsets}");
    let groups = formatted(&server, "GroupMetadataMessageFormatter");
    assert!(
        groups.contains(r#""group":"dump-g""#) && groups.contains(r#""protocolType":"consumer""#),
        "{groups}"
    );
}
