//! Milena's listener of ZooKeeper's protocol next to ZooKeeper 3.8, measured in one run on one machine, with the ratios.
//!
//! `cargo run --release -p milena-compat-tests --bin bench-zookeeper`. One client, the same for both, which pipelines on one
//! connection; both servers sync every change. It must never print a number that it did not measure in this run.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use milena_compat_tests::wait::PATIENCE;
use milena_compat_tests::zoo::client::{Body, CREATE, EXISTS, GET_DATA, SET_DATA};
use milena_compat_tests::zoo::{Client, Kind, Zoo};

/// How long each rate is measured, after a fifth of it to warm up.
const MEASURED: Duration = Duration::from_secs(4);
const NODES: usize = 100_000;
const NODE_BYTES: usize = 100;
const DATA_BYTES: usize = 128;
const WATCH_ROUNDS: usize = 1000;
/// ZooKeeper's own ticks.
const TICK_MILLIS: u32 = 2000;
const CONTAINER_MILLIS: u32 = 60_000;

/// One measured number.
struct Row {
    what: String,
    larger_is_better: bool,
    value: f64,
}

fn main() -> io::Result<()> {
    let ours = measure(Kind::Milena, 11)?;
    let theirs = measure(Kind::ZooKeeper, 3)?;
    let mut out = io::stdout().lock();
    writeln!(out, "\n{:<44}{:>14}{:>16}   better by", "", "Milena", "ZooKeeper 3.8")?;
    for (ours, theirs) in ours.iter().zip(&theirs) {
        let ratio = if ours.larger_is_better { ours.value / theirs.value } else { theirs.value / ours.value };
        writeln!(out, "{:<44}{:>14.2}{:>16.2}   {ratio:.1}x", ours.what, ours.value, theirs.value)?;
    }
    Ok(())
}

fn measure(kind: Kind, starts: usize) -> io::Result<Vec<Row>> {
    let mut rows = Vec::new();
    let mut note = |what: String, larger_is_better, value| rows.push(Row { what, larger_is_better, value });
    writeln!(io::stderr(), "{kind:?}: starts")?;
    note("start to first write (ms)".into(), false, median((0..starts).map(|_| first_write(kind)).collect()));

    let zoo = Zoo::start_with(kind, TICK_MILLIS, CONTAINER_MILLIS);
    let mut client = Client::open(zoo.address(), 40_000);
    client.ask(CREATE, &Body::create("/bench", &[0; DATA_BYTES], 0));
    for depth in [1, 64, 500] {
        writeln!(io::stderr(), "{kind:?}: writes, {depth} outstanding")?;
        let (rate, p50, p99) = rate(&mut client, depth, SET_DATA, &Body::set("/bench", &[1; DATA_BYTES]))?;
        note(format!("setData, {depth} outstanding (1/s)"), true, rate);
        note(format!("setData, {depth} outstanding, p50 (ms)"), false, p50);
        note(format!("setData, {depth} outstanding, p99 (ms)"), false, p99);
    }
    for depth in [1, 64, 500] {
        writeln!(io::stderr(), "{kind:?}: reads, {depth} outstanding")?;
        let (rate, _, p99) = rate(&mut client, depth, GET_DATA, &Body::path("/bench", false))?;
        note(format!("getData, {depth} outstanding (1/s)"), true, rate);
        note(format!("getData, {depth} outstanding, p99 (ms)"), false, p99);
    }
    writeln!(io::stderr(), "{kind:?}: watches")?;
    let (p50, p99) = watch_delivery(&zoo, &mut client)?;
    note("change to event elsewhere, p50 (ms)".into(), false, p50);
    note("change to event elsewhere, p99 (ms)".into(), false, p99);

    writeln!(io::stderr(), "{kind:?}: {NODES} nodes")?;
    client.ask(CREATE, &Body::create("/many", b"", 0));
    let begin = Instant::now();
    create_many(&mut client)?;
    note("create, 500 outstanding (1/s)".into(), true, NODES as f64 / begin.elapsed().as_secs_f64());
    note(format!("memory with {NODES} nodes (MiB)"), false, zoo.resident_bytes() as f64 / f64::from(1 << 20));
    Ok(rows)
}

/// From the start of the process to the answer to a first create, in milliseconds.
fn first_write(kind: Kind) -> f64 {
    let zoo = Zoo::start_with(kind, TICK_MILLIS, CONTAINER_MILLIS);
    let mut client = Client::open(zoo.address(), 40_000);
    client.ask(CREATE, &Body::create("/first", b"", 0));
    zoo.since_started().as_secs_f64() * 1e3
}

/// Answers a second, and milliseconds from a request to its answer: the median and the 99th of a hundred.
fn rate(client: &mut Client, depth: usize, op: i32, body: &Body) -> io::Result<(f64, f64, f64)> {
    let warm = Instant::now() + MEASURED / 5;
    let mut begin = Instant::now();
    let mut latencies: Vec<f64> = Vec::new();
    let mut sent: VecDeque<Instant> = VecDeque::new();
    let mut warming = true;
    loop {
        let now = Instant::now();
        if warming && now > warm {
            (warming, begin) = (false, now);
            latencies.clear();
        }
        let done = !warming && now - begin > MEASURED;
        while !done && sent.len() < depth {
            client.queue(op, body);
            sent.push_back(now);
        }
        client.flush()?;
        if sent.is_empty() {
            break;
        }
        // One answer is waited for; those that came with it are taken too.
        loop {
            let reply = client.reply()?;
            assert_eq!(reply.code, 0);
            let asked = sent.pop_front().expect("an answer for each request");
            latencies.push(asked.elapsed().as_secs_f64() * 1e3);
            if !client.has_frame() || sent.is_empty() {
                break;
            }
        }
    }
    let rate = latencies.len() as f64 / begin.elapsed().as_secs_f64();
    Ok((rate, percentile(&mut latencies, 0.5), percentile(&mut latencies, 0.99)))
}

fn watch_delivery(zoo: &Zoo, writer: &mut Client) -> io::Result<(f64, f64)> {
    let mut watcher = Client::open(zoo.address(), 40_000);
    watcher.set_patience(PATIENCE);
    let mut latencies = Vec::new();
    for _ in 0..WATCH_ROUNDS {
        watcher.ask(EXISTS, &Body::path("/bench", true));
        let begin = Instant::now();
        writer.send(SET_DATA, &Body::set("/bench", b"x"))?;
        watcher.read_frame()?;
        latencies.push(begin.elapsed().as_secs_f64() * 1e3);
        writer.reply()?;
    }
    Ok((percentile(&mut latencies, 0.5), percentile(&mut latencies, 0.99)))
}

fn create_many(client: &mut Client) -> io::Result<()> {
    let (mut asked, mut answered) = (0, 0);
    while answered < NODES {
        while asked < NODES && asked - answered < 500 {
            let path = format!("/many/node-{asked:06}");
            client.queue(CREATE, &Body::create(&path, &[7; NODE_BYTES], 0));
            asked += 1;
        }
        client.flush()?;
        loop {
            assert_eq!(client.reply()?.code, 0);
            answered += 1;
            if answered == asked || !client.has_frame() {
                break;
            }
        }
    }
    Ok(())
}

fn percentile(values: &mut [f64], part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    values[((last as f64) * part).round() as usize]
}

fn median(mut values: Vec<f64>) -> f64 {
    percentile(&mut values, 0.5)
}
