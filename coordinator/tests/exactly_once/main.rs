//! Exactly once, whatever happens: copiers within transactions over a cluster in one thread and virtual time, all from a seed.
//!
//! Real are the transaction machine, the group machine, the controller's decisions on a tree of their own, the leaders' arithmetic of who
//! is in sync, and the logs with their producers, guards, transaction indexes and epochs, on disks in memory that know what was synced.
//! Leaders, followers and controllers die, alone and together, and come back; they lose power and what was not synced with it, or the whole
//! disk; they stand still for shorter and longer than a session lasts, and believe to lead; links are cut one way and both; disks are
//! full; clocks are off; brokers stop in order, one after the other; replicas move to other brokers and back while they are written to;
//! letters are lost, late and doubled; coordinators' logs are compacted; producers use their epochs up; copiers die, stand still, give up
//! and come back as zombies. They are clients of KIP-890 or older ones, in clusters of every `transaction.version`. Whatever happened, each
//! copy has to be in the output once, in order, no reader may have seen anything else at any time, and in the end every replica is in
//! sync and equal to its leader.
//!
//! What the ensemble decides is committed at once: its own logs and elections are not simulated here, but whole, with the broker, in
//! `broker/src/tests/simulation`.
//!
//! Must never use a clock or a runtime.

#![allow(clippy::unwrap_used, reason = "clippy only knows #[test] functions, and all of this is a test")]

mod changes;
mod cluster;
mod controller;
mod copier;
mod dice;
mod hosts;
mod judge;
mod letters;
mod replica;
mod run;
mod serve;
mod sessions;
mod trouble;

use std::env;
use std::ops::Range;

use run::{Run, Tally};

/// Seeds of an ordinary run; `MILENA_LONG=1` takes more, and `MILENA_SEEDS=500..1000` just these.
const SEEDS: Range<u64> = 0..24;
const SEEDS_LONG: Range<u64> = 0..4_000;
/// Each planted bug is found within so many seeds.
const SEEDS_FOR_A_BUG: u64 = 100;

/// What a broker could do wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Bug {
    /// Answers do not wait until their records are committed.
    AnswersBeforeTheCommit,
    /// What is decided is carried out before the decision is committed.
    MarksBeforeTheDecisionStands,
    /// A partition begins a transaction without the coordinator's word.
    NeverAsks,
    /// A transaction is called complete before its markers are written.
    CompletesBeforeTheMarkers,
    /// A new coordinator does not go on with what was decided.
    ForgetsWhatIsPrepared,
    /// A new group coordinator takes offsets of aborted transactions for committed.
    LoadsAbortedOffsets,
    /// Readers of committed records read beyond the last stable offset.
    ReadsWhatIsOpen,
    /// Readers of committed records are not told of aborted transactions.
    ReadsWhatIsAborted,
    /// As `NeverAsks`, for clients that named their partitions before.
    NeverAsksForOlder,
    /// A broker that lost power counts as one that has all it had.
    KeepsItsPlaceWithoutPower,
    /// Compaction removes what has a successor that is not committed yet.
    CleansWhatIsNotCommitted,
    /// A batch for which the disk had no room is answered as if it stood in the log.
    AnswersForAFullDisk,
    /// A coordinator goes on with what its log had no room for.
    KeepsWhatTheLogRefused,
    /// The leader takes a replica that is being added for one that is in sync, so that the old ones go too early.
    TakesInWhoHasNotCaughtUp,
    /// Whoever has used up the epochs of its producer id gets one that is another's.
    GivesProducerIdsAgain,
}

const BUGS: [Bug; 15] = [
    Bug::AnswersBeforeTheCommit,
    Bug::MarksBeforeTheDecisionStands,
    Bug::NeverAsks,
    Bug::CompletesBeforeTheMarkers,
    Bug::ForgetsWhatIsPrepared,
    Bug::LoadsAbortedOffsets,
    Bug::ReadsWhatIsOpen,
    Bug::ReadsWhatIsAborted,
    Bug::NeverAsksForOlder,
    Bug::KeepsItsPlaceWithoutPower,
    Bug::CleansWhatIsNotCommitted,
    Bug::GivesProducerIdsAgain,
    Bug::AnswersForAFullDisk,
    Bug::KeepsWhatTheLogRefused,
    Bug::TakesInWhoHasNotCaughtUp,
];

fn judged(seed: u64, bug: Option<Bug>) -> Result<Tally, String> {
    let mut run = Run::new(seed, bug);
    run.finish().and_then(|()| judge::check(&run)).map_err(|fault| format!("seed {seed}: {fault}"))?;
    Ok(run.tally)
}

fn seeds() -> Range<u64> {
    if let Ok(given) = env::var("MILENA_SEEDS") {
        let ends = given.split_once("..").and_then(|(from, to)| Some(from.parse().ok()?..to.parse().ok()?));
        return ends.unwrap_or_else(|| panic!("MILENA_SEEDS={given} is not like 500..1000"));
    }
    if env::var("MILENA_LONG").is_ok_and(|value| value == "1") { SEEDS_LONG } else { SEEDS }
}

#[test]
fn each_record_is_copied_once_whatever_happens() {
    let mut all = Tally::default();
    for seed in seeds() {
        let tally = judged(seed, None).unwrap_or_else(|fault| panic!("{fault}"));
        all.add(&tally);
    }
    all.assert_that_enough_has_happened(seeds().count());
}

#[test]
fn the_same_seed_is_the_same_run() {
    let told = |seed| {
        let mut run = Run::new(seed, None);
        run.finish().unwrap();
        (format!("{:?}", run.tally), run.seen)
    };
    assert_eq!(told(7), told(7));
    assert_ne!(told(7), told(8));
}

#[test]
fn what_a_broker_could_do_wrong_is_seen() {
    for bug in BUGS {
        let found = (0..SEEDS_FOR_A_BUG).find(|seed| judged(*seed, Some(bug)).is_err());
        assert!(found.is_some(), "{bug:?} is not seen within {SEEDS_FOR_A_BUG} seeds");
    }
}
