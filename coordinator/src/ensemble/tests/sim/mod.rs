//! The ensemble under faults: voters and observers in one thread, over a simulated network and disks, in a time of its own.
//!
//! Everything follows from a seed: faults, latencies, random time-outs. Must never sleep in real time.

mod bugs;
mod history;
mod net;
mod runs;
mod wiped;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use milena_storage::fs::{Fs, SimFault, SimFs};
use milena_storage::ids::Timestamp;
use openraft::async_runtime::watch::WatchReceiver;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use self::bugs::Bug;
use self::net::{Chance, SimDialer, SimNet};
use super::super::link::ClusterSecret;
use super::super::raft_types::{Runtime, spawn};
use super::super::writer::Work;
use super::super::{Cluster, Ensemble, Leadership, Member, Observer, raft};
use crate::tree::{Change, Tree, Zxid};

/// What observers and leaders were seen to do, over all lives of all nodes.
#[derive(Default)]
pub(super) struct Seen {
    /// Who led which term.
    leaders: BTreeMap<u64, i32>,
    /// The whole tree's checksum after each command, by zxid: the same on every node.
    states: BTreeMap<Zxid, u32>,
    /// The furthest zxid that any node has shown.
    newest: BTreeMap<i32, Zxid>,
    faults: Vec<String>,
}

impl Seen {
    fn leads(&mut self, node: i32, term: u64) {
        let leader = *self.leaders.entry(term).or_insert(node);
        if leader != node {
            self.faults.push(format!("nodes {leader} and {node} both led term {term}"));
        }
    }

    fn shows(&mut self, node: i32, tree: &Tree) {
        let zxid = tree.zxid();
        let sum = crc32c::crc32c(&tree.encode());
        let known = *self.states.entry(zxid).or_insert(sum);
        if known != sum {
            self.faults.push(format!("node {node} shows another tree at {zxid} than the others"));
        }
        let newest = self.newest.entry(node).or_default();
        if zxid < *newest {
            self.faults.push(format!("node {node} shows {zxid}, and had shown {newest}"));
        }
        *newest = zxid;
    }
}

/// Checks what an embedding program is told.
struct Witness {
    node: i32,
    seen: Arc<Mutex<Seen>>,
}

impl Observer for Witness {
    fn applied(&mut self, tree: &Tree, _changes: &[Change], zxid: Zxid) {
        assert_eq!(tree.zxid(), zxid);
        self.seen.lock().shows(self.node, tree);
    }
}

/// A cluster and what it runs on.
pub(super) struct World {
    net: SimNet,
    disks: BTreeMap<i32, SimFs>,
    /// How often a node got a new disk.
    wiped: BTreeMap<i32, u128>,
    running: BTreeMap<i32, Ensemble>,
    voters: Vec<i32>,
    seen: Arc<Mutex<Seen>>,
    chance: Chance,
    snapshot_bytes: u64,
    bug: Bug,
}

impl World {
    pub(super) fn new(seed: u64, voters: &[i32]) -> Self {
        Self {
            net: SimNet::new(seed),
            disks: BTreeMap::new(),
            wiped: BTreeMap::new(),
            running: BTreeMap::new(),
            voters: voters.to_vec(),
            seen: Arc::default(),
            chance: Chance(!seed),
            snapshot_bytes: 4000,
            bug: Bug::None,
        }
    }

    /// Starts a node on what its disk holds; others may be down.
    pub(super) async fn start(&mut self, id: i32) {
        let new_disk = SimFs::new();
        let fs = self.disks.entry(id).or_insert(new_disk).clone();
        fs.create_dir_all(Path::new("/data")).unwrap();
        fs.sync_dir(Path::new("/")).unwrap();
        let voters = self.voters.iter().map(|id| Member::at(*id, format!("sim:{id}"))).collect();
        let clock = AtomicI64::new(1);
        let dir = Path::new("/data").join(super::super::DIRECTORY);
        if self.bug == Bug::ForgottenVotes {
            bugs::forget_vote(&fs, &dir);
        }
        let settings = raft::Settings {
            node_id: id,
            dir,
            plant: self.bug.plant(),
            fs: self.bug.disk(fs),
            now: Arc::new(move || Timestamp(clock.fetch_add(1, Ordering::Relaxed))),
            snapshot_bytes: self.snapshot_bytes,
            cluster: Some(Cluster {
                voters,
                bootstrap: Vec::new(),
                dialer: Arc::new(SimDialer { net: self.net.clone(), from: id }),
                secret: ClusterSecret::new("secret"),
                directory: self.directory(id),
                id: String::new(),
                heartbeat: Duration::from_millis(500),
            }),
            work: Work::Tasks { sync: Duration::from_micros(200 + self.chance.below(2000)) },
        };
        let witness = Witness { node: id, seen: Arc::clone(&self.seen) };
        let ensemble = Ensemble::start_with(settings, Box::new(witness)).await.unwrap();
        self.net.attach(id, &ensemble);
        self.running.insert(id, ensemble.clone());
        spawn(watch_leadership(id, ensemble.clone(), Arc::clone(&self.seen)));
        spawn(async move { ensemble.ready().await });
    }

    pub(super) async fn start_all(&mut self, ids: &[i32]) {
        for id in ids {
            self.start(*id).await;
        }
    }

    /// Kills a node at once; with `power` lost, what it had not synced is lost, too.
    pub(super) async fn kill(&mut self, id: i32, power: bool) {
        let Some(ensemble) = self.running.remove(&id) else { return };
        let disk = &self.disks[&id];
        disk.fault_after(0, SimFault::Death);
        self.net.detach(id);
        let _ = ensemble.stop().await;
        let seed = self.chance.next();
        if power { disk.power_loss(seed) } else { disk.heal() }
    }

    /// Kills a node and gives it a new disk, with a directory id of its own.
    pub(super) async fn wipe(&mut self, id: i32) {
        self.kill(id, false).await;
        self.disks.remove(&id);
        *self.wiped.entry(id).or_default() += 1;
        // Nobody can tell it from a node that was never there.
        self.seen.lock().newest.remove(&id);
    }

    /// Of the disk that a node has now.
    pub(super) fn directory(&self, id: i32) -> Uuid {
        Uuid::from_u128(u128::from(id.unsigned_abs()) + 1000 * self.wiped.get(&id).copied().unwrap_or(0))
    }

    /// Returns when every voter's directory stands in every node's membership: from then on another disk is told from it.
    pub(super) async fn wait_directories(&self) {
        let deadline = Instant::now() + Duration::from_secs(60);
        let knows = |node: &Ensemble| {
            let metrics = node.shared.node.core.raft.server_metrics().borrow_watched().clone();
            let entered = raft::voter_directories(metrics.membership_config.membership());
            entered.into_iter().all(|(id, directory)| directory == self.directory(id))
        };
        while !self.running.values().all(knows) {
            assert!(Instant::now() < deadline, "the voters' directories are not entered");
            sleep(Duration::from_millis(50)).await;
        }
        self.settle().await;
    }

    pub(super) fn node(&self, id: i32) -> &Ensemble {
        &self.running[&id]
    }

    pub(super) fn leader(&self) -> Option<i32> {
        let leads = |(id, ensemble): (&i32, &Ensemble)| ensemble.leadership().leads.then_some(*id);
        self.running.iter().filter_map(leads).max_by_key(|id| self.running[id].leadership().term)
    }

    /// Returns when every running node has applied the same, the last of all; fails after a while of virtual time.
    pub(super) async fn settle(&self) {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let mut ends = Vec::new();
            let mut silent = Vec::new();
            for (id, ensemble) in &self.running {
                match timeout(Duration::from_secs(5), ensemble.barrier()).await {
                    Ok(Ok(())) => {
                        ends.push(ensemble.with_tree(|tree| (tree.zxid(), crc32c::crc32c(&tree.encode()))));
                    }
                    other => silent.push((id, other, ensemble.quorum())),
                }
            }
            if silent.is_empty() && ends.windows(2).all(|two| two[0] == two[1]) {
                return;
            }
            assert!(Instant::now() < deadline, "the nodes do not agree: {ends:?}, {silent:?}");
            sleep(Duration::from_millis(50)).await;
        }
    }

    pub(super) fn check(&self, context: &str) {
        let seen = self.seen.lock();
        assert!(seen.faults.is_empty(), "{context}: {:?}", seen.faults);
    }
}

async fn watch_leadership(id: i32, ensemble: Ensemble, seen: Arc<Mutex<Seen>>) {
    let mut leadership = ensemble.watch_leadership();
    loop {
        let Leadership { term, leads, .. } = *leadership.borrow_and_update();
        if leads {
            seen.lock().leads(id, term);
        }
        if leadership.changed().await.is_err() {
            return;
        }
    }
}

/// Lets simulated time pass; with `start_paused` nobody waits for it.
pub(super) async fn pass(time: Duration) {
    sleep(time).await;
}

/// Runs a world in a time of its own.
pub(super) fn simulate<F: Future>(seed: u64, work: F) -> F::Output {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    #[cfg(tokio_unstable)]
    builder.rng_seed(tokio::runtime::RngSeed::from_bytes(&seed.to_be_bytes()));
    let runtime = builder.enable_time().start_paused(true).build().unwrap();
    runtime.block_on(Runtime::scope(seed, work))
}
