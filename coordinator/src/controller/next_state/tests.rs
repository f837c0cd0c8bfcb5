//! The rules of elections and of eligible replicas, on single states.

use super::*;
use milena_storage::ids::PartitionIndex;

fn ids(list: &[i32]) -> Vec<BrokerId> {
    list.iter().copied().map(BrokerId).collect()
}

fn partition(leader: i32, isr: &[i32], elr: &[i32], last_known: &[i32]) -> PartitionImage {
    PartitionImage {
        index: PartitionIndex(0),
        leader: (leader >= 0).then_some(BrokerId(leader)),
        leader_epoch: LeaderEpoch(5),
        partition_epoch: 7,
        replicas: ids(&[1, 2, 3]),
        isr: ids(isr),
        adding: Vec::new(),
        removing: Vec::new(),
        elr: ids(elr),
        last_known_elr: ids(last_known),
        recovering: false,
        directories: Vec::new(),
    }
}

/// Leader, epoch, in-sync set, eligible ones, last known leader, recovering.
type Shown = (i32, i32, Vec<i32>, Vec<i32>, Vec<i32>, bool);

fn after(before: &PartitionImage, live: &[i32], unclean: bool, distrusted: Option<i32>) -> Option<Shown> {
    let alive = |_: &PartitionImage, id: BrokerId| live.contains(&id.0);
    let ground = Ground { controller_epoch: 1, eligible: true, live: &alive, min_in_sync: 2, unclean };
    let isr = before.isr.iter().copied().filter(|id| alive(before, *id)).collect();
    let state = next_state(&ground, before, isr, distrusted.map(BrokerId))?;
    let recovering = state.leader_recovery_state != 0;
    Some((state.leader, state.leader_epoch, state.isr, state.elr, state.last_known_elr, recovering))
}

#[test]
fn nothing_changes_while_all_are_there() {
    assert_eq!(after(&partition(1, &[1, 2, 3], &[], &[]), &[1, 2, 3], false, None), None);
    assert_eq!(after(&partition(1, &[1, 2], &[], &[]), &[1, 2, 3], false, None), None);
}

#[test]
fn the_next_in_sync_replica_leads_with_the_next_epoch() {
    let state = after(&partition(1, &[1, 2, 3], &[], &[]), &[2, 3], false, None).unwrap();
    assert_eq!(state, (2, 6, vec![2, 3], vec![], vec![], false), "rules 2 and 7");
    let state = after(&partition(1, &[1, 2, 3], &[], &[]), &[1, 3], false, None).unwrap();
    assert_eq!(state, (1, 5, vec![1, 3], vec![], vec![], false), "the leader stays, and so does its epoch");
}

#[test]
fn who_leaves_a_set_below_the_minimum_stays_eligible() {
    let state = after(&partition(1, &[1, 2], &[], &[]), &[1], false, None).unwrap();
    assert_eq!(state, (1, 5, vec![1], vec![2], vec![], false), "rule 8");
    let state = after(&partition(1, &[1], &[2], &[]), &[], false, None).unwrap();
    assert_eq!(state, (-1, 6, vec![], vec![2, 1], vec![1], false), "rule 8: the set may become empty");
}

#[test]
fn who_is_no_replica_any_more_is_not_eligible() {
    // A move to broker 4 was cancelled while 4 was one of the two that were in sync.
    let state = after(&partition(1, &[1, 4], &[], &[]), &[1], false, None).unwrap();
    assert_eq!(state, (1, 5, vec![1], vec![], vec![], false));
    let state = after(&partition(-1, &[], &[4], &[1]), &[1, 2, 3], false, None).unwrap();
    assert_eq!((state.0, state.2, state.5), (1, vec![1], true), "so the last leader is not kept from it");
}

#[test]
fn an_eligible_replica_leads_when_nobody_is_in_sync() {
    let state = after(&partition(-1, &[], &[2, 1], &[1]), &[2, 3], false, None).unwrap();
    assert_eq!(state, (2, 6, vec![2], vec![1], vec![1], false), "rule 7");
    assert_eq!(after(&partition(-1, &[], &[2, 1], &[1]), &[3], false, None), None, "nobody else may lead");
}

#[test]
fn a_replica_that_came_back_uncleanly_is_not_eligible() {
    let state = after(&partition(-1, &[], &[2, 1], &[1]), &[3], false, Some(2)).unwrap();
    assert_eq!(state, (-1, 5, vec![], vec![1], vec![1], false), "rule 6");
}

#[test]
fn the_last_leader_recovers_when_nobody_is_eligible_any_more() {
    assert_eq!(after(&partition(-1, &[], &[], &[1]), &[2, 3], false, None), None);
    let state = after(&partition(-1, &[], &[], &[1]), &[1, 2, 3], false, None).unwrap();
    assert_eq!((state.0, state.1, state.2, state.5), (1, 6, vec![1], true));
}

#[test]
fn unclean_elections_only_where_the_topic_asks_for_them() {
    let state = after(&partition(-1, &[], &[2], &[1]), &[3], true, None).unwrap();
    assert_eq!((state.0, state.1, state.2, state.3, state.5), (3, 6, vec![3], vec![], true));
    assert_eq!(after(&partition(-1, &[], &[2], &[1]), &[3], false, None), None);
}

#[test]
fn eligible_replicas_are_forgotten_once_enough_are_in_sync() {
    let alive = |_: &PartitionImage, _| true;
    let ground = Ground { controller_epoch: 1, eligible: true, live: &alive, min_in_sync: 2, unclean: false };
    let state = next_state(&ground, &partition(1, &[1], &[2], &[]), ids(&[1, 3]), None).unwrap();
    assert_eq!((state.isr, state.elr), (vec![1, 3], vec![]), "rule 8");
}

#[test]
fn without_eligible_replicas_the_last_one_stays_in_sync() {
    let before = partition(1, &[1], &[], &[]);
    let decide = |before: &PartitionImage, live: &'static [i32], unclean: bool| {
        let alive = |_: &PartitionImage, id: BrokerId| live.contains(&id.0);
        let ground = Ground { controller_epoch: 1, eligible: false, live: &alive, min_in_sync: 2, unclean };
        let isr = before.isr.iter().copied().filter(|id| alive(before, *id)).collect();
        let state = next_state(&ground, before, isr, None)?;
        Some((state.leader, state.isr, state.elr, state.last_known_elr, state.leader_recovery_state))
    };
    assert_eq!(decide(&before, &[2, 3], false), Some((-1, vec![1], vec![], vec![], 0)));
    assert_eq!(decide(&before, &[2, 3], true), Some((2, vec![2], vec![], vec![], 1)));
    let leaderless = PartitionImage { leader: None, ..before };
    assert_eq!(decide(&leaderless, &[1, 2, 3], false), Some((1, vec![1], vec![], vec![], 0)));
    // Eligible ones that were kept before the feature was lowered are forgotten with the next change.
    let kept = partition(1, &[1, 2], &[3], &[]);
    assert_eq!(decide(&kept, &[2], false), Some((2, vec![2], vec![], vec![], 0)));
}
