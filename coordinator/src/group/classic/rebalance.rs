//! The join phase: who starts it, how long it waits, and what its end does.
//!
//! Must never end a first rebalance before its delay, nor a later one while a known member may still come.

use bytes::Bytes;
use kafka_protocol::error::ResponseError;

use super::{ClassicGroup, InitialDelay, State, sync};
use crate::group::{Name, TimerKey, turn::Turn};

/// Between two looks whether an absent static member has come, however short its own time-out: with a time-out of zero there would be
/// no end of looking. Only session time-outs end this wait, and those are longer.
const ABSENT_WAIT_MIN_MS: i64 = 100;

impl ClassicGroup {
    /// Kafka's `maybePrepareRebalanceOrCompleteJoin`.
    pub(super) fn rebalance_or_complete(&mut self, turn: &mut Turn<'_>) {
        match self.state {
            State::Empty | State::CompletingRebalance | State::Stable => self.prepare_rebalance(turn),
            State::PreparingRebalance | State::Dead => self.maybe_complete_join(turn),
        }
    }

    /// Everybody has to join again, whatever has changed; false if there is nobody.
    pub(in crate::group) fn force_rebalance(&mut self, turn: &mut Turn<'_>) -> bool {
        match self.state {
            State::Empty | State::Dead => return false,
            State::PreparingRebalance => {}
            State::CompletingRebalance | State::Stable => self.prepare_rebalance(turn),
        }
        true
    }

    pub(super) fn prepare_rebalance(&mut self, turn: &mut Turn<'_>) {
        if self.state == State::CompletingRebalance {
            self.withdraw_assignment(turn);
        }
        self.cancel_sync_deadline(turn);
        let initial = self.state == State::Empty;
        self.transition(State::PreparingRebalance, turn.now);
        if !initial {
            self.initial = None;
            self.complete_or_wait(turn);
            return;
        }
        let delay_ms = i64::from(turn.config.initial_rebalance_delay_ms.max(0));
        if delay_ms == 0 {
            self.complete_join(turn);
            return;
        }
        let remaining_ms = (self.max_rebalance_timeout_ms() - delay_ms).max(0);
        self.initial = Some(InitialDelay { delay_ms, remaining_ms, extended: false });
        turn.set_timer(self.join_timer(), delay_ms);
    }

    /// A member left, or a pending one gave up: perhaps nobody is missing any more.
    pub(super) fn complete_if_all_joined(&mut self, turn: &mut Turn<'_>) {
        if self.state == State::PreparingRebalance && self.have_all_joined() {
            self.complete_join(turn);
        }
    }

    /// As above, but a first rebalance only ends with its delay. Kafka's `maybeCompleteJoinPhase`.
    pub(super) fn maybe_complete_join(&mut self, turn: &mut Turn<'_>) {
        if self.previous != State::Empty {
            self.complete_if_all_joined(turn);
        }
    }

    fn complete_or_wait(&mut self, turn: &mut Turn<'_>) {
        if self.have_all_joined() {
            self.complete_join(turn);
        } else {
            turn.set_timer(self.join_timer(), self.max_rebalance_timeout_ms());
        }
    }

    /// The join deadline has passed.
    pub(in crate::group) fn join_deadline(&mut self, turn: &mut Turn<'_>) {
        if self.state != State::PreparingRebalance {
            return;
        }
        match self.initial.take() {
            Some(initial) if initial.extended && initial.remaining_ms != 0 => {
                let delay_ms =
                    i64::from(turn.config.initial_rebalance_delay_ms.max(0)).min(initial.remaining_ms);
                let remaining_ms = (initial.remaining_ms - initial.delay_ms).max(0);
                self.initial = Some(InitialDelay { delay_ms, remaining_ms, extended: false });
                turn.set_timer(self.join_timer(), delay_ms);
            }
            _ => self.complete_join(turn),
        }
    }

    /// Ends the join phase: the next generation, or none if nobody is left.
    pub(super) fn complete_join(&mut self, turn: &mut Turn<'_>) {
        turn.cancel_timer(self.join_timer());
        self.initial = None;
        self.remove_absent_members(turn);
        if !self.elect_present_leader() && !self.members.is_empty() {
            // Only absent static members are left; they keep their place until their sessions end.
            let wait_ms = self.max_rebalance_timeout_ms().max(ABSENT_WAIT_MIN_MS);
            turn.set_timer(self.join_timer(), wait_ms);
            return;
        }
        self.generation = self.generation.wrapping_add(1);
        self.pending_sync.clear();
        if self.members.is_empty() {
            self.protocol = None;
            self.refresh_subscription();
            self.transition(State::Empty, turn.now);
            self.record(turn, |_| Bytes::new());
            return;
        }
        self.protocol = self.select_protocol();
        self.refresh_subscription();
        self.transition(State::CompletingRebalance, turn.now);
        self.announce_generation(turn);
    }

    /// Answers every parked join.
    fn announce_generation(&mut self, turn: &mut Turn<'_>) {
        let ids: Vec<Name> = self.members.keys().cloned().collect();
        for id in ids {
            let joined = self.joined(&id, self.is_leader(&id));
            let Some(member) = self.members.get_mut(&id) else { continue };
            if member.answer_join(turn, |version| joined.into_response(version)) {
                self.awaiting_join -= 1;
            }
            member.is_new = false;
            turn.set_session(&self.id, &id, member.session_timeout_ms);
            self.pending_sync.insert(id);
        }
        turn.set_timer(self.sync_timer(), self.max_rebalance_timeout_ms());
    }

    /// Dynamic members that did not come back are out; static ones keep their place.
    fn remove_absent_members(&mut self, turn: &mut Turn<'_>) {
        let absent = |member: &&super::Member| member.parked_join.is_none() && member.instance_id.is_none();
        let gone: Vec<Name> = self.members.values().filter(absent).map(|member| member.id.clone()).collect();
        for id in gone {
            self.remove(turn, &id);
            turn.cancel_session(&self.id, &id);
        }
    }

    /// Whether the group has a leader that is here to lead. Kafka's `maybeElectNewJoinedLeader`.
    fn elect_present_leader(&mut self) -> bool {
        let Some(leader) = &self.leader else { return false };
        if self.members.get(leader).is_some_and(|member| member.parked_join.is_some()) {
            return true;
        }
        match self.members.values().find(|member| member.parked_join.is_some()) {
            Some(present) => {
                self.leader = Some(present.id.clone());
                true
            }
            None => false,
        }
    }

    /// Whoever waits for an assignment has to join again.
    fn withdraw_assignment(&mut self, turn: &mut Turn<'_>) {
        for member in self.members.values_mut() {
            member.assignment = Bytes::new();
            if member.answer_sync(turn, || sync::refusal(ResponseError::RebalanceInProgress)) {
                turn.set_session(&self.id, &member.id, member.session_timeout_ms);
            }
        }
    }

    pub(super) fn cancel_sync_deadline(&mut self, turn: &mut Turn<'_>) {
        self.pending_sync.clear();
        turn.cancel_timer(self.sync_timer());
    }

    pub(super) fn join_timer(&self) -> TimerKey {
        TimerKey::Join { group: self.id.clone() }
    }

    pub(super) fn sync_timer(&self) -> TimerKey {
        TimerKey::Sync { group: self.id.clone() }
    }
}
