//! Batches that come again, when there is little left by which to know them.
//!
//! Must never look at what the log keeps of producers: only at what it answers.

use super::*;

#[test]
fn duplicates_are_known_when_their_records_are_gone_and_after_a_kill() {
    let fs = SimFs::new();
    let config = LogConfig { retention_ms: 1000, ..small() };
    let mut log = open(&fs, config.clone());
    let first: Vec<_> = (0..8).map(|n| idempotent(&mut log, 1, n * 2, i64::from(n)).unwrap().first).collect();
    log.retain(at(100_000), log.log_end_offset()).unwrap();
    log.remove_deleted(at(200_000)).unwrap();
    assert_eq!((log.log_start_offset(), log.size()), (Offset(16), 0), "all records are gone");
    let known = |log: &mut Log, of_five: usize| {
        for (n, first) in (0..).zip(&first).skip(3 + of_five) {
            let again = idempotent(log, 1, n * 2, 200_000).unwrap();
            assert!(again.duplicate && again.first == *first, "rule 23: {n} {again:?}");
        }
        let gap = idempotent(log, 1, 18, 200_000);
        assert!(matches!(gap, Err(AppendError::Sequence { .. })), "rule 23: {gap:?}");
    };
    known(&mut log, 0);
    drop(log);
    let mut log = open(&fs, config);
    // A snapshot holds the last batch of each producer, as Kafka's does; what is in the log is known as before.
    known(&mut log, 4);
    assert!(!idempotent(&mut log, 1, 16, 200_000).unwrap().duplicate);
}
