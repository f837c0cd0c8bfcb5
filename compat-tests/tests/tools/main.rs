//! The official 4.3.1 command-line tools, each with a checked result.
//!
//! One test binary, so that the tools share one JVM. Topics carry the test's name: the tests share one broker and run side
//! by side. A test must never assert anything of a topic or group that is not its own.

mod alone;
mod cluster;
mod compatibility;
mod configs;
mod console;
mod consumer_groups;
mod dump_log;
mod group_flags;
mod groups;
mod jks;
mod native;
mod native_cluster;
mod native_configs;
mod native_consumer;
mod native_secured;
mod offsets;
mod performance;
mod security;
mod topics;
mod verifiable;

use milena_compat_tests::Server;

/// Creates a topic with further arguments of kafka-topics.
fn create(server: &Server, topic: &str, arguments: &str) {
    server.tool("kafka-topics").args(["--create", "--topic", topic]).line(arguments).ok();
}

/// Writes lines as records.
fn produce(server: &Server, topic: &str, lines: &str) {
    server.tool("kafka-console-producer").args(["--topic", topic]).input(lines).ok();
}

/// Reads that many records from the beginning.
fn consume(server: &Server, topic: &str, count: usize) -> String {
    let tool = server.tool("kafka-console-consumer").args(["--topic", topic, "--from-beginning"]);
    tool.args(["--max-messages", &count.to_string()]).ok()
}

/// The lines `0`, `1`, ... below `count`.
fn numbers(count: usize) -> String {
    (0..count).map(|number| format!("{number}\n")).collect()
}

/// The lines of a text, sorted.
fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}
