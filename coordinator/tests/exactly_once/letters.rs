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
    /// Whether its client is one of KIP-890, part 2: its epoch grows with each transaction, and partitions join with its batches.
    pub(crate) bumps: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum Question {
    /// InitProducerId, with what the producer believes to be if it goes on (KIP-360)
    Init { id: Name, expected: Option<(ProducerId, ProducerEpoch)> },
    /// AddPartitionsToTxn 3 or AddOffsetsToTxn, from an older client
    Join { of: Producer, partitions: Vec<usize> },
    /// Produce 12, or 11 from an older client, one batch
    Produce { of: Producer, partition: usize, batch: Bytes },
    /// TxnOffsetCommit 5, or 4 from an older client
    Commit { of: Producer, position: i64 },
    /// JoinGroup, then OffsetFetch with `require_stable`
    Position(Name),
    /// EndTxn 5, or 4 from an older client
    End { of: Producer, commit: bool },
    /// AddPartitionsToTxn 4, from the leader of a partition: adds it, or for an older client asks whether it is there
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

impl Letter {
    pub(crate) fn call(&self) -> u64 {
        let (Self::Ask { call, .. } | Self::Answer { call, .. }) = self;
        *call
    }
}
