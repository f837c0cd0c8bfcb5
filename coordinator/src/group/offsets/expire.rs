//! Offset retention, and the end of groups that have nothing left.
//!
//! Must never expire an offset of a topic that a member subscribes to, nor count a group's retention from its last
//! commit while the group had members after it (KIP-211).

use milena_storage::ids::Timestamp;

use super::delete::forget;
use super::{OffsetCommit, Offsets};
use crate::group::ClassicState;
use crate::group::classic::ClassicGroup;
use crate::group::groups::{Group, Groups};
use crate::group::records::Record;
use crate::group::turn::Turn;

/// Kafka's `GroupCoordinatorShard.cleanupGroupMetadata`.
pub(in crate::group) fn expire(groups: &Groups, offsets: &Offsets, turn: &mut Turn<'_>) {
    for group in groups.values() {
        if expire_group(group, offsets, turn) && group.is_vacant() {
            match group {
                Group::Classic(group) => {
                    turn.record_or_log(&group.id, Record::group_tombstone(&group.id));
                }
                Group::Consumer(group) => group.write_tombstones(turn),
            }
        }
    }
}

/// Whether the group has no offset left.
fn expire_group(group: &Group, offsets: &Offsets, turn: &mut Turn<'_>) -> bool {
    // What an open transaction may yet commit keeps the group.
    let mut all = offsets.pending.of_group(group.id()).next().is_none();
    for (topic, partitions) in offsets.of(group.id()) {
        let subscribed = group.is_subscribed_to(topic);
        for (&partition, stored) in partitions {
            let held = subscribed || offsets.pending.has(group.id(), topic, partition);
            if !held && is_expired(group, &stored.commit, turn) {
                forget(turn, group.id(), topic, partition);
            } else {
                all = false;
            }
        }
    }
    all
}

fn is_expired(group: &Group, commit: &OffsetCommit, turn: &Turn<'_>) -> bool {
    let since = match group {
        Group::Classic(group) => retention_start(group, commit),
        Group::Consumer(_) => Some(commit.commit_timestamp),
    };
    let Some(since) = since else { return false };
    match commit.expire_timestamp {
        Some(expire) => turn.now >= expire,
        None => turn.now.0.saturating_sub(since.0) >= turn.config.offsets_retention_ms,
    }
}

/// From when on an offset's retention counts; `None` while it does not. Kafka's
/// `ClassicGroup.offsetExpirationCondition`.
fn retention_start(group: &ClassicGroup, commit: &OffsetCommit) -> Option<Timestamp> {
    match (group.protocol_type(), group.state()) {
        (None, _) => Some(commit.commit_timestamp),
        (Some(_), ClassicState::Empty) => Some(group.since().unwrap_or(commit.commit_timestamp)),
        (Some(_), ClassicState::Stable) if group.uses_consumer_protocol() && group.knows_subscription() => {
            Some(commit.commit_timestamp)
        }
        _ => None,
    }
}
