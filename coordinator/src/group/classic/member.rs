//! One member of a classic group.
//!
//! Must never answer a parked request twice: taking it out is the only way to answer it.

use std::collections::BTreeSet;

use bytes::Bytes;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::{JoinGroupResponse, SyncGroupResponse};

use crate::group::turn::Turn;
use crate::group::{Name, Reply, Ticket};

/// A request that waits for its group, and the version that its answer has to be in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Parked {
    pub(super) ticket: Ticket,
    pub(super) version: i16,
}

#[derive(Debug)]
pub(in crate::group) struct Member {
    pub(in crate::group) id: Name,
    pub(in crate::group) instance_id: Option<Name>,
    pub(in crate::group) client_id: String,
    pub(in crate::group) client_host: String,
    pub(in crate::group) rebalance_timeout_ms: i32,
    pub(in crate::group) session_timeout_ms: i32,
    pub(super) protocol_type: String,
    /// Names with the client's metadata, the client's favourite first.
    pub(in crate::group) protocols: Vec<(String, Bytes)>,
    pub(in crate::group) assignment: Bytes,
    pub(super) parked_join: Option<Parked>,
    pub(super) parked_sync: Option<Parked>,
    /// Has not been in a generation yet: it cannot send heartbeats, so a parked join does not keep it alive.
    pub(super) is_new: bool,
}

impl Member {
    /// The metadata that goes with the chosen protocol; empty if it has none.
    pub(in crate::group) fn metadata(&self, protocol: &str) -> Bytes {
        let found = self.protocols.iter().find(|(name, _)| name == protocol);
        found.map(|(_, metadata)| metadata.clone()).unwrap_or_default()
    }

    /// The protocol that the client likes best.
    pub(in crate::group) fn favourite(&self) -> Option<&str> {
        self.protocols.first().map(|(name, _)| name.as_str())
    }

    /// Each name once, whatever the client repeated.
    pub(super) fn protocol_names(&self) -> BTreeSet<&str> {
        self.protocols.iter().map(|(name, _)| name.as_str()).collect()
    }

    /// Whether a join brings nothing new.
    pub(super) fn matches(&self, protocols: &[JoinGroupRequestProtocol]) -> bool {
        let theirs = protocols.iter().map(|protocol| (protocol.name.as_str(), &protocol.metadata));
        self.protocols.iter().map(|(name, metadata)| (name.as_str(), metadata)).eq(theirs)
    }

    /// A member that waits for the group cannot send heartbeats and needs none.
    pub(super) fn is_excused_from_heartbeats(&self) -> bool {
        !self.is_new && (self.parked_join.is_some() || self.parked_sync.is_some())
    }

    /// Answers a parked join, if there is one; the response is made for the version that waits.
    pub(super) fn answer_join(
        &mut self,
        turn: &mut Turn<'_>,
        response: impl FnOnce(i16) -> JoinGroupResponse,
    ) -> bool {
        let Some(parked) = self.parked_join.take() else { return false };
        turn.reply(parked.ticket, Reply::Join(response(parked.version)));
        true
    }

    pub(super) fn answer_sync(
        &mut self,
        turn: &mut Turn<'_>,
        response: impl FnOnce() -> SyncGroupResponse,
    ) -> bool {
        let Some(parked) = self.parked_sync.take() else { return false };
        turn.reply(parked.ticket, Reply::Sync(response()));
        true
    }
}

/// Copies the protocols out of the request's frame.
pub(in crate::group) fn owned_protocols(protocols: &[JoinGroupRequestProtocol]) -> Vec<(String, Bytes)> {
    protocols
        .iter()
        .map(|protocol| (protocol.name.to_string(), Bytes::copy_from_slice(&protocol.metadata)))
        .collect()
}
