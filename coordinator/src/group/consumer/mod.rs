//! A group of the consumer protocol (KIP-848): the coordinator assigns, members report and are reconciled one by one.
//!
//! Must never change what its records say other than in `apply`: a heartbeat only makes records. What is not in them
//! (deadlines, patterns that are being looked up) is soft and may be lost.
//!
//! Kafka: `ConsumerGroup`, `ModernGroup`, and the consumer half of `GroupMetadataManager`.

mod admission;
mod apply;
mod assignor;
mod classic_member;
mod classic_requests;
mod config;
mod describe;
mod downgrade;
mod embedded;
mod epoch;
mod fence;
mod hash;
mod heartbeat;
mod member;
mod offsets;
mod pattern;
mod reconcile;
mod refused;
mod subscriptions;
mod syntax;
mod target;
mod upgrade;

use std::collections::{BTreeMap, BTreeSet};

use milena_storage::ids::Timestamp;
use uuid::Uuid;

use super::records::{ConsumerChange, Partitions, Record, TargetEpoch};
use super::turn::Turn;
use super::{Name, TimerKey};
use member::Member;
use subscriptions::Subscriptions;

pub use assignor::Assignor;
pub(super) use classic_requests::{classic_heartbeat, classic_join, classic_leave, classic_sync};
pub(super) use config::GroupLimits;
pub use config::{ConsumerConfig, MigrationPolicy};
pub(super) use describe::{describe, describe_refusal};
pub(super) use fence::deadline;
pub(super) use hash::TopicHashes;
pub(super) use heartbeat::{check, heartbeat, refusal};
pub(super) use offsets::Committer;
pub(super) use pattern::patterns_due;

/// The group type's name in ListGroups.
pub(super) const TYPE: &str = "consumer";

/// The protocol type of all these groups.
pub(super) const PROTOCOL_TYPE: &str = "consumer";

/// Of a group whose target assignment is deleted.
const NO_TARGET: TargetEpoch = TargetEpoch { epoch: -1, at: Timestamp(0) };

/// A group begins with these, so the first member's epoch is 2.
const FIRST_EPOCH: i32 = 1;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum State {
    /// No members; there may be committed offsets.
    Empty,
    /// The target assignment is older than the group.
    Assigning,
    /// Members are on their way to the target assignment.
    Reconciling,
    /// All have what they should.
    Stable,
}

impl State {
    /// The name that clients are shown.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Assigning => "Assigning",
            Self::Reconciling => "Reconciling",
            Self::Stable => "Stable",
        }
    }
}

#[derive(Debug)]
pub(super) struct ConsumerGroup {
    pub(super) id: Name,
    epoch: i32,
    metadata_hash: i64,
    target_epoch: TargetEpoch,
    members: BTreeMap<Name, Member>,
    /// Member ids by group instance id.
    static_members: BTreeMap<Name, Name>,
    target: BTreeMap<Name, Partitions>,
    /// Whose the partitions of the target assignment are.
    target_owners: BTreeMap<Uuid, BTreeMap<i32, Name>>,
    /// The member epoch of who has a partition now, or has not given it up yet.
    partition_epochs: BTreeMap<Uuid, BTreeMap<i32, i32>>,
    subscriptions: Subscriptions,
    /// How many members ask for each assignor.
    assignors: BTreeMap<String, usize>,
    classic_members: usize,
    /// How many of the classic members support each protocol.
    classic_protocols: BTreeMap<String, usize>,
    /// A record of 4.0 and before lies in the log, which the next change of the epoch deletes.
    has_partition_metadata: bool,
    /// Soft: until when the topics need not be looked at again.
    refresh: Refresh,
    /// Soft: the patterns whose topics are about to be looked up.
    resolving: Option<BTreeSet<String>>,
    /// Soft: classic members that were told to join again and have a deadline for it.
    joins_due: BTreeSet<Name>,
}

/// Topics are looked at again when one of them changed, or when the epoch that the look led to was never written.
#[derive(Clone, Copy, Default, Debug)]
struct Refresh {
    needed: bool,
    epoch: i32,
}

impl ConsumerGroup {
    pub(super) fn new(id: Name) -> Self {
        Self {
            id,
            epoch: FIRST_EPOCH,
            metadata_hash: 0,
            target_epoch: TargetEpoch { epoch: FIRST_EPOCH, at: Timestamp(0) },
            members: BTreeMap::new(),
            static_members: BTreeMap::new(),
            target: BTreeMap::new(),
            target_owners: BTreeMap::new(),
            partition_epochs: BTreeMap::new(),
            subscriptions: Subscriptions::default(),
            assignors: BTreeMap::new(),
            classic_members: 0,
            classic_protocols: BTreeMap::new(),
            has_partition_metadata: false,
            refresh: Refresh { needed: true, epoch: 0 },
            resolving: None,
            joins_due: BTreeSet::new(),
        }
    }

    pub(super) fn state(&self) -> State {
        if self.members.is_empty() {
            State::Empty
        } else if self.epoch > self.target_epoch.epoch {
            State::Assigning
        } else if self.members.values().all(|member| member.is_reconciled_to(self.target_epoch.epoch)) {
            State::Stable
        } else {
            State::Reconciling
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub(super) fn is_subscribed_to(&self, topic: &str) -> bool {
        self.subscriptions.has_topic(topic)
    }

    /// One of the topics that the group subscribes to has changed.
    pub(super) fn topics_changed(&mut self) {
        self.refresh.needed = true;
    }

    fn needs_refresh(&self) -> bool {
        self.refresh.needed || self.epoch < self.refresh.epoch
    }

    fn static_member(&self, instance: &str) -> Option<&Member> {
        self.members.get(self.static_members.get(instance)?)
    }

    /// The member epoch of who has the partition, if somebody has.
    fn partition_epoch(&self, topic: Uuid, partition: i32) -> Option<i32> {
        self.partition_epochs.get(&topic)?.get(&partition).copied()
    }

    fn write(&self, turn: &mut Turn<'_>, change: &ConsumerChange) {
        turn.record_or_log(&self.id, Record::consumer(&self.id, change));
    }

    /// Deadlines of a group that has just been loaded. Members get a whole session to find the new coordinator.
    pub(super) fn resume(&self, turn: &mut Turn<'_>) {
        for member in self.members.values() {
            turn.set_session(&self.id, &member.id, self.session_ms(turn, member));
            if member.is_revoking() && !member.is_classic() {
                turn.set_timer(
                    self.revocation_timer(&member.id),
                    i64::from(member.about.rebalance_timeout_ms),
                );
            }
        }
    }

    /// Deletes everything that the group has in the log.
    pub(super) fn write_tombstones(&self, turn: &mut Turn<'_>) {
        for member in self.members.keys() {
            self.write(turn, &ConsumerChange::Current(member.to_string(), None));
        }
        for member in self.members.keys() {
            self.write(turn, &ConsumerChange::Target(member.to_string(), None));
        }
        self.write(turn, &ConsumerChange::TargetEpoch(None));
        for member in self.members.keys() {
            self.write(turn, &ConsumerChange::Member(member.to_string(), None));
        }
        for pattern in self.subscriptions.resolved_patterns() {
            self.write(turn, &ConsumerChange::Regex(pattern.to_owned(), None));
        }
        self.write(turn, &ConsumerChange::PartitionMetadata(false));
        self.write(turn, &ConsumerChange::Epoch(None));
    }

    fn session_ms(&self, turn: &Turn<'_>, member: &Member) -> i32 {
        match &member.about.classic {
            Some(classic) => classic.session_timeout_ms,
            None => turn.consumer_config(&self.id).session_timeout_ms,
        }
    }

    fn revocation_timer(&self, member: &Name) -> TimerKey {
        TimerKey::Revocation { group: self.id.clone(), member: member.clone() }
    }

    fn join_timer(&self, member: &Name) -> TimerKey {
        TimerKey::MemberJoin { group: self.id.clone(), member: member.clone() }
    }

    fn sync_timer(&self, member: &Name) -> TimerKey {
        TimerKey::MemberSync { group: self.id.clone(), member: member.clone() }
    }
}
