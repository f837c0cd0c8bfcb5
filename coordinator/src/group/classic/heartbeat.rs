//! Heartbeat: a member lives, and learns whether it has to join again.
//!
//! Must never extend the session of somebody who is not a member of the current generation.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{HeartbeatRequest, HeartbeatResponse};

use super::{ClassicGroup, State};
use crate::group::groups::{Group, Groups};
use crate::group::turn::Turn;
use crate::group::{Reply, Ticket};

pub(in crate::group) fn heartbeat(
    groups: &Groups,
    turn: &mut Turn<'_>,
    ticket: Ticket,
    request: &HeartbeatRequest,
) {
    let group =
        groups.get(&**request.group_id).and_then(Group::as_classic).ok_or(ResponseError::UnknownMemberId);
    let result = group.and_then(|group| group.heartbeat(turn, request));
    let code = result.map_or_else(|error| error.code(), |()| 0);
    turn.reply(ticket, Reply::Heartbeat(HeartbeatResponse::default().with_error_code(code)));
}

impl ClassicGroup {
    fn heartbeat(&self, turn: &mut Turn<'_>, request: &HeartbeatRequest) -> Result<(), ResponseError> {
        self.validate_member(&request.member_id, request.group_instance_id.as_deref())?;
        if request.generation_id != self.generation {
            return Err(ResponseError::IllegalGeneration);
        }
        match self.state {
            State::Empty | State::Dead => Err(ResponseError::UnknownMemberId),
            State::PreparingRebalance => {
                // The session is extended all the same: the member cannot join again before it has heard of it.
                self.touch(turn, &request.member_id);
                Err(ResponseError::RebalanceInProgress)
            }
            State::CompletingRebalance | State::Stable => {
                self.touch(turn, &request.member_id);
                Ok(())
            }
        }
    }
}
