//! Records of a machine as batches of its partition's log, and the errors of appends as a coordinator tells them.
//!
//! Must never drop a record silently: what cannot be written fails the whole output.

use kafka_protocol::error::ResponseError;
use milena_coordinator::group::Record;
use milena_storage::batch::{self, BatchBuilder};
use milena_storage::compress::Codec;
use milena_storage::ids::{Offset, ProducerEpoch, ProducerId, Timestamp};
use milena_storage::log::{AppendError, Guard};
use milena_storage::validate::Origin;

use crate::partition::waiters::Wakes;
use crate::partition::{AppendAs, Partition, PartitionError};

/// A batch is closed when it has this many bytes: half of the default `max.message.bytes`. Only expiry and the
/// deletion of groups or topics get there; each of their records stands for itself.
pub(super) const BATCH_BYTES: usize = 512 * 1024;

/// Where and how the records of a machine are written.
#[derive(Clone, Copy)]
pub(super) struct Target<'a> {
    pub partition: &'a Partition,
    pub codec: Codec,
    pub now: Timestamp,
    /// Under what records of a transaction may be appended, if the partition had to ask (KIP-890).
    pub guard: Option<Guard>,
}

/// Appends the records, as part of a transaction if they are, and tells the offset behind them; `None` if there are
/// none.
pub(super) fn append(
    target: Target<'_>,
    records: &[Record],
    transaction: Option<(ProducerId, ProducerEpoch)>,
    wakes: &mut Wakes,
) -> Result<Option<Offset>, PartitionError> {
    let mut end = None;
    let now = target.now;
    let mut builder = begin(transaction);
    for record in records {
        if !builder.is_empty() && builder.size() + record_size(record) > BATCH_BYTES {
            end = Some(write(target, std::mem::replace(&mut builder, begin(transaction)), wakes)?);
        }
        builder.push(batch::Record {
            timestamp: now,
            key: Some(&record.key),
            value: record.value.as_deref(),
            headers: &[],
        });
    }
    if !builder.is_empty() {
        end = Some(write(target, builder, wakes)?);
    }
    Ok(end)
}

/// The sequence is that of Kafka's coordinators, whose batches are not checked for order.
fn begin(transaction: Option<(ProducerId, ProducerEpoch)>) -> BatchBuilder {
    match transaction {
        None => BatchBuilder::new(),
        Some((id, epoch)) => BatchBuilder::new().producer(id, epoch, 0).transactional(),
    }
}

pub(super) fn record_size(record: &Record) -> usize {
    record.key.len() + record.value.as_ref().map_or(0, |value| value.len())
}

fn write(target: Target<'_>, builder: BatchBuilder, wakes: &mut Wakes) -> Result<Offset, PartitionError> {
    let Target { partition, codec, now, guard } = target;
    let origin = guard.map_or(Origin::Coordinator, |guard| Origin::CoordinatorTransaction { guard });
    let how = AppendAs { origin, all_replicas: true, now };
    let appended = partition.append(builder.finish(codec, None), how, wakes)?;
    if appended.flush_due {
        // Only with `flush.messages` set for every topic; who wants each message on the disk waits for it here.
        partition.sync()?;
    }
    Ok(appended.last.plus(1))
}

/// Kafka's `CoordinatorOperationExceptionHelper`: what a refused append means to a client of the group.
pub(super) fn as_coordinator_error(error: &PartitionError) -> ResponseError {
    match ResponseError::try_from_code(error.code()) {
        Some(
            ResponseError::UnknownTopicOrPartition
            | ResponseError::NotEnoughReplicas
            | ResponseError::RequestTimedOut,
        ) => ResponseError::CoordinatorNotAvailable,
        Some(ResponseError::NotLeaderOrFollower | ResponseError::KafkaStorageError) => {
            ResponseError::NotCoordinator
        }
        _ => ResponseError::UnknownServerError,
    }
}

/// What a refused append of a transaction's records means to its producer, if it is the producer's own doing: then the
/// log and the machine are as they were.
pub(super) fn as_producer_error(error: &PartitionError) -> Option<ResponseError> {
    match error {
        PartitionError::Refused(AppendError::NotVerified { .. } | AppendError::ProducerEpoch { .. }) => {
            ResponseError::try_from_code(error.code())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_log_become_errors_of_the_coordinator() {
        let of = |error: PartitionError| as_coordinator_error(&error).code();
        assert_eq!(of(PartitionError::Unknown), 15);
        assert_eq!(of(PartitionError::NotEnoughReplicas), 15);
        assert_eq!(of(PartitionError::NotLeader), 16);
        assert_eq!(of(PartitionError::Offline), 16);
        assert_eq!(of(PartitionError::OutOfRange), -1);
    }
}
