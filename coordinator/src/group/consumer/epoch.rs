//! From a changed member to its new assignment: the epoch of the group, the target, and the member's way to it.
//!
//! Must never let an epoch go back.
//!
//! Kafka: the second half of `GroupMetadataManager.consumerGroupHeartbeat` and `updateSubscriptionMetadata`.

use uuid::Uuid;

use super::assignor::SubscriptionType;
use super::member::Member;
use super::refused::Refused;
use super::{ConsumerGroup, Refresh};
use crate::group::records::{ConsumerChange, GroupEpoch};
use crate::group::turn::Turn;

/// What a member says it has; `None` if it says nothing.
pub(super) type Reported = Option<Vec<(Uuid, Vec<i32>)>>;

/// What a member's request changed.
pub(super) struct Changes {
    /// A new assignment is needed.
    pub(super) bump: bool,
    /// The member subscribes to something else than before.
    pub(super) subscription: bool,
}

impl ConsumerGroup {
    /// The member after this request, with records for everything that it changes.
    pub(super) fn advance(
        &mut self,
        turn: &mut Turn<'_>,
        old: &Member,
        updated: Member,
        changes: &Changes,
        owned: &Reported,
    ) -> Result<Member, Refused> {
        let (epoch, kind) = self.next_epoch(turn, changes.bump, old, &updated);
        let target = self.target_for(turn, epoch, kind, old, &updated);
        self.reconcile(turn, updated, &target, changes.subscription, owned)
    }

    /// The next epoch, though nothing has changed: the target is computed anew. False if there is nobody.
    pub(in crate::group) fn force_epoch(&self, turn: &mut Turn<'_>) -> bool {
        if self.is_empty() {
            return false;
        }
        let (epoch, metadata_hash) = (self.epoch.saturating_add(1), self.metadata_hash);
        self.write(turn, &ConsumerChange::Epoch(Some(GroupEpoch { epoch, metadata_hash })));
        true
    }

    /// The epoch of the group: the next one if the subscriptions changed, or their topics did.
    pub(super) fn next_epoch(
        &mut self,
        turn: &mut Turn<'_>,
        bump: bool,
        old: &Member,
        updated: &Member,
    ) -> (i32, SubscriptionType) {
        if !bump && !self.needs_refresh() {
            return (self.epoch, self.subscriptions.kind(self.members.len()));
        }
        let replaced = self.replaced_by(updated).is_some();
        let known = replaced || self.members.contains_key(&updated.id);
        let before = known.then(|| old.about.clone());
        let subscriptions = self.subscriptions.after([(before, Some(updated.about.clone()))].into_iter());
        let metadata_hash = turn.hashes.of_group(turn.image, subscriptions.topics());
        let members = self.members.len() + usize::from(!known);
        let mut epoch = self.epoch;
        if bump || metadata_hash != self.metadata_hash {
            epoch = epoch.saturating_add(1);
            self.write(turn, &ConsumerChange::Epoch(Some(GroupEpoch { epoch, metadata_hash })));
        }
        self.refresh = Refresh { needed: false, epoch };
        if self.has_partition_metadata {
            self.write(turn, &ConsumerChange::PartitionMetadata(false));
        }
        (epoch, subscriptions.kind(members))
    }
}
