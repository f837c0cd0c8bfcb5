//! What is sent between copiers and brokers.
//!
//! Must never hold more than the real requests do.

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use milena_coordinator::transaction::{MarkerOrder, Name};
use milena_storage::ids::{ProducerEpoch, ProducerId};

/// Who sends and who gets.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Node {
    Broker(usize),
    Copier(usize),
}

/// A producer as it believes to be.
#[derive(Clone, Debug)]
pub(crate) struct Producer {
    pub(crate) id: Name,
    pub(crate) producer: ProducerId,
    pub(crate) epoch: ProducerEpoch,
}

#[derive(Clone, Debug)]
pub(crate) enum Question {
    /// InitProducerId
    Init(Name),
    /// Produce 12, one batch
    Produce { of: Producer, partition: usize, batch: Bytes },
    /// TxnOffsetCommit 5
    Commit { of: Producer, position: i64 },
    /// JoinGroup, then OffsetFetch with `require_stable`
    Position(Name),
    /// EndTxn 5
    End { of: Producer, commit: bool },
    /// AddPartitionsToTxn 4, from the leader of a partition
    Add { of: Producer, partition: usize },
    /// WriteTxnMarkers, from the coordinator
    Mark { order: MarkerOrder, partition: usize, coordinator_epoch: i32 },
}

#[derive(Clone, Debug)]
pub(crate) enum Said {
    Done,
    Producer(ProducerId, ProducerEpoch),
    Position(i64),
}

pub(crate) type Answer = Result<Said, ResponseError>;

#[derive(Clone, Debug)]
pub(crate) enum Letter {
    Ask { from: Node, call: u64, question: Question },
    Answer { call: u64, answer: Answer },
}
