//! A disk that is full, and a log directory that is lost, while clients work.
//!
//! It must never break a disk that is not the cluster's own.

use std::fs;
use std::process::Command;

use milena_compat_tests::Shape;
use milena_compat_tests::wait::{self, PATIENCE};

use crate::admin;
use crate::scenarios::seed;
use crate::world::{PLAIN, World};

/// The disk holds what the scenario writes, and a filler beside it takes the rest.
const DISK_MIB: u32 = 96;
/// Makes a segment of 1 MiB last for a few seconds.
const PADDING: usize = 4000;

#[test]
fn a_full_disk_costs_nothing_that_was_acknowledged() {
    let shape = Shape { small_disk: Some((2, DISK_MIB)), ..Shape::default() };
    let mut world = World::start("full disk", seed("full disk"), shape, PADDING);
    let filler = world.cluster.inside(2, &world.cluster.log_dir(2)).join("filler");
    let output = format!("of={}", filler.display());
    let filled =
        Command::new("dd").args(["if=/dev/zero", "bs=4096"]).arg(output).output().expect("dd starts");
    assert!(!filled.status.success(), "the disk is full now");
    world.note("broker 2's disk is full");
    wait::until(PATIENCE, "the full disk to be noticed", || {
        let told = admin::partitions(&world.cluster, 1)?;
        let plain = told.iter().filter(|((topic, _), _)| topic == "plain");
        plain.clone().any(|(_, each)| !each.isr_nodes.iter().any(|id| id.0 == 2)).then_some(())
    });
    // What it leads is refused until there is room: it serves on, and gives nothing up.
    world.note("broker 2 is in sync no more");
    fs::remove_file(&filler).expect("the filler is ours");
    world.note("there is room again");
    world.goes_on();
    admin::all_in_sync(&world.cluster);
    world.judge();
}

#[test]
fn a_lost_log_directory_costs_nothing_that_was_acknowledged() {
    let shape = Shape { has_two_log_dirs: true, ..Shape::default() };
    let mut world = World::start("lost directory", seed("lost directory"), shape, PADDING);
    let partition = i32::try_from(world.dice.below(PLAIN as usize)).expect("a small number");
    let node = admin::leader(&world.cluster, 1, "plain", partition);
    let name = format!("plain-{partition}");
    let dirs = [world.cluster.log_dir(node), world.cluster.second_log_dir(node)];
    let dir = dirs.iter().find(|dir| dir.join(&name).exists()).expect("the partition is in one of them");
    let away = dir.with_extension("away");
    fs::rename(dir, &away).expect("a directory of ours");
    fs::write(dir, b"").expect("a directory of ours");
    world.note(format!("broker {node} has lost the directory of {name}, which it leads"));
    let asked = (1..=3).find(|other| *other != node).expect("three nodes");
    wait::until(PATIENCE, "another leader", || {
        let told = admin::partitions(&world.cluster, asked)?.remove(&("plain".to_owned(), partition))?;
        let is_offline = told.offline_replicas.iter().map(|id| id.0).eq([node]);
        (is_offline && told.leader_id.0 >= 0 && told.leader_id.0 != node).then_some(())
    });
    world.note("another broker leads");
    world.goes_on();
    let _ = world.cluster.stop(node);
    fs::remove_file(dir).expect("ours");
    // The disk was replaced: what was on it is gone.
    fs::create_dir(dir).expect("ours");
    world.cluster.restart(node);
    world.note("the directory is back, and empty");
    world.goes_on();
    admin::all_in_sync(&world.cluster);
    world.judge();
}
