//! A group of the classic protocol: its members, its state and the questions about them.
//!
//! Must never be written to disk from here: records are made in `restore` and handed to the turn. Transitions live
//! in files of their own: `join`, `rebalance`, `sync`, `heartbeat`, `leave`, `expire`.
//!
//! Kafka: `ClassicGroup`, `ClassicGroupState`, and the classic half of `GroupMetadataManager`.

mod convert;
mod expire;
mod heartbeat;
mod join;
mod leave;
mod member;
mod protocols;
mod rebalance;
mod restore;
mod static_member;
mod subscription;
mod sync;

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::error::ResponseError;
use milena_storage::ids::Timestamp;

use super::{Name, turn::Turn};
use member::Parked;

pub(super) use convert::Converted;
pub(super) use heartbeat::heartbeat;
pub(super) use join::{fit as fit_join, join, refusal as join_refusal};
pub(super) use leave::leave;
pub(super) use member::{Member, owned_protocols};
pub(super) use sync::{refusal as sync_refusal, sync};

/// The group type's name in ListGroups.
pub(super) const TYPE: &str = "classic";

/// The protocol type of consumers, the only one whose subscriptions a broker understands.
const CONSUMER: &str = "consumer";

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum State {
    /// No members; there may be committed offsets.
    Empty,
    /// Members are (re)joining.
    PreparingRebalance,
    /// Members have a generation and wait for their leader's assignment.
    CompletingRebalance,
    /// The assignment is in the log.
    Stable,
    /// Not a state that a group of this machine is ever in: what a client is told of one that does not exist.
    Dead,
}

impl State {
    /// The name that clients are shown.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Stable => "Stable",
            Self::Dead => "Dead",
        }
    }
}

#[derive(Debug)]
pub(super) struct ClassicGroup {
    pub(super) id: Name,
    state: State,
    previous: State,
    /// Absent in groups loaded from records of the oldest versions.
    since: Option<Timestamp>,
    /// Absent in a group that only stores offsets.
    protocol_type: Option<String>,
    protocol: Option<String>,
    generation: i32,
    leader: Option<Name>,
    members: BTreeMap<Name, Member>,
    /// Member ids by group instance id (KIP-345).
    static_members: BTreeMap<Name, Name>,
    /// Ids that were handed out by MEMBER_ID_REQUIRED and have not joined yet.
    pending_join: BTreeSet<Name>,
    /// Members of the current generation that have not asked for their assignment yet.
    pending_sync: BTreeSet<Name>,
    /// How many members have a join parked.
    awaiting_join: usize,
    /// How many members support each protocol.
    support: BTreeMap<String, usize>,
    /// Topics of all subscriptions, if this is a consumer group and they can be read.
    subscribed: Option<BTreeSet<String>>,
    initial: Option<InitialDelay>,
}

/// The first rebalance of an empty group waits for more members (KIP-134).
#[derive(Clone, Copy, Debug)]
struct InitialDelay {
    delay_ms: i64,
    remaining_ms: i64,
    /// Somebody joined since the timer was set.
    extended: bool,
}

impl ClassicGroup {
    pub(super) fn new(id: Name, now: Timestamp) -> Self {
        Self {
            id,
            state: State::Empty,
            previous: State::Dead,
            since: Some(now),
            protocol_type: None,
            protocol: None,
            generation: 0,
            leader: None,
            members: BTreeMap::new(),
            static_members: BTreeMap::new(),
            pending_join: BTreeSet::new(),
            pending_sync: BTreeSet::new(),
            awaiting_join: 0,
            support: BTreeMap::new(),
            subscribed: None,
            initial: None,
        }
    }

    pub(super) fn state(&self) -> State {
        self.state
    }

    pub(super) fn since(&self) -> Option<Timestamp> {
        self.since
    }

    pub(super) fn generation(&self) -> i32 {
        self.generation
    }

    pub(super) fn protocol_type(&self) -> Option<&str> {
        self.protocol_type.as_deref()
    }

    pub(super) fn protocol(&self) -> Option<&str> {
        self.protocol.as_deref()
    }

    pub(super) fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    pub(super) fn uses_consumer_protocol(&self) -> bool {
        self.protocol_type() == Some(CONSUMER)
    }

    /// Whether nothing but its offsets would be lost with the group.
    pub(super) fn is_vacant(&self) -> bool {
        self.state == State::Empty && self.pending_join.is_empty()
    }

    pub(super) fn pending_members(&self) -> impl Iterator<Item = &Name> {
        self.pending_join.iter()
    }

    /// Whether the broker can tell which topics the members subscribe to.
    pub(super) fn knows_subscription(&self) -> bool {
        self.subscribed.is_some()
    }

    /// An unreadable subscription counts as one to everything.
    pub(super) fn is_subscribed_to(&self, topic: &str) -> bool {
        match &self.subscribed {
            Some(topics) => topics.contains(topic),
            None => self.uses_consumer_protocol(),
        }
    }

    fn is_leader(&self, member: &str) -> bool {
        self.leader.as_deref() == Some(member)
    }

    fn have_all_joined(&self) -> bool {
        self.awaiting_join == self.members.len() && self.pending_join.is_empty()
    }

    fn max_rebalance_timeout_ms(&self) -> i64 {
        i64::from(self.members.values().map(|member| member.rebalance_timeout_ms).max().unwrap_or(0).max(0))
    }

    /// That a caller is the member it says it is, and no other process has taken over its instance id.
    pub(super) fn validate_member(&self, member: &str, instance: Option<&str>) -> Result<(), ResponseError> {
        if let Some(instance) = instance {
            match self.static_members.get(instance) {
                None => return Err(ResponseError::UnknownMemberId),
                Some(owner) if **owner != *member => return Err(ResponseError::FencedInstanceId),
                Some(_) => {}
            }
        }
        if self.members.contains_key(member) { Ok(()) } else { Err(ResponseError::UnknownMemberId) }
    }

    /// Moves the deadline of a member that has just been heard of.
    pub(super) fn touch(&self, turn: &mut Turn<'_>, member: &str) {
        if let Some(member) = self.members.get(member) {
            turn.set_session(&self.id, &member.id, member.session_timeout_ms);
        }
    }

    fn transition(&mut self, to: State, now: Timestamp) {
        self.previous = self.state;
        self.state = to;
        self.since = Some(now);
    }

    fn add(&mut self, member: Member) {
        if let Some(instance) = &member.instance_id {
            self.static_members.insert(instance.clone(), member.id.clone());
        }
        if self.members.is_empty() {
            self.protocol_type = Some(member.protocol_type.clone());
        }
        if self.leader.is_none() {
            self.leader = Some(member.id.clone());
        }
        self.count_support(&member, true);
        self.awaiting_join += usize::from(member.parked_join.is_some());
        self.pending_join.remove(&member.id);
        self.members.insert(member.id.clone(), member);
    }

    /// Takes a member or a pending id out; whoever still waits in its name is told that it is unknown.
    ///
    /// Kafka leaves a parked SyncGroup of a removed member unanswered until the client gives up.
    fn remove(&mut self, turn: &mut Turn<'_>, id: &str) {
        self.pending_join.remove(id);
        self.pending_sync.remove(id);
        let Some(mut member) = self.members.remove(id) else { return };
        self.count_support(&member, false);
        self.awaiting_join -= usize::from(member.parked_join.is_some());
        if let Some(instance) = &member.instance_id {
            self.static_members.remove(instance);
        }
        if self.is_leader(id) {
            self.leader = self.members.keys().next().cloned();
        }
        member.answer_join(turn, |version| join::refusal(version, "", ResponseError::UnknownMemberId));
        member.answer_sync(turn, || sync::refusal(ResponseError::UnknownMemberId));
    }

    /// Parks a join in a member's name; an older one that still waits is told to come again.
    fn park_join(&mut self, turn: &mut Turn<'_>, id: &str, parked: Parked) {
        let Some(member) = self.members.get_mut(id) else { return };
        let had = member
            .answer_join(turn, |version| join::refusal(version, id, ResponseError::RebalanceInProgress));
        self.awaiting_join += usize::from(!had);
        member.parked_join = Some(parked);
    }

    fn count_support(&mut self, member: &Member, add: bool) {
        for name in member.protocol_names() {
            let count = self.support.entry(name.to_owned()).or_insert(0);
            *count = if add { *count + 1 } else { count.saturating_sub(1) };
            if *count == 0 {
                self.support.remove(name);
            }
        }
    }
}
