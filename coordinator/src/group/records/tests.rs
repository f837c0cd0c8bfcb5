//! The records against bytes written out by hand from Kafka's schemas.

use bytes::Bytes;
use milena_storage::ids::{LeaderEpoch, Offset, Timestamp};
use uuid::Uuid;

use super::{Change, GroupMetadata, MemberMetadata, OffsetCommit, OffsetKey, Record, WireError};

fn key() -> OffsetKey {
    OffsetKey { group: "g1".into(), topic: "tp".into(), partition: 7 }
}

fn commit() -> OffsetCommit {
    OffsetCommit {
        offset: Offset(42),
        leader_epoch: LeaderEpoch(3),
        metadata: "me".into(),
        commit_timestamp: Timestamp(0x0102),
        expire_timestamp: None,
        topic_id: Uuid::from_bytes([9; 16]),
    }
}

fn group() -> GroupMetadata {
    GroupMetadata {
        protocol_type: "consumer".into(),
        generation: 5,
        protocol: Some("range".into()),
        leader: Some("m1".into()),
        state_timestamp: Some(Timestamp(99)),
        members: vec![MemberMetadata {
            member_id: "m1".into(),
            instance_id: None,
            client_id: "c".into(),
            client_host: "/127.0.0.1".into(),
            rebalance_timeout_ms: 300,
            session_timeout_ms: 200,
            subscription: Bytes::from_static(&[1, 2]),
            assignment: Bytes::from_static(&[3]),
        }],
    }
}

#[test]
fn an_offset_commit_is_written_as_version_four_with_the_topic_id_tagged() {
    let record = Record::offset(&key(), &commit()).unwrap();
    assert_eq!(&record.key[..], b"\x00\x01\x00\x02g1\x00\x02tp\x00\x00\x00\x07");
    let mut value = vec![0, 4];
    value.extend([0, 0, 0, 0, 0, 0, 0, 42, 0, 0, 0, 3, 3, b'm', b'e', 0, 0, 0, 0, 0, 0, 1, 2]);
    value.extend([1, 0, 16]);
    value.extend([9; 16]);
    assert_eq!(record.value.as_deref(), Some(&value[..]));
    assert_eq!(decode(&record), Change::Offset(key(), Some(commit())));
}

#[test]
fn a_nil_topic_id_is_left_out() {
    let nil = OffsetCommit { topic_id: Uuid::nil(), ..commit() };
    let value = Record::offset(&key(), &nil).unwrap().value.unwrap();
    assert_eq!(value[value.len() - 1], 0, "no tagged fields");
}

#[test]
fn a_commit_with_an_expiry_is_written_as_version_one() {
    let expiring = OffsetCommit { expire_timestamp: Some(Timestamp(500)), ..commit() };
    let record = Record::offset(&key(), &expiring).unwrap();
    let mut value = vec![0, 1, 0, 0, 0, 0, 0, 0, 0, 42, 0, 2, b'm', b'e', 0, 0, 0, 0, 0, 0, 1, 2];
    value.extend(500_i64.to_be_bytes());
    assert_eq!(record.value.as_deref(), Some(&value[..]));
    // Version 1 has room neither for the epoch nor for the topic id.
    let read = OffsetCommit { leader_epoch: LeaderEpoch::NONE, topic_id: Uuid::nil(), ..expiring };
    assert_eq!(decode(&record), Change::Offset(key(), Some(read)));
}

#[test]
fn older_versions_of_an_offset_commit_are_read() {
    let tail = [0, 2, b'm', b'e', 0, 0, 0, 0, 0, 0, 1, 2];
    let old = OffsetCommit { leader_epoch: LeaderEpoch::NONE, topic_id: Uuid::nil(), ..commit() };
    for version in [0_i16, 2] {
        let mut value = version.to_be_bytes().to_vec();
        value.extend(42_i64.to_be_bytes());
        value.extend(tail);
        let record = Record { key: key().encode().unwrap(), value: Some(value.into()) };
        assert_eq!(decode(&record), Change::Offset(key(), Some(old.clone())), "version {version}");
    }
    let mut value = vec![0, 3];
    value.extend(42_i64.to_be_bytes());
    value.extend(3_i32.to_be_bytes());
    value.extend(tail);
    let record = Record {
        key: Bytes::from_static(b"\x00\x00\x00\x02g1\x00\x02tp\x00\x00\x00\x07"),
        value: Some(value.into()),
    };
    let read = OffsetCommit { topic_id: Uuid::nil(), ..commit() };
    assert_eq!(decode(&record), Change::Offset(key(), Some(read)), "version 3 under the legacy key type");
}

#[test]
fn a_group_is_written_as_version_three() {
    let record = Record::group("g1", &group()).unwrap();
    assert_eq!(&record.key[..], b"\x00\x02\x00\x02g1");
    let mut value = b"\x00\x03\x00\x08consumer\x00\x00\x00\x05\x00\x05range\x00\x02m1".to_vec();
    value.extend(99_i64.to_be_bytes());
    value.extend(b"\x00\x00\x00\x01\x00\x02m1\xff\xff\x00\x01c\x00\x0a/127.0.0.1");
    value.extend(b"\x00\x00\x01\x2c\x00\x00\x00\xc8\x00\x00\x00\x02\x01\x02\x00\x00\x00\x01\x03");
    assert_eq!(record.value.as_deref(), Some(&value[..]));
    assert_eq!(decode(&record), Change::Group("g1".into(), Some(group())));
}

#[test]
fn the_flexible_version_of_a_group_is_read() {
    let mut value = b"\x00\x04\x09consumer\x00\x00\x00\x05\x06range\x03m1".to_vec();
    value.extend(99_i64.to_be_bytes());
    value.extend(
        b"\x02\x03m1\x00\x02c\x0b/127.0.0.1\x00\x00\x01\x2c\x00\x00\x00\xc8\x03\x01\x02\x02\x03\x00\x00",
    );
    let record = Record { key: Bytes::from_static(b"\x00\x02\x00\x02g1"), value: Some(value.into()) };
    assert_eq!(decode(&record), Change::Group("g1".into(), Some(group())));
}

#[test]
fn version_zero_takes_the_session_timeout_for_rebalances_too() {
    let mut value = b"\x00\x00\x00\x08consumer\x00\x00\x00\x05\x00\x05range\x00\x02m1".to_vec();
    value.extend(b"\x00\x00\x00\x01\x00\x02m1\x00\x01c\x00\x0a/127.0.0.1");
    value.extend(b"\x00\x00\x00\xc8\x00\x00\x00\x02\x01\x02\x00\x00\x00\x01\x03");
    let record = Record { key: Bytes::from_static(b"\x00\x02\x00\x02g1"), value: Some(value.into()) };
    let Change::Group(_, Some(read)) = decode(&record) else { panic!("not a group") };
    assert_eq!(read.members[0].rebalance_timeout_ms, 200);
    assert_eq!(read.state_timestamp, None);
}

#[test]
fn tombstones_have_no_value() {
    assert_eq!(decode(&Record::offset_tombstone(&key()).unwrap()), Change::Offset(key(), None));
    assert_eq!(decode(&Record::group_tombstone("g1").unwrap()), Change::Group("g1".into(), None));
}

#[test]
fn unknown_types_and_versions_are_told_apart_from_damage() {
    let foreign = Record { key: Bytes::from_static(&[0, 77, 1, 2, 3]), value: None };
    assert_eq!(decode(&foreign), Change::Unknown(77));
    let newer = Record { key: key().encode().unwrap(), value: Some(Bytes::from_static(&[0, 9, 1])) };
    assert_eq!(decode(&newer), Change::Unknown(1));
    let cut = Record { key: Bytes::from_static(&[0, 1, 0, 9, b'g']), value: None };
    assert!(matches!(Record::decode(&cut.key, None), Err(WireError::Short { field: "group", .. })));
}

#[test]
fn a_lying_count_costs_no_memory() {
    let mut value = b"\x00\x03\x00\x00\x00\x00\x00\x05\xff\xff\xff\xff".to_vec();
    value.extend([0; 8]);
    value.extend(b"\x7f\xff\xff\xff");
    assert!(matches!(
        Record::decode(b"\x00\x02\x00\x02g1", Some(&value)),
        Err(WireError::Length { field: "members", .. })
    ));
}

#[test]
fn what_does_not_fit_is_refused_and_not_cut() {
    let long = OffsetKey { group: "g".repeat(40_000), ..key() };
    assert!(matches!(Record::offset(&long, &commit()), Err(WireError::TooLong { field: "group", .. })));
}

fn decode(record: &Record) -> Change {
    Record::decode(&record.key, record.value.as_deref()).unwrap()
}
