//! LeaveGroup: members go, one by one or in a batch (KIP-345), and say why (KIP-800; accepted, not kept).
//!
//! Must never start more than one rebalance for a batch.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::{LeaveGroupRequest, LeaveGroupResponse};

use super::{ClassicGroup, State};
use crate::group::groups::{Group, Groups};
use crate::group::turn::Turn;
use crate::group::{Caller, Reply, Ticket, consumer};

/// From here on the request names several members, and each gets a result of its own.
const BATCHES: i16 = 3;

pub(in crate::group) fn leave(
    groups: &mut Groups,
    turn: &mut Turn<'_>,
    ticket: Ticket,
    caller: &Caller,
    request: LeaveGroupRequest,
) {
    let leaving = if caller.api_version >= BATCHES {
        request.members
    } else {
        vec![MemberIdentity::default().with_member_id(request.member_id)]
    };
    let results = match groups.get_mut(&**request.group_id) {
        Some(Group::Classic(group)) => group.leave(turn, leaving),
        Some(Group::Consumer(_)) => consumer::classic_leave(groups, turn, &request.group_id, leaving),
        None => {
            leaving.into_iter().map(|member| result(member, Err(ResponseError::UnknownMemberId))).collect()
        }
    };
    let response = if caller.api_version >= BATCHES {
        LeaveGroupResponse::default().with_members(results)
    } else {
        LeaveGroupResponse::default().with_error_code(results.first().map_or(0, |result| result.error_code))
    };
    turn.reply(ticket, Reply::Leave(response));
}

impl ClassicGroup {
    fn leave(&mut self, turn: &mut Turn<'_>, leaving: Vec<MemberIdentity>) -> Vec<MemberResponse> {
        let results: Vec<_> = leaving
            .into_iter()
            .map(|member| {
                let outcome = self.leave_one(turn, &member);
                result(member, outcome)
            })
            .collect();
        if results.iter().any(|result| result.error_code == 0) {
            match self.state {
                State::Stable | State::CompletingRebalance => self.rebalance_or_complete(turn),
                State::PreparingRebalance => self.maybe_complete_join(turn),
                State::Empty | State::Dead => {}
            }
        }
        results
    }

    fn leave_one(&mut self, turn: &mut Turn<'_>, member: &MemberIdentity) -> Result<(), ResponseError> {
        let id = if member.member_id.is_empty() {
            // An administrator removes a static member by its instance id alone.
            let instance = member.group_instance_id.as_deref().ok_or(ResponseError::UnknownMemberId)?;
            self.static_members.get(instance).cloned().ok_or(ResponseError::UnknownMemberId)?
        } else {
            let id: &str = &member.member_id;
            if !self.pending_join.contains(id) {
                self.validate_member(id, member.group_instance_id.as_deref())?;
            }
            id.into()
        };
        self.remove(turn, &id);
        turn.cancel_session(&self.id, &id);
        Ok(())
    }
}

fn result(member: MemberIdentity, outcome: Result<(), ResponseError>) -> MemberResponse {
    MemberResponse::default()
        .with_member_id(member.member_id)
        .with_group_instance_id(member.group_instance_id)
        .with_error_code(outcome.map_or_else(|error| error.code(), |()| 0))
}
