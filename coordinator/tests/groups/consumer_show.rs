//! What concerns consumer groups in a trace.
//!
//! Must never leave out a part that a client or a reader of the log could see.

use std::fmt::Write;

use kafka_protocol::messages::ConsumerGroupHeartbeatResponse;
use kafka_protocol::messages::consumer_group_describe_response::{Assignment, DescribedGroup};
use milena_coordinator::group::records::{ConsumerChange, ConsumerMember, Owned, Partitions};
use uuid::Uuid;

use crate::show::{error, millis, short};

pub(crate) fn beat(answer: &ConsumerGroupHeartbeatResponse) -> String {
    let mut text = format!("beat {}", error(answer.error_code));
    if let Some(message) = &answer.error_message {
        write!(text, " {:?}", message.as_str()).unwrap();
    }
    if answer.error_code != 0 {
        return text;
    }
    let id = answer.member_id.as_deref().map(short).unwrap_or_default();
    write!(text, " member={id:?} epoch={}", answer.member_epoch).unwrap();
    if answer.heartbeat_interval_ms != 0 {
        write!(text, " every={}", millis(i64::from(answer.heartbeat_interval_ms))).unwrap();
    }
    if let Some(assignment) = &answer.assignment {
        let topics = assignment.topic_partitions.iter();
        let topics = topics.map(|topic| topic_partitions(topic.topic_id, topic.partitions.iter().copied()));
        write!(text, " [{}]", topics.collect::<Vec<_>>().join(" ")).unwrap();
    }
    text
}

fn topic_partitions(topic: Uuid, partitions: impl Iterator<Item = i32>) -> String {
    let partitions: Vec<String> = partitions.map(|partition| partition.to_string()).collect();
    format!("T{}:{}", topic.as_u128(), partitions.join(","))
}

pub(crate) fn described(group: &DescribedGroup) -> String {
    let (id, state) = (group.group_id.as_str(), group.group_state.as_str());
    let mut text = format!(" {id} {}", error(group.error_code));
    if let Some(message) = &group.error_message {
        write!(text, " {:?}", message.as_str()).unwrap();
        return text;
    }
    let (epoch, target, assignor) = (group.group_epoch, group.assignment_epoch, group.assignor_name.as_str());
    write!(text, " {state} epoch={epoch} target={target} {assignor}").unwrap();
    for member in &group.members {
        let id = short(&member.member_id);
        let instance = member.instance_id.as_deref().map(|id| format!("({id})")).unwrap_or_default();
        let topics: Vec<&str> = member.subscribed_topic_names.iter().map(|topic| topic.as_str()).collect();
        let regex = member.subscribed_topic_regex.as_deref().unwrap_or("null");
        let (epoch, kind) = (member.member_epoch, member.member_type);
        let (has, target) = (assignment(&member.assignment), assignment(&member.target_assignment));
        write!(text, " {id}{instance}@{epoch}[{}|{regex} type={kind} {has} -> {target}]", topics.join(","))
            .unwrap();
    }
    text
}

fn assignment(assignment: &Assignment) -> String {
    let topics = assignment.topic_partitions.iter();
    topics
        .map(|topic| {
            let partitions: Vec<String> = topic.partitions.iter().map(i32::to_string).collect();
            format!("{}:{}", topic.topic_name.as_str(), partitions.join(","))
        })
        .collect::<Vec<_>>()
        .join(" ")
}

pub(crate) fn change(group: &str, change: &ConsumerChange) -> String {
    let gone = || "gone".to_owned();
    let of_member = |what: &str, id: &str, value: Option<String>| {
        format!("{what} {group}/{} {}", short(id), value.unwrap_or_else(gone))
    };
    match change {
        ConsumerChange::Epoch(value) => {
            // The hash says whether topics differ, no more.
            let value = value.map(|value| {
                format!("{}{}", value.epoch, if value.metadata_hash == 0 { " no-topics" } else { "" })
            });
            format!("epoch {group} {}", value.unwrap_or_else(gone))
        }
        ConsumerChange::PartitionMetadata(present) => format!("partition-metadata {group} {present}"),
        ConsumerChange::Member(id, value) => of_member("member", id, value.as_ref().map(member)),
        ConsumerChange::TargetEpoch(value) => {
            let value = value.map(|value| format!("{} at={}", value.epoch, millis(value.at.0)));
            format!("target-epoch {group} {}", value.unwrap_or_else(gone))
        }
        ConsumerChange::Target(id, value) => of_member("target", id, value.as_ref().map(partitions)),
        ConsumerChange::Current(id, value) => {
            let value = value.as_ref().map(|value| {
                let states = ["stable", "unrevoked", "unreleased"];
                let state = states.get(value.state as usize).copied().unwrap_or("unknown");
                let (epoch, before) = (value.epoch, value.previous_epoch);
                let (has, revokes) = (owned(&value.assigned), owned(&value.revoking));
                format!("{epoch} (was {before}) {state} [{has}] revoking [{revokes}]")
            });
            of_member("current", id, value)
        }
        ConsumerChange::Regex(pattern, value) => {
            let value = value.as_ref().map(|value| {
                let topics: Vec<&str> = value.topics.iter().map(String::as_str).collect();
                format!("[{}] version={} at={}", topics.join(","), value.version, millis(value.at.0))
            });
            format!("regex {group} {pattern:?} {}", value.unwrap_or_else(gone))
        }
    }
}

fn member(member: &ConsumerMember) -> String {
    let topics: Vec<&str> = member.topics.iter().map(String::as_str).collect();
    let mut text = format!("topics=[{}] rebalance={}", topics.join(","), member.rebalance_timeout_ms);
    let named = [
        ("i", &member.instance_id),
        ("rack", &member.rack_id),
        ("re", &member.regex),
        ("assignor", &member.server_assignor),
    ];
    for (name, value) in named {
        if let Some(value) = value.as_deref().filter(|value| !value.is_empty()) {
            write!(text, " {name}={value}").unwrap();
        }
    }
    if let Some(classic) = &member.classic {
        let names: Vec<&str> = classic.protocols.iter().map(|(name, _)| name.as_str()).collect();
        write!(text, " classic={} session={}", names.join(","), classic.session_timeout_ms).unwrap();
    }
    text
}

fn partitions(partitions: &Partitions) -> String {
    let topics = partitions.iter().map(|(topic, indexes)| topic_partitions(*topic, indexes.iter().copied()));
    format!("[{}]", topics.collect::<Vec<_>>().join(" "))
}

fn owned(owned: &Owned) -> String {
    let topics = owned.iter().map(|(topic, indexes)| {
        let each: Vec<String> = indexes.iter().map(|(index, epoch)| format!("{index}@{epoch}")).collect();
        format!("T{}:{}", topic.as_u128(), each.join(","))
    });
    topics.collect::<Vec<_>>().join(" ")
}
