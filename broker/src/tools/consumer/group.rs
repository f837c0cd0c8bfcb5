//! One member of a classic consumer group (KIP-62): joins, is given partitions, commits, leaves.
//!
//! Must never commit for a generation that it is not in, nor read what it was not given.

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::consumer_protocol_assignment::TopicPartition as Assigned;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription, GroupId, HeartbeatRequest, JoinGroupRequest,
    LeaveGroupRequest, SyncGroupRequest,
};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};

use super::fetch::Fetcher;
use super::offsets::{self, Owner};
use crate::tools::client::{At, Partition, Properties, Refused, topic_name};
use crate::tools::console::Console;

/// The assignor that every consumer has; its name in the protocol.
const RANGE: &str = "range";
/// Subscriptions and assignments of this version begin with it.
const PROTOCOL_VERSION: i16 = 1;

pub(super) struct Member {
    group: String,
    instance: Option<String>,
    session_timeout_ms: i32,
    poll_interval_ms: i32,
    heartbeat_ms: i64,
    commit_ms: Option<i64>,
    coordinator: Option<At>,
    id: String,
    generation: Option<i32>,
    topics: Vec<(String, i32)>,
    beaten_at: i64,
    committed_at: i64,
    committed: BTreeMap<Partition, i64>,
}

impl Member {
    pub(super) fn new(group: &str, properties: &Properties) -> Result<Self, Refused> {
        let commits =
            properties.get("enable.auto.commit").is_none_or(|text| text.trim().eq_ignore_ascii_case("true"));
        let commit_ms = properties.number("auto.commit.interval.ms", 5_000_i64)?;
        Ok(Self {
            group: group.to_owned(),
            instance: properties.get("group.instance.id").map(str::to_owned),
            session_timeout_ms: properties.number("session.timeout.ms", 45_000)?,
            poll_interval_ms: properties.number("max.poll.interval.ms", 300_000)?,
            heartbeat_ms: properties.number("heartbeat.interval.ms", 3_000_i64)?,
            commit_ms: commits.then_some(commit_ms),
            coordinator: None,
            id: String::new(),
            generation: None,
            topics: Vec::new(),
            beaten_at: 0,
            committed_at: 0,
            committed: BTreeMap::new(),
        })
    }

    /// Keeps the membership: joins where that is needed, says that it is alive, commits when it is time.
    pub(super) fn keep(
        &mut self,
        fetcher: &mut Fetcher,
        topics: &[(String, i32)],
        changed: bool,
        console: &mut Console,
    ) -> Result<(), Refused> {
        if changed {
            self.topics = topics.to_vec();
        }
        if self.topics.is_empty() {
            return Ok(());
        }
        let deadline = fetcher.client.deadline();
        loop {
            let done = self.step(fetcher, changed);
            let Err(refused) = done else { return Ok(()) };
            if !self.recovers(&refused) {
                return Err(refused);
            }
            console.flush();
            if !fetcher.client.has_another(deadline) {
                return Err(refused);
            }
        }
    }

    fn step(&mut self, fetcher: &mut Fetcher, changed: bool) -> Result<(), Refused> {
        let now = fetcher.client.steady_ms();
        if changed && self.generation.is_some() {
            self.commit(fetcher)?;
            self.generation = None;
        }
        if self.generation.is_none() {
            self.join(fetcher)?;
            (self.beaten_at, self.committed_at) = (fetcher.client.steady_ms(), fetcher.client.steady_ms());
            return Ok(());
        }
        if self.commit_ms.is_some_and(|every| now - self.committed_at >= every) {
            self.committed_at = now;
            fetcher.pass_all();
            self.commit(fetcher)?;
        }
        if now - self.beaten_at >= self.heartbeat_ms {
            self.beaten_at = now;
            self.heartbeat(fetcher)?;
        }
        Ok(())
    }

    /// Whether to go on after this, with what is to be done anew.
    fn recovers(&mut self, refused: &Refused) -> bool {
        use ResponseError as E;
        match refused.error {
            Some(E::RebalanceInProgress) => self.generation = None,
            Some(E::UnknownMemberId | E::IllegalGeneration) => {
                self.generation = None;
                self.id.clear();
            }
            Some(E::NotCoordinator | E::CoordinatorNotAvailable | E::NetworkException) => {
                self.coordinator = None
            }
            Some(E::CoordinatorLoadInProgress) => {}
            _ => return false,
        }
        true
    }

    fn at(&mut self, fetcher: &mut Fetcher) -> Result<At, Refused> {
        if let Some(at) = self.coordinator {
            return Ok(at);
        }
        let at = fetcher.client.coordinator(&self.group)?;
        self.coordinator = Some(at);
        Ok(at)
    }

    fn join(&mut self, fetcher: &mut Fetcher) -> Result<(), Refused> {
        let at = self.at(fetcher)?;
        let names = self.topics.iter().map(|(name, _)| text(name)).collect();
        let subscription = ConsumerProtocolSubscription::default().with_topics(names);
        let protocol =
            JoinGroupRequestProtocol::default().with_name(text(RANGE)).with_metadata(framed(&subscription)?);
        let limit = fetcher.client.request_timeout()
            + std::time::Duration::from_millis(u64::try_from(self.poll_interval_ms).unwrap_or(0));
        let make = |version| {
            let request = JoinGroupRequest::default()
                .with_group_id(self.group_id())
                .with_session_timeout_ms(self.session_timeout_ms)
                .with_member_id(text(&self.id))
                .with_protocol_type(text("consumer"))
                .with_protocols(vec![protocol.clone()]);
            let request =
                if version >= 1 { request.with_rebalance_timeout_ms(self.poll_interval_ms) } else { request };
            if version >= 5 { request.with_group_instance_id(self.instance()) } else { request }
        };
        let joined = fetcher.client.try_call(at, make, limit)?;
        if joined.error_code == ResponseError::MemberIdRequired.code() {
            self.id = joined.member_id.to_string();
            return self.join(fetcher);
        }
        Refused::check(joined.error_code, None)?;
        self.id = joined.member_id.to_string();
        let leads = joined.leader == joined.member_id;
        let assignments = if leads { self.assign(fetcher, &joined.members)? } else { Vec::new() };
        let make = |version| {
            let request = SyncGroupRequest::default()
                .with_group_id(self.group_id())
                .with_generation_id(joined.generation_id)
                .with_member_id(text(&self.id))
                .with_assignments(assignments.clone());
            let request =
                if version >= 3 { request.with_group_instance_id(self.instance()) } else { request };
            if version >= 5 {
                request.with_protocol_type(Some(text("consumer"))).with_protocol_name(Some(text(RANGE)))
            } else {
                request
            }
        };
        let synced = fetcher.client.try_call(at, make, limit)?;
        Refused::check(synced.error_code, None)?;
        self.generation = Some(joined.generation_id);
        self.begin(fetcher, at, &synced.assignment)
    }

    /// Goes on where the group has come to.
    fn begin(&mut self, fetcher: &mut Fetcher, at: At, assignment: &Bytes) -> Result<(), Refused> {
        let assigned = unframed::<ConsumerProtocolAssignment>(assignment)?.unwrap_or_default();
        let mut partitions: Vec<Partition> = Vec::new();
        for topic in &assigned.assigned_partitions {
            partitions.extend(topic.partitions.iter().map(|index| (topic.topic.to_string(), *index)));
        }
        self.committed = offsets::committed(fetcher, at, &self.group_id(), &partitions)?;
        let starts = offsets::starts(fetcher, &self.committed, partitions)?;
        fetcher.assign(starts);
        Ok(())
    }

    /// Ranges of each topic's partitions, by the members' ids (`RangeAssignor`).
    fn assign(
        &self,
        fetcher: &mut Fetcher,
        members: &[JoinGroupResponseMember],
    ) -> Result<Vec<SyncGroupRequestAssignment>, Refused> {
        let mut wants: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
        for member in members {
            let subscription =
                unframed::<ConsumerProtocolSubscription>(&member.metadata)?.unwrap_or_default();
            let id = member.member_id.to_string();
            let sorted_by = member.group_instance_id.as_ref().map_or_else(|| id.clone(), ToString::to_string);
            for topic in subscription.topics {
                wants.entry(topic.to_string()).or_default().push((sorted_by.clone(), id.clone()));
            }
        }
        let topics: Vec<&str> = wants.keys().map(String::as_str).collect();
        let mut counts: BTreeMap<String, i32> = BTreeMap::new();
        for topic in fetcher.client.metadata(Some(&topics), false)? {
            let name = topic.name.as_ref().map_or_else(String::new, |name| name.to_string());
            counts.insert(name, i32::try_from(topic.partitions.len()).unwrap_or(0));
        }
        let mut given: BTreeMap<String, Vec<Assigned>> = BTreeMap::new();
        for (topic, mut members) in wants {
            members.sort();
            let count = counts.get(&topic).copied().unwrap_or(0);
            let among = i32::try_from(members.len()).unwrap_or(i32::MAX);
            let mut next = 0;
            for (place, (_, id)) in (0..).zip(members) {
                let share = count / among + i32::from(place < count % among);
                if share > 0 {
                    let partitions = (next..next + share).collect();
                    let assigned =
                        Assigned::default().with_topic(topic_name(&topic)).with_partitions(partitions);
                    given.entry(id).or_default().push(assigned);
                }
                next += share;
            }
        }
        let one = |member: &JoinGroupResponseMember| -> Result<SyncGroupRequestAssignment, Refused> {
            let partitions = given.remove(member.member_id.as_str()).unwrap_or_default();
            let assignment = ConsumerProtocolAssignment::default().with_assigned_partitions(partitions);
            let request = SyncGroupRequestAssignment::default().with_member_id(member.member_id.clone());
            Ok(request.with_assignment(framed(&assignment)?))
        };
        members.iter().map(one).collect()
    }

    fn heartbeat(&mut self, fetcher: &mut Fetcher) -> Result<(), Refused> {
        let at = self.at(fetcher)?;
        let make = |version| {
            let request = HeartbeatRequest::default()
                .with_group_id(self.group_id())
                .with_generation_id(self.generation.unwrap_or(-1))
                .with_member_id(text(&self.id));
            if version >= 3 { request.with_group_instance_id(self.instance()) } else { request }
        };
        let limit = fetcher.client.request_timeout();
        let answer = fetcher.client.try_call(at, make, limit)?;
        match Refused::of(answer.error_code, None) {
            // What was read is committed while the generation still is.
            Some(refused) if refused.is(ResponseError::RebalanceInProgress) => {
                fetcher.pass_all();
                self.commit(fetcher)?;
                Err(refused)
            }
            Some(refused) => Err(refused),
            None => Ok(()),
        }
    }

    fn commit(&mut self, fetcher: &mut Fetcher) -> Result<(), Refused> {
        let Some(epoch) = self.generation.filter(|_| self.commit_ms.is_some()) else { return Ok(()) };
        let at = self.at(fetcher)?;
        let owner =
            Owner { group: self.group_id(), member: text(&self.id), instance: self.instance(), epoch };
        offsets::commit(fetcher, at, &owner, &mut self.committed)
    }

    /// Commits what was read, and goes; static members stay.
    pub(super) fn leave(&mut self, fetcher: &mut Fetcher) {
        if self.generation.is_none() {
            return;
        }
        if self.commit(fetcher).is_err() {
            self.coordinator = None;
            // Once more, elsewhere; after that the session's end is what is left.
            let _ = self.commit(fetcher);
        }
        if self.instance.is_some() {
            return;
        }
        let Ok(at) = self.at(fetcher) else { return };
        let make = |version| {
            let request = LeaveGroupRequest::default().with_group_id(self.group_id());
            if version >= 3 {
                request.with_members(vec![MemberIdentity::default().with_member_id(text(&self.id))])
            } else {
                request.with_member_id(text(&self.id))
            }
        };
        let limit = fetcher.client.request_timeout();
        let _ = fetcher.client.try_call(at, make, limit);
    }

    fn group_id(&self) -> GroupId {
        GroupId(text(&self.group))
    }

    fn instance(&self) -> Option<StrBytes> {
        self.instance.as_deref().map(text)
    }
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// The version in front, as members exchange it.
fn framed(message: &impl Encodable) -> Result<Bytes, Refused> {
    let mut bytes = BytesMut::new();
    bytes.put_i16(PROTOCOL_VERSION);
    message.encode(&mut bytes, PROTOCOL_VERSION).map_err(|error| unreadable(&error))?;
    Ok(bytes.freeze())
}

/// None where a member sent nothing.
fn unframed<M: Decodable>(bytes: &Bytes) -> Result<Option<M>, Refused> {
    if bytes.len() < 2 {
        return Ok(None);
    }
    let version = i16::from_be_bytes([bytes[0], bytes[1]]);
    let mut body = bytes.slice(2..);
    // A newer version only adds to the end.
    M::decode(&mut body, version.clamp(0, PROTOCOL_VERSION)).map(Some).map_err(|error| unreadable(&error))
}

fn unreadable(error: &impl ToString) -> Refused {
    Refused::own("org.apache.kafka.common.protocol.types.SchemaException", error.to_string())
}
