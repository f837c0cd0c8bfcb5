//! Who may speak as which member.
//!
//! Must never accept an epoch that the member was not told, but for the one before if its answer may have been lost.
//!
//! Kafka: the `throwIf…` methods of `GroupMetadataManager` for consumer groups and
//! `getOrMaybeSubscribe…ConsumerGroupMember`.

use kafka_protocol::error::ResponseError;

use super::ConsumerGroup;
use super::epoch::Reported;
use super::member::{LEAVING_FOR_NOW, Member};
use super::refused::Refused;
use crate::group::Name;
use crate::group::records::{ConsumerChange, Owned};
use crate::group::turn::Turn;

/// Who a request says it is.
pub(super) struct Caller<'a> {
    pub(super) member: &'a Name,
    pub(super) instance: Option<&'a str>,
    pub(super) epoch: i32,
    /// It wants to become a member, or one again.
    pub(super) joins: bool,
    pub(super) classic: bool,
    pub(super) owned: &'a Reported,
}

impl ConsumerGroup {
    pub(super) fn check_room(&self, turn: &Turn<'_>, member: &str) -> Result<(), Refused> {
        let max = turn.config.consumer.max_size;
        if self.members.len() < max || self.members.contains_key(member) {
            return Ok(());
        }
        let message = format!("The consumer group has reached its maximum capacity of {max} members.");
        Err(Refused::new(ResponseError::GroupMaxSizeReached, message))
    }

    /// The member as it is, or as it begins.
    pub(super) fn admit(&self, turn: &mut Turn<'_>, caller: &Caller<'_>) -> Result<Member, Refused> {
        match caller.instance {
            None => self.admit_dynamic(caller),
            Some(instance) => self.admit_static(turn, caller, instance),
        }
    }

    pub(super) fn member(&self, id: &str) -> Result<&Member, Refused> {
        self.members.get(id).ok_or_else(|| Refused::unknown_member(id, &self.id))
    }

    /// A member that names its instance has to be the one that holds it.
    pub(super) fn holder(&self, id: &str, instance: &str) -> Result<&Member, Refused> {
        let member = self.static_member(instance).ok_or_else(|| {
            Refused::new(ResponseError::UnknownMemberId, format!("Instance id {instance} is unknown."))
        })?;
        if *member.id == *id {
            return Ok(member);
        }
        let holder = &member.id;
        let message =
            format!("Static member {id} with instance id {instance} was fenced by member {holder}.");
        Err(Refused::new(ResponseError::FencedInstanceId, message))
    }

    fn admit_dynamic(&self, caller: &Caller<'_>) -> Result<Member, Refused> {
        let member = match self.members.get(caller.member) {
            Some(member) => member.clone(),
            None if caller.joins => Member::new(caller.member.clone()),
            None => return Err(Refused::unknown_member(caller.member, &self.id)),
        };
        if !caller.classic {
            check_epoch(&member, caller)?;
        }
        Ok(member)
    }

    fn admit_static(
        &self,
        turn: &mut Turn<'_>,
        caller: &Caller<'_>,
        instance: &str,
    ) -> Result<Member, Refused> {
        if !caller.joins {
            let member = self.holder(caller.member, instance)?;
            if !caller.classic {
                check_epoch(member, caller)?;
            }
            return Ok(member.clone());
        }
        let Some(holder) = self.static_member(instance) else {
            return Ok(self
                .members
                .get(caller.member)
                .cloned()
                .unwrap_or_else(|| Member::new(caller.member.clone())));
        };
        if !caller.classic && !holder.is_classic() && holder.epoch != LEAVING_FOR_NOW {
            let (id, owner) = (caller.member, &holder.id);
            let message = format!(
                "Static member {id} with instance id {instance} cannot join the group because the instance id \
                 is owned by {owner} member."
            );
            return Err(Refused::new(ResponseError::UnreleasedInstanceId, message));
        }
        let successor = Member { id: caller.member.clone(), epoch: 0, previous_epoch: 0, ..holder.clone() };
        self.write_replacement(turn, holder, &successor);
        Ok(successor)
    }

    /// A static member comes back under another id and takes over what it had.
    fn write_replacement(&self, turn: &mut Turn<'_>, old: &Member, new: &Member) {
        self.write_removal(turn, &old.id);
        let (id, target) = (new.id.to_string(), self.target.get(&old.id).cloned().unwrap_or_default());
        self.write(turn, &ConsumerChange::Member(id.clone(), Some(new.about.clone())));
        self.write(turn, &ConsumerChange::Target(id.clone(), Some(target)));
        self.write(turn, &ConsumerChange::Current(id, Some(new.current_assignment())));
        if old.id != new.id {
            self.cancel_timers(turn, &old.id);
        }
    }
}

fn check_epoch(member: &Member, caller: &Caller<'_>) -> Result<(), Refused> {
    // Whoever begins anew may: it has given up everything (KIP-848, fenced members).
    if caller.epoch == 0 || caller.epoch == member.epoch {
        return Ok(());
    }
    let lost_answer = caller.epoch == member.previous_epoch && is_within(caller.owned, &member.assigned);
    if caller.epoch < member.epoch && lost_answer {
        return Ok(());
    }
    let than = if caller.epoch > member.epoch { "greater" } else { "smaller" };
    let message = format!(
        "The consumer group member has a {than} member epoch ({}) than the one known by the group coordinator \
         ({}). The member must abandon all its partitions and rejoin.",
        caller.epoch, member.epoch
    );
    Err(Refused::new(ResponseError::FencedMemberEpoch, message))
}

fn is_within(owned: &Reported, assigned: &Owned) -> bool {
    let Some(owned) = owned else { return false };
    owned.iter().all(|(topic, partitions)| {
        let of_topic = assigned.get(topic);
        of_topic.is_some_and(|of_topic| partitions.iter().all(|index| of_topic.contains_key(index)))
    })
}
