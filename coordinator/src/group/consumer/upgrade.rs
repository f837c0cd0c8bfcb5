//! The first member of the consumer protocol comes to a group: to a new one, an empty one, or one of classic members
//! that becomes a consumer group under way (KIP-848, online migration).
//!
//! Must never change the classic group: it is replaced when the member's whole request has succeeded.
//!
//! Kafka: `GroupMetadataManager.validateOnlineUpgrade`, `ConsumerGroup.fromClassicGroup`.

use kafka_protocol::error::ResponseError;
use milena_storage::ids::Timestamp;

use super::embedded::{Subscription, decode_assignment};
use super::member::{Member, MemberState};
use super::refused::Refused;
use super::{ConsumerGroup, PROTOCOL_TYPE};
use crate::group::ClassicState;
use crate::group::classic::{ClassicGroup, Member as OldMember};
use crate::group::groups::{Group, Groups};
use crate::group::records::{
    ClassicMember, ConsumerChange, GroupEpoch, Owned, Partitions, Record, TargetEpoch,
};
use crate::group::turn::Turn;

/// A consumer group in the place of what is there.
pub(super) fn begin(groups: &Groups, turn: &mut Turn<'_>, id: &str) -> Result<ConsumerGroup, Refused> {
    let Some(Group::Classic(classic)) = groups.get(id) else { return Ok(ConsumerGroup::new(id.into())) };
    if classic.state() == ClassicState::Empty {
        turn.record_or_log(id, Record::group_tombstone(id));
        return Ok(ConsumerGroup::new(id.into()));
    }
    validate(turn, classic)?;
    turn.record_or_log(id, Record::group_tombstone(id));
    convert(turn, classic)
}

fn validate(turn: &Turn<'_>, classic: &ClassicGroup) -> Result<(), Refused> {
    let consumer = &turn.config.consumer;
    let fault = if !consumer.migration.upgrade {
        "because online upgrade is disabled"
    } else if classic.protocol_type() != Some(PROTOCOL_TYPE) {
        "because the group does not use the consumer embedded protocol"
    } else if classic.members().count() > consumer.max_size {
        "because the group size exceeds the consumer group maximum size"
    } else {
        return Ok(());
    };
    Err(cannot(classic, fault))
}

fn cannot(classic: &ClassicGroup, fault: &str) -> Refused {
    let message = format!("Cannot upgrade classic group {} to consumer group {fault}.", classic.id);
    Refused::new(ResponseError::GroupIdNotFound, message)
}

/// All members stay, each with what it has, as members that speak the classic protocol.
fn convert(turn: &mut Turn<'_>, classic: &ClassicGroup) -> Result<ConsumerGroup, Refused> {
    let epoch = classic.generation();
    let members: Vec<Member> =
        classic.members().map(|member| convert_member(turn, classic, member)).collect::<Result<_, _>>()?;
    let mut group = ConsumerGroup::new(classic.id.clone());
    let mut take = |turn: &mut Turn<'_>, change: ConsumerChange| {
        group.write(turn, &change);
        group.apply(change);
    };
    for member in &members {
        take(turn, ConsumerChange::Member(member.id.to_string(), Some(member.about.clone())));
    }
    let topics: std::collections::BTreeSet<&str> =
        members.iter().flat_map(|member| member.about.topics.iter().map(String::as_str)).collect();
    let metadata_hash = turn.hashes.of_group(turn.image, topics.into_iter());
    take(turn, ConsumerChange::Epoch(Some(GroupEpoch { epoch, metadata_hash })));
    for member in &members {
        let target = super::embedded::without_epochs(&member.assigned);
        take(turn, ConsumerChange::Target(member.id.to_string(), Some(target)));
    }
    take(turn, ConsumerChange::TargetEpoch(Some(TargetEpoch { epoch, at: Timestamp(0) })));
    for member in &members {
        take(turn, ConsumerChange::Current(member.id.to_string(), Some(member.current_assignment())));
        let timeout = member.about.classic.as_ref().map_or(0, |classic| classic.session_timeout_ms);
        turn.set_session(&classic.id, &member.id, timeout);
    }
    Ok(group)
}

fn convert_member(turn: &Turn<'_>, classic: &ClassicGroup, old: &OldMember) -> Result<Member, Refused> {
    const MALFORMED: &str = "because the embedded consumer protocol is malformed";
    let malformed = |_| cannot(classic, MALFORMED);
    // Before the first generation no protocol is chosen yet, and all of them say the same.
    let chosen = classic.protocol().or_else(|| old.favourite());
    let metadata = chosen.map(|protocol| old.metadata(protocol)).unwrap_or_default();
    let subscription = Subscription::decode(&metadata).map_err(malformed)?;
    let assigned = if old.assignment.is_empty() {
        Partitions::new()
    } else {
        let (partitions, user_data) = decode_assignment(&old.assignment).map_err(malformed)?;
        if user_data {
            let fault = "because an unsupported custom assignor is in use. Please refer to the documentation or \
                         switch to a default assignor before re-attempting the upgrade";
            return Err(cannot(classic, fault));
        }
        let known = partitions
            .into_iter()
            .filter_map(|(name, indexes)| Some((turn.image.topic(&name)?.id, indexes.into_iter().collect())));
        known.collect()
    };
    let epoch = classic.generation();
    let mut member = Member::new(old.id.clone());
    member.epoch = epoch;
    member.previous_epoch = epoch;
    member.state = MemberState::Stable;
    member.assigned = assigned
        .into_iter()
        .map(|(topic, indexes)| (topic, indexes.into_iter().map(|index| (index, epoch)).collect()))
        .collect::<Owned>();
    let about = &mut member.about;
    about.instance_id = old.instance_id.as_deref().map(str::to_owned);
    about.rack_id = subscription.rack_id;
    about.client_id.clone_from(&old.client_id);
    about.client_host.clone_from(&old.client_host);
    about.topics = subscription.topics.into_iter().collect();
    about.rebalance_timeout_ms = old.rebalance_timeout_ms;
    about.classic =
        Some(ClassicMember { session_timeout_ms: old.session_timeout_ms, protocols: old.protocols.clone() });
    Ok(member)
}
