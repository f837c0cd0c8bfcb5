//! From the start of a process to its first answer, and what it holds while it is idle.
//!
//! It must never take a listening socket for an answer.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use milena_compat_tests::server::Setup;
use milena_compat_tests::wire::Wire;
use milena_compat_tests::{Target, paths, port, wait};

use crate::Length;
use crate::peers::{Running, memory, processor_time};
use crate::report::{BUSY, Column, MIB, Numbers, TIME, Table};
use crate::requests;

const EMPTY: &str = "Start on an empty directory, to the first answer";
const AGAIN: &str = "Start on 1,000 partitions after a clean stop, to the first answer";
const PARTITIONS: i32 = 1_000;
/// Until a process that has just started is idle.
const SETTLES: Duration = Duration::from_secs(3);

/// All rows of one broker.
pub(crate) fn of_broker(table: &mut Table, column: Column, length: &Length) -> io::Result<()> {
    match column {
        Column::Kafka => kafka(table, length),
        _ => program(table, column, length),
    }
}

fn first_answer(broker: &Running, begin: Instant) -> io::Result<f64> {
    requests::hello(&mut broker.wire()?)?;
    Ok(begin.elapsed().as_secs_f64() * 1e3)
}

fn program(table: &mut Table, column: Column, length: &Length) -> io::Result<()> {
    let mut starts: Vec<Numbers> = Vec::new();
    for _ in 0..length.starts {
        let folder = paths::scratch("bench");
        let (running, took) = timed(column, folder.path())?;
        starts.push(vec![(TIME, took)]);
        running.stop();
    }
    table.runs(column, EMPTY, &starts);
    let folder = paths::scratch("bench");
    let (running, _) = timed(column, folder.path())?;
    idle(table, &running, length)?;
    if column != Column::Milena {
        // The others have their logs in memory: nothing is there again.
        return Ok(());
    }
    fill(&mut running.wire()?)?;
    running.stop();
    let mut starts: Vec<Numbers> = Vec::new();
    for _ in 0..length.starts.div_ceil(2) {
        let (running, took) = timed(column, folder.path())?;
        starts.push(vec![(TIME, took)]);
        running.stop();
    }
    table.runs(column, AGAIN, &starts);
    Ok(())
}

fn timed(column: Column, folder: &Path) -> io::Result<(Running, f64)> {
    let port = port::free();
    let begin = Instant::now();
    let running = Running::on(column, folder, port)?;
    let took = first_answer(&running, begin)?;
    Ok((running, took))
}

fn kafka(table: &mut Table, length: &Length) -> io::Result<()> {
    let mut starts: Vec<Numbers> = Vec::new();
    let mut again: Vec<Numbers> = Vec::new();
    for round in 0..length.jvm_starts {
        let mut server = Setup::of(Target::Kafka).at_full_speed().start();
        requests::hello(&mut server.wire())?;
        starts.push(vec![(TIME, server.since_started().as_secs_f64() * 1e3)]);
        if round == 0 {
            let running = Running::kept(Column::Kafka, server);
            idle(table, &running, length)?;
            running.stop();
            continue;
        }
        if again.is_empty() {
            fill(&mut server.wire())?;
            server.stop();
            server.start();
            requests::hello(&mut server.wire())?;
            again.push(vec![(TIME, server.since_started().as_secs_f64() * 1e3)]);
        }
    }
    table.runs(Column::Kafka, EMPTY, &starts);
    table.runs(Column::Kafka, AGAIN, &again);
    Ok(())
}

/// A topic whose partitions have a record each.
fn fill(wire: &mut Wire) -> io::Result<()> {
    let topic = requests::new_topic();
    requests::create(wire, std::slice::from_ref(&topic), PARTITIONS)?;
    let batch = requests::records(1, 100);
    (0..PARTITIONS).try_for_each(|partition| requests::fill(wire, &topic, partition, 1, &batch))
}

fn idle(table: &mut Table, broker: &Running, length: &Length) -> io::Result<()> {
    wait::at(Instant::now() + SETTLES);
    let (begin, before) = (Instant::now(), processor_time(broker.pid())?);
    wait::at(begin + length.idle);
    let used = processor_time(broker.pid())?.saturating_sub(before).as_secs_f64();
    let mib = |line: &str| memory(broker.pid(), line).map(|bytes| bytes as f64 / f64::from(1 << 20));
    table.put(broker.column, "Idle, resident memory", MIB, mib("VmRSS")?);
    table.put(broker.column, "Idle, anonymous memory", MIB, mib("RssAnon")?);
    let share = used / begin.elapsed().as_secs_f64() * 100.0;
    table.put(broker.column, "Idle, processor", BUSY, share);
    Ok(())
}
