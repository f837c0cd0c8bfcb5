//! The last member of the consumer protocol goes: what is left becomes a classic group under way.
//!
//! Must never give the classic members other partitions than the target assignment has for them.
//!
//! Kafka: `GroupMetadataManager.validateOnlineDowngrade…`, `convertToClassicGroup`, `ClassicGroup.fromConsumerGroup`.

use bytes::Bytes;

use super::embedded::encode_assignment;
use super::member::Member;
use super::{ConsumerGroup, PROTOCOL_TYPE};
use crate::group::Name;
use crate::group::classic::{ClassicGroup, Converted};
use crate::group::records::{ClassicMember, Partitions};
use crate::group::turn::Turn;

impl ConsumerGroup {
    /// Whether only classic members are left without these, and the group may become a classic one.
    pub(super) fn becomes_classic_without(&self, turn: &Turn<'_>, leaving: &[Name]) -> bool {
        let gone: Vec<&Member> = leaving.iter().filter_map(|id| self.members.get(id)).collect();
        let classic = self.classic_members - gone.iter().filter(|member| member.is_classic()).count();
        let left = self.members.len() - gone.len();
        classic == left && left > 0 && self.may_become_classic(turn, left)
    }

    /// Whether a classic member that takes the place of this static one is the last that was missing.
    pub(super) fn becomes_classic_replacing(&self, turn: &Turn<'_>, replaced: &Member) -> bool {
        self.classic_members + 1 == self.members.len()
            && !replaced.is_classic()
            && self.may_become_classic(turn, self.members.len())
    }

    fn may_become_classic(&self, turn: &Turn<'_>, size: usize) -> bool {
        turn.config.consumer.migration.downgrade && size <= turn.config.max_size
    }

    /// The classic group of those that stay, which are told to join again. `None` if what they offered when they joined
    /// cannot be read.
    pub(super) fn downgrade(&self, turn: &mut Turn<'_>, leaving: &[Name]) -> Option<ClassicGroup> {
        let staying = self.members.values().filter(|member| !leaving.contains(&member.id));
        let converted: Vec<Converted> =
            staying.map(|member| self.convert(turn, member, &member.id)).collect::<Option<_>>()?;
        let mut classic = self.replace_by(turn, converted)?;
        for id in leaving {
            turn.cancel_session(&self.id, id);
        }
        classic.rebalance(turn);
        Some(classic)
    }

    /// As above, with a classic member in the place of the static one that it replaces.
    pub(super) fn downgrade_replacing(
        &self,
        turn: &mut Turn<'_>,
        replaced: &Name,
        joining: &Member,
        rebalance: bool,
    ) -> Option<ClassicGroup> {
        let staying = self.members.values().filter(|member| member.id != *replaced);
        let staying = staying.map(|member| self.convert(turn, member, &member.id));
        let joining = std::iter::once_with(|| self.convert(turn, joining, replaced));
        let converted: Vec<Converted> = staying.chain(joining).collect::<Option<_>>()?;
        let mut classic = self.replace_by(turn, converted)?;
        if rebalance {
            classic.rebalance(turn);
        }
        Some(classic)
    }

    fn replace_by(&self, turn: &mut Turn<'_>, members: Vec<Converted>) -> Option<ClassicGroup> {
        let classic = ClassicGroup::converted(self.id.clone(), self.epoch, PROTOCOL_TYPE, members, turn.now)?;
        self.write_tombstones(turn);
        for id in self.members.keys() {
            self.cancel_timers(turn, id);
        }
        classic.record_converted(turn);
        Some(classic)
    }

    /// A member with the target assignment of `owner`.
    fn convert(&self, turn: &Turn<'_>, member: &Member, owner: &Name) -> Option<Converted> {
        let about = &member.about;
        let ClassicMember { session_timeout_ms, protocols } = about.classic.clone()?;
        let nothing = Partitions::new();
        let target = self.target.get(owner).unwrap_or(&nothing);
        let subscription: &Bytes = protocols.first().map(|(_, metadata)| metadata)?;
        let assignment = encode_assignment(turn.image, target, subscription).ok()?;
        Some(Converted {
            id: member.id.clone(),
            instance_id: about.instance_id.as_deref().map(Name::from),
            client_id: about.client_id.clone(),
            client_host: about.client_host.clone(),
            rebalance_timeout_ms: about.rebalance_timeout_ms,
            session_timeout_ms,
            protocols,
            assignment,
        })
    }
}
