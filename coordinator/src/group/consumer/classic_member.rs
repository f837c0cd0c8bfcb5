//! A member of a consumer group that speaks the classic protocol: its joins are heartbeats with an answer of another
//! kind.
//!
//! Must never make such a member the leader: it has nothing to assign.
//!
//! Kafka: `GroupMetadataManager.classicGroupJoinToConsumerGroup`.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{JoinGroupRequest, JoinGroupResponse};
use kafka_protocol::protocol::StrBytes;

use super::admission::Caller as Who;
use super::embedded::Subscription;
use super::epoch::{Changes, Reported};
use super::heartbeat::new_member_id;
use super::member::Member;
use super::pattern::PatternChange;
use super::refused::Refused;
use super::{ConsumerGroup, PROTOCOL_TYPE};
use crate::group::classic::{ClassicGroup, owned_protocols};
use crate::group::records::ClassicMember;
use crate::group::turn::Turn;
use crate::group::{Caller, Name};
use crate::image::MetadataImage;

/// From here on a new dynamic member has to come back with the id that it is given (KIP-394).
const REQUIRES_MEMBER_ID: i16 = 4;

pub(super) enum Joined {
    /// The member is to come again with this id.
    Id(Name),
    Member(JoinGroupResponse),
    /// It was the last of the group to speak the consumer protocol.
    Downgraded(JoinGroupResponse, Box<ClassicGroup>),
}

impl ConsumerGroup {
    pub(super) fn join_classic(
        &mut self,
        turn: &mut Turn<'_>,
        caller: &Caller,
        request: &JoinGroupRequest,
    ) -> Result<Joined, Refused> {
        let migration = turn.config.consumer.migration;
        if !migration.upgrade && !migration.downgrade {
            return Err(Refused::new(
                ResponseError::InconsistentGroupProtocol,
                "the group migration is disabled",
            ));
        }
        let unknown = request.member_id.is_empty();
        let id: Name =
            if unknown { new_member_id(caller.fresh_id).into() } else { request.member_id.as_str().into() };
        self.check_room(turn, &id)?;
        self.check_protocols(request)?;
        if unknown && request.group_instance_id.is_none() && caller.api_version >= REQUIRES_MEMBER_ID {
            return Ok(Joined::Id(id));
        }
        let subscription = first_subscription(request)?;
        let owned = owned(turn.image, &subscription);
        let instance = request.group_instance_id.as_deref();
        let who = Who {
            member: &id,
            instance,
            epoch: -1,
            joins: instance.is_none() || unknown,
            classic: true,
            owned: &owned,
        };
        let mark = turn.mark();
        let old = self.admit(turn, &who)?;
        let holder = instance.and_then(|instance| self.static_member(instance)).cloned();
        let replaced = holder.filter(|holder| self.becomes_classic_replacing(turn, holder));
        let mut updated = old.clone();
        update(&mut updated, caller, request, subscription);
        let topics_changed = self.write_member(turn, &old, &updated);
        let pattern = self.change_pattern(turn, &old, &updated)?;
        let changed = topics_changed || pattern != PatternChange::None;
        let changes = Changes { bump: changed, subscription: changed };
        if let Some(replaced) = replaced {
            let (epoch, _) = self.next_epoch(turn, changed, &old, &updated);
            let rebalance = self.target_epoch.epoch < epoch;
            if !rebalance {
                let target = self.last_target(&updated);
                updated = self.reconcile(turn, updated, &target, changed, &owned)?;
            }
            // The group's records go, so that there is nothing to change in them.
            turn.back_to(&mark);
            let downgraded = self.downgrade_replacing(turn, &replaced.id, &updated, rebalance);
            let classic = downgraded.ok_or_else(malformed)?;
            return Ok(Joined::Downgraded(joined(&updated), Box::new(classic)));
        }
        let next = self.advance(turn, &old, updated, &changes, &owned)?;
        self.joins_due.remove(&next.id);
        turn.cancel_timer(self.join_timer(&next.id));
        turn.set_session(&self.id, &next.id, request.session_timeout_ms);
        turn.set_timer(self.sync_timer(&next.id), i64::from(request.rebalance_timeout_ms));
        Ok(Joined::Member(joined(&next)))
    }

    /// A classic member has to share a protocol with all other classic ones.
    fn check_protocols(&self, request: &JoinGroupRequest) -> Result<(), Refused> {
        let count = |name: &str| self.classic_protocols.get(name).copied().unwrap_or(0);
        let shared = request.protocols.iter().any(|protocol| count(&protocol.name) == self.classic_members);
        if &*request.protocol_type == PROTOCOL_TYPE && shared {
            return Ok(());
        }
        Err(Refused::new(
            ResponseError::InconsistentGroupProtocol,
            "the member's protocols are not supported",
        ))
    }
}

fn first_subscription(request: &JoinGroupRequest) -> Result<Subscription, Refused> {
    let first = request.protocols.first().ok_or_else(malformed)?;
    Subscription::decode(&first.metadata).map_err(|_| malformed())
}

fn malformed() -> Refused {
    Refused::new(ResponseError::UnknownServerError, "malformed embedded consumer protocol")
}

fn owned(image: &MetadataImage, subscription: &Subscription) -> Reported {
    let known = subscription
        .owned
        .iter()
        .filter_map(|(name, partitions)| image.topic(name).map(|topic| (topic.id, partitions.clone())));
    Some(known.collect())
}

fn update(member: &mut Member, caller: &Caller, request: &JoinGroupRequest, subscription: Subscription) {
    let about = &mut member.about;
    if let Some(instance) = &request.group_instance_id {
        about.instance_id = Some(instance.to_string());
    }
    if subscription.rack_id.is_some() {
        about.rack_id = subscription.rack_id;
    }
    if request.rebalance_timeout_ms != -1 {
        about.rebalance_timeout_ms = request.rebalance_timeout_ms;
    }
    about.topics = subscription.topics.into_iter().collect();
    about.regex = Some(String::new());
    caller.client_id.as_str().clone_into(&mut about.client_id);
    caller.client_host.as_ref().clone_into(&mut about.client_host);
    about.classic = Some(ClassicMember {
        session_timeout_ms: request.session_timeout_ms,
        protocols: owned_protocols(&request.protocols),
    });
}

fn joined(member: &Member) -> JoinGroupResponse {
    let classic = member.about.classic.as_ref();
    let protocol = classic.and_then(|classic| classic.protocols.first()).map(|(name, _)| name.clone());
    JoinGroupResponse::default()
        .with_member_id(StrBytes::from_string(member.id.to_string()))
        .with_generation_id(member.epoch)
        .with_protocol_type(Some(StrBytes::from_static_str(PROTOCOL_TYPE)))
        .with_protocol_name(protocol.map(StrBytes::from_string))
}
