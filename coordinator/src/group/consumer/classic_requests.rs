//! Requests of the classic protocol to a consumer group.
//!
//! Must never answer a member that speaks the consumer protocol as if it were a classic one.
//!
//! Kafka: the `classicGroup…ToConsumerGroup` methods of `GroupMetadataManager`.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::{
    HeartbeatRequest, HeartbeatResponse, JoinGroupRequest, SyncGroupRequest, SyncGroupResponse,
};

use super::classic_member::Joined;
use super::embedded::{encode_assignment, without_epochs};
use super::member::{Member, MemberState};
use super::{ConsumerGroup, PROTOCOL_TYPE, fence};
use crate::group::classic;
use crate::group::groups::{self, Group, Groups};
use crate::group::turn::Turn;
use crate::group::{Caller, Name, Reply, Ticket};

pub(in crate::group) fn classic_join(
    groups: &mut Groups,
    turn: &mut Turn<'_>,
    ticket: Ticket,
    caller: &Caller,
    request: &JoinGroupRequest,
) {
    let Some(group) = groups::consumer_mut(groups, &request.group_id) else { return };
    let version = caller.api_version;
    let mark = turn.mark();
    let was_resolving = group.resolving.is_some();
    let response = match group.join_classic(turn, caller, request) {
        Ok(Joined::Id(id)) => classic::join_refusal(version, &id, ResponseError::MemberIdRequired),
        Ok(Joined::Member(response)) => classic::fit_join(version, response),
        Ok(Joined::Downgraded(response, classic)) => {
            groups.insert(classic.id.clone(), Group::Classic(classic));
            classic::fit_join(version, response)
        }
        Err(refused) => {
            turn.back_to(&mark);
            if !was_resolving {
                group.resolving = None;
            }
            tracing::debug!(group = %group.id, reason = refused.message, "a classic member is refused");
            classic::join_refusal(version, &request.member_id, refused.error)
        }
    };
    turn.reply(ticket, Reply::Join(response));
}

pub(in crate::group) fn classic_sync(
    groups: &mut Groups,
    turn: &mut Turn<'_>,
    ticket: Ticket,
    request: &SyncGroupRequest,
) {
    let group = groups::consumer_mut(groups, &request.group_id);
    let synced =
        group.ok_or(ResponseError::UnknownMemberId).and_then(|group| group.sync_classic(turn, request));
    turn.reply(ticket, Reply::Sync(synced.unwrap_or_else(classic::sync_refusal)));
}

pub(in crate::group) fn classic_heartbeat(
    groups: &mut Groups,
    turn: &mut Turn<'_>,
    ticket: Ticket,
    request: &HeartbeatRequest,
) {
    let group = groups::consumer_mut(groups, &request.group_id);
    let beat =
        group.ok_or(ResponseError::UnknownMemberId).and_then(|group| group.beat_classic(turn, request));
    let code = beat.map_or_else(|error| error.code(), |()| 0);
    turn.reply(ticket, Reply::Heartbeat(HeartbeatResponse::default().with_error_code(code)));
}

/// Takes out whoever may leave, all at once, and tells each how that went.
pub(in crate::group) fn classic_leave(
    groups: &mut Groups,
    turn: &mut Turn<'_>,
    id: &str,
    leaving: Vec<MemberIdentity>,
) -> Vec<MemberResponse> {
    let Some(group) = groups.get(id).and_then(Group::as_consumer) else { return Vec::new() };
    let mut gone: Vec<Name> = Vec::new();
    let mut results = Vec::new();
    for member in leaving {
        let found = group.leaver(&member);
        let code = found.as_ref().map_or_else(|error| error.code(), |_| 0);
        gone.extend(found.ok().filter(|id| !gone.contains(id)));
        results.push(
            MemberResponse::default()
                .with_member_id(member.member_id)
                .with_group_instance_id(member.group_instance_id)
                .with_error_code(code),
        );
    }
    fence::fence(groups, turn, id, &gone);
    results
}

impl ConsumerGroup {
    fn leaver(&self, identity: &MemberIdentity) -> Result<Name, ResponseError> {
        let member = match identity.group_instance_id.as_deref() {
            None => self.member(&identity.member_id),
            // An administrator removes a static member by its instance id alone.
            Some(instance) if identity.member_id.is_empty() => {
                return self
                    .static_member(instance)
                    .map(|member| member.id.clone())
                    .ok_or(ResponseError::UnknownMemberId);
            }
            Some(instance) => self.holder(&identity.member_id, instance),
        };
        member.map(|member| member.id.clone()).map_err(|refused| refused.error)
    }

    /// The classic member that a request speaks for, in its present generation.
    fn classic_member(
        &self,
        id: &str,
        instance: Option<&str>,
        generation: i32,
    ) -> Result<(&Member, i32), ResponseError> {
        let member = match instance {
            None => self.member(id),
            Some(instance) => self.holder(id, instance),
        };
        let member = member.map_err(|refused| refused.error)?;
        let Some(classic) = &member.about.classic else { return Err(ResponseError::UnknownMemberId) };
        if member.epoch != generation {
            return Err(ResponseError::IllegalGeneration);
        }
        Ok((member, classic.session_timeout_ms))
    }

    fn sync_classic(
        &mut self,
        turn: &mut Turn<'_>,
        request: &SyncGroupRequest,
    ) -> Result<SyncGroupResponse, ResponseError> {
        let instance = request.group_instance_id.as_deref();
        let (member, session) = self.classic_member(&request.member_id, instance, request.generation_id)?;
        let offered = member.about.classic.as_ref().and_then(|classic| classic.protocols.first());
        let (name, subscription) = offered.ok_or(ResponseError::UnknownServerError)?;
        let differs = |theirs: Option<&str>, ours: &str| theirs.is_some_and(|theirs| theirs != ours);
        if differs(request.protocol_type.as_deref(), PROTOCOL_TYPE)
            || differs(request.protocol_name.as_deref(), name)
        {
            return Err(ResponseError::InconsistentGroupProtocol);
        }
        if self.target_epoch.epoch > member.epoch && !member.is_revoking() {
            let (id, timeout) = (member.id.clone(), member.about.rebalance_timeout_ms);
            self.expect_join(turn, id, timeout);
            return Err(ResponseError::RebalanceInProgress);
        }
        let assignment = encode_assignment(turn.image, &without_epochs(&member.assigned), subscription)?;
        turn.cancel_timer(self.sync_timer(&member.id));
        turn.set_session(&self.id, &member.id, session);
        Ok(SyncGroupResponse::default()
            .with_protocol_type(request.protocol_type.clone())
            .with_protocol_name(request.protocol_name.clone())
            .with_assignment(assignment))
    }

    fn beat_classic(&mut self, turn: &mut Turn<'_>, request: &HeartbeatRequest) -> Result<(), ResponseError> {
        let instance = request.group_instance_id.as_deref();
        let (member, session) = self.classic_member(&request.member_id, instance, request.generation_id)?;
        turn.set_session(&self.id, &member.id, session);
        let can_get_more =
            member.state == MemberState::UnreleasedPartitions && !self.waits_for_others(member);
        if member.epoch >= self.target_epoch.epoch && !member.is_revoking() && !can_get_more {
            return Ok(());
        }
        let (id, timeout) = (member.id.clone(), member.about.rebalance_timeout_ms);
        self.expect_join(turn, id, timeout);
        Err(ResponseError::RebalanceInProgress)
    }

    /// Whether somebody still has a partition that this member is to get.
    fn waits_for_others(&self, member: &Member) -> bool {
        let target = self.target.get(&member.id).into_iter().flatten();
        target.flat_map(|(topic, partitions)| partitions.iter().map(move |index| (topic, index))).any(
            |(topic, index)| {
                let has = member.assigned.get(topic).is_some_and(|has| has.contains_key(index));
                !has && self.partition_epoch(*topic, *index).is_some()
            },
        )
    }

    /// The member has to join again before its time-out; later reminders do not move that.
    fn expect_join(&mut self, turn: &mut Turn<'_>, member: Name, timeout_ms: i32) {
        let timer = self.join_timer(&member);
        if self.joins_due.insert(member) {
            turn.set_timer(timer, i64::from(timeout_ms));
        }
    }
}
