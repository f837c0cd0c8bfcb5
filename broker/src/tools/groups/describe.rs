//! `kafka-consumer-groups --describe`: offsets, members or states of groups, in columns.
//!
//! Must never show a lag that an offset is missing for.

use std::collections::BTreeMap;

use super::ask::{self, Committed, Group, Member};
use super::{Failure, MISSING, error, named};
use crate::tools::client::{Client, LATEST, Partition, Refused};
use crate::tools::console::Console;
use crate::tools::options::Options;

/// One partition of a group, in texts.
struct Row {
    topic: String,
    partition: String,
    leader_epoch: String,
    offset: String,
    end: String,
    lag: String,
    consumer: String,
    host: String,
    client: String,
}

pub(super) fn run(options: &Options, client: &mut Client, console: &mut Console) -> Result<(), Failure> {
    let mut groups = BTreeMap::new();
    for name in named(options, client)? {
        let group = ask::describe(client, &name)?;
        groups.insert(name, group);
    }
    let verbose = options.has("verbose");
    if options.has("members") {
        groups.iter().for_each(|(name, group)| members(name, group, verbose, console));
    } else if options.has("state") {
        groups.iter().for_each(|(name, group)| state(name, group, verbose, console));
    } else {
        let mut all = Vec::new();
        for (name, group) in &groups {
            all.push((name, group, rows(client, name, group)?));
        }
        all.iter().for_each(|(name, group, rows)| offsets(name, group, rows, verbose, console));
    }
    Ok(())
}

/// Whether there is something to show; what is to be said of the state is said.
fn is_shown(name: &str, group: &Group, rows: usize, console: &mut Console) -> bool {
    match group.state.as_str() {
        "Dead" => error(console, &format!("Consumer group '{name}' does not exist.")),
        "Empty" => console.complain(format_args!("\nConsumer group '{name}' has no active members.")),
        "Stable" => {}
        _ => console.complain(format_args!("\nWarning: Consumer group '{name}' is rebalancing.")),
    }
    group.state != "Dead" && rows > 0
}

fn rows(client: &mut Client, name: &str, group: &Group) -> Result<Vec<Row>, Refused> {
    let committed = ask::committed(client, name)?;
    let mut members: Vec<&Member> =
        group.members.iter().filter(|member| !member.assignment.is_empty()).collect();
    members.sort_by_key(|member| std::cmp::Reverse(member.assignment.len()));
    let mut rows = Vec::new();
    let mut assigned: Vec<&Partition> = Vec::new();
    for member in members {
        assigned.extend(&member.assignment);
        let whose = (member.id.as_str(), member.host.as_str(), member.client_id.as_str());
        rows.extend(rows_of(client, &member.assignment, &committed, whose)?);
    }
    let others: Vec<Partition> =
        committed.keys().filter(|partition| !assigned.contains(partition)).cloned().collect();
    rows.extend(rows_of(client, &others, &committed, (MISSING, MISSING, MISSING))?);
    Ok(rows)
}

fn rows_of(
    client: &mut Client,
    partitions: &[Partition],
    committed: &BTreeMap<Partition, Committed>,
    (consumer, host, client_id): (&str, &str, &str),
) -> Result<Vec<Row>, Refused> {
    let mut partitions = partitions.to_vec();
    partitions.sort();
    let mut topics: Vec<&str> = partitions.iter().map(|(topic, _)| topic.as_str()).collect();
    topics.dedup();
    if topics.is_empty() {
        return Ok(Vec::new());
    }
    let leaders = client.leaders(&topics)?;
    let led = partitions.iter().filter(|partition| leaders.contains_key(*partition));
    let wanted: Vec<(Partition, i64)> = led.map(|partition| (partition.clone(), LATEST)).collect();
    let mut ends = BTreeMap::new();
    for (partition, end) in client.offsets(&wanted, false)? {
        ends.insert(partition, end?);
    }
    let text = |value: Option<i64>| value.map_or_else(|| MISSING.to_owned(), |value| value.to_string());
    let row = |partition: &Partition| {
        let (committed, end) = (committed.get(partition), ends.get(partition).copied());
        let offset = committed.map(|committed| committed.offset);
        Row {
            topic: partition.0.clone(),
            partition: partition.1.to_string(),
            leader_epoch: text(committed.and_then(|committed| committed.leader_epoch).map(i64::from)),
            offset: text(offset),
            end: text(end),
            lag: text(offset.zip(end).map(|(offset, end)| end - offset)),
            consumer: consumer.to_owned(),
            host: host.to_owned(),
            client: client_id.to_owned(),
        }
    };
    Ok(partitions.iter().map(row).collect())
}

fn offsets(name: &str, group: &Group, rows: &[Row], verbose: bool, console: &mut Console) {
    if !is_shown(name, group, rows.len(), console) {
        return;
    }
    let width = |of: fn(&Row) -> &str, least: usize| {
        rows.iter().map(|row| of(row).len()).max().unwrap_or(0).max(least)
    };
    let (of_group, of_topic) = (name.len().max(15), width(|row| &row.topic, 15));
    let (of_consumer, of_host) = (width(|row| &row.consumer, 15), width(|row| &row.host, 15));
    let line = |group: &str, row: &Row| {
        let epoch = if verbose { format!("{:<15} ", row.leader_epoch) } else { String::new() };
        format!(
            "\n{group:<of_group$} {:<of_topic$} {:<10} {epoch}{:<15} {:<15} {:<15} {:<of_consumer$} {:<of_host$} {}",
            row.topic, row.partition, row.offset, row.end, row.lag, row.consumer, row.host, row.client
        )
    };
    let head = Row {
        topic: "TOPIC".to_owned(),
        partition: "PARTITION".to_owned(),
        leader_epoch: "LEADER-EPOCH".to_owned(),
        offset: "CURRENT-OFFSET".to_owned(),
        end: "LOG-END-OFFSET".to_owned(),
        lag: "LAG".to_owned(),
        consumer: "CONSUMER-ID".to_owned(),
        host: "HOST".to_owned(),
        client: "CLIENT-ID".to_owned(),
    };
    let lines: String = rows.iter().map(|row| line(name, row)).collect();
    console.say(format_args!("{}{lines}", line("GROUP", &head)));
}

fn members(name: &str, group: &Group, verbose: bool, console: &mut Console) {
    let shown = is_shown(name, group, group.members.len(), console);
    let all: &[Member] = if shown { &group.members } else { &[] };
    let width =
        |of: &dyn Fn(&Member) -> usize, least: usize| all.iter().map(of).max().unwrap_or(0).max(least);
    let of_group = if all.is_empty() { 15 } else { name.len().max(15) };
    let of_id = width(&|member| member.id.len(), 15);
    let of_instance = width(&|member| member.instance.len(), 17);
    let of_host = width(&|member| member.host.len(), 15);
    let of_client = width(&|member| member.client_id.len(), 15);
    let of_current = width(&|member| assignment(&member.assignment).len(), 20);
    let of_target = width(&|member| assignment(&member.target).len(), 20);
    let has_instance = all.iter().any(|member| !member.instance.is_empty());
    let has = |upgraded| all.iter().any(|member| member.upgraded == Some(upgraded));
    let migrates = has(true) && has(false);
    let line = |group: &str,
                [id, instance, host, client, count]: [&str; 5],
                [epoch, current, target_epoch, target, upgraded]: [&str; 5]| {
        let instance = if has_instance { format!("{instance:<of_instance$} ") } else { String::new() };
        let mut line = format!(
            "{group:<of_group$} {id:<of_id$} {instance}{host:<of_host$} {client:<of_client$} {count:<15} "
        );
        if verbose {
            line.push_str(&format!(
                "{epoch:<15} {current:<of_current$} {target_epoch:<15} {target:<of_target$}"
            ));
            if migrates {
                line.push_str(&format!(" {upgraded}"));
            }
        }
        line
    };
    console.say(format_args!(
        "\n{}",
        line(
            "GROUP",
            ["CONSUMER-ID", "GROUP-INSTANCE-ID", "HOST", "CLIENT-ID", "#PARTITIONS"],
            ["CURRENT-EPOCH", "CURRENT-ASSIGNMENT", "TARGET-EPOCH", "TARGET-ASSIGNMENT", "UPGRADED"]
        )
    ));
    let text = |epoch: Option<i32>| epoch.map_or_else(|| MISSING.to_owned(), |epoch| epoch.to_string());
    // A group that is not shown for its state has its members listed all the same.
    for member in &group.members {
        let count = member.assignment.len().to_string();
        let upgraded = member.upgraded.map_or_else(|| MISSING.to_owned(), |upgraded| upgraded.to_string());
        console.say(line(
            name,
            [&member.id, &member.instance, &member.host, &member.client_id, &count],
            [
                &text(member.epoch),
                &assignment(&member.assignment),
                &text(group.assignment_epoch),
                &assignment(&member.target),
                &upgraded,
            ],
        ));
    }
}

/// `topic:partition,partition;topic:...`.
fn assignment(partitions: &[Partition]) -> String {
    if partitions.is_empty() {
        return MISSING.to_owned();
    }
    let mut by_topic: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for (topic, index) in partitions {
        by_topic.entry(topic).or_default().push(*index);
    }
    let mut texts: Vec<String> = by_topic
        .into_iter()
        .map(|(topic, mut indexes)| {
            indexes.sort_unstable();
            let indexes: Vec<String> = indexes.iter().map(ToString::to_string).collect();
            format!("{topic}:{}", indexes.join(","))
        })
        .collect();
    texts.sort();
    texts.join(";")
}

fn state(name: &str, group: &Group, verbose: bool, console: &mut Console) {
    if !is_shown(name, group, 1, console) {
        return;
    }
    let node = &group.coordinator;
    let coordinator = format!("{}:{}  ({})", node.host, node.port, node.id);
    let (of_group, of_coordinator) = (name.len().max(15), coordinator.len().max(25));
    let assignor = if group.assignor.is_empty() { MISSING } else { &group.assignor };
    let text = |epoch: Option<i32>| epoch.map_or_else(|| MISSING.to_owned(), |epoch| epoch.to_string());
    let line = |group: &str, at: &str, assignor: &str, state: &str, epochs: [&str; 2], count: &str| {
        let epochs = if verbose { format!("{:<15} {:<25} ", epochs[0], epochs[1]) } else { String::new() };
        format!("\n{group:<of_group$} {at:<of_coordinator$} {assignor:<20} {state:<20} {epochs}{count}")
    };
    let head = line(
        "GROUP",
        "COORDINATOR (ID)",
        "ASSIGNMENT-STRATEGY",
        "STATE",
        ["GROUP-EPOCH", "TARGET-ASSIGNMENT-EPOCH"],
        "#MEMBERS",
    );
    let epochs = [text(group.epoch), text(group.assignment_epoch)];
    let count = group.members.len().to_string();
    let row = line(name, &coordinator, assignor, &group.state, [&epochs[0], &epochs[1]], &count);
    console.say(format_args!("{head}{row}"));
}
