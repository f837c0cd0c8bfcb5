//! The machine: all groups and offsets of one partition of `__consumer_offsets`.
//!
//! Must never change what is durable outside `apply`. A step may move soft state (who waits, who is joining), which
//! is lost with the shard and rebuilt from the log.

use kafka_protocol::messages::ListGroupsResponse;
use milena_storage::ids::{ProducerId, Timestamp};

use super::classic::{self, ClassicGroup};
use super::consumer::{self, ConsumerGroup, TopicHashes};
use super::groups::{self, Group, Groups};
use super::offsets::{self, Offsets};
use super::records::{Change, ConsumerChange, GroupMetadata, OffsetCommit, OffsetKey, Record, WireError};
use super::turn::Turn;
use super::{Caller, ChangedTopics, GroupConfig, Input, Output, Reply, Request, Ticket, TimerKey, admin};
use crate::image::MetadataImage;

#[derive(Debug)]
pub struct GroupShard {
    config: GroupConfig,
    groups: Groups,
    offsets: Offsets,
    /// Whether the log has been applied to its end.
    live: bool,
    /// Whether the expiry deadline is set; it is not while there is nothing to expire.
    expiry_set: bool,
    hashes: TopicHashes,
    /// The version of the metadata in which topics were created last, as far as this shard knows.
    topics_version: i64,
}

impl GroupShard {
    /// An empty shard that is loading: feed it with `apply`, then with `Input::Loaded`.
    #[must_use]
    pub fn new(config: GroupConfig) -> Self {
        Self {
            config,
            groups: Groups::new(),
            offsets: Offsets::default(),
            live: false,
            expiry_set: false,
            hashes: TopicHashes::default(),
            topics_version: 0,
        }
    }

    /// Decides. The records of the output have to be appended as one batch and fed to `apply` before the next step;
    /// if they are refused, the shard has to be thrown away and loaded anew.
    #[must_use]
    pub fn step(&mut self, now: Timestamp, image: &MetadataImage, input: Input) -> Output {
        let config = self.config.clone();
        if matches!(&input, Input::Loaded)
            || matches!(&input, Input::TopicsChanged(changed) if changed.created)
        {
            self.topics_version = image.zxid.0;
        }
        let hashes = std::mem::take(&mut self.hashes);
        let mut turn = Turn::new(now, &config, image, hashes, self.topics_version);
        match input {
            Input::Request(ticket, caller, request) => self.request(&mut turn, ticket, &caller, request),
            Input::Timer(key) => self.deadline(&mut turn, key),
            Input::TopicsChanged(changed) => self.topics_changed(&mut turn, &changed),
            Input::Loaded => {
                self.live = true;
                for group in self.groups.values_mut() {
                    match group {
                        Group::Classic(group) => group.resume(&mut turn),
                        Group::Consumer(group) => group.resume(&mut turn),
                    }
                }
            }
        }
        self.arm_expiry(&mut turn);
        self.hashes = turn.hashes;
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
            Change::Consumer(id, change) => self.apply_consumer(&id, change),
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
            Change::Offset(..) | Change::Group(..) | Change::Consumer(..) | Change::Unknown(_) => {}
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
            self.groups.insert(group.id.clone(), Group::classic(group));
        }
    }

    fn apply_group(&mut self, id: &str, value: Option<GroupMetadata>) {
        match (value, self.groups.get_mut(id)) {
            // It was written when a consumer group took its place, which is there already.
            (None, Some(Group::Consumer(_))) => {}
            (None, _) => {
                self.groups.remove(id);
            }
            (Some(value), Some(Group::Classic(group))) if self.live => group.written(value),
            (Some(value), _) => {
                let group = ClassicGroup::restore(id.into(), value);
                self.groups.insert(group.id.clone(), Group::classic(group));
            }
        }
    }

    fn apply_consumer(&mut self, id: &str, change: ConsumerChange) {
        if change.is_deletion() {
            // A classic group that took the place of this one is there already.
            let Some(Group::Consumer(group)) = self.groups.get_mut(id) else { return };
            if !group.apply(change) {
                self.groups.remove(id);
            }
            return;
        }
        let new = || Group::consumer(ConsumerGroup::new(id.into()));
        let group = self.groups.entry(id.into()).or_insert_with(new);
        if group.as_consumer().is_none() {
            // One that only stored offsets; or a record of it is missing, and the later one is right.
            *group = new();
        }
        if let Group::Consumer(group) = group {
            group.apply(change);
        }
    }

    fn topics_changed(&mut self, turn: &mut Turn<'_>, topics: &ChangedTopics) {
        offsets::topics_deleted(&self.offsets, turn, &topics.deleted);
        for topic in &topics.changed {
            turn.hashes.forget(topic);
        }
        for group in self.groups.values_mut().filter_map(Group::as_consumer_mut) {
            if topics.changed.iter().any(|topic| group.is_subscribed_to(topic)) {
                group.topics_changed();
            }
        }
    }

    fn request(&mut self, turn: &mut Turn<'_>, ticket: Ticket, caller: &Caller, request: Request) {
        let groups = &mut self.groups;
        // Of consumer groups that have members: others are as good as classic ones.
        let consumer = |groups: &Groups, id: &str| {
            groups.get(id).and_then(Group::as_consumer).is_some_and(|group| !group.is_empty())
        };
        match request {
            Request::Join(join) if consumer(groups, &join.group_id) => {
                consumer::classic_join(groups, turn, ticket, caller, &join);
            }
            Request::Join(join) => classic::join(groups, turn, ticket, caller, join),
            Request::Sync(sync) if consumer(groups, &sync.group_id) => {
                consumer::classic_sync(groups, turn, ticket, &sync);
            }
            Request::Sync(sync) => classic::sync(groups, turn, ticket, caller, sync),
            Request::Heartbeat(beat) if consumer(groups, &beat.group_id) => {
                consumer::classic_heartbeat(groups, turn, ticket, &beat);
            }
            Request::Heartbeat(beat) => classic::heartbeat(groups, turn, ticket, &beat),
            Request::Leave(leave) => classic::leave(groups, turn, ticket, caller, leave),
            Request::ConsumerHeartbeat(beat) => consumer::heartbeat(groups, turn, ticket, caller, &beat),
            other => self.offsets_or_admin(turn, ticket, caller, other),
        }
    }

    fn offsets_or_admin(&mut self, turn: &mut Turn<'_>, ticket: Ticket, caller: &Caller, request: Request) {
        let groups = &mut self.groups;
        match request {
            Request::Commit(commit) => offsets::commit(groups, turn, ticket, caller, &commit),
            Request::CommitInTransaction(commit) => {
                offsets::commit_in_transaction(groups, turn, ticket, &commit);
            }
            Request::FetchOffsets { group, require_stable } => {
                let version = caller.api_version;
                let fetched = offsets::fetch(groups, &self.offsets, version, &group, require_stable);
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
            Request::DescribeConsumer { groups: ids } => {
                let described = ids.iter().map(|id| consumer::describe(groups, turn, id)).collect();
                turn.reply(ticket, Reply::DescribeConsumer(described));
            }
            Request::Rebalance { group } => {
                let refused = admin::rebalance(groups, turn, &group);
                turn.reply(ticket, Reply::Rebalance(refused));
            }
            Request::Join(_)
            | Request::Sync(_)
            | Request::Heartbeat(_)
            | Request::Leave(_)
            | Request::ConsumerHeartbeat(_) => unreachable!("members' requests are taken before"),
            Request::Delete { groups: ids } => {
                let results = ids.iter().map(|id| admin::delete(groups, &self.offsets, turn, id)).collect();
                turn.reply(ticket, Reply::Delete(results));
            }
        }
    }

    fn deadline(&mut self, turn: &mut Turn<'_>, key: TimerKey) {
        let groups = &mut self.groups;
        match &key {
            TimerKey::Expiry => {
                self.expiry_set = false;
                offsets::expire(&self.groups, &self.offsets, turn);
            }
            TimerKey::Join { group } => {
                if let Some(group) = groups::classic_mut(groups, group) {
                    group.join_deadline(turn);
                }
            }
            TimerKey::Sync { group } => {
                if let Some(group) = groups::classic_mut(groups, group) {
                    group.sync_deadline(turn);
                }
            }
            TimerKey::Session { group, member } => match groups::classic_mut(groups, group) {
                Some(group) => group.session_deadline(turn, member),
                None => consumer::deadline(groups, turn, &key),
            },
            TimerKey::Patterns { group } => consumer::patterns_due(groups, turn, group),
            TimerKey::Revocation { .. } | TimerKey::MemberJoin { .. } | TimerKey::MemberSync { .. } => {
                consumer::deadline(groups, turn, &key);
            }
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
