//! Deadlines of sessions and of the sync phase.
//!
//! Must never act on a deadline whose reason is gone; each looks at the state first.

use super::{ClassicGroup, State};
use crate::group::turn::Turn;

impl ClassicGroup {
    /// A member, or a pending id, has not been heard of for its session time-out.
    pub(in crate::group) fn session_deadline(&mut self, turn: &mut Turn<'_>, id: &str) {
        if self.pending_join.contains(id) {
            self.remove(turn, id);
            self.complete_if_all_joined(turn);
            return;
        }
        let Some(member) = self.members.get(id) else { return };
        if member.is_excused_from_heartbeats() {
            // The answer that it waits for sets its next deadline.
            return;
        }
        self.remove(turn, id);
        match self.state {
            State::Stable | State::CompletingRebalance => self.rebalance_or_complete(turn),
            State::PreparingRebalance => self.complete_if_all_joined(turn),
            State::Empty | State::Dead => {}
        }
    }

    /// Members of the new generation that have not asked for their assignment are out.
    pub(in crate::group) fn sync_deadline(&mut self, turn: &mut Turn<'_>) {
        if !matches!(self.state, State::CompletingRebalance | State::Stable) || self.pending_sync.is_empty() {
            return;
        }
        for id in std::mem::take(&mut self.pending_sync) {
            self.remove(turn, &id);
            turn.cancel_session(&self.id, &id);
        }
        self.prepare_rebalance(turn);
    }
}
