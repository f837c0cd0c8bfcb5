//! A classic group to and from its record.
//!
//! Must never lose what a live group knows beyond its record: `written` only confirms, `restore` only serves loading.

use bytes::Bytes;
use milena_storage::ids::Timestamp;

use super::member::Member;
use super::{ClassicGroup, State};
use crate::group::Name;
use crate::group::records::{GroupMetadata, MemberMetadata};
use crate::group::turn::Turn;

impl ClassicGroup {
    /// The group that a record describes, as after a restart: stable or empty, and nobody waits.
    pub(in crate::group) fn restore(id: Name, value: GroupMetadata) -> Self {
        let mut group = Self::new(id, Timestamp::NONE);
        for member in value.members {
            group.add(restore_member(member, &value.protocol_type, value.protocol.as_deref()));
        }
        group.state = if group.members.is_empty() { State::Empty } else { State::Stable };
        group.since = value.state_timestamp;
        group.generation = value.generation;
        group.protocol_type = Some(value.protocol_type).filter(|name| !name.is_empty());
        group.protocol = value.protocol;
        group.leader = value.leader.map(Name::from);
        group.refresh_subscription();
        group
    }

    /// A record of a living group has reached the log. The assignment of a leader is in force from here on.
    ///
    /// All other records of a living group repeat what its members already see.
    pub(in crate::group) fn written(&mut self, value: GroupMetadata) {
        let completes = self.state == State::CompletingRebalance
            && self.generation == value.generation
            && !value.members.is_empty();
        if !completes {
            return;
        }
        for written in value.members {
            if let Some(member) = self.members.get_mut(&*written.member_id) {
                member.assignment = written.assignment;
            }
        }
        self.previous = self.state;
        self.state = State::Stable;
    }

    /// Deadlines of a group that has just been loaded. Members get a whole session to find the new coordinator.
    pub(in crate::group) fn resume(&mut self, turn: &mut Turn<'_>) {
        for member in self.members.values() {
            turn.set_session(&self.id, &member.id, member.session_timeout_ms);
        }
        // The limit may have been lowered since; a rebalance lets in only as many as fit.
        if self.members.len() > turn.config.max_size {
            self.prepare_rebalance(turn);
        }
    }

    /// Puts the group into a record, with these assignments.
    pub(super) fn record(&self, turn: &mut Turn<'_>, assignment: impl Fn(&Member) -> Bytes) {
        let protocol = self.protocol.as_deref().unwrap_or_default();
        let members = self.members.values().map(|member| MemberMetadata {
            member_id: member.id.to_string(),
            instance_id: member.instance_id.as_deref().map(str::to_owned),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            rebalance_timeout_ms: member.rebalance_timeout_ms,
            session_timeout_ms: member.session_timeout_ms,
            subscription: member.metadata(protocol),
            assignment: assignment(member),
        });
        turn.group_record(
            &self.id,
            &GroupMetadata {
                protocol_type: self.protocol_type.clone().unwrap_or_default(),
                generation: self.generation,
                protocol: self.protocol.clone(),
                leader: self.leader.as_deref().map(str::to_owned),
                state_timestamp: self.since,
                members: members.collect(),
            },
        );
    }

    /// A group that nobody has completed a join of yet: generation 0, whatever waits in it.
    pub(super) fn record_creation(&self, turn: &mut Turn<'_>) {
        turn.group_record(
            &self.id,
            &GroupMetadata {
                protocol_type: String::new(),
                generation: 0,
                protocol: None,
                leader: None,
                state_timestamp: self.since,
                members: Vec::new(),
            },
        );
    }
}

fn restore_member(member: MemberMetadata, protocol_type: &str, protocol: Option<&str>) -> Member {
    Member {
        id: member.member_id.into(),
        instance_id: member.instance_id.map(Name::from),
        client_id: member.client_id,
        client_host: member.client_host,
        rebalance_timeout_ms: member.rebalance_timeout_ms,
        session_timeout_ms: member.session_timeout_ms,
        protocol_type: protocol_type.to_owned(),
        // The other protocols that it offered are not in the record; it brings them along when it joins again.
        protocols: vec![(protocol.unwrap_or_default().to_owned(), member.subscription)],
        assignment: member.assignment,
        parked_join: None,
        parked_sync: None,
        is_new: false,
    }
}
