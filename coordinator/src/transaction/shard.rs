//! The machine: all transactional ids of one partition of `__transaction_state`.
//!
//! Must never change what is durable outside `apply`.

use std::collections::BTreeMap;

use kafka_protocol::error::ResponseError;
use milena_storage::ids::{ProducerEpoch, ProducerId, Timestamp};

use super::record::{self, Change, Transaction};
use super::stock::Stock;
use super::{
    Input, MarkerOrder, Name, Output, Reply, Request, State, TimerKey, TransactionConfig, TransactionVersion,
    add, admin, end, expire, init,
};
use crate::group::records::WireError;

#[derive(Debug)]
pub struct TransactionShard {
    pub(super) config: TransactionConfig,
    pub(super) entries: BTreeMap<Name, Entry>,
    pub(super) stock: Stock,
    /// Entries in the state `Ongoing`.
    ongoing: usize,
    live: bool,
    abort_set: bool,
    expiry_set: bool,
}

/// A transactional id.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) durable: Transaction,
    /// The epoch that a producer may still name when it repeats a request that has been carried out. Not in the log,
    /// so such a repetition fails after the coordinator has moved, as in Kafka.
    pub(super) last_epoch: ProducerEpoch,
}

/// One step in progress.
pub(super) struct Turn {
    pub(super) now: Timestamp,
    /// The cluster's level of `transaction.version`.
    pub(super) version: TransactionVersion,
    pub(super) out: Output,
}

/// Kafka's "no epoch".
pub(super) const NO_EPOCH: ProducerEpoch = ProducerEpoch(-1);

impl TransactionShard {
    /// An empty shard that is loading: feed it with `apply`, then with `Input::Loaded`.
    #[must_use]
    pub fn new(config: TransactionConfig) -> Self {
        Self {
            config,
            entries: BTreeMap::new(),
            stock: Stock::default(),
            ongoing: 0,
            live: false,
            abort_set: false,
            expiry_set: false,
        }
    }

    /// Decides. The records of the output have to be appended as one batch and fed to `apply` before the next step;
    /// if they are refused, the shard has to be thrown away and loaded anew.
    ///
    /// `version` is the cluster's finalized level of `transaction.version`.
    #[must_use]
    pub fn step(&mut self, now: Timestamp, version: TransactionVersion, input: Input) -> Output {
        let mut turn = Turn { now, version, out: Output::default() };
        match input {
            Input::Request(ticket, request) => {
                let reply = self.request(&mut turn, request);
                turn.out.replies.push((ticket, reply));
            }
            Input::Timer(TimerKey::AbortTimedOut) => {
                self.abort_set = false;
                expire::abort_timed_out(self, &mut turn);
            }
            Input::Timer(TimerKey::ExpireIds) => {
                self.expiry_set = false;
                expire::expire_ids(self, &mut turn);
            }
            Input::Marked(order) => end::complete(self, &mut turn, &order),
            Input::ProducerId(id) => self.stock.add(id),
            Input::Loaded => {
                self.live = true;
                turn.out.orders = self.unfinished();
            }
        }
        self.arm(&mut turn);
        turn.out
    }

    /// Takes over one record of the log.
    ///
    /// # Errors
    /// If a record of a known type is damaged; nothing has changed then.
    pub fn apply(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), WireError> {
        let Change::Transaction(id, transaction) = record::decode(key, value)? else { return Ok(()) };
        let before = self.entries.get(&*id).map(|entry| entry.durable.state);
        self.ongoing -= usize::from(before == Some(State::Ongoing));
        let Some(durable) = transaction else {
            self.entries.remove(&*id);
            return Ok(());
        };
        self.ongoing += usize::from(durable.state == State::Ongoing);
        match self.entries.get_mut(&*id) {
            Some(entry) => entry.durable = durable,
            None => {
                self.entries.insert(id.into(), Entry { durable, last_epoch: NO_EPOCH });
            }
        }
        Ok(())
    }

    fn request(&mut self, turn: &mut Turn, request: Request) -> Reply {
        match request {
            Request::Init(request) => Reply::Init(init::init(self, turn, &request)),
            Request::AddPartitions(request) => Reply::AddPartitions(add::add(self, turn, request)),
            Request::VerifyPartitions(request) => Reply::VerifyPartitions(add::verify(self, &request)),
            Request::End(request) => Reply::End(end::end(self, turn, &request)),
            Request::List(filter) => Reply::List(admin::list(self, turn.now, &filter)),
            Request::Describe(id) => Reply::Describe(admin::describe(self, &id)),
        }
    }

    /// Transactions that were decided by whoever led this partition before.
    fn unfinished(&self) -> Vec<MarkerOrder> {
        let prepared = self.entries.iter().filter(|(_, entry)| entry.durable.state.is_prepared());
        prepared.map(|(id, entry)| entry.durable.order(id)).collect()
    }

    /// No deadline while there is nothing to look at.
    fn arm(&mut self, turn: &mut Turn) {
        let written = !turn.out.records.is_empty();
        if self.live && !self.abort_set && (self.ongoing > 0 || written) {
            self.abort_set = true;
            turn.set_timer(TimerKey::AbortTimedOut, self.config.abort_interval_ms);
        }
        if self.live && !self.expiry_set && (!self.entries.is_empty() || written) {
            self.expiry_set = true;
            turn.set_timer(TimerKey::ExpireIds, self.config.expiry_interval_ms);
        }
    }
}

impl Turn {
    /// Writes the new value of an id.
    ///
    /// # Errors
    /// UNKNOWN_SERVER_ERROR for an id that is too long for a record, as Kafka's serializer makes of it.
    pub(super) fn write(&mut self, id: &str, transaction: &Transaction) -> Result<(), ResponseError> {
        self.out.records.push(transaction.record(id, self.version)?);
        Ok(())
    }

    fn set_timer(&mut self, key: TimerKey, delay_ms: i64) {
        let at = self.now.0.saturating_add(delay_ms.max(1));
        self.out.timers.push((key, Some(Timestamp(at))));
    }
}

impl Transaction {
    /// The start of every change: the new state, and the memory of whose id it was (`prepareTransitionTo`).
    pub(super) fn moved_to(&self, state: State) -> Self {
        Self { state, previous_producer_id: self.producer_id, ..self.clone() }
    }

    /// Whether the producer's epochs are used up: the highest is kept for fencing it
    /// (`TransactionMetadata.isEpochExhausted`).
    pub(super) fn is_exhausted(&self) -> bool {
        exhausted(self.epoch)
    }

    /// The producer that goes on once the transaction is complete (`prepareComplete`).
    pub(super) fn successor(&self) -> (ProducerId, ProducerEpoch) {
        if self.client_version.supports_epoch_bump() && self.next_producer_id != ProducerId::NONE {
            (self.next_producer_id, ProducerEpoch(0))
        } else {
            (self.producer_id, self.epoch)
        }
    }

    pub(super) fn order(&self, id: &Name) -> MarkerOrder {
        MarkerOrder {
            id: id.clone(),
            producer_id: self.producer_id,
            epoch: self.epoch,
            commit: self.state == State::PrepareCommit,
            partitions: self.partitions.clone(),
            version: self.client_version,
        }
    }
}

pub(super) fn exhausted(epoch: ProducerEpoch) -> bool {
    epoch.0 >= i16::MAX - 1
}
