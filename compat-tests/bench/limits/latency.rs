//! The part that measures latency: the open load of `open` on the bare loop and on each broker.
//!
//! It must never take one run's tail for another's: each percentile is the median of those of the runs.

use std::io;

use crate::Length;
use crate::bare::{Bare, Kind};
use crate::open::{self, RATE, Route};
use crate::peers::{Running, processor_time};
use crate::report::{EACH, Numbers, P50, P99, P999, P9999, WORST};
use crate::requests;
use crate::stats::percentile;

pub(crate) const NAME: &str = "Produce to consume, 5,000 records/s of 1 KB";
const BYTES: usize = 1_000;

pub(crate) fn at_the_limit(length: &Length) -> io::Result<Vec<Numbers>> {
    let asked = requests::produce("bench-limits", 1, &requests::records(1, BYTES));
    let frame = &asked.frames[0];
    let bare = Bare::start(Kind::Relay)?;
    let _ = open::run(bare.address, &Route::Bare, frame, length.warms)?;
    let run = |_| one(bare.address, bare.pid(), &Route::Bare, frame, length.steady);
    (0..length.steady_runs).map(run).collect()
}

pub(crate) fn of_broker(broker: &Running, length: &Length) -> io::Result<Vec<Numbers>> {
    let topic = requests::new_topic();
    let mut wire = broker.wire()?;
    requests::create(&mut wire, std::slice::from_ref(&topic), 1)?;
    requests::fill(&mut wire, &topic, 0, 1, &requests::records(1, 1))?;
    let asked = requests::produce(&topic, 1, &requests::records(1, BYTES));
    let frame = &asked.frames[0];
    let mut had = 1;
    let warms = length.of(broker.column).warms * 4;
    had += open::run(broker.address(), &Route::Topic(&topic, had), frame, warms)?.len() as i64;
    let mut runs = Vec::new();
    for _ in 0..length.steady_runs {
        runs.push(one(broker.address(), broker.pid(), &Route::Topic(&topic, had), frame, length.steady)?);
        had += (length.steady.as_secs_f64() * f64::from(RATE)) as i64;
    }
    let _ = requests::delete(&mut wire, &[topic]);
    Ok(runs)
}

fn one(
    to: std::net::SocketAddr,
    pid: u32,
    route: &Route<'_>,
    frame: &[u8],
    lasts: std::time::Duration,
) -> io::Result<Numbers> {
    let before = processor_time(pid)?;
    let mut took = open::run(to, route, frame, lasts)?;
    let used = processor_time(pid)?.saturating_sub(before).as_secs_f64();
    let each = used * 1e6 / took.len() as f64;
    let mut of = |part: f64| percentile(&mut took, part);
    let parts = [(P50, 0.5), (P99, 0.99), (P999, 0.999), (P9999, 0.9999), (WORST, 1.0)];
    let mut numbers: Numbers = parts.map(|(unit, part)| (unit, of(part))).to_vec();
    numbers.push((EACH, each));
    Ok(numbers)
}
