//! Transactions from outside: what is committed is read once, what is aborted never, whoever dies meanwhile.
//!
//! A test must never assert anything of a topic or an id that is not its own; they share a broker unless they stop it.

mod copier;
mod expiry;
mod requests;
mod tools;

use milena_compat_tests::Server;

/// The values that a consumer of committed records gets from the beginning; `count` of them must come.
fn committed(server: &Server, topic: &str, count: usize) -> Vec<String> {
    let tool = server.tool("kafka-console-consumer").args(["--topic", topic, "--from-beginning"]);
    let tool = tool.line("--isolation-level read_committed").args(["--max-messages", &count.to_string()]);
    tool.ok().lines().map(str::to_owned).collect()
}

/// The lines `0`, `1`, ... below `count`.
fn numbers(count: usize) -> Vec<String> {
    (0..count).map(|number| number.to_string()).collect()
}
