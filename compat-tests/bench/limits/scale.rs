//! What a request costs with many partitions and many connections, and what they cost while nothing is asked.
//!
//! It must never take memory for a connection's or a partition's that was there before it.

use std::io;
use std::time::{Duration, Instant};

use milena_compat_tests::wait;

use crate::Length;
use crate::bare::{Bare, Kind};
use crate::load::{Load, Open, Until};
use crate::peers::{Running, memory, processor_time};
use crate::report::{BUSY, Column, EACH, KIB, Numbers, Table};
use crate::requests::{self, Asked};

const PARTITIONS: [i32; 3] = [10, 1_000, 10_000];
const CONNECTIONS: [usize; 3] = [10, 1_000, 5_000];
/// Connections while partitions are many, and the other way round.
const FEW: usize = 16;
/// Until what was made has come to rest.
const SETTLES: Duration = Duration::from_secs(2);

/// What the machine has to do at the least.
pub(crate) fn at_the_limit(table: &mut Table, length: &Length) -> io::Result<()> {
    let batch = requests::records(1, 100);
    let append = || requests::produce("bench-limits", 1, &batch);
    for partitions in PARTITIONS {
        let bare = Bare::start(Kind::Append(partitions as usize))?;
        let runs = runs(bare.address, bare.pid(), Asked { error_at: Some(8), ..append() }, FEW, length)?;
        table.runs(Column::Limit, &of_partitions(partitions), &runs);
    }
    for connections in CONNECTIONS {
        let bare = Bare::start(Kind::Echo)?;
        let runs = runs(bare.address, bare.pid(), requests::any(), connections, length)?;
        table.runs(Column::Limit, &of_connections(connections), &runs);
    }
    Ok(())
}

/// All rows of one broker. Kafka, which makes a partition in a tenth of a second on some disks, has no 10,000.
pub(crate) fn of_broker(table: &mut Table, broker: &Running, length: &Length) -> io::Result<()> {
    let column = broker.column;
    let length = length.of(column);
    let most = if column == Column::Milena { PARTITIONS.len() } else { PARTITIONS.len() - 1 };
    let batch = requests::records(1, 100);
    let mut wire = broker.wire()?;
    for partitions in &PARTITIONS[..most] {
        let topic = requests::new_topic();
        let before = memory(broker.pid(), "RssAnon")?;
        requests::create(&mut wire, std::slice::from_ref(&topic), *partitions)?;
        if *partitions > PARTITIONS[0] {
            idle(table, broker, &length, before, *partitions)?;
        }
        let filled = |partition| requests::fill(&mut wire, &topic, partition, 1, &batch);
        match (0..*partitions).try_for_each(filled) {
            Ok(()) => {
                let asked = requests::produce(&topic, *partitions, &batch);
                let runs = runs(broker.address(), broker.pid(), asked, FEW, &length)?;
                table.runs(column, &of_partitions(*partitions), &runs);
            }
            Err(error) => table.note(format!("{}, {partitions} partitions: {error}.", column.title())),
        }
        if let Err(error) = requests::delete(&mut wire, &[topic]) {
            table.note(format!("{}, {partitions} partitions: {error}.", column.title()));
        }
    }
    for connections in CONNECTIONS {
        let asked = requests::heartbeat(&mut broker.wire()?)?;
        let runs = runs(broker.address(), broker.pid(), asked, connections, &length)?;
        table.runs(column, &of_connections(connections), &runs);
    }
    let each = per_connection(broker, CONNECTIONS[2])?;
    table.put(
        column,
        &format!("Anonymous memory of {} idle connections", thousands(CONNECTIONS[2])),
        KIB,
        each,
    );
    Ok(())
}

fn of_partitions(count: i32) -> String {
    format!("Produce 100 bytes, 16 connections, {} partitions in turns", thousands(count as usize))
}

fn of_connections(count: usize) -> String {
    format!("Heartbeat, {} connections", thousands(count))
}

fn thousands(count: usize) -> String {
    if count < 1_000 { count.to_string() } else { format!("{},{:03}", count / 1_000, count % 1_000) }
}

/// Partitions that were just made and never written to.
fn idle(
    table: &mut Table,
    broker: &Running,
    length: &Length,
    before: u64,
    partitions: i32,
) -> io::Result<()> {
    wait::at(Instant::now() + SETTLES);
    let grown = memory(broker.pid(), "RssAnon")?.saturating_sub(before) as f64;
    let name = thousands(partitions as usize);
    let each = grown / 1024.0 / f64::from(partitions);
    table.put(broker.column, &format!("Anonymous memory of {name} new partitions"), KIB, each);
    let (begin, used) = (Instant::now(), processor_time(broker.pid())?);
    wait::at(begin + length.idle);
    let used = processor_time(broker.pid())?.saturating_sub(used).as_secs_f64();
    let share = used / begin.elapsed().as_secs_f64() * 100.0;
    table.put(broker.column, &format!("Processor of {name} idle partitions"), BUSY, share);
    Ok(())
}

/// KiB for each connection that has asked once and is quiet since.
fn per_connection(broker: &Running, count: usize) -> io::Result<f64> {
    let before = memory(broker.pid(), "RssAnon")?;
    let mut wires = Vec::with_capacity(count);
    for _ in 0..count {
        let mut wire = broker.wire()?;
        requests::hello(&mut wire)?;
        wires.push(wire);
    }
    wait::at(Instant::now() + SETTLES);
    let grown = memory(broker.pid(), "RssAnon")?.saturating_sub(before) as f64;
    drop(wires);
    Ok(grown / 1024.0 / count as f64)
}

/// The cost of a request where one is under way on each connection.
fn runs(
    to: std::net::SocketAddr,
    pid: u32,
    asked: Asked,
    connections: usize,
    length: &Length,
) -> io::Result<Vec<Numbers>> {
    let Asked { frames, error_at } = asked;
    let mut open = Open::new(to, Load { frames, error_at, connections, window: 1, tls: None })?;
    let until = |passed| Until { passed, answered: u64::MAX };
    let _ = open.run(until(length.warms))?;
    let mut runs = Vec::with_capacity(length.runs);
    for _ in 0..length.runs {
        let before = processor_time(pid)?;
        let answers = open.run(until(length.lasts))?.answers as f64;
        let used = processor_time(pid)?.saturating_sub(before).as_secs_f64();
        runs.push(vec![(EACH, used * 1e6 / answers)]);
    }
    Ok(runs)
}

#[cfg(test)]
mod tests {
    use super::thousands;

    #[test]
    fn large_counts_are_written_with_a_comma() {
        assert_eq!([10, 999, 1_000, 10_000].map(thousands), ["10", "999", "1,000", "10,000"]);
    }
}
