//! Large groups and many groups: they come to rest in few rounds of heartbeats, and no step grows with all of them.
//!
//! Must never measure time: these run on busy machines. What takes too long shows as a test that does not end.

use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use kafka_protocol::messages::{ConsumerGroupHeartbeatRequest, GroupId, TopicName};
use milena_coordinator::group::{GroupConfig, Reply, Request};

use crate::command::text;
use crate::world::World;

const MEMBERS: usize = 1_000;
const TOPICS: usize = 10;
const PARTITIONS: i32 = 1_000;
const GROUPS: usize = 5_000;

#[derive(Clone, Default)]
struct Member {
    epoch: i32,
    owned: Vec<TopicPartitions>,
}

fn topics(count: usize) -> Vec<TopicName> {
    (0..count).map(|number| TopicName(text(&format!("topic-{number}")))).collect()
}

fn world(topics: &[TopicName], partitions: i32) -> World {
    let mut world = World::new(GroupConfig::default());
    // At 0 it would not be known when an assignment was computed, and each member would have another one made.
    let _ = world.tick(1);
    for topic in topics {
        let _ = world.change_topic(topic, partitions);
    }
    world
}

/// One heartbeat; the member takes over what it is told at once.
fn beat(world: &mut World, group: &str, id: &str, topics: &[TopicName], member: &mut Member) {
    let request = ConsumerGroupHeartbeatRequest::default()
        .with_group_id(GroupId(text(group)))
        .with_member_id(text(id))
        .with_member_epoch(member.epoch)
        .with_rebalance_timeout_ms(60_000)
        .with_subscribed_topic_names(Some(topics.to_vec()))
        .with_topic_partitions(Some(std::mem::take(&mut member.owned)));
    let owned = request.topic_partitions.clone().unwrap_or_default();
    let Reply::ConsumerHeartbeat(answer) = world.ask(1, Request::ConsumerHeartbeat(request)) else {
        panic!("not an answer to a heartbeat")
    };
    assert_eq!(answer.error_code, 0, "{answer:?}");
    member.epoch = answer.member_epoch;
    member.owned = answer.assignment.map_or(owned, |assignment| {
        let topics = assignment.topic_partitions.into_iter();
        let convert =
            |topic: kafka_protocol::messages::consumer_group_heartbeat_response::TopicPartitions| {
                TopicPartitions::default().with_topic_id(topic.topic_id).with_partitions(topic.partitions)
            };
        topics.map(convert).collect()
    });
}

fn state(world: &mut World, group: &str) -> String {
    let Reply::DescribeConsumer(groups) =
        world.ask(1, Request::DescribeConsumer { groups: vec![group.to_owned()] })
    else {
        panic!("not a description")
    };
    groups[0].group_state.to_string()
}

#[test]
fn a_thousand_members_come_to_rest() {
    let topics = topics(TOPICS);
    let mut world = world(&topics, PARTITIONS);
    let mut members = vec![Member::default(); MEMBERS];
    let mut rounds = 0;
    while rounds == 0 || state(&mut world, "g") != "Stable" {
        for (index, member) in members.iter_mut().enumerate() {
            beat(&mut world, "g", &format!("m{index}"), &topics, member);
        }
        let _ = world.tick(5_000);
        rounds += 1;
        assert!(rounds <= 6, "still {}", state(&mut world, "g"));
    }
    let owned = |member: &Member| member.owned.iter().map(|topic| topic.partitions.len()).sum::<usize>();
    assert!(members.iter().all(|member| owned(member) == TOPICS * PARTITIONS as usize / MEMBERS));
}

#[test]
fn five_thousand_groups_live_side_by_side() {
    let topics = topics(2);
    let mut world = world(&topics, 3);
    let mut members = vec![Member::default(); GROUPS];
    let name = |index: usize| format!("group-{index}");
    for (index, member) in members.iter_mut().enumerate() {
        beat(&mut world, &name(index), "m", &topics, member);
    }
    assert_eq!(state(&mut world, &name(GROUPS - 1)), "Stable");
    // One of the topics grows: every group is assigned anew when its member reports.
    let _ = world.change_topic("topic-1", 4);
    let _ = world.tick(5_000);
    for index in [0, GROUPS / 2, GROUPS - 1] {
        let before = members[index].epoch;
        beat(&mut world, &name(index), "m", &topics, &mut members[index]);
        assert_eq!(members[index].epoch, before + 1);
    }
}
