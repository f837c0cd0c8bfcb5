//! Makes the topics that the settings ask for, with their first records, before the broker says that it is ready.
//!
//! It must never touch a topic that is there, nor leave an item out: one that cannot be made stops the start.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::create_topics_response::CreatableTopicResult;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{CreateTopicsRequest, ProduceRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use milena_coordinator::controller::Refusal;
use milena_storage::batch::{BatchBuilder, Record};
use milena_storage::compress::Codec;
use milena_storage::ids::{BrokerId, PartitionIndex, Timestamp};
use thiserror::Error;

use crate::replication::pool::PeerPool;
use crate::settings::start_topics::{StartRecord, StartTopic};
use crate::state::BrokerState;

/// How long a cluster may take to have enough brokers and leaders for a topic; a broker that is alone does not wait.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long until what was refused for lack of brokers is asked for again.
const RETRY: Duration = Duration::from_millis(200);
/// The last version of Produce with topics' names.
const PRODUCE_VERSION: i16 = 12;
const PRODUCE_TIMEOUT_MS: i32 = 30_000;

/// An item that could not be made.
#[derive(Debug, Error)]
#[error("start-up topic '{topic}': {what}")]
pub struct StartTopicError {
    topic: String,
    what: String,
}

/// Returns when every topic is there and its records are committed.
pub async fn make(state: &Arc<BrokerState>) -> Result<(), StartTopicError> {
    let topics = state.settings.load().start_topics();
    let alone = state.settings.load().is_single_node();
    for topic in &topics {
        let fault = |what: String| StartTopicError { topic: topic.name.clone(), what };
        let made = patiently(alone, || create(state, topic)).await.map_err(fault)?;
        if made {
            seed(state, topic).await.map_err(fault)?;
        }
    }
    Ok(())
}

/// Asks until the answer is one, or the time is over in which a cluster may come together.
async fn patiently<T, F>(alone: bool, ask: impl Fn() -> F) -> Result<T, String>
where
    F: Future<Output = Result<T, (ResponseError, String)>>,
{
    let asking = async {
        loop {
            match ask().await {
                Err((code, _)) if !alone && may_pass(code) => tokio::time::sleep(RETRY).await,
                other => break other.map_err(|(_, what)| what),
            }
        }
    };
    match tokio::time::timeout(PATIENCE, asking).await {
        Ok(answer) => answer,
        Err(_) => ask().await.map_err(|(_, what)| what),
    }
}

/// Whether a refusal may only mean that the others have not started yet.
fn may_pass(code: ResponseError) -> bool {
    matches!(code, ResponseError::InvalidReplicationFactor) || code.is_retriable()
}

/// True if the topic was made, false if it was there.
async fn create(state: &BrokerState, topic: &StartTopic) -> Result<bool, (ResponseError, String)> {
    let refused = |refusal: Refusal| (refusal.code, refusal.to_string());
    let request = CreateTopicsRequest::default().with_topics(vec![creatable(topic)]);
    let results = state.quorum().map_err(refused)?.create_topics(request).await.map_err(refused)?;
    results.first().map_or(Ok(false), outcome)
}

fn creatable(topic: &StartTopic) -> CreatableTopic {
    let text = |text: &String| StrBytes::from_string(text.clone());
    let configs = topic.configs.iter();
    let config =
        |(name, value)| CreatableTopicConfig::default().with_name(text(name)).with_value(Some(text(value)));
    CreatableTopic::default()
        .with_name(TopicName(text(&topic.name)))
        .with_num_partitions(topic.partitions.unwrap_or(-1))
        .with_replication_factor(topic.replication_factor.unwrap_or(-1))
        .with_configs(configs.map(config).collect())
}

fn outcome(result: &CreatableTopicResult) -> Result<bool, (ResponseError, String)> {
    match ResponseError::try_from_code(result.error_code) {
        None => Ok(true),
        Some(ResponseError::TopicAlreadyExists) => Ok(false),
        Some(code) => {
            let message = result.error_message.as_deref().unwrap_or_default();
            Err((code, format!("{code}: {message}")))
        }
    }
}

/// Writes the records of a new topic, a batch for each partition, through the leaders' listeners as any producer would.
async fn seed(state: &BrokerState, topic: &StartTopic) -> Result<(), String> {
    let mut partitions: Vec<i32> = topic.records.iter().map(|record| record.partition).collect();
    partitions.sort_unstable();
    partitions.dedup();
    let peers = PeerPool::new(state.id, state.image.clone(), state.settings.clone());
    for partition in partitions {
        let of_it = topic.records.iter().filter(|record| record.partition == partition);
        let batch = batch(of_it, state.clock.now());
        let leader = leader(state, &topic.name, partition)
            .ok_or_else(|| format!("partition {partition} of its records is not there"))?;
        write(&peers, leader, (&topic.name, partition), batch).await?;
    }
    Ok(())
}

fn leader(state: &BrokerState, topic: &str, partition: i32) -> Option<BrokerId> {
    state.image.load().partition(topic, PartitionIndex(partition))?.leader
}

fn batch<'a>(records: impl Iterator<Item = &'a StartRecord>, now: Timestamp) -> Bytes {
    let mut batch = BatchBuilder::new();
    for record in records {
        let headers: Vec<(&[u8], Option<&[u8]>)> =
            record.headers.iter().map(|(name, value)| (name.as_bytes(), Some(value.as_bytes()))).collect();
        batch.push(Record {
            timestamp: now,
            key: record.key.as_deref().map(str::as_bytes),
            value: record.value.as_deref().map(str::as_bytes),
            headers: &headers,
        });
    }
    batch.finish(Codec::None, None)
}

async fn write(
    peers: &PeerPool,
    leader: BrokerId,
    (topic, partition): (&str, i32),
    batch: Bytes,
) -> Result<(), String> {
    let data = PartitionProduceData::default().with_index(partition).with_records(Some(batch));
    let topic = TopicProduceData::default()
        .with_name(TopicName(StrBytes::from_string(topic.to_owned())))
        .with_partition_data(vec![data]);
    let request = ProduceRequest::default()
        .with_acks(-1)
        .with_timeout_ms(PRODUCE_TIMEOUT_MS)
        .with_topic_data(vec![topic]);
    let answer = peers.ask(leader, PRODUCE_VERSION, &request).await.map_err(|error| error.to_string())?;
    let answers = answer.responses.iter().flat_map(|topic| &topic.partition_responses);
    match answers.filter_map(|partition| ResponseError::try_from_code(partition.error_code)).next() {
        Some(code) => Err(format!("its records for partition {partition} were refused: {code}")),
        None => Ok(()),
    }
}
