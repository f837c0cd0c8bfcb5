//! The same random requests to ZooKeeper 3.8 and to Milena: every code, every field, every event must be the same.
//!
//! Must never compare what is not the same twice on one server: times, and the numbers of sessions and zxids.

use std::env;

use milena_compat_tests::zoo::{Kind, Zoo};

use crate::steps::{Step, step};
use crate::world::World;
use milena_compat_tests::dice::{Dice, rounds};

/// Steps that are shown before one that differs.
const SHOWN: usize = 12;

/// The short form's sequences are always the same.
const SEED: u64 = 1000;

#[test]
fn random_requests_are_answered_as_zookeeper_answers_them() {
    let drawn = env::var_os("MILENA_SEED").is_some() || rounds(0, 1) == 1;
    let seed =
        if drawn { Dice::seed("random_requests_are_answered_as_zookeeper_answers_them") } else { SEED };
    for round in 0..rounds(3, 30) {
        compare(seed.wrapping_add(round as u64), rounds(500, 1500));
    }
}

fn compare(seed: u64, steps: usize) {
    let mut theirs = World::new(Zoo::start(Kind::ZooKeeper));
    let mut ours = World::new(Zoo::start(Kind::Milena));
    let mut dice = Dice::of(seed);
    let mut before: Vec<(Step, String)> = Vec::new();
    for number in 1..=steps {
        let step = step(&mut dice);
        let (expected, got) = (theirs.run(&step), ours.run(&step));
        if expected != got {
            let shown = before.iter().rev().take(SHOWN).rev();
            let shown: Vec<String> = shown.map(|(step, told)| format!("{step:?}\n  {told}")).collect();
            panic!(
                "MILENA_SEED={seed}, step {number}\n{}\n{step:?}\nZooKeeper: {expected}\nMilena:    {got}",
                shown.join("\n")
            );
        }
        before.push((step, got));
    }
}
