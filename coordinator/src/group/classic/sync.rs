//! SyncGroup: the leader brings the assignment, everybody fetches their part.
//!
//! Must never hand out an assignment that is not in the log: the leader's sync makes the record, and all the answers
//! go out with it.

use std::collections::BTreeMap;

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{SyncGroupRequest, SyncGroupResponse};
use kafka_protocol::protocol::StrBytes;

use super::member::Parked;
use super::{ClassicGroup, State};
use crate::group::groups::{Group, Groups};
use crate::group::turn::Turn;
use crate::group::{Caller, Reply, Ticket};

pub(in crate::group) fn sync(
    groups: &mut Groups,
    turn: &mut Turn<'_>,
    ticket: Ticket,
    caller: &Caller,
    request: SyncGroupRequest,
) {
    let group = groups.get_mut(&**request.group_id).and_then(Group::as_classic_mut);
    let Some(group) = group.filter(|group| group.state != State::Empty) else {
        turn.reply(ticket, Reply::Sync(refusal(ResponseError::UnknownMemberId)));
        return;
    };
    group.sync(turn, Parked { ticket, version: caller.api_version }, request);
}

impl ClassicGroup {
    fn sync(&mut self, turn: &mut Turn<'_>, parked: Parked, request: SyncGroupRequest) {
        if let Err(error) = self.validate_sync(&request) {
            turn.reply(parked.ticket, Reply::Sync(refusal(error)));
            return;
        }
        self.synced(turn, &request.member_id);
        match self.state {
            State::PreparingRebalance => {
                turn.reply(parked.ticket, Reply::Sync(refusal(ResponseError::RebalanceInProgress)));
            }
            State::CompletingRebalance => {
                self.park_sync(turn, &request.member_id, parked);
                if self.is_leader(&request.member_id) {
                    self.assign(turn, request);
                }
            }
            State::Stable => {
                let assignment =
                    self.members.get(&*request.member_id).map(|member| member.assignment.clone());
                turn.reply(parked.ticket, Reply::Sync(self.assigned(assignment.unwrap_or_default())));
            }
            State::Empty | State::Dead => {
                turn.reply(parked.ticket, Reply::Sync(refusal(ResponseError::UnknownMemberId)));
            }
        }
    }

    fn validate_sync(&self, request: &SyncGroupRequest) -> Result<(), ResponseError> {
        self.validate_member(&request.member_id, request.group_instance_id.as_deref())?;
        let differs = |theirs: &Option<StrBytes>, ours: Option<&str>| {
            theirs.as_deref().is_some_and(|theirs| Some(theirs) != ours)
        };
        if request.generation_id != self.generation {
            Err(ResponseError::IllegalGeneration)
        } else if differs(&request.protocol_type, self.protocol_type())
            || differs(&request.protocol_name, self.protocol())
        {
            Err(ResponseError::InconsistentGroupProtocol)
        } else {
            Ok(())
        }
    }

    /// The member has asked; when all have, nobody needs to be put out for silence.
    fn synced(&mut self, turn: &mut Turn<'_>, member: &str) {
        let awaited = matches!(self.state, State::CompletingRebalance | State::Stable);
        if awaited && self.pending_sync.remove(member) && self.pending_sync.is_empty() {
            self.cancel_sync_deadline(turn);
        }
    }

    fn park_sync(&mut self, turn: &mut Turn<'_>, id: &str, parked: Parked) {
        let Some(member) = self.members.get_mut(id) else { return };
        member.answer_sync(turn, || refusal(ResponseError::RebalanceInProgress));
        member.parked_sync = Some(parked);
    }

    /// Puts the leader's assignment into a record and answers all who wait; the group is stable once the record
    /// is applied. Members that the leader left out get an empty assignment.
    fn assign(&mut self, turn: &mut Turn<'_>, request: SyncGroupRequest) {
        let assignments: BTreeMap<StrBytes, Bytes> =
            request.assignments.into_iter().map(|entry| (entry.member_id, entry.assignment)).collect();
        let of = |id: &str| assignments.get(id.as_bytes()).cloned().unwrap_or_default();
        self.record(turn, |member| of(&member.id));
        let ids: Vec<_> = self.members.keys().cloned().collect();
        for id in ids {
            let assigned = self.assigned(of(&id));
            let Some(member) = self.members.get_mut(&id) else { continue };
            if member.answer_sync(turn, || assigned) {
                // The member was excused from heartbeats while it waited; from here on they are due again.
                turn.set_session(&self.id, &id, member.session_timeout_ms);
            }
        }
    }

    fn assigned(&self, assignment: Bytes) -> SyncGroupResponse {
        SyncGroupResponse::default()
            .with_protocol_type(self.protocol_type.clone().map(StrBytes::from_string))
            .with_protocol_name(self.protocol.clone().map(StrBytes::from_string))
            .with_assignment(assignment)
    }
}

pub(in crate::group) fn refusal(error: ResponseError) -> SyncGroupResponse {
    SyncGroupResponse::default().with_error_code(error.code())
}
