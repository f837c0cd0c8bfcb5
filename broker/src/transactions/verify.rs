//! Asks the coordinator whether partitions are in a transaction, before they take its first batch (KIP-890).
//!
//! Must never let a batch begin a transaction that the coordinator does not know of: nobody would ever end it.
//!
//! Kafka: `ReplicaManager.maybeSendPartitionsToTransactionCoordinator`, `AddPartitionsToTxnManager`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kafka_protocol::error::ResponseError;
use milena_coordinator::transaction::{Name, Partitions, Reply, Request, TransactionVersion};
use milena_storage::batch::{BatchBuilder, Header, Record};
use milena_storage::compress::Codec;
use milena_storage::ids::{ProducerEpoch, ProducerId, TopicPartition};
use milena_storage::log::Guard;

use super::elsewhere;
use crate::api::{Cx, Outcome};
use crate::partition::Partition;
use crate::shard::Asked;

/// Who writes within a transaction.
#[derive(Clone, Debug)]
pub struct Client {
    pub id: Name,
    pub producer_id: ProducerId,
    pub epoch: ProducerEpoch,
    /// Its partitions are added to the transaction here, not by a request of its own.
    pub adds: bool,
    /// It understands TRANSACTION_ABORTABLE (KIP-890); older clients get INVALID_TXN_STATE.
    pub knows_abortable: bool,
}

/// What the coordinator says, or will say, of some partitions.
pub type Verdicts = BTreeMap<TopicPartition, ResponseError>;

/// The guard for one partition, and the coordinator's answer.
pub struct Verification {
    guard: Option<Guard>,
    asked: Option<Asked<Verdicts>>,
    at: TopicPartition,
}

impl Verification {
    /// For the offsets of a group.
    #[must_use]
    pub fn of_offsets(cx: &Cx<'_>, client: &Client, partition: Arc<Partition>) -> Self {
        let at = partition.name.clone();
        if !is_asked_for(cx) {
            return Self { guard: None, asked: None, at };
        }
        let header = first_batch(client);
        match partition.begin_verification(&header, client.adds, cx.now) {
            // Whoever leads the partition now will ask.
            Err(_) => Self { guard: None, asked: None, at },
            Ok(Guard::NOT_ASKED) => Self { guard: Some(Guard::NOT_ASKED), asked: None, at },
            Ok(guard) => {
                let asked = ask(cx, client, [at.clone()].into());
                Self { guard: Some(guard), asked: Some(asked), at }
            }
        }
    }

    /// Goes on with the guard, or with the refusal.
    pub fn then<R: Send + 'static>(
        self,
        go_on: impl FnOnce(Result<Option<Guard>, ResponseError>) -> Outcome<R> + Send + 'static,
    ) -> Outcome<R> {
        let Self { guard, asked, at } = self;
        match asked {
            None => go_on(Ok(guard)),
            Some(Asked::Now(verdicts)) => go_on(verdict(&verdicts, &at).map(|()| guard)),
            Some(Asked::Later(verdicts)) => Outcome::later(async move {
                match go_on(verdict(&verdicts.await, &at).map(|()| guard)) {
                    Outcome::Now(answer) => answer,
                    Outcome::Later(answer) => answer.await,
                    Outcome::Nothing | Outcome::Close => unreachable!("only Produce goes without an answer"),
                }
            }),
        }
    }
}

/// `transaction.partition.verification.enable`
#[must_use]
pub fn is_asked_for(cx: &Cx<'_>) -> bool {
    cx.broker.settings.load().transactions().verify_partitions
}

/// Asks the coordinator of a transaction about some of its partitions; those that are in it have no verdict.
pub fn ask(cx: &Cx<'_>, client: &Client, partitions: BTreeSet<TopicPartition>) -> Asked<Verdicts> {
    let asked = Partitions {
        id: client.id.clone(),
        producer_id: client.producer_id,
        epoch: client.epoch,
        partitions: partitions.clone(),
        client_version: TransactionVersion::V2,
    };
    if let Some(coordinator) = cx.broker.transactions.coordinator_elsewhere(&cx.image, &client.id) {
        let (peers, client) = (cx.broker.transactions.peers.clone(), client.clone());
        return Asked::Later(Box::pin(async move {
            let reply = elsewhere::verify(&peers, coordinator, &client, &partitions).await;
            verdicts(&client, partitions, reply)
        }));
    }
    let request = if client.adds { Request::AddPartitions(asked) } else { Request::VerifyPartitions(asked) };
    match cx.broker.transactions.ask(&cx.image, &client.id, request) {
        Asked::Now(reply) => Asked::Now(verdicts(client, partitions, reply)),
        Asked::Later(reply) => {
            let client = client.clone();
            Asked::Later(Box::pin(async move { verdicts(&client, partitions, reply.await) }))
        }
    }
}

fn verdicts(
    client: &Client,
    partitions: BTreeSet<TopicPartition>,
    reply: Result<Reply, ResponseError>,
) -> Verdicts {
    let seen = |error| as_producer_sees(error, client);
    match reply {
        Err(error) | Ok(Reply::AddPartitions(Err(error))) => {
            partitions.into_iter().map(|partition| (partition, seen(error))).collect()
        }
        Ok(Reply::VerifyPartitions(each)) => {
            let refused = each.into_iter().filter_map(|added| Some((added.partition, added.error?)));
            refused.map(|(partition, error)| (partition, seen(error))).collect()
        }
        Ok(_) => Verdicts::new(),
    }
}

fn verdict(verdicts: &Verdicts, at: &TopicPartition) -> Result<(), ResponseError> {
    verdicts.get(at).map_or(Ok(()), |error| Err(*error))
}

/// The coordinator's answer in the words of the partition's (`AddPartitionsToTxnManager.AddPartitionsToTxnHandler`).
fn as_producer_sees(error: ResponseError, client: &Client) -> ResponseError {
    match error {
        ResponseError::ProducerFenced => ResponseError::InvalidProducerEpoch,
        ResponseError::TransactionAbortable if !client.knows_abortable => ResponseError::InvalidTxnState,
        other => other,
    }
}

/// What Produce answers: a coordinator that is not to be had makes the producer try again, in words that all clients
/// understand so (`ReplicaManager.handleProduceAppend`).
#[must_use]
pub fn as_produce_error(error: ResponseError, client: &Client) -> ResponseError {
    match error {
        ResponseError::CoordinatorLoadInProgress
        | ResponseError::CoordinatorNotAvailable
        | ResponseError::NotCoordinator
        | ResponseError::NetworkException => ResponseError::NotEnoughReplicas,
        ResponseError::ConcurrentTransactions if !client.adds => ResponseError::NotEnoughReplicas,
        other => other,
    }
}

/// The header of the batch that a coordinator is about to write; its sequence is 0.
fn first_batch(client: &Client) -> Header {
    let mut batch = BatchBuilder::new().producer(client.producer_id, client.epoch, 0).transactional();
    batch.push(Record::default());
    Header::parse(&batch.finish(Codec::None, None)).expect("a batch of our own builder")
}
