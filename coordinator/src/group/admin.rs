//! ListGroups, DescribeGroups, DeleteGroups.
//!
//! Must never change a group: deleting makes tombstones, and those do it.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::GroupId;
use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::protocol::StrBytes;

use super::classic::{self, ClassicGroup, Groups, State};
use super::offsets::{self, Offsets};
use super::records::Record;
use super::turn::Turn;

/// From here on an unknown group is an error and not just dead (KIP-1043).
const UNKNOWN_IS_AN_ERROR: i16 = 6;

/// Filters are compared without regard to case; empty ones let everything through.
pub(super) fn list(groups: &Groups, states: &[String], types: &[String]) -> Vec<ListedGroup> {
    let wanted = |group: &&ClassicGroup| {
        let state = group.state().name();
        (states.is_empty() || states.iter().any(|wanted| wanted.trim().eq_ignore_ascii_case(state)))
            && (types.is_empty() || types.iter().any(|wanted| wanted.eq_ignore_ascii_case(classic::TYPE)))
    };
    let listed = groups.values().filter(wanted).map(|group| {
        ListedGroup::default()
            .with_group_id(group_id(&group.id))
            .with_protocol_type(text(group.protocol_type().unwrap_or_default()))
            .with_group_state(StrBytes::from_static_str(group.state().name()))
            .with_group_type(StrBytes::from_static_str(classic::TYPE))
    });
    listed.collect()
}

pub(super) fn describe(groups: &Groups, version: i16, id: &str) -> DescribedGroup {
    let described = DescribedGroup::default().with_group_id(group_id(id));
    match groups.get(id) {
        Some(group) => describe_group(group, described),
        None => {
            let dead = described.with_group_state(StrBytes::from_static_str(State::Dead.name()));
            if version < UNKNOWN_IS_AN_ERROR {
                return dead;
            }
            dead.with_error_code(ResponseError::GroupIdNotFound.code())
                .with_error_message(Some(text(&format!("Group {id} not found."))))
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
        Some(group) if group.state() != State::Empty => Err(ResponseError::NonEmptyGroup),
        Some(group) => {
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
