//! The runs: each in a process of its own, which this test program starts with a seed.
//!
//! Must never run two seeds in one process.

use std::panic::resume_unwind;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use super::entropy;
use super::world::World;

/// Seeds of an ordinary run; `MILENA_LONG=1` takes more.
const SEEDS: u64 = 4;
const SEEDS_LONG: u64 = 400;

/// Set for a process that is to run one seed: the seed.
const SEED: &str = "MILENA_SIMULATED_SEED";
/// Set to have a run print its trace.
const TRACE: &str = "MILENA_SIMULATED_TRACE";
/// The test that a process runs a seed by.
const CHILD: &str = "tests::simulation::runs::a_cluster_loses_nothing_whatever_happens";

fn seeds() -> u64 {
    if std::env::var("MILENA_LONG").is_ok_and(|value| value == "1") { SEEDS_LONG } else { SEEDS }
}

/// Runs one seed here and now.
fn run_here(seed: u64) {
    if let Ok(filter) = std::env::var("RUST_LOG") {
        let lines = tracing_subscriber::fmt().with_env_filter(filter).without_time().with_ansi(false);
        lines.with_test_writer().init();
    }
    // Whatever has asked for randomness on this thread before keeps what it has.
    std::thread::spawn(move || run_on_this_thread(seed)).join().unwrap_or_else(|fault| resume_unwind(fault));
}

fn run_on_this_thread(seed: u64) {
    entropy::seed(seed);
    let shared = World::new(seed).run();
    shared.history(|history| {
        if std::env::var(TRACE).is_ok() {
            history.trace.iter().for_each(|line| println!("{line}"));
        }
        let sum = crc32c::crc32c(history.trace.join("\n").as_bytes());
        println!("seed {seed}: trace {sum:08x} of {} lines, {:?}", history.trace.len(), history.tally);
        assert!(history.faults.is_empty(), "seed {seed}: {:#?}", history.faults);
    });
}

/// Runs one seed in another process; what it printed, and whether it was well.
fn run_apart(seed: u64) -> (bool, String) {
    let program = std::env::current_exe().expect("this test is a program");
    let mut command = Command::new(program);
    command.args(["--exact", CHILD, "--nocapture", "--test-threads=1"]).env(SEED, seed.to_string());
    let output = command.stdin(Stdio::null()).output().expect("this test can be started again");
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

/// Runs many seeds, as many at a time as there are cores.
fn run_all(seeds: std::ops::Range<u64>, each: impl Fn(u64) + Sync) {
    let next = AtomicU64::new(seeds.start);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    each(seed);
                }
            });
        }
    });
}

#[test]
fn a_cluster_loses_nothing_whatever_happens() {
    if let Ok(seed) = std::env::var(SEED) {
        return run_here(seed.parse().expect("a seed is a number"));
    }
    run_all(0..seeds(), |seed| {
        let (well, said) = run_apart(seed);
        assert!(well, "repeat it with {SEED}={seed} {TRACE}=1 cargo test -p milena --lib {CHILD}\n{said}");
    });
}
