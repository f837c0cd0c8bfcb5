//! ListGroups, DescribeGroups, DeleteGroups; and the rebalance that tests ask for, which moves soft state only.
//!
//! Must never change a group: deleting makes tombstones, and those do it.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::GroupId;
use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::protocol::StrBytes;

use super::classic::{self, ClassicGroup, State};
use super::consumer;
use super::groups::{Group, Groups};
use super::offsets::{self, Offsets};
use super::records::Record;
use super::turn::Turn;

/// From here on an unknown group is an error and not just dead (KIP-1043).
const UNKNOWN_IS_AN_ERROR: i16 = 6;

/// Filters are compared without regard to case; empty ones let everything through.
pub(super) fn list(groups: &Groups, states: &[String], types: &[String]) -> Vec<ListedGroup> {
    let seen = |group: &Group| match group {
        Group::Classic(group) => {
            (group.state().name(), classic::TYPE, text(group.protocol_type().unwrap_or_default()))
        }
        Group::Consumer(group) => {
            let protocol_type = StrBytes::from_static_str(consumer::PROTOCOL_TYPE);
            (group.state().name(), consumer::TYPE, protocol_type)
        }
    };
    let wants = |filter: &[String], name: &str| {
        filter.is_empty() || filter.iter().any(|wanted| wanted.eq_ignore_ascii_case(name))
    };
    let states: Vec<String> = states.iter().map(|state| state.trim().to_owned()).collect();
    let listed = groups.values().filter_map(|group| {
        let (state, kind, protocol_type) = seen(group);
        let wanted = wants(&states, state) && wants(types, kind);
        wanted.then(|| {
            ListedGroup::default()
                .with_group_id(group_id(group.id()))
                .with_protocol_type(protocol_type)
                .with_group_state(StrBytes::from_static_str(state))
                .with_group_type(StrBytes::from_static_str(kind))
        })
    });
    listed.collect()
}

pub(super) fn describe(groups: &Groups, version: i16, id: &str) -> DescribedGroup {
    let described = DescribedGroup::default().with_group_id(group_id(id));
    match groups.get(id) {
        Some(Group::Classic(group)) => describe_group(group, described),
        other => {
            let dead = described.with_group_state(StrBytes::from_static_str(State::Dead.name()));
            if version < UNKNOWN_IS_AN_ERROR {
                return dead;
            }
            dead.with_error_code(ResponseError::GroupIdNotFound.code()).with_error_message(Some(text(
                &match other {
                    None => format!("Group {id} not found."),
                    Some(_) => format!("Group {id} is not a classic group."),
                },
            )))
        }
    }
}

/// Metadata is shown only while a protocol is in force; the assignment always, empty as it may be.
fn describe_group(group: &ClassicGroup, described: DescribedGroup) -> DescribedGroup {
    let protocol = if group.state() == State::Stable { group.protocol() } else { None };
    let members = group.members().map(|member| {
        DescribedGroupMember::default()
            .with_member_id(text(&member.id))
            .with_group_instance_id(member.instance_id.as_deref().map(text))
            .with_client_id(text(&member.client_id))
            .with_client_host(text(&member.client_host))
            .with_member_metadata(protocol.map(|protocol| member.metadata(protocol)).unwrap_or_default())
            .with_member_assignment(member.assignment.clone())
    });
    described
        .with_group_state(StrBytes::from_static_str(group.state().name()))
        .with_protocol_type(text(group.protocol_type().unwrap_or_default()))
        .with_protocol_data(text(protocol.unwrap_or_default()))
        .with_members(members.collect())
}

pub(super) fn delete(
    groups: &Groups,
    offsets: &Offsets,
    turn: &mut Turn<'_>,
    id: &str,
) -> DeletableGroupResult {
    let result = match groups.get(id) {
        None => Err(ResponseError::GroupIdNotFound),
        Some(Group::Classic(group)) if group.state() != State::Empty => Err(ResponseError::NonEmptyGroup),
        Some(Group::Consumer(group)) if !group.is_empty() => Err(ResponseError::NonEmptyGroup),
        Some(Group::Consumer(group)) => {
            offsets::delete_all(offsets, turn, id);
            group.write_tombstones(turn);
            Ok(())
        }
        Some(Group::Classic(group)) => {
            offsets::delete_all(offsets, turn, id);
            turn.record_or_log(id, Record::group_tombstone(id));
            for member in group.pending_members() {
                turn.cancel_session(&group.id, member);
            }
            Ok(())
        }
    };
    let code = result.map_or_else(|error| error.code(), |()| 0);
    DeletableGroupResult::default().with_group_id(group_id(id)).with_error_code(code)
}

fn group_id(id: &str) -> GroupId {
    GroupId(text(id))
}

fn text(value: &str) -> StrBytes {
    StrBytes::from_string(value.to_owned())
}
/// Has all members of a group join again, or be assigned anew.
pub(super) fn rebalance(groups: &mut Groups, turn: &mut Turn<'_>, id: &str) -> Option<ResponseError> {
    let begun = match groups.get_mut(id) {
        None => return Some(ResponseError::GroupIdNotFound),
        Some(Group::Classic(group)) => group.force_rebalance(turn),
        Some(Group::Consumer(group)) => group.force_epoch(turn),
    };
    // Nobody is there to be told.
    (!begun).then_some(ResponseError::UnknownMemberId)
}
