//! A copier: reads its place, writes the next records and the place behind them within a transaction, ends it, and again.
//!
//! It does what a client of KIP-890 does, or an older one: that names its partitions before it writes to them, keeps its epoch over
//! transactions, and asks for the next epoch when it does not know what became of a batch (KIP-360). Must never look into the
//! cluster, nor believe anything but answers.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use kafka_protocol::error::ResponseError;
use milena_coordinator::transaction::Name;
use milena_storage::batch::{BatchBuilder, Record};
use milena_storage::compress::Codec;
use milena_storage::ids::{ProducerEpoch, ProducerId, Timestamp};

use crate::cluster::{DATA, OFFSETS};
use crate::dice::Dice;
use crate::letters::{Answer, Producer, Question, Said};

/// After so long a producer gives a transaction up, though its last batch may still be on the way.
const DELIVERY_MS: i64 = 1_500;
/// Older clients give up at the first time-out: it is their late batches of which only verification keeps the logs free.
const OLDER_DELIVERY_MS: i64 = 250;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    Init,
    Position,
    /// An older client names the partitions that it is about to write to.
    Joining,
    Writing,
    /// An older client names the partition of its group.
    JoiningOffsets,
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
    /// See `Producer`.
    pub(crate) bumps: bool,
    /// An older client has batches of which it does not know what became.
    unsure: bool,
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
    pub(crate) fn new(id: Name, bumps: bool, now: Timestamp) -> Self {
        Self {
            id,
            phase: Phase::Init,
            since: now,
            producer: ProducerId::NONE,
            epoch: ProducerEpoch(-1),
            bumps,
            unsure: false,
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
            Phase::Init => {
                let expected = self.unsure.then_some((self.producer, self.epoch));
                vec![Question::Init { id: self.id.clone(), expected }]
            }
            Phase::Position => vec![Question::Position(self.id.clone())],
            Phase::Joining => {
                self.count = dice.few();
                let partitions: BTreeSet<usize> = self.numbers().map(partition_of).collect();
                vec![Question::Join { of: self.itself(), partitions: partitions.into_iter().collect() }]
            }
            Phase::Writing => {
                if self.bumps {
                    self.count = dice.few();
                }
                self.records(now)
            }
            Phase::JoiningOffsets => vec![Question::Join { of: self.itself(), partitions: vec![OFFSETS] }],
            Phase::Committing => {
                vec![Question::Commit { of: self.itself(), position: self.position + self.count }]
            }
            Phase::Ending { commit } => vec![Question::End { of: self.itself(), commit }],
            Phase::Finished | Phase::Dead => Vec::new(),
        };
        self.lacking = questions.len();
        questions
    }

    fn numbers(&self) -> Range<i64> {
        self.position..self.position + self.count
    }

    /// A batch for each record; those of one partition may be under way together.
    fn records(&mut self, now: Timestamp) -> Vec<Question> {
        let batches = self.numbers().map(|number| {
            let partition = partition_of(number);
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
        Producer { id: self.id.clone(), producer: self.producer, epoch: self.epoch, bumps: self.bumps }
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
                Next::Ask(self.begin(self.first_phase(), now, dice))
            }
            (Phase::Joining, _) => Next::Ask(self.begin(Phase::Writing, now, dice)),
            (Phase::Writing, _) if self.bumps => Next::Ask(self.begin(Phase::Committing, now, dice)),
            (Phase::Writing, _) => Next::Ask(self.begin(Phase::JoiningOffsets, now, dice)),
            (Phase::JoiningOffsets, _) => Next::Ask(self.begin(Phase::Committing, now, dice)),
            (Phase::Committing, _) => {
                let commit = !dice.percent(20);
                Next::Ask(self.begin(Phase::Ending { commit }, now, dice))
            }
            (Phase::Ending { commit }, Said::Producer(producer, epoch)) => {
                // Older clients are told nothing, and their sequences go on.
                if self.bumps {
                    self.takes_over(*producer, *epoch);
                }
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
        self.unsure = false;
        self.sequences.clear();
    }

    fn refused(&mut self, error: ResponseError, question: Question, now: Timestamp, dice: &mut Dice) -> Next {
        let writes = matches!(self.phase, Phase::Writing | Phase::Committing);
        match error {
            ResponseError::NotLeaderOrFollower
            | ResponseError::KafkaStorageError
            | ResponseError::NotEnoughReplicas
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
                Next::Ask(self.aborts(now, dice))
            }
            _ => Next::Fenced,
        }
    }

    /// A producer waits no longer than so long for its records.
    pub(crate) fn gives_up(&mut self, now: Timestamp, dice: &mut Dice) -> Option<Vec<Question>> {
        let writes = matches!(self.phase, Phase::Writing | Phase::Committing);
        let patience = if self.bumps { DELIVERY_MS } else { OLDER_DELIVERY_MS };
        let late = writes && now.0 - self.since.0 > patience;
        late.then(|| self.aborts(now, dice))
    }

    /// What became of its batches is not known.
    fn aborts(&mut self, now: Timestamp, dice: &mut Dice) -> Vec<Question> {
        self.unsure = !self.bumps;
        self.begin(Phase::Ending { commit: false }, now, dice)
    }

    fn first_phase(&self) -> Phase {
        if self.bumps { Phase::Writing } else { Phase::Joining }
    }

    /// Where it goes on after the end of a transaction: a client that aborted reads its place again.
    pub(crate) fn after_the_end(&self) -> Phase {
        match self.phase {
            Phase::Ending { commit: true } => self.first_phase(),
            _ if self.unsure => Phase::Init,
            _ => Phase::Position,
        }
    }
}

fn partition_of(number: i64) -> usize {
    usize::try_from(number).expect("above zero") % DATA
}
