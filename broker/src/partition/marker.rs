//! Transaction markers: the batch that ends a transaction in a partition.
//!
//! Must never be written for a client; only coordinators end transactions.

use milena_storage::batch::{BatchBuilder, EndTransaction, Header, Record};
use milena_storage::compress::Codec;
use milena_storage::ids::{Offset, ProducerEpoch, ProducerId, Timestamp};
use milena_storage::log::Guard;
use milena_storage::validate::Origin;

use super::waiters::Wakes;
use super::{AppendAs, Partition, PartitionError};

/// What ends a transaction in one partition.
#[derive(Clone, Copy, Debug)]
pub struct Marker {
    pub producer_id: ProducerId,
    pub epoch: ProducerEpoch,
    pub end: EndTransaction,
    /// By which level of `transaction.version` the transaction was ended; decides how strict the epoch is looked at.
    pub transaction_version: i16,
}

impl Partition {
    /// Ends a transaction here (`MemoryRecords.withEndTransactionMarker`); gives the offset behind the marker.
    pub fn append_marker(
        &self,
        marker: &Marker,
        now: Timestamp,
        wakes: &mut Wakes,
    ) -> Result<Offset, PartitionError> {
        let (key, value) = marker.end.encode();
        let mut batch =
            BatchBuilder::new().producer(marker.producer_id, marker.epoch, -1).transactional().control();
        batch.push(Record { timestamp: now, key: Some(&key), value: Some(&value), headers: &[] });
        let origin = Origin::Marker { transaction_version: marker.transaction_version };
        let how = AppendAs { origin, all_replicas: true, now };
        let appended = self.append(batch.finish(Codec::None, None), how, wakes)?;
        if appended.flush_due {
            self.sync()?;
        }
        Ok(appended.last.plus(1))
    }

    /// Under which guard a client's batch may begin a transaction here; see `Log::begin_verification`.
    pub fn begin_verification(
        &self,
        batch: &Header,
        bumps: bool,
        now: Timestamp,
    ) -> Result<Guard, PartitionError> {
        self.check_leads()?;
        Ok(self.lock()?.begin_verification(batch, bumps, now))
    }
}
