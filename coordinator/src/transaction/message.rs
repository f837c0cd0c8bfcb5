//! What goes into a transaction machine and what comes out.
//!
//! Plain values only: nothing here may refer to a connection, a task or a clock.

use std::collections::BTreeSet;

use kafka_protocol::error::ResponseError;
use milena_storage::ids::{ProducerEpoch, ProducerId, Timestamp, TopicPartition};

use super::{Name, Record, State, Ticket, TransactionVersion};

#[derive(Clone, Debug)]
pub enum Request {
    Init(Init),
    /// Adds the partitions to the ongoing transaction, or begins one.
    AddPartitions(Partitions),
    /// Asks whether the partitions are in the transaction (KIP-890).
    VerifyPartitions(Partitions),
    End(End),
    List(ListFilter),
    Describe(Name),
}

/// InitProducerId with a transactional id.
#[derive(Clone, Debug)]
pub struct Init {
    pub id: Name,
    pub timeout_ms: i32,
    /// KIP-939; refused unless `transaction.two.phase.commit.enable`.
    pub two_phase_commit: bool,
    pub keep_prepared: bool,
    /// What the producer believes to be (KIP-360).
    pub expected: Option<(ProducerId, ProducerEpoch)>,
    /// An id that nobody has, for the case that one is needed.
    pub fresh: ProducerId,
}

/// AddPartitionsToTxn for one transactional id; also AddOffsetsToTxn, with the group's partition of the offsets topic.
#[derive(Clone, Debug)]
pub struct Partitions {
    pub id: Name,
    pub producer_id: ProducerId,
    pub epoch: ProducerEpoch,
    pub partitions: BTreeSet<TopicPartition>,
    pub client_version: TransactionVersion,
}

#[derive(Clone, Debug)]
pub struct End {
    pub id: Name,
    pub producer_id: ProducerId,
    pub epoch: ProducerEpoch,
    pub commit: bool,
    pub client_version: TransactionVersion,
}

/// ListTransactions, but for the pattern, which the handler applies.
#[derive(Clone, Debug, Default)]
pub struct ListFilter {
    /// None means all.
    pub producer_ids: Vec<ProducerId>,
    /// Names that no state has match nothing, and are told to the client by the handler.
    pub states: Vec<String>,
    /// Only those running for longer; negative for all.
    pub duration_ms: i64,
}

/// The answer to the request of the same name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reply {
    Init(Result<Initialized, ResponseError>),
    AddPartitions(Result<(), ResponseError>),
    VerifyPartitions(Vec<Added>),
    End(Result<Ended, ResponseError>),
    List(Vec<Listed>),
    Describe(Result<Described, ResponseError>),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Initialized {
    pub producer_id: ProducerId,
    pub epoch: ProducerEpoch,
}

/// What EndTxn 5 and later return: the producer's id and epoch from now on; −1 for older clients.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ended {
    pub producer_id: ProducerId,
    pub epoch: ProducerEpoch,
}

/// Whether a partition is in the transaction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Added {
    pub partition: TopicPartition,
    pub error: Option<ResponseError>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listed {
    pub id: Name,
    pub producer_id: ProducerId,
    pub state: State,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Described {
    pub state: State,
    pub timeout_ms: i32,
    pub started: Timestamp,
    pub producer_id: ProducerId,
    pub epoch: ProducerEpoch,
    pub partitions: BTreeSet<TopicPartition>,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum TimerKey {
    /// Time to look for transactions that have run out of theirs.
    AbortTimedOut,
    /// Time to look for transactional ids that nobody uses any more.
    ExpireIds,
}

#[derive(Clone, Debug)]
pub enum Input {
    Request(Ticket, Request),
    Timer(TimerKey),
    /// The markers of this order are in the logs of all its partitions, or the partitions are gone.
    Marked(MarkerOrder),
    /// An id that nobody has, because `Output::wants_producer_id` asked for one.
    ProducerId(ProducerId),
    /// The whole log has been applied; from now on the shard is alive.
    Loaded,
}

/// Write these markers, and go on trying until they are written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MarkerOrder {
    pub id: Name,
    pub producer_id: ProducerId,
    /// In the markers; with version 2 one more than the transaction's records have.
    pub epoch: ProducerEpoch,
    pub commit: bool,
    pub partitions: BTreeSet<TopicPartition>,
    /// How the transaction was ended, which decides what the partitions check (KIP-1228).
    pub version: TransactionVersion,
}

/// What a step wants done. All records belong into one batch.
#[derive(Debug, Default)]
pub struct Output {
    pub records: Vec<Record>,
    /// To be sent once the records of this output, or if it has none those written before, are committed.
    pub replies: Vec<(Ticket, Reply)>,
    /// To be carried out once the records of this output are committed.
    pub orders: Vec<MarkerOrder>,
    /// `Some` sets or moves a deadline, `None` cancels it; later entries win.
    pub timers: Vec<(TimerKey, Option<Timestamp>)>,
    /// Something could not be done for want of a fresh producer id; it is tried again when it comes.
    pub wants_producer_id: bool,
}
