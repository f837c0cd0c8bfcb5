//! Tests of validation: one table of refusals, and what the rules change in a batch that is accepted.

use super::*;
use crate::batch::{BatchBuilder, Record, crc32c};
use crate::ids::{LeaderEpoch, ProducerEpoch, ProducerId};

const NOW: Timestamp = Timestamp(1_000_000_000);
const CLIENT: Origin = Origin::Client { produce_version: 9 };

fn rules() -> Rules {
    crate::log::LogConfig::default().rules()
}

fn builder(times: &[i64]) -> BatchBuilder {
    let mut builder = BatchBuilder::new();
    for time in times {
        builder.push(Record {
            timestamp: Timestamp(*time),
            key: Some(b"k"),
            value: Some(&[7; 100]),
            headers: &[],
        });
    }
    builder
}

fn batch(codec: Codec) -> Bytes {
    builder(&[NOW.0, NOW.0 + 5, NOW.0 - 5]).finish(codec, None)
}

/// Changes bytes and makes the checksum match again.
fn forge(batch: &Bytes, at: usize, bytes: &[u8]) -> Bytes {
    let mut forged = batch.to_vec();
    forged[at..at + bytes.len()].copy_from_slice(bytes);
    let crc = crc32c(&forged[batch::CRC_START..]);
    forged[17..21].copy_from_slice(&crc.to_be_bytes());
    forged.into()
}

#[track_caller]
fn refused(records: Bytes, rules: &Rules) -> InvalidBatch {
    validate(records, rules, NOW, CLIENT).expect_err("must be refused")
}

#[track_caller]
fn accepted(records: Bytes, rules: &Rules) -> (ValidBatch, Vec<u8>) {
    let valid = validate(records, rules, NOW, CLIENT).expect("must be accepted");
    let bytes = [&valid.header.encode()[..], &valid.body].concat();
    BatchView::parse(&bytes).unwrap().check_crc().unwrap();
    (valid, bytes)
}

#[test]
fn batches_pass_unchanged_with_the_producers_codec() {
    for codec in Codec::ALL {
        let sent = batch(codec);
        let (valid, bytes) = accepted(sent.clone(), &rules());
        assert_eq!(bytes, sent, "{codec}");
        assert_eq!(valid.append_time(), Timestamp::NONE);
    }
}

#[test]
fn the_shape_of_a_request_is_checked() {
    let one = batch(Codec::None);
    assert_eq!(refused(Bytes::new(), &rules()).kind, InvalidKind::Record);
    assert_eq!(refused(one.slice(..one.len() - 1), &rules()).kind, InvalidKind::Record);
    assert_eq!(refused([&one[..], &one[..]].concat().into(), &rules()).kind, InvalidKind::Record);
    assert_eq!(refused(forge(&one, 16, &[1]), &rules()).kind, InvalidKind::Record);
    assert_eq!(refused(forge(&one, 16, &[3]), &rules()).kind, InvalidKind::Corrupt);
    assert_eq!(refused(forge(&one, 8, &[0, 0, 0, 5]), &rules()).kind, InvalidKind::Corrupt);
    assert_eq!(refused(forge(&one, 0, &[0, 0, 0, 0, 0, 0, 0, 1]), &rules()).kind, InvalidKind::Record);
    let mut flipped = one.to_vec();
    *flipped.last_mut().unwrap() ^= 1;
    assert_eq!(refused(flipped.into(), &rules()).kind, InvalidKind::Corrupt);
    let cut_second = [&one[..], &one[..30]].concat();
    assert_eq!(accepted(cut_second.into(), &rules()).1, one, "a cut batch behind the first is left out");
}

#[test]
fn headers_must_agree_with_their_records() {
    for codec in [Codec::None, Codec::Zstd] {
        let one = batch(codec);
        for (at, bytes) in [
            (23, &[0, 0, 0, 3][..]),
            (23, &[0xFF, 0xFF, 0xFF, 0xFF]),
            (57, &[0, 0, 0, 2]),
            (57, &[0x7F, 0xFF, 0xFF, 0xFF]),
            (57, &[0xFF, 0xFF, 0xFF, 0xFF]),
            (21, &[0, 0x20 | codec.id()]),
        ] {
            assert_eq!(refused(forge(&one, at, bytes), &rules()).kind, InvalidKind::Record, "{codec} {at}");
        }
        // Offsets and count agree with each other but not with the records.
        let two = forge(&forge(&one, 23, &[0, 0, 0, 1]), 57, &[0, 0, 0, 2]);
        assert_eq!(refused(two, &rules()).kind, InvalidKind::Record);
        let four = forge(&forge(&one, 23, &[0, 0, 0, 3]), 57, &[0, 0, 0, 4]);
        assert_eq!(refused(four, &rules()).kind, InvalidKind::Record);
        let lying_codec = forge(&one, 21, &[0, 5]);
        assert_eq!(refused(lying_codec, &rules()).kind, InvalidKind::Compression);
    }
    let garbage = forge(&batch(Codec::None), 21, &[0, Codec::Gzip.id()]);
    assert_eq!(refused(garbage, &rules()).kind, InvalidKind::Record);
    let negative = builder(&[NOW.0]).producer(ProducerId(1), ProducerEpoch(0), -5).finish(Codec::None, None);
    assert_eq!(refused(negative, &rules()).kind, InvalidKind::Record);
}

#[test]
fn sizes_are_checked_as_sent_and_as_rewritten() {
    let one = batch(Codec::None);
    let exact = Rules { max_message_bytes: one.len(), ..rules() };
    accepted(one.clone(), &exact);
    let less = Rules { max_message_bytes: one.len() - 1, ..rules() };
    assert_eq!(refused(one, &less).kind, InvalidKind::TooLarge);
    let packed = batch(Codec::Zstd);
    let unpack = Rules {
        max_message_bytes: packed.len(),
        compression: CompressionRule::Always(Codec::None, None),
        ..rules()
    };
    assert_eq!(refused(packed, &unpack).kind, InvalidKind::TooLarge);
}

#[test]
fn zstd_needs_version_seven() {
    let old = Origin::Client { produce_version: 6 };
    let error = validate(batch(Codec::Zstd), &rules(), NOW, old).unwrap_err();
    assert_eq!(error.kind, InvalidKind::Compression);
    validate(batch(Codec::Lz4), &rules(), NOW, old).unwrap();
}

#[test]
fn compacted_topics_name_the_records_without_keys() {
    let compact = Rules { compact: true, ..rules() };
    for codec in [Codec::None, Codec::Snappy] {
        let mut builder = builder(&[NOW.0]);
        builder.push(Record { timestamp: NOW, value: Some(b"v"), ..Record::default() });
        let sent = builder.finish(codec, None);
        let error = refused(sent.clone(), &compact);
        assert_eq!((error.kind, error.records.len(), error.records[0].index), (InvalidKind::Record, 1, 1));
        accepted(sent, &rules());
    }
}

#[test]
fn create_times_must_be_near() {
    let tight = Rules { before_max_ms: 1000, after_max_ms: 10, ..rules() };
    for codec in [Codec::None, Codec::Gzip] {
        let send = |times: &[i64]| builder(times).finish(codec, None);
        accepted(send(&[NOW.0 - 1000, NOW.0 + 10, -1]), &tight);
        let error = refused(send(&[NOW.0, NOW.0 - 1001, NOW.0 + 11]), &tight);
        let indexes: Vec<_> = error.records.iter().map(|record| record.index).collect();
        assert_eq!((error.kind, indexes), (InvalidKind::Timestamp, vec![1, 2]));
        // Extremes must not overflow.
        assert_eq!(refused(send(&[i64::MIN]), &tight).kind, InvalidKind::Timestamp);
        assert_eq!(refused(send(&[i64::MAX]), &tight).kind, InvalidKind::Timestamp);
    }
    assert_eq!(
        refused(builder(&[NOW.0 + 3_600_001]).finish(Codec::None, None), &rules()).kind,
        InvalidKind::Timestamp
    );
}

#[test]
fn append_time_overwrites_the_batch_and_nothing_else() {
    let append = Rules { timestamp_type: TimestampType::LogAppendTime, ..rules() };
    for codec in Codec::ALL {
        let sent = builder(&[5, 7]).finish(codec, None);
        let (valid, bytes) = accepted(sent.clone(), &append);
        assert_eq!(valid.append_time(), NOW);
        assert_eq!(valid.header().max_timestamp, NOW);
        assert_eq!(valid.header().timestamp_type(), TimestampType::LogAppendTime);
        assert_eq!(bytes[HEADER_LEN..], sent[HEADER_LEN..]);
    }
}

#[test]
fn a_producer_may_not_claim_append_time() {
    let sent = builder(&[5]).log_append_time(Timestamp(-1)).finish(Codec::None, None);
    assert_eq!(refused(sent, &rules()).kind, InvalidKind::Timestamp);
}

#[test]
fn a_wrong_maximum_is_corrected() {
    let sent = forge(&batch(Codec::Lz4), 35, &77i64.to_be_bytes());
    let (valid, _) = accepted(sent, &rules());
    assert_eq!(valid.header().max_timestamp, Timestamp(NOW.0 + 5));
}

#[test]
fn another_codec_is_written_anew_with_everything_kept() {
    for source in Codec::ALL {
        for target in Codec::ALL.into_iter().filter(|target| *target != source) {
            let mut builder = builder(&[NOW.0, NOW.0 + 3]).transactional();
            builder.push(Record {
                timestamp: Timestamp(NOW.0 + 9),
                key: Some(b"k"),
                value: None,
                headers: &[(b"a", Some(b"b")), (b"c", None)],
            });
            let sent = builder.producer(ProducerId(9), ProducerEpoch(2), 31).finish(source, None);
            let rules = Rules { compression: CompressionRule::Always(target, None), ..rules() };
            let (valid, bytes) = accepted(sent.clone(), &rules);
            let header = valid.header();
            assert_eq!(header.codec().unwrap(), target);
            assert!(header.is_transactional());
            assert_eq!((header.producer_id.0, header.producer_epoch.0, header.base_sequence), (9, 2, 31));
            assert_eq!(header.max_timestamp, Timestamp(NOW.0 + 9));
            let (mut a, mut b) = (Vec::new(), Vec::new());
            let (sent, kept) = (BatchView::parse(&sent).unwrap(), BatchView::parse(&bytes).unwrap());
            let sent: Vec<_> = sent.records(&mut a, 1 << 20).unwrap().map(Result::unwrap).collect();
            let kept: Vec<_> = kept.records(&mut b, 1 << 20).unwrap().map(Result::unwrap).collect();
            assert_eq!(sent, kept, "{source} to {target}");
        }
    }
}

#[test]
fn own_batches_pass_as_they_are() {
    let bytes = builder(&[1]).control().leader_epoch(LeaderEpoch(5)).finish(Codec::None, None);
    let valid = validate(bytes.clone(), &rules(), NOW, Origin::Coordinator).unwrap();
    assert_eq!(valid.size(), bytes.len());
}

#[test]
fn a_bomb_is_refused_without_memory() {
    let mut zeros = BatchBuilder::new();
    let chunk = vec![0; 16 << 20];
    for _ in 0..17 {
        zeros.push(Record { key: Some(b"k"), value: Some(&chunk), timestamp: NOW, headers: &[] });
    }
    let bomb = zeros.finish(Codec::Zstd, None);
    assert!(bomb.len() < 100_000, "{}", bomb.len());
    assert_eq!(refused(bomb, &rules()).kind, InvalidKind::TooLarge);
}
