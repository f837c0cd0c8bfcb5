//! Between the protocols: a classic group that was a consumer group, and one that becomes one (KIP-848).
//!
//! Must never leave a client waiting in a group that is no more.

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use milena_storage::ids::Timestamp;

use super::member::Member;
use super::{ClassicGroup, State, join, sync};
use crate::group::Name;
use crate::group::turn::Turn;

/// A member as it comes from a consumer group.
pub(in crate::group) struct Converted {
    pub(in crate::group) id: Name,
    pub(in crate::group) instance_id: Option<Name>,
    pub(in crate::group) client_id: String,
    pub(in crate::group) client_host: String,
    pub(in crate::group) rebalance_timeout_ms: i32,
    pub(in crate::group) session_timeout_ms: i32,
    pub(in crate::group) protocols: Vec<(String, Bytes)>,
    pub(in crate::group) assignment: Bytes,
}

impl ClassicGroup {
    /// A stable group; `None` if its members share no protocol.
    pub(in crate::group) fn converted(
        id: Name,
        generation: i32,
        protocol_type: &str,
        members: Vec<Converted>,
        now: Timestamp,
    ) -> Option<Self> {
        let mut group = Self::new(id, now);
        for member in members {
            group.add(Member {
                id: member.id,
                instance_id: member.instance_id,
                client_id: member.client_id,
                client_host: member.client_host,
                rebalance_timeout_ms: member.rebalance_timeout_ms,
                session_timeout_ms: member.session_timeout_ms,
                protocol_type: protocol_type.to_owned(),
                protocols: member.protocols,
                assignment: member.assignment,
                parked_join: None,
                parked_sync: None,
                is_new: false,
            });
        }
        group.state = State::Stable;
        group.generation = generation;
        group.protocol = Some(group.select_protocol()?);
        group.refresh_subscription();
        Some(group)
    }

    /// The record of a group that has just been converted, and the sessions of its members.
    pub(in crate::group) fn record_converted(&self, turn: &mut Turn<'_>) {
        self.record(turn, |member| member.assignment.clone());
        for member in self.members.values() {
            turn.set_session(&self.id, &member.id, member.session_timeout_ms);
        }
    }

    /// Everybody has to join again.
    pub(in crate::group) fn rebalance(&mut self, turn: &mut Turn<'_>) {
        self.prepare_rebalance(turn);
    }

    /// A consumer group takes the place of this one: whoever waits has to join again there.
    pub(in crate::group) fn dissolve(&mut self, turn: &mut Turn<'_>) {
        for member in self.members.values_mut() {
            let id = member.id.clone();
            let again = ResponseError::RebalanceInProgress;
            member.answer_join(turn, |version| join::refusal(version, &id, again));
            member.answer_sync(turn, || sync::refusal(again));
        }
        for id in &self.pending_join {
            turn.cancel_session(&self.id, id);
        }
        turn.cancel_timer(self.join_timer());
        turn.cancel_timer(self.sync_timer());
    }
}
