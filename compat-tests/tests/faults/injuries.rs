//! What is done to single nodes, and undone: kills, pauses and cuts, one or several at once.
//!
//! It must never leave a node hurt behind it.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use milena_compat_tests::wait;
use rustix::process::Signal;

use crate::admin;
use crate::world::{PLAIN, World};

/// Below a session, which is 1500 ms.
const SHORT: (usize, usize) = (200, 900);
/// Beyond it.
const LONG: (usize, usize) = (2500, 4000);
/// The longest time in which a cluster without majority, or half deaf, is left alone.
const HELD_MAX: Duration = Duration::from_secs(4);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Harm {
    /// SIGKILL, and a new process later.
    Kill,
    /// SIGSTOP for less than its session.
    PauseShort,
    /// SIGSTOP for longer.
    PauseLong,
    /// Nothing comes from it to the others, nor from them.
    CutOff,
    /// Nothing comes from it.
    Mute,
    /// Nothing comes to it.
    Deaf,
    /// Between it and one other nothing comes.
    CutFromOne,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Victim {
    /// Of some partition of the plain topic.
    Leader,
    /// A replica of that partition that does not lead it.
    Follower,
    /// The leader of the quorum.
    Controller,
}

pub(crate) const HARMS: [Harm; 7] =
    [Harm::Kill, Harm::PauseShort, Harm::PauseLong, Harm::CutOff, Harm::Mute, Harm::Deaf, Harm::CutFromOne];
pub(crate) const VICTIMS: [Victim; 3] = [Victim::Leader, Victim::Follower, Victim::Controller];

/// Injuries that are done together.
#[derive(Clone, Debug)]
pub(crate) struct Blow(pub(crate) Vec<(Harm, Victim)>);

impl fmt::Display for Blow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let each: Vec<String> = self.0.iter().map(|(harm, victim)| format!("{harm:?} {victim:?}")).collect();
        f.write_str(&each.join(" with "))
    }
}

impl Blow {
    pub(crate) fn of(harm: Harm, victim: Victim) -> Self {
        Self(vec![(harm, victim)])
    }

    pub(crate) fn and(mut self, harm: Harm, victim: Victim) -> Self {
        self.0.push((harm, victim));
        self
    }

    /// Any one or two.
    pub(crate) fn any(world: &mut World) -> Self {
        let mut draw = || (world.dice.one_of(&HARMS), world.dice.one_of(&VICTIMS));
        let first = draw();
        let second = draw();
        if world.dice.chance(3) { Self(vec![first, second]) } else { Self(vec![first]) }
    }

    /// Strikes, holds, heals, and waits until the cluster is whole and the producers go on.
    pub(crate) fn strike(&self, world: &mut World) {
        let victims = self.victims(world);
        let named: Vec<String> = self
            .0
            .iter()
            .zip(&victims)
            .map(|((harm, victim), node)| format!("{harm:?} {victim:?} {node}"))
            .collect();
        world.note(named.join(" with "));
        let harms = self.0.iter().map(|(harm, _)| *harm).zip(victims.iter().copied());
        harms.clone().for_each(|(harm, node)| hurt(world, harm, node));
        self.hold(world);
        world.note("healed");
        harms.for_each(|(harm, node)| heal(world, harm, node));
        if self.0.iter().any(|(harm, _)| *harm == Harm::Kill) {
            world.cluster.restart_together();
        }
        world.goes_on();
        admin::all_in_sync(&world.cluster);
        world.note("recovered");
    }

    /// A node for each injury, none twice.
    fn victims(&self, world: &mut World) -> Vec<i32> {
        let partition = i32::try_from(world.dice.below(PLAIN as usize)).expect("a small number");
        let leader = admin::leader(&world.cluster, 1, "plain", partition);
        let controller = world.cluster.leader();
        let mut chosen: Vec<i32> = Vec::new();
        for (_, victim) in &self.0 {
            let free: Vec<i32> = (1..=3).filter(|node| !chosen.contains(node)).collect();
            let wanted = match victim {
                Victim::Leader => leader,
                Victim::Controller => controller,
                Victim::Follower => {
                    let followers: Vec<i32> = free.iter().copied().filter(|node| *node != leader).collect();
                    world.dice.one_of(&followers)
                }
            };
            chosen.push(if free.contains(&wanted) { wanted } else { world.dice.one_of(&free) });
        }
        chosen
    }

    /// How long it lasts: until the others go on where they owe that, for a while where they do not.
    fn hold(&self, world: &mut World) {
        let between = |world: &mut World, (from, to): (usize, usize)| {
            Duration::from_millis((from + world.dice.below(to - from)) as u64)
        };
        let short = between(world, SHORT);
        let long = between(world, LONG);
        if self.0.iter().all(|(harm, _)| *harm == Harm::PauseShort) {
            last(short);
        } else if self.0.len() > 1 {
            last(if world.dice.chance(2) { short } else { long });
        } else {
            match self.0[0].0 {
                Harm::Kill => world.goes_on(),
                Harm::PauseLong => {
                    world.goes_on();
                    last(long);
                }
                _ => world.goes_on_or(HELD_MAX),
            }
        }
    }
}

/// The fault itself lasts that long; nothing is waited for.
fn last(time: Duration) {
    let _ = wait::until_or::<()>(time, || None);
}

fn hurt(world: &mut World, harm: Harm, node: i32) {
    let others: Vec<i32> = (1..=3).filter(|other| *other != node).collect();
    match harm {
        Harm::Kill => world.cluster.kill(node),
        Harm::PauseShort | Harm::PauseLong => world.cluster.signal(node, Signal::STOP),
        Harm::CutOff => others.iter().for_each(|other| cut(world, &[(node, *other), (*other, node)])),
        Harm::Mute => others.iter().for_each(|other| cut(world, &[(node, *other)])),
        Harm::Deaf => others.iter().for_each(|other| cut(world, &[(*other, node)])),
        Harm::CutFromOne => {
            let other = world.dice.one_of(&others);
            cut(world, &[(node, other), (other, node)]);
        }
    }
}

fn cut(world: &World, ways: &[(i32, i32)]) {
    ways.iter().for_each(|(from, to)| world.cluster.links().cut(*from, *to));
}

fn heal(world: &mut World, harm: Harm, node: i32) {
    match harm {
        Harm::Kill => {}
        Harm::PauseShort | Harm::PauseLong => world.cluster.signal(node, Signal::CONT),
        Harm::CutOff | Harm::Mute | Harm::Deaf | Harm::CutFromOne => world.cluster.links().heal(),
    }
}

/// How often each kind was struck, for who wants to know what a long run has covered.
#[derive(Debug, Default)]
pub(crate) struct Tally(BTreeMap<String, usize>);

impl Tally {
    pub(crate) fn count(&mut self, blow: &Blow) {
        *self.0.entry(blow.to_string()).or_default() += 1;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(blow, count)| writeln!(f, "  {count:3} times {blow}"))
    }
}
