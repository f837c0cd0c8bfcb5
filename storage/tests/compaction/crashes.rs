//! A death or a loss of power at every step of a cleaning, and a planted fault that these tests must catch.
//!
//! Must never pass because the crash came too late: the steps are counted first.

use milena_storage::fs::SimFault;
use proptest::prelude::*;

use crate::model::{Op, World, ops};

/// Builds the same world again and again: what comes before the cleaning is the same each time.
fn world(ops: &[Op]) -> World {
    let mut world = World::new();
    ops.iter().for_each(|op| world.apply(op));
    world.log.flush().unwrap();
    world.recovery_point = world.log.recovery_checkpoint();
    world
}

fn steps(ops: &[Op]) -> u64 {
    let mut world = world(ops);
    let before = world.fs.mutations();
    world.clean_unflushed(100).unwrap();
    world.fs.mutations() - before
}

fn no_leftovers(world: &World) {
    let left: Vec<_> =
        world.files().into_iter().filter(|name| name.ends_with(".cleaned") || name.ends_with(".swap")).collect();
    assert!(left.is_empty(), "{left:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_death_at_any_step_leaves_the_old_segments_or_the_new(ops in ops()) {
        for step in 0..steps(&ops) {
            let mut world = world(&ops);
            world.fs.fault_after(step, SimFault::Death);
            prop_assert!(world.clean_unflushed(100).is_err(), "the death at {step} did not come");
            world.fs.heal();
            world.reopen().unwrap();
            no_leftovers(&world);
            world.check();
            world.clean(100).unwrap();
            world.check();
        }
    }

    #[test]
    fn a_loss_of_power_at_any_step_leaves_the_old_segments_or_the_new(ops in ops(), seed: u64) {
        for step in 0..steps(&ops) {
            let mut world = world(&ops);
            world.fs.fault_after(step, SimFault::Death);
            let _ = world.clean_unflushed(100);
            world.fs.power_loss(seed.wrapping_add(step));
            // And once more while the log is opened.
            world.fs.fault_after(seed % 7, SimFault::Death);
            let _ = world.reopen();
            world.fs.power_loss(seed.wrapping_mul(step));
            world.reopen().unwrap();
            no_leftovers(&world);
            world.check();
            world.clean(100).unwrap();
            world.check();
        }
    }

    #[test]
    fn a_disk_that_fails_once_or_fills_up_loses_nothing(ops in ops(), full: bool) {
        let fault = if full { SimFault::Full } else { SimFault::Error };
        for step in 0..steps(&ops) {
            let mut world = world(&ops);
            world.fs.fault_after(step, fault);
            let _ = world.clean_unflushed(100);
            world.fs.heal();
            world.reopen().unwrap();
            no_leftovers(&world);
            world.check();
        }
    }
}
