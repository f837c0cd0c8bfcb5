//! The replication rules that the leader's arithmetic keeps; the numbers are those of docs/REPLICATION.md.

use super::*;
use milena_storage::ids::PartitionIndex;

const LAG: i64 = 30_000;
const EPOCH: LeaderEpoch = LeaderEpoch(5);

fn state(isr: &[i32], partition_epoch: i32) -> PartitionImage {
    let ids = |list: &[i32]| list.iter().copied().map(BrokerId).collect::<Vec<_>>();
    PartitionImage {
        index: PartitionIndex(0),
        leader: Some(BrokerId(1)),
        leader_epoch: EPOCH,
        partition_epoch,
        replicas: ids(&[1, 2, 3]),
        isr: ids(isr),
        adding: Vec::new(),
        removing: Vec::new(),
        elr: Vec::new(),
        last_known_elr: Vec::new(),
        recovering: false,
        directories: Vec::new(),
    }
}

/// Broker n has epoch 10 n; broker 9 is not there.
fn all_live(id: BrokerId) -> Option<i64> {
    (id.0 < 9).then_some(i64::from(id.0) * 10)
}

fn at<'a>(now: i64, end: i64, live: &'a dyn Fn(BrokerId) -> Option<i64>) -> Terms<'a> {
    Terms { now: Timestamp(now), end: Offset(end), lag_max_ms: LAG, min_in_sync: 2, live }
}

fn fetch(replica: i32, end: i64) -> Fetched {
    Fetched {
        replica: BrokerId(replica),
        broker_epoch: i64::from(replica) * 10,
        leader_epoch: EPOCH,
        end: Offset(end),
        log_start: Offset(0),
    }
}

fn begin(isr: &[i32], epoch_start: i64) -> Leading {
    Leading::begin(BrokerId(1), &state(isr, 7), Offset(epoch_start), Timestamp(1_000_000))
}

#[test]
fn the_slowest_of_the_in_sync_set_tells_what_is_committed() {
    let mut leading = begin(&[1, 2, 3], 0);
    let terms = at(1_000_001, 100, &all_live);
    assert_eq!(leading.committed(&terms), None, "rule 13: nobody has fetched yet");
    assert!(leading.fetched(&fetch(2, 80), Offset(100), Timestamp(1_000_001)));
    assert_eq!(leading.committed(&terms), None);
    assert!(leading.fetched(&fetch(3, 60), Offset(100), Timestamp(1_000_001)));
    assert_eq!(leading.committed(&terms), Some(Offset(60)));
}

#[test]
fn below_the_minimum_in_sync_nothing_more_is_committed() {
    let mut leading = begin(&[1], 0);
    leading.fetched(&fetch(2, 100), Offset(100), Timestamp(1_000_001));
    assert_eq!(leading.committed(&at(1_000_001, 100, &all_live)), None, "rule 13");
    let alone = Terms { min_in_sync: 1, ..at(1_000_001, 100, &all_live) };
    assert_eq!(leading.committed(&alone), Some(Offset(100)));
}

#[test]
fn a_follower_of_another_epoch_or_from_outside_does_not_count() {
    let mut leading = begin(&[1, 2, 3], 0);
    let old = Fetched { leader_epoch: LeaderEpoch(4), ..fetch(2, 90) };
    assert!(!leading.fetched(&old, Offset(100), Timestamp(1_000_001)), "rule 14");
    assert!(!leading.fetched(&fetch(4, 90), Offset(100), Timestamp(1_000_001)));
    assert_eq!(leading.committed(&at(1_000_001, 100, &all_live)), None);
}

#[test]
fn who_has_caught_up_holds_the_mark_back_before_it_is_in_sync() {
    let mut leading = begin(&[1, 2], 0);
    leading.fetched(&fetch(2, 100), Offset(100), Timestamp(1_000_001));
    leading.fetched(&fetch(3, 100), Offset(100), Timestamp(1_000_001));
    assert_eq!(leading.committed(&at(1_000_002, 120, &all_live)), Some(Offset(100)));
    leading.fetched(&fetch(2, 120), Offset(120), Timestamp(1_000_003));
    assert_eq!(
        leading.committed(&at(1_000_003, 120, &all_live)),
        Some(Offset(100)),
        "rule 13: 3 is about to join"
    );
    assert_eq!(
        leading.committed(&at(1_000_003 + LAG, 120, &all_live)),
        Some(Offset(120)),
        "3 has fallen behind"
    );
}

#[test]
fn a_follower_joins_when_it_has_the_committed_part_and_this_epochs_beginning() {
    let mut leading = begin(&[1, 2], 50);
    let terms = at(1_000_001, 100, &all_live);
    assert_eq!(leading.expand(BrokerId(3), Offset(40), &terms), None, "rule 15: it has not fetched");
    leading.fetched(&fetch(3, 45), Offset(100), Timestamp(1_000_001));
    assert_eq!(leading.expand(BrokerId(3), Offset(40), &terms), None, "rule 15: below the epoch's beginning");
    leading.fetched(&fetch(3, 50), Offset(100), Timestamp(1_000_001));
    assert_eq!(leading.expand(BrokerId(3), Offset(60), &terms), None, "rule 15: below the high watermark");
    let proposal = leading.expand(BrokerId(3), Offset(50), &terms).unwrap();
    assert_eq!(proposal.isr, [(BrokerId(1), -1), (BrokerId(2), -1), (BrokerId(3), 30)]);
    assert_eq!((proposal.leader_epoch, proposal.partition_epoch), (EPOCH, 7));
    assert_eq!(leading.expand(BrokerId(3), Offset(50), &terms), None, "rule 16: one is under way");
}

#[test]
fn a_restarted_or_fenced_follower_does_not_join() {
    let mut leading = begin(&[1, 2], 0);
    leading.fetched(&fetch(3, 100), Offset(100), Timestamp(1_000_001));
    let restarted = |id: BrokerId| all_live(id).map(|epoch| epoch + 1);
    assert_eq!(leading.expand(BrokerId(3), Offset(0), &at(1_000_001, 100, &restarted)), None, "rule 15");
    let fenced = |id: BrokerId| all_live(id).filter(|_| id != BrokerId(3));
    assert_eq!(leading.expand(BrokerId(3), Offset(0), &at(1_000_001, 100, &fenced)), None, "rule 5");
    assert!(leading.expand(BrokerId(3), Offset(0), &at(1_000_001, 100, &all_live)).is_some());
}

#[test]
fn who_is_proposed_counts_and_who_is_to_leave_counts_until_it_is_settled() {
    let mut leading = begin(&[1, 2], 0);
    leading.fetched(&fetch(2, 100), Offset(100), Timestamp(1_000_001));
    leading.fetched(&fetch(3, 100), Offset(100), Timestamp(1_000_001));
    let joins = leading.expand(BrokerId(3), Offset(0), &at(1_000_001, 100, &all_live)).unwrap();
    leading.fetched(&fetch(2, 150), Offset(150), Timestamp(1_000_002));
    let late = at(1_000_002 + LAG, 150, &all_live);
    assert_eq!(leading.committed(&late), Some(Offset(100)), "rule 13: 3 may be in the set already");
    leading.settle(&joins, Outcome::Unknown);
    assert_eq!(leading.committed(&late), Some(Offset(100)), "rule 16: nobody knows, so nothing is guessed");
    leading.settle(&joins, Outcome::Refused);
    assert_eq!(leading.committed(&late), Some(Offset(150)));

    let mut leading = begin(&[1, 2, 3], 0);
    leading.fetched(&fetch(2, 150), Offset(150), Timestamp(1_000_001));
    leading.fetched(&fetch(3, 100), Offset(150), Timestamp(1_000_001));
    let leaves = leading.shrink(&late).unwrap();
    assert_eq!(leaves.isr, [(BrokerId(1), -1), (BrokerId(2), 20)]);
    assert_eq!(
        leading.committed(&late),
        Some(Offset(100)),
        "rule 15: it counts until the change is committed"
    );
    leading.follow(&state(&[1, 2], 8), Timestamp(1_000_002 + LAG));
    assert_eq!(leading.committed(&late), Some(Offset(150)));
}

#[test]
fn a_follower_that_keeps_up_with_an_earlier_end_stays() {
    let mut leading = begin(&[1, 2, 3], 0);
    // 3 always has what the leader had at its last fetch, while the leader goes on.
    for round in 0..10 {
        let now = 1_000_000 + round * 10_000;
        leading.fetched(&fetch(2, round * 10 + 10), Offset(round * 10 + 10), Timestamp(now));
        leading.fetched(&fetch(3, round * 10), Offset(round * 10 + 10), Timestamp(now));
        assert_eq!(leading.shrink(&at(now, round * 10 + 10, &all_live)), None);
    }
    assert!(leading.shrink(&at(1_000_000 + 90_000 + LAG + 1, 110, &all_live)).is_some());
}

#[test]
fn an_older_state_does_not_undo_a_newer_one() {
    let mut leading = begin(&[1, 2], 0);
    leading.follow(&state(&[1, 2, 3], 9), Timestamp(1_000_001));
    leading.follow(&state(&[1], 8), Timestamp(1_000_002));
    assert_eq!(leading.in_sync(), 3);
}

#[test]
fn the_low_watermark_is_that_of_the_live_replicas() {
    let mut leading = begin(&[1, 2, 3], 0);
    leading.fetched(&Fetched { log_start: Offset(7), ..fetch(2, 100) }, Offset(100), Timestamp(1_000_001));
    leading.fetched(&Fetched { log_start: Offset(3), ..fetch(3, 100) }, Offset(100), Timestamp(1_000_001));
    assert_eq!(leading.low_watermark(Offset(9), &at(1_000_001, 100, &all_live)), Offset(3));
    let without_3 = |id: BrokerId| all_live(id).filter(|_| id != BrokerId(3));
    assert_eq!(leading.low_watermark(Offset(9), &at(1_000_001, 100, &without_3)), Offset(7));
}
