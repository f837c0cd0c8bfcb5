//! Writes a batch anew with some of its records, as compaction leaves it (`MemoryRecords.filterTo`).
//!
//! Must never change an offset, a producer's sequence or the last offset of the batch: only records go.

use super::build::write_record;
use super::{
    BatchError, CONTROL_BIT, CRC_START, DELETE_HORIZON_BIT, HEADER_LEN, Header, OVERHEAD_LEN, RecordView,
    TIMESTAMP_TYPE_BIT, TRANSACTIONAL_BIT, TimestampType, crc32c,
};
use crate::compress::{self, Codec};
use crate::ids::Timestamp;

const CODEC_BITS: i16 = 0x07;

/// Appends the batch with only the records `kept`, in its own codec at that codec's default level; `horizon` is the
/// time after which tombstones and markers may go (KIP-534). `plain` is memory to work in.
///
/// # Panics
/// If no record is kept: such a batch is dropped, or [`emptied`].
pub(crate) fn rewritten<'a>(
    header: &Header,
    horizon: Option<Timestamp>,
    kept: impl Iterator<Item = RecordView<'a>>,
    plain: &mut Vec<u8>,
    out: &mut Vec<u8>,
) -> Result<Header, BatchError> {
    plain.clear();
    let mut base_timestamp = horizon;
    let mut max_timestamp = Timestamp::NONE;
    let mut count = 0;
    for record in kept {
        let base = *base_timestamp.get_or_insert(record.timestamp);
        let timestamp_delta = record.timestamp.0.wrapping_sub(base.0);
        let offset_delta = record.offset.0 - header.base_offset.0;
        write_record((timestamp_delta, offset_delta), record.key, record.value, record.headers.raw(), plain);
        max_timestamp = max_timestamp.max(record.timestamp);
        count += 1;
    }
    assert!(count > 0, "a batch without records is dropped or emptied");
    let mut header = *header;
    let horizon_bit = if horizon.is_some() { DELETE_HORIZON_BIT } else { 0 };
    header.attributes &= CODEC_BITS | TIMESTAMP_TYPE_BIT | TRANSACTIONAL_BIT | CONTROL_BIT;
    header.attributes |= horizon_bit;
    header.count = count;
    header.base_timestamp = base_timestamp.unwrap_or(Timestamp::NONE);
    if header.timestamp_type() == TimestampType::CreateTime {
        header.max_timestamp = max_timestamp;
    }
    let codec = header.codec()?;
    Ok(finish(header, out, |out| match codec {
        Codec::None => out.extend_from_slice(plain),
        codec => compress::compress(codec, None, plain, out),
    }))
}

/// Appends the batch without any record: what is left to tell offsets, epoch and sequence
/// (`DefaultRecordBatch.writeEmptyHeader`).
pub(crate) fn emptied(header: &Header, out: &mut Vec<u8>) -> Header {
    let mut header = *header;
    header.attributes &= TIMESTAMP_TYPE_BIT | TRANSACTIONAL_BIT | CONTROL_BIT;
    header.count = 0;
    header.base_timestamp = Timestamp::NONE;
    finish(header, out, |_| {})
}

/// Appends header and payload with their length and checksum.
fn finish(mut header: Header, out: &mut Vec<u8>, payload: impl FnOnce(&mut Vec<u8>)) -> Header {
    let start = out.len();
    out.resize(start + HEADER_LEN, 0);
    payload(out);
    let batch = &mut out[start..];
    header.length =
        i32::try_from(batch.len() - OVERHEAD_LEN).expect("a batch of a segment stays well below 2 GiB");
    batch[..HEADER_LEN].copy_from_slice(&header.encode());
    header.crc = crc32c(&batch[CRC_START..]);
    batch[..HEADER_LEN].copy_from_slice(&header.encode());
    header
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{BatchBuilder, BatchView, Record};
    use crate::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId};

    fn batch(codec: Codec) -> bytes::Bytes {
        let mut builder = BatchBuilder::new().base_offset(Offset(100)).leader_epoch(LeaderEpoch(3)).producer(
            ProducerId(7),
            ProducerEpoch(1),
            40,
        );
        for n in 0..4u8 {
            let key = [n];
            let headers: &[(&[u8], Option<&[u8]>)] = &[(b"h", Some(b"v")), (b"n", None)];
            let value = (n != 2).then_some(&b"value"[..]);
            builder.push(Record {
                timestamp: Timestamp(1000 - i64::from(n)),
                key: Some(&key),
                value,
                headers,
            });
        }
        builder.finish(codec, None)
    }

    fn keep(codec: Codec, horizon: Option<Timestamp>, indexes: &[usize]) -> Vec<u8> {
        let bytes = batch(codec);
        let view = BatchView::parse(&bytes).unwrap();
        let mut scratch = Vec::new();
        let records = view.records(&mut scratch, 1 << 20).unwrap();
        let kept = records.enumerate().filter(|(index, _)| indexes.contains(index));
        let mut out = b"before".to_vec();
        let kept = kept.map(|(_, record)| record.unwrap());
        let header = rewritten(view.header(), horizon, kept, &mut Vec::new(), &mut out).unwrap();
        out.drain(..6);
        assert_eq!(&header, BatchView::parse(&out).unwrap().header());
        out
    }

    #[test]
    fn what_is_kept_is_kept_whole_with_offsets_and_sequences() {
        for codec in Codec::ALL {
            for horizon in [None, Some(Timestamp(5_000_000))] {
                let out = keep(codec, horizon, &[1, 2]);
                let view = BatchView::parse(&out).unwrap();
                view.check_crc().unwrap();
                assert_eq!((view.base_offset, view.last_offset()), (Offset(100), Offset(103)));
                assert_eq!((view.base_sequence, view.last_sequence(), view.count), (40, 43, 2));
                assert_eq!((view.codec().unwrap(), view.max_timestamp), (codec, Timestamp(999)));
                assert_eq!(view.delete_horizon(), horizon);
                assert_eq!(view.base_timestamp, horizon.unwrap_or(Timestamp(999)));
                assert_eq!(view.leader_epoch, LeaderEpoch(3));
                let mut scratch = Vec::new();
                let records: Vec<_> =
                    view.records(&mut scratch, 1 << 20).unwrap().map(Result::unwrap).collect();
                let told: Vec<_> = records
                    .iter()
                    .map(|record| (record.offset.0, record.timestamp.0, record.value))
                    .collect();
                assert_eq!(told, [(101, 999, Some(&b"value"[..])), (102, 998, None)]);
                let headers: Vec<_> = records[0].headers.iter().collect();
                assert_eq!(headers, [(&b"h"[..], Some(&b"v"[..])), (b"n", None)]);
            }
        }
    }

    #[test]
    fn an_emptied_batch_still_tells_its_place_and_its_producer() {
        let bytes = batch(Codec::Zstd);
        let before = BatchView::parse(&bytes).unwrap();
        let mut out = Vec::new();
        emptied(before.header(), &mut out);
        assert_eq!(out.len(), HEADER_LEN);
        let view = BatchView::parse(&out).unwrap();
        view.check_crc().unwrap();
        assert_eq!((view.base_offset, view.last_offset()), (Offset(100), Offset(103)));
        assert_eq!((view.producer_id, view.last_sequence(), view.count), (ProducerId(7), 43, 0));
        assert_eq!((view.codec().unwrap(), view.max_timestamp), (Codec::None, before.max_timestamp));
        assert_eq!(view.base_timestamp, Timestamp::NONE);
        assert_eq!(view.records(&mut Vec::new(), 0).unwrap().count(), 0);
    }
}
