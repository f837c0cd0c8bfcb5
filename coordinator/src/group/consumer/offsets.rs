//! Who may commit and fetch offsets in a consumer group.
//!
//! Must never accept a commit for a partition from a member that had it in an earlier life only.
//!
//! Kafka: `ConsumerGroup.validateOffsetCommit`, `validateOffsetFetch`.

use kafka_protocol::error::ResponseError;
use uuid::Uuid;

use super::ConsumerGroup;
use super::member::Member;

/// From here on the protocol of commits knows member epochs.
const KNOWS_MEMBER_EPOCHS: i16 = 9;

/// Who commits, and how.
pub(in crate::group) struct Committer<'a> {
    pub(in crate::group) member: &'a str,
    pub(in crate::group) instance: Option<&'a str>,
    pub(in crate::group) epoch: i32,
    /// The version of OffsetCommit; `None` for a commit in a transaction.
    pub(in crate::group) version: Option<i16>,
}

impl ConsumerGroup {
    /// `partitions` are those that are to be committed, with the ids of their topics if they exist.
    pub(in crate::group) fn validate_commit(
        &self,
        committer: &Committer<'_>,
        partitions: impl Iterator<Item = (Option<Uuid>, i32)>,
    ) -> Result<(), ResponseError> {
        let in_transaction = committer.version.is_none();
        // An administrator, or somebody who assigns partitions to himself.
        if committer.epoch < 0 && self.is_empty() {
            return Ok(());
        }
        // Producers before KIP-447 name no member.
        let anonymous = committer.member.is_empty() && committer.instance.is_none();
        if in_transaction && committer.epoch == -1 && anonymous {
            return Ok(());
        }
        let member = self.members.get(committer.member).ok_or(ResponseError::UnknownMemberId)?;
        if !member.is_classic() && committer.version.is_some_and(|version| version < KNOWS_MEMBER_EPOCHS) {
            return Err(ResponseError::UnsupportedVersion);
        }
        let stale = if in_transaction { ResponseError::IllegalGeneration } else { stale(member) };
        if committer.epoch > member.epoch {
            return Err(stale);
        }
        if committer.epoch == member.epoch {
            return Ok(());
        }
        // The member has moved on and does not know it yet; what it had all the while it may still commit.
        for (topic, partition) in partitions {
            let assigned = topic.and_then(|topic| member.assignment_epoch(topic, partition));
            if assigned.is_none_or(|assigned| committer.epoch < assigned) {
                return Err(stale);
            }
        }
        Ok(())
    }

    /// Requests without a member are those of administrators.
    pub(in crate::group) fn validate_fetch(
        &self,
        member: Option<&str>,
        epoch: i32,
    ) -> Result<(), ResponseError> {
        if member.is_none() && epoch < 0 {
            return Ok(());
        }
        let member = self.members.get(member.unwrap_or_default()).ok_or(ResponseError::UnknownMemberId)?;
        if epoch == member.epoch { Ok(()) } else { Err(stale(member)) }
    }
}

fn stale(member: &Member) -> ResponseError {
    if member.is_classic() { ResponseError::IllegalGeneration } else { ResponseError::StaleMemberEpoch }
}
