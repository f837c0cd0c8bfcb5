//! Tests of logs that are cut while their disk is full, and go on in the same process.
//!
//! Like all tests of the log, they must never look at more than its files and its public face.

use super::*;

/// Forty records of two producers, in epochs 0 to 3.
fn written(fs: &SimFs) -> Log {
    let mut log = open(fs, small());
    for n in 0..20i64 {
        let builder = records(n, 2, n * 10).producer(ProducerId(n % 2), ProducerEpoch(0), (n / 2 * 2) as i32);
        log.append_as_leader(valid(builder), LeaderEpoch((n / 5) as i32), at(n)).unwrap();
    }
    log
}

/// What a log of [`written`] that ends there says of producers and epochs.
fn assert_ends(log: &Log, end: i64, what: &str) {
    assert_eq!(log.log_end_offset(), Offset(end), "{what}");
    assert_eq!(offsets_below_gap(log), (0..end).collect::<Vec<_>>(), "{what}");
    for id in 0..2 {
        let last = (0..end / 2).filter(|n| n % 2 == id).max().map(|n| (n / 2 * 2 + 1) as i32);
        let entry = log.producers().into_iter().find(|entry| entry.producer_id.0 == id);
        assert_eq!(entry.map(|entry| entry.last_sequence), last, "{what}, producer {id}");
    }
    let latest = (0..4).filter(|epoch| epoch * 10 < end).max().map(|epoch| LeaderEpoch(epoch as i32));
    assert_eq!(log.latest_epoch(), latest, "{what}");
}

#[test]
fn a_cut_that_a_full_disk_hinders_is_made_or_not_and_the_log_goes_on() {
    let mut hindered = (0, 0);
    for cut in [0, 2, 8, 20, 26, 38] {
        for free in 0..200 {
            let fs = SimFs::new();
            let mut log = written(&fs);
            fs.fill(free);
            let done = log.truncate_to(Offset(cut), at(100));
            fs.heal();
            let end = log.log_end_offset().0;
            let what = format!("cut {cut}, {free} bytes free: {done:?}");
            assert!(end == cut || (end == 40 && done.is_err()), "{what}");
            hindered.0 += usize::from(done.is_err() && end == 40);
            hindered.1 += usize::from(done.is_err() && end == cut);
            assert_ends(&log, end, &what);
            // Whoever leads next takes it as it is.
            let appended =
                log.append_as_leader(valid(records(77, 2, 5000)), LeaderEpoch(9), at(5000)).unwrap();
            assert_eq!(appended.first, Offset(end), "{what}");
            drop(log);
            let log = open(&fs, small());
            assert_eq!(log.log_end_offset(), Offset(end + 2), "{what}");
            assert_eq!(log.latest_epoch(), Some(LeaderEpoch(9)), "{what}");
            assert_eq!(log.end_offset_for_epoch(LeaderEpoch(3)).unwrap().1, Offset(end), "{what}");
        }
    }
    assert!(hindered.0 + hindered.1 > 0, "{hindered:?}");
}

#[test]
fn a_log_that_begins_elsewhere_on_a_full_disk_gets_its_file_later() {
    for free in 0..40 {
        let fs = SimFs::new();
        let mut log = open(&fs, LogConfig::default());
        (0..5).for_each(|n| _ = idempotent(&mut log, 1, n * 2, 0).unwrap());
        fs.fill(free);
        let done = log.truncate_fully_and_start_at(Offset(500), at(1));
        assert!(free > 0 || done.is_err());
        assert_eq!((log.log_start_offset(), log.log_end_offset()), (Offset(500), Offset(500)));
        assert!(log.producers().is_empty() && log.latest_epoch().is_none());
        if free == 0 {
            let refused = log.append_as_leader(valid(records(1, 2, 2)), EPOCH, at(2)).unwrap_err();
            assert!(matches!(&refused, AppendError::Storage(error) if error.is_shortage()), "{refused}");
        }
        fs.heal();
        assert_eq!(append(&mut log, 0, 2, 2).first, Offset(500));
        drop(log);
        let log = open(&fs, LogConfig::default());
        assert_eq!((log.log_start_offset(), offsets(&log, 500)), (Offset(500), vec![500, 501]));
    }
}

#[test]
fn batches_that_a_full_disk_refused_leave_no_epoch_behind() {
    let mut refused = 0;
    let leader = written(&SimFs::new());
    let bytes = |from: i64| leader.read(Offset(from), 5000, Offset(40), true).unwrap().read_all().unwrap();
    let epochs = |log: &Log| [0, 1, 2, 3].map(|epoch| log.end_offset_for_epoch(LeaderEpoch(epoch)));
    for free in 0..300 {
        let fs = SimFs::new();
        let mut log = open(&fs, small());
        let first = bytes(0);
        let two: usize = walk(&first).take(2).map(|batch| batch.unwrap().size()).sum();
        log.append_as_follower(Bytes::copy_from_slice(&first[..two]), at(1)).unwrap();
        fs.fill(free);
        for _ in 0..3 {
            let end = log.log_end_offset().0;
            refused += usize::from(log.append_as_follower(bytes(end).into(), at(1)).is_err());
            assert!(log.latest_epoch() <= Some(LeaderEpoch((log.log_end_offset().0 as i32 - 1) / 10)));
        }
        fs.heal();
        while log.log_end_offset() < Offset(40) {
            log.append_as_follower(bytes(log.log_end_offset().0).into(), at(1)).unwrap();
        }
        assert_eq!(epochs(&log), epochs(&leader), "{free} bytes free");
        drop(log);
        assert_eq!(epochs(&open(&fs, small())), epochs(&leader), "{free} bytes free");
    }
    assert!(refused > 0);
}

#[test]
fn batches_that_a_full_disk_refused_are_not_there_when_the_power_fails() {
    let leader = written(&SimFs::new());
    let all = leader.read(Offset(0), 5000, Offset(40), true).unwrap().read_all().unwrap();
    let one = walk(&all).next().unwrap().unwrap().size();
    assert!(all.len() > 3 * one);
    let mut refused = 0;
    for seed in 0..200 {
        let fs = SimFs::new();
        // All in one segment, so that they are written together.
        let mut log = open(&fs, LogConfig::default());
        log.append_as_follower(Bytes::copy_from_slice(&all[..one]), at(1)).unwrap();
        log.flush().unwrap();
        // Room for some whole batches, not for all.
        fs.fill((all.len() - one - 10) as u64);
        refused += usize::from(log.append_as_follower(Bytes::copy_from_slice(&all[one..]), at(1)).is_err());
        let end = log.log_end_offset();
        drop(log);
        fs.power_loss(seed);
        assert!(open(&fs, LogConfig::default()).log_end_offset() <= end, "seed {seed}");
    }
    assert_eq!(refused, 200);
}
