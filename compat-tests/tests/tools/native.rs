//! Kafka's commands of the binary itself, next to the official ones: the same commands, one broker each, and what both
//! write to stdout and end with must be equal, but for what is random.
//!
//! A script must never depend on the time of the day; ids and ports are masked, nothing else.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use milena_compat_tests::server::Setup;
use milena_compat_tests::{Server, Target, dice, paths, port};
use tempfile::TempDir;

/// One command: the tool, its arguments behind `--bootstrap-server`, and its input.
pub(super) type Step<'a> = (&'a str, &'a str, &'a str);

/// The binary under the names of the tools.
static TOOLS: LazyLock<TempDir> = LazyLock::new(|| paths::scratch("native-tools"));

pub(super) struct Ended {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

/// Where a tool of our own is.
pub(super) fn program(tool: &str) -> PathBuf {
    let program = TOOLS.path().join(format!("{tool}.sh"));
    // Another test may have made it.
    let _ = std::os::unix::fs::symlink(paths::milena(), &program);
    program
}

/// The words of a line; a part in single quotes is one word.
pub(super) fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (index, part) in line.split('\'').enumerate() {
        if index % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}

/// One command with our own tool.
pub(super) fn native(server: &Server, (tool, line, input): Step<'_>) -> Ended {
    let mut arguments = Vec::new();
    if !line.contains("--bootstrap-") {
        arguments.extend(["--bootstrap-server".to_owned(), server.bootstrap()]);
    }
    arguments.extend(words(line));
    run(tool, &arguments, input)
}

/// A tool of our own with these arguments and this input.
pub(super) fn run(tool: &str, arguments: &[String], input: &str) -> Ended {
    // One that does not end by itself is ended, and its exit code tells.
    let mut command = Command::new("timeout");
    command.arg("60").arg(program(tool)).args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary starts");
    // One that refuses its options does not read.
    let _ = child.stdin.take().expect("a pipe was asked for").write_all(input.as_bytes());
    let output = child.wait_with_output().expect("the child is ours");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ended {
        status: output.status.code().unwrap_or(-1),
        stdout: text(&output.stdout),
        stderr: text(&output.stderr),
    }
}

/// One command with Kafka's tool.
pub(super) fn official(server: &Server, (tool, line, input): Step<'_>) -> Ended {
    let called =
        if line.contains("--bootstrap-") { milena_compat_tests::Tool::new(tool) } else { server.tool(tool) };
    let transcript = called.args(words(line)).input(input).run();
    Ended {
        status: transcript.status,
        // Where the tools share a JVM, this one takes the runner's way to end a call for a failure.
        stdout: transcript
            .text()
            .replace("\nError: Executing consumer group command failed due to exit\n", ""),
        stderr: String::from_utf8_lossy(&transcript.stderr).into_owned(),
    }
}

/// The server's address, and everything of 22 characters that may be an id.
fn masked(text: &str, server: &Server) -> String {
    let port = server.address().port().to_string();
    let dir = server.log_dir().display().to_string();
    let text = sizeless(&text.replace(&port, "PORT").replace(&dir, "DIR"));
    let text = timeless(&text);
    let mut masked = String::new();
    for piece in text.split_inclusive(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_') {
        let word = piece.trim_end_matches(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_');
        if word.len() == 22 && word.bytes().any(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit()) {
            masked.push_str("ID");
            masked.push_str(&piece[22..]);
        } else {
            masked.push_str(piece);
        }
    }
    masked
}

/// Times in milliseconds have thirteen digits.
fn timeless(text: &str) -> String {
    let mut timeless = String::new();
    for piece in text.split_inclusive(|c: char| !c.is_ascii_digit()) {
        let digits = piece.trim_end_matches(|c: char| !c.is_ascii_digit());
        timeless.push_str(if digits.len() == 13 { "TIME" } else { digits });
        timeless.push_str(&piece[digits.len()..]);
    }
    timeless
}

/// How many batches lines become, and so what they take, is a matter of time.
fn sizeless(text: &str) -> String {
    let mut parts = text.split("\"size\":");
    let mut sizeless = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        sizeless.push_str("\"size\":");
        sizeless.push_str(part.trim_start_matches(|c: char| c.is_ascii_digit()));
    }
    sizeless
}

/// Runs a script with the official tools on one broker, and with our own on another.
fn compare(script: &[Step<'_>]) {
    let start = || Setup::of(Target::chosen()).set("group.initial.rebalance.delay.ms", "0").start();
    let (ours, theirs) = (start(), start());
    let mut differences = String::new();
    for &step in script {
        let (own, wanted) = (native(&ours, step), official(&theirs, step));
        let same =
            own.status == wanted.status && masked(&own.stdout, &ours) == masked(&wanted.stdout, &theirs);
        if !same {
            let _ = writeln!(
                differences,
                "$ {} {}\n--- Kafka's, exit code {}\n{}--- ours, exit code {}\n{}--- Kafka's stderr\n{}--- our stderr\n{}",
                step.0,
                step.1,
                wanted.status,
                wanted.stdout,
                own.status,
                own.stdout,
                wanted.stderr,
                own.stderr
            );
        }
    }
    assert!(differences.is_empty(), "{differences}");
}

/// The short script, and the rest where `MILENA_LONG=1` asks for it.
fn compare_with(short: &[Step<'_>], long: &[Step<'_>]) {
    let long = if dice::is_long() { long } else { &[] };
    compare(&[short, long].concat());
}

const T: &str = "kafka-topics";

#[test]
fn topics() {
    compare_with(
        &[
            (T, "--list", ""),
            (
                T,
                "--create --topic alpha --partitions 3 --config retention.ms=3600000 --config cleanup.policy=compact,delete",
                "",
            ),
            (T, "--create --topic alpha", ""),
            (T, "--create --topic alpha --if-not-exists", ""),
            (T, "--create --topic be.ta --replica-assignment 1,1", ""),
            (T, "--create --topic bad --config nonsense=1", ""),
            (T, "--create --topic bad --config retention.ms=x", ""),
            (T, "--create --topic bad --partitions x", ""),
            (T, "--create --topic bad --replication-factor 3", ""),
            (T, "--list", ""),
            (T, "--describe", ""),
            (T, "--describe --topic gamma", ""),
            (T, "--describe --topic gamma --if-exists", ""),
            (T, "--describe --topics-with-overrides", ""),
            (T, "--describe --at-min-isr-partitions", ""),
            (T, "--describe --under-replicated-partitions", ""),
            (T, "--alter --topic alpha --partitions 5", ""),
            (T, "--alter --topic alpha --partitions 5", ""),
            (T, "--delete --topic be.*", ""),
            (T, "--delete --topic be.ta", ""),
            (T, "--list --topic 'alpha,be.ta'", ""),
        ],
        &[
            (T, "--create --topic bad --config nonsense", ""),
            (T, "--create --topic bad --partitions 0", ""),
            (T, "--create --topic bad --replication-factor 0", ""),
            (T, "--create --topic bad --replication-factor 40000", ""),
            (T, "--create --topic bad --replica-assignment 1:1", ""),
            (T, "--create --topic bad --replica-assignment 1,1:2", ""),
            (T, "--create --topic bad --replica-assignment 1:2", ""),
            (T, "--create --topic bad --replica-assignment x", ""),
            (T, "--create --topic b/d", ""),
            (T, "--create --topic a_b", ""),
            (T, "--create --topic bad --config cleanup.policy=x", ""),
            (T, "--create --topic bad --config min.compaction.lag.ms=2 --config max.compaction.lag.ms=1", ""),
            (T, "--create --topic e1 --partitions 2", ""),
            (T, "--create --topic e2 --partitions 2", ""),
            (
                T,
                "--create --topic e3 --config segment.bytes=1048576 --config retention.ms=1 --config index.interval.bytes=1",
                "",
            ),
            (T, "--describe --exclude-internal", ""),
            (T, "--describe --topic e. --unavailable-partitions", ""),
            (T, "--describe --topic e. --under-min-isr-partitions", ""),
            (T, "--describe --topic e. --partition-size-limit-per-response 1", ""),
            (T, "--describe --topic-id AAAAAAAAAAAAAAAAAAAAAQ", ""),
            (T, "--describe --topic-id AAAAAAAAAAAAAAAAAAAABQ --if-exists", ""),
            (T, "--describe --topic-id AAAAAAAAAAAAAAAAAAAABQ --topic e1 --if-exists", ""),
            (T, "--describe --topic '['", ""),
            (T, "--alter --topic alpha --partitions 2", ""),
            (T, "--alter --topic alpha", ""),
            (T, "--alter --topic nope --partitions 2", ""),
            (T, "--alter --topic nope --partitions 2 --if-exists", ""),
            (T, "--alter --topic e1 --partitions 3 --replica-assignment 1,1,1", ""),
            (T, "--delete --topic e1 --if-exists --delete-config x", ""),
            (T, "--delete", ""),
            (T, "--create --topic x --topic y", ""),
            (T, "--help", ""),
            (T, "--version", ""),
            (T, "--nonsense", ""),
            (T, "--describe --topic alpha --topics-with-overrides --under-min-isr-partitions", ""),
        ],
    );
}

const P: &str = "kafka-console-producer";
const C: &str = "kafka-console-consumer";
const G: &str = "kafka-get-offsets";
const L: &str = "kafka-log-dirs";

/// Reads all that a topic holds, by the official consumer on both sides: what was written is compared.
const READ: &str = "--from-beginning --formatter-property print.key=true --formatter-property print.headers=true \
                    --formatter-property print.partition=true --formatter-property print.offset=true";

#[test]
fn console_producer_and_offsets() {
    compare_with(
        &[
            (T, "--create --topic lines --partitions 1", ""),
            (T, "--create --topic keys --partitions 4", ""),
            (P, "--topic lines", "a\nb\r\n\nlast"),
            (
                P,
                "--topic keys --reader-property parse.key=true --reader-property key.separator=:",
                "k1:v1\nk2:v2\nk3:v3\nlonger key:v4\n:v5\n",
            ),
            (
                P,
                "--topic lines --property parse.headers=true --compression-codec zstd",
                "h1:v1,h2:v2\tvalue\n",
            ),
            (P, "--topic lines --reader-property parse.key=true", "no separator\n"),
            (G, "--topic lines", ""),
            (G, "--topic keys --time earliest", ""),
            (G, "--topic-partitions keys:1-3,lines", ""),
            (G, "--topic nope", ""),
            (G, "--time x", ""),
            (L, "--describe --topic-list keys", ""),
        ],
        &[
            (P, "--topic lines --sync --request-required-acks all", "sync\n"),
            (P, "--topic lines --request-required-acks 0", "acks 0\n"),
            (P, "--topic lines --request-required-acks 1 --compression-codec", "acks 1, gzip\n"),
            (P, "--topic lines --compression-codec lz4", "lz4\n"),
            (P, "--topic lines --compression-codec snappy", "snappy\n"),
            (P, "--topic lines --compression-codec nonsense", "x\n"),
            (P, "--topic lines --request-required-acks 7", "x\n"),
            (P, "--topic lines --producer-property acks=1 --max-partition-memory-bytes 100", "x\ny\nz\n"),
            (P, "--topic made --sync", "automatic\n"),
            (P, "--topic b/d", "x\n"),
            (P, "--topic lines --bootstrap-server nonsense", "x\n"),
            (P, "--topic lines --property a=b --reader-property c=d", "x\n"),
            (P, "--topic lines --line-reader org.example.Other", "x\n"),
            (T, "--create --topic small --config max.message.bytes=200", ""),
            (
                P,
                "--topic small --sync",
                "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789\n",
            ),
            (G, "", ""),
            (G, "--time -1 --exclude-internal-topics", ""),
            (G, "--time -2 --partitions 0,1", ""),
            (G, "--time -3 --topic lines", ""),
            (G, "--time -4 --topic lines", ""),
            (G, "--time -5 --topic lines", ""),
            (G, "--time -6 --topic lines", ""),
            (G, "--time 0 --topic lines", ""),
            (G, "--time 99999999999999 --topic lines", ""),
            (G, "--topic-partitions :0", ""),
            (G, "--topic-partitions keys:-2", ""),
            (G, "--topic-partitions 'k.*:2-'", ""),
            (G, "--topic-partitions keys --topic lines", ""),
            (G, "--partitions x", ""),
            (G, "--nonsense", ""),
            (L, "--describe", ""),
            (L, "--describe --broker-list 1,7", ""),
            (L, "--describe --broker-list 1 --topic-list nope", ""),
            (L, "--broker-list x --describe", ""),
            (L, "", ""),
        ],
    );
}

/// What our producer wrote is what Kafka's would have written.
#[test]
fn records_of_the_console_producer() {
    let server = Server::start_default();
    for (topic, produce) in [("ours", native as fn(&Server, Step<'_>) -> Ended), ("theirs", official)] {
        let line = format!("--create --topic {topic} --partitions 4");
        let _ = official(&server, (T, &line, ""));
        let line = format!(
            "--topic {topic} --reader-property parse.key=true --reader-property parse.headers=true \
             --reader-property null.marker=N"
        );
        let lines = "h:1\tk1\tv1\na:1,b:N\tk2\tv2\nN\tother\tN\nh:\tN\tno key\nx:y\tthe last\t\n";
        assert_eq!(produce(&server, (P, &line, lines)).status, 0);
    }
    let read = |topic: &str| {
        let line = format!("--topic {topic} --max-messages 5 {READ}");
        let mut lines: Vec<String> =
            official(&server, (C, &line, "")).stdout.lines().map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    };
    let (ours, theirs) = (read("ours"), read("theirs"));
    // Where a record without a key goes is drawn by lot.
    let keyed = |lines: &[String]| -> Vec<String> {
        let mut lines: Vec<String> = lines
            .iter()
            .map(|line| {
                let mut parts: Vec<&str> = line.split('\t').collect();
                parts.remove(1);
                if line.contains("no key") {
                    parts.remove(0);
                }
                parts.join("\t")
            })
            .collect();
        lines.sort_unstable();
        lines
    };
    assert_eq!((ours.len(), keyed(&ours)), (5, keyed(&theirs)));
}

/// What scripts beside Confluent's images wait with; a cluster of one never has two brokers.
#[test]
fn a_script_waits_for_brokers() {
    let server = Server::shared();
    let address = server.bootstrap();
    let call = |tool: &str, line: String| run(tool, &words(&line), "");
    for tool in ["cub", "ub"] {
        let ready = call(tool, format!("kafka-ready -b {address} 1 30"));
        assert_eq!((ready.status, ready.stdout.as_str()), (0, ""), "{}", ready.stderr);
        let behind = call(tool, format!("kafka-ready 1 30 -b {address}"));
        assert_eq!(behind.status, 0, "{}", behind.stderr);
        let few = call(tool, format!("kafka-ready -b {address} 2 1"));
        assert_eq!(few.status, 1, "{}", few.stderr);
        assert!(few.stderr.contains("Expected 2 brokers but found only 1."), "{}", few.stderr);
        let nobody = call(tool, format!("kafka-ready -b 127.0.0.1:{} 1 1", port::free()));
        assert_eq!(nobody.status, 1, "{}", nobody.stderr);
        assert_eq!(call(tool, "kafka-ready 1".to_owned()).status, 2, "as Python's argparse ends");
        assert_eq!(call(tool, format!("zk-ready {address} 1")).status, 2);
    }
}

#[test]
fn brokers_and_clusters() {
    let versions = "kafka-broker-api-versions";
    let server = Server::start_default();
    let address = server.bootstrap();
    let ids = [
        format!("cluster-id --bootstrap-server {address}"),
        format!("list-endpoints --bootstrap-server {address}"),
        format!("list-endpoints --include-fenced-brokers --bootstrap-server {address}"),
        format!("unregister --bootstrap-server {address} --id 77"),
    ];
    let steps = ids.iter().map(|line| ("kafka-cluster", line.as_str(), "")).chain([(versions, "", "")]);
    for step in steps {
        let (own, wanted) = (native(&server, step), official(&server, step));
        assert_eq!((own.status, own.stdout), (wanted.status, wanted.stdout), "{} {}", step.0, step.1);
    }
}

const ALL: &str = "--formatter-property print.key=true --formatter-property print.headers=true \
                   --formatter-property print.timestamp=true --formatter-property print.partition=true \
                   --formatter-property print.offset=true --formatter-property print.epoch=true";
const KEYED: &str = "--reader-property parse.key=true --reader-property parse.headers=true \
                     --reader-property null.marker=N";
const RECORDS: &str = "h:1,i:N\tk1\tv1\nN\tk2\tN\nN\tN\tv3\nh:\tk4\tv4\n";

#[test]
fn console_consumer() {
    let produce = format!("--topic one {KEYED}");
    let whole = format!("--topic one --from-beginning --max-messages 4 {ALL}");
    let parted = "--topic one --from-beginning --max-messages 4 --property print.key=true --property key.separator=| \
         --property null.literal=NIL --property print.headers=true --property headers.separator=;";
    let short = [
        (T, "--create --topic one", ""),
        (P, produce.as_str(), RECORDS),
        (C, whole.as_str(), ""),
        (C, parted, ""),
        (C, "--topic one --partition 0 --offset 2 --max-messages 2", ""),
        (C, "--topic one --partition 0 --offset latest --timeout-ms 300", ""),
        (C, "--topic one --group g1 --from-beginning --max-messages 3", ""),
        (C, "--topic one --group g1 --max-messages 1", ""),
        (GROUPS, "--describe --group g1", ""),
        (C, "--topic one --offset 1", ""),
    ];
    let long = [
        (C, "--topic one --partition 0 --offset 0 --max-messages 1", ""),
        (C, "--topic one --partition 0 --offset x", ""),
        (C, "--topic one --partition 0 --offset 77 --from-beginning", ""),
        (C, "--topic one --partition 0 --offset 77 --timeout-ms 500", ""),
        (C, "--topic one --partition 0 --from-beginning --timeout-ms 500", ""),
        (C, "--topic one --include o.*", ""),
        (C, "--include o.* --from-beginning --max-messages 4", ""),
        (C, "--topic one --from-beginning --timeout-ms 1500 --isolation-level read_committed", ""),
        (C, "--topic one --from-beginning --max-messages 2 --formatter-property print.value=false", ""),
        (C, "--topic one --from-beginning --max-messages 2 --consumer-property auto.offset.reset=latest", ""),
        (C, "--topic one --max-messages 2 --consumer-property auto.offset.reset=earliest", ""),
        (C, "--topic one --max-messages 0", ""),
        (
            C,
            "--topic one --from-beginning --max-messages 4 --formatter org.apache.kafka.tools.consumer.NoOpMessageFormatter",
            "",
        ),
        (
            C,
            "--topic one --from-beginning --max-messages 1 --value-deserializer org.apache.kafka.common.serialization.StringDeserializer",
            "",
        ),
        (
            C,
            "--topic one --from-beginning --max-messages 1 --value-deserializer org.apache.kafka.common.serialization.LongDeserializer",
            "",
        ),
        (
            C,
            "--topic one --from-beginning --max-messages 1 --skip-message-on-error --value-deserializer org.apache.kafka.common.serialization.LongDeserializer",
            "",
        ),
        (C, "--topic one --group g1 --partition 0", ""),
        (C, "--topic one --group g1 --command-property group.id=g2", ""),
        (C, "--topic one --from-beginning --max-messages 2 --enable-systest-events", ""),
        (C, "--topic b/d --max-messages 1", ""),
        (C, "--topic one --formatter org.example.Nothing", ""),
        (P, "--topic one --compression-codec zstd", "z\n"),
        (P, "--topic one --compression-codec lz4", "l\n"),
        (P, "--topic one --compression-codec snappy", "s\n"),
        (P, "--topic one --compression-codec gzip", "g\n"),
        (C, "--topic one --from-beginning --max-messages 8", ""),
        (T, "--list", ""),
    ];
    compare_with(&short, &long);
}

const GROUPS: &str = "kafka-consumer-groups";

#[test]
fn consumer_groups() {
    compare_with(
        &[
            (T, "--create --topic a --partitions 3", ""),
            (T, "--create --topic b", ""),
            (P, "--topic b", "1\n2\n3\n"),
            (GROUPS, "--list", ""),
            (GROUPS, "--describe --group none", ""),
            (GROUPS, "--reset-offsets --group g --topic b --to-offset 2 --execute", ""),
            (GROUPS, "--reset-offsets --group g --topic a:0,2 --to-latest --execute", ""),
            (GROUPS, "--list --state", ""),
            (GROUPS, "--describe --group g", ""),
            (GROUPS, "--describe --group g --verbose", ""),
            (GROUPS, "--describe --group g --members --verbose", ""),
            (GROUPS, "--describe --all-groups --state --verbose", ""),
            (GROUPS, "--reset-offsets --group g --all-topics --shift-by -1 --dry-run", ""),
            (GROUPS, "--reset-offsets --group g --all-topics --to-earliest --export --dry-run", ""),
            (GROUPS, "--delete-offsets --group g --topic a --topic b:0", ""),
            (GROUPS, "--delete --group g --group none", ""),
        ],
        &[
            (GROUPS, "--reset-offsets --group g1 --topic b --topic a:1 --to-offset 99 --execute", ""),
            (GROUPS, "--reset-offsets --group a-group-with-a-long-name --topic b --to-current --execute", ""),
            (GROUPS, "--reset-offsets --group g1 --all-topics --to-current --dry-run", ""),
            (GROUPS, "--reset-offsets --group g1 --all-topics --to-latest", ""),
            (GROUPS, "--reset-offsets --group g1 --topic a --shift-by 1 --dry-run", ""),
            (
                GROUPS,
                "--reset-offsets --group g1 --topic b --to-datetime 2020-01-01T00:00:00.000 --dry-run",
                "",
            ),
            (
                GROUPS,
                "--reset-offsets --group g1 --topic a --to-datetime 2020-01-01T00:00:00.000 --dry-run",
                "",
            ),
            (GROUPS, "--reset-offsets --group g1 --topic b --to-datetime yesterday --dry-run", ""),
            (GROUPS, "--reset-offsets --group g1 --topic b --by-duration P1D --dry-run", ""),
            (GROUPS, "--reset-offsets --group g1 --topic b --by-duration PT0S --dry-run", ""),
            (GROUPS, "--reset-offsets --group g1 --topic nope --to-latest --dry-run", ""),
            (GROUPS, "--reset-offsets --group g1 --topic b:7 --to-latest --dry-run", ""),
            (GROUPS, "--reset-offsets --group g1 --topic b:x --to-latest --dry-run", ""),
            (GROUPS, "--reset-offsets --group g1 --to-latest --dry-run", ""),
            (GROUPS, "--reset-offsets --group g1 --topic b --dry-run", ""),
            (GROUPS, "--reset-offsets --group g1 --topic b --from-file /nonexistent --dry-run", ""),
            (GROUPS, "--reset-offsets --all-groups --all-topics --to-earliest --export --dry-run", ""),
            (GROUPS, "--reset-offsets --group g1 --topic b --to-latest --dry-run --execute", ""),
            (GROUPS, "--reset-offsets --group g1 --topic b --to-latest --to-earliest --dry-run", ""),
            (GROUPS, "--list --type", ""),
            (GROUPS, "--list --state --type", ""),
            (GROUPS, "--list --state Stable", ""),
            (GROUPS, "--list --state empty", ""),
            (GROUPS, "--list --state nonsense", ""),
            (GROUPS, "--list --type consumer", ""),
            (GROUPS, "--describe --all-groups", ""),
            (GROUPS, "--describe --all-groups --offsets --verbose", ""),
            (GROUPS, "--describe --group g1 --members --state", ""),
            (GROUPS, "--describe --group g1 --state", ""),
            (GROUPS, "--describe", ""),
            (GROUPS, "--members", ""),
            (GROUPS, "--delete-offsets --group g1 --topic nope", ""),
            (GROUPS, "--delete-offsets --group none --topic a", ""),
            (GROUPS, "--delete-offsets --group g1", ""),
            (GROUPS, "--delete --group g1 --topic a", ""),
            (GROUPS, "--delete --group none", ""),
            (GROUPS, "--delete --all-groups", ""),
            (GROUPS, "--list", ""),
            (GROUPS, "--validate-regex a.*", ""),
            (GROUPS, "--list --timeout 5000", ""),
        ],
    );
}

const F: &str = "kafka-configs";

#[test]
fn configs() {
    compare_with(
        &[
            (T, "--create --topic t --config retention.ms=1000", ""),
            (F, "--describe --topic t", ""),
            (
                F,
                "--alter --topic t --add-config cleanup.policy=[compact,delete],segment.bytes=1048576 --delete-config retention.ms",
                "",
            ),
            (F, "--describe --entity-type topics --entity-name t", ""),
            (F, "--describe --topic t --all", ""),
            (F, "--describe --topic nope", ""),
            (F, "--alter --topic t --add-config nonsense=1", ""),
            (F, "--alter --topic t --add-config nonsense", ""),
            (F, "--alter --broker 1 --add-config log.cleaner.threads=2", ""),
            (F, "--describe --broker 1", ""),
            (F, "--alter --broker-defaults --add-config log.retention.ms=7200000", ""),
            (F, "--describe --entity-type brokers --entity-default", ""),
            (F, "--describe --entity-type brokers", ""),
            (F, "--alter --group g --add-config consumer.session.timeout.ms=50000", ""),
            (F, "--describe --group g", ""),
            (F, "--alter --client-metrics m --add-config interval.ms=1000,metrics=[a,b]", ""),
            (F, "--describe --client-metrics m", ""),
        ],
        &[
            (F, "--describe --entity-type topics", ""),
            (F, "--describe --entity-type groups", ""),
            (F, "--describe --entity-type client-metrics", ""),
            (F, "--describe --client-metrics nope", ""),
            (F, "--describe --group nope", ""),
            (F, "--describe --broker 7", ""),
            (F, "--describe --broker x", ""),
            (F, "--describe --topic b/d", ""),
            (F, "--describe --user u", ""),
            (F, "--describe --entity-type users", ""),
            (F, "--describe --entity-type clients", ""),
            (F, "--describe --entity-type ips", ""),
            (F, "--describe --entity-type nonsense", ""),
            (F, "--describe", ""),
            (F, "--alter --topic t", ""),
            (F, "--alter --topic t --add-config a=b --add-config-file x", ""),
            (F, "--alter --entity-type topics --add-config a=b", ""),
            (F, "--alter --topic t --add-config retention.ms=x", ""),
            (F, "--alter --topic t --add-config 'a b=c'", ""),
            (F, "--alter --topic nope --add-config retention.ms=5", ""),
            (F, "--alter --broker 1 --add-config node.id=7", ""),
            (F, "--alter --broker 1 --delete-config log.cleaner.threads", ""),
            (F, "--alter --topic t --delete-config cleanup.policy,segment.bytes", ""),
            (F, "--describe --topic t", ""),
            (F, "--describe --topic t --alter --add-config a=b", ""),
            (F, "--describe --topic t --entity-type topics", ""),
        ],
    );
}

#[test]
fn a_tool_is_a_command_of_the_binary_as_well() {
    let run =
        |words: &[&str]| Command::new(paths::milena()).arg("tool").args(words).output().expect("it starts");
    let version = run(&["kafka-topics", "--version"]);
    assert_eq!((version.status.code(), version.stdout.as_slice()), (Some(0), &b"4.3.1\n"[..]));
    let unknown = run(&["kafka-nonsense", "--version"]);
    assert_eq!(unknown.status.code(), Some(2));
    let told = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert!(told.contains("kafka-nonsense") && told.contains("kafka-topics"), "{told}");
}
