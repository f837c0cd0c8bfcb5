//! A death or a loss of power at every step of a cleaning, and a planted fault that these tests must catch.
//!
//! Must never pass because the crash came too late: the steps are counted first.

use std::io;
use std::path::Path;
use std::sync::Arc;

use milena_storage::fs::{Entry, File, Fs, Lock, Meta, Open, SimFault, SimFs};
use milena_storage::ids::Timestamp;
use proptest::prelude::*;

use crate::model::{Op, World, ops};

/// Builds the same world again and again: what comes before the cleaning is the same each time.
fn world(ops: &[Op]) -> World {
    let mut world = World::new();
    ops.iter().for_each(|op| world.apply(op));
    world.log.flush().expect("no fault yet");
    world.recovery_point = world.log.recovery_checkpoint();
    world
}

fn steps(ops: &[Op]) -> u64 {
    let mut world = world(ops);
    let before = world.fs.mutations();
    world.clean_unflushed(100).expect("no fault");
    world.fs.mutations() - before
}

fn no_leftovers(world: &World) {
    let left: Vec<_> = world
        .files()
        .into_iter()
        .filter(|name| name.ends_with(".cleaned") || name.ends_with(".swap"))
        .collect();
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

/// A disk that forgets to sync what a cleaning wrote: the fault that the tests above must be able to see.
#[derive(Debug)]
struct Careless(SimFs);

#[derive(Debug)]
struct CarelessFile(Arc<dyn File>);

impl Fs for Careless {
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn File>> {
        let file = self.0.open(path, how)?;
        let careless = path.extension().is_some_and(|extension| extension == "cleaned");
        Ok(if careless { Arc::new(CarelessFile(file)) } else { file })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.0.remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.0.remove_dir_all(path)
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.0.create_dir_all(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.0.list(dir)
    }

    fn meta(&self, path: &Path) -> io::Result<Option<Meta>> {
        self.0.meta(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.0.sync_dir(dir)
    }

    fn try_lock(&self, path: &Path) -> io::Result<Option<Box<dyn Lock>>> {
        self.0.try_lock(path)
    }
}

impl File for CarelessFile {
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        self.0.read_at(buf, at)
    }

    fn write_at(&self, buf: &[u8], at: u64) -> io::Result<()> {
        self.0.write_at(buf, at)
    }

    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn set_modified(&self, at: Timestamp) -> io::Result<()> {
        self.0.set_modified(at)
    }

    fn allocate(&self, at: u64, len: u64) -> io::Result<()> {
        self.0.allocate(at, len)
    }
}

/// Cleans a small log over `disk`, loses power, and tells whether everything that was flushed is there.
fn survives(seed: u64, disk: impl Fn(&SimFs) -> Arc<dyn Fs>) -> bool {
    let mut world = World::over(disk);
    for n in 0..30u8 {
        world.apply(&Op::Append { producer: 0, codec: 0, records: vec![(n % 9, false)] });
    }
    world.apply(&Op::Roll);
    world.clean(100).expect("no fault");
    world.fs.power_loss(seed);
    world.reopen().is_ok() && world.values().len() >= 9
}

#[test]
fn a_swap_without_a_sync_would_be_caught() {
    for seed in 0..40 {
        assert!(survives(seed, |fs| Arc::new(fs.clone())), "seed {seed}");
    }
    let lost = |seed: &u64| {
        let quiet = std::panic::catch_unwind(|| survives(*seed, |fs| Arc::new(Careless(fs.clone()))));
        !quiet.unwrap_or(false)
    };
    assert!((0..40).any(|seed| lost(&seed)), "no loss of power was seen without the sync");
}
