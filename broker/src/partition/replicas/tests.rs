//! A leader and its followers, passing records by hand: what is committed when, and who gives way after an election.

use std::time::Duration;

use bytes::Bytes;
use milena_storage::batch::{BatchBuilder, Record};
use milena_storage::compress::Codec;
use milena_storage::ids::{ProducerEpoch, ProducerId};
use milena_storage::log::AppendError;
use milena_storage::validate::Origin;

use super::super::AppendAs;
use super::super::following::{Replicated, Standing};
use super::super::interest::Interest;
use super::super::testing::{replica, state, timed_replica};
use super::*;
use crate::clock::Clock;

const ALL: [i32; 3] = [1, 2, 3];

fn append(leader: &Partition, value: &str, all_replicas: bool) -> Result<Offset, PartitionError> {
    let now = Timestamp(1_000_000);
    let mut builder = BatchBuilder::new();
    builder.push(Record { timestamp: now, key: None, value: Some(value.as_bytes()), headers: &[] });
    let how = AppendAs { origin: Origin::Client { produce_version: 9 }, all_replicas, now };
    let mut wakes = Wakes::default();
    let appended = leader.append(builder.finish(Codec::None, None), how, &mut wakes)?;
    wakes.fire();
    Ok(appended.last.plus(1))
}

fn ask(stood: &Standing) -> ReadFrom {
    ReadFrom {
        offset: stood.end,
        max_bytes: 1 << 20,
        at_least_one: true,
        committed: false,
        whole: false,
        any_replica: false,
        current_leader_epoch: stood.epoch.0,
        last_fetched_epoch: stood.last_epoch.map_or(-1, |epoch| epoch.0),
    }
}

fn as_replica(id: i32) -> Replica {
    Replica { id: BrokerId(id), broker_epoch: i64::from(id) * 10, log_start: Offset(0) }
}

/// One fetch; false when the follower was told to cut back, or nothing came of it.
fn fetch(leader: &Partition, follower: &Partition, id: i32, now: i64) -> Result<bool, PartitionError> {
    let stood = follower.standing().expect("it follows");
    let now = Timestamp(now);
    let read = leader.read_as_replica(ask(&stood), as_replica(id), now, &mut Wakes::default())?;
    if let Some(diverging) = read.diverging {
        follower.cut_back(stood.epoch, diverging, now)?;
        return Ok(false);
    }
    let records =
        read.slice.map_or_else(Bytes::new, |slice| slice.read_all().expect("a simulated disk").into());
    let sent = Replicated {
        epoch: stood.epoch,
        from: stood.end,
        records,
        high_watermark: read.high_watermark,
        log_start: read.log_start_offset,
    };
    follower.replicate(sent, now)
}

fn values(partition: &Partition) -> usize {
    usize::try_from(partition.log_end_offset().0).expect("not below 0")
}

fn trio(min_insync: usize) -> [Partition; 3] {
    let trio = ALL.map(|id| replica(id, min_insync));
    for partition in &trio {
        partition.follow_image(&state(1, 0, 0, &ALL, &ALL), Timestamp(1_000_000)).unwrap();
    }
    trio
}

#[test]
fn a_record_is_committed_when_every_replica_in_sync_has_asked_for_the_next() {
    let [leader, second, third] = trio(2);
    assert_eq!(append(&leader, "a", true).unwrap(), Offset(1));
    assert_eq!(leader.high_watermark(), Offset(0));
    assert!(fetch(&leader, &second, 2, 1_000_000).unwrap());
    assert!(fetch(&leader, &third, 3, 1_000_000).unwrap());
    assert_eq!(leader.high_watermark(), Offset(0), "they have it, but the leader does not know");
    assert!(fetch(&leader, &second, 2, 1_000_001).unwrap());
    assert_eq!(leader.high_watermark(), Offset(0), "rule 13: the slowest counts");
    assert!(fetch(&leader, &third, 3, 1_000_001).unwrap());
    assert_eq!(leader.high_watermark(), Offset(1));
    assert!(fetch(&leader, &second, 2, 1_000_002).unwrap());
    assert_eq!((second.high_watermark(), values(&second)), (Offset(1), 1), "rule 21");
}

#[test]
fn consumers_never_see_what_is_not_committed() {
    let [leader, second, third] = trio(2);
    append(&leader, "a", false).unwrap();
    let consumer =
        ReadFrom { current_leader_epoch: -1, last_fetched_epoch: -1, ..ask(&second.standing().unwrap()) };
    assert!(leader.read(consumer).unwrap().is_empty(), "rule 17");
    for now in 1_000_000..1_000_002 {
        fetch(&leader, &second, 2, now).unwrap();
        fetch(&leader, &third, 3, now).unwrap();
    }
    assert!(!leader.read(consumer).unwrap().is_empty());
}

#[test]
fn too_few_in_sync_refuse_and_commit_nothing() {
    let [leader, second, _] = trio(2);
    leader.follow_image(&state(1, 0, 1, &[1], &ALL), Timestamp(1_000_001)).unwrap();
    assert!(matches!(append(&leader, "a", true), Err(PartitionError::NotEnoughReplicas)), "rule 11");
    append(&leader, "b", false).unwrap();
    fetch(&leader, &second, 2, 1_000_002).unwrap();
    fetch(&leader, &second, 2, 1_000_003).unwrap();
    assert_eq!(leader.high_watermark(), Offset(0), "rule 13: below the minimum nothing is committed");
    let proposal = leader.proposal().expect("the follower has caught up");
    assert_eq!(proposal.isr, [(BrokerId(1), -1), (BrokerId(2), 20)]);
    // Late enough that nobody waits for the third any more.
    leader.follow_image(&state(1, 0, 2, &[1, 2], &ALL), Timestamp(1_040_000)).unwrap();
    assert_eq!(leader.high_watermark(), Offset(1), "the change itself commits");
}

#[test]
fn the_log_that_a_new_leader_does_not_have_is_cut() {
    let [first, second, third] = trio(2);
    append(&first, "a", true).unwrap();
    for now in 1_000_000..1_000_002 {
        fetch(&first, &second, 2, now).unwrap();
        fetch(&first, &third, 3, now).unwrap();
    }
    append(&first, "only on the first", false).unwrap();
    append(&first, "this one too", false).unwrap();
    // The second leads; the first comes back and follows.
    let elected = state(2, 1, 1, &[2, 3], &ALL);
    for partition in [&first, &second, &third] {
        partition.follow_image(&elected, Timestamp(1_000_010)).unwrap();
    }
    append(&second, "b", true).unwrap();
    assert_eq!(values(&first), 3);
    assert!(!fetch(&second, &first, 1, 1_000_011).unwrap(), "rule 19: it is told where they part");
    assert_eq!(values(&first), 1);
    assert!(fetch(&second, &first, 1, 1_000_012).unwrap());
    assert_eq!(values(&first), 2);
    assert_eq!(first.epoch_at(Offset(1)), Some(LeaderEpoch(1)), "rule 20");
}

#[test]
fn fetches_of_another_epoch_are_fenced_and_answers_of_another_epoch_dropped() {
    let [first, second, third] = trio(2);
    let old = second.standing().unwrap();
    let elected = state(1, 1, 1, &ALL, &ALL);
    first.follow_image(&elected, Timestamp(1_000_010)).unwrap();
    let read = |at| first.read_as_replica(at, as_replica(2), Timestamp(1_000_011), &mut Wakes::default());
    assert!(matches!(read(ask(&old)), Err(PartitionError::FencedEpoch)), "rule 18");
    let newer = Standing { epoch: LeaderEpoch(2), ..old };
    assert!(matches!(read(ask(&newer)), Err(PartitionError::UnknownEpoch)), "rule 18");
    let stranger = first.read_as_replica(
        ask(&Standing { epoch: LeaderEpoch(1), ..old }),
        as_replica(4),
        Timestamp(1_000_011),
        &mut Wakes::default(),
    );
    assert!(matches!(stranger, Err(PartitionError::NotLeader)));
    second.follow_image(&elected, Timestamp(1_000_010)).unwrap();
    let late = Replicated {
        epoch: LeaderEpoch(0),
        from: Offset(0),
        records: Bytes::new(),
        high_watermark: Offset(9),
        log_start: Offset(0),
    };
    assert!(!second.replicate(late, Timestamp(1_000_012)).unwrap(), "it was asked under the epoch before");
    drop(third);
}

#[test]
fn a_new_leader_is_not_settled_before_its_epoch_is_committed() {
    let [first, second, third] = trio(2);
    append(&first, "a", false).unwrap();
    fetch(&first, &second, 2, 1_000_000).unwrap();
    fetch(&first, &third, 3, 1_000_000).unwrap();
    let elected = state(2, 1, 1, &[2, 3], &ALL);
    for partition in [&first, &second, &third] {
        partition.follow_image(&elected, Timestamp(1_000_010)).unwrap();
    }
    assert!(!second.is_settled(), "rule 10");
    fetch(&second, &third, 3, 1_000_011).unwrap();
    assert_eq!(second.high_watermark(), Offset(1));
    assert!(second.is_settled());
}

/// Asks once for the second replica, and lets the leader rest in its session if it may.
fn rest(leader: &Partition, second: &Partition, interest: &Arc<Interest>) -> bool {
    let stood = second.standing().unwrap();
    let now = Timestamp(1_000_005);
    let seen = leader.read_as_replica(ask(&stood), as_replica(2), now, &mut Wakes::default()).unwrap();
    leader.rest(interest, (BrokerId(2), stood.epoch), &seen)
}

/// A leader that rests in a session of the second replica.
fn at_rest() -> ([Partition; 3], Arc<Interest>) {
    let trio = trio(2);
    let interest = Arc::new(Interest::default());
    let [leader, second, third] = &trio;
    append(leader, "a", false).unwrap();
    assert!(!rest(leader, second, &interest), "there is something to read");
    fetch(leader, second, 2, 1_000_001).unwrap();
    assert!(!rest(leader, second, &interest), "it is not committed");
    fetch(leader, third, 3, 1_000_001).unwrap();
    fetch(leader, third, 3, 1_000_002).unwrap();
    assert_eq!(leader.high_watermark(), Offset(1));
    assert!(rest(leader, second, &interest));
    assert!(!interest.has_stirred());
    (trio, interest)
}

#[test]
fn a_partition_rests_in_a_followers_session_until_anything_happens() {
    type Event = (&'static str, bool, fn(&Partition));
    let events: [Event; 5] = [
        ("an append", true, |leader| assert_eq!(append(leader, "b", false).unwrap(), Offset(2))),
        ("another in-sync set", false, |leader| {
            leader.follow_image(&state(1, 0, 1, &[1, 3], &ALL), Timestamp(1_000_010)).unwrap();
        }),
        ("another epoch", true, |leader| {
            leader.follow_image(&state(1, 1, 1, &ALL, &ALL), Timestamp(1_000_010)).unwrap();
        }),
        ("deleted records", false, |leader| assert_eq!(leader.delete_records(-1).unwrap(), Offset(1))),
        ("the end of its topic", true, Partition::take_offline),
    ];
    for (what, wakes, happen) in events {
        let ([leader, ..], interest) = at_rest();
        let poll = FetchWait::new(1);
        interest.wait(poll.clone());
        let mut ready = std::pin::pin!(poll.ready());
        let mut looking = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(ready.as_mut().poll(&mut looking).is_pending());
        happen(&leader);
        assert_eq!(interest.take_stirred(), [(leader.topic_id, 0)], "{what}");
        assert_eq!(ready.as_mut().poll(&mut looking).is_ready(), wakes, "{what}");
        leader.moved();
        assert!(!interest.has_stirred(), "{what}: it is looked at with each request from now on");
    }
}

#[test]
fn who_is_not_in_sync_lets_nothing_rest_and_a_session_that_is_over_is_forgotten() {
    let ([leader, second, _], interest) = at_rest();
    interest.finish();
    leader.moved();
    assert!(!interest.has_stirred());
    leader.follow_image(&state(1, 0, 1, &[1, 3], &ALL), Timestamp(1_000_010)).unwrap();
    assert!(!rest(&leader, &second, &Arc::default()), "it may have to be taken in");
}

#[test]
fn a_wall_clock_that_jumps_makes_no_follower_late_and_keeps_no_late_one() {
    let clock = Arc::new(Clock::new());
    let leader = timed_replica(1, 2, clock.clone());
    leader.follow_image(&state(1, 0, 0, &ALL, &ALL), clock.now()).unwrap();
    let second = replica(2, 2);
    second.follow_image(&state(1, 0, 0, &ALL, &ALL), clock.now()).unwrap();
    append(&leader, "a", false).unwrap();
    for day in [86_400_000, -86_400_000] {
        clock.skew(day);
        fetch(&leader, &second, 2, clock.now().0).unwrap();
        leader.check_lag(clock.now());
        assert_eq!(leader.proposal(), None, "nobody is late because the clock is");
    }
    clock.advance(Duration::from_secs(31));
    fetch(&leader, &second, 2, clock.now().0).unwrap();
    leader.check_lag(clock.now());
    assert_eq!(leader.proposal().unwrap().isr, [(BrokerId(1), -1), (BrokerId(2), 20)], "the third is");
}

/// Appends one record of a producer; where it is, and whether it was there before.
fn send(leader: &Partition, sequence: i32) -> Result<(Offset, bool), PartitionError> {
    let now = Timestamp(1_000_000);
    let mut builder = BatchBuilder::new().producer(ProducerId(7), ProducerEpoch(0), sequence);
    builder.push(Record { timestamp: now, ..Record::default() });
    let how = AppendAs { origin: Origin::Client { produce_version: 9 }, all_replicas: true, now };
    let appended = leader.append(builder.finish(Codec::None, None), how, &mut Wakes::default())?;
    Ok((appended.first, appended.duplicate))
}

#[test]
fn a_batch_that_comes_again_is_known_to_the_next_leader() {
    let [first, second, third] = trio(2);
    (0..3).for_each(|sequence| assert!(!send(&first, sequence).unwrap().1));
    fetch(&first, &second, 2, 1_000_001).unwrap();
    // This one reaches nobody else.
    assert_eq!(send(&first, 3).unwrap(), (Offset(3), false));
    let elected = state(2, 1, 1, &[2, 3], &ALL);
    for partition in [&first, &second, &third] {
        partition.follow_image(&elected, Timestamp(1_000_010)).unwrap();
    }
    (0..3).for_each(|at| {
        let sequence = i32::try_from(at).unwrap();
        assert_eq!(send(&second, sequence).unwrap(), (Offset(at), true), "rule 23");
    });
    let gap = send(&second, 4);
    assert!(matches!(gap, Err(PartitionError::Refused(AppendError::Sequence { .. }))), "rule 23: {gap:?}");
    assert_eq!(send(&second, 3).unwrap(), (Offset(3), false));
    // The former leader gives up its own batch 3, and knows the new leader's when it leads again.
    while fetch(&second, &first, 1, 1_000_020).is_ok_and(|taken| !taken || values(&first) < 4) {}
    first.follow_image(&state(1, 2, 2, &ALL, &ALL), Timestamp(1_000_030)).unwrap();
    assert_eq!(send(&first, 3).unwrap(), (Offset(3), true), "rule 23");
    assert_eq!(send(&first, 4).unwrap(), (Offset(4), false));
}

#[test]
fn a_slow_follower_is_proposed_to_leave() {
    let [leader, second, third] = trio(2);
    append(&leader, "a", false).unwrap();
    fetch(&leader, &second, 2, 1_000_000).unwrap();
    fetch(&leader, &second, 2, 1_040_000).unwrap();
    leader.check_lag(Timestamp(1_040_001));
    assert_eq!(leader.proposal().unwrap().isr, [(BrokerId(1), -1), (BrokerId(2), 20)]);
    assert_eq!(leader.high_watermark(), Offset(0), "rule 15: until the controller says so, the third counts");
    drop(third);
}

/// Fetches for `seconds`, ten times a second, without taking anything in; the bytes that were given.
fn bytes_given(leader: &Partition, follower: &Partition, id: i32, seconds: i64) -> usize {
    let throttles = &leader.peers.throttles;
    let mut stood = follower.standing().unwrap();
    let mut given = 0;
    for now in (0..seconds * 1000).step_by(100).map(|passed| Timestamp(1_000_000 + passed)) {
        let at = ReadFrom { max_bytes: 1, ..ask(&stood) };
        let read = leader.read_as_replica(at, as_replica(id), now, &mut Wakes::default()).unwrap();
        throttles.record(Side::Leader, read.len(), now.0);
        given += read.len();
        if !read.is_empty() {
            stood.end = stood.end.plus(1);
        }
    }
    given
}

/// A leader with 200 batches, of which the third replica, out of sync, has none.
fn far_behind() -> ([Partition; 3], usize) {
    let trio = trio(1);
    trio[0].follow_image(&state(1, 0, 2, &[1, 2], &ALL), Timestamp(1_000_000)).unwrap();
    for _ in 0..200 {
        append(&trio[0], &"x".repeat(400), false).unwrap();
    }
    let window = crate::settings::QuotaWindow { samples: 11, sample_ms: 1000 };
    trio[0].peers.throttles.set(Side::Leader, 1000, window);
    let bytes = usize::try_from(trio[0].size()).unwrap();
    (trio, bytes)
}

#[test]
fn a_throttled_replica_gets_its_rate_and_one_in_sync_all() {
    let ([leader, _, third], all) = far_behind();
    assert_eq!(bytes_given(&leader, &third, 3, 20), all, "nobody named it");
    let ([leader, second, third], all) = far_behind();
    leader.set_throttled(Side::Leader, true);
    let given = bytes_given(&leader, &third, 3, 20);
    assert!((10_000..=22_000).contains(&given), "{given} bytes in 20 seconds at 1000 a second");
    assert_eq!(bytes_given(&leader, &second, 2, 20), all, "it is in sync");
}

#[test]
fn a_throttled_follower_asks_for_nothing_until_it_may_unless_it_has_all() {
    let [leader, second, third] = trio(1);
    append(&leader, "a", false).unwrap();
    let window = crate::settings::QuotaWindow { samples: 11, sample_ms: 1000 };
    third.peers.throttles.set(Side::Follower, 1000, window);
    third.set_throttled(Side::Follower, true);
    third.peers.throttles.record(Side::Follower, 100_000, 1_000_000);
    assert!(third.is_held_back(Timestamp(1_000_000)));
    assert!(third.is_held_back(Timestamp(1_010_999)) && !third.is_held_back(Timestamp(1_011_000)));
    third.peers.throttles.record(Side::Follower, 100_000, 1_020_000);
    for now in [1_020_000, 1_020_001] {
        fetch(&leader, &second, 2, now).unwrap();
        fetch(&leader, &third, 3, now).unwrap();
    }
    fetch(&leader, &third, 3, 1_020_002).unwrap();
    assert!(!third.is_held_back(Timestamp(1_020_003)), "it has all that is committed");
    third.follow_image(&state(2, 1, 1, &ALL, &ALL), Timestamp(1_020_004)).unwrap();
    assert!(third.is_held_back(Timestamp(1_020_005)), "under another leader nobody knows");
}
