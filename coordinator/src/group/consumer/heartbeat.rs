//! ConsumerGroupHeartbeat: a member joins, lives, tells what it has, learns what it should have, and leaves.
//!
//! Must never leave half of a refused request in the output.
//!
//! Kafka: `GroupCoordinatorService.throwIfConsumerGroupHeartbeatRequestIsInvalid`,
//! `GroupMetadataManager.consumerGroupHeartbeat`.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::consumer_group_heartbeat_response::{Assignment, TopicPartitions};
use kafka_protocol::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::admission::Caller as Who;
use super::epoch::{Changes, Reported};
use super::member::{LEAVING, LEAVING_FOR_NOW, Member};
use super::pattern::PatternChange;
use super::refused::Refused;
use super::{Assignor, ConsumerConfig, ConsumerGroup, fence, upgrade};
use crate::group::groups::{self, Group, Groups};
use crate::group::records::{ConsumerChange, Owned};
use crate::group::turn::Turn;
use crate::group::{Caller, Name, Reply, Ticket};

/// From here on clients make their member ids themselves (KIP-1082).
const CLIENT_MAKES_ID: i16 = 1;

pub(in crate::group) fn heartbeat(
    groups: &mut Groups,
    turn: &mut Turn<'_>,
    ticket: Ticket,
    caller: &Caller,
    request: &ConsumerGroupHeartbeatRequest,
) {
    let mark = turn.mark();
    let result = match request.member_epoch {
        LEAVING | LEAVING_FOR_NOW => fence::leave(groups, turn, request),
        _ => beat(groups, turn, caller, request),
    };
    let response = result.unwrap_or_else(|refused| {
        turn.back_to(&mark);
        refusal(refused.error, Some(refused.message))
    });
    turn.reply(ticket, Reply::ConsumerHeartbeat(response));
}

pub(in crate::group) fn refusal(
    error: ResponseError,
    message: Option<String>,
) -> ConsumerGroupHeartbeatResponse {
    ConsumerGroupHeartbeatResponse::default()
        .with_error_code(error.code())
        .with_error_message(message.map(StrBytes::from_string))
}

/// What is wrong with a request, whatever the group.
pub(in crate::group) fn check(
    config: &ConsumerConfig,
    version: i16,
    request: &ConsumerGroupHeartbeatRequest,
) -> Option<ConsumerGroupHeartbeatResponse> {
    if let Err(message) = check_shape(version, request) {
        return Some(refusal(ResponseError::InvalidRequest, Some(message.to_owned())));
    }
    let name = request.server_assignor.as_deref()?;
    let supported = |assignor: &Assignor| assignor.name() == name;
    if config.assignors.iter().any(supported) {
        return None;
    }
    let all: Vec<&str> = config.assignors.iter().map(|assignor| assignor.name()).collect();
    let message = format!("ServerAssignor {name} is not supported. Supported assignors: {}.", all.join(", "));
    Some(refusal(ResponseError::UnsupportedAssignor, Some(message)))
}

fn check_shape(version: i16, request: &ConsumerGroupHeartbeatRequest) -> Result<(), &'static str> {
    let blank = |text: Option<&StrBytes>| text.is_some_and(|text| text.trim().is_empty());
    let epoch = request.member_epoch;
    let needs_id = version >= CLIENT_MAKES_ID || epoch > 0 || epoch == LEAVING;
    let joins = epoch == 0;
    let subscribes = request.subscribed_topic_names.is_some() || request.subscribed_topic_regex.is_some();
    let faults = [
        (needs_id && blank(Some(&request.member_id)), "MemberId can't be empty."),
        (blank(Some(&request.group_id)), "GroupId can't be empty."),
        (blank(request.instance_id.as_ref()), "InstanceId can't be empty."),
        (blank(request.rack_id.as_ref()), "RackId can't be empty."),
        (
            joins && request.rebalance_timeout_ms == -1,
            "RebalanceTimeoutMs must be provided in first request.",
        ),
        (
            joins && request.topic_partitions.as_ref().is_none_or(|owned| !owned.is_empty()),
            "TopicPartitions must be empty when (re-)joining.",
        ),
        (
            joins && !subscribes,
            "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.",
        ),
        (epoch == LEAVING_FOR_NOW && request.instance_id.is_none(), "InstanceId can't be null."),
        (epoch < LEAVING_FOR_NOW, "MemberEpoch is invalid."),
    ];
    match faults.into_iter().find(|(at_fault, _)| *at_fault) {
        Some((_, message)) => Err(message),
        None => Ok(()),
    }
}

fn beat(
    groups: &mut Groups,
    turn: &mut Turn<'_>,
    caller: &Caller,
    request: &ConsumerGroupHeartbeatRequest,
) -> Result<ConsumerGroupHeartbeatResponse, Refused> {
    let id: &str = &request.group_id;
    if let Some(group) = groups::consumer_mut(groups, id) {
        return group.beat(turn, caller, request);
    }
    if request.member_epoch != 0 {
        let message = match groups.contains_key(id) {
            true => format!("Group {id} is not a consumer group."),
            false => format!("Consumer group {id} not found."),
        };
        return Err(Refused::new(ResponseError::GroupIdNotFound, message));
    }
    // Its records will say the same once more; until then it carries what is soft.
    let mut group = upgrade::begin(groups, turn, id)?;
    let response = group.beat(turn, caller, request)?;
    if let Some(Group::Classic(mut classic)) = groups.insert(group.id.clone(), Group::consumer(group)) {
        classic.dissolve(turn);
    }
    Ok(response)
}

impl ConsumerGroup {
    fn beat(
        &mut self,
        turn: &mut Turn<'_>,
        caller: &Caller,
        request: &ConsumerGroupHeartbeatRequest,
    ) -> Result<ConsumerGroupHeartbeatResponse, Refused> {
        let was_resolving = self.resolving.is_some();
        let result = self.beat_of(turn, caller, request);
        if result.is_err() && !was_resolving {
            // The deadline at which they would be looked up goes with the rest of the output.
            self.resolving = None;
        }
        result
    }

    fn beat_of(
        &mut self,
        turn: &mut Turn<'_>,
        caller: &Caller,
        request: &ConsumerGroupHeartbeatRequest,
    ) -> Result<ConsumerGroupHeartbeatResponse, Refused> {
        self.check_room(turn, &request.member_id)?;
        let id: Name = match request.member_id.as_str() {
            "" => new_member_id(caller.fresh_id).into(),
            id => id.into(),
        };
        let owned = reported(request);
        let joins = request.member_epoch == 0;
        let who = Who {
            member: &id,
            instance: request.instance_id.as_deref(),
            epoch: request.member_epoch,
            joins,
            classic: false,
            owned: &owned,
        };
        let old = self.admit(turn, &who)?;
        let mut updated = old.clone();
        update(&mut updated, caller, request);
        let topics_changed = self.write_member(turn, &old, &updated);
        let pattern = self.change_pattern(turn, &old, &updated)?;
        let changes = Changes {
            bump: topics_changed || pattern == PatternChange::ToKnown,
            subscription: topics_changed || pattern != PatternChange::None,
        };
        let next = self.advance(turn, &old, updated, &changes, &owned)?;
        let limits = turn.consumer_config(&self.id);
        turn.set_session(&self.id, &next.id, limits.session_timeout_ms);
        let subscribes = request.subscribed_topic_names.is_some() || request.subscribed_topic_regex.is_some();
        let full = request.rebalance_timeout_ms != -1 && subscribes && owned.is_some();
        let shown = joins || full || next.assigned != old.assigned;
        Ok(ConsumerGroupHeartbeatResponse::default()
            .with_member_id(Some(StrBytes::from_string(next.id.to_string())))
            .with_member_epoch(next.epoch)
            .with_heartbeat_interval_ms(limits.heartbeat_interval_ms)
            .with_assignment(shown.then(|| assignment(&next.assigned))))
    }

    /// Saves what a member says of itself, if that is new; tells whether it names other topics than before.
    pub(super) fn write_member(&self, turn: &mut Turn<'_>, old: &Member, updated: &Member) -> bool {
        if old == updated && self.members.contains_key(&old.id) {
            return false;
        }
        self.write(turn, &ConsumerChange::Member(updated.id.to_string(), Some(updated.about.clone())));
        old.about.topics != updated.about.topics
    }
}

/// Takes over what the request brings; what it leaves out is as before.
fn update(member: &mut Member, caller: &Caller, request: &ConsumerGroupHeartbeatRequest) {
    let text = |text: &StrBytes| Some(text.to_string());
    let about = &mut member.about;
    about.instance_id = request.instance_id.as_ref().map_or(about.instance_id.take(), text);
    about.rack_id = request.rack_id.as_ref().map_or(about.rack_id.take(), text);
    about.server_assignor = request.server_assignor.as_ref().map_or(about.server_assignor.take(), text);
    about.regex = request.subscribed_topic_regex.as_ref().map_or(about.regex.take(), text);
    if request.rebalance_timeout_ms != -1 {
        about.rebalance_timeout_ms = request.rebalance_timeout_ms;
    }
    if let Some(topics) = &request.subscribed_topic_names {
        about.topics = topics.iter().map(|topic| topic.to_string()).collect::<BTreeSet<_>>();
    }
    caller.client_id.as_str().clone_into(&mut about.client_id);
    caller.client_host.as_ref().clone_into(&mut about.client_host);
    about.classic = None;
}

fn reported(request: &ConsumerGroupHeartbeatRequest) -> Reported {
    let topics = request.topic_partitions.as_ref()?;
    Some(topics.iter().map(|topic| (topic.topic_id, topic.partitions.clone())).collect())
}

fn assignment(assigned: &Owned) -> Assignment {
    let topics = assigned.iter().map(|(topic, partitions)| {
        TopicPartitions::default().with_topic_id(*topic).with_partitions(partitions.keys().copied().collect())
    });
    Assignment::default().with_topic_partitions(topics.collect())
}

/// As Kafka's `Uuid.randomUuid`, whose text never begins with a hyphen.
pub(super) fn new_member_id(random: Uuid) -> String {
    let text = URL_SAFE_NO_PAD.encode(random.as_bytes());
    match text.strip_prefix('-') {
        Some(rest) => format!("A{rest}"),
        None => text,
    }
}
