//! Why an append or a read was refused, each variant with the one Kafka code it stands for.
//!
//! Must never hold a code: the broker maps variants in one place.

use crate::StorageError;
use crate::batch::BatchError;
use crate::ids::{Offset, ProducerEpoch, ProducerId};

/// Why nothing was appended.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// 18 RECORD_LIST_TOO_LARGE
    #[error("a batch of {size} bytes is larger than a segment of {segment_bytes}")]
    LargerThanSegment { size: usize, segment_bytes: u32 },
    /// 45 OUT_OF_ORDER_SEQUENCE_NUMBER
    #[error("producer {producer_id} sent sequence {sequence} after {last_sequence}")]
    Sequence { producer_id: ProducerId, sequence: i32, last_sequence: i32 },
    /// 46 DUPLICATE_SEQUENCE_NUMBER
    #[error("producer {producer_id} sent sequence {sequence} again, which the log has before {before}")]
    Repeated { producer_id: ProducerId, sequence: i32, before: Offset },
    /// 47 INVALID_PRODUCER_EPOCH
    #[error("producer {producer_id} sent epoch {epoch}, which is older than {current}")]
    ProducerEpoch { producer_id: ProducerId, epoch: ProducerEpoch, current: ProducerEpoch },
    /// 48 INVALID_TXN_STATE
    #[error("producer {producer_id} sent a batch outside its open transaction")]
    TransactionState { producer_id: ProducerId },
    /// 48 INVALID_TXN_STATE
    #[error("producer {producer_id} sent a batch that is not part of an ongoing transaction")]
    NotVerified { producer_id: ProducerId },
    /// 52 TRANSACTION_COORDINATOR_FENCED
    #[error(
        "a marker of producer {producer_id} has coordinator epoch {epoch}, which is older than {current}"
    )]
    CoordinatorFenced { producer_id: ProducerId, epoch: i32, current: i32 },
    /// 2 CORRUPT_MESSAGE: bytes from a leader that are no batches.
    #[error("the batch at byte {at} cannot be appended: {source}")]
    Batch { at: usize, source: BatchError },
    /// A follower's batch does not follow what it has (`UnexpectedAppendOffsetException`); the log may be restarted
    /// at `first` if it is empty.
    #[error("a batch begins at offset {first}, before the log's end {log_end}")]
    BeforeLogEnd { first: Offset, log_end: Offset },
    /// A follower's batches are not in order (`OffsetsOutOfOrderException`).
    #[error("a batch that ends at offset {last} follows one that ends at {previous}")]
    OutOfOrder { last: Offset, previous: Offset },
    /// 56 KAFKA_STORAGE_ERROR
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Why nothing was read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// 1 OFFSET_OUT_OF_RANGE
    #[error("offset {offset} is outside of {start} to {end}")]
    OutOfRange { offset: Offset, start: Offset, end: Offset },
    /// 56 KAFKA_STORAGE_ERROR
    #[error(transparent)]
    Storage(#[from] StorageError),
}
