//! A client's connections: one to each broker that it has asked, each request by itself, leaders as brokers tell them.
//!
//! It speaks Kafka's protocol and nothing else. Must never wait for an answer without end.

use std::collections::BTreeMap;
use std::time::Duration;

use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{FindCoordinatorRequest, MetadataRequest, TopicName};
use kafka_protocol::protocol::{Request, StrBytes};
use milena_coordinator::image::{Endpoint, SecurityProtocol};
use uuid::Uuid;

use super::dice::Dice;
use super::history::At;
use super::shared::Shared;
use crate::replication::peer::Peer;

/// Where brokers serve clients.
pub(super) const PORT: u16 = 9092;
/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(4);

pub(super) struct Client {
    pub(super) shared: Shared,
    pub(super) name: String,
    pub(super) dice: Dice,
    peers: BTreeMap<i32, Peer>,
    /// Leaders and their epochs.
    leaders: BTreeMap<At, (i32, i32)>,
    pub(super) topic_ids: BTreeMap<&'static str, Uuid>,
}

pub(super) fn text(of: &str) -> StrBytes {
    StrBytes::from_string(of.to_owned())
}

pub(super) fn topic_name(of: &str) -> TopicName {
    text(of).into()
}

impl Client {
    pub(super) fn new(shared: &Shared, name: &str, dice: Dice) -> Self {
        Self {
            shared: shared.clone(),
            name: name.to_owned(),
            dice,
            peers: BTreeMap::new(),
            leaders: BTreeMap::new(),
            topic_ids: BTreeMap::new(),
        }
    }

    /// Lets time pass that lies in this range of milliseconds.
    pub(super) async fn idle(&mut self, from: usize, to: usize) {
        // turmoil's runtimes are begun with `start_paused`: nobody waits.
        tokio::time::sleep(self.dice.ms(from, to)).await;
    }

    /// Waits a moment, so that what did not work may work.
    pub(super) async fn pause(&mut self) {
        self.idle(20, 200).await;
    }

    /// An answer, or none if the broker could not be asked; a connection that failed is not used again.
    pub(super) async fn ask<R: Request>(
        &mut self,
        broker: i32,
        version: i16,
        request: &R,
    ) -> Option<R::Response> {
        let mut peer = match self.peers.remove(&broker) {
            Some(peer) => peer,
            None => {
                let endpoint = Endpoint {
                    listener: "PLAINTEXT".to_owned(),
                    host: format!("b{broker}"),
                    port: PORT,
                    protocol: SecurityProtocol::Plaintext,
                };
                Peer::connect(&endpoint, self.name.clone(), PATIENCE).await.ok()?
            }
        };
        let answer = peer.ask(version, request).await.ok()?;
        self.peers.insert(broker, peer);
        Some(answer)
    }

    pub(super) fn any_broker(&mut self) -> i32 {
        let brokers = self.shared.brokers();
        self.dice.pick(&brokers)
    }

    /// Who leads, as far as this client knows, or can learn from somebody.
    pub(super) async fn leader(&mut self, at: At) -> Option<(i32, i32)> {
        if let Some(known) = self.leaders.get(&at) {
            return Some(*known);
        }
        let broker = self.any_broker();
        let topic = MetadataRequestTopic::default().with_name(Some(topic_name(at.0)));
        let request =
            MetadataRequest::default().with_topics(Some(vec![topic])).with_allow_auto_topic_creation(false);
        let answer = self.ask(broker, 12, &request).await?;
        for topic in answer.topics.iter().filter(|topic| topic.error_code == 0) {
            self.topic_ids.insert(at.0, topic.topic_id);
            for partition in topic.partitions.iter().filter(|each| each.leader_id.0 >= 0) {
                let leader = (partition.leader_id.0, partition.leader_epoch);
                self.leaders.insert((at.0, partition.partition_index), leader);
            }
        }
        self.leaders.get(&at).copied()
    }

    /// What this client knew is not so any more.
    pub(super) fn forget(&mut self, at: At) {
        self.leaders.remove(&at);
    }

    /// The coordinator of a group.
    pub(super) async fn coordinator(&mut self, group: &str) -> Option<i32> {
        let broker = self.any_broker();
        let request =
            FindCoordinatorRequest::default().with_key_type(0).with_coordinator_keys(vec![text(group)]);
        let answer = self.ask(broker, 4, &request).await?;
        let found = answer.coordinators.first().filter(|found| found.error_code == 0)?;
        Some(found.node_id.0)
    }

    /// Counts that this client got further.
    pub(super) fn progressed(&self) {
        let phase = self.shared.phase();
        self.shared.history(|history| {
            if phase == super::shared::Phase::Recovery {
                *history.progress.entry(self.name.clone()).or_default() += 1;
            }
        });
    }
}
