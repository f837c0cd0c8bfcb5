//! Random histories with cleanings between, without faults.
//!
//! Must never accept a log that lost the last value of a key.

use milena_storage::ids::Offset;
use proptest::prelude::*;

use crate::model::{Op, World, ops};

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_last_value_of_every_key_stays_and_nothing_moves(ops in ops()) {
        let mut world = World::new();
        for op in &ops {
            world.apply(op);
        }
        world.check();
    }

    #[test]
    fn a_map_that_holds_all_keys_leaves_each_key_once(ops in ops()) {
        let mut world = World::new();
        for op in &ops {
            world.apply(op);
        }
        world.clean(1000).unwrap();
        world.check();
        world.check_clean();
        // What is clean stays as it is, but for tombstones and markers whose time has come.
        let before = world.values();
        world.checkpoint = Some(Offset(0));
        world.clean(1000).unwrap();
        world.check();
        prop_assert_eq!(before, world.values());
    }

    #[test]
    fn producers_are_what_they_were_when_the_log_is_read_anew(ops in ops()) {
        let mut world = World::new();
        for op in &ops {
            world.apply(op);
        }
        let before = world.producers();
        world.clean(1000).unwrap();
        prop_assert_eq!(&world.producers(), &before);
        // Without any snapshot the log itself must tell.
        for name in world.files().into_iter().filter(|name| name.ends_with(".snapshot")) {
            let path = std::path::Path::new(crate::model::DIR).join(name);
            milena_storage::fs::Fs::remove_file(&world.fs, &path).unwrap();
        }
        world.recovery_point = Offset(0);
        world.reopen().unwrap();
        let after = world.producers();
        for was in &before {
            let is = after.iter().find(|is| is.producer_id == was.producer_id);
            let told = is.map(|is| (is.epoch, is.last_sequence, is.transaction_start));
            prop_assert_eq!(told, Some((was.epoch, was.last_sequence, was.transaction_start)));
        }
        world.check();
    }

    #[test]
    fn tombstones_and_markers_go_when_their_time_has_come(ops in ops()) {
        let mut world = World::new();
        for op in &ops {
            world.apply(op);
        }
        for producer in [3, 4] {
            world.apply(&Op::End { producer, commit: true });
        }
        for _ in 0..3 {
            // A cleaning looks only at closed segments, and sets the time that the next one acts on.
            world.apply(&Op::Append { producer: 0, codec: 0, records: vec![(99, false)] });
            world.apply(&Op::Roll);
            world.apply(&Op::Clean(200));
            world.apply(&Op::Wait(600));
        }
        world.check_clean();
        let found = world.read().found;
        let clean = world.checkpoint.unwrap().0;
        let tombstones: Vec<_> = found.range(..clean).filter(|(_, record)| record.is_tombstone()).collect();
        prop_assert!(tombstones.is_empty(), "{:?}", tombstones);
    }
}
