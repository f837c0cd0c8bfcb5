//! A copier: reads its place, writes the next records and the place behind them within a transaction, ends it, and again.
//!
//! It does what a client of KIP-890 does. Must never look into the cluster, nor believe anything but answers.

use std::collections::BTreeMap;

use kafka_protocol::error::ResponseError;
use milena_coordinator::transaction::Name;
use milena_storage::batch::{BatchBuilder, Record};
use milena_storage::compress::Codec;
use milena_storage::ids::{ProducerEpoch, ProducerId, Timestamp};

use crate::cluster::DATA;
use crate::dice::Dice;
use crate::letters::{Answer, Producer, Question, Said};

/// After so long a producer gives a transaction up, though its last batch may still be on the way.
const DELIVERY_MS: i64 = 1_500;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    Init,
    Position,
    Writing,
    Committing,
    Ending {
        commit: bool,
    },
    /// Nothing is left to do.
    Finished,
    /// Killed, or fenced.
    Dead,
}

pub(crate) struct Copier {
    pub(crate) id: Name,
    pub(crate) phase: Phase,
    since: Timestamp,
    producer: ProducerId,
    epoch: ProducerEpoch,
    position: i64,
    count: i64,
    sequences: BTreeMap<usize, i32>,
    /// Counts the phases, so that nothing of an earlier one is asked again.
    pub(crate) turn: u64,
    /// How many questions of this phase have no good answer yet.
    lacking: usize,
    /// What was asked and not answered, by call.
    pub(crate) open: BTreeMap<u64, Question>,
}

/// What an answer leads to.
pub(crate) enum Next {
    /// It waits for other answers.
    Nothing,
    /// It asks the same again, later.
    Again(Question),
    /// It goes on.
    Ask(Vec<Question>),
    /// Its transaction was committed, or aborted as it wanted; it goes on after a pause.
    Ended,
    /// Somebody else has its id.
    Fenced,
}

impl Copier {
    pub(crate) fn new(id: Name, now: Timestamp) -> Self {
        Self {
            id,
            phase: Phase::Init,
            since: now,
            producer: ProducerId::NONE,
            epoch: ProducerEpoch(-1),
            position: 0,
            count: 0,
            sequences: BTreeMap::new(),
            turn: 0,
            lacking: 0,
            open: BTreeMap::new(),
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Finished | Phase::Dead)
    }

    /// What the phase begins with.
    pub(crate) fn begin(&mut self, phase: Phase, now: Timestamp, dice: &mut Dice) -> Vec<Question> {
        self.phase = phase;
        self.since = now;
        self.turn += 1;
        self.open.clear();
        let questions = match phase {
            Phase::Init => vec![Question::Init(self.id.clone())],
            Phase::Position => vec![Question::Position(self.id.clone())],
            Phase::Writing => self.records(now, dice),
            Phase::Committing => {
                vec![Question::Commit { of: self.itself(), position: self.position + self.count }]
            }
            Phase::Ending { commit } => vec![Question::End { of: self.itself(), commit }],
            Phase::Finished | Phase::Dead => Vec::new(),
        };
        self.lacking = questions.len();
        questions
    }

    /// A batch for each record; those of one partition may be under way together.
    fn records(&mut self, now: Timestamp, dice: &mut Dice) -> Vec<Question> {
        self.count = 1 + dice.roll(4) as i64;
        let numbers = self.position..self.position + self.count;
        let batches = numbers.map(|number| {
            let partition = usize::try_from(number).expect("above zero") % DATA;
            let sequence = self.sequences.entry(partition).or_insert(0);
            let mut batch =
                BatchBuilder::new().producer(self.producer, self.epoch, *sequence).transactional();
            *sequence += 1;
            let value = format!("{} {number}", self.id);
            batch.push(Record { timestamp: now, key: None, value: Some(value.as_bytes()), headers: &[] });
            (partition, batch.finish(Codec::None, None))
        });
        let batches: Vec<_> = batches.collect();
        let of = self.itself();
        batches
            .into_iter()
            .map(|(partition, batch)| Question::Produce { of: of.clone(), partition, batch })
            .collect()
    }

    fn itself(&self) -> Producer {
        Producer { id: self.id.clone(), producer: self.producer, epoch: self.epoch }
    }

    pub(crate) fn hear(&mut self, call: u64, answer: Answer, now: Timestamp, dice: &mut Dice) -> Next {
        // What comes late or twice is thrown away.
        let Some(question) = self.open.remove(&call) else { return Next::Nothing };
        match answer {
            Ok(said) => self.go_on(&said, now, dice),
            Err(error) => self.refused(error, question, now, dice),
        }
    }

    fn go_on(&mut self, said: &Said, now: Timestamp, dice: &mut Dice) -> Next {
        self.lacking -= 1;
        if self.lacking > 0 {
            return Next::Nothing;
        }
        match (self.phase, said) {
            (Phase::Init, Said::Producer(producer, epoch)) => {
                self.takes_over(*producer, *epoch);
                Next::Ask(self.begin(Phase::Position, now, dice))
            }
            (Phase::Position, Said::Position(position)) => {
                self.position = (*position).max(0);
                Next::Ask(self.begin(Phase::Writing, now, dice))
            }
            (Phase::Writing, _) => Next::Ask(self.begin(Phase::Committing, now, dice)),
            (Phase::Committing, _) => {
                let commit = !dice.percent(20);
                Next::Ask(self.begin(Phase::Ending { commit }, now, dice))
            }
            (Phase::Ending { commit }, Said::Producer(producer, epoch)) => {
                self.takes_over(*producer, *epoch);
                if commit {
                    self.position += self.count;
                }
                Next::Ended
            }
            (phase, said) => panic!("{said:?} in {phase:?}"),
        }
    }

    fn takes_over(&mut self, producer: ProducerId, epoch: ProducerEpoch) {
        (self.producer, self.epoch) = (producer, epoch);
        self.sequences.clear();
    }

    fn refused(&mut self, error: ResponseError, question: Question, now: Timestamp, dice: &mut Dice) -> Next {
        let writes = matches!(self.phase, Phase::Writing | Phase::Committing);
        match error {
            ResponseError::NotLeaderOrFollower
            | ResponseError::CoordinatorLoadInProgress
            | ResponseError::UnstableOffsetCommit
            | ResponseError::ConcurrentTransactions => Next::Again(question),
            // An earlier batch of the same partition is still on the way.
            ResponseError::OutOfOrderSequenceNumber if self.lacking > 1 => Next::Again(question),
            ResponseError::InvalidTxnState
            | ResponseError::TransactionAbortable
            | ResponseError::OutOfOrderSequenceNumber
                if writes =>
            {
                Next::Ask(self.begin(Phase::Ending { commit: false }, now, dice))
            }
            _ => Next::Fenced,
        }
    }

    /// A producer waits no longer than so long for its records.
    pub(crate) fn gives_up(&mut self, now: Timestamp, dice: &mut Dice) -> Option<Vec<Question>> {
        let writes = matches!(self.phase, Phase::Writing | Phase::Committing);
        let late = writes && now.0 - self.since.0 > DELIVERY_MS;
        late.then(|| self.begin(Phase::Ending { commit: false }, now, dice))
    }

    /// Where it goes on after the end of a transaction: a client that aborted reads its place again.
    pub(crate) fn after_the_end(&self) -> Phase {
        match self.phase {
            Phase::Ending { commit: true } => Phase::Writing,
            _ => Phase::Position,
        }
    }
}
