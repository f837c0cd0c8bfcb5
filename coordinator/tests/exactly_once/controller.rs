//! The controller: the broker's own decisions (`milena_coordinator::controller`) on a tree of its own, one after the other.
//!
//! What the ensemble decides is committed at once and to the same tree, whoever leads; who that is, and whether anybody can, the run
//! says. Must never change the tree but by what those decisions give.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::alter_partition_reassignments_request::{
    ReassignablePartition, ReassignableTopic,
};
use kafka_protocol::messages::alter_partition_request::{BrokerState, PartitionData, TopicData};
use kafka_protocol::messages::create_topics_request::{CreatableReplicaAssignment, CreatableTopic};
use kafka_protocol::messages::{
    AlterPartitionReassignmentsRequest, AlterPartitionRequest, CreateTopicsRequest, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use milena_coordinator::controller::{
    self, ConfigRules, Ctx, Dice, EffectiveConfig, FirstContent, Plan, Refusal, Registration,
    ReplicationRules,
};
use milena_coordinator::image::{ConfigKind, Configs, MetadataImage, PartitionImage};
use milena_coordinator::replica::{Outcome, Proposal};
use milena_coordinator::transaction::TransactionVersion;
use milena_coordinator::tree::{Command, CommandKind, Op, Outcome as Committed, SessionId, Tree};
use milena_storage::ids::{BrokerId, Timestamp};

use crate::cluster::{BROKERS, DATA, MIN_IN_SYNC, OFFSETS, STATE, name_of};

/// Nothing but `min.insync.replicas` counts here.
struct Rules;

impl ConfigRules for Rules {
    fn check(&self, _: ConfigKind, _: &str, _: &Configs, _: &Configs) -> Result<(), Refusal> {
        Ok(())
    }

    fn is_list(&self, _: ConfigKind, _: &str) -> Option<bool> {
        None
    }

    fn default_text(&self, _: ConfigKind, _: &str) -> Option<String> {
        None
    }

    fn topic_configs(&self, _: &MetadataImage, _: &Configs) -> Vec<EffectiveConfig> {
        Vec::new()
    }

    fn default_partitions(&self) -> i32 {
        1
    }

    fn default_replication_factor(&self) -> i16 {
        1
    }

    fn replication(&self, _: &MetadataImage, _: &str) -> ReplicationRules {
        ReplicationRules { min_in_sync: MIN_IN_SYNC, unclean_election: false }
    }
}

pub(crate) struct Controller {
    tree: Tree,
    pub(crate) image: MetadataImage,
    now: Timestamp,
    /// Under which each broker is registered.
    sessions: BTreeMap<usize, SessionId>,
    /// The broker that runs it: the leader of the ensemble.
    pub(crate) node: usize,
    /// Whose links have closed, and who has been heard again.
    silent: BTreeSet<BrokerId>,
}

impl Controller {
    /// A cluster in which every broker is registered and every partition has three replicas.
    pub(crate) fn new(level: TransactionVersion, now: Timestamp) -> Self {
        let mut controller = Self {
            tree: Tree::new(),
            image: MetadataImage::default(),
            now,
            sessions: BTreeMap::new(),
            node: 0,
            silent: BTreeSet::new(),
        };
        let features = [("eligible.leader.replicas.version", 1), ("transaction.version", level.0)];
        let features = features.into_iter().map(|(name, level)| (name.to_owned(), level)).collect();
        let cluster_id = "AAAAAAAAAAAAAAAAAAAAAA".into();
        let first =
            controller::bootstrap(|_| false, FirstContent { cluster_id, features, ..Default::default() });
        controller.commit(first, SessionId::NONE);
        (0..BROKERS).for_each(|broker| controller.register(broker, true, now));
        controller.take_over(0, now);
        for (name, indexes) in
            [("out", 0..DATA), (topic_of(OFFSETS), OFFSETS..STATE), (topic_of(STATE), STATE..STATE + 1)]
        {
            controller.create(name, indexes);
        }
        controller
    }

    fn create(&mut self, name: &str, partitions: std::ops::Range<usize>) {
        let assignment = |(index, at): (i32, usize)| {
            let ids = (0..3).map(|other| id_of((at + other) % BROKERS).0.into()).collect();
            CreatableReplicaAssignment::default().with_partition_index(index).with_broker_ids(ids)
        };
        let topic = CreatableTopic::default()
            .with_name(topic_name(name))
            .with_num_partitions(-1)
            .with_replication_factor(-1)
            .with_assignments((0..).zip(partitions).map(assignment).collect());
        let request = CreateTopicsRequest::default().with_topics(vec![topic]);
        let plan = controller::create_topics(&mut self.ctx(), &request).unwrap();
        let created = self.carry_out(plan);
        assert_eq!(created[0].0.error_code, 0, "{created:?}");
    }

    /// What is known of a partition.
    pub(crate) fn partition(&self, at: usize) -> &PartitionImage {
        partition(&self.image, at)
    }

    /// A broker leads the ensemble from now on.
    pub(crate) fn take_over(&mut self, node: usize, now: Timestamp) {
        (self.node, self.now) = (node, now);
        let session = self.open_session();
        let ops = controller::take_over(&self.image, id_of(node), now);
        self.commit(ops, session);
    }

    /// A process has started, or its session was over: it has a place nowhere that it did not have before, and none at all if it did not
    /// stop cleanly.
    pub(crate) fn register(&mut self, broker: usize, clean: bool, now: Timestamp) {
        self.now = now;
        if let Some(session) = self.sessions.remove(&broker) {
            self.apply(CommandKind::CloseSession { id: session }, SessionId::NONE);
        }
        self.silent.remove(&id_of(broker));
        let plan = controller::restart(&self.ctx(), id_of(broker), clean);
        self.carry_out(plan);
        let session = self.open_session();
        self.sessions.insert(broker, session);
        let registration = Registration {
            broker: id_of(broker),
            endpoints: Vec::new(),
            rack: None,
            directory: None,
            log_dirs: Vec::new(),
            cordoned: false,
            features: controller::supported_features(),
        };
        let ops = controller::register(&self.image, &registration, now);
        self.commit(ops, session);
        let states = controller::take_up_leadership(&self.image, id_of(broker), clean);
        self.commit([vec![controller::fence(&self.image)], states].concat(), SessionId::NONE);
        self.put_in_order(now);
    }

    /// A broker's link has closed.
    pub(crate) fn suspect(&mut self, broker: usize, now: Timestamp) {
        self.silent.insert(id_of(broker));
        self.put_in_order(now);
    }

    /// A broker is heard again whose session is not over.
    pub(crate) fn hears(&mut self, broker: usize, now: Timestamp) {
        self.silent.remove(&id_of(broker));
        self.put_in_order(now);
    }

    /// A broker was silent for longer than its session lasts.
    pub(crate) fn expire(&mut self, broker: usize, now: Timestamp) {
        self.now = now;
        if let Some(session) = self.sessions.remove(&broker) {
            self.apply(CommandKind::CloseSession { id: session }, SessionId::NONE);
        }
        self.put_in_order(now);
    }

    /// A broker is about to stop (`ControlledShutdown`).
    pub(crate) fn shut_down(&mut self, broker: usize, now: Timestamp) {
        self.now = now;
        if let Ok(plan) = controller::shut_down(&self.ctx(), id_of(broker)) {
            self.carry_out(plan);
        }
        self.put_in_order(now);
    }

    /// How much it has decided.
    pub(crate) fn changes(&self) -> i64 {
        self.tree.zxid().0
    }

    pub(crate) fn is_silent(&self, broker: usize) -> bool {
        self.silent.contains(&id_of(broker))
    }

    pub(crate) fn is_registered(&self, broker: usize) -> bool {
        self.image.broker(id_of(broker)).is_some()
    }

    /// Leadership goes back to where it is preferred.
    pub(crate) fn prefer(&mut self, now: Timestamp) {
        self.now = now;
        let plan = controller::prefer(&self.ctx());
        self.carry_out(plan);
    }

    /// A leader proposes another in-sync set. What becomes of it as the leader sees it.
    pub(crate) fn alter(
        &mut self,
        at: usize,
        leader: usize,
        epoch: i64,
        proposal: &Proposal,
        now: Timestamp,
    ) -> Outcome {
        self.now = now;
        let isr = proposal
            .isr
            .iter()
            .map(|(id, epoch)| BrokerState::default().with_broker_id(id.0.into()).with_broker_epoch(*epoch));
        let name = name_of(at);
        let data = PartitionData::default()
            .with_partition_index(name.partition.0)
            .with_leader_epoch(proposal.leader_epoch.0)
            .with_partition_epoch(proposal.partition_epoch)
            .with_new_isr_with_epochs(isr.collect());
        let id = self.image.topic(&name.topic).expect("it was created").id;
        let request = AlterPartitionRequest::default()
            .with_broker_id(id_of(leader).0.into())
            .with_broker_epoch(epoch)
            .with_topics(vec![TopicData::default().with_topic_id(id).with_partitions(vec![data])]);
        let Ok(plan) = controller::alter_partition(&self.ctx(), &request) else { return Outcome::Unknown };
        let (_, told) = self.carry_out(plan).remove(0).0;
        outcome(told.error_code)
    }

    /// Moves a partition's replicas, or takes a move back; whether anything is to be done.
    pub(crate) fn reassign(&mut self, at: usize, target: Option<&[usize]>, now: Timestamp) -> bool {
        self.now = now;
        let name = name_of(at);
        let replicas = target.map(|ids| ids.iter().map(|broker| id_of(*broker).0.into()).collect());
        let partition =
            ReassignablePartition::default().with_partition_index(name.partition.0).with_replicas(replicas);
        let topic =
            ReassignableTopic::default().with_name(topic_name(&name.topic)).with_partitions(vec![partition]);
        let request = AlterPartitionReassignmentsRequest::default()
            .with_allow_replication_factor_change(true)
            .with_topics(vec![topic]);
        let item = controller::alter_partition_reassignments(&self.ctx(), &request);
        !item.ops.is_empty() && self.commit(item.ops, SessionId::NONE)
    }

    /// What the broker's controller does by itself whenever brokers come and go.
    fn put_in_order(&mut self, now: Timestamp) {
        self.now = now;
        let plan = controller::suspect(&self.ctx(), &self.silent, &self.silent);
        self.carry_out(plan);
        let plan = controller::fail_over(&self.ctx());
        self.carry_out(plan);
    }

    fn ctx(&self) -> Ctx<'_> {
        let seed = self.tree.zxid().next(1).0;
        Ctx {
            image: &self.image,
            rules: &Rules,
            node: id_of(self.node),
            now: self.now,
            dice: Dice::new(seed.unsigned_abs()),
            allowance: None,
        }
    }

    /// The answers, and whether what they tell was committed.
    fn carry_out<R>(&mut self, plan: Plan<R>) -> Vec<(R, bool)> {
        let commit = |item: controller::Item<R>| (item.result, self.commit(item.ops, SessionId::NONE));
        plan.into_iter().map(commit).collect()
    }

    fn commit(&mut self, ops: Vec<Op>, session: SessionId) -> bool {
        if ops.is_empty() {
            return true;
        }
        let done = self.apply(CommandKind::Multi(ops), session);
        matches!(done, Committed::Multi(Ok(_)))
    }

    fn open_session(&mut self) -> SessionId {
        let opened = self.apply(CommandKind::OpenSession { timeout_millis: 1_000 }, SessionId::NONE);
        let Committed::SessionOpened(session) = opened else { panic!("{opened:?}") };
        session
    }

    fn apply(&mut self, kind: CommandKind, session: SessionId) -> Committed {
        let zxid = self.tree.zxid().next(1);
        let command = Command { session, time: self.now, kind };
        let (outcome, changes) = self.tree.apply(zxid, &command);
        (self.image, _) = self.image.apply(&self.tree, &changes);
        outcome
    }
}

/// As `Partition.handleAlterPartitionError`, and the broker's `replication::in_sync`.
fn outcome(code: i16) -> Outcome {
    match ResponseError::try_from_code(code) {
        None | Some(ResponseError::InvalidUpdateVersion) => Outcome::Moved,
        Some(
            ResponseError::IneligibleReplica
            | ResponseError::FencedLeaderEpoch
            | ResponseError::InvalidRequest,
        ) => Outcome::Refused,
        Some(_) => Outcome::Unknown,
    }
}

pub(crate) fn partition(image: &MetadataImage, at: usize) -> &PartitionImage {
    let name = name_of(at);
    image.partition(&name.topic, name.partition).expect("it was created")
}

/// Brokers are counted from 0, and have ids from 1.
pub(crate) fn id_of(broker: usize) -> BrokerId {
    BrokerId(1 + i32::try_from(broker).expect("a small number"))
}

pub(crate) fn broker_of(id: BrokerId) -> usize {
    usize::try_from(id.0 - 1).expect("one of ours")
}

fn topic_of(at: usize) -> &'static str {
    if at == OFFSETS { milena_coordinator::group::TOPIC } else { milena_coordinator::transaction::TOPIC }
}

fn topic_name(name: &str) -> TopicName {
    TopicName(StrBytes::from_string(name.to_owned()))
}
