//! One member of a consumer group.
//!
//! Must never be changed in place by a step: a changed copy becomes records, and those change the member.

use uuid::Uuid;

use crate::group::Name;
use crate::group::records::{ConsumerMember, CurrentAssignment, Owned};

/// The epoch with which a member leaves, and that of one whose assignment is deleted.
pub(super) const LEAVING: i32 = -1;
/// The epoch with which a static member leaves for a while.
pub(super) const LEAVING_FOR_NOW: i32 = -2;

/// Where a member is on its way to the target assignment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum MemberState {
    Stable,
    /// It still has partitions that it is to give up.
    UnrevokedPartitions,
    /// It waits for partitions that others still have.
    UnreleasedPartitions,
    /// Written by a later Kafka.
    Unknown,
}

impl MemberState {
    fn from_number(number: i8) -> Self {
        match number {
            0 => Self::Stable,
            1 => Self::UnrevokedPartitions,
            2 => Self::UnreleasedPartitions,
            _ => Self::Unknown,
        }
    }

    fn number(self) -> i8 {
        match self {
            Self::Stable => 0,
            Self::UnrevokedPartitions => 1,
            Self::UnreleasedPartitions => 2,
            Self::Unknown => 127,
        }
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Member {
    pub(super) id: Name,
    pub(super) epoch: i32,
    pub(super) previous_epoch: i32,
    pub(super) state: MemberState,
    pub(super) assigned: Owned,
    /// What it is to give up and has not yet.
    pub(super) revoking: Owned,
    /// What it says of itself.
    pub(super) about: ConsumerMember,
}

impl Member {
    pub(super) fn new(id: Name) -> Self {
        let about = ConsumerMember {
            instance_id: None,
            rack_id: None,
            client_id: String::new(),
            client_host: String::new(),
            topics: std::collections::BTreeSet::new(),
            regex: Some(String::new()),
            rebalance_timeout_ms: -1,
            server_assignor: None,
            classic: None,
        };
        Self {
            id,
            epoch: 0,
            previous_epoch: -1,
            state: MemberState::Stable,
            assigned: Owned::new(),
            revoking: Owned::new(),
            about,
        }
    }

    pub(super) fn is_classic(&self) -> bool {
        self.about.classic.is_some()
    }

    pub(super) fn is_revoking(&self) -> bool {
        self.state == MemberState::UnrevokedPartitions
    }

    pub(super) fn is_reconciled_to(&self, target_epoch: i32) -> bool {
        self.state == MemberState::Stable && self.epoch == target_epoch
    }

    /// The pattern that it subscribes to; an empty one is none.
    pub(super) fn pattern(&self) -> Option<&str> {
        pattern_of(&self.about)
    }

    /// The epoch in which a partition that it has, or has not given up yet, was assigned.
    pub(super) fn assignment_epoch(&self, topic: Uuid, partition: i32) -> Option<i32> {
        let of = |owned: &Owned| owned.get(&topic)?.get(&partition).copied();
        of(&self.assigned).or_else(|| of(&self.revoking))
    }

    pub(super) fn take(&mut self, current: CurrentAssignment) {
        self.epoch = current.epoch;
        self.previous_epoch = current.previous_epoch;
        self.state = MemberState::from_number(current.state);
        self.assigned = current.assigned;
        self.revoking = current.revoking;
    }

    pub(super) fn current_assignment(&self) -> CurrentAssignment {
        CurrentAssignment {
            epoch: self.epoch,
            previous_epoch: self.previous_epoch,
            state: self.state.number(),
            assigned: self.assigned.clone(),
            revoking: self.revoking.clone(),
        }
    }
}

pub(super) fn pattern_of(about: &ConsumerMember) -> Option<&str> {
    about.regex.as_deref().filter(|pattern| !pattern.is_empty())
}
