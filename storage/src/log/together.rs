//! Appending as leader several batches that came in together, with one write for as many as go into a segment.
//!
//! Must never let a batch in that would be refused if it came alone behind those before it, and never keep anything in mind of those that were
//! not written.

use super::error::AppendError;
use super::producers::{Producer, Producers};
use super::{Appended, Log};
use crate::batch::{HEADER_LEN, Header};
use crate::error::StorageError;
use crate::ids::{LeaderEpoch, Offset, ProducerId, Timestamp};
use crate::validate::ValidBatch;

/// What producers were before the batches of a group, for the case that these cannot be written.
struct Before {
    end: Offset,
    producers: Vec<(ProducerId, Option<Producer>)>,
}

impl Log {
    /// As [`append_as_leader`](Self::append_as_leader) for one after the other. Ends with the first that is refused; those behind it are not
    /// looked at. A group that cannot be written is refused as its first batch, and nothing of it stays.
    pub fn append_all_as_leader(
        &mut self,
        batches: &[ValidBatch],
        epoch: LeaderEpoch,
        now: Timestamp,
    ) -> Vec<Result<Appended, AppendError>> {
        let mut done = Vec::with_capacity(batches.len());
        while done.len() < batches.len() {
            let rest = &batches[done.len()..];
            match self.append_group(rest, epoch, now) {
                Ok(appended) if appended.is_empty() => {
                    done.push(self.append_as_leader(rest[0].clone(), epoch, now));
                }
                Ok(appended) => done.extend(appended.into_iter().map(Ok)),
                Err(error) => done.push(Err(error.into())),
            }
            if done.last().is_some_and(Result::is_err) {
                break;
            }
        }
        done
    }

    /// Appends the first of these batches that are simply new and go into the active segment together, none if that are not at least two.
    fn append_group(
        &mut self,
        batches: &[ValidBatch],
        epoch: LeaderEpoch,
        now: Timestamp,
    ) -> Result<Vec<Appended>, StorageError> {
        // What is to be written beforehand belongs to an append that is alone.
        if batches.len() < 2 || self.check_poison().is_err() || self.epochs.latest() != Some(epoch) {
            return Ok(Vec::new());
        }
        let mut before = Before { end: self.producers.end, producers: Vec::new() };
        let headers = self.admit(batches, epoch, now, &mut before);
        let written = match headers.len() {
            0 | 1 => Ok(false),
            _ => self.write_group(&headers, batches).map(|()| true),
        };
        if !matches!(written, Ok(true)) {
            before.restore(&mut self.producers);
            return written.map(|_| Vec::new());
        }
        self.note_waiting(now);
        let entered = headers.iter().zip(batches).map(|(header, batch)| {
            self.enter_in_segment(header);
            self.appended(header.base_offset, batch.append_time, header.size(), false)
        });
        Ok(entered.collect())
    }

    /// The headers that the first of these batches get, as far as they can be in one group. Each is checked with those before it in mind.
    fn admit(
        &mut self,
        batches: &[ValidBatch],
        epoch: LeaderEpoch,
        now: Timestamp,
        before: &mut Before,
    ) -> Vec<Header> {
        let mut headers: Vec<Header> = Vec::with_capacity(batches.len());
        let mut next = self.log_end;
        for batch in batches {
            let size = HEADER_LEN + batch.body.len();
            let header = Header { base_offset: next, leader_epoch: epoch, ..batch.header };
            let is_plain = !header.is_transactional() && !header.is_control();
            let fits = size <= self.config.segment_bytes as usize
                && matches!(self.must_roll(&header, size, &headers, now), Ok(false));
            if !is_plain || !fits || !matches!(self.check_producer(&header, None, batch.origin), Ok(None)) {
                break;
            }
            before.keep(&self.producers, &header);
            self.producers.apply(&header);
            next = header.next_offset();
            headers.push(header);
        }
        headers
    }

    fn write_group(&mut self, headers: &[Header], batches: &[ValidBatch]) -> Result<(), StorageError> {
        let heads: Vec<[u8; HEADER_LEN]> = headers.iter().map(Header::encode).collect();
        let parts: Vec<&[u8]> =
            heads.iter().zip(batches).flat_map(|(head, batch)| [head.as_slice(), &batch.body]).collect();
        let size = parts.iter().map(|part| part.len()).sum();
        self.write(size, |segment, file| file.write_parts_at(&parts, segment.size))
    }
}

impl Before {
    /// Keeps what is known of the producer of a batch, unless the group had one of it already.
    fn keep(&mut self, producers: &Producers, header: &Header) {
        let id = header.producer_id;
        if header.has_producer() && self.producers.iter().all(|(kept, _)| *kept != id) {
            self.producers.push((id, producers.get(id).cloned()));
        }
    }

    fn restore(self, producers: &mut Producers) {
        for (id, producer) in self.producers {
            producers.put_back(id, producer);
        }
        producers.end = self.end;
    }
}
