//! Nodes that are killed, paused and cut off: each kind once, and in the long form every combination that fits into the time.
//!
//! A scenario must never go on after a fault before the cluster is whole again, so that what it finds has one cause.

use std::env;
use std::time::{Duration, Instant};

use milena_compat_tests::Shape;
use milena_compat_tests::dice::{Dice, is_long};

use crate::injuries::{Blow, Harm, Tally, VICTIMS, Victim};
use crate::world::World;

/// The short form's seed.
const SEED: u64 = 5;
/// What the random scenario of the long form lasts at least.
const LONG: Duration = Duration::from_secs(300);
/// Blows of one cluster in the long form.
const BLOWS: usize = 12;

/// The seed that was asked for, the fixed one of the short form, or a fresh one.
pub(crate) fn seed(name: &str) -> u64 {
    if is_long() || env::var_os("MILENA_SEED").is_some() { Dice::seed(name) } else { SEED }
}

/// Records without padding.
const PLAIN_RECORDS: usize = 0;

fn linked() -> Shape<'static> {
    Shape { is_linked: true, ..Shape::default() }
}

fn each_once(name: &str, blows: Vec<Blow>) {
    let mut world = World::start(name, seed(name), linked(), PLAIN_RECORDS);
    blows.iter().for_each(|blow| blow.strike(&mut world));
    world.judge();
}

#[test]
fn brokers_killed_alone_and_together_lose_nothing() {
    let blows = vec![
        Blow::of(Harm::Kill, Victim::Leader),
        Blow::of(Harm::Kill, Victim::Follower),
        Blow::of(Harm::Kill, Victim::Controller),
        Blow::of(Harm::Kill, Victim::Leader).and(Harm::Kill, Victim::Follower),
        Blow::of(Harm::Kill, Victim::Leader).and(Harm::Kill, Victim::Controller),
        Blow::of(Harm::Kill, Victim::Leader)
            .and(Harm::Kill, Victim::Follower)
            .and(Harm::Kill, Victim::Controller),
    ];
    each_once("kills", blows);
}

#[test]
fn brokers_paused_for_less_and_more_than_their_session_lose_nothing() {
    let blows = vec![
        Blow::of(Harm::PauseShort, Victim::Leader),
        Blow::of(Harm::PauseLong, Victim::Leader),
        Blow::of(Harm::PauseLong, Victim::Follower),
        Blow::of(Harm::PauseLong, Victim::Controller),
        Blow::of(Harm::PauseLong, Victim::Leader).and(Harm::Kill, Victim::Follower),
    ];
    each_once("pauses", blows);
}

#[test]
fn brokers_cut_off_one_way_and_both_lose_nothing() {
    // Leadership moves more often here than anywhere else, and with it sequences that clients do not get over (see the suites' README): the
    // short form cuts a follower from one other broker, and the long form everything.
    let mut blows = vec![Blow::of(Harm::CutFromOne, Victim::Follower)];
    if is_long() {
        blows.extend([
            Blow::of(Harm::CutOff, Victim::Leader),
            Blow::of(Harm::CutOff, Victim::Controller),
            Blow::of(Harm::CutFromOne, Victim::Leader),
            Blow::of(Harm::Mute, Victim::Leader),
            Blow::of(Harm::Deaf, Victim::Leader),
            Blow::of(Harm::Mute, Victim::Controller),
        ]);
    }
    each_once("cuts", blows);
}

/// The long form: fresh seeds, one or two injuries at a time of all kinds, until the time is over. The short form kills two.
#[test]
fn anything_at_random_loses_nothing() {
    let began = Instant::now();
    let mut tally = Tally::default();
    loop {
        let mut world = World::start("random", seed("random"), linked(), PLAIN_RECORDS);
        for _ in 0..if is_long() { BLOWS } else { 2 } {
            let blow = if is_long() {
                Blow::any(&mut world)
            } else {
                Blow::of(Harm::Kill, world.dice.one_of(&VICTIMS))
            };
            tally.count(&blow);
            blow.strike(&mut world);
        }
        world.judge();
        // A seed that was asked for is struck once.
        if !is_long() || env::var_os("MILENA_SEED").is_some() || began.elapsed() > LONG {
            break;
        }
    }
    eprintln!("struck:\n{tally}");
}
