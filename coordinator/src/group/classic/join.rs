//! JoinGroup: who is let in, and what a join means in each state.
//!
//! Must never answer a join that has to wait for the others: those are parked in their member.
//!
//! KIP-62 (rebalance time-out), KIP-345 (static members), KIP-394 (member id required), KIP-559 (protocol type in the
//! answer), KIP-800 (reasons, which are accepted and not kept), KIP-814 (skip assignment).

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::{JoinGroupRequest, JoinGroupResponse};
use kafka_protocol::protocol::StrBytes;

use super::member::{Member, Parked, owned_protocols};
use super::{ClassicGroup, State};
use crate::group::config::NEW_MEMBER_JOIN_TIMEOUT_MS;
use crate::group::groups::{Group, Groups};
use crate::group::turn::Turn;
use crate::group::{Caller, Name, Reply, Ticket};

/// From here on a new dynamic member has to come back with the id that it is given (KIP-394).
const REQUIRES_MEMBER_ID: i16 = 4;
/// From here on the protocol name of an answer may be null, and must be rather than empty.
const NULLABLE_PROTOCOL: i16 = 7;

/// Ids promised and not yet used, in one group. Kafka has no bound; a client that only asks for ids would fill the
/// memory of the broker.
const MAX_PENDING_MEMBERS: usize = 100_000;

/// A join on its way.
pub(super) struct Joiner<'a> {
    pub(super) parked: Parked,
    pub(super) caller: &'a Caller,
    pub(super) request: JoinGroupRequest,
}

pub(in crate::group) fn join(
    groups: &mut Groups,
    turn: &mut Turn<'_>,
    ticket: Ticket,
    caller: &Caller,
    mut request: JoinGroupRequest,
) {
    let version = caller.api_version;
    if version == 0 {
        // Version 0 has no rebalance time-out.
        request.rebalance_timeout_ms = request.session_timeout_ms;
    }
    let joiner = Joiner { parked: Parked { ticket, version }, caller, request };
    let id: &str = &joiner.request.group_id;
    // Who comes to a consumer group without members finds a classic one in its place.
    let fresh = groups.get(id).is_none_or(|group| group.as_classic().is_none());
    if fresh && !joiner.request.member_id.is_empty() {
        joiner.refuse(turn, &joiner.request.member_id, ResponseError::UnknownMemberId);
        return;
    }
    if let Some(Group::Consumer(empty)) = groups.get(id) {
        empty.write_tombstones(turn);
        groups.remove(id);
    }
    let buried = turn.out.records.len();
    let group = groups
        .entry(id.into())
        .or_insert_with_key(|id| Group::classic(ClassicGroup::new(id.clone(), turn.now)));
    let Some(group) = group.as_classic_mut() else { return };
    group.join(turn, joiner);
    if fresh && turn.out.records.len() == buried {
        group.record_creation(turn);
    }
}

impl Joiner<'_> {
    fn refuse(&self, turn: &mut Turn<'_>, member: &str, error: ResponseError) {
        turn.reply(self.parked.ticket, Reply::Join(refusal(self.parked.version, member, error)));
    }

    pub(super) fn instance_id(&self) -> Option<&str> {
        self.request.group_instance_id.as_deref()
    }

    /// Client id, or instance id, a hyphen, and a random part.
    fn new_member_id(&self) -> Name {
        let prefix = self.instance_id().unwrap_or(&self.caller.client_id);
        format!("{prefix}-{}", self.caller.fresh_id).into()
    }
}

impl ClassicGroup {
    fn join(&mut self, turn: &mut Turn<'_>, joiner: Joiner<'_>) {
        let member = joiner.request.member_id.clone();
        if !self.has_room_for(&member, turn.config.max_size) {
            self.remove(turn, &member);
            joiner.refuse(turn, "", ResponseError::GroupMaxSizeReached);
        } else if !self.supports(&joiner.request.protocol_type, &joiner.request.protocols) {
            joiner.refuse(turn, &member, ResponseError::InconsistentGroupProtocol);
        } else if member.is_empty() {
            self.join_new(turn, &joiner);
        } else if self.pending_join.contains(&*member) && joiner.instance_id().is_none() {
            self.admit(turn, &joiner, &Name::from(&*member));
        } else if let Err(error) = self.validate_member(&member, joiner.instance_id()) {
            joiner.refuse(turn, &member, error);
        } else {
            self.rejoin(turn, &joiner);
        }
    }

    /// The number of those who wait counts while joining, so that a group that is too large shrinks by who comes
    /// last; the number of members counts afterwards.
    fn has_room_for(&self, member: &str, max_size: usize) -> bool {
        match self.state {
            State::Empty | State::Dead => true,
            State::PreparingRebalance => {
                let waits = self.members.get(member).is_some_and(|member| member.parked_join.is_some());
                waits || self.awaiting_join < max_size
            }
            State::CompletingRebalance | State::Stable => {
                self.members.contains_key(member) || self.members.len() < max_size
            }
        }
    }

    fn join_new(&mut self, turn: &mut Turn<'_>, joiner: &Joiner<'_>) {
        let id = joiner.new_member_id();
        let known = joiner.instance_id().and_then(|instance| self.static_members.get(instance)).cloned();
        if let Some(old) = known {
            self.replace_static_member(turn, joiner, &old, &id);
        } else if joiner.instance_id().is_some() || joiner.parked.version < REQUIRES_MEMBER_ID {
            self.admit(turn, joiner, &id);
        } else if self.pending_join.len() >= MAX_PENDING_MEMBERS {
            joiner.refuse(turn, "", ResponseError::GroupMaxSizeReached);
        } else {
            self.pending_join.insert(id.clone());
            turn.set_session(&self.id, &id, joiner.request.session_timeout_ms);
            joiner.refuse(turn, &id, ResponseError::MemberIdRequired);
        }
    }

    /// Makes the caller a member and lets it wait for the others.
    fn admit(&mut self, turn: &mut Turn<'_>, joiner: &Joiner<'_>, id: &Name) {
        let request = &joiner.request;
        if let Some(initial) = &mut self.initial {
            initial.extended = true;
        }
        self.add(Member {
            id: id.clone(),
            instance_id: joiner.instance_id().map(Name::from),
            client_id: joiner.caller.client_id.to_string(),
            client_host: joiner.caller.client_host.to_string(),
            rebalance_timeout_ms: request.rebalance_timeout_ms,
            session_timeout_ms: request.session_timeout_ms,
            protocol_type: request.protocol_type.to_string(),
            protocols: owned_protocols(&request.protocols),
            assignment: Bytes::new(),
            parked_join: Some(joiner.parked),
            parked_sync: None,
            is_new: true,
        });
        // It cannot send heartbeats while its join waits, and a broken connection is not seen here: so that the
        // ghosts of clients that gave up do not stay, a new member's join lives for five minutes only.
        turn.set_session(&self.id, id, NEW_MEMBER_JOIN_TIMEOUT_MS);
        self.rebalance_or_complete(turn);
    }

    fn rejoin(&mut self, turn: &mut Turn<'_>, joiner: &Joiner<'_>) {
        let id: &str = &joiner.request.member_id;
        let unchanged = self.members.get(id).is_some_and(|member| member.matches(&joiner.request.protocols));
        match self.state {
            // The leader joins again to say that the assignment should be made anew.
            State::Stable if unchanged && !self.is_leader(id) => self.repeat_generation(turn, joiner, false),
            // It probably missed the first answer.
            State::CompletingRebalance if unchanged => {
                self.repeat_generation(turn, joiner, self.is_leader(id));
            }
            State::PreparingRebalance | State::CompletingRebalance | State::Stable => {
                self.update_member(turn, joiner, id);
                self.rebalance_or_complete(turn);
            }
            State::Empty | State::Dead => joiner.refuse(turn, id, ResponseError::UnknownMemberId),
        }
    }

    fn repeat_generation(&self, turn: &mut Turn<'_>, joiner: &Joiner<'_>, with_members: bool) {
        let joined = self.joined(&joiner.request.member_id, with_members);
        turn.reply(joiner.parked.ticket, Reply::Join(joined.into_response(joiner.parked.version)));
    }

    /// Takes over what the join brings and parks it.
    pub(super) fn update_member(&mut self, turn: &mut Turn<'_>, joiner: &Joiner<'_>, id: &str) {
        let Some(mut member) = self.members.remove(id) else { return };
        self.count_support(&member, false);
        member.protocols = owned_protocols(&joiner.request.protocols);
        member.rebalance_timeout_ms = joiner.request.rebalance_timeout_ms;
        member.session_timeout_ms = joiner.request.session_timeout_ms;
        self.count_support(&member, true);
        self.members.insert(member.id.clone(), member);
        self.park_join(turn, id, joiner.parked);
    }

    /// The current generation, as the join of this member is told of it.
    pub(super) fn joined(&self, member: &str, with_members: bool) -> Joined {
        let protocol = self.protocol.as_deref().unwrap_or_default();
        let describe = |member: &Member| {
            JoinGroupResponseMember::default()
                .with_member_id(text(&member.id))
                .with_group_instance_id(member.instance_id.as_deref().map(text))
                .with_metadata(member.metadata(protocol))
        };
        Joined(
            JoinGroupResponse::default()
                .with_generation_id(self.generation)
                .with_protocol_type(self.protocol_type.clone().map(StrBytes::from_string))
                .with_protocol_name(self.protocol.clone().map(StrBytes::from_string))
                .with_leader(text(self.leader.as_deref().unwrap_or_default()))
                .with_member_id(text(member))
                .with_members(if with_members {
                    self.members.values().map(describe).collect()
                } else {
                    Vec::new()
                }),
        )
    }
}

/// A join's answer before it is fitted to a version.
pub(super) struct Joined(pub(super) JoinGroupResponse);

impl Joined {
    pub(super) fn into_response(self, version: i16) -> JoinGroupResponse {
        fit(version, self.0)
    }
}

pub(in crate::group) fn refusal(version: i16, member: &str, error: ResponseError) -> JoinGroupResponse {
    let response = JoinGroupResponse::default()
        .with_error_code(error.code())
        .with_generation_id(-1)
        .with_member_id(text(member));
    fit(version, response)
}

pub(in crate::group) fn fit(version: i16, mut response: JoinGroupResponse) -> JoinGroupResponse {
    let name = response.protocol_name.take().filter(|name| !name.is_empty());
    response.protocol_name = if version < NULLABLE_PROTOCOL { Some(name.unwrap_or_default()) } else { name };
    response
}

pub(super) fn text(value: &str) -> StrBytes {
    StrBytes::from_string(value.to_owned())
}
