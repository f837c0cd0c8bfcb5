//! Rebalances that a test asks for, and faults that are meant for a group.
//!
//! A test must never count the rebalances by which a group came to be.

use std::net::SocketAddr;

use kafka_protocol::messages::{ConsumerGroupDescribeRequest, DescribeGroupsRequest, GroupId};
use kafka_protocol::protocol::StrBytes;
use milena_compat_tests::wait::{self, PATIENCE};
use milena_compat_tests::wire::Wire;
use serde_json::{Value, json};

use super::world::{Broker, Client, Running, Told};

/// Members report five times a second, and are assigned at once.
pub(crate) const HASTE: &[(&str, &str)] = &[
    ("group.consumer.min.heartbeat.interval.ms", "200"),
    ("group.consumer.heartbeat.interval.ms", "200"),
    ("group.consumer.assignment.interval.ms", "0"),
    ("group.initial.rebalance.delay.ms", "0"),
];
pub(crate) const PARTITIONS: i64 = 4;
pub(crate) const TOPIC: &str = "shared:4:1";
pub(crate) const PROTOCOLS: [&str; 2] = ["classic", "consumer"];

/// A member of a group of this protocol.
pub(crate) fn member(broker: &Broker, client: Client, group: &str, protocol: &str, more: &[&str]) -> Running {
    let (of_group, of_protocol) = (format!("group.id={group}"), format!("group.protocol={protocol}"));
    let mut settings = vec![of_group.as_str(), of_protocol.as_str()];
    if protocol == "classic" {
        settings.push("heartbeat.interval.ms=200");
    }
    settings.extend(more);
    client.start(["member", &broker.server.bootstrap(), "shared", "-"], &settings)
}

/// How often a member was given everything.
pub(crate) fn takings(told: &Told) -> usize {
    let all = |line: &&&Value| line["called"] == "assigned" && line["count"] == PARTITIONS;
    told.of_field("called").iter().filter(all).count()
}

/// Waits until a member has been given everything so often.
pub(crate) fn takes_all(member: &mut Running, times: usize) {
    member.wait_for("all partitions", |told| takings(told) >= times);
}

fn group_id(group: &str) -> GroupId {
    GroupId(StrBytes::from_string(group.to_owned()))
}

/// State of a group of the classic protocol, and how many members it has.
pub(crate) fn classic(at: SocketAddr, group: &str) -> (String, usize) {
    let request = DescribeGroupsRequest::default().with_groups(vec![group_id(group)]);
    let told = Wire::connect(at).call(5, &request);
    (told.groups[0].group_state.to_string(), told.groups[0].members.len())
}

/// State of a group of the consumer protocol, and the epochs of its members.
pub(crate) fn consumer(at: SocketAddr, group: &str) -> (String, Vec<i32>) {
    let request = ConsumerGroupDescribeRequest::default().with_group_ids(vec![group_id(group)]);
    let told = Wire::connect(at).call(0, &request);
    let epochs = told.groups[0].members.iter().map(|member| member.member_epoch).collect();
    (told.groups[0].group_state.to_string(), epochs)
}

#[test]
fn a_rebalance_that_is_asked_for_is_seen_by_members_of_both_protocols() {
    let broker = Broker::start(TOPIC, HASTE);
    let at = broker.server.address();
    Client::both(|client| {
        let mut members = PROTOCOLS.map(|protocol| {
            let group = format!("{}-{protocol}", client.name());
            (member(&broker, client, &group, protocol, &[]), group)
        });
        let rebalance = |group: &str| {
            let told = broker.http.told(200, "POST", &format!("/v1/groups/{group}/rebalance"), "");
            assert_eq!(told, json!({ "group": group }));
        };
        let [(classic, classic_group), (consumer_member, consumer_group)] = &mut members;

        takes_all(classic, 1);
        let before = classic.told();
        rebalance(classic_group);
        let told = classic.wait_for("the partitions again", |told| takings(told) > takings(&before));
        let revoked =
            |told: &Told| told.of_field("called").iter().filter(|line| line["called"] == "revoked").count();
        assert!(revoked(&told) > revoked(&before), "{client:?} {told:?}");

        takes_all(consumer_member, 1);
        let settled = || {
            let (state, epochs) = consumer(at, consumer_group);
            (state == "Stable" && epochs.len() == 1).then(|| epochs[0])
        };
        let before = wait::until(PATIENCE, "a settled group", settled);
        rebalance(consumer_group);
        let after = wait::until(PATIENCE, "the next epoch", || settled().filter(|epoch| *epoch > before));
        assert_eq!(after, before + 1, "{client:?}");
        if client == Client::Java {
            // librdkafka does not show its application the epoch.
            let is_there = |epoch: i32| move |told: &Told| told.numbers("epoch").contains(&i64::from(epoch));
            consumer_member.wait_for("the epoch", is_there(after));
        }
        assert_eq!(takings(&consumer_member.told()), 1, "{client:?}: nothing has changed hands");
    });
    broker.http.told(404, "POST", "/v1/groups/nobody/rebalance", "");
}

#[test]
fn a_fault_of_one_group_is_met_by_its_members_alone() {
    let broker = Broker::start(TOPIC, HASTE);
    Client::both(|client| {
        let (struck, spared) = (format!("{}-struck", client.name()), format!("{}-spared", client.name()));
        let rule = json!({
            "api": ["Heartbeat"], "group": struck, "times": 1,
            "action": { "kind": "error", "error": "REBALANCE_IN_PROGRESS" },
        });
        let mut others = member(&broker, client, &spared, "classic", &[]);
        let mut its = member(&broker, client, &struck, "classic", &[]);
        takes_all(&mut others, 1);
        takes_all(&mut its, 1);
        let rule = broker.http.rule(&rule);
        // It is told that the group joins anew, and does so.
        takes_all(&mut its, 2);
        let counted = rule.remove();
        assert!(counted.hits == 1 && counted.seen >= 1, "{client:?} {counted:?}");
        assert_eq!(takings(&others.told()), 1, "{client:?}");
    });
}
