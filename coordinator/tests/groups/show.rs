//! Outputs of the machine as lines of a script's trace.
//!
//! Must never hide a field that a client would act on.

use std::fmt::Write as _;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::JoinGroupResponse;
use milena_coordinator::group::records::{Change, GroupMetadata};
use milena_coordinator::group::{Record, Reply, TimerKey};
use milena_storage::ids::{LeaderEpoch, Timestamp};
use uuid::Uuid;

use crate::consumer_show;

use crate::world::Happened;

/// One line per answer, record and deadline.
pub(crate) fn happened(what: &Happened, now: Timestamp, out: &mut String) {
    if let Some(key) = &what.fired {
        line(out, &format!("fired {}", timer(key)));
    }
    for (ticket, answer) in &what.output.replies {
        line(out, &format!("t{} {}", ticket.0, reply(answer)));
    }
    let producer = what.output.transaction.map(|(id, epoch)| format!(" in {id}/{epoch}")).unwrap_or_default();
    for record in &what.output.records {
        line(out, &format!("log {}{producer}", self::record(record)));
    }
    for (key, at) in &what.output.timers {
        let at = at.map_or("off".to_owned(), |at| format!("+{}", millis(at.0 - now.0)));
        line(out, &format!("timer {} {at}", timer(key)));
    }
}

pub(crate) fn line(out: &mut String, text: &str) {
    writeln!(out, "{text}").unwrap();
}

pub(crate) fn timer(key: &TimerKey) -> String {
    match key {
        TimerKey::Session { group, member } => format!("session {group}/{}", short(member)),
        TimerKey::Join { group } => format!("join {group}"),
        TimerKey::Sync { group } => format!("sync {group}"),
        TimerKey::Revocation { group, member } => format!("revocation {group}/{}", short(member)),
        TimerKey::MemberJoin { group, member } => format!("member-join {group}/{}", short(member)),
        TimerKey::MemberSync { group, member } => format!("member-sync {group}/{}", short(member)),
        TimerKey::Patterns { group } => format!("patterns {group}"),
        TimerKey::Expiry => "expiry".to_owned(),
    }
}

pub(crate) fn millis(ms: i64) -> String {
    if ms % 1000 == 0 { format!("{}s", ms / 1000) } else { format!("{ms}ms") }
}

/// `client#3` for the member id that `client` got with the third random value.
pub(crate) fn short(id: &str) -> String {
    let cut = id.len().checked_sub(37).filter(|&cut| id.as_bytes()[cut] == b'-');
    let random = cut.and_then(|cut| Uuid::parse_str(&id[cut + 1..]).ok());
    match (cut, random) {
        (Some(cut), Some(random)) => format!("{}#{}", &id[..cut], random.as_u128()),
        _ => id.to_owned(),
    }
}

pub(crate) fn error(code: i16) -> String {
    match ResponseError::try_from_code(code) {
        None => "ok".to_owned(),
        Some(error) => format!("{error:?}"),
    }
}

fn bytes(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn reply(answer: &Reply) -> String {
    match answer {
        Reply::Join(join) => self::join(join),
        Reply::Sync(sync) => format!(
            "sync {} type={:?} protocol={:?} assignment={:?}",
            error(sync.error_code),
            sync.protocol_type.as_deref(),
            sync.protocol_name.as_deref(),
            bytes(&sync.assignment)
        ),
        Reply::Heartbeat(heartbeat) => format!("heartbeat {}", error(heartbeat.error_code)),
        Reply::ConsumerHeartbeat(answer) => consumer_show::beat(answer),
        Reply::Leave(leave) => {
            let member = |member: &kafka_protocol::messages::leave_group_response::MemberResponse| {
                let instance =
                    member.group_instance_id.as_deref().map(|id| format!("({id})")).unwrap_or_default();
                format!(" {}{instance}:{}", short(&member.member_id), error(member.error_code))
            };
            format!(
                "leave {}{}",
                error(leave.error_code),
                leave.members.iter().map(member).collect::<String>()
            )
        }
        Reply::Commit(commit) => {
            let partitions = commit.topics.iter().flat_map(|topic| {
                topic.partitions.iter().map(|partition| {
                    format!(
                        " {}:{}={}",
                        topic.name.as_str(),
                        partition.partition_index,
                        error(partition.error_code)
                    )
                })
            });
            format!("commit{}", partitions.collect::<String>())
        }
        Reply::CommitInTransaction(commit) => {
            let partitions = commit.topics.iter().flat_map(|topic| {
                let name = topic.name.as_str();
                topic.partitions.iter().map(move |partition| {
                    format!(" {name}:{}={}", partition.partition_index, error(partition.error_code))
                })
            });
            format!("txn-commit{}", partitions.collect::<String>())
        }
        Reply::FetchOffsets(group) => {
            let partitions = group.topics.iter().flat_map(|topic| {
                topic.partitions.iter().map(|partition| {
                    let metadata = partition.metadata.as_deref().unwrap_or("null");
                    let error =
                        if partition.error_code == 0 { String::new() } else { error(partition.error_code) };
                    format!(
                        " {}:{}={}@{}{metadata:?}{error}",
                        topic.name.as_str(),
                        partition.partition_index,
                        partition.committed_offset,
                        partition.committed_leader_epoch,
                    )
                })
            });
            format!("fetch {}{}", error(group.error_code), partitions.collect::<String>())
        }
        other => admin_reply(other),
    }
}

fn admin_reply(answer: &Reply) -> String {
    match answer {
        Reply::DeleteOffsets(delete) => {
            let partitions = delete.topics.iter().flat_map(|topic| {
                topic.partitions.iter().map(|partition| {
                    format!(
                        " {}:{}={}",
                        topic.name.as_str(),
                        partition.partition_index,
                        error(partition.error_code)
                    )
                })
            });
            format!("delete-offsets {}{}", error(delete.error_code), partitions.collect::<String>())
        }
        Reply::Rebalance(refused) => {
            format!("rebalance {}", refused.map_or_else(|| "ok".to_owned(), |error| format!("{error:?}")))
        }
        Reply::List(list) => {
            let groups = list.groups.iter().map(|group| {
                let (id, state, kind) = (&group.group_id, &group.group_state, &group.group_type);
                format!(" {}[{state} {kind} {:?}]", id.as_str(), group.protocol_type.as_str())
            });
            format!("list {}{}", error(list.error_code), groups.collect::<String>())
        }
        Reply::Describe(groups) => {
            let mut text = "describe".to_owned();
            for group in groups {
                let id = group.group_id.as_str();
                let message =
                    group.error_message.as_deref().map(|text| format!(" {text:?}")).unwrap_or_default();
                let (state, error) = (&group.group_state, error(group.error_code));
                let (kind, protocol) = (group.protocol_type.as_str(), group.protocol_data.as_str());
                write!(text, " {id} {error}{message} {state} type={kind:?} protocol={protocol:?}").unwrap();
                for member in &group.members {
                    let (metadata, assignment) =
                        (bytes(&member.member_metadata), bytes(&member.member_assignment));
                    let instance =
                        member.group_instance_id.as_deref().map(|id| format!("({id})")).unwrap_or_default();
                    write!(text, " {}{instance}", short(&member.member_id)).unwrap();
                    write!(text, "[{}{} {metadata:?} {assignment:?}]", member.client_id, member.client_host)
                        .unwrap();
                }
            }
            text
        }
        Reply::DescribeConsumer(groups) => {
            format!("describe-consumer{}", groups.iter().map(consumer_show::described).collect::<String>())
        }
        Reply::Delete(results) => {
            let each = results
                .iter()
                .map(|group| format!(" {}={}", group.group_id.as_str(), error(group.error_code)));
            format!("delete{}", each.collect::<String>())
        }
        _ => unreachable!("shown by the caller"),
    }
}

fn join(join: &JoinGroupResponse) -> String {
    let mut text = format!("join {} member={:?}", error(join.error_code), short(&join.member_id));
    if join.error_code != 0 {
        if let Some(protocol) = &join.protocol_name {
            write!(text, " protocol={:?}", protocol.as_str()).unwrap();
        }
        return text;
    }
    write!(text, " generation={} leader={:?}", join.generation_id, short(&join.leader)).unwrap();
    write!(text, " type={:?} protocol={:?}", join.protocol_type.as_deref(), join.protocol_name.as_deref())
        .unwrap();
    if join.skip_assignment {
        text.push_str(" skip");
    }
    for member in &join.members {
        let instance = member.group_instance_id.as_deref().map(|id| format!("({id})")).unwrap_or_default();
        write!(text, " {}{instance}:{:?}", short(&member.member_id), bytes(&member.metadata)).unwrap();
    }
    text
}

fn record(record: &Record) -> String {
    match Record::decode(&record.key, record.value.as_deref()).unwrap() {
        Change::Offset(key, None) => format!("offset {} {}:{} gone", key.group, key.topic, key.partition),
        Change::Offset(key, Some(commit)) => {
            let epoch = if commit.leader_epoch == LeaderEpoch::NONE {
                String::new()
            } else {
                format!("@{}", commit.leader_epoch)
            };
            let expires =
                commit.expire_timestamp.map(|at| format!(" expires={}", millis(at.0))).unwrap_or_default();
            let (group, topic, partition) = (key.group, key.topic, key.partition);
            format!(
                "offset {group} {topic}:{partition}={}{epoch}{:?}{expires}",
                commit.offset, commit.metadata
            )
        }
        Change::Group(group, None) => format!("group {group} gone"),
        Change::Group(group, Some(value)) => format!("group {group} {}", metadata(&value)),
        Change::Consumer(group, change) => consumer_show::change(&group, &change),
        Change::Unknown(kind) => format!("unknown {kind}"),
    }
}

fn metadata(value: &GroupMetadata) -> String {
    let mut text = format!("generation={} type={:?}", value.generation, value.protocol_type);
    if let Some(protocol) = &value.protocol {
        write!(text, " protocol={protocol:?}").unwrap();
    }
    if let Some(leader) = &value.leader {
        write!(text, " leader={:?}", short(leader)).unwrap();
    }
    for member in &value.members {
        let instance = member.instance_id.as_deref().map(|id| format!("({id})")).unwrap_or_default();
        write!(text, " {}{instance}={:?}", short(&member.member_id), bytes(&member.assignment)).unwrap();
    }
    text
}
