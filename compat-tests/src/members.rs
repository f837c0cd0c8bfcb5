//! Many members of one group, played by one thread: what a real client sends, without what it costs.
//!
//! Each member has a connection and one request under way. It must never know what the broker has not told that member.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, FindCoordinatorRequest, GroupId,
    HeartbeatRequest, HeartbeatResponse, JoinGroupRequest, JoinGroupResponse, SyncGroupRequest,
    SyncGroupResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use crate::wait::{self, PATIENCE};
use crate::wire::Wire;

const JOIN: i16 = 9;
const SYNC: i16 = 5;
const BEAT: i16 = 4;
const CONSUMER: i16 = 1;
/// Long enough that nobody is out while a loaded machine stands still.
const SESSION_MS: i32 = 60_000;
const REBALANCE_MS: i32 = 300_000;

/// Which protocol a group speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Classic,
    Consumer,
}

/// All members of a group.
#[derive(Debug)]
pub struct Crowd {
    group: GroupId,
    topic: TopicName,
    partitions: usize,
    interval: Duration,
    members: Vec<Member>,
    /// Connected, and in no group that is played.
    waiting: Vec<Member>,
}

#[derive(Debug)]
struct Member {
    wire: Wire,
    protocol: Protocol,
    id: StrBytes,
    /// Generation or member epoch; 0 before the first.
    epoch: i32,
    /// How many partitions it has, and for the consumer protocol which.
    share: usize,
    owned: Vec<TopicPartitions>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Joining,
    Syncing,
    Beating,
    /// Until its next heartbeat.
    Idle(Instant),
}

impl Crowd {
    /// Connects so many, who join nothing yet: connecting may take longer than a rebalance.
    ///
    /// # Panics
    /// When the broker does not accept.
    #[must_use]
    pub fn connect(at: SocketAddr, count: usize) -> Self {
        let member = |_| Member {
            wire: Wire::connect(at),
            protocol: Protocol::Classic,
            id: StrBytes::default(),
            epoch: 0,
            share: 0,
            owned: Vec::new(),
            state: State::Idle(Instant::now()),
        };
        Self {
            group: GroupId::default(),
            topic: TopicName::default(),
            partitions: 0,
            interval: PATIENCE,
            waiting: Vec::new(),
            members: (0..count).map(member).collect(),
        }
    }

    /// So many of them begin to join a group, all at once; the group that they were in is not told.
    ///
    /// # Panics
    /// When the connections fail, or there are fewer.
    pub fn join(&mut self, protocol: Protocol, count: usize, what: Subscribed<'_>) {
        let text = |value: &str| StrBytes::from_string(value.to_owned());
        self.members.append(&mut self.waiting);
        self.waiting = self.members.split_off(count);
        (self.group, self.topic) = (GroupId(text(what.group)), TopicName(text(what.topic)));
        (self.partitions, self.interval) = (what.partitions, what.interval);
        for member in self.members.iter_mut().chain(&mut self.waiting) {
            if !matches!(member.state, State::Idle(_)) {
                let _ = member.wire.read_frame().expect("an answer that nobody needs any more");
                member.state = State::Idle(Instant::now());
            }
        }
        self.find_coordinator();
        for index in 0..count {
            let member = &mut self.members[index];
            (member.protocol, member.epoch, member.share) = (protocol, 0, 0);
            member.owned = Vec::new();
            member.id = match protocol {
                Protocol::Classic => StrBytes::default(),
                Protocol::Consumer => StrBytes::from_string(Uuid::new_v4().to_string()),
            };
            self.ask_to_join(index);
        }
    }

    /// The first who looks for a coordinator makes the topic of the offsets.
    fn find_coordinator(&mut self) {
        let wire = &mut self.members[0].wire;
        let request = FindCoordinatorRequest::default().with_coordinator_keys(vec![self.group.0.clone()]);
        wait::until(PATIENCE, "a coordinator", || {
            (wire.call(6, &request).coordinators[0].error_code == 0).then_some(())
        });
    }

    /// Plays until every member has its part of one generation and every partition has its member.
    ///
    /// # Panics
    /// When that takes too long, or the broker refuses what no broker refuses.
    pub fn settle(&mut self) {
        let begin = Instant::now();
        while !self.is_settled() {
            assert!(begin.elapsed() < PATIENCE * 4, "the group does not come to rest: {}", self.seen());
            self.turn();
        }
    }

    /// Goes on with heartbeats for so long.
    ///
    /// # Panics
    /// As `settle`.
    pub fn live(&mut self, time: Duration) {
        let begin = Instant::now();
        while begin.elapsed() < time {
            self.turn();
        }
    }

    /// From now on members report so often.
    pub fn report_every(&mut self, interval: Duration) {
        self.interval = interval;
    }

    fn seen(&self) -> String {
        let epochs = self.members.iter().map(|member| member.epoch);
        let shares: usize = self.members.iter().map(|member| member.share).sum();
        format!("epochs {:?} to {:?}, {shares} partitions", epochs.clone().min(), epochs.max())
    }

    fn is_settled(&self) -> bool {
        let epoch = self.members[0].epoch;
        let same = |member: &Member| {
            member.epoch == epoch && matches!(member.state, State::Idle(_) | State::Beating)
        };
        epoch > 0
            && self.members.iter().all(same)
            && self.members.iter().map(|member| member.share).sum::<usize>() == self.partitions
    }

    /// Takes what has come and sends what is due; gives the processor away when there is neither.
    fn turn(&mut self) {
        let mut busy = false;
        for index in 0..self.members.len() {
            match self.members[index].state {
                State::Idle(until) if until <= Instant::now() => {
                    self.beat(index);
                    busy = true;
                }
                State::Idle(_) => {}
                _ if self.members[index].wire.is_readable_now() => {
                    self.take(index);
                    busy = true;
                }
                _ => {}
            }
        }
        if !busy {
            std::thread::park_timeout(Duration::from_millis(1));
        }
    }

    fn ask_to_join(&mut self, index: usize) {
        let member = &mut self.members[index];
        member.state = State::Joining;
        match member.protocol {
            Protocol::Consumer => self.beat_as_consumer(index),
            Protocol::Classic => {
                let protocol = JoinGroupRequestProtocol::default()
                    .with_name(StrBytes::from_static_str("range"))
                    .with_metadata(subscription(&self.topic));
                let request = JoinGroupRequest::default()
                    .with_group_id(self.group.clone())
                    .with_member_id(member.id.clone())
                    .with_session_timeout_ms(SESSION_MS)
                    .with_rebalance_timeout_ms(REBALANCE_MS)
                    .with_protocol_type(StrBytes::from_static_str("consumer"))
                    .with_protocols(vec![protocol]);
                member.wire.start(JOIN, &request);
            }
        }
    }

    fn beat(&mut self, index: usize) {
        let member = &mut self.members[index];
        member.state = State::Beating;
        match member.protocol {
            Protocol::Consumer => self.beat_as_consumer(index),
            Protocol::Classic => {
                let request = HeartbeatRequest::default()
                    .with_group_id(self.group.clone())
                    .with_member_id(member.id.clone())
                    .with_generation_id(member.epoch);
                member.wire.start(BEAT, &request);
            }
        }
    }

    /// A joining member says everything, one that has changed what it owns; others only that they live.
    fn beat_as_consumer(&mut self, index: usize) {
        let member = &mut self.members[index];
        let mut request = ConsumerGroupHeartbeatRequest::default()
            .with_group_id(self.group.clone())
            .with_member_id(member.id.clone())
            .with_member_epoch(member.epoch);
        if member.state == State::Joining {
            request = request
                .with_rebalance_timeout_ms(REBALANCE_MS)
                .with_subscribed_topic_names(Some(vec![self.topic.clone()]))
                .with_topic_partitions(Some(Vec::new()));
        } else if member.state == State::Syncing {
            request = request.with_topic_partitions(Some(member.owned.clone()));
        }
        member.wire.start(CONSUMER, &request);
    }

    fn take(&mut self, index: usize) {
        let member = &mut self.members[index];
        match (member.protocol, member.state) {
            (Protocol::Consumer, _) => {
                let answer = member.wire.finish::<ConsumerGroupHeartbeatRequest>(CONSUMER);
                self.heard(index, answer);
            }
            (Protocol::Classic, State::Joining) => {
                let answer = member.wire.finish::<JoinGroupRequest>(JOIN);
                self.joined(index, &answer);
            }
            (Protocol::Classic, State::Syncing) => {
                let answer = member.wire.finish::<SyncGroupRequest>(SYNC);
                self.synced(index, &answer);
            }
            (Protocol::Classic, _) => {
                let answer = member.wire.finish::<HeartbeatRequest>(BEAT);
                self.beaten(index, &answer);
            }
        }
    }

    fn joined(&mut self, index: usize, answer: &JoinGroupResponse) {
        let member = &mut self.members[index];
        match ResponseError::try_from_code(answer.error_code) {
            None => {}
            Some(ResponseError::MemberIdRequired) => {
                member.id = answer.member_id.clone();
                return self.ask_to_join(index);
            }
            Some(ResponseError::CoordinatorLoadInProgress | ResponseError::NotCoordinator) => {
                return self.ask_to_join(index);
            }
            Some(error) => panic!("a join is refused: {error}"),
        }
        member.id = answer.member_id.clone();
        member.epoch = answer.generation_id;
        member.state = State::Syncing;
        let count = answer.members.len();
        let assignments = answer.members.iter().enumerate().map(|(rank, other)| {
            let share = self.partitions / count + usize::from(rank < self.partitions % count);
            SyncGroupRequestAssignment::default()
                .with_member_id(other.member_id.clone())
                .with_assignment(Bytes::copy_from_slice(&(share as u64).to_be_bytes()))
        });
        let request = SyncGroupRequest::default()
            .with_group_id(self.group.clone())
            .with_member_id(answer.member_id.clone())
            .with_generation_id(answer.generation_id)
            .with_protocol_type(Some(StrBytes::from_static_str("consumer")))
            .with_protocol_name(Some(StrBytes::from_static_str("range")))
            .with_assignments(assignments.collect());
        member.wire.start(SYNC, &request);
    }

    fn synced(&mut self, index: usize, answer: &SyncGroupResponse) {
        let member = &mut self.members[index];
        match ResponseError::try_from_code(answer.error_code) {
            None => {
                let share: [u8; 8] =
                    answer.assignment[..].try_into().expect("the share that the leader gave");
                member.share = usize::try_from(u64::from_be_bytes(share)).expect("a small number");
                member.state = State::Idle(Instant::now() + self.interval);
            }
            Some(ResponseError::RebalanceInProgress | ResponseError::IllegalGeneration) => {
                self.ask_to_join(index);
            }
            Some(error) => panic!("a sync is refused: {error}"),
        }
    }

    fn beaten(&mut self, index: usize, answer: &HeartbeatResponse) {
        match ResponseError::try_from_code(answer.error_code) {
            None => self.members[index].state = State::Idle(Instant::now() + self.interval),
            Some(ResponseError::RebalanceInProgress | ResponseError::IllegalGeneration) => {
                self.ask_to_join(index);
            }
            Some(error) => panic!("a heartbeat is refused: {error}"),
        }
    }

    fn heard(&mut self, index: usize, answer: ConsumerGroupHeartbeatResponse) {
        let member = &mut self.members[index];
        match ResponseError::try_from_code(answer.error_code) {
            None => {}
            Some(ResponseError::CoordinatorLoadInProgress | ResponseError::NotCoordinator) => {
                return self.ask_to_join(index);
            }
            Some(error) => panic!("a heartbeat is refused: {error}"),
        }
        member.epoch = answer.member_epoch;
        let Some(assignment) = answer.assignment else {
            member.state = State::Idle(Instant::now() + self.interval);
            return;
        };
        member.share = assignment.topic_partitions.iter().map(|topic| topic.partitions.len()).sum();
        let owned = assignment.topic_partitions.into_iter();
        let owned = owned.map(|topic| {
            TopicPartitions::default().with_topic_id(topic.topic_id).with_partitions(topic.partitions)
        });
        member.owned = owned.collect();
        // It says at once what it has taken over or given up, as the Java client does.
        member.state = State::Syncing;
        self.beat_as_consumer(index);
        self.members[index].state = State::Beating;
    }
}

/// What all members of a group subscribe to, and how often they report.
#[derive(Clone, Copy, Debug)]
pub struct Subscribed<'a> {
    pub group: &'a str,
    pub topic: &'a str,
    pub partitions: usize,
    pub interval: Duration,
}

/// A `ConsumerProtocolSubscription` of version 0.
fn subscription(topic: &TopicName) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_i16(0);
    bytes.put_i32(1);
    bytes.put_i16(i16::try_from(topic.len()).expect("a topic's name"));
    bytes.put_slice(topic.as_bytes());
    bytes.put_i32(-1);
    bytes.freeze()
}

/// Lets this process have as many connections as the system allows it: a crowd has one each.
pub fn allow_many_connections() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // Where that is refused, a connection will be, and that is told.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}
