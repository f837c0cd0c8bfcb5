//! The number of cores as loads come and go, with what they did made up.

use super::*;

const ASLEEP: Did = Did { busy: 0.0, ran: 0.0, kept_waiting: 0.0, work: 0.0, connections: 0 };

fn did(busy: f64, work: f64) -> Did {
    Did { busy, ran: busy, work, connections: 8, ..ASLEEP }
}

/// Windows in which each used core does an equal part of so much work, being busy for this part of the time.
fn windows(spread: &mut Spread, count: u32, busy: f64, work: f64) -> Vec<usize> {
    let mut used = Vec::new();
    for _ in 0..count {
        let part = as_number(spread.used() as u64);
        let did: Vec<Did> = (0..spread.cores)
            .map(|core| if core < spread.used() { did(busy, work / part) } else { ASLEEP })
            .collect();
        spread.step(WINDOW, &did);
        used.push(spread.used());
    }
    used
}

#[test]
fn one_core_does_what_it_can_do() {
    let mut spread = Spread::new(8);
    assert_eq!(windows(&mut spread, 50, 0.94, 100.0), [1; 50]);
}

#[test]
fn a_core_without_rest_gets_help_that_stays_while_more_gets_done() {
    let mut spread = Spread::new(8);
    assert_eq!(windows(&mut spread, 1, 0.99, 100.0), [2], "a trial");
    assert_eq!(windows(&mut spread, 2, 0.9, 180.0), [2, 2], "one window to move, one to see");
    assert_eq!(windows(&mut spread, 30, 0.9, 180.0), [2; 30]);
    assert_eq!(windows(&mut spread, 1, 0.99, 200.0), [4]);
    assert_eq!(windows(&mut spread, 30, 0.9, 390.0), [4; 30]);
}

#[test]
fn a_second_core_that_gets_no_more_done_is_let_go_and_tried_ever_more_rarely() {
    let mut spread = Spread::new(2);
    let mut trials = Vec::new();
    for window in 0..2000 {
        let (busy, work) = if spread.used() == 1 { (0.98, 137.0) } else { (0.5, 110.0) };
        let before = spread.used();
        windows(&mut spread, 1, busy, work);
        if spread.used() > before {
            trials.push(window);
        }
    }
    let between: Vec<i32> = trials.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(between, [12, 22, 42, 82, 162, 322, 642, 642]);
}

/// Two cores, which get more done than one did.
fn two() -> Spread {
    let mut spread = Spread::new(2);
    windows(&mut spread, 1, 0.99, 100.0);
    assert_eq!(windows(&mut spread, 20, 0.9, 180.0), [2; 20]);
    spread
}

#[test]
fn two_cores_that_do_what_one_could_try_it() {
    let mut spread = two();
    assert_eq!(windows(&mut spread, 1, 0.56, 110.0), [2], "one has not the time");
    assert_eq!(windows(&mut spread, 1, 0.54, 110.0), [1], "two together take a little more than one alone");
    assert_eq!(windows(&mut spread, 2, 0.97, 130.0), [1, 1], "and it does more");
    let mut spread = two();
    windows(&mut spread, 1, 0.45, 110.0);
    assert_eq!(windows(&mut spread, 2, 0.99, 100.0), [1, 2], "and it does less");
    assert_eq!(windows(&mut spread, 8, 0.45, 110.0), [2; 8], "so it has to wait");
}

#[test]
fn cores_that_wait_for_processors_all_the_time_try_it_too() {
    let mut spread = two();
    let held_up = Did { busy: 0.9, ran: 0.5, ..did(0.9, 50.0) };
    spread.step(WINDOW, &[held_up, held_up]);
    assert_eq!(spread.used(), 1);
}

#[test]
fn what_is_easily_done_by_fewer_is_done_by_fewer_after_a_while() {
    let mut spread = two();
    let calm = windows(&mut spread, 12, 0.2, 10.0);
    assert_eq!(calm, [2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1]);
    assert_eq!(windows(&mut spread, 20, 0.1, 10.0), [1; 20]);
}

#[test]
fn long_work_of_some_does_not_keep_others_waiting() {
    let mut spread = Spread::new(2);
    let long = |connections| Did { kept_waiting: 0.3, connections, ..did(0.6, 100.0) };
    spread.step(WINDOW, &[long(1), ASLEEP]);
    assert_eq!(spread.used(), 1, "nobody else is there");
    let orders = spread.step(WINDOW, &[long(2), ASLEEP]);
    assert_eq!((spread.used(), orders), (2, vec![Order { from: 0, to: 1, work: 50.0 }]));
    let half = Did { kept_waiting: 0.15, ..did(0.3, 50.0) };
    let mut alone = 0;
    for _ in 0..300 {
        let did = if spread.used() == 2 { [half, half] } else { [long(2), ASLEEP] };
        spread.step(WINDOW, &did);
        alone += u32::from(spread.used() == 1);
    }
    assert_eq!(alone, 10, "five trials, in which one keeps somebody waiting again");
}

#[test]
fn what_was_tried_in_vain_is_tried_again_with_another_load() {
    let tried = || {
        let mut spread = Spread::new(2);
        windows(&mut spread, 3, 0.98, 100.0);
        assert_eq!((spread.used(), spread.pause), (1, FIRST_PAUSE));
        spread
    };
    assert_eq!(windows(&mut tried(), 3, 0.98, 140.0), [1; 3]);
    assert_eq!(windows(&mut tried(), 1, 0.98, 160.0), [2], "much more");
    assert_eq!(windows(&mut tried(), 1, 0.98, 60.0), [2], "much less, of something that takes longer");
    let mut spread = tried();
    spread.step(WINDOW, &[Did { kept_waiting: 0.3, ..did(0.98, 100.0) }, ASLEEP]);
    assert_eq!(spread.used(), 2, "others are kept waiting");
    let mut spread = tried();
    spread.step(WINDOW * 10, &[did(0.1, 1.0), ASLEEP]);
    assert_eq!(windows(&mut spread, 1, 0.98, 100.0), [2], "after a while in which nobody asked for anything");
}

#[test]
fn one_that_keeps_its_core_waiting_always_is_left_with_ever_fewer_others() {
    let mut spread = Spread::new(8);
    let (cold, others) = (Did { kept_waiting: 0.9, ..did(0.95, 10.0) }, did(0.05, 10.0));
    let mut used = Vec::new();
    for _ in 0..16 {
        let cores = spread.used();
        let all: Vec<Did> = (0..8)
            .map(|core| match core {
                0 => Did { connections: 64 / cores as u64, ..cold },
                core if core < cores => Did { connections: 64 / cores as u64, ..others },
                _ => ASLEEP,
            })
            .collect();
        spread.step(WINDOW, &all);
        used.push(spread.used());
    }
    assert_eq!(used, [2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 4, 4, 4, 4, 4, 4]);
}

#[test]
fn work_that_takes_long_is_on_all_cores_at_once_and_stays_there() {
    let mut spread = Spread::new(4);
    let long = Did { kept_waiting: 0.9, ..did(0.99, 100.0) };
    let mut used = Vec::new();
    for _ in 0..30 {
        let cores = spread.used();
        let all: Vec<Did> = (0..4).map(|core| if core < cores { long } else { ASLEEP }).collect();
        spread.step(WINDOW, &all);
        used.push(spread.used());
    }
    assert_eq!(used[..3], [2, 4, 4]);
    assert_eq!(used[3..], [4; 27], "whatever gets done");
}

#[test]
fn a_moment_of_long_work_brings_no_other_core_for_long() {
    let mut spread = Spread { pause: LAST_PAUSE, ..Spread::new(2) };
    spread.step(WINDOW, &[Did { kept_waiting: 0.6, ..did(0.98, 100.0) }, ASLEEP]);
    assert_eq!(spread.used(), 2);
    let used = windows(&mut spread, 14, 0.5, 90.0);
    assert_eq!(used[..9], [2; 9]);
    assert_eq!(used[9..], [1; 5], "tried, and as good");
}

#[test]
fn another_core_that_does_not_help_who_waits_is_let_go() {
    let mut spread = Spread::new(2);
    let long = Did { kept_waiting: 0.3, ..did(0.9, 100.0) };
    let halves = [Did { kept_waiting: 0.25, ..did(0.9, 50.0) }; 2];
    spread.step(WINDOW, &[long, ASLEEP]);
    assert_eq!(spread.used(), 2);
    spread.step(WINDOW, &halves);
    spread.step(WINDOW, &halves);
    assert_eq!(spread.used(), 1);
}

#[test]
fn cores_share_evenly_but_for_one_connection_that_does_it_all() {
    let mut spread = Spread { used: 4, pause: 100, ..Spread::new(4) };
    let orders = spread.step(WINDOW, &[did(0.2, 20.0), did(0.9, 90.0), did(0.5, 50.0), did(0.4, 40.0)]);
    assert_eq!(orders.len(), 1, "{orders:?}");
    assert_eq!((orders[0].from, orders[0].to, orders[0].work.round()), (1, 0, 35.0));
    let alone = Did { connections: 1, ..did(0.9, 90.0) };
    assert_eq!(spread.step(WINDOW, &[did(0.1, 10.0), alone, did(0.1, 10.0), did(0.1, 10.0)]), []);
}

#[test]
fn a_trial_that_hardly_anybody_asked_for_is_none() {
    let mut spread = Spread::new(2);
    windows(&mut spread, 1, 0.99, 100.0);
    assert_eq!(spread.used(), 2);
    spread.step(WINDOW * 100, &[did(0.01, 5.0), ASLEEP]);
    assert_eq!(spread.used(), 1);
}
