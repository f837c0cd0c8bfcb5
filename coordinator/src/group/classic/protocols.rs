//! Which protocol a group speaks: what all support, then a vote.
//!
//! Must never depend on the order in which members joined.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;

use super::{ClassicGroup, State};

impl ClassicGroup {
    /// Whether somebody who offers these could be in this group.
    pub(super) fn supports(&self, protocol_type: &str, protocols: &[JoinGroupRequestProtocol]) -> bool {
        if self.state == State::Empty {
            return !protocol_type.is_empty() && !protocols.is_empty();
        }
        self.protocol_type() == Some(protocol_type)
            && protocols.iter().any(|protocol| self.is_supported_by_all(&protocol.name))
    }

    fn is_supported_by_all(&self, name: &str) -> bool {
        self.support.get(name).copied().unwrap_or(0) == self.members.len()
    }

    /// Each member votes for the first of its protocols that all support. Of equals the first by name wins; Kafka
    /// takes any.
    pub(super) fn select_protocol(&self) -> Option<String> {
        let candidates: BTreeSet<&str> =
            self.support.keys().map(String::as_str).filter(|name| self.is_supported_by_all(name)).collect();
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        for member in self.members.values() {
            let vote =
                member.protocols.iter().map(|(name, _)| name.as_str()).find(|name| candidates.contains(name));
            if let Some(vote) = vote {
                *votes.entry(vote).or_insert(0) += 1;
            }
        }
        let most = votes.values().copied().max()?;
        votes.into_iter().find(|(_, count)| *count == most).map(|(name, _)| name.to_owned())
    }
}
