//! Brokers, their replicas and machines, and the links between them.
//!
//! Must never choose by itself when something happens: the run does. What stands here for the broker's own code keeps to its
//! rules: an answer waits for the high watermark, a first batch for the coordinator's word, a marker for its commit.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::error::ResponseError;
use milena_coordinator::image::MetadataImage;
use milena_coordinator::replica::{Outcome, Proposal};
use milena_coordinator::transaction::{MarkerOrder, TransactionVersion};
use milena_storage::ids::{Offset, ProducerEpoch, ProducerId, Timestamp, TopicPartition};
use milena_storage::validate::Origin;

use crate::Bug;
use crate::controller::{Controller, broker_of, id_of, partition};
use crate::hosts::{Groups, Transactions, Wanted, Work, worn as worn_record};
use crate::letters::{Answer, Letter, Node, Said};
use crate::replica::{Fetcher, Replica};
use crate::serve::code_of;

pub(crate) const BROKERS: usize = 4;
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
    /// Until when it stands still, as a stopped process does.
    pub(crate) paused: i64,
    /// It has not been registered yet; and whether its last process stopped cleanly.
    pub(crate) joins: Option<bool>,
    /// It is about to stop, and not to be taken back.
    pub(crate) stopping: bool,
    /// How far its clock is off.
    pub(crate) skew: i64,
    /// What it knows of the cluster, and under which epoch it is registered.
    pub(crate) image: MetadataImage,
    pub(crate) epoch: i64,
    /// Machines that have what their log refused, and are to be loaded anew.
    reload: BTreeSet<usize>,
    pub(crate) replicas: Vec<Replica>,
    parked: Vec<Vec<(Offset, Parked)>>,
    pub(crate) transactions: Option<Transactions>,
    pub(crate) groups: Option<Groups>,
    /// Batches and commits that wait for the coordinator's word, by the call that asked for it.
    pub(crate) verifying: BTreeMap<u64, crate::serve::Waiting>,
}

pub(crate) struct Cluster {
    pub(crate) now: Timestamp,
    /// The cluster's `transaction.version`.
    pub(crate) level: TransactionVersion,
    pub(crate) bug: Option<Bug>,
    pub(crate) brokers: Vec<Broker>,
    pub(crate) controller: Controller,
    /// Links between brokers that are cut, from the one to the other.
    pub(crate) cut: BTreeSet<(usize, usize)>,
    /// Since when the controller has heard nothing of a broker.
    pub(crate) silent_since: [Option<i64>; BROKERS],
    /// Who has lost what was not synced, or its disk, and has not been in sync since, by partition.
    lossy: Vec<BTreeSet<usize>>,
    /// Letters that were written and not posted yet.
    pub(crate) outbox: Vec<(Node, Node, Letter)>,
    calls: u64,
    /// Calls by which offsets of older clients are verified; of these nothing comes late. A commit that waits for them must not
    /// outlive its transaction: see `Run::is_gone_with_its_connection`.
    pub(crate) prompt: BTreeSet<u64>,
    producer_ids: i64,
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
            paused: 0,
            joins: None,
            stopping: false,
            skew: 0,
            image: MetadataImage::default(),
            epoch: -1,
            reload: BTreeSet::new(),
            replicas: (0..PARTITIONS).map(|at| Replica::new(at >= DATA)).collect(),
            parked: (0..PARTITIONS).map(|_| Vec::new()).collect(),
            transactions: None,
            groups: None,
            verifying: BTreeMap::new(),
        };
        let mut cluster = Self {
            now: Timestamp(1_000),
            level,
            bug,
            brokers: (0..BROKERS).map(broker).collect(),
            controller: Controller::new(level, Timestamp(1_000)),
            cut: BTreeSet::new(),
            silent_since: [None; BROKERS],
            lossy: vec![BTreeSet::new(); PARTITIONS],
            outbox: Vec::new(),
            calls: 0,
            prompt: BTreeSet::new(),
            producer_ids: 0,
            worn: !worn.is_empty(),
            rotations: 0,
            refused: 0,
        };
        for &(id, epoch) in worn {
            let batch = worn_record(id, cluster.fresh_producer_id(), epoch, cluster.now);
            for broker in cluster.replicas(STATE) {
                let replica = &mut cluster.brokers[broker].replicas[STATE];
                replica.begins_with(batch.clone(), cluster.now);
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

    /// The leader by the controller's word.
    pub(crate) fn leader(&self, at: usize) -> Option<usize> {
        self.controller.partition(at).leader.map(broker_of)
    }

    /// Where the replicas are, by the controller's word.
    pub(crate) fn replicas(&self, at: usize) -> Vec<usize> {
        self.controller.partition(at).replicas.iter().copied().map(broker_of).collect()
    }

    /// What time it is for a broker.
    pub(crate) fn clock(&self, broker: usize) -> Timestamp {
        Timestamp(self.now.0 + self.brokers[broker].skew)
    }

    /// Whether the broker's process is there and does something.
    pub(crate) fn runs(&self, broker: usize) -> bool {
        self.brokers[broker].alive && self.brokers[broker].paused <= self.now.0
    }

    /// Whether what one broker sends arrives at another.
    pub(crate) fn is_linked(&self, from: usize, to: usize) -> bool {
        from == to || !self.cut.contains(&(from, to))
    }

    /// How often leadership began.
    pub(crate) fn elections(&self) -> usize {
        let epochs = (0..PARTITIONS).map(|at| self.controller.partition(at).leader_epoch.0);
        usize::try_from(epochs.sum::<i32>()).expect("epochs grow from 0")
    }

    /// The broker takes over what the controller has decided by now.
    pub(crate) fn learn(&mut self, broker: usize) {
        let node = self.controller.node;
        let joins = self.brokers[broker].joins.is_some();
        if !self.runs(broker) || joins || !self.is_linked(node, broker) || !self.runs(node) {
            return;
        }
        let image = self.controller.image.clone();
        let now = self.clock(broker);
        let id = id_of(broker);
        if let Some(registered) = image.broker(id) {
            self.brokers[broker].epoch = registered.epoch;
        }
        self.brokers[broker].image = image.clone();
        for at in 0..PARTITIONS {
            let state = partition(&image, at);
            if !state.replicas.contains(&id) {
                self.abdicate(broker, at);
                self.brokers[broker].replicas[at].retire(at >= DATA);
                continue;
            }
            let led = self.leads(broker, at);
            let begins = self.brokers[broker].replicas[at].follow(broker, state, now);
            if begins || (led && !self.leads(broker, at)) {
                self.abdicate(broker, at);
            }
            if begins {
                self.load(broker, at);
            }
        }
        (0..PARTITIONS).for_each(|at| self.moved(broker, at));
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
        let (now, bug) = (self.clock(broker), self.bug);
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
        let now = self.clock(broker);
        let replica = &mut self.brokers[broker].replicas[at];
        if let Some(Ok(Said::Producer(_, ProducerEpoch(0)))) = wanted.answer {
            self.rotations += usize::from(self.worn);
        }
        if let Some(batch) = wanted.batch
            && let Err(refused) = replica.append(batch, Origin::Coordinator, now)
        {
            self.refused += usize::from(code_of(&refused) == ResponseError::KafkaStorageError);
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
        let now = self.clock(broker);
        let Broker { replicas, image, .. } = &mut self.brokers[broker];
        if replicas[at].leads {
            let _ = replicas[at].advance(image, now);
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

    /// A follower fetches from the leader that it knows of.
    pub(crate) fn pull(&mut self, at: usize, follower: usize) {
        let here = &self.brokers[follower].replicas[at];
        let Some(leader) = here.leader.map(broker_of).filter(|leader| *leader != follower) else { return };
        if !self.runs(follower) || !self.runs(leader) || !self.is_linked(follower, leader) {
            return;
        }
        let is_answered = self.is_linked(leader, follower);
        let (leaders_now, now) = (self.clock(leader), self.clock(follower));
        let [one, other] = self.brokers.get_disjoint_mut([leader, follower]).expect("two brokers");
        let (broker, broker_epoch, peers) = (follower, other.epoch, &one.image);
        let who = Fetcher { broker, broker_epoch, is_answered, peers, leaders_now, now };
        other.replicas[at].pull(&who, &mut one.replicas[at]);
        self.moved(leader, at);
    }

    /// What the broker's leaders have to tell the controller.
    pub(crate) fn proposals(&mut self, broker: usize) -> Vec<(usize, Proposal)> {
        let now = self.clock(broker);
        let early = self.bug == Some(Bug::TakesInWhoHasNotCaughtUp);
        let Broker { replicas, image, .. } = &mut self.brokers[broker];
        let all = (0..PARTITIONS).filter_map(|at| {
            let proposal = replicas[at].proposal(image, now);
            let moving = early && replicas[at].leads && !partition(image, at).adding.is_empty();
            let proposal = if moving { Some(replicas[at].all(partition(image, at))) } else { proposal };
            Some((at, proposal?))
        });
        all.collect()
    }

    /// The controller decides on a proposal.
    pub(crate) fn alter(&mut self, at: usize, leader: usize, proposal: &Proposal) -> Outcome {
        let (epoch, now) = (self.brokers[leader].epoch, self.now);
        let outcome = self.controller.alter(at, leader, epoch, proposal, now);
        self.trust_again();
        outcome
    }

    /// Who is in sync has everything again.
    pub(crate) fn trust_again(&mut self) {
        for at in 0..PARTITIONS {
            let (isr, brokers) = (&self.controller.partition(at).isr, &self.brokers);
            let is_back = |broker: usize| isr.contains(&id_of(broker)) && brokers[broker].joins.is_none();
            self.lossy[at].retain(|broker| !is_back(*broker));
        }
    }

    /// Whether all that is committed would still be with somebody whose word counts, if this broker's process ended. To lose more at
    /// once than `min.insync.replicas` - 1, of which a kill is one when others have lost power, was promised to nobody: a controller
    /// cannot tell the one from the other (KIP-966).
    pub(crate) fn may_end(&self, broker: usize, loses: bool) -> bool {
        let stays = |at: usize| {
            let partition = self.controller.partition(at);
            let harmed = |other: usize| self.lossy[at].contains(&other) || (loses && other == broker);
            let counts = partition.isr.iter().chain(&partition.elr).chain(&partition.last_known_elr);
            if !counts.copied().map(broker_of).any(harmed) {
                return true;
            }
            let is_there = |other: usize| self.brokers[other].alive && self.brokers[other].joins.is_none();
            let good = |other: usize| other != broker && !harmed(other) && is_there(other);
            partition.isr.iter().copied().map(broker_of).any(good)
        };
        (0..PARTITIONS).all(stays)
    }

    /// Gives how many offsets are gone with what was not synced.
    pub(crate) fn lose_power(&mut self, broker: usize, seed: u64) -> usize {
        self.kill(broker);
        self.note_loss(broker);
        let now = self.now;
        let replicas = self.brokers[broker].replicas.iter_mut();
        let lost = replicas.zip(seed..).map(|(replica, seed)| replica.loses_power(seed, now));
        usize::try_from(lost.sum::<i64>()).expect("a log does not grow by it")
    }

    /// The broker's disk is replaced by an empty one. Gives how many offsets are gone.
    pub(crate) fn lose_disk(&mut self, broker: usize) -> usize {
        self.kill(broker);
        self.note_loss(broker);
        let replicas = &mut self.brokers[broker].replicas;
        let lost = replicas.iter().map(|replica| replica.end().0).sum::<i64>();
        *replicas = (0..PARTITIONS).map(|at| Replica::new(at >= DATA)).collect();
        usize::try_from(lost).expect("ends of logs")
    }

    fn note_loss(&mut self, broker: usize) {
        let replicas: Vec<Vec<usize>> = (0..PARTITIONS).map(|at| self.replicas(at)).collect();
        for (lossy, replicas) in self.lossy.iter_mut().zip(replicas) {
            if replicas.contains(&broker) {
                lossy.insert(broker);
            }
        }
    }

    /// Cleans the coordinators' logs; gives how many of them are smaller now.
    pub(crate) fn clean(&mut self, broker: usize) -> usize {
        let (now, bug) = (self.now, self.bug);
        let replicas = &mut self.brokers[broker].replicas[DATA..];
        replicas.iter_mut().map(|replica| usize::from(replica.clean(now, bug))).sum()
    }

    pub(crate) fn kill(&mut self, broker: usize) {
        let now = self.now;
        self.ends(broker, false);
        self.brokers[broker].replicas.iter_mut().for_each(|replica| replica.killed(now));
    }

    /// The broker stops in order.
    pub(crate) fn stop(&mut self, broker: usize) {
        let now = self.now;
        let replicas = self.brokers[broker].replicas.iter_mut();
        let clean = replicas.map(|replica| replica.stops(now)).filter(|is_clean| !is_clean).count() == 0;
        self.ends(broker, clean);
    }

    fn ends(&mut self, broker: usize, clean: bool) {
        let ended = &mut self.brokers[broker];
        (ended.alive, ended.paused, ended.stopping) = (false, 0, false);
        ended.joins = Some(clean);
        ended.image = MetadataImage::default();
        ended.parked.iter_mut().for_each(Vec::clear);
        (ended.transactions, ended.groups) = (None, None);
        ended.verifying.clear();
        ended.reload.clear();
    }

    /// How things stand, for whoever has to find out why they stand still.
    pub(crate) fn told(&self) -> String {
        let mut lines = Vec::new();
        for at in 0..PARTITIONS {
            let ends: Vec<_> = self.brokers.iter().map(|broker| broker.replicas[at].told()).collect();
            lines.push(format!("{}: {:?}: {ends:?}", name_of(at), self.controller.partition(at)));
        }
        for (index, broker) in self.brokers.iter().enumerate() {
            let Some(host) = &broker.transactions else { continue };
            lines.push(format!("broker {index} coordinates {}", host.told()));
        }
        lines.join("\n")
    }

    /// Nothing is on the way, every replica is in sync, and has what its leader has.
    pub(crate) fn is_at_rest(&self) -> bool {
        let done = |at: usize| {
            let partition = self.controller.partition(at);
            let moving = !partition.adding.is_empty() || !partition.removing.is_empty();
            let Some(leader) = partition.leader.map(broker_of) else { return false };
            let source = &self.brokers[leader].replicas[at];
            // A log that ends there may still have something else, but what is committed is the same everywhere.
            let same = |id: &milena_storage::ids::BrokerId| {
                let replica = &self.brokers[broker_of(*id)].replicas[at];
                replica.end() == source.end() && replica.high_watermark == source.end()
            };
            let in_sync = partition.isr.len() == partition.replicas.len() && !moving;
            in_sync && source.stable() == source.end() && partition.replicas.iter().all(same)
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
