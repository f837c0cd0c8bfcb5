//! A network in memory: streams between nodes with latency, cuts in either direction, and resets.
//!
//! What is sent over a cut waits, as TCP sends it again; a reset loses what is under way. Must never let two runs of a
//! seed differ.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf, duplex, split};
use tokio::sync::watch;

use super::super::super::Ensemble;
use super::super::super::link::{Dialer, Dialled, Stream};
use super::super::super::raft_types::spawn;
use super::pass;

/// Numbers from a seed (splitmix64).
#[derive(Clone, Debug)]
pub(super) struct Chance(pub(super) u64);

impl Chance {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// A handle; clones are the same network.
#[derive(Clone)]
pub(super) struct SimNet(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// Grows with every change of cuts and resets.
    turns: watch::Sender<u64>,
}

struct State {
    chance: Chance,
    nodes: BTreeMap<i32, Ensemble>,
    cut: BTreeSet<(i32, i32)>,
    /// Streams older than this of a node are reset.
    resets: BTreeMap<i32, u64>,
}

/// One node's way into the network.
pub(super) struct SimDialer {
    pub(super) net: SimNet,
    pub(super) from: i32,
}

impl SimNet {
    pub(super) fn new(seed: u64) -> Self {
        let state = State {
            chance: Chance(seed),
            nodes: BTreeMap::new(),
            cut: BTreeSet::new(),
            resets: BTreeMap::new(),
        };
        Self(Arc::new(Shared { state: Mutex::new(state), turns: watch::Sender::new(0) }))
    }

    pub(super) fn attach(&self, id: i32, ensemble: &Ensemble) {
        self.0.state.lock().nodes.insert(id, ensemble.clone());
    }

    /// The node is gone: its streams break.
    pub(super) fn detach(&self, id: i32) {
        self.0.state.lock().nodes.remove(&id);
        self.reset(id);
    }

    /// Breaks every stream of a node.
    pub(super) fn reset(&self, id: i32) {
        *self.0.state.lock().resets.entry(id).or_default() += 1;
        self.turn();
    }

    /// From now on nothing goes from one node to another.
    pub(super) fn cut(&self, from: i32, to: i32) {
        self.0.state.lock().cut.insert((from, to));
        self.turn();
    }

    pub(super) fn heal(&self) {
        self.0.state.lock().cut.clear();
        self.turn();
    }

    fn turn(&self) {
        self.0.turns.send_modify(|turn| *turn += 1);
    }

    fn is_cut(&self, from: i32, to: i32) -> bool {
        self.0.state.lock().cut.contains(&(from, to))
    }

    fn age(&self, one: i32, other: i32) -> (u64, u64) {
        let state = self.0.state.lock();
        let of = |id| state.resets.get(&id).copied().unwrap_or_default();
        (of(one), of(other))
    }

    fn latency(&self) -> Duration {
        Duration::from_micros(100 + self.0.state.lock().chance.below(2000))
    }

    /// Carries bytes one way until the stream ends or is reset.
    async fn carry(
        self,
        way: (i32, i32),
        mut from: ReadHalf<tokio::io::DuplexStream>,
        mut to: WriteHalf<tokio::io::DuplexStream>,
    ) {
        let born = self.age(way.0, way.1);
        let mut turns = self.0.turns.subscribe();
        let reset = {
            let net = self.clone();
            let mut turns = self.0.turns.subscribe();
            async move {
                let _ = turns.wait_for(|_| net.age(way.0, way.1) != born).await;
            }
        };
        let carrying = async {
            let mut bytes = vec![0; 64 << 10];
            while let Ok(count @ 1..) = from.read(&mut bytes).await {
                pass(self.latency()).await;
                let _ = turns.wait_for(|_| !self.is_cut(way.0, way.1)).await;
                if to.write_all(&bytes[..count]).await.is_err() {
                    break;
                }
            }
        };
        tokio::select! {
            biased;
            () = reset => {}
            () = carrying => {}
        }
        // The reader has to hear of the end; the other direction may go on holding the stream.
        let _ = to.shutdown().await;
    }
}

impl Dialer for SimDialer {
    fn dial(&self, address: &str) -> Dialled {
        let (net, from) = (self.net.clone(), self.from);
        let to: i32 =
            address.strip_prefix("sim:").and_then(|id| id.parse().ok()).expect("an address of this net");
        Box::pin(async move {
            pass(net.latency()).await;
            if net.is_cut(from, to) || net.is_cut(to, from) {
                std::future::pending::<()>().await;
            }
            let listener = net.0.state.lock().nodes.get(&to).cloned();
            let listener = listener.ok_or(io::ErrorKind::ConnectionRefused)?;
            let (near, near_wire) = duplex(256 << 10);
            let (far, far_wire) = duplex(256 << 10);
            let (near_out, near_in) = split(near_wire);
            let (far_out, far_in) = split(far_wire);
            spawn(net.clone().carry((from, to), near_out, far_in));
            spawn(net.clone().carry((to, from), far_out, near_in));
            spawn(async move { listener.accept(Box::new(far)).await });
            Ok(Box::new(near) as Box<dyn Stream>)
        })
    }
}
