//! Appends as the leader: one batch, or several of one connection that came in together.
//!
//! Must never append a batch behind one of the same call that was refused: what that one is answered decides about it.

use bytes::Bytes;
use milena_storage::ids::Timestamp;
use milena_storage::log::{AppendError, Appended};
use milena_storage::validate::{Origin, validate};

use super::health::judged;
use super::waiters::Wakes;
use super::{Partition, PartitionError};

/// How a batch comes in.
#[derive(Clone, Copy, Debug)]
pub struct AppendAs {
    pub origin: Origin,
    /// `acks=all`: refused when fewer replicas are in sync than `min.insync.replicas`.
    pub all_replicas: bool,
    pub now: Timestamp,
}

impl Partition {
    /// Appends one batch as the leader. Wakes are collected for the caller to fire.
    pub fn append(
        &self,
        records: Bytes,
        how: AppendAs,
        wakes: &mut Wakes,
    ) -> Result<Appended, PartitionError> {
        self.check_leads()?;
        let rules = self.rules.load();
        if how.all_replicas && !self.has_enough_in_sync() {
            return Err(PartitionError::NotEnoughReplicas);
        }
        let batch =
            validate(records, &rules.validation, how.now, how.origin).map_err(PartitionError::Invalid)?;
        let mut log = self.lock()?;
        // Leadership changes under the log's lock: from here on it stays what it is.
        self.check_leads()?;
        log.settle_transactions(self.high_watermark());
        let appended = log.append_as_leader(batch, self.leader_epoch(), how.now);
        let end = log.log_end_offset();
        drop(log);
        let appended = self.told(appended, how.now)?;
        if !appended.duplicate {
            self.grown(end, appended.bytes, how.now, wakes);
        }
        Ok(appended)
    }

    /// Appends batches one behind the other, as [`append`](Self::append) does with each, under one lock and with one write for as many as go into a
    /// segment. Ends with the first that is refused; those behind it are to be appended by themselves, and so are all where nothing comes back.
    pub fn append_all(
        &self,
        batches: impl Iterator<Item = Bytes>,
        how: AppendAs,
        wakes: &mut Wakes,
    ) -> Vec<Result<Appended, PartitionError>> {
        if self.check_leads().is_err() || (how.all_replicas && !self.has_enough_in_sync()) {
            return Vec::new();
        }
        let rules = self.rules.load();
        let mut valid = Vec::with_capacity(batches.size_hint().0);
        let mut invalid = None;
        for records in batches {
            match validate(records, &rules.validation, how.now, how.origin) {
                Ok(batch) => valid.push(batch),
                Err(error) => {
                    invalid = Some(PartitionError::Invalid(error));
                    break;
                }
            }
        }
        let Ok(mut log) = self.lock() else { return Vec::new() };
        // Leadership changes under the log's lock: from here on it stays what it is.
        if self.check_leads().is_err() {
            return Vec::new();
        }
        log.settle_transactions(self.high_watermark());
        let appended = log.append_all_as_leader(&valid, self.leader_epoch(), how.now);
        let end = log.log_end_offset();
        drop(log);
        let bytes = appended.iter().flatten().map(|appended| appended.bytes).sum();
        let mut told: Vec<_> = appended.into_iter().map(|appended| self.told(appended, how.now)).collect();
        if bytes > 0 {
            self.grown(end, bytes, how.now, wakes);
        }
        if told.len() == valid.len() && told.iter().all(Result::is_ok) {
            told.extend(invalid.map(Err));
        }
        told
    }

    /// What others of this broker have to know of an append.
    fn told(
        &self,
        appended: Result<Appended, AppendError>,
        now: Timestamp,
    ) -> Result<Appended, PartitionError> {
        let appended = self.noted(judged(&self.shortage, appended, now))?;
        if !appended.duplicate {
            self.traffic.note(&appended);
        }
        if appended.rolled {
            self.roll_wake.notify_one();
            if self.is_compacted() {
                self.cleaner_wake.notify_one();
            }
        }
        Ok(appended)
    }
}
