//! Milena next to the bare loops, which are the machine's limit, and to Apache Kafka 4.3.1: one run, one machine, one load.
//!
//! `cargo run --release -p milena-compat-tests --bin bench-limits [produce|fetch|small] [--write]`. The load is a program of ours that costs less than a
//! broker. It must never print a number that it did not measure in this run.

mod bare;
mod load;
mod plot;
mod report;
mod requests;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use bare::{Bare, COMMAND, Kind};
use load::{Load, Outcome, Until};
use milena_compat_tests::server::Setup;
use milena_compat_tests::{Server, Target};
use report::{Measured, Report, processor_time};
use requests::{Asked, MOST_RECORDS};

/// Bytes produced with large batches, behind a quarter as much to warm up.
const PRODUCED: u64 = 1 << 30;
/// Everything else lasts so long, after as long to warm up; a JVM needs more.
const LASTS: Duration = Duration::from_secs(2);
const JVM_WARMS: Duration = Duration::from_secs(5);

/// One load, by what it does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    /// Records of a batch, and bytes of each.
    Produce(usize, usize),
    /// Bytes of an answer.
    Fetch(usize),
    Heartbeat,
    Commit,
}

/// What is run: a name, a load, connections, requests under way on each.
struct Line {
    part: &'static str,
    name: &'static str,
    what: What,
    connections: usize,
    window: usize,
}

const fn line(part: &'static str, name: &'static str, what: What, connections: usize, window: usize) -> Line {
    Line { part, name, what, connections, window }
}

const LINES: &[Line] = &[
    line("produce", "Produce 16 KB, 1 connection", What::Produce(16, 1_000), 1, 5),
    line("produce", "Produce 16 KB, 16 connections", What::Produce(16, 1_000), 16, 5),
    line("produce", "Produce 1 MB, 1 connection", What::Produce(MOST_RECORDS, 1_000), 1, 5),
    line("produce", "Produce 1 MB, 16 connections", What::Produce(MOST_RECORDS, 1_000), 16, 5),
    line("fetch", "Fetch 1 KB, 1 connection", What::Fetch(1 << 10), 1, 1),
    line("fetch", "Fetch 64 KB, 1 connection", What::Fetch(64 << 10), 1, 1),
    line("fetch", "Fetch 1 MB, 1 connection", What::Fetch(1 << 20), 1, 1),
    line("fetch", "Fetch 1 MB, 64 connections", What::Fetch(1 << 20), 64, 1),
    line("small", "Produce 100 bytes, 1 connection", What::Produce(1, 100), 1, 1),
    line("small", "Produce 100 bytes, 16 connections", What::Produce(1, 100), 16, 1),
    line("small", "Produce 100 bytes, 16 connections, 5 at a time", What::Produce(1, 100), 16, 5),
    line("small", "Heartbeat, 1 connection", What::Heartbeat, 1, 1),
    line("small", "Heartbeat, 16 connections", What::Heartbeat, 16, 1),
    line("small", "Heartbeat, 256 connections", What::Heartbeat, 256, 1),
    line("small", "Heartbeat, 16 connections, 5 at a time", What::Heartbeat, 16, 5),
    line("small", "OffsetCommit, 16 connections", What::Commit, 16, 1),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.split_first() {
        Some((first, rest)) if first == COMMAND => bare::serve(rest),
        _ => measure(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(arguments: &[String]) -> io::Result<()> {
    let parts: Vec<&str> = arguments.iter().map(String::as_str).filter(|word| *word != "--write").collect();
    let lines: Vec<&Line> =
        LINES.iter().filter(|line| parts.is_empty() || parts.contains(&line.part)).collect();
    let mut report = Report::new(arguments);
    for line in &lines {
        report.limit(line.name, is_transfer(line.what), at_the_limit(line)?);
    }
    for target in [Target::Milena, Target::Kafka] {
        let server = Setup::of(target).set("auto.create.topics.enable", "false").at_full_speed().start();
        for line in &lines {
            writeln!(io::stderr(), "{target:?}: {}", line.name)?;
            report.broker(target, line.name, of_broker(&server, line)?);
        }
    }
    report.print()
}

fn is_transfer(what: What) -> bool {
    matches!(what, What::Fetch(bytes) if bytes > 1 << 10)
        || matches!(what, What::Produce(records, _) if records > 1)
}

/// The same load on the loop that does the least.
fn at_the_limit(line: &Line) -> io::Result<Measured> {
    writeln!(io::stderr(), "bare loop: {}", line.name)?;
    let (kind, frame) = match line.what {
        What::Produce(records, bytes) => {
            (Kind::Append, requests::produce("bench-limits", records, bytes).frame)
        }
        What::Fetch(bytes) => (Kind::Send(bytes), requests::fetch("bench-limits", 0).frame),
        // A hundred bytes or so.
        What::Heartbeat | What::Commit => (Kind::Echo, requests::any().frame),
    };
    let bare = Bare::start(kind)?;
    run(bare.address, bare.pid(), line, Asked { frame, error_at: 8 }, LASTS)
}

fn of_broker(server: &Server, line: &Line) -> io::Result<Measured> {
    let topic = format!("bench-{}", uuid::Uuid::new_v4());
    requests::create(server, &topic);
    let asked = match line.what {
        What::Produce(records, bytes) => {
            requests::fill(server, &topic, 1, 1, bytes);
            requests::produce(&topic, records, bytes)
        }
        What::Fetch(bytes) => {
            let of_one = bytes <= 1 << 10;
            let (batches, records) = if of_one { (1, 1) } else { (bytes / (16 << 10) + 1, 16) };
            requests::fill(server, &topic, batches, records, if of_one { 950 } else { 1_000 });
            requests::fetch(&topic, i32::try_from(bytes).expect("a small number"))
        }
        What::Heartbeat => requests::heartbeat(server),
        What::Commit => {
            requests::fill(server, &topic, 1, 1, 1);
            requests::commit(server, &topic)
        }
    };
    let warms = if server.target() == Target::Kafka { JVM_WARMS } else { LASTS };
    let measured = run(server.address(), server.pid(), line, asked, warms);
    requests::delete(server, &topic);
    measured
}

fn run(to: SocketAddr, pid: u32, line: &Line, asked: Asked, warms: Duration) -> io::Result<Measured> {
    let Asked { frame, error_at } = asked;
    let sent = frame.len() as u64;
    let load = Load { frame, error_at, connections: line.connections, window: line.window };
    let is_large = is_transfer(line.what) && matches!(line.what, What::Produce(..));
    let (warm, until) = if is_large {
        let requests = PRODUCED / sent;
        (Until::Answered(requests / 4), Until::Answered(requests))
    } else {
        (Until::Passed(warms), Until::Passed(LASTS))
    };
    let _ = load::run(to, &load, warm)?;
    let before = processor_time(pid)?;
    let Outcome { answers, bytes, lasted, took } = load::run(to, &load, until)?;
    let processor = processor_time(pid)?.saturating_sub(before);
    let bytes = if is_large { answers * sent } else { bytes };
    Ok(Measured { answers, bytes, lasted, took, processor })
}
