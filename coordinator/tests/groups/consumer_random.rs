//! Random members of both protocols against the machine, with what must hold whatever they do.
//!
//! Must never depend on anything but the generated steps, so that a failure can be run again.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, GroupId, OffsetCommitRequest, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use milena_coordinator::group::records::{Change, ConsumerChange};
use milena_coordinator::group::{ConsumerConfig, GroupConfig, Record as GroupRecord, Reply, Request};
use proptest::prelude::*;
use uuid::Uuid;

use crate::command::text;
use crate::world::{Happened, World};

const CLIENTS: usize = 5;
/// The first two share an instance id, so that they fence each other.
const STATIC: usize = 2;
const TOPICS: [&str; 2] = ["foo", "bar"];

#[derive(Clone, Copy, Debug)]
enum Step {
    /// A heartbeat: whoever is out joins, others report what they have.
    Beat(usize),
    /// A heartbeat whose answer gets lost.
    Lost(usize),
    /// The client gives up what it was told to.
    Revoke(usize),
    Commit(usize),
    Leave(usize),
    /// Forgets everything, as a process that starts anew.
    Crash(usize),
    Resize(usize, i32),
    Tick(u16),
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let client = 0..CLIENTS;
    let step = prop_oneof![
        9 => client.clone().prop_map(Step::Beat),
        1 => client.clone().prop_map(Step::Lost),
        5 => client.clone().prop_map(Step::Revoke),
        3 => client.clone().prop_map(Step::Commit),
        1 => client.clone().prop_map(Step::Leave),
        1 => client.prop_map(Step::Crash),
        1 => (0..TOPICS.len(), 1..7_i32).prop_map(|(topic, partitions)| Step::Resize(topic, partitions)),
        3 => (0_u16..20_000).prop_map(Step::Tick),
        1 => Just(Step::Restart),
    ];
    proptest::collection::vec(step, 1..150)
}

type Owned = BTreeSet<(Uuid, i32)>;

#[derive(Clone, Default)]
struct Client {
    id: StrBytes,
    epoch: i32,
    /// What it was told to have.
    assigned: Owned,
    /// What it reads from.
    owned: Owned,
}

struct Run {
    world: World,
    clients: Vec<Client>,
    sizes: [i32; 2],
    lives: usize,
    group_epoch: i32,
    member_epochs: BTreeMap<String, i32>,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_members_do_no_partition_has_two_owners(steps in steps()) {
        let mut run = Run::new();
        for step in &steps {
            run.step(*step);
            run.check_owners();
            run.check_reload();
        }
        run.settle();
    }
}

/// A record of a group with anything in it, or with one of Kafka's changed in a place.
fn damaged() -> impl Strategy<Value = (Vec<u8>, Option<Vec<u8>>)> {
    let bytes = || proptest::collection::vec(any::<u8>(), 0..60);
    let kinds: &[&[u8]] = &[
        b"\x00\x03\x00\x01g",
        b"\x00\x04\x00\x01g",
        b"\x00\x05\x00\x01g\x00\x02m1",
        b"\x00\x06\x00\x01g",
        b"\x00\x07\x00\x01g\x00\x02m1",
        b"\x00\x07\x00\x01g\x00\x02m2",
        b"\x00\x08\x00\x01g\x00\x02m1",
        b"\x00\x08\x00\x01g\x00\x02m2",
        b"\x00\x10\x00\x01g\x00\x02f.",
        b"\x00\x02\x00\x01g",
    ];
    let values: &[&[u8]] = &[
        b"\x00\x00\x00\x00\x00\x07\x01\x00\x08\xff\xff\xff\xff\xff\xff\xff\xfd",
        b"\x00\x00\x02\x69\x00\x02\x63\x03\x2f\x68\x03\x02\x61\x02\x62\x01\x00\x00\x01\x2c\x06range\x00",
        b"\x00\x00\x01\x01\x02\x63\x03\x2f\x68\x01\x00\x00\x00\x01\x2c\x01\x01\x00\x11\x01\x00\x00\x00\x05\x02\
            \x06range\x03\x01\x02\x00\x00",
        b"\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x03\x00\x00\x00\x00\
            \x00\x00\x00\x02\x00\x00",
        b"\x00\x00\x00\x00\x00\x03\x00\x00\x00\x02\x01\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\
            \x00\x00\x00\x01\x03\x00\x00\x00\x00\x00\x00\x00\x02\x01\x00\x09\x03\x00\x00\x00\x02\x00\x00\x00\
            \x03\x01\x00",
        b"\x00\x00\x02\x02a\x00\x00\x00\x00\x00\x00\x00\x08\x00\x00\x00\x00\x00\x00\x00\x09\x00",
    ];
    let changed =
        (proptest::sample::select(values), any::<usize>(), any::<u8>()).prop_map(|(value, at, byte)| {
            let mut value = value.to_vec();
            let at = 2 + at % (value.len() - 2);
            value[at] = byte;
            value
        });
    let versioned = bytes().prop_map(|rest| [vec![0, 0], rest].concat());
    let value = prop_oneof![8 => changed, 1 => versioned];
    (proptest::sample::select(kinds).prop_map(<[u8]>::to_vec), proptest::option::weighted(0.9, value))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_lies_in_the_log_the_machine_goes_on(
        records in proptest::collection::vec(damaged(), 1..30),
        epochs in proptest::collection::vec(-2..4_i32, 1..30),
    ) {
        let mut run = Run::new();
        let records = records.into_iter().map(|(key, value)| GroupRecord { key: key.into(), value: value.map(Into::into) });
        run.world.set_log(records.filter(|record| GroupRecord::decode(&record.key, record.value.as_deref()).is_ok()));
        let _ = run.world.restart(run.world.config.clone());
        for (index, epoch) in epochs.into_iter().enumerate() {
            run.clients[index % CLIENTS] = Client { id: text(&format!("m{}", index % 3)), epoch, ..Client::default() };
            let request = run.request(index % CLIENTS);
            let _ = run.world.request("c", 1, Request::ConsumerHeartbeat(request));
            let _ = run.world.tick(20_000);
            let describe = Request::DescribeConsumer { groups: vec!["g".to_owned()] };
            let _ = run.world.request("c", 1, describe);
        }
    }
}

impl Run {
    fn new() -> Self {
        let config = GroupConfig {
            // The group is not to vanish, since its epochs are compared.
            expiry_interval_ms: i64::MAX / 2,
            consumer: ConsumerConfig { assignment_interval_ms: 0, ..ConsumerConfig::default() },
            ..GroupConfig::default()
        };
        let mut world = World::new(config);
        for topic in TOPICS {
            let _ = world.change_topic(topic, 3);
        }
        Self {
            world,
            clients: vec![Client::default(); CLIENTS],
            sizes: [3; 2],
            lives: 0,
            group_epoch: 0,
            member_epochs: BTreeMap::new(),
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Beat(client) => self.beat(client, true),
            Step::Lost(client) => self.beat(client, false),
            Step::Revoke(client) => {
                let Client { assigned, owned, .. } = &mut self.clients[client];
                owned.retain(|partition| assigned.contains(partition));
            }
            Step::Commit(client) => self.commit(client),
            Step::Leave(client) => self.leave(client),
            Step::Crash(client) => self.clients[client] = Client::default(),
            Step::Resize(topic, partitions) => {
                self.sizes[topic] = partitions.max(self.sizes[topic]);
                let happened = self.world.change_topic(TOPICS[topic], self.sizes[topic]);
                self.digest(&happened);
            }
            Step::Tick(ms) => self.tick(i64::from(ms)),
            Step::Restart => {
                let happened = self.world.restart(self.world.config.clone());
                self.digest(&happened);
            }
        }
    }

    fn tick(&mut self, ms: i64) {
        for happened in self.world.tick(ms) {
            self.digest(&happened);
        }
    }

    /// A member that was out for longer than its session has noticed that and stopped reading, as clients do.
    fn request(&mut self, client: usize) -> ConsumerGroupHeartbeatRequest {
        if self.clients[client].id.is_empty() {
            self.lives += 1;
            self.clients[client] = Client { id: text(&format!("m{}", self.lives)), ..Client::default() };
        }
        let known = &self.clients[client];
        let request = ConsumerGroupHeartbeatRequest::default()
            .with_group_id(group())
            .with_member_id(known.id.clone())
            .with_member_epoch(known.epoch)
            .with_instance_id((client < STATIC).then(|| text("i")))
            .with_rebalance_timeout_ms(30_000)
            .with_topic_partitions(Some(known.owned.iter().map(partition).collect()));
        match client % 3 {
            0 => request.with_subscribed_topic_names(Some(vec![TopicName(text("foo"))])),
            1 => request.with_subscribed_topic_names(Some(TOPICS.map(|name| TopicName(text(name))).into())),
            _ => request
                .with_subscribed_topic_names(Some(Vec::new()))
                .with_subscribed_topic_regex(Some(text("[fb].*"))),
        }
    }

    fn beat(&mut self, client: usize, answered: bool) {
        let request = self.request(client);
        let answer = self.send(request);
        let known = &mut self.clients[client];
        let error = ResponseError::try_from_code(answer.error_code);
        let out = [
            ResponseError::UnknownMemberId,
            ResponseError::FencedMemberEpoch,
            ResponseError::FencedInstanceId,
            ResponseError::UnreleasedInstanceId,
            ResponseError::GroupIdNotFound,
        ];
        if !answered {
            return;
        }
        match error {
            Some(error) if out.contains(&error) => *known = Client::default(),
            Some(error) => panic!("unexpected {error:?}"),
            None => {
                assert!(answer.member_epoch >= known.epoch, "an epoch goes back");
                known.epoch = answer.member_epoch;
                let Some(assignment) = answer.assignment else { return };
                known.assigned = assignment
                    .topic_partitions
                    .iter()
                    .flat_map(|topic| topic.partitions.iter().map(|index| (topic.topic_id, *index)))
                    .collect();
                // Clients begin with what is new at once, and take their time to give up.
                known.owned.extend(&known.assigned);
            }
        }
    }

    fn leave(&mut self, client: usize) {
        if self.clients[client].id.is_empty() {
            return;
        }
        // A static member leaves for a while.
        let epoch = if client < STATIC { -2 } else { -1 };
        let request = ConsumerGroupHeartbeatRequest::default()
            .with_group_id(group())
            .with_member_id(self.clients[client].id.clone())
            .with_instance_id((client < STATIC).then(|| text("i")))
            .with_member_epoch(epoch);
        self.send(request);
        self.clients[client] = Client::default();
    }

    fn send(&mut self, request: ConsumerGroupHeartbeatRequest) -> ConsumerGroupHeartbeatResponse {
        let (ticket, happened) = self.world.request("c", 1, Request::ConsumerHeartbeat(request));
        self.digest(&happened);
        let found = happened.output.replies.into_iter().find(|(answered, _)| *answered == ticket);
        let (_, Reply::ConsumerHeartbeat(answer)) = found.expect("a heartbeat is answered at once") else {
            panic!("not an answer to a heartbeat")
        };
        answer
    }

    /// A commit is accepted only from who may have the partition.
    fn commit(&mut self, client: usize) {
        let Client { id, epoch, owned, .. } = self.clients[client].clone();
        let Some(&(topic, index)) = owned.iter().next() else { return };
        let name = self.world.cluster.image().topic_by_id(topic).expect("topics stay").name.to_string();
        let partition = OffsetCommitRequestPartition::default().with_partition_index(index);
        let topics = OffsetCommitRequestTopic::default()
            .with_name(TopicName(text(&name)))
            .with_topic_id(topic)
            .with_partitions(vec![partition]);
        let request = OffsetCommitRequest::default()
            .with_group_id(group())
            .with_member_id(id.clone())
            .with_generation_id_or_member_epoch(epoch)
            .with_topics(vec![topics]);
        let Reply::Commit(answer) = self.world.ask(10, Request::Commit(request)) else { panic!("no commit") };
        let accepted = answer.topics[0].partitions[0].error_code == 0;
        let member = self.member_epochs.get(id.as_str());
        assert!(!accepted || member.is_some_and(|known| epoch <= *known), "{id} is out and commits");
    }

    fn digest(&mut self, happened: &Happened) {
        for change in happened.output.records.iter().filter_map(change) {
            match change {
                ConsumerChange::Epoch(Some(value)) => {
                    assert!(value.epoch > self.group_epoch, "the group's epoch goes back");
                    self.group_epoch = value.epoch;
                }
                ConsumerChange::Current(id, Some(value)) => {
                    let before = self.member_epochs.insert(id.clone(), value.epoch);
                    let away = value.epoch < 0 || before.is_some_and(|before| before < 0);
                    assert!(away || before.is_none_or(|before| value.epoch >= before), "{id} goes back");
                }
                ConsumerChange::Current(id, None) => {
                    self.member_epochs.remove(&id);
                }
                _ => {}
            }
        }
    }

    /// Members that the group knows, and that know it, never read the same partition.
    fn check_owners(&self) {
        let mut owners: BTreeMap<(Uuid, i32), &str> = BTreeMap::new();
        for client in &self.clients {
            let member = self.member_epochs.get(client.id.as_str());
            if client.id.is_empty() || member.is_none_or(|epoch| *epoch < 0) {
                continue;
            }
            for partition in &client.owned {
                let other = owners.insert(*partition, &client.id);
                assert!(other.is_none(), "{partition:?} has two owners: {other:?} and {}", client.id);
            }
        }
    }

    /// Another machine that only sees the log shows the same group.
    fn check_reload(&mut self) {
        let mut other = self.world.reloaded();
        let describe = || Request::DescribeConsumer { groups: vec!["g".to_owned()] };
        assert_eq!(self.world.ask(1, describe()), other.ask(1, describe()));
    }

    /// Left in peace, everybody gets what the target says, and all partitions are read.
    fn settle(&mut self) {
        for _ in 0..8 {
            self.tick(11_000);
            for client in 1..CLIENTS {
                self.step(Step::Revoke(client));
                self.beat(client, true);
            }
        }
        let read: Owned = self.clients[1..].iter().flat_map(|client| client.owned.iter().copied()).collect();
        assert_eq!(read.len(), self.sizes.iter().sum::<i32>() as usize, "somebody is missing something");
        let Reply::DescribeConsumer(groups) =
            self.world.ask(1, Request::DescribeConsumer { groups: vec!["g".to_owned()] })
        else {
            panic!("no description")
        };
        assert_eq!(groups[0].group_state.as_str(), "Stable");
    }
}

/// A record as a change of a consumer group; all others are none of this test.
fn change(record: &GroupRecord) -> Option<ConsumerChange> {
    match GroupRecord::decode(&record.key, record.value.as_deref()).unwrap() {
        Change::Consumer(_, change) => Some(change),
        _ => None,
    }
}

fn partition((topic, index): &(Uuid, i32)) -> TopicPartitions {
    TopicPartitions::default().with_topic_id(*topic).with_partitions(vec![*index])
}

fn group() -> GroupId {
    GroupId(text("g"))
}
