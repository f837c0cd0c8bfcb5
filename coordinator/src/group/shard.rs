//! The machine: all groups and offsets of one partition of `__consumer_offsets`.
//!
//! Must never change what is durable outside `apply`. A step may move soft state (who waits, who is joining), which
//! is lost with the shard and rebuilt from the log.

use kafka_protocol::messages::ListGroupsResponse;
use milena_storage::ids::{ProducerId, Timestamp};

use super::classic::{self, ClassicGroup, Groups};
use super::offsets::{self, Offsets};
use super::records::{Change, GroupMetadata, OffsetCommit, OffsetKey, Record, WireError};
use super::turn::Turn;
use super::{Caller, GroupConfig, Input, Output, Reply, Request, Ticket, TimerKey, admin};

#[derive(Debug)]
pub struct GroupShard {
    config: GroupConfig,
    groups: Groups,
    offsets: Offsets,
    /// Whether the log has been applied to its end.
    live: bool,
    /// Whether the expiry deadline is set; it is not while there is nothing to expire.
    expiry_set: bool,
}

impl GroupShard {
    /// An empty shard that is loading: feed it with `apply`, then with `Input::Loaded`.
    #[must_use]
    pub fn new(config: GroupConfig) -> Self {
        Self { config, groups: Groups::new(), offsets: Offsets::default(), live: false, expiry_set: false }
    }

    /// Decides. The records of the output have to be appended as one batch and fed to `apply` before the next step;
    /// if they are refused, the shard has to be thrown away and loaded anew.
    #[must_use]
    pub fn step(&mut self, now: Timestamp, input: Input) -> Output {
        let config = self.config.clone();
        let mut turn = Turn::new(now, &config);
        match input {
            Input::Request(ticket, caller, request) => self.request(&mut turn, ticket, &caller, request),
            Input::Timer(key) => self.deadline(&mut turn, key),
            Input::TopicsDeleted(deleted) => offsets::topics_deleted(&self.offsets, &mut turn, &deleted),
            Input::Loaded => {
                self.live = true;
                for group in self.groups.values_mut() {
                    group.resume(&mut turn);
                }
            }
        }
        self.arm_expiry(&mut turn);
        turn.out
    }

    /// Takes over one record of the log.
    ///
    /// # Errors
    /// If a record of a known type is damaged; nothing has changed then.
    pub fn apply(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), WireError> {
        match Record::decode(key, value)? {
            Change::Offset(key, commit) => self.apply_offset(key, commit),
            Change::Group(id, value) => self.apply_group(&id, value),
            Change::Unknown(_) => {}
        }
        Ok(())
    }

    /// Takes over one record of a transaction that is open; `end_transaction` makes it count or forgets it.
    ///
    /// # Errors
    /// As `apply`.
    pub fn apply_in_transaction(
        &mut self,
        producer: ProducerId,
        key: &[u8],
        value: Option<&[u8]>,
    ) -> Result<(), WireError> {
        match Record::decode(key, value)? {
            Change::Offset(key, Some(commit)) => {
                self.know_group_of(&key, &commit);
                self.offsets.put_pending(producer, key, commit);
            }
            // Transactions only commit offsets.
            Change::Offset(..) | Change::Group(..) | Change::Unknown(_) => {}
        }
        Ok(())
    }

    /// Takes over a transaction's end, once its marker is in the log.
    pub fn end_transaction(&mut self, producer: ProducerId, commit: bool) {
        self.offsets.end_transaction(producer, commit);
    }

    fn apply_offset(&mut self, key: OffsetKey, commit: Option<OffsetCommit>) {
        let Some(commit) = commit else {
            self.offsets.take(&key);
            return;
        };
        self.know_group_of(&key, &commit);
        self.offsets.put(key, commit);
    }

    fn know_group_of(&mut self, key: &OffsetKey, commit: &OffsetCommit) {
        if !self.groups.contains_key(&*key.group) {
            // A group that only stores offsets has no record of its own.
            let group = ClassicGroup::new(key.group.as_str().into(), commit.commit_timestamp);
            self.groups.insert(group.id.clone(), group);
        }
    }

    fn apply_group(&mut self, id: &str, value: Option<GroupMetadata>) {
        match (value, self.groups.get_mut(id)) {
            (None, _) => {
                self.groups.remove(id);
            }
            (Some(value), Some(group)) if self.live => group.written(value),
            (Some(value), _) => {
                let group = ClassicGroup::restore(id.into(), value);
                self.groups.insert(group.id.clone(), group);
            }
        }
    }

    fn request(&mut self, turn: &mut Turn<'_>, ticket: Ticket, caller: &Caller, request: Request) {
        let groups = &mut self.groups;
        match request {
            Request::Join(join) => classic::join(groups, turn, ticket, caller, join),
            Request::Sync(sync) => classic::sync(groups, turn, ticket, caller, sync),
            Request::Heartbeat(heartbeat) => classic::heartbeat(groups, turn, ticket, &heartbeat),
            Request::Leave(leave) => classic::leave(groups, turn, ticket, caller, leave),
            Request::Commit(commit) => offsets::commit(groups, turn, ticket, caller, &commit),
            Request::CommitInTransaction(commit) => {
                offsets::commit_in_transaction(groups, turn, ticket, &commit);
            }
            Request::FetchOffsets { group, require_stable } => {
                let fetched = offsets::fetch(&self.offsets, &group, require_stable);
                turn.reply(ticket, Reply::FetchOffsets(fetched));
            }
            Request::DeleteOffsets(delete) => {
                let response = offsets::delete(groups, &self.offsets, turn, &delete);
                turn.reply(ticket, Reply::DeleteOffsets(response));
            }
            Request::List { states, types } => {
                let listed = admin::list(groups, &states, &types);
                turn.reply(ticket, Reply::List(ListGroupsResponse::default().with_groups(listed)));
            }
            Request::Describe { groups: ids } => {
                let described =
                    ids.iter().map(|id| admin::describe(groups, caller.api_version, id)).collect();
                turn.reply(ticket, Reply::Describe(described));
            }
            Request::Delete { groups: ids } => {
                let results = ids.iter().map(|id| admin::delete(groups, &self.offsets, turn, id)).collect();
                turn.reply(ticket, Reply::Delete(results));
            }
        }
    }

    fn deadline(&mut self, turn: &mut Turn<'_>, key: TimerKey) {
        let group = match &key {
            TimerKey::Expiry => {
                self.expiry_set = false;
                offsets::expire(&self.groups, &self.offsets, turn);
                return;
            }
            TimerKey::Session { group, .. } | TimerKey::Join { group } | TimerKey::Sync { group } => group,
        };
        let Some(group) = self.groups.get_mut(group) else { return };
        match &key {
            TimerKey::Session { member, .. } => group.session_deadline(turn, member),
            TimerKey::Join { .. } => group.join_deadline(turn),
            TimerKey::Sync { .. } => group.sync_deadline(turn),
            TimerKey::Expiry => {}
        }
    }

    fn arm_expiry(&mut self, turn: &mut Turn<'_>) {
        let empty = self.groups.is_empty() && self.offsets.is_empty() && turn.out.records.is_empty();
        if self.live && !empty && !self.expiry_set {
            self.expiry_set = true;
            turn.set_timer(TimerKey::Expiry, self.config.expiry_interval_ms);
        }
    }
}
