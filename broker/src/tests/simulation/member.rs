//! A member of a consumer group (KIP-848): takes what it is given, reads from where the group stands, commits what it has read.
//!
//! Must never read what it was told to give up, nor commit what it has not read.

use std::collections::BTreeMap;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kafka_protocol::messages::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, OffsetCommitRequest, OffsetFetchRequest,
};

use super::client::{Client, text, topic_name};
use super::history::At;
use super::reader::fetch;
use super::shared::Phase;
use super::{GROUP, TOPIC};

pub(super) struct Member {
    client: Client,
    life: usize,
    epoch: i32,
    coordinator: Option<i32>,
    /// Where it reads next in each partition that it owns; none before it knows where the group stands.
    owned: BTreeMap<i32, Option<i64>>,
}

impl Member {
    pub(super) fn new(client: Client) -> Self {
        Self { client, life: 0, epoch: 0, coordinator: None, owned: BTreeMap::new() }
    }

    fn id(&self) -> String {
        format!("{}.{}", self.client.name, self.life)
    }

    pub(super) async fn run(mut self) {
        while self.client.shared.phase() < Phase::End {
            self.turn().await;
            if self.client.dice.percent(1) && self.client.shared.phase() == Phase::Trouble {
                // As a process that ends without a word.
                self.life += 1;
                self.start_over();
            }
        }
    }

    fn start_over(&mut self) {
        self.epoch = 0;
        self.owned.clear();
    }

    async fn turn(&mut self) {
        let Some(coordinator) = self.coordinator else {
            self.coordinator = self.client.coordinator(GROUP).await;
            if self.coordinator.is_none() {
                self.client.pause().await;
            }
            return;
        };
        if !self.heartbeat(coordinator).await {
            return self.client.pause().await;
        }
        for (partition, position) in self.owned.clone() {
            match position {
                None => self.find_place(coordinator, partition).await,
                Some(from) => self.read(coordinator, partition, from).await,
            }
        }
        self.client.idle(20, 200).await;
    }

    fn heartbeat_request(&mut self) -> ConsumerGroupHeartbeatRequest {
        let request = ConsumerGroupHeartbeatRequest::default()
            .with_group_id(text(GROUP).into())
            .with_member_id(text(&self.id()))
            .with_member_epoch(self.epoch)
            .with_rebalance_timeout_ms(10_000);
        let request = request.with_subscribed_topic_names(Some(vec![topic_name(TOPIC)]));
        let owned = TopicPartitions::default()
            .with_topic_id(self.client.topic_ids.get(TOPIC).copied().unwrap_or_default())
            .with_partitions(self.owned.keys().copied().collect());
        let owned = if self.owned.is_empty() { Vec::new() } else { vec![owned] };
        request.with_topic_partitions(Some(owned))
    }

    /// Whether it is a member and may go on.
    async fn heartbeat(&mut self, coordinator: i32) -> bool {
        let request = self.heartbeat_request();
        let Some(answer) = self.client.ask(coordinator, 1, &request).await else {
            self.coordinator = None;
            return false;
        };
        match ResponseError::try_from_code(answer.error_code) {
            None => {
                self.take(&answer);
                true
            }
            Some(ResponseError::UnknownMemberId | ResponseError::FencedMemberEpoch) => {
                self.start_over();
                false
            }
            // An answer was lost, and the member's epoch in it.
            Some(ResponseError::StaleMemberEpoch | ResponseError::UnreleasedInstanceId) => {
                self.start_over();
                false
            }
            Some(error) => {
                if !error.is_retriable() {
                    let id = self.id();
                    self.client.shared.fault(format!("{id}: heartbeat: {error:?}"));
                }
                self.coordinator = None;
                false
            }
        }
    }

    fn take(&mut self, answer: &ConsumerGroupHeartbeatResponse) {
        self.epoch = answer.member_epoch;
        let Some(assignment) = &answer.assignment else { return };
        let ours = assignment.topic_partitions.iter();
        if let Some(first) = assignment.topic_partitions.first() {
            self.client.topic_ids.insert(TOPIC, first.topic_id);
        }
        let given: Vec<i32> = ours.flat_map(|topic| topic.partitions.iter().copied()).collect();
        self.owned.retain(|partition, _| given.contains(partition));
        for partition in &given {
            self.owned.entry(*partition).or_insert(None);
        }
        let (id, epoch) = (self.id(), self.epoch);
        self.client.shared.note(|| format!("{id} owns {given:?} in epoch {epoch}"));
        for partition in given {
            let key = ((TOPIC, partition), epoch);
            let owner = self
                .client
                .shared
                .history(|history| history.owners.entry(key).or_insert_with(|| id.clone()).clone());
            if owner != id {
                self.client.shared.fault(format!("{id} and {owner} both own {partition} in epoch {epoch}"));
            }
        }
    }

    fn committed(&self, at: At) -> i64 {
        self.client.shared.history(|history| history.committed.get(&at).map_or(-1, |(offset, _)| *offset))
    }

    /// Asks where the group stands: no earlier than what was acknowledged to whoever committed last.
    async fn find_place(&mut self, coordinator: i32, partition: i32) {
        let at: At = (TOPIC, partition);
        let before = self.committed(at);
        let topic = OffsetFetchRequestTopics::default()
            .with_name(topic_name(TOPIC))
            .with_partition_indexes(vec![partition]);
        let group = OffsetFetchRequestGroup::default()
            .with_group_id(text(GROUP).into())
            .with_member_id(Some(text(&self.id())))
            .with_member_epoch(self.epoch)
            .with_topics(Some(vec![topic]));
        let request = OffsetFetchRequest::default().with_groups(vec![group]).with_require_stable(true);
        let Some(answer) = self.client.ask(coordinator, 9, &request).await else {
            self.coordinator = None;
            return;
        };
        let Some(group) = answer.groups.first().filter(|group| group.error_code == 0) else {
            self.coordinator = None;
            return;
        };
        let told = group.topics.first().and_then(|topic| topic.partitions.first());
        let Some(told) = told.filter(|told| told.error_code == 0) else { return };
        let place = told.committed_offset;
        if place < before {
            let id = self.id();
            self.client
                .shared
                .fault(format!("{id}: {at:?} is committed to {before}, and told to be at {place}"));
        }
        self.owned.insert(partition, Some(place.max(0)));
    }

    async fn read(&mut self, coordinator: i32, partition: i32, from: i64) {
        let at: At = (TOPIC, partition);
        let Some(found) = fetch(&mut self.client, at, from).await else { return };
        let Some((last, _)) = found.last() else { return };
        let next = last + 1;
        self.client.shared.history(|history| {
            for (offset, value) in found {
                history.saw(at, offset, value);
            }
        });
        self.owned.insert(partition, Some(next));
        self.commit(coordinator, at, next).await;
    }

    async fn commit(&mut self, coordinator: i32, at: At, next: i64) {
        let partition =
            OffsetCommitRequestPartition::default().with_partition_index(at.1).with_committed_offset(next);
        let topic =
            OffsetCommitRequestTopic::default().with_name(topic_name(at.0)).with_partitions(vec![partition]);
        let request = OffsetCommitRequest::default()
            .with_group_id(text(GROUP).into())
            .with_generation_id_or_member_epoch(self.epoch)
            .with_member_id(text(&self.id()))
            .with_topics(vec![topic]);
        let Some(answer) = self.client.ask(coordinator, 9, &request).await else {
            self.coordinator = None;
            return;
        };
        let told = answer.topics.first().and_then(|topic| topic.partitions.first());
        if told.is_none_or(|told| told.error_code != 0) {
            return;
        }
        let id = self.id();
        self.client.shared.note(|| format!("{id} committed {at:?} to {next}"));
        let before = self.committed(at);
        if before > next {
            self.client.shared.fault(format!("{id}: {at:?} was committed to {before}, and now to {next}"));
        }
        self.client.shared.history(|history| {
            history.count("committed");
            history.committed.insert(at, (next, id));
        });
        self.client.progressed();
    }
}
