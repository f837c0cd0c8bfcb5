//! The records against bytes that Kafka 4.3.1's own classes wrote.

use bytes::Bytes;
use milena_storage::ids::Timestamp;
use uuid::Uuid;

use super::*;

const TOPIC: Uuid = Uuid::from_u128(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10);

/// The value's bytes are those, the key's begin with the type, and both read back.
fn check(change: &ConsumerChange, kind: i16, value: &str) {
    let record = Record::consumer("g", change).unwrap();
    let hex: String = record.value.iter().flatten().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, value);
    assert_eq!(record.key[..2], kind.to_be_bytes());
    assert_eq!(record.key[2..5], *b"\x00\x01g");
    let back = Record::decode(&record.key, record.value.as_deref()).unwrap();
    assert_eq!(back, Change::Consumer("g".to_owned(), change.clone()));
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

#[test]
fn epochs_carry_their_hash_and_time_as_tags() {
    let epoch = |metadata_hash| ConsumerChange::Epoch(Some(GroupEpoch { epoch: 7, metadata_hash }));
    check(&epoch(-3), 3, "000000000007010008fffffffffffffffd");
    check(&epoch(0), 3, "00000000000700");
    let target = TargetEpoch { epoch: 4, at: Timestamp(99) };
    check(&ConsumerChange::TargetEpoch(Some(target)), 6, "0000000000040100080000000000000063");
}

#[test]
fn members_are_written_as_kafka_does() {
    let member = ConsumerMember {
        instance_id: Some("i".to_owned()),
        rack_id: None,
        client_id: "c".to_owned(),
        client_host: "/h".to_owned(),
        topics: names(&["b", "a"]),
        regex: Some(String::new()),
        rebalance_timeout_ms: 300,
        server_assignor: Some("range".to_owned()),
        classic: None,
    };
    let change = ConsumerChange::Member("m".to_owned(), Some(member.clone()));
    check(&change, 5, "00000269000263032f680302610262010000012c0672616e676500");
    let protocols = vec![("range".to_owned(), Bytes::from_static(&[1, 2]))];
    let classic = ConsumerMember {
        instance_id: Some(String::new()),
        rack_id: Some(String::new()),
        topics: names(&[]),
        regex: None,
        server_assignor: Some(String::new()),
        classic: Some(ClassicMember { session_timeout_ms: 5, protocols }),
        ..member
    };
    let change = ConsumerChange::Member("m".to_owned(), Some(classic));
    check(&change, 5, "000001010263032f6801000000012c010100110100000005020672616e67650301020000");
}

#[test]
fn assignments_are_written_as_kafka_does() {
    let target = Partitions::from([(TOPIC, [0, 2].into())]);
    let change = ConsumerChange::Target("m".to_owned(), Some(target));
    check(&change, 7, "0000020102030405060708090a0b0c0d0e0f100300000000000000020000");
    let current = CurrentAssignment {
        epoch: 3,
        previous_epoch: 2,
        state: 1,
        assigned: Owned::from([(TOPIC, [(0, 2), (2, 3)].into())]),
        revoking: Owned::new(),
    };
    let change = ConsumerChange::Current("m".to_owned(), Some(current));
    let bytes = "0000000000030000000201020102030405060708090a0b0c0d0e0f100300000000000000020100090300000002\
        000000030100";
    check(&change, 8, bytes);
}

#[test]
fn patterns_are_written_as_kafka_does() {
    let regex = Regex { topics: names(&["a"]), version: 8, at: Timestamp(9) };
    let change = ConsumerChange::Regex("a.*".to_owned(), Some(regex));
    check(&change, 16, "00000202610000000000000008000000000000000900");
}

#[test]
fn deletions_have_no_value() {
    check(&ConsumerChange::Epoch(None), 3, "");
    check(&ConsumerChange::PartitionMetadata(false), 4, "");
    check(&ConsumerChange::Current("m".to_owned(), None), 8, "");
}

#[test]
fn partitions_without_epochs_were_assigned_in_the_members() {
    // As written before 4.3: no tag.
    let value =
        b"\x00\x00\x00\x00\x00\x05\x00\x00\x00\x04\x00\x02\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\
        \x0c\x0d\x0e\x0f\x10\x02\x00\x00\x00\x03\x00\x01\x00";
    let key = b"\x00\x08\x00\x01g\x00\x01m";
    let Change::Consumer(_, ConsumerChange::Current(_, Some(current))) =
        Record::decode(key, Some(value)).unwrap()
    else {
        panic!("not an assignment")
    };
    assert_eq!(current.assigned, Owned::from([(TOPIC, [(3, 5)].into())]));
}

#[test]
fn a_later_version_is_skipped() {
    let decoded = Record::decode(b"\x00\x03\x00\x01g", Some(b"\x00\x01whatever")).unwrap();
    assert_eq!(decoded, Change::Unknown(3));
}
