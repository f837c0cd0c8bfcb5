//! Random producers, coordinators that restart, and what must hold whatever they do.
//!
//! Must never depend on a run: the seeds are fixed, and a failure prints its own.

use std::collections::BTreeMap;

use milena_coordinator::transaction::{
    Change, End, Init, Input, MarkerOrder, Partitions, Reply, Request, State, TransactionVersion, decode,
};
use milena_storage::ids::{ProducerEpoch, ProducerId, TopicPartition};

use crate::world::World;

const SEEDS: u64 = 200;
const STEPS: usize = 300;

/// A small generator (SplitMix64), so that a seed means the same for ever.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }
}

/// What one client believes to be.
#[derive(Clone, Copy)]
struct Producer {
    id: ProducerId,
    epoch: ProducerEpoch,
}

/// What was promised for each producer id and epoch whose transaction was decided.
type Decisions = BTreeMap<(String, ProducerId, ProducerEpoch), bool>;

#[test]
fn no_transaction_is_decided_twice_and_no_epoch_is_given_twice() {
    for seed in 0..SEEDS {
        let version = if seed % 3 == 0 { TransactionVersion::V0 } else { TransactionVersion::V2 };
        run(seed, version);
    }
}

fn run(seed: u64, version: TransactionVersion) {
    let mut dice = Dice(seed);
    let mut world = World::new(version);
    // Two clients that believe to own the same id, and one with an id of its own.
    let ids = ["a", "a", "b"];
    let mut clients: [Option<Producer>; 3] = [None; 3];
    let mut given: BTreeMap<(ProducerId, ProducerEpoch), usize> = BTreeMap::new();
    let mut decisions = Decisions::new();
    for step in 0..STEPS {
        let at = format!("seed {seed} step {step}");
        let who = dice.roll(3) as usize;
        let known = clients[who];
        match (dice.roll(12), known) {
            (0, _) | (_, None) => {
                if let Some(now) = init(&mut world, ids[who], None) {
                    assert!(given.insert((now.id, now.epoch), who).is_none(), "{at}: given twice");
                    clients[who] = Some(now);
                }
            }
            (1, Some(now)) => {
                if let Some(next) = init(&mut world, ids[who], Some(now)) {
                    clients[who] = Some(next);
                    given.insert((next.id, next.epoch), who);
                }
            }
            (2..=5, Some(now)) => add(&mut world, &mut dice, ids[who], now, version),
            (6..=8, Some(now)) => {
                let commit = dice.roll(2) == 0;
                if let Some(next) = end(&mut world, ids[who], now, commit, version) {
                    clients[who] = Some(next);
                }
            }
            (9, _) => {
                let _ = world.restart();
            }
            (10, _) => {
                let ms = dice.roll(90_000) as i64;
                let _ = world.tick(ms);
            }
            (_, _) => mark_some(&mut world, &mut dice),
        }
        check_log(&world, &mut decisions, &at);
    }
}

fn init(world: &mut World, id: &str, expected: Option<Producer>) -> Option<Producer> {
    let fresh = world.fresh();
    let (reply, _) = world.ask(Request::Init(Init {
        id: id.into(),
        timeout_ms: 30_000,
        two_phase_commit: false,
        keep_prepared: false,
        expected: expected.map(|now| (now.id, now.epoch)),
        fresh,
    }));
    match reply {
        Reply::Init(Ok(done)) => Some(Producer { id: done.producer_id, epoch: done.epoch }),
        _ => None,
    }
}

fn add(world: &mut World, dice: &mut Dice, id: &str, now: Producer, version: TransactionVersion) {
    let partition = TopicPartition::new("t", dice.roll(4) as i32);
    let _ = world.ask(Request::AddPartitions(Partitions {
        id: id.into(),
        producer_id: now.id,
        epoch: now.epoch,
        partitions: [partition].into(),
        client_version: version,
    }));
}

fn end(
    world: &mut World,
    id: &str,
    now: Producer,
    commit: bool,
    version: TransactionVersion,
) -> Option<Producer> {
    let (reply, _) = world.ask(Request::End(End {
        id: id.into(),
        producer_id: now.id,
        epoch: now.epoch,
        commit,
        client_version: version,
    }));
    match reply {
        Reply::End(Ok(done)) if version.supports_epoch_bump() => {
            Some(Producer { id: done.producer_id, epoch: done.epoch })
        }
        _ => None,
    }
}

/// Carries out some of the orders, in any order, some of them twice.
fn mark_some(world: &mut World, dice: &mut Dice) {
    let orders: Vec<MarkerOrder> = std::mem::take(&mut world.orders);
    for order in orders {
        if dice.roll(4) == 0 {
            world.orders.push(order);
        } else {
            let _ = world.input(Input::Marked(order.clone()));
            let _ = world.input(Input::Marked(order));
        }
    }
}

/// Reads the whole log as a new coordinator would.
fn check_log(world: &World, decisions: &mut Decisions, at: &str) {
    let mut last: BTreeMap<String, (State, ProducerId, ProducerEpoch)> = BTreeMap::new();
    for record in &world.log {
        let Change::Transaction(id, value) = decode(&record.key, record.value.as_deref()).unwrap() else {
            panic!("{at}: an unknown record")
        };
        let Some(now) = value else {
            last.remove(&id);
            continue;
        };
        if let Some((state, producer_id, epoch)) = last.get(&id) {
            assert!(follows(*state, now.state), "{at}: {} after {}", now.state.name(), state.name());
            assert!(now.producer_id != *producer_id || now.epoch >= *epoch, "{at}: the epoch goes back");
        }
        if now.state.is_prepared() {
            let commit = now.state == State::PrepareCommit;
            let decided = decisions.entry((id.clone(), now.producer_id, now.epoch)).or_insert(commit);
            let fixed = !now.client_version.supports_epoch_bump();
            assert!(fixed || *decided == commit, "{at}: decided both ways");
        }
        last.insert(id, (now.state, now.producer_id, now.epoch));
    }
}

/// `TransactionState.VALID_PREVIOUS_STATES`.
fn follows(before: State, after: State) -> bool {
    match after {
        State::Empty => before.is_at_rest(),
        State::Ongoing => before == State::Ongoing || before.is_at_rest(),
        State::PrepareCommit => before == State::Ongoing,
        State::PrepareAbort => before == State::Ongoing || before.is_at_rest(),
        State::CompleteCommit => before == State::PrepareCommit,
        State::CompleteAbort => before == State::PrepareAbort,
        State::Dead | State::PrepareEpochFence => false,
    }
}
