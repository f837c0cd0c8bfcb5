//! The runs: each in a process of its own, which this test program starts with a seed, and perhaps with a bug.
//!
//! Must never run two seeds in one process, nor take a run for good in which a task of a broker panicked.

use std::panic::resume_unwind;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use milena_coordinator::plant::{Bug, plant};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::entropy;
use super::world::World;
use crate::logging;

/// Seeds of an ordinary run; `MILENA_LONG=1` takes more.
const SEEDS: u64 = 6;
const SEEDS_LONG: u64 = 400;

/// Each planted bug is found within so many seeds from its first one on.
const SEEDS_FOR_A_BUG: u64 = 40;

/// The bugs that are planted, and the first seed that is tried with each.
const BUGS: [(Bug, u64); 5] = [
    (Bug::TruncatesToHighWatermark, 5),
    (Bug::IgnoresBrokerEpochs, 0),
    (Bug::AcksBeforeFollowers, 0),
    (Bug::ElectsOutsideIsr, 0),
    (Bug::CommitsWithoutQuorum, 0),
];

/// Set for a process that is to run one seed: the seed.
const SEED: &str = "MILENA_SIMULATED_SEED";
/// Set to plant one of the bugs: its place in the list.
const BUG: &str = "MILENA_SIMULATED_BUG";
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
        let lines =
            tracing_subscriber::fmt().with_max_level(LevelFilter::TRACE).without_time().with_ansi(false);
        lines.with_test_writer().finish().with(logging::filter(&filter).expect("levels")).init();
    }
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        PANICS.fetch_add(1, Ordering::SeqCst);
        usual(panic);
    }));
    // Whatever has asked for randomness on this thread before keeps what it has.
    std::thread::spawn(move || run_on_this_thread(seed)).join().unwrap_or_else(|fault| resume_unwind(fault));
}

/// Panics of any task; a runtime only notes those of its tasks for whoever awaits them.
static PANICS: AtomicUsize = AtomicUsize::new(0);

fn run_on_this_thread(seed: u64) {
    entropy::seed(seed);
    plant(std::env::var(BUG).ok().map(|place| BUGS[place.parse::<usize>().expect("a number")].0));
    let shared = World::new(seed).run();
    assert_eq!(PANICS.load(Ordering::SeqCst), 0, "seed {seed}: something panicked");
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
fn run_apart(seed: u64, more: &[(&str, &str)]) -> (bool, String) {
    let program = std::env::current_exe().expect("this test is a program");
    let mut command = Command::new(program);
    command.args(["--exact", CHILD, "--nocapture", "--test-threads=1"]).env(SEED, seed.to_string());
    command.envs(more.iter().copied());
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
        let (well, said) = run_apart(seed, &[]);
        assert!(well, "repeat it with {SEED}={seed} {TRACE}=1 cargo test -p milena --lib {CHILD}\n{said}");
    });
}

/// With what brokers say, but for the parts that tell real time.
#[test]
fn the_same_seed_is_the_same_run() {
    let told = |seed| {
        let verbose = [(TRACE, "1"), ("RUST_LOG", "milena=debug,milena_coordinator=debug")];
        let (well, said) = run_apart(seed, &verbose);
        assert!(well, "{said}");
        let lines = said.lines().filter(|line| !line.contains("finished in"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let [first, second, other] = [told(1), told(1), told(3)];
    let differ = first.iter().zip(&second).find(|(one, two)| one != two);
    assert_eq!(differ, None);
    assert_eq!(first.len(), second.len());
    assert_ne!(first, other);
    assert!(first.len() > 500, "{} lines", first.len());
}

#[test]
fn what_a_broker_could_do_wrong_is_seen() {
    run_all(0..BUGS.len() as u64, |place| {
        let (bug, first) = BUGS[usize::try_from(place).expect("a place")];
        let planted = [(BUG, place.to_string())];
        let planted = planted.each_ref().map(|(name, place)| (*name, place.as_str()));
        let found = (first..first + SEEDS_FOR_A_BUG).find(|seed| !run_apart(*seed, &planted).0);
        assert!(found.is_some(), "{bug:?} is not seen within {SEEDS_FOR_A_BUG} seeds from {first} on");
    });
}
