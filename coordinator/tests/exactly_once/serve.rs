//! How brokers serve what is asked of them.
//!
//! Must never let a batch begin a transaction that the coordinator does not know of.

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use milena_coordinator::transaction::MarkerOrder;
use milena_storage::batch::{BatchBuilder, EndTransaction, Header, Record};
use milena_storage::compress::Codec;
use milena_storage::log::{AppendError, Guard};
use milena_storage::validate::Origin;

use crate::Bug;
use crate::cluster::{Cluster, OFFSETS, STATE, name_of};
use crate::controller::{broker_of, partition};
use crate::hosts::Work;
use crate::letters::{Answer, Letter, Node, Producer, Question, Said};
use crate::replica::Refused;

/// The Produce of a client whose partitions join with its batches, and the last of those before.
const PRODUCE_VERSION: i16 = 12;
const OLDER_PRODUCE_VERSION: i16 = 11;

/// What the coordinator's word is awaited for.
pub(crate) struct Waiting {
    asked: (Node, u64),
    bumps: bool,
    at: usize,
    epoch: i32,
    guard: Guard,
    what: What,
}

enum What {
    Batch(Bytes),
    Offset(Producer, i64),
}

impl Cluster {
    pub(crate) fn deliver(&mut self, broker: usize, letter: Letter) {
        match letter {
            Letter::Ask { from, call, question } => self.ask(broker, (from, call), question),
            Letter::Answer { call, answer } => self.hear(broker, call, answer),
        }
    }

    fn ask(&mut self, broker: usize, asked: (Node, u64), question: Question) {
        let at = match &question {
            Question::Produce { partition, .. } | Question::Mark { partition, .. } => *partition,
            Question::Commit { .. } | Question::Position(_) => OFFSETS,
            Question::Init { .. } | Question::End { .. } | Question::Add { .. } | Question::Join { .. } => {
                STATE
            }
        };
        if !self.leads(broker, at) {
            return self.answer(broker, asked.0, asked.1, Err(ResponseError::NotLeaderOrFollower));
        }
        if self.is_loading(broker, at) {
            return self.answer(broker, asked.0, asked.1, Err(ResponseError::CoordinatorLoadInProgress));
        }
        let now = self.clock(broker);
        match question {
            Question::Produce { of, batch, .. } => {
                let header = Header::parse(&batch).unwrap();
                self.verify(broker, at, asked, &of, &header, What::Batch(batch));
            }
            Question::Commit { of, position } => {
                let header = first_batch(&of);
                self.verify(broker, at, asked, &of.clone(), &header, What::Offset(of, position));
            }
            Question::Mark { order, coordinator_epoch, .. } => {
                self.mark(broker, at, asked, &order, coordinator_epoch);
            }
            Question::Position(id) => {
                let host = self.brokers[broker].groups.as_mut().expect("it leads");
                let wanted = host.join(now, &id);
                self.carry_out(broker, at, wanted, Some(asked));
            }
            Question::Init { .. } | Question::End { .. } | Question::Add { .. } | Question::Join { .. } => {
                self.coordinate(broker, asked, question);
            }
        }
    }

    /// Its log refused what the machine had taken, and it is not loaded anew yet.
    fn is_loading(&self, broker: usize, at: usize) -> bool {
        let broker = &self.brokers[broker];
        (at == OFFSETS && broker.groups.is_none()) || (at == STATE && broker.transactions.is_none())
    }

    fn coordinate(&mut self, broker: usize, asked: (Node, u64), question: Question) {
        let now = self.clock(broker);
        let fresh = self.fresh_producer_id();
        let host = self.brokers[broker].transactions.as_mut().expect("it leads");
        let wanted = match question {
            Question::Init { id, expected } => host.init(now, &id, expected, fresh),
            Question::End { of, commit } => host.end(now, of, commit),
            Question::Add { of, partition } if of.bumps => host.add(now, &of, vec![name_of(partition)]),
            Question::Add { of, partition } => host.verify(now, &of, name_of(partition)),
            Question::Join { of, partitions } => {
                host.add(now, &of, partitions.into_iter().map(name_of).collect())
            }
            _ => return,
        };
        self.carry_out(broker, STATE, wanted, Some(asked));
    }

    /// Asks the coordinator before the first batch of a transaction is taken (KIP-890).
    fn verify(
        &mut self,
        broker: usize,
        at: usize,
        asked: (Node, u64),
        of: &Producer,
        header: &Header,
        what: What,
    ) {
        let now = self.clock(broker);
        let replica = &mut self.brokers[broker].replicas[at];
        let guard = replica.guard(header, of.bumps, now);
        let waiting = Waiting { asked, bumps: of.bumps, at, epoch: replica.epoch, guard, what };
        let never =
            self.bug == Some(Bug::NeverAsks) || (!of.bumps && self.bug == Some(Bug::NeverAsksForOlder));
        if guard == Guard::NOT_ASKED || never {
            return self.take(broker, waiting);
        }
        let call = self.next_call();
        if !of.bumps && at == OFFSETS {
            self.prompt.insert(call);
        }
        self.brokers[broker].verifying.insert(call, waiting);
        let question = Question::Add { of: of.clone(), partition: at };
        self.post(broker, STATE, call, question);
    }

    /// Sends to the leader that the broker knows of; where there is none, nothing is sent and nothing comes.
    fn post(&mut self, broker: usize, at: usize, call: u64, question: Question) {
        let name = partition(&self.brokers[broker].image, at);
        let Some(leader) = name.leader.map(broker_of) else { return };
        let from = Node::Broker(broker);
        self.outbox.push((from, Node::Broker(leader), Letter::Ask { from, call, question }));
    }

    fn hear(&mut self, broker: usize, call: u64, answer: Answer) {
        if let Some(waiting) = self.brokers[broker].verifying.remove(&call) {
            match answer {
                Ok(_) => self.take(broker, waiting),
                Err(error) => {
                    let error = as_producer_sees(error, waiting.bumps);
                    self.answer(broker, waiting.asked.0, waiting.asked.1, Err(error));
                }
            }
            return;
        }
        let Some(host) = &mut self.brokers[broker].transactions else { return };
        let Some(index) = host.works.iter().position(|work| work.calls.contains_key(&call)) else { return };
        let work = &mut host.works[index];
        let at = work.calls.remove(&call).expect("it was found by it");
        match answer {
            Ok(_) => {
                work.left.remove(&at);
            }
            Err(ResponseError::InvalidProducerEpoch | ResponseError::TransactionCoordinatorFenced) => {
                host.works.remove(index);
                return;
            }
            Err(_) => {}
        }
        if work.left.is_empty() {
            let order = host.works.remove(index).order;
            self.marked(broker, order);
        }
    }

    fn marked(&mut self, broker: usize, order: MarkerOrder) {
        let now = self.clock(broker);
        let host = self.brokers[broker].transactions.as_mut().expect("it has the work");
        let wanted = host.marked(now, order);
        self.carry_out(broker, STATE, wanted, None);
    }

    /// Asks for every marker that is missing, whether or not it was asked for before.
    pub(crate) fn go_on_with_markers(&mut self, broker: usize) {
        let coordinator_epoch = self.brokers[broker].replicas[STATE].epoch;
        let Some(mut host) = self.brokers[broker].transactions.take() else { return };
        for work in &mut host.works {
            work.calls.clear();
            for &partition in &work.left {
                let call = self.next_call();
                work.calls.insert(call, partition);
                let order = work.order.clone();
                self.post(broker, partition, call, Question::Mark { order, partition, coordinator_epoch });
            }
        }
        // An abort may have nothing to mark.
        let early = self.bug == Some(Bug::CompletesBeforeTheMarkers);
        let (works, left) =
            std::mem::take(&mut host.works).into_iter().partition(|work| early || work.left.is_empty());
        host.works = left;
        let works: Vec<Work> = works;
        self.brokers[broker].transactions = Some(host);
        works.into_iter().for_each(|work| self.marked(broker, work.order));
    }

    /// Deadlines that have passed, and markers that were not written yet.
    pub(crate) fn wake(&mut self, broker: usize) {
        let now = self.clock(broker);
        self.reload(broker);
        while let Some(wanted) = self.brokers[broker].transactions.as_mut().and_then(|host| host.due(now)) {
            self.carry_out(broker, STATE, wanted, None);
        }
        self.go_on_with_markers(broker);
    }

    /// The coordinator knows of it: the batch is appended, unless a marker came meanwhile or somebody else leads.
    fn take(&mut self, broker: usize, waiting: Waiting) {
        let Waiting { asked, bumps, at, epoch, guard, what } = waiting;
        let replica = &self.brokers[broker].replicas[at];
        if !replica.leads || replica.epoch != epoch {
            return self.answer(broker, asked.0, asked.1, Err(ResponseError::NotLeaderOrFollower));
        }
        if self.is_loading(broker, at) {
            return self.answer(broker, asked.0, asked.1, Err(ResponseError::CoordinatorLoadInProgress));
        }
        let answer = match what {
            What::Batch(batch) => {
                let produce_version = if bumps { PRODUCE_VERSION } else { OLDER_PRODUCE_VERSION };
                self.take_batch(broker, at, Origin::Transaction { produce_version, guard }, batch)
            }
            What::Offset(of, position) => self.take_offset(broker, guard, &of, position),
        };
        match answer {
            Ok(said) => self.park_answer(broker, at, asked, Ok(said)),
            Err(error) => self.answer(broker, asked.0, asked.1, Err(error)),
        }
        self.moved(broker, at);
    }

    fn take_batch(&mut self, broker: usize, at: usize, origin: Origin, batch: Bytes) -> Answer {
        let now = self.clock(broker);
        let taken = self.brokers[broker].replicas[at].append(batch, origin, now);
        self.refused += usize::from(matches!(&taken, Err(Refused::ByLog(AppendError::Storage(_)))));
        match taken {
            Err(Refused::ByLog(AppendError::Storage(_))) if self.bug == Some(Bug::AnswersForAFullDisk) => {
                Ok(Said::Done)
            }
            taken => taken.map(|_| Said::Done).map_err(|refused| code_of(&refused)),
        }
    }

    fn take_offset(&mut self, broker: usize, guard: Guard, of: &Producer, position: i64) -> Answer {
        let now = self.clock(broker);
        let here = &mut self.brokers[broker];
        let host = here.groups.as_mut().expect("it leads");
        let (wanted, records) = host.commit(now, of, position);
        if let Some(batch) = wanted.batch {
            let origin = Origin::CoordinatorTransaction { guard };
            match here.replicas[OFFSETS].append(batch, origin, now).map_err(|refused| code_of(&refused)) {
                Ok(_) => host.committed(of.producer, &records),
                Err(ResponseError::KafkaStorageError | ResponseError::NotEnoughReplicas) => {
                    self.load_anew(broker, OFFSETS, None);
                    return Err(ResponseError::NotLeaderOrFollower);
                }
                Err(error) => return Err(error),
            }
        }
        wanted.answer.expect("it was asked for")
    }

    fn mark(
        &mut self,
        broker: usize,
        at: usize,
        asked: (Node, u64),
        order: &MarkerOrder,
        coordinator_epoch: i32,
    ) {
        let now = self.clock(broker);
        let (key, value) = EndTransaction { commit: order.commit, coordinator_epoch }.encode();
        let mut batch =
            BatchBuilder::new().producer(order.producer_id, order.epoch, -1).transactional().control();
        batch.push(Record { timestamp: now, key: Some(&key), value: Some(&value), headers: &[] });
        let origin = Origin::Marker { transaction_version: order.version.0 };
        let host = &mut self.brokers[broker];
        match host.replicas[at].append(batch.finish(Codec::None, None), origin, now) {
            Ok(_) => {
                if let Some(groups) = host.groups.as_mut().filter(|_| at == OFFSETS) {
                    groups.end_transaction(order.producer_id, order.commit);
                }
                self.park_answer(broker, at, asked, Ok(Said::Done));
            }
            Err(error) => self.answer(broker, asked.0, asked.1, Err(code_of(&error))),
        }
        self.moved(broker, at);
    }
}

/// The header of the batch that a group coordinator is about to write; its sequence is 0.
fn first_batch(of: &Producer) -> Header {
    let mut batch = BatchBuilder::new().producer(of.producer, of.epoch, 0).transactional();
    batch.push(Record::default());
    Header::parse(&batch.finish(Codec::None, None)).unwrap()
}

fn as_producer_sees(error: ResponseError, bumps: bool) -> ResponseError {
    match error {
        ResponseError::ProducerFenced => ResponseError::InvalidProducerEpoch,
        ResponseError::TransactionAbortable if !bumps => ResponseError::InvalidTxnState,
        other => other,
    }
}

/// The broker's `PartitionError::code`.
pub(crate) fn code_of(refused: &Refused) -> ResponseError {
    let error = match refused {
        Refused::BehindShortage => return ResponseError::KafkaStorageError,
        Refused::TooFewInSync => return ResponseError::NotEnoughReplicas,
        Refused::ByLog(error) => error,
    };
    match error {
        AppendError::Storage(cause) if cause.is_shortage() => ResponseError::KafkaStorageError,
        AppendError::Sequence { .. } => ResponseError::OutOfOrderSequenceNumber,
        AppendError::ProducerEpoch { .. } => ResponseError::InvalidProducerEpoch,
        AppendError::TransactionState { .. } | AppendError::NotVerified { .. } => {
            ResponseError::InvalidTxnState
        }
        AppendError::CoordinatorFenced { .. } => ResponseError::TransactionCoordinatorFenced,
        other => panic!("the disk is full at worst: {other}"),
    }
}
