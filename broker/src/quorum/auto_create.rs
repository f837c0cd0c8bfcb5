//! Topics that come into being because somebody asked for them: by Metadata, or because a coordinator needs one.
//!
//! Must never ask the controller twice for a topic while the first request is under way.

use std::collections::BTreeSet;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::CreateTopicsRequest;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::create_topics_response::CreatableTopicResult;
use kafka_protocol::protocol::StrBytes;
use milena_coordinator::controller::{Refusal, check_topic_name};
use milena_coordinator::{group, transaction};
use parking_lot::Mutex;
use tracing::{info, warn};

use super::Quorum;
use crate::settings::{OffsetsSettings, TransactionSettings};

/// Topics under way at a time; asked for more, Metadata answers as for the others and the client asks again.
const MAX_IN_FLIGHT: usize = 1000;

/// How `__consumer_offsets` is created (`offsets.topic.*`).
#[derive(Clone, Debug)]
pub struct OffsetsTopic {
    pub partitions: i32,
    pub replication_factor: i16,
    /// The operator has set the number, so no other will do.
    pub replication_given: bool,
    pub segment_bytes: i32,
}

impl Default for OffsetsTopic {
    fn default() -> Self {
        Self { partitions: 50, replication_factor: 3, replication_given: false, segment_bytes: 104_857_600 }
    }
}

impl From<&OffsetsSettings> for OffsetsTopic {
    fn from(settings: &OffsetsSettings) -> Self {
        Self {
            partitions: settings.topic_partitions,
            replication_factor: settings.topic_replication_factor,
            replication_given: settings.topic_replication_given,
            segment_bytes: settings.topic_segment_bytes,
        }
    }
}

/// How `__transaction_state` is created (`transaction.state.log.*`).
#[derive(Clone, Debug)]
pub struct TransactionsTopic {
    pub partitions: i32,
    pub replication_factor: i16,
    /// The operator has set the number, so no other will do.
    pub replication_given: bool,
    pub min_isr: i32,
    pub segment_bytes: i32,
}

impl Default for TransactionsTopic {
    fn default() -> Self {
        Self {
            partitions: 50,
            replication_factor: 3,
            replication_given: false,
            min_isr: 2,
            segment_bytes: 104_857_600,
        }
    }
}

impl From<&TransactionSettings> for TransactionsTopic {
    fn from(settings: &TransactionSettings) -> Self {
        Self {
            partitions: settings.topic_partitions,
            replication_factor: settings.topic_replication_factor,
            replication_given: settings.topic_replication_given,
            min_isr: settings.topic_min_isr,
            segment_bytes: settings.topic_segment_bytes,
        }
    }
}

/// Which topics are being created.
#[derive(Debug)]
pub struct AutoCreate {
    offsets: OffsetsTopic,
    transactions: TransactionsTopic,
    /// Brokers that the cluster will have when all voters that are brokers too have started.
    expected_brokers: usize,
    in_flight: Mutex<BTreeSet<String>>,
}

impl AutoCreate {
    pub(super) fn new(
        offsets: OffsetsTopic,
        transactions: TransactionsTopic,
        expected_brokers: usize,
    ) -> Self {
        Self { offsets, transactions, expected_brokers, in_flight: Mutex::default() }
    }

    /// Claims the name; `false` while another request is under way.
    fn claim(&self, name: &str) -> bool {
        let mut in_flight = self.in_flight.lock();
        in_flight.len() < MAX_IN_FLIGHT && in_flight.insert(name.to_owned())
    }

    fn release<'a>(&self, names: impl Iterator<Item = &'a str>) {
        let mut in_flight = self.in_flight.lock();
        for name in names {
            in_flight.remove(name);
        }
    }

    /// −1 leaves partitions and replicas to the controller's defaults. Unless the operator says how many, internal topics
    /// have no more replicas than there are brokers: without them there would be no groups.
    fn topic(&self, name: &str, brokers: usize) -> CreatableTopic {
        let brokers = i16::try_from(brokers.max(self.expected_brokers)).unwrap_or(i16::MAX);
        let factor = |asked: i16, given: bool| {
            if given || asked <= brokers {
                return asked;
            }
            warn!(topic = name, asked, replicas = brokers, "an internal topic gets fewer replicas than set");
            brokers
        };
        let topic = CreatableTopic::default().with_name(text(name).into());
        match name {
            group::TOPIC => topic
                .with_num_partitions(self.offsets.partitions)
                .with_replication_factor(factor(
                    self.offsets.replication_factor,
                    self.offsets.replication_given,
                ))
                .with_configs(configs(&[
                    ("cleanup.policy", "compact"),
                    ("compression.type", "producer"),
                    ("segment.bytes", &self.offsets.segment_bytes.to_string()),
                ])),
            // TransactionStateManager.transactionTopicConfigs
            transaction::TOPIC => {
                let asked = self.transactions.replication_factor;
                let replicas = factor(asked, self.transactions.replication_given);
                // With fewer replicas than were asked for, what they would have allowed to be lost cannot be asked for.
                let min_isr = self.transactions.min_isr;
                let min_isr = if replicas < asked { min_isr.min(i32::from(replicas)) } else { min_isr };
                topic
                    .with_num_partitions(self.transactions.partitions)
                    .with_replication_factor(replicas)
                    .with_configs(configs(&[
                        ("unclean.leader.election.enable", "false"),
                        ("compression.type", "uncompressed"),
                        ("cleanup.policy", "compact"),
                        ("min.insync.replicas", &min_isr.to_string()),
                        ("segment.bytes", &self.transactions.segment_bytes.to_string()),
                    ]))
            }
            _ => topic.with_num_partitions(-1).with_replication_factor(-1),
        }
    }
}

fn configs(pairs: &[(&str, &str)]) -> Vec<CreatableTopicConfig> {
    let config = |(name, value): &(&str, &str)| {
        CreatableTopicConfig::default().with_name(text(name)).with_value(Some(text(value)))
    };
    pairs.iter().map(config).collect()
}

impl Quorum {
    /// Starts creating the topics that nobody else is creating, and returns at once. Must be called on a runtime.
    pub fn auto_create<'a>(&self, names: impl Iterator<Item = &'a str>) {
        let auto = &self.shared.auto_create;
        let topics: Vec<_> = names
            .filter(|name| check_topic_name(name).is_ok() && auto.claim(name))
            .map(|name| self.topic_to_create(name))
            .collect();
        if topics.is_empty() {
            return;
        }
        tokio::spawn(self.create_claimed(topics));
    }

    /// Creates a topic that a coordinator needs and returns when this broker is ready for it; does nothing if it
    /// exists or another request is creating it.
    pub async fn ensure_topic(&self, name: &str) -> Result<(), Refusal> {
        if self.newest_image().topic(name).is_some() || !self.shared.auto_create.claim(name) {
            return Ok(());
        }
        let topic = self.topic_to_create(name);
        // In a task of its own, so that the name is released even if whoever waits here goes away.
        let created = tokio::spawn(self.create_claimed(vec![topic]));
        created.await.unwrap_or_else(|_| Err(Refusal::bare(ResponseError::UnknownServerError)))
    }

    fn topic_to_create(&self, name: &str) -> CreatableTopic {
        let brokers = self.newest_image().brokers.len();
        self.shared.auto_create.topic(name, brokers)
    }

    /// Creates topics whose names are claimed; tells the first refusal.
    fn create_claimed(
        &self,
        topics: Vec<CreatableTopic>,
    ) -> impl Future<Output = Result<(), Refusal>> + Send + 'static {
        let quorum = self.clone();
        let names: Vec<String> = topics.iter().map(|topic| topic.name.to_string()).collect();
        let created = self.create_topics(CreateTopicsRequest::default().with_topics(topics));
        async move {
            let created = created.await;
            quorum.shared.auto_create.release(names.iter().map(String::as_str));
            let results = created
                .inspect_err(|refusal| warn!(topics = ?names, error = %refusal, "topics not created"))?;
            results.iter().map(outcome).fold(Ok(()), Result::and)
        }
    }
}

fn outcome(result: &CreatableTopicResult) -> Result<(), Refusal> {
    let name = result.name.as_str();
    match ResponseError::try_from_code(result.error_code) {
        None => {
            info!(topic = name, "topic created because it was asked for");
            Ok(())
        }
        // Somebody else was faster.
        Some(ResponseError::TopicAlreadyExists) => Ok(()),
        Some(code) => {
            let message = result.error_message.as_deref().unwrap_or_default();
            warn!(topic = name, code = code.code(), message, "topic not created");
            Err(Refusal::new(code, message))
        }
    }
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}
