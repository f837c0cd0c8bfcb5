//! `beat` as a request.
//!
//! Must never fill in what the line leaves out, but for what a first heartbeat has to bring.

use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use kafka_protocol::messages::{ConsumerGroupHeartbeatRequest, TopicName};
use uuid::Uuid;

use crate::command::{Command, text};

impl Command<'_> {
    /// `beat group member epoch`, with `topics=`, `re=`, `owns=T1:0,T1:2` (`owns=` for nothing), `assignor=`, `rack=`,
    /// `rebalance=`, `i=`.
    pub(crate) fn beat(&self) -> ConsumerGroupHeartbeatRequest {
        let epoch = self.generation();
        let joins = epoch == 0;
        let topics = self.option("topics").or(joins.then_some("").filter(|_| self.option("re").is_none()));
        let topics = topics.map(|topics| {
            topics.split(',').filter(|topic| !topic.is_empty()).map(|topic| TopicName(text(topic))).collect()
        });
        let rebalance = match self.option("rebalance") {
            Some("none") => -1,
            None if !joins => -1,
            None => 60_000,
            Some(_) => self.duration("rebalance", "0s") as i32,
        };
        ConsumerGroupHeartbeatRequest::default()
            .with_group_id(self.group())
            .with_member_id(self.member())
            .with_member_epoch(epoch)
            .with_instance_id(self.instance())
            .with_rack_id(self.option("rack").map(text))
            .with_rebalance_timeout_ms(rebalance)
            .with_subscribed_topic_names(topics)
            .with_subscribed_topic_regex(self.option("re").map(text))
            .with_server_assignor(self.option("assignor").map(text))
            .with_topic_partitions(self.option("owns").or(joins.then_some("")).map(owned))
    }
}

pub(crate) fn owned(list: &str) -> Vec<TopicPartitions> {
    let each = list.split(',').filter(|item| !item.is_empty()).map(|item| {
        let (topic, partition) = item.split_once(':').expect("topic:partition");
        let number: u128 = topic.trim_start_matches('T').parse().expect("a topic's number");
        TopicPartitions::default()
            .with_topic_id(Uuid::from_u128(number))
            .with_partitions(vec![partition.parse().expect("a partition")])
    });
    each.collect()
}
