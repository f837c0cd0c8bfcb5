//! What operators do while clients work: rolling restarts, moves, brokers that come and go.
//!
//! It must never let a produce fail, which the judgement sees.

use milena_compat_tests::{Role, Shape};

use crate::admin;
use crate::scenarios::seed;
use crate::world::{PLAIN, WHOLE, World};

/// Some bytes, so that a move copies something.
const PADDING: usize = 500;

#[test]
fn a_rolling_restart_and_moves_under_load_fail_no_produce() {
    let mut world = World::start("operations", seed("operations"), Shape::default(), PADDING);
    for node in 1..=3 {
        let _ = world.cluster.stop(node);
        world.note(format!("broker {node} is stopped"));
        world.goes_on();
        world.cluster.restart(node);
        admin::all_in_sync(&world.cluster);
        world.note(format!("broker {node} is back"));
    }
    world.cluster.add(4, Role::Broker);
    world.note("broker 4 is new, and empty");
    // Each partition gets the new broker for one of its own, which is drawn.
    let topics = [("plain", PLAIN), ("whole", WHOLE)];
    let places = topics.into_iter().flat_map(|(topic, count)| (0..count).map(move |number| (topic, number)));
    let places: Vec<(&str, i32)> = places.collect();
    let mut moves = Vec::new();
    for (topic, number) in &places {
        let mut replicas = vec![1, 2, 3];
        replicas.remove(world.dice.below(3));
        replicas.insert(world.dice.below(3), 4);
        moves.push(((*topic).to_owned(), *number, replicas));
    }
    admin::reassign(&world.cluster, 1, &moves);
    world.note(format!("moved: {moves:?}"));
    world.goes_on();
    let back: Vec<(String, i32, Vec<i32>)> =
        places.iter().map(|(topic, number)| ((*topic).to_owned(), *number, vec![1, 2, 3])).collect();
    admin::reassign(&world.cluster, 2, &back);
    let _ = world.cluster.stop(4);
    world.note("broker 4 has nothing any more and is removed");
    world.goes_on();
    admin::all_in_sync(&world.cluster);
    world.judge();
}
