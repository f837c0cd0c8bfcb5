//! An idempotent producer with acks=all: sends each batch until it is acknowledged, or dies in the middle and starts anew.
//!
//! Must never send a batch again with other bytes or another sequence.

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{InitProducerIdRequest, ProduceRequest};
use milena_storage::batch::{BatchBuilder, Record};
use milena_storage::compress::Codec;
use milena_storage::ids::{ProducerEpoch, ProducerId, Timestamp};

use super::client::{Client, topic_name};
use super::history::{At, Fate};
use super::judge;
use super::shared::Phase;
use super::{PARTITIONS, TOPIC};

pub(super) struct Producer {
    client: Client,
    /// Grows with each life.
    life: usize,
    id: Option<(i64, i16)>,
    sequences: [i32; PARTITIONS as usize],
    count: usize,
}

/// What came back.
enum Told {
    Acked(Option<i64>),
    Again,
    /// The broker does not know what it has acknowledged.
    Fault(String),
}

impl Producer {
    pub(super) fn new(client: Client) -> Self {
        Self { client, life: 0, id: None, sequences: [0; PARTITIONS as usize], count: 0 }
    }

    pub(super) async fn run(mut self) {
        while self.client.shared.phase() < Phase::End {
            if self.id.is_none() {
                self.begin().await;
                continue;
            }
            let partition = self.client.dice.roll(PARTITIONS as usize);
            self.send(partition).await;
            self.client.idle(1, 60).await;
            if self.client.dice.percent(1) {
                self.die();
            }
        }
    }

    /// As a process that ends and another that begins.
    fn die(&mut self) {
        self.id = None;
        self.life += 1;
        self.sequences = [0; PARTITIONS as usize];
    }

    async fn begin(&mut self) {
        let broker = self.client.any_broker();
        let request = InitProducerIdRequest::default()
            .with_transactional_id(None)
            .with_transaction_timeout_ms(60_000)
            .with_producer_id((-1).into())
            .with_producer_epoch(-1);
        match self.client.ask(broker, 4, &request).await {
            Some(answer) if answer.error_code == 0 => {
                self.id = Some((answer.producer_id.0, answer.producer_epoch));
                let (name, life, id) = (&self.client.name, self.life, answer.producer_id.0);
                self.client.shared.note(|| format!("{name}.{life} is producer {id}"));
            }
            _ => self.client.pause().await,
        }
    }

    async fn send(&mut self, partition: usize) {
        let at: At = (TOPIC, i32::try_from(partition).expect("a few partitions"));
        let count = 1 + self.client.dice.roll(3);
        let values: Vec<String> =
            (0..count).map(|n| format!("{}.{}-{}", self.client.name, self.life, self.count + n)).collect();
        self.count += count;
        let (id, epoch) = self.id.expect("it has begun");
        let sequence = self.sequences[partition];
        let mut batch = BatchBuilder::new().producer(ProducerId(id), ProducerEpoch(epoch), sequence);
        let now = turmoil::since_epoch().unwrap_or_default().as_millis();
        let timestamp = Timestamp(i64::try_from(now).expect("not so far"));
        for value in &values {
            batch.push(Record { timestamp, value: Some(value.as_bytes()), ..Record::default() });
        }
        let batch = batch.finish(Codec::None, None);
        self.client.shared.history(|history| {
            for value in &values {
                history.sent.insert((at, value.clone()), Fate::Unknown);
            }
        });
        // A process may die before it has an answer.
        let tries = if self.client.dice.percent(2) { 1 } else { usize::MAX };
        for _ in 0..tries {
            match self.try_once(at, &batch).await {
                Told::Acked(base) => return self.acked(at, &values, base),
                Told::Fault(fault) => {
                    let name = &self.client.name;
                    self.client.shared.fault(format!("{name} {at:?} {values:?}: {fault}"));
                    return self.die();
                }
                Told::Again if self.client.shared.phase() == Phase::End => return,
                Told::Again => self.client.pause().await,
            }
        }
        self.die();
    }

    fn acked(&mut self, at: At, values: &[String], base: Option<i64>) {
        let partition = usize::try_from(at.1).expect("an index");
        self.sequences[partition] += i32::try_from(values.len()).expect("a few");
        self.client.shared.note(|| format!("acked {at:?} {values:?} at {base:?}"));
        self.client.shared.history(|history| {
            history.count("acked");
            for (value, n) in values.iter().zip(0..) {
                let offset = base.map(|base| base + n);
                history.sent.insert((at, value.clone()), Fate::Acked(offset));
            }
        });
        self.client.progressed();
    }

    async fn try_once(&mut self, at: At, batch: &Bytes) -> Told {
        let Some((leader, _)) = self.client.leader(at).await else { return Told::Again };
        let data = PartitionProduceData::default().with_index(at.1).with_records(Some(batch.clone()));
        let topic = TopicProduceData::default().with_name(topic_name(at.0)).with_partition_data(vec![data]);
        let request =
            ProduceRequest::default().with_acks(-1).with_timeout_ms(2_000).with_topic_data(vec![topic]);
        let Some(answer) = self.client.ask(leader, 11, &request).await else {
            self.client.forget(at);
            return Told::Again;
        };
        let Some(told) = answer.responses.first().and_then(|topic| topic.partition_responses.first()) else {
            return Told::Fault("nothing of the partition in the answer".to_owned());
        };
        match ResponseError::try_from_code(told.error_code) {
            None => Told::Acked(Some(told.base_offset)),
            Some(ResponseError::DuplicateSequenceNumber) => Told::Acked(None),
            Some(error) if error.is_retriable() => {
                self.client.forget(at);
                Told::Again
            }
            Some(_) if !judge::leads(&self.client.shared, at, leader) => {
                self.client.forget(at);
                Told::Again
            }
            Some(error) => Told::Fault(format!("b{leader} says {error:?}")),
        }
    }
}
