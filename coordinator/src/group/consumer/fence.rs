//! Members go: they leave, for good or for a while, or have not kept a deadline.
//!
//! Must never let a member that is out keep a partition.
//!
//! Kafka: `GroupMetadataManager.consumerGroupLeave`, `consumerGroupFenceMembers` and the deadlines of consumer groups.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};

use super::ConsumerGroup;
use super::member::{LEAVING_FOR_NOW, Member};
use super::refused::Refused;
use crate::group::groups::{self, Group, Groups};
use crate::group::records::{ConsumerChange, GroupEpoch, Owned};
use crate::group::turn::Turn;
use crate::group::{Name, TimerKey};

pub(super) fn leave(
    groups: &mut Groups,
    turn: &mut Turn<'_>,
    request: &ConsumerGroupHeartbeatRequest,
) -> Result<ConsumerGroupHeartbeatResponse, Refused> {
    let id: &str = &request.group_id;
    let group = match groups.get(id) {
        Some(Group::Consumer(group)) => group,
        other => return Err(no_such_group(id, other.is_some())),
    };
    let member = match request.instance_id.as_deref() {
        None => group.member(&request.member_id)?,
        Some(instance) => group.holder(&request.member_id, instance)?,
    };
    if request.instance_id.is_some() && request.member_epoch == LEAVING_FOR_NOW {
        group.write_absence(turn, member);
    } else {
        let leaving = [member.id.clone()];
        fence(groups, turn, id, &leaving);
    }
    Ok(ConsumerGroupHeartbeatResponse::default()
        .with_member_id(Some(request.member_id.clone()))
        .with_member_epoch(request.member_epoch))
}

pub(super) fn no_such_group(id: &str, other_kind: bool) -> Refused {
    let message = if other_kind {
        format!("Group {id} is not a consumer group.")
    } else {
        format!("Group {id} not found.")
    };
    Refused::new(ResponseError::GroupIdNotFound, message)
}

/// Takes members out. If only classic ones are left, the group becomes a classic one.
pub(super) fn fence(groups: &mut Groups, turn: &mut Turn<'_>, id: &str, leaving: &[Name]) {
    let Some(group) = groups::consumer_mut(groups, id) else { return };
    if leaving.is_empty() {
        return;
    }
    if group.becomes_classic_without(turn, leaving) {
        let classic = group.downgrade(turn, leaving);
        if let Some(classic) = classic {
            groups.insert(classic.id.clone(), Group::classic(classic));
            return;
        }
    }
    let Some(group) = groups::consumer_mut(groups, id) else { return };
    group.write_departure(turn, leaving);
}

impl ConsumerGroup {
    fn write_departure(&self, turn: &mut Turn<'_>, leaving: &[Name]) {
        for id in leaving {
            self.write_removal(turn, id);
            self.cancel_timers(turn, id);
        }
        let gone = leaving.iter().filter_map(|id| self.members.get(id));
        let next = self.subscriptions.after(gone.map(|member| (Some(member.about.clone()), None)));
        for pattern in self.subscriptions.patterns() {
            if next.subscribers(pattern) == 0 {
                self.write(turn, &ConsumerChange::Regex(pattern.to_owned(), None));
            }
        }
        let metadata_hash = turn.hashes.of_group(turn.image, next.topics());
        let epoch = self.epoch.saturating_add(1);
        self.write(turn, &ConsumerChange::Epoch(Some(GroupEpoch { epoch, metadata_hash })));
    }

    /// The order is what readers of the log rely on.
    pub(super) fn write_removal(&self, turn: &mut Turn<'_>, id: &str) {
        self.write(turn, &ConsumerChange::Current(id.to_owned(), None));
        self.write(turn, &ConsumerChange::Target(id.to_owned(), None));
        self.write(turn, &ConsumerChange::Member(id.to_owned(), None));
    }

    /// A static member leaves and may come back within its session; its partitions wait for it.
    fn write_absence(&self, turn: &mut Turn<'_>, member: &Member) {
        let mut absent = member.clone();
        absent.epoch = LEAVING_FOR_NOW;
        absent.revoking = Owned::new();
        // Who comes back has another id, and may commit in any of its epochs.
        absent
            .assigned
            .values_mut()
            .flat_map(|partitions| partitions.values_mut())
            .for_each(|epoch| *epoch = 0);
        self.write(turn, &ConsumerChange::Current(member.id.to_string(), Some(absent.current_assignment())));
    }

    pub(super) fn cancel_timers(&self, turn: &mut Turn<'_>, id: &Name) {
        turn.cancel_session(&self.id, id);
        turn.cancel_timer(self.revocation_timer(id));
        turn.cancel_timer(self.join_timer(id));
        turn.cancel_timer(self.sync_timer(id));
    }
}

/// A member has not kept a deadline.
pub(in crate::group) fn deadline(groups: &mut Groups, turn: &mut Turn<'_>, key: &TimerKey) {
    let (id, member, revoking) = match key {
        TimerKey::Session { group, member }
        | TimerKey::MemberJoin { group, member }
        | TimerKey::MemberSync { group, member } => (group, member, false),
        TimerKey::Revocation { group, member } => (group, member, true),
        _ => return,
    };
    let Some(group) = groups.get(id).and_then(Group::as_consumer) else { return };
    let Some(known) = group.members.get(member) else { return };
    if revoking && !known.is_revoking() {
        return;
    }
    tracing::info!(group = %id, %member, deadline = ?key, "a member is out");
    fence(groups, turn, id, std::slice::from_ref(member));
}
