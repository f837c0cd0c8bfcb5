//! Tests of the producer rules: duplicates, sequences, epochs, transactions.

use super::*;
use crate::batch::{BatchBuilder, Record};
use crate::compress::Codec;

fn header(base: i64, id: i64, epoch: i16, sequence: i32, count: i32, transactional: bool) -> Header {
    let mut builder = BatchBuilder::new().base_offset(Offset(base)).producer(
        ProducerId(id),
        ProducerEpoch(epoch),
        sequence,
    );
    if transactional {
        builder = builder.transactional();
    }
    for _ in 0..count {
        builder.push(Record { timestamp: Timestamp(base), ..Record::default() });
    }
    Header::parse(&builder.finish(Codec::None, None)).unwrap()
}

fn with(headers: &[Header]) -> Producers {
    let mut producers = Producers::none(Offset(0));
    for header in headers {
        producers.check(header).unwrap();
        producers.apply(header);
    }
    producers
}

#[test]
fn the_last_five_batches_are_recognised_as_duplicates() {
    let sent: Vec<_> = (0..7).map(|n| header(n * 2, 1, 0, n as i32 * 2, 2, false)).collect();
    let producers = with(&sent);
    for (n, header) in sent.iter().enumerate() {
        let original = producers.duplicate(header);
        assert_eq!(original.map(|written| written.first_offset()), (n >= 2).then_some(header.base_offset));
    }
    assert_eq!(producers.duplicate(&header(0, 1, 0, 12, 1, false)), None, "another length is another batch");
    assert_eq!(producers.duplicate(&header(0, 1, 1, 12, 2, false)), None, "another epoch is another batch");
}

#[test]
fn what_five_later_batches_pushed_out_is_known_to_be_in_the_log() {
    let sent: Vec<_> = (0..9).map(|n| header(n * 2, 1, 0, n as i32 * 2, 2, false)).collect();
    let producers = with(&sent);
    let before = |n: usize| producers.repeated(&sent[n]);
    assert_eq!(
        (0..9).map(before).collect::<Vec<_>>(),
        [[Some(Offset(8)); 4].as_slice(), &[None; 5]].concat()
    );
    assert_eq!(producers.repeated(&header(0, 1, 0, 7, 2, false)), None, "half of it is remembered");
    assert_eq!(producers.repeated(&header(0, 1, 1, 0, 2, false)), None, "another epoch");
    assert_eq!(producers.repeated(&header(0, 2, 0, 0, 2, false)), None, "another producer");
    // Without the beginning nobody knows what came before it.
    let late: Vec<_> = (4..13).map(|n| header(n * 2, 1, 0, n as i32 * 2, 2, false)).collect();
    assert_eq!(with(&late).repeated(&sent[0]), None);
    assert_eq!(with(&late).repeated(&late[0]), None);
    // Once around, a number says nothing.
    let mut around = with(&[header(0, 1, 0, 0, 5, false)]);
    around.by_id.get_mut(&ProducerId(1)).unwrap().written[0].last_sequence = i32::MAX - 1;
    (0..7)
        .for_each(|n| around.apply(&header(5 + n, 1, 0, [i32::MAX, 0, 1, 2, 3, 4, 5][n as usize], 1, false)));
    assert_eq!(around.repeated(&header(0, 1, 0, 0, 1, false)), None);
}

#[test]
fn sequences_follow_each_other_without_gaps() {
    let producers = with(&[header(0, 1, 0, 0, 5, false)]);
    producers.check(&header(5, 1, 0, 5, 1, false)).unwrap();
    for wrong in [0, 4, 6, 100] {
        let error = producers.check(&header(5, 1, 0, wrong, 1, false)).unwrap_err();
        assert!(matches!(error, AppendError::Sequence { last_sequence: 4, .. }), "{wrong}: {error}");
    }
}

#[test]
fn an_unknown_producer_may_begin_anywhere_and_a_new_epoch_at_zero() {
    let producers = with(&[header(0, 1, 3, 77, 1, false)]);
    producers.check(&header(1, 1, 4, 0, 1, false)).unwrap();
    assert!(matches!(
        producers.check(&header(1, 1, 4, 78, 1, false)),
        Err(AppendError::Sequence { sequence: 78, .. })
    ));
    assert!(matches!(
        producers.check(&header(1, 1, 2, 78, 1, false)),
        Err(AppendError::ProducerEpoch { .. })
    ));
}

#[test]
fn sequences_wrap_to_zero() {
    let producers = with(&[header(0, 1, 0, i32::MAX - 1, 2, false)]);
    producers.check(&header(2, 1, 0, 0, 1, false)).unwrap();
    let across = with(&[header(0, 1, 0, i32::MAX - 1, 5, false)]);
    across.check(&header(5, 1, 0, 3, 1, false)).unwrap();
    assert!(across.duplicate(&header(0, 1, 0, i32::MAX - 1, 5, false)).is_some());
}

#[test]
fn open_transactions_hold_the_last_stable_offset_until_their_marker_is_replicated() {
    let mut producers = with(&[header(0, 1, 0, 0, 5, true), header(5, 2, 0, 0, 5, true)]);
    assert_eq!(producers.first_unstable(Offset(10)), Some(Offset(0)));
    assert!(matches!(
        producers.check(&header(10, 1, 0, 5, 1, false)),
        Err(AppendError::TransactionState { .. })
    ));
    let abort = EndTransaction { commit: false, coordinator_epoch: 1 };
    let aborted = producers.apply_marker(&header(10, 1, 0, -1, 1, true), abort, Timestamp(9)).unwrap();
    assert_eq!((aborted.first, aborted.last, aborted.last_stable), (Offset(0), Offset(10), Offset(5)));
    assert_eq!(producers.first_unstable(Offset(10)), Some(Offset(0)), "the marker is not replicated yet");
    assert_eq!(producers.first_unstable(Offset(11)), Some(Offset(5)));
    let commit = EndTransaction { commit: true, coordinator_epoch: 1 };
    assert_eq!(producers.apply_marker(&header(11, 2, 0, -1, 1, true), commit, Timestamp(9)), None);
    producers.settle(Offset(12));
    assert_eq!(producers.first_unstable(Offset(12)), None);
}

#[test]
fn markers_of_old_coordinators_and_epochs_are_fenced() {
    let mut producers = with(&[header(0, 1, 5, 0, 1, true)]);
    let marker = EndTransaction { commit: true, coordinator_epoch: 3 };
    producers.apply_marker(&header(1, 1, 5, -1, 1, true), marker, Timestamp(1));
    let old = EndTransaction { commit: true, coordinator_epoch: 2 };
    assert!(matches!(
        producers.check_marker(&header(2, 1, 5, -1, 1, true), old, 0),
        Err(AppendError::CoordinatorFenced { epoch: 2, current: 3, .. })
    ));
    assert!(matches!(
        producers.check_marker(&header(2, 1, 4, -1, 1, true), marker, 0),
        Err(AppendError::ProducerEpoch { .. })
    ));
}

#[test]
fn markers_of_version_two_end_a_transaction_with_a_later_epoch_only() {
    let mut producers = with(&[header(0, 1, 5, 0, 1, true)]);
    let marker = EndTransaction { commit: true, coordinator_epoch: 0 };
    assert!(matches!(
        producers.check_marker(&header(1, 1, 5, -1, 1, true), marker, 2),
        Err(AppendError::ProducerEpoch { .. })
    ));
    let bumped = header(1, 1, 6, -1, 1, true);
    producers.check_marker(&bumped, marker, 2).unwrap();
    producers.apply_marker(&bumped, marker, Timestamp(1));
    assert!(producers.check_marker(&bumped, marker, 2).is_ok(), "the same once more ends nothing");
    producers.check(&header(2, 1, 6, 0, 1, true)).unwrap();
    assert!(producers.check_epoch(&header(2, 1, 5, 0, 1, true)).is_err());
}

#[test]
fn silent_producers_expire_unless_a_transaction_is_open() {
    let mut producers = with(&[header(10, 1, 0, 0, 1, false), header(11, 2, 0, 0, 1, true)]);
    producers.expire(Timestamp(109), 100);
    assert_eq!(producers.iter().count(), 2);
    producers.expire(Timestamp(110), 100);
    assert_eq!(producers.iter().map(|(id, _)| id.0).collect::<Vec<_>>(), [2]);
}
