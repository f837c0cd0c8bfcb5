//! Tests of batches: what is built can be read, and hostile bytes are refused without harm.

use super::*;

const CAP: usize = 1 << 20;

fn sample(codec: Codec) -> bytes::Bytes {
    let mut builder = BatchBuilder::new().base_offset(Offset(5)).leader_epoch(LeaderEpoch(3));
    for n in 0..10i64 {
        let value = format!("value {n} {}", "x".repeat(200));
        builder.push(Record {
            timestamp: Timestamp(1000 + n * 7 % 30),
            key: (n % 3 != 0).then_some(b"key".as_slice()),
            value: (n % 4 != 3).then_some(value.as_bytes()),
            headers: &[(b"h", None), (b"", Some(b"v"))],
        });
    }
    builder.finish(codec, None)
}

#[test]
fn records_come_back_from_every_codec() {
    for codec in Codec::ALL {
        let bytes = sample(codec);
        let batch = BatchView::parse(&bytes).unwrap();
        batch.check_crc().unwrap();
        assert_eq!((batch.base_offset, batch.last_offset(), batch.count), (Offset(5), Offset(14), 10));
        assert_eq!(batch.codec().unwrap(), codec);
        let mut scratch = Vec::new();
        let records: Vec<_> = batch.records(&mut scratch, CAP).unwrap().map(|r| r.unwrap()).collect();
        assert_eq!(records.len(), 10);
        assert_eq!(records[9].offset, Offset(14));
        assert_eq!(records[0].key, None);
        assert_eq!(records[1].key, Some(b"key".as_slice()));
        assert_eq!(records[3].value, None);
        let headers: Vec<_> = records[4].headers.iter().collect();
        assert_eq!(headers, vec![(b"h".as_slice(), None), (b"".as_slice(), Some(b"v".as_slice()))]);
        let max = records.iter().map(|r| r.timestamp).max();
        assert_eq!(max, Some(batch.max_timestamp));
        if codec != Codec::None {
            let skimmed: Vec<_> = skim(&batch, CAP).unwrap().map(|r| r.unwrap()).collect();
            assert_eq!(skimmed.len(), 10);
            assert!(skimmed[0].key.is_none() && skimmed[1].key.is_some());
            assert_eq!(skimmed[9].offset_delta, 9);
        }
    }
}

#[test]
fn every_cut_and_every_flipped_byte_is_survived() {
    for codec in Codec::ALL {
        let bytes = sample(codec);
        for cut in 0..bytes.len() {
            assert!(BatchView::parse(&bytes[..cut]).is_err());
            assert_eq!(walk(&bytes[..cut]).count(), 0, "a cut batch ends the walk");
        }
        for at in 0..bytes.len() {
            for value in [0, 0x7F, 0x80, 0xFF] {
                let mut hostile = bytes.to_vec();
                hostile[at] = value;
                for batch in walk(&hostile).flatten() {
                    let mut scratch = Vec::new();
                    if let Ok(records) = batch.records(&mut scratch, CAP) {
                        records.for_each(drop);
                    }
                    if batch.codec().is_ok_and(|codec| codec != Codec::None) {
                        let _ = skim(&batch, CAP).map(|records| records.for_each(drop));
                    }
                    assert!(scratch.capacity() <= 2 * CAP);
                }
            }
        }
    }
}

#[test]
fn a_count_of_two_billion_costs_nothing() {
    let mut bytes = sample(Codec::None).to_vec();
    bytes[57..61].copy_from_slice(&i32::MAX.to_be_bytes());
    let batch = BatchView::parse(&bytes).unwrap();
    let mut scratch = Vec::new();
    let read: Vec<_> = batch.records(&mut scratch, CAP).unwrap().collect();
    assert_eq!(read.len(), 11);
    assert!(matches!(read[10], Err(BatchError::Record { index: 10, .. })));
}

#[test]
fn a_bomb_stops_at_the_cap() {
    let zeros = vec![0; 8 << 20];
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let mut builder = BatchBuilder::new();
        builder.push(Record { value: Some(&zeros), ..Record::default() });
        let bytes = builder.finish(codec, None);
        let batch = BatchView::parse(&bytes).unwrap();
        let mut scratch = Vec::new();
        let error = batch.records(&mut scratch, CAP).unwrap_err();
        assert!(
            matches!(error, BatchError::Decompress(DecompressError::TooLarge { .. })),
            "{codec:?}: {error}"
        );
        assert!(scratch.capacity() <= 2 * CAP, "{codec:?} {}", scratch.capacity());
        let error = skim(&batch, CAP).and_then(|mut s| s.next().unwrap()).unwrap_err();
        assert!(
            matches!(error, BatchError::Decompress(DecompressError::TooLarge { .. })),
            "{codec:?}: {error}"
        );
        assert_eq!(skim(&batch, 9 << 20).unwrap().count(), 1);
    }
}

#[test]
fn walking_goes_over_all_batches_and_stops_at_a_cut_one() {
    let one = sample(Codec::None);
    let mut bytes = [one.clone(), one.clone(), one.clone()].concat();
    bytes.truncate(bytes.len() - 1);
    let mut walker = walk(&bytes);
    assert!(walker.next().unwrap().is_ok());
    assert!(walker.next().unwrap().is_ok());
    assert!(walker.next().is_none());
    assert_eq!(walker.rest(), one.len() - 1);
}

#[test]
fn sequences_wrap_after_the_largest() {
    assert_eq!(advance_sequence(i32::MAX - 1, 1), i32::MAX);
    assert_eq!(advance_sequence(i32::MAX, 1), 0);
    assert_eq!(advance_sequence(i32::MAX, 5), 4);
    assert_eq!(rewind_sequence(4, 5), i32::MAX);
    assert_eq!(rewind_sequence(4, 4), 0);
}

#[test]
fn transaction_markers_come_back() {
    let marker = EndTransaction { commit: true, coordinator_epoch: 77 };
    let (key, value) = marker.encode();
    let mut builder = BatchBuilder::new().control().transactional();
    builder.push(Record { key: Some(&key), value: Some(&value), ..Record::default() });
    let bytes = builder.finish(Codec::None, None);
    let batch = BatchView::parse(&bytes).unwrap();
    assert!(batch.is_control() && batch.is_transactional());
    let mut scratch = Vec::new();
    let record = batch.records(&mut scratch, CAP).unwrap().next().unwrap().unwrap();
    assert_eq!(EndTransaction::parse(&record), Some(marker));
}
