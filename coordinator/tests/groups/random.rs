//! Random members against the machine, with what must hold whatever they do.
//!
//! Must never depend on anything but the generated steps, so that a failure can be run again.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    GroupId, HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, OffsetCommitRequest,
    SyncGroupRequest, SyncGroupResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use milena_coordinator::group::records::Change;
use milena_coordinator::group::{GroupConfig, Output, Record, Reply, Request, Ticket};
use proptest::prelude::*;

use crate::command::text;
use crate::world::{Happened, World};

const CLIENTS: usize = 6;
/// The first of them are static members; pairs share an instance id, so that they fence each other.
const STATIC: usize = 4;
const PARTITIONS: u8 = 5;

#[derive(Clone, Copy, Debug)]
enum Step {
    Join(usize),
    Sync(usize),
    Heartbeat(usize),
    Commit(usize),
    Leave(usize),
    /// Forgets everything, as a process that starts anew.
    Crash(usize),
    Tick(u16),
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let client = 0..CLIENTS;
    let step = prop_oneof![
        6 => client.clone().prop_map(Step::Join),
        6 => client.clone().prop_map(Step::Sync),
        4 => client.clone().prop_map(Step::Heartbeat),
        3 => client.clone().prop_map(Step::Commit),
        1 => client.clone().prop_map(Step::Leave),
        1 => client.prop_map(Step::Crash),
        4 => (0_u16..8_000).prop_map(Step::Tick),
        1 => Just(Step::Restart),
    ];
    proptest::collection::vec(step, 1..150)
}

#[derive(Clone, Default)]
struct Client {
    id: StrBytes,
    joined: Option<JoinGroupResponse>,
}

struct Run {
    world: World,
    clients: Vec<Client>,
    /// Requests that wait, and whose they are; those of processes that crashed belong to nobody.
    waiting: BTreeMap<Ticket, Option<usize>>,
    /// Ids that were told that they are out, since the last restart.
    dead: BTreeSet<StrBytes>,
    /// Who has which partition, by generation.
    owners: BTreeMap<(i32, u8), StrBytes>,
    logged_generation: i32,
    /// Not over a log that no machine wrote.
    strict: bool,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_members_do_the_invariants_hold(steps in steps(), delay in prop_oneof![Just(0), Just(3_000)]) {
        let mut run = Run::new(delay);
        for step in &steps {
            run.step(*step);
            run.check_reload();
        }
        run.check_that_nobody_is_forgotten();
    }
}

/// A record of a known type with anything in it, or with one of our own changed in a place.
fn damaged() -> impl Strategy<Value = (Vec<u8>, Option<Vec<u8>>)> {
    let bytes = || proptest::collection::vec(any::<u8>(), 0..80);
    let key = prop_oneof![
        Just(b"\x00\x02\x00\x01g".to_vec()),
        Just(b"\x00\x01\x00\x01g\x00\x01t\x00\x00\x00\x00".to_vec()),
        bytes(),
    ];
    let group =
        b"\x00\x03\x00\x08consumer\x00\x00\x00\x05\x00\x05range\x00\x02m1\x00\x00\x00\x00\x00\x00\x00\x63\
        \x00\x00\x00\x01\x00\x02m1\xff\xff\x00\x01c\x00\x01h\x00\x00\x01\x2c\x00\x00\x00\xc8\
        \x00\x00\x00\x02\x01\x02\x00\x00\x00\x01\x03";
    let changed = (0..group.len(), any::<u8>()).prop_map(|(at, byte)| {
        let mut value = group.to_vec();
        value[at] = byte;
        value
    });
    let versioned = (0_u8..6, bytes()).prop_map(|(version, rest)| [vec![0, version], rest].concat());
    (key, proptest::option::of(prop_oneof![changed, versioned, bytes()]))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_lies_in_the_log_the_machine_goes_on(
        records in proptest::collection::vec(damaged(), 1..20),
        steps in steps(),
    ) {
        let mut run = Run { strict: false, ..Run::new(0) };
        let records = records.into_iter().map(|(key, value)| Record { key: key.into(), value: value.map(Bytes::from) });
        run.world.set_log(records.filter(|record| Record::decode(&record.key, record.value.as_deref()).is_ok()));
        let _ = run.world.restart(run.world.config.clone());
        for step in &steps {
            run.step(*step);
        }
    }
}

impl Run {
    fn new(initial_rebalance_delay_ms: i32) -> Self {
        // Groups without members or offsets are not to vanish, since their generations are compared.
        let config = GroupConfig {
            initial_rebalance_delay_ms,
            expiry_interval_ms: i64::MAX / 2,
            ..GroupConfig::default()
        };
        Self {
            world: World::new(config),
            clients: vec![Client::default(); CLIENTS],
            waiting: BTreeMap::new(),
            dead: BTreeSet::new(),
            owners: BTreeMap::new(),
            logged_generation: 0,
            strict: true,
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Join(client) => self.send(client, Request::Join(self.join(client))),
            Step::Sync(client) => {
                if let Some(sync) = self.sync(client) {
                    self.send(client, Request::Sync(sync));
                }
            }
            Step::Heartbeat(client) => {
                let request = HeartbeatRequest::default()
                    .with_group_id(group())
                    .with_member_id(self.clients[client].id.clone())
                    .with_group_instance_id(instance(client))
                    .with_generation_id(self.generation(client));
                self.send(client, Request::Heartbeat(request));
            }
            Step::Commit(client) => self.send(client, Request::Commit(self.commit(client))),
            Step::Leave(client) => {
                let identity = MemberIdentity::default()
                    .with_member_id(self.clients[client].id.clone())
                    .with_group_instance_id(instance(client));
                let request =
                    LeaveGroupRequest::default().with_group_id(group()).with_members(vec![identity]);
                self.send(client, Request::Leave(request));
            }
            Step::Crash(client) => {
                self.clients[client] = Client::default();
                for owner in self.waiting.values_mut().filter(|owner| **owner == Some(client)) {
                    *owner = None;
                }
            }
            Step::Tick(ms) => {
                for happened in self.world.tick(i64::from(ms)) {
                    self.digest(happened);
                }
            }
            Step::Restart => {
                let happened = self.world.restart(self.world.config.clone());
                // The runtime answers those who wait; what was not in the log never happened.
                self.waiting.clear();
                self.dead.clear();
                self.digest(happened);
            }
        }
    }

    fn send(&mut self, client: usize, request: Request) {
        let id = self.clients[client].id.clone();
        let (ticket, happened) = self.world.request("c", 9.min(newest(&request)), request);
        self.waiting.insert(ticket, Some(client));
        let own =
            happened.output.replies.iter().find(|(answered, _)| *answered == ticket).map(|(_, reply)| reply);
        let accepted = match own {
            Some(Reply::Commit(commit)) => commit.topics[0].partitions[0].error_code == 0,
            Some(Reply::Heartbeat(heartbeat)) => heartbeat.error_code == 0,
            _ => false,
        };
        assert!(
            !self.strict || !accepted || id.is_empty() || !self.dead.contains(&id),
            "{id} was out and is heard"
        );
        self.digest(happened);
    }

    fn digest(&mut self, happened: Happened) {
        let Output { records, replies, .. } = happened.output;
        for record in &records {
            self.check_record(record);
        }
        for (ticket, reply) in replies {
            let owner = self.waiting.remove(&ticket).expect("each ticket is answered once");
            if let Some(client) = owner {
                self.answered(client, &reply);
            }
        }
    }

    fn check_record(&mut self, record: &Record) {
        let Change::Group(_, Some(value)) = Record::decode(&record.key, record.value.as_deref()).unwrap()
        else {
            return;
        };
        assert!(!self.strict || value.generation >= self.logged_generation, "generations go back in the log");
        self.logged_generation = value.generation;
    }

    fn answered(&mut self, client: usize, reply: &Reply) {
        let code = match reply {
            Reply::Join(join) => join.error_code,
            Reply::Sync(sync) => sync.error_code,
            Reply::Heartbeat(heartbeat) => heartbeat.error_code,
            Reply::Leave(leave) => leave.members[0].error_code,
            Reply::Commit(commit) => commit.topics[0].partitions[0].error_code,
            other => panic!("nobody asked for {other:?}"),
        };
        let out = [ResponseError::UnknownMemberId.code(), ResponseError::FencedInstanceId.code()];
        let left = matches!(reply, Reply::Leave(_)) && code == 0;
        let id = self.clients[client].id.clone();
        if !id.is_empty() && (out.contains(&code) || left) {
            self.dead.insert(id);
            self.clients[client] = Client::default();
            return;
        }
        match reply {
            Reply::Join(join) if code == 0 || code == ResponseError::MemberIdRequired.code() => {
                self.clients[client].id = join.member_id.clone();
                self.clients[client].joined = (code == 0).then(|| join.clone());
            }
            Reply::Sync(sync) if code == 0 => self.check_assignment(client, sync),
            _ => {}
        }
    }

    /// No partition has two owners in one generation.
    fn check_assignment(&mut self, client: usize, sync: &SyncGroupResponse) {
        let generation = self.generation(client);
        if !self.strict {
            return;
        }
        for &partition in &sync.assignment {
            let id = self.clients[client].id.clone();
            let instance = instance(client).map(|id| id.to_string());
            let owner = self.owners.entry((generation, partition)).or_insert_with(|| id.clone());
            // A static member inherits what its predecessor had.
            let inherited = instance.is_some_and(|instance| owner.starts_with(&instance));
            assert!(*owner == id || inherited, "partition {partition} of {generation} for {owner} and {id}");
            *owner = id;
        }
    }

    /// Another machine that only sees the log has the same offsets, and the same group if this one is at rest.
    fn check_reload(&mut self) {
        let mut other = self.world.reloaded();
        let fetch = || Request::FetchOffsets {
            group: OffsetFetchRequestGroup::default().with_group_id(group()),
            require_stable: false,
        };
        assert_eq!(self.world.ask(9, fetch()), other.ask(9, fetch()));
        let describe = || Request::Describe { groups: vec!["g".to_owned()] };
        let (live, loaded) = (self.world.ask(6, describe()), other.ask(6, describe()));
        let Reply::Describe(groups) = &live else { panic!("not a description") };
        let state: &str = &groups[0].group_state;
        // A group whose last member left before the first generation goes back to what its record says.
        if state == "Stable" || state == "Empty" && self.logged_generation > 0 {
            assert_eq!(live, loaded);
        }
    }

    /// After every deadline has passed, nobody waits any more.
    fn check_that_nobody_is_forgotten(&mut self) {
        for happened in self.world.tick(3_600_000) {
            self.digest(happened);
        }
        assert!(self.waiting.is_empty(), "still waiting: {:?}", self.waiting);
    }

    fn generation(&self, client: usize) -> i32 {
        self.clients[client].joined.as_ref().map_or(-1, |joined| joined.generation_id)
    }

    fn join(&self, client: usize) -> JoinGroupRequest {
        let protocol = JoinGroupRequestProtocol::default()
            .with_name(text("range"))
            .with_metadata(Bytes::from(vec![client as u8]));
        JoinGroupRequest::default()
            .with_group_id(group())
            .with_member_id(self.clients[client].id.clone())
            .with_group_instance_id(instance(client))
            .with_protocol_type(text("consumer"))
            .with_session_timeout_ms(10_000)
            .with_rebalance_timeout_ms(20_000)
            .with_protocols(vec![protocol])
    }

    /// A leader deals the partitions out; a leader that is told to skip that brings nothing.
    fn sync(&self, client: usize) -> Option<SyncGroupRequest> {
        let joined = self.clients[client].joined.as_ref()?;
        let mut hands: Vec<(StrBytes, Vec<u8>)> =
            joined.members.iter().map(|member| (member.member_id.clone(), Vec::new())).collect();
        if !hands.is_empty() && !joined.skip_assignment {
            let members = hands.len();
            for partition in 0..PARTITIONS {
                hands[usize::from(partition) % members].1.push(partition);
            }
        }
        let assignments = hands.into_iter().map(|(id, hand)| {
            SyncGroupRequestAssignment::default().with_member_id(id).with_assignment(hand.into())
        });
        Some(
            SyncGroupRequest::default()
                .with_group_id(group())
                .with_member_id(self.clients[client].id.clone())
                .with_group_instance_id(instance(client))
                .with_generation_id(joined.generation_id)
                .with_protocol_type(joined.protocol_type.clone())
                .with_protocol_name(joined.protocol_name.clone())
                .with_assignments(assignments.collect()),
        )
    }

    fn commit(&self, client: usize) -> OffsetCommitRequest {
        let partition = OffsetCommitRequestPartition::default()
            .with_partition_index(client as i32)
            .with_committed_offset(self.world.now.0);
        let topic = OffsetCommitRequestTopic::default()
            .with_name(TopicName(text("t")))
            .with_partitions(vec![partition]);
        OffsetCommitRequest::default()
            .with_group_id(group())
            .with_member_id(self.clients[client].id.clone())
            .with_group_instance_id(instance(client).filter(|_| !self.clients[client].id.is_empty()))
            .with_generation_id_or_member_epoch(self.generation(client))
            .with_topics(vec![topic])
    }
}

fn newest(request: &Request) -> i16 {
    match request {
        Request::Heartbeat(_) => 4,
        Request::Sync(_) | Request::Leave(_) => 5,
        _ => 9,
    }
}

fn group() -> GroupId {
    GroupId(text("g"))
}

fn instance(client: usize) -> Option<StrBytes> {
    (client < STATIC).then(|| text(&format!("i{}", client / 2)))
}
