//! What is counted of connections, and how they are told to go.

use std::sync::Arc;

use tokio::runtime::{Builder, Runtime};

use super::*;

/// Nothing runs on them.
fn cores(count: usize) -> (Runtime, Cores) {
    let runtime = Builder::new_current_thread().build().unwrap();
    let core = || Core { handle: runtime.handle().clone(), pool: Arc::default(), idle: Arc::default() };
    let cores = Cores::new((0..count).map(|_| core()).collect());
    (runtime, cores)
}

#[test]
fn a_new_connection_goes_to_a_core_that_is_used() {
    let (_runtime, cores) = cores(3);
    let dealt = |count| (0..count).map(|_| cores.deal().core).collect::<Vec<_>>();
    assert_eq!(dealt(3), [0, 0, 0]);
    cores.set_used(2);
    assert_eq!(dealt(4), [1, 0, 1, 0]);
}

#[test]
fn connections_take_what_their_core_has_to_give_and_one_that_does_most_stays() {
    let (_runtime, cores) = cores(2);
    let mut places = [40_000, 10_000, 10_000, 10_000].map(|work| (cores.deal(), work));
    for (place, work) in &mut places {
        cores.begin(place, Duration::ZERO);
        cores.count(place, *work);
    }
    cores.order(0, 1);
    cores.lanes[0].give.store(28_000, Ordering::Relaxed);
    let mut left = Vec::new();
    for (place, _) in &mut places {
        assert!(cores.leave(place).is_none(), "what it did is known when it has begun again");
        cores.begin(place, Duration::ZERO);
        left.push(cores.leave(place).map(|there| there.core));
    }
    assert_eq!(left, [None, Some(1), Some(1), None]);
}

#[test]
fn connections_of_a_core_that_is_not_used_any_more_go() {
    let (_runtime, cores) = cores(2);
    cores.set_used(2);
    let places = [cores.deal(), cores.deal()];
    assert!(places.iter().all(|place| cores.leave(place).is_none()));
    cores.set_used(1);
    let left: Vec<_> = places.iter().map(|place| cores.leave(place).map(|there| there.core)).collect();
    assert_eq!(left, [None, Some(0)]);
}

#[test]
fn long_work_counts_where_the_core_goes_on_with_other_work() {
    let (_runtime, cores) = cores(2);
    let mut place = cores.deal();
    let lane = &cores.lanes[0];
    let kept_waiting = || lane.kept_waiting.load(Ordering::Relaxed);
    let mut now = Duration::from_millis(1);
    for took in [LONG, LONG / 2, LONG * 2] {
        cores.begin(&mut place, now);
        now += took;
    }
    cores.begin(&mut place, now);
    assert_eq!(kept_waiting(), nanos(LONG * 3));
    lane.core.idle.begin();
    cores.begin(&mut place, now + LONG);
    assert_eq!(kept_waiting(), nanos(LONG * 3), "it slept");
}

#[test]
fn a_window_ends_with_the_first_request_after_it() {
    let (_runtime, cores) = cores(2);
    let mut place = cores.deal();
    let window = || cores.window.load(Ordering::Relaxed);
    let before = window();
    cores.begin(&mut place, WINDOW - Duration::from_nanos(1));
    assert_eq!(window(), before);
    cores.begin(&mut place, WINDOW);
    cores.begin(&mut place, WINDOW * 2 - Duration::from_nanos(1));
    assert_eq!(window(), before + 1);
}

#[test]
fn one_core_has_nothing_to_look_at() {
    let (_runtime, cores) = cores(1);
    let before = cores.window.load(Ordering::Relaxed);
    cores.begin(&mut cores.deal(), WINDOW * 1000);
    assert_eq!(cores.window.load(Ordering::Relaxed), before);
}

#[test]
fn several_threads_may_ask_at_once() {
    let (_runtime, cores) = cores(2);
    let cores = Arc::new(cores);
    cores.set_used(2);
    std::thread::scope(|scope| {
        for mut place in [cores.deal(), cores.deal()] {
            let cores = Arc::clone(&cores);
            scope.spawn(move || {
                for turn in 1..=200 {
                    cores.begin(&mut place, WINDOW * turn);
                }
            });
        }
    });
    assert!((2..=401).contains(&cores.window.load(Ordering::Relaxed)));
}
