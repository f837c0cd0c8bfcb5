//! The one place that turns our errors into Kafka's codes.
//!
//! It must never log: errors are logged where they are handled.

use kafka_protocol::error::ResponseError;
use milena_storage::StorageError;
use milena_storage::log::{AppendError, ReadError};
use milena_storage::validate::{InvalidBatch, InvalidKind};
use thiserror::Error;

/// Why a partition did not do what it was asked.
#[derive(Debug, Error)]
pub enum PartitionError {
    #[error("no such topic or partition")]
    Unknown,
    #[error("no topic has this id")]
    UnknownTopicId,
    #[error("the log belongs to another incarnation of the topic")]
    InconsistentTopicId,
    #[error("this broker does not lead the partition")]
    NotLeader,
    /// The broker keeps no replica of it (AlterReplicaLogDirs).
    #[error("this broker has no replica of the partition")]
    NotHere,
    #[error("the topic's name is too long for a copy of its log")]
    NameTooLong,
    #[error("no log directory has this path")]
    NoSuchDir,
    #[error("the log directory is cordoned")]
    CordonedDir,
    #[error("the partition's log directory is offline")]
    Offline,
    #[error("the disk took nothing more when the batch before this one came")]
    BehindShortage,
    #[error("the batch before this one was refused, and has not come again: {0}")]
    Behind(ResponseError),
    #[error("the leader epoch is older than the leader's")]
    FencedEpoch,
    #[error("the leader epoch is newer than the leader's")]
    UnknownEpoch,
    /// A leader that has only just been elected (KIP-207).
    #[error("the leader has not committed what its epoch begins with")]
    NotSettled,
    #[error("fewer replicas are in sync than min.insync.replicas")]
    NotEnoughReplicas,
    #[error("the offset is outside the log")]
    OutOfRange,
    #[error("the topic is compacted only")]
    OnlyCompacted,
    #[error("the topic is internal")]
    Internal,
    /// The transaction coordinator does not let the batch in.
    #[error("the transaction coordinator answers {0}")]
    Transaction(ResponseError),
    #[error(transparent)]
    Invalid(InvalidBatch),
    #[error(transparent)]
    Refused(AppendError),
    #[error(transparent)]
    Storage(StorageError),
}

impl PartitionError {
    /// The code that a client gets.
    #[must_use]
    pub fn code(&self) -> i16 {
        self.response().code()
    }

    fn response(&self) -> ResponseError {
        match self {
            Self::Unknown => ResponseError::UnknownTopicOrPartition,
            Self::UnknownTopicId => ResponseError::UnknownTopicId,
            Self::InconsistentTopicId => ResponseError::InconsistentTopicId,
            Self::NotLeader => ResponseError::NotLeaderOrFollower,
            Self::NotHere => ResponseError::ReplicaNotAvailable,
            Self::NameTooLong => ResponseError::InvalidTopicException,
            Self::NoSuchDir => ResponseError::LogDirNotFound,
            Self::CordonedDir => ResponseError::InvalidReplicaAssignment,
            Self::FencedEpoch => ResponseError::FencedLeaderEpoch,
            Self::UnknownEpoch => ResponseError::UnknownLeaderEpoch,
            Self::NotSettled => ResponseError::OffsetNotAvailable,
            Self::NotEnoughReplicas => ResponseError::NotEnoughReplicas,
            Self::OutOfRange => ResponseError::OffsetOutOfRange,
            Self::OnlyCompacted => ResponseError::PolicyViolation,
            Self::Internal => ResponseError::InvalidTopicException,
            Self::Transaction(error) | Self::Behind(error) => *error,
            Self::Invalid(invalid) => invalid_batch(invalid.kind),
            Self::Refused(refused) => refused_append(refused),
            Self::Offline | Self::BehindShortage | Self::Storage(_) => ResponseError::KafkaStorageError,
        }
    }
}

fn invalid_batch(kind: InvalidKind) -> ResponseError {
    match kind {
        InvalidKind::Corrupt => ResponseError::CorruptMessage,
        InvalidKind::TooLarge => ResponseError::MessageTooLarge,
        InvalidKind::Timestamp => ResponseError::InvalidTimestamp,
        InvalidKind::Record => ResponseError::InvalidRecord,
        InvalidKind::Compression => ResponseError::UnsupportedCompressionType,
        InvalidKind::Format => ResponseError::UnsupportedForMessageFormat,
    }
}

fn refused_append(refused: &AppendError) -> ResponseError {
    match refused {
        AppendError::LargerThanSegment { .. } => ResponseError::RecordListTooLarge,
        AppendError::Sequence { .. } => ResponseError::OutOfOrderSequenceNumber,
        AppendError::Repeated { .. } => ResponseError::DuplicateSequenceNumber,
        AppendError::ProducerEpoch { .. } => ResponseError::InvalidProducerEpoch,
        AppendError::TransactionState { .. } | AppendError::NotVerified { .. } => {
            ResponseError::InvalidTxnState
        }
        AppendError::CoordinatorFenced { .. } => ResponseError::TransactionCoordinatorFenced,
        AppendError::Batch { .. } => ResponseError::CorruptMessage,
        AppendError::BeforeLogEnd { .. } | AppendError::OutOfOrder { .. } => {
            ResponseError::UnknownServerError
        }
        AppendError::Storage(_) => ResponseError::KafkaStorageError,
    }
}

impl From<ReadError> for PartitionError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::OutOfRange { .. } => Self::OutOfRange,
            ReadError::Storage(error) => Self::Storage(error),
        }
    }
}

impl From<AppendError> for PartitionError {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Storage(error) => Self::Storage(error),
            other => Self::Refused(other),
        }
    }
}

impl From<StorageError> for PartitionError {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}
