//! What must hold when a run is over, and what it must have gone through to say anything.
//!
//! Must never forgive.

use std::collections::BTreeMap;

use milena_storage::ids::Offset;

use crate::cluster::{DATA, OFFSETS, STATE};
use crate::run::{Run, Tally};

/// # Errors
/// What does not hold.
pub(crate) fn check(run: &Run) -> Result<(), String> {
    replicas_are_equal(run)?;
    let mut copies: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for at in 0..DATA {
        let committed = committed(run, at);
        let (seen, _) = &run.seen[at];
        if !committed.starts_with(seen) {
            return Err(format!("partition {at} has {committed:?}, of which a reader saw {seen:?}"));
        }
        for value in &committed {
            let (id, number) = value.split_once(' ').expect("a copier wrote it");
            copies.entry(id.to_owned()).or_default().push(number.parse().expect("a number"));
        }
        in_order(&committed)?;
    }
    for (id, mut numbers) in copies {
        numbers.sort_unstable();
        let count = i64::try_from(numbers.len()).expect("few records");
        if numbers != (0..count).collect::<Vec<i64>>() {
            return Err(format!("the copies of {id} are {numbers:?}"));
        }
        for broker in run.cluster.replicas(OFFSETS) {
            let place = place_of(run, broker, &id);
            if place != count {
                return Err(format!("{id} has {count} copies, and its place is {place} on broker {broker}"));
            }
        }
    }
    Ok(())
}

fn leader(run: &Run, at: usize) -> usize {
    run.cluster.leader(at).expect("it is at rest")
}

fn committed(run: &Run, at: usize) -> Vec<String> {
    let replica = &run.cluster.brokers[leader(run, at)].replicas[at];
    let (mut all, mut from) = (Vec::new(), Offset(0));
    while from < replica.end() {
        let (records, next) = replica.committed(from, None);
        all.extend(records);
        from = next;
    }
    all
}

/// Copies of one id stand in each partition in the order of the original.
fn in_order(values: &[String]) -> Result<(), String> {
    let mut last: BTreeMap<&str, i64> = BTreeMap::new();
    for value in values {
        let (id, number) = value.split_once(' ').expect("a copier wrote it");
        let number: i64 = number.parse().expect("a number");
        if last.insert(id, number).is_some_and(|before| before >= number) {
            return Err(format!("{value} comes late in {values:?}"));
        }
    }
    Ok(())
}

/// Where the group of that name stands, by the log of one broker alone.
fn place_of(run: &Run, broker: usize, id: &str) -> i64 {
    let replica = &run.cluster.brokers[broker].replicas[OFFSETS];
    let mut groups = crate::hosts::Groups::load(replica, run.cluster.now, None);
    match groups.position(run.cluster.now, id) {
        Ok(crate::letters::Said::Position(position)) => position.max(0),
        other => panic!("{other:?}"),
    }
}

/// Each broker cleans its own: what is left of a coordinator's log differs, and what it says does not.
fn replicas_are_equal(run: &Run) -> Result<(), String> {
    let latest = |broker: usize| run.cluster.brokers[broker].replicas[STATE].latest();
    let right = latest(leader(run, STATE));
    let others = run.cluster.replicas(STATE);
    if let Some(other) = others.into_iter().find(|broker| latest(*broker) != right) {
        return Err(format!("broker {other} knows other transactions than the coordinator"));
    }
    for at in 0..DATA {
        let bytes = |broker: usize| run.cluster.brokers[broker].replicas[at].bytes();
        let right = bytes(leader(run, at));
        let others = run.cluster.replicas(at);
        if let Some(other) = others.into_iter().find(|broker| bytes(*broker) != right) {
            let lines = |broker: usize| run.cluster.brokers[broker].replicas[at].batches();
            let (right, other_lines) = (lines(leader(run, at)), lines(other));
            let pairs = right.iter().zip(&other_lines).filter(|(right, other)| right != other);
            let different: Vec<_> = pairs.take(3).collect();
            return Err(format!(
                "broker {other} has another log of partition {at} than its leader: {different:#?}"
            ));
        }
    }
    Ok(())
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Self) {
        self.committed += other.committed;
        self.aborted += other.aborted;
        self.fenced += other.fenced;
        self.given_up += other.given_up;
        self.kills += other.kills;
        self.cuts += other.cuts;
        self.pauses += other.pauses;
        self.stops += other.stops;
        self.disk_losses += other.disk_losses;
        self.take_overs += other.take_overs;
        self.moves += other.moves;
        self.expired += other.expired;
        self.zombies += other.zombies;
        self.elections += other.elections;
        self.lost += other.lost;
        self.doubled += other.doubled;
        self.older += other.older;
        self.power_losses += other.power_losses;
        self.unsynced += other.unsynced;
        self.cleaned += other.cleaned;
        self.rotations += other.rotations;
        self.filled += other.filled;
        self.refused += other.refused;
    }

    /// Without any of these the runs would say nothing about them.
    pub(crate) fn assert_that_enough_has_happened(&self, runs: usize) {
        let counts = [
            self.committed / 5,
            self.aborted / 4,
            self.fenced * 2,
            self.kills,
            self.cuts * 3,
            self.pauses * 3,
            self.stops * 2,
            self.disk_losses * 5,
            self.take_overs,
            self.moves * 2,
            self.expired,
            self.zombies * 3,
            self.elections / 6,
            self.lost / 10,
            self.doubled / 10,
            self.older / 2,
            self.power_losses * 3,
            self.unsynced / 8,
            self.cleaned / 2,
            self.rotations * 2,
            self.filled * 2,
            self.refused * 2,
        ];
        assert!(counts.iter().all(|count| *count >= runs) && self.given_up > 0, "{self:?} in {runs} runs");
    }
}
