//! Records on their way: gathered by partition, sent to its leader, and sent again where that may help.
//!
//! Must never write a record twice while the broker keeps count (`enable.idempotence`).

use std::collections::BTreeMap;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{InitProducerIdRequest, ProduceRequest, ProducerId as WireProducerId};
use milena_storage::batch::{BatchBuilder, Record};
use milena_storage::compress::Codec;
use milena_storage::ids::{ProducerEpoch, ProducerId, Timestamp};
use uuid::Uuid;

use super::reader::Message;
use crate::tools::client::{At, Client, Properties, Refused, topic_name, wrong};
use crate::tools::console::Console;

/// `max.request.size`, where nobody said otherwise.
const REQUEST_BYTES_MAX: usize = 1 << 20;

#[derive(Default)]
struct Pending {
    messages: Vec<(Message, Timestamp)>,
    bytes: usize,
    /// The sequence number of the next record that is sent.
    sequence: i32,
}

pub(super) struct Sender {
    client: Client,
    topic: String,
    acks: i16,
    codec: Codec,
    batch_bytes: usize,
    request_bytes: usize,
    retries: u32,
    max_block_ms: i64,
    is_idempotent: bool,
    producer: Option<(ProducerId, ProducerEpoch)>,
    /// By partition; none before the topic is known.
    leaders: BTreeMap<i32, i32>,
    pending: BTreeMap<i32, Pending>,
    /// Where records without a key go until a batch is full.
    sticky: Option<i32>,
}

impl Sender {
    pub(super) fn new(client: Client, topic: &str, properties: &Properties) -> Result<Self, Refused> {
        let acks = match properties.get("acks").unwrap_or("all").trim() {
            "all" | "-1" => -1,
            "1" => 1,
            "0" => 0,
            other => {
                let known = "String must be one of: all, -1, 0, 1";
                return Err(wrong(format!("Invalid value {other} for configuration acks: {known}")));
            }
        };
        let codec = match properties.get("compression.type").unwrap_or("none") {
            "none" => Codec::None,
            "gzip" => Codec::Gzip,
            "snappy" => Codec::Snappy,
            "lz4" => Codec::Lz4,
            "zstd" => Codec::Zstd,
            other => {
                return Err(wrong(format!(
                    "Invalid value {other} for configuration compression.type: Unknown compression name: {other}"
                )));
            }
        };
        let retries = properties.number("retries", 3_u32)?;
        let wants =
            properties.get("enable.idempotence").is_none_or(|text| text.trim().eq_ignore_ascii_case("true"));
        Ok(Self {
            client,
            topic: topic.to_owned(),
            acks,
            codec,
            batch_bytes: properties.number("batch.size", 16_384_u32)? as usize,
            request_bytes: properties.number("max.request.size", REQUEST_BYTES_MAX as u32)? as usize,
            retries,
            max_block_ms: properties.number("max.block.ms", 60_000_i64)?,
            is_idempotent: wants && acks == -1 && retries > 0,
            producer: None,
            leaders: BTreeMap::new(),
            pending: BTreeMap::new(),
            sticky: None,
        })
    }

    /// Takes a record up.
    pub(super) fn take(&mut self, message: Message) -> Result<(), Refused> {
        if self.leaders.is_empty() {
            self.find_leaders()?;
        }
        let timestamp = Timestamp(self.client.now_ms());
        let size = size_of(&message);
        if size > self.request_bytes {
            let told = "which is the value of the max.request.size configuration.";
            let message = format!(
                "The message is {size} bytes when serialized which is larger than {}, {told}",
                self.request_bytes
            );
            return Err(Refused::own("org.apache.kafka.common.errors.RecordTooLargeException", message));
        }
        let partition = self.partition_of(&message);
        let pending = self.pending.entry(partition).or_default();
        pending.bytes += size;
        pending.messages.push((message, timestamp));
        Ok(())
    }

    /// Whether something has to be sent before more is taken.
    pub(super) fn is_full(&self) -> bool {
        self.pending.values().any(|pending| pending.bytes >= self.batch_bytes)
    }

    /// Sends all that is there; what fails is told.
    pub(super) fn flush(&mut self, console: &mut Console) {
        if let Err(refused) = self.flush_strictly() {
            self.tell(&refused, console);
        }
    }

    /// As `ErrorLoggingCallback`.
    pub(super) fn tell(&self, refused: &Refused, console: &mut Console) {
        console.complain(format_args!(
            "ERROR Error when sending message to topic {} with error:\n{refused}",
            self.topic
        ));
    }

    /// Sends all that is there; gives the last error.
    pub(super) fn flush_strictly(&mut self) -> Result<(), Refused> {
        self.sticky = None;
        let partitions: Vec<i32> = self.pending.keys().copied().collect();
        let mut done = Ok(());
        for partition in partitions {
            let pending = self.pending.entry(partition).or_default();
            pending.bytes = 0;
            let messages = std::mem::take(&mut pending.messages);
            if !messages.is_empty() {
                done = self.send(partition, &messages).and(done);
            }
        }
        done
    }

    fn find_leaders(&mut self) -> Result<(), Refused> {
        let deadline = self.client.steady_ms().saturating_add(self.max_block_ms);
        loop {
            let topic = self.topic.clone();
            let found = self.client.metadata(Some(&[&topic]), true)?;
            let refused = found.first().and_then(|topic| Refused::of(topic.error_code, None));
            let led = found.iter().flat_map(|topic| &topic.partitions);
            self.leaders = led.map(|led| (led.partition_index, led.leader_id.0)).collect();
            match refused {
                None if !self.leaders.is_empty() => return Ok(()),
                Some(refused) if !refused.error.is_some_and(|error| error.is_retriable()) => {
                    let invalid = format!("Invalid topics: [{topic}]");
                    let is_invalid = refused.is(ResponseError::InvalidTopicException);
                    return Err(if is_invalid { refused.saying(invalid) } else { refused });
                }
                _ => {}
            }
            if !self.client.has_another(deadline) {
                let limit = self.max_block_ms;
                return Err(Refused::timeout(format!(
                    "Topic {topic} not present in metadata after {limit} ms."
                )));
            }
        }
    }

    /// By the key's hash, or the same for a while (`BuiltInPartitioner`).
    fn partition_of(&mut self, message: &Message) -> i32 {
        let partitions: Vec<i32> = match message.key {
            Some(_) => self.leaders.keys().copied().collect(),
            None => {
                self.leaders.iter().filter(|(_, leader)| **leader >= 0).map(|(index, _)| *index).collect()
            }
        };
        let count = partitions.len().max(1);
        match (&message.key, self.sticky) {
            (Some(key), _) => partitions.get(murmur2(key.as_bytes()) as usize % count).copied().unwrap_or(0),
            (None, Some(partition)) => partition,
            (None, None) => {
                let drawn = Uuid::new_v4().as_u128() % count as u128;
                let chosen = partitions.get(usize::try_from(drawn).unwrap_or(0)).copied().unwrap_or(0);
                self.sticky = Some(chosen);
                chosen
            }
        }
    }

    /// Sends records of one partition as one batch, or one by one if the broker finds that too large.
    fn send(&mut self, partition: i32, messages: &[(Message, Timestamp)]) -> Result<(), Refused> {
        let mut done = Ok(());
        match self.send_batch(partition, messages) {
            Err(refused) if refused.is(ResponseError::MessageTooLarge) && messages.len() > 1 => {
                for message in messages {
                    done = self.send_batch(partition, std::slice::from_ref(message)).and(done);
                }
                done
            }
            other => other,
        }
    }

    fn send_batch(&mut self, partition: i32, messages: &[(Message, Timestamp)]) -> Result<(), Refused> {
        if self.is_idempotent && self.producer.is_none() {
            let request = InitProducerIdRequest::default()
                .with_transactional_id(None)
                .with_transaction_timeout_ms(i32::MAX)
                .with_producer_id(WireProducerId(-1))
                .with_producer_epoch(-1);
            let answer = self.client.call(At::Any, "initProducerId", |_| request.clone())?;
            Refused::check(answer.error_code, None)?;
            self.producer = Some((ProducerId(answer.producer_id.0), ProducerEpoch(answer.producer_epoch)));
        }
        let sequence = self.pending.entry(partition).or_default().sequence;
        let count = i32::try_from(messages.len()).unwrap_or(i32::MAX);
        let records = self.batch(messages, sequence);
        let mut attempt = 0;
        loop {
            let refused = match self.attempt(partition, &records) {
                Ok(()) => break,
                Err(refused) if refused.is(ResponseError::DuplicateSequenceNumber) => break,
                Err(refused) => refused,
            };
            attempt += 1;
            let may_pass = refused.error.is_none_or(|error| error.is_retriable());
            let deadline = self.client.deadline();
            if !may_pass || attempt > self.retries || !self.client.has_another(deadline) {
                return Err(refused);
            }
            self.find_leaders()?;
        }
        let pending = self.pending.entry(partition).or_default();
        pending.sequence = milena_storage::batch::advance_sequence(sequence, count);
        Ok(())
    }

    fn batch(&self, messages: &[(Message, Timestamp)], sequence: i32) -> bytes::Bytes {
        let mut builder = BatchBuilder::new();
        if let Some((id, epoch)) = self.producer {
            builder = builder.producer(id, epoch, sequence);
        }
        for (message, timestamp) in messages {
            let headers: Vec<(&[u8], Option<&[u8]>)> = message
                .headers
                .iter()
                .map(|(key, value)| (key.as_bytes(), value.as_ref().map(String::as_bytes)))
                .collect();
            builder.push(Record {
                timestamp: *timestamp,
                key: message.key.as_ref().map(String::as_bytes),
                value: message.value.as_ref().map(String::as_bytes),
                headers: &headers,
            });
        }
        builder.finish(self.codec, None)
    }

    fn attempt(&mut self, partition: i32, records: &bytes::Bytes) -> Result<(), Refused> {
        let leader = self.leaders.get(&partition).copied().filter(|leader| *leader >= 0);
        let Some(leader) = leader else {
            return Refused::check(ResponseError::LeaderNotAvailable.code(), None);
        };
        let data = PartitionProduceData::default().with_index(partition).with_records(Some(records.clone()));
        let topic =
            TopicProduceData::default().with_name(topic_name(&self.topic)).with_partition_data(vec![data]);
        let timeout = self.client.timeout_ms();
        let request = ProduceRequest::default()
            .with_transactional_id(None)
            .with_acks(self.acks)
            .with_timeout_ms(timeout)
            .with_topic_data(vec![topic]);
        if self.acks == 0 {
            return self.client.send(At::Node(leader), |_| request.clone());
        }
        let limit = self.client.request_timeout();
        let answer = self.client.try_call(At::Node(leader), |_| request.clone(), limit)?;
        for topic in answer.responses {
            for partition in topic.partition_responses {
                Refused::check(partition.error_code, partition.error_message.as_deref())?;
            }
        }
        Ok(())
    }
}

/// What a record takes in a request, at most (`AbstractRecords.estimateSizeInBytesUpperBound`).
fn size_of(message: &Message) -> usize {
    let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let headers: Vec<(&[u8], Option<&[u8]>)> = message
        .headers
        .iter()
        .map(|(key, value)| (key.as_bytes(), value.as_ref().map(String::as_bytes)))
        .collect();
    debug_assert!(text(&message.key) + text(&message.value) < usize::MAX / 2, "it was read into memory");
    let record = Record {
        timestamp: Timestamp(0),
        key: message.key.as_ref().map(String::as_bytes),
        value: message.value.as_ref().map(String::as_bytes),
        headers: &headers,
    };
    BatchBuilder::new().size() + BatchBuilder::size_of(&record)
}

/// Kafka's hash of keys (`Utils.murmur2`), without its sign.
fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let length = u32::try_from(data.len()).expect("a key below 4 GiB");
    let mut hash = 0x9747_b28c ^ length;
    let mut chunks = data.chunks_exact(4);
    for chunk in &mut chunks {
        let mut k = u32::from_le_bytes([chunk[0], chunk[1], chunk[2], chunk[3]]).wrapping_mul(M);
        k = (k ^ (k >> 24)).wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ k;
    }
    let rest = chunks.remainder();
    for (index, byte) in rest.iter().enumerate() {
        hash ^= u32::from(*byte) << (8 * index);
    }
    if !rest.is_empty() {
        hash = hash.wrapping_mul(M);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(M);
    (hash ^ (hash >> 15)) & 0x7fff_ffff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_the_hashes_of_kafkas_clients() {
        // From `UtilsTest.testMurmur2`, without their signs.
        let cases: [(&str, i32); 4] = [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("abc", 479_470_107),
        ];
        for (text, hash) in cases {
            assert_eq!(murmur2(text.as_bytes()), hash.cast_unsigned() & 0x7fff_ffff, "{text}");
        }
    }
}
