//! Three brokers of Milena next to three of Apache Kafka 4.3.1, measured in one run on one machine, with the ratios.
//!
//! `cargo run --release -p milena-compat-tests --bin bench-cluster [produce|failover|topics]`. Both clusters are made of the files
//! of `config/` (broker and voter in one process), one after the other. It must never print a number that it did not measure in
//! this run, nor take a write for acknowledged that was answered with an error.

mod failover;
mod produce;
#[path = "../table.rs"]
mod table;
mod topics;

use std::io::{self, Write};
use std::time::{Duration, Instant};

use milena_compat_tests::cluster::{Cluster, Shape};
use milena_compat_tests::members::allow_many_connections;
use milena_compat_tests::{Target, wait};
use table::Row;

const IDS: [i32; 3] = [1, 2, 3];

/// Measures something of a cluster.
type Part = fn(&mut Bench);

/// The parts, by the word that asks for one alone. Each begins with a new cluster.
const PARTS: [(&str, Part); 3] =
    [("produce", produce::measure), ("failover", failover::measure), ("topics", topics::measure)];

/// A cluster that is measured, and what came of it.
struct Bench {
    target: Target,
    cluster: Cluster,
    rows: Vec<Row>,
}

fn main() -> io::Result<()> {
    allow_many_connections();
    let asked = std::env::args().nth(1);
    let known = asked.as_ref().is_none_or(|asked| PARTS.iter().any(|(name, _)| name == asked));
    assert!(known, "{asked:?} is no part: {:?}", PARTS.map(|(name, _)| name));
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for (name, part) in PARTS.iter().filter(|(name, _)| asked.as_ref().is_none_or(|asked| asked == name)) {
        for (target, rows) in [(Target::Milena, &mut ours), (Target::Kafka, &mut theirs)] {
            writeln!(io::stderr(), "{target:?}: {name}")?;
            let cluster = Cluster::shaped(Shape { target, ..Shape::default() });
            let mut bench = Bench { target, cluster, rows: Vec::new() };
            part(&mut bench);
            rows.append(&mut bench.rows);
        }
    }
    table::print(&ours, &theirs)
}

impl Bench {
    fn note(&mut self, what: &str, larger_is_better: bool, value: f64) {
        // Whoever waits for minutes wants to know where it stands.
        let _ = writeln!(io::stderr(), "  {what}: {value:.2}");
        self.rows.push(Row { what: what.to_owned(), larger_is_better, value });
    }

    /// The processor time of all three brokers so far.
    fn processor_time(&self) -> Duration {
        IDS.iter().map(|id| self.cluster.process(*id).processor_time()).sum()
    }

    /// What share of a core each broker uses while nobody asks anything, in percent.
    fn idle_use(&self, watched: Duration) -> f64 {
        let (before, begin) = (self.processor_time(), Instant::now());
        wait::until(watched * 2, "the idle time to pass", || (begin.elapsed() >= watched).then_some(()));
        let used = self.processor_time() - before;
        used.as_secs_f64() / begin.elapsed().as_secs_f64() / IDS.len() as f64 * 100.0
    }
}
