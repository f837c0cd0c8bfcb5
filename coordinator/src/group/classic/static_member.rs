//! A static member that comes back under its instance id without a member id (KIP-345).
//!
//! Must never leave two holders of one instance id: the older one is fenced the moment the newer one comes.

use kafka_protocol::error::ResponseError;

use super::join::{Joiner, refusal, text};
use super::{ClassicGroup, State, sync};
use crate::group::turn::Turn;
use crate::group::{Name, Reply};

/// From here on a leader that restarted is told to keep the assignment (KIP-814).
const SKIPS_ASSIGNMENT: i16 = 9;

impl ClassicGroup {
    /// Kafka's `updateStaticMemberThenRebalanceOrCompleteJoin`.
    pub(super) fn replace_static_member(
        &mut self,
        turn: &mut Turn<'_>,
        joiner: &Joiner<'_>,
        old: &Name,
        new: &Name,
    ) {
        let old_leader = self.leader.clone();
        self.rename_member(turn, old, new);
        self.update_member(turn, joiner, new);
        turn.set_session(&self.id, new, joiner.request.session_timeout_ms);
        match self.state {
            State::Stable if self.select_protocol() == self.protocol => {
                // Nothing changes for the others: the member takes over its predecessor's assignment. The record
                // makes the new id survive this broker.
                self.record(turn, |member| member.assignment.clone());
                self.answer_replacement(turn, joiner, new, old_leader.as_deref());
            }
            // The old id may be on its way to the leader, whose assignment would then miss the new one.
            State::Stable | State::CompletingRebalance => self.prepare_rebalance(turn),
            State::PreparingRebalance | State::Empty | State::Dead => self.maybe_complete_join(turn),
        }
    }

    fn answer_replacement(
        &mut self,
        turn: &mut Turn<'_>,
        joiner: &Joiner<'_>,
        id: &Name,
        old_leader: Option<&str>,
    ) {
        let leads = self.is_leader(id);
        let skips = joiner.parked.version >= SKIPS_ASSIGNMENT;
        let mut joined = self.joined(id, skips && leads);
        joined.0.skip_assignment = skips && leads;
        if !skips {
            // An old client that is told that it leads would compute an assignment nobody asked for; so it is
            // shown the id that led before.
            joined.0.leader = text(old_leader.unwrap_or_default());
        }
        let Some(member) = self.members.get_mut(id) else { return };
        if member.parked_join.take().is_some() {
            self.awaiting_join -= 1;
            turn.reply(joiner.parked.ticket, Reply::Join(joined.into_response(joiner.parked.version)));
        }
    }

    /// Gives a member a new id; who waits under the old one is fenced.
    fn rename_member(&mut self, turn: &mut Turn<'_>, old: &Name, new: &Name) {
        let Some(mut member) = self.members.remove(old) else { return };
        let fenced = ResponseError::FencedInstanceId;
        let waited = member.answer_join(turn, |version| refusal(version, old, fenced));
        self.awaiting_join -= usize::from(waited);
        member.answer_sync(turn, || sync::refusal(fenced));
        turn.cancel_session(&self.id, old);
        self.pending_sync.remove(old);
        member.id = new.clone();
        member.is_new = false;
        if let Some(instance) = &member.instance_id {
            self.static_members.insert(instance.clone(), new.clone());
        }
        if self.is_leader(old) {
            self.leader = Some(new.clone());
        }
        self.members.insert(new.clone(), member);
    }
}
