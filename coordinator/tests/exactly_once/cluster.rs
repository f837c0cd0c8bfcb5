//! Brokers, their replicas and machines, and the controller that says who leads.
//!
//! Must never choose by itself when something happens: the run does. What stands here for the broker's own code keeps to its
//! rules: an answer waits for the high watermark, a first batch for the coordinator's word, a marker for its commit.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::error::ResponseError;
use milena_coordinator::transaction::{MarkerOrder, TransactionVersion};
use milena_storage::ids::{Offset, ProducerEpoch, ProducerId, Timestamp, TopicPartition};
use milena_storage::validate::Origin;

use crate::Bug;
use crate::hosts::{Groups, Transactions, Wanted, Work, worn as worn_record};
use crate::letters::{Answer, Letter, Node, Said};
use crate::replica::Replica;
use crate::serve::code_of;

pub(crate) const BROKERS: usize = 3;
/// `min.insync.replicas`: one of them may lose power.
pub(crate) const MIN_IN_SYNC: usize = 2;
/// Partitions of the topic that is copied to; the machines' partitions come behind them.
pub(crate) const DATA: usize = 3;
pub(crate) const OFFSETS: usize = DATA;
pub(crate) const STATE: usize = DATA + 1;
pub(crate) const PARTITIONS: usize = DATA + 2;

/// What waits for the high watermark.
enum Parked {
    Answer(Node, u64, Answer),
    Order(MarkerOrder),
}

pub(crate) struct Broker {
    pub(crate) alive: bool,
    /// It is down, and its disks have lost what was not synced.
    pub(crate) powerless: bool,
    /// No other broker hears it, nor does the controller; clients do.
    pub(crate) isolated: bool,
    /// Machines that have what their log refused, and are to be loaded anew.
    reload: BTreeSet<usize>,
    pub(crate) replicas: Vec<Replica>,
    parked: Vec<Vec<(Offset, Parked)>>,
    pub(crate) transactions: Option<Transactions>,
    pub(crate) groups: Option<Groups>,
    /// Batches and commits that wait for the coordinator's word, by the call that asked for it.
    pub(crate) verifying: BTreeMap<u64, crate::serve::Waiting>,
}

/// What the controller has decided of a partition.
#[derive(Clone)]
pub(crate) struct Led {
    pub(crate) leader: Option<usize>,
    pub(crate) epoch: i32,
    pub(crate) in_sync: BTreeSet<usize>,
    /// Who was in sync when nothing more could be committed without it (KIP-966).
    pub(crate) eligible: BTreeSet<usize>,
}

pub(crate) struct Cluster {
    pub(crate) now: Timestamp,
    /// The cluster's `transaction.version`.
    pub(crate) level: TransactionVersion,
    pub(crate) bug: Option<Bug>,
    pub(crate) brokers: Vec<Broker>,
    pub(crate) led: Vec<Led>,
    /// Letters that were written and not posted yet.
    pub(crate) outbox: Vec<(Node, Node, Letter)>,
    calls: u64,
    /// Calls by which offsets of older clients are verified; of these nothing comes late. A commit that waits for them must not
    /// outlive its transaction: see `Run::is_gone_with_its_connection`.
    pub(crate) prompt: BTreeSet<u64>,
    producer_ids: i64,
    pub(crate) elections: usize,
    /// Every id has had a producer before the run began.
    worn: bool,
    /// How often the epochs of such a producer were used up.
    pub(crate) rotations: usize,
    /// Batches that a full disk has refused.
    pub(crate) refused: usize,
}

impl Cluster {
    /// `worn` has the epochs of producers that are known already, one for each of these ids.
    pub(crate) fn new(level: TransactionVersion, worn: &[(&str, i16)], bug: Option<Bug>) -> Self {
        let broker = |_| Broker {
            alive: true,
            powerless: false,
            isolated: false,
            reload: BTreeSet::new(),
            replicas: (0..PARTITIONS).map(|at| Replica::new(at >= DATA)).collect(),
            parked: (0..PARTITIONS).map(|_| Vec::new()).collect(),
            transactions: None,
            groups: None,
            verifying: BTreeMap::new(),
        };
        let led = |at| Led {
            leader: Some(at % BROKERS),
            epoch: 1,
            in_sync: (0..BROKERS).collect(),
            eligible: BTreeSet::new(),
        };
        let mut cluster = Self {
            now: Timestamp(1_000),
            level,
            bug,
            brokers: (0..BROKERS).map(broker).collect(),
            led: (0..PARTITIONS).map(led).collect(),
            outbox: Vec::new(),
            calls: 0,
            prompt: BTreeSet::new(),
            producer_ids: 0,
            elections: 0,
            worn: !worn.is_empty(),
            rotations: 0,
            refused: 0,
        };
        for &(id, epoch) in worn {
            let batch = worn_record(id, cluster.fresh_producer_id(), epoch, cluster.now);
            for broker in &mut cluster.brokers {
                broker.replicas[STATE].append(batch.clone(), Origin::Coordinator, cluster.now).unwrap();
            }
        }
        (0..BROKERS).for_each(|broker| cluster.learn(broker));
        cluster
    }

    pub(crate) fn next_call(&mut self) -> u64 {
        self.calls += 1;
        self.calls
    }

    pub(crate) fn fresh_producer_id(&mut self) -> ProducerId {
        self.producer_ids += 1;
        let reused = self.bug == Some(Bug::GivesProducerIdsAgain) && self.producer_ids > 3;
        ProducerId(if reused { self.producer_ids % 3 + 1 } else { self.producer_ids })
    }

    pub(crate) fn leads(&self, broker: usize, at: usize) -> bool {
        self.brokers[broker].replicas[at].leads
    }

    /// The broker takes over what the controller has decided by now.
    pub(crate) fn learn(&mut self, broker: usize) {
        if !self.brokers[broker].alive || self.brokers[broker].isolated {
            return;
        }
        for at in 0..PARTITIONS {
            let Led { leader, epoch, in_sync, .. } = self.led[at].clone();
            let replica = &mut self.brokers[broker].replicas[at];
            if leader == Some(broker) && replica.leads && replica.epoch == epoch {
                replica.in_sync = in_sync;
                self.moved(broker, at);
            } else if leader == Some(broker) {
                replica.lead(epoch, &in_sync);
                self.abdicate(broker, at);
                self.load(broker, at);
                self.moved(broker, at);
            } else {
                let led = replica.leads;
                replica.follow(epoch);
                if led {
                    self.abdicate(broker, at);
                }
            }
        }
    }

    /// Who waits for this partition's machine or records has to ask elsewhere.
    fn abdicate(&mut self, broker: usize, at: usize) {
        for (_, parked) in std::mem::take(&mut self.brokers[broker].parked[at]) {
            if let Parked::Answer(to, call, _) = parked {
                self.answer(broker, to, call, Err(ResponseError::NotLeaderOrFollower));
            }
        }
        self.brokers[broker].reload.remove(&at);
        match at {
            OFFSETS => self.brokers[broker].groups = None,
            STATE => self.brokers[broker].transactions = None,
            _ => {}
        }
    }

    fn load(&mut self, broker: usize, at: usize) {
        let (now, bug) = (self.now, self.bug);
        let log = &self.brokers[broker].replicas[at];
        if at == OFFSETS {
            self.brokers[broker].groups = Some(Groups::load(log, now, bug));
        } else if at == STATE {
            let (host, wanted) = Transactions::load(log, now, self.level, bug);
            self.brokers[broker].transactions = Some(host);
            self.carry_out(broker, STATE, wanted, None);
        }
    }

    /// Appends what a machine wants, and parks the rest until that is committed.
    pub(crate) fn carry_out(&mut self, broker: usize, at: usize, wanted: Wanted, asked: Option<(Node, u64)>) {
        let now = self.now;
        let replica = &mut self.brokers[broker].replicas[at];
        if let Some(Ok(Said::Producer(_, ProducerEpoch(0)))) = wanted.answer {
            self.rotations += usize::from(self.worn);
        }
        if let Some(batch) = wanted.batch
            && let Err(refused) = replica.append(batch, Origin::Coordinator, now)
        {
            assert_eq!(
                code_of(&refused),
                ResponseError::KafkaStorageError,
                "coordinators' records are taken"
            );
            if self.bug != Some(Bug::KeepsWhatTheLogRefused) {
                return self.load_anew(broker, at, asked);
            }
        }
        if let (Some((to, call)), Some(answer)) = (asked, wanted.answer) {
            self.park_answer(broker, at, (to, call), answer);
        }
        let end = match self.bug {
            Some(Bug::MarksBeforeTheDecisionStands) => Offset(0),
            _ => self.brokers[broker].replicas[at].end(),
        };
        let orders = wanted.orders.into_iter().map(|order| (end, Parked::Order(order)));
        self.brokers[broker].parked[at].extend(orders);
        self.moved(broker, at);
        if wanted.wants_producer_id {
            let fresh = self.fresh_producer_id();
            if let Some(host) = &mut self.brokers[broker].transactions {
                let _ = host.fresh(now, fresh);
            }
        }
    }

    /// The machine has what the log refused: it goes, and whoever waits for it has to ask again.
    pub(crate) fn load_anew(&mut self, broker: usize, at: usize, asked: Option<(Node, u64)>) {
        self.refused += 1;
        self.abdicate(broker, at);
        self.brokers[broker].reload.insert(at);
        if let Some((to, call)) = asked {
            self.answer(broker, to, call, Err(ResponseError::NotLeaderOrFollower));
        }
    }

    /// Loads machines that have to be loaded anew.
    pub(crate) fn reload(&mut self, broker: usize) {
        for at in std::mem::take(&mut self.brokers[broker].reload) {
            self.load(broker, at);
        }
    }

    pub(crate) fn park_answer(&mut self, broker: usize, at: usize, (to, call): (Node, u64), answer: Answer) {
        let end = match self.bug {
            Some(Bug::AnswersBeforeTheCommit) => Offset(0),
            _ => self.brokers[broker].replicas[at].end(),
        };
        self.brokers[broker].parked[at].push((end, Parked::Answer(to, call, answer)));
        self.free(broker, at);
    }

    /// The leader's log or its in-sync replicas have changed.
    pub(crate) fn moved(&mut self, broker: usize, at: usize) {
        if self.brokers[broker].replicas[at].leads {
            let _ = self.brokers[broker].replicas[at].advance(broker);
            self.free(broker, at);
        }
    }

    fn free(&mut self, broker: usize, at: usize) {
        let committed = self.brokers[broker].replicas[at].high_watermark;
        let parked = std::mem::take(&mut self.brokers[broker].parked[at]);
        let (free, left) = parked.into_iter().partition(|(end, _)| *end <= committed);
        self.brokers[broker].parked[at] = left;
        let free: Vec<(Offset, Parked)> = free;
        for (_, parked) in free {
            match parked {
                Parked::Answer(to, call, answer) => self.answer(broker, to, call, answer),
                Parked::Order(order) => self.begin_markers(broker, order),
            }
        }
    }

    fn begin_markers(&mut self, broker: usize, order: MarkerOrder) {
        let left = order.partitions.iter().map(index_of).collect();
        let Some(host) = &mut self.brokers[broker].transactions else { return };
        host.works.push(Work { order, left, calls: BTreeMap::new() });
        self.go_on_with_markers(broker);
    }

    pub(crate) fn answer(&mut self, broker: usize, to: Node, call: u64, answer: Answer) {
        self.outbox.push((Node::Broker(broker), to, Letter::Answer { call, answer }));
    }

    /// A follower fetches from the leader that both know of.
    pub(crate) fn pull(&mut self, at: usize, follower: usize) {
        let Some(leader) = self.led[at].leader.filter(|leader| *leader != follower) else { return };
        if [leader, follower].iter().any(|&one| !self.brokers[one].alive || self.brokers[one].isolated) {
            return;
        }
        let epoch = self.led[at].epoch;
        let [one, other] = self.brokers.get_disjoint_mut([leader, follower]).expect("two brokers");
        let (source, replica) = (&mut one.replicas[at], &mut other.replicas[at]);
        if !source.leads || source.epoch != epoch || replica.leads || replica.epoch != epoch {
            return;
        }
        replica.pull(follower, source, self.now);
        if replica.end() == source.end() && self.led[at].in_sync.insert(follower) {
            source.in_sync.clone_from(&self.led[at].in_sync);
            self.led[at].eligible.clear();
        }
        self.moved(leader, at);
    }

    /// Gives how many offsets are gone with what was not synced.
    pub(crate) fn lose_power(&mut self, broker: usize, seed: u64) -> usize {
        self.kill(broker);
        let now = self.now;
        let without = &mut self.brokers[broker];
        without.powerless = true;
        let seeds = seed..;
        let lost =
            without.replicas.iter_mut().zip(seeds).map(|(replica, seed)| replica.loses_power(seed, now));
        usize::try_from(lost.sum::<i64>()).expect("a log does not grow by it")
    }

    /// Cleans the coordinators' logs; gives how many of them are smaller now.
    pub(crate) fn clean(&mut self, broker: usize) -> usize {
        let (now, bug) = (self.now, self.bug);
        let replicas = &mut self.brokers[broker].replicas[DATA..];
        replicas.iter_mut().map(|replica| usize::from(replica.clean(now, bug))).sum()
    }

    pub(crate) fn kill(&mut self, broker: usize) {
        let now = self.now;
        let killed = &mut self.brokers[broker];
        killed.alive = false;
        killed.isolated = false;
        killed.replicas.iter_mut().for_each(|replica| replica.killed(now));
        killed.parked.iter_mut().for_each(Vec::clear);
        (killed.transactions, killed.groups) = (None, None);
        killed.verifying.clear();
        killed.reload.clear();
    }

    /// How things stand, for whoever has to find out why they stand still.
    pub(crate) fn told(&self) -> String {
        let mut lines = Vec::new();
        for (at, led) in self.led.iter().enumerate() {
            let ends: Vec<_> = self.brokers.iter().map(|broker| broker.replicas[at].told()).collect();
            lines.push(format!("{} led by {:?} in {}: {ends:?}", name_of(at), led.leader, led.epoch));
        }
        for (index, broker) in self.brokers.iter().enumerate() {
            let Some(host) = &broker.transactions else { continue };
            lines.push(format!("broker {index} coordinates {}", host.told()));
        }
        lines.join("\n")
    }

    /// Nothing is on the way, and every replica has what its leader has.
    pub(crate) fn is_at_rest(&self) -> bool {
        let done = |at: usize| {
            let Some(leader) = self.led[at].leader else { return false };
            let source = &self.brokers[leader].replicas[at];
            // A log that ends there may still have something else, but what is committed is the same everywhere.
            let same = |broker: &Broker| {
                let replica = &broker.replicas[at];
                replica.end() == source.end() && replica.high_watermark == source.end()
            };
            source.stable() == source.end() && self.brokers.iter().all(same)
        };
        let busy = |broker: &Broker| broker.transactions.as_ref().is_some_and(|host| !host.works.is_empty());
        (0..PARTITIONS).all(done) && !self.brokers.iter().any(busy)
    }
}

/// The name by which machines know a partition.
pub(crate) fn name_of(at: usize) -> TopicPartition {
    match at {
        OFFSETS => TopicPartition::new(milena_coordinator::group::TOPIC, 0),
        STATE => TopicPartition::new(milena_coordinator::transaction::TOPIC, 0),
        data => TopicPartition::new("out", i32::try_from(data).expect("a small number")),
    }
}

fn index_of(name: &TopicPartition) -> usize {
    (0..PARTITIONS).find(|at| name_of(*at) == *name).expect("a partition of this cluster")
}
