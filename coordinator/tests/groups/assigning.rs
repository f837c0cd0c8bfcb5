//! How long one step takes in which a thousand members get ten thousand partitions; printed with `--nocapture`.
//!
//! The bound is far above what it takes, since these run unoptimized on busy machines. Must never measure more than that step.

use std::time::{Duration, Instant};

use kafka_protocol::messages::{ConsumerGroupHeartbeatRequest, GroupId, TopicName};
use milena_coordinator::group::{GroupConfig, Reply, Request};

use crate::command::text;
use crate::world::World;

const MEMBERS: usize = 1_000;
const TOPICS: usize = 10;
const PARTITIONS: i32 = 1_000;
const BOUND: Duration = Duration::from_secs(20);

/// Whether every second member reads only half of the topics, which takes the long way through the assignor.
fn time_of(assignor: &str, mixed: bool) -> Duration {
    let topics: Vec<TopicName> =
        (0..TOPICS).map(|number| TopicName(text(&format!("topic-{number}")))).collect();
    let mut world = World::new(GroupConfig::default());
    let _ = world.tick(1);
    for topic in &topics {
        let _ = world.change_topic(topic, PARTITIONS);
    }
    let beat = |index: usize, epoch: i32| {
        let read = if mixed && index % 2 == 1 { &topics[..TOPICS / 2] } else { &topics[..] };
        let joining = epoch == 0;
        Request::ConsumerHeartbeat(
            ConsumerGroupHeartbeatRequest::default()
                .with_group_id(GroupId(text("g")))
                .with_member_id(text(&format!("m{index}")))
                .with_member_epoch(epoch)
                .with_rebalance_timeout_ms(60_000)
                .with_subscribed_topic_names(joining.then(|| read.to_vec()))
                .with_server_assignor(Some(text(assignor)))
                .with_topic_partitions(joining.then(Vec::new)),
        )
    };
    let mut first = 0;
    for index in 0..MEMBERS {
        let Reply::ConsumerHeartbeat(answer) = world.ask(1, beat(index, 0)) else {
            panic!("not of a heartbeat")
        };
        assert_eq!(answer.error_code, 0, "{answer:?}");
        if index == 0 {
            first = answer.member_epoch;
        }
    }
    // An assignment was made for the first only; the next is due after a while.
    let _ = world.tick(5_000);
    let begin = Instant::now();
    let Reply::ConsumerHeartbeat(answer) = world.ask(1, beat(0, first)) else { panic!("not of a heartbeat") };
    let lasted = begin.elapsed();
    assert_eq!(answer.error_code, 0, "{answer:?}");
    assert!(answer.assignment.is_some(), "it was to be assigned anew: {answer:?}");
    lasted
}

#[test]
fn a_thousand_members_are_assigned_ten_thousand_partitions_in_one_step() {
    for assignor in ["uniform", "range"] {
        for mixed in [false, true] {
            let lasted = time_of(assignor, mixed);
            eprintln!("{assignor}, different subscriptions {mixed}: {lasted:?}");
            assert!(lasted < BOUND, "{assignor}, different subscriptions {mixed}: {lasted:?}");
        }
    }
}
