//! `kafka-consumer-groups --reset-offsets`: where a group goes on (`OffsetsUtils` of Kafka 4.3.1).
//!
//! Must never move a group beyond the ends of a partition.

use std::collections::BTreeMap;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::{GroupId, OffsetCommitRequest};
use kafka_protocol::protocol::StrBytes;

use super::plan::{self, Plan};
use super::{Failure, SCENARIOS, ask, error, named, plain};
use crate::tools::client::{Client, EARLIEST, LATEST, NO_OFFSET, Partition, Refused, topic_name};
use crate::tools::console::Console;
use crate::tools::options::Options;
use crate::tools::{java, time};

type Offsets = BTreeMap<Partition, i64>;

pub(super) fn run(options: &Options, client: &mut Client, console: &mut Console) -> Result<(), Failure> {
    let mut resets: Vec<(String, Offsets)> = Vec::new();
    for group in named(options, client)? {
        let state = match ask::describe(client, &group) {
            Ok(described) => described.state,
            Err(refused) if refused.is(ResponseError::GroupIdNotFound) => "Dead".to_owned(),
            Err(refused) => return Err(refused.into()),
        };
        if !matches!(state.as_str(), "Empty" | "Dead") {
            error(
                console,
                &format!(
                    "Assignments can only be reset if the group '{group}' is inactive, but the current state is {state}."
                ),
            );
            resets.push((group, Offsets::new()));
            continue;
        }
        let offsets = one(options, &group, client, console)?;
        resets.push((group, offsets));
    }
    let resets = java::in_map_order(resets, 16, |(group, _)| java::hash_code(group));
    let ordered = |offsets: Offsets| {
        let offsets: Vec<(Partition, i64)> = offsets.into_iter().collect();
        java::in_map_order(offsets, 16, |((topic, index), _)| java::partition_hash(topic, *index))
    };
    let resets: Vec<(String, Vec<(Partition, i64)>)> =
        resets.into_iter().map(|(group, offsets)| (group, ordered(offsets))).collect();
    if options.has("export") {
        let is_single = options.values("group").len() == 1;
        let mut text = String::new();
        for (group, offsets) in &resets {
            let group = (!is_single).then_some(group.as_str());
            text.extend(offsets.iter().map(|(partition, offset)| plan::line(group, partition, *offset)));
        }
        console.say(text);
    } else {
        console.say(table(&resets));
    }
    Ok(())
}

fn table(resets: &[(String, Vec<(Partition, i64)>)]) -> String {
    if resets.is_empty() {
        return String::new();
    }
    let of_group = resets.iter().map(|(group, _)| group.len()).max().unwrap_or(0).max(15);
    let topics = resets.iter().flat_map(|(_, offsets)| offsets).map(|((topic, _), _)| topic.len());
    let of_topic = topics.max().unwrap_or(0).max(15);
    let row = |group: &str, topic: &str, index: &str, offset: &str| {
        format!("\n{group:<of_group$} {topic:<of_topic$} {index:<10} {offset}")
    };
    let mut text = row("GROUP", "TOPIC", "PARTITION", "NEW-OFFSET");
    for (group, offsets) in resets {
        for ((topic, index), offset) in offsets {
            text.push_str(&row(group, topic, &index.to_string(), &offset.to_string()));
        }
    }
    text
}

fn one(
    options: &Options,
    group: &str,
    client: &mut Client,
    console: &mut Console,
) -> Result<Offsets, Failure> {
    let partitions = scope(options, group, client)?;
    check_valid(&partitions, client)?;
    let offsets = prepared(options, group, &partitions, client, console)?;
    if options.has("execute") && !offsets.is_empty() {
        commit(group, &offsets, client).map_err(plain)?;
    }
    Ok(offsets)
}

/// The partitions that are meant (`getPartitionsToReset`).
fn scope(options: &Options, group: &str, client: &mut Client) -> Result<Vec<Partition>, Failure> {
    if options.has("all-topics") {
        return Ok(ask::committed(client, group)?.into_keys().collect());
    }
    if !options.has("topic") {
        if options.has("from-file") {
            return Ok(Vec::new());
        }
        let told = "One of the reset scopes should be defined: --all-topics, --topic.";
        return Err(Failure::Usage(told.to_owned()));
    }
    let (mut partitions, topics) = split(&options.values("topic"))?;
    if !topics.is_empty() {
        for topic in client.metadata(Some(&topics), false)? {
            Refused::check(topic.error_code, None).map_err(plain)?;
            let name = topic.name.as_ref().map_or_else(String::new, |name| name.to_string());
            partitions.extend(topic.partitions.iter().map(|one| (name.clone(), one.partition_index)));
        }
    }
    Ok(partitions)
}

/// Partitions that were named, and topics that are meant whole.
pub(super) fn split<'a>(arguments: &[&'a str]) -> Result<(Vec<Partition>, Vec<&'a str>), Failure> {
    let (mut partitions, mut topics) = (Vec::new(), Vec::new());
    for argument in arguments.iter().copied() {
        if !argument.contains(':') {
            topics.push(argument);
            continue;
        }
        let parts: Vec<&str> = argument.split(':').collect();
        let [topic, indexes] = parts[..] else {
            let told = format!("Invalid topic arg '{argument}', expected topic name and partitions");
            return Err(Failure::Usage(told));
        };
        for index in indexes.split(',') {
            let index = index.parse().map_err(|_| {
                Failure::Usage(format!("Invalid partition '{index}' specified in topic arg '{argument}''"))
            })?;
            partitions.push((topic.to_owned(), index));
        }
    }
    Ok((partitions, topics))
}

fn check_valid(partitions: &[Partition], client: &mut Client) -> Result<(), Failure> {
    let mut topics: Vec<&str> = partitions.iter().map(|(topic, _)| topic.as_str()).collect();
    topics.sort_unstable();
    topics.dedup();
    let (mut there, mut led) = (Vec::new(), Vec::new());
    let described = if topics.is_empty() { Vec::new() } else { client.metadata(Some(&topics), false)? };
    for topic in described {
        Refused::check(topic.error_code, None).map_err(|refused| {
            Failure::Plain(format!("java.util.concurrent.ExecutionException: {refused}"))
        })?;
        let name = topic.name.as_ref().map_or_else(String::new, |name| name.to_string());
        for partition in &topic.partitions {
            let at = (name.clone(), partition.partition_index);
            if partition.leader_id.0 >= 0 {
                led.push(at.clone());
            }
            there.push(at);
        }
    }
    let without = |known: &[Partition]| -> Vec<String> {
        let missing = partitions.iter().filter(|partition| !known.contains(partition));
        missing.map(|(topic, index)| format!("{topic}-{index}")).collect()
    };
    for (known, error, what) in [
        (&there, ResponseError::UnknownTopicOrPartition, "do not exist"),
        (&led, ResponseError::LeaderNotAvailable, "have no leader"),
    ] {
        let missing = without(known);
        if !missing.is_empty() {
            let message = format!("The partitions \"{}\" {what}", missing.join(","));
            Refused::check(error.code(), Some(&message)).map_err(plain)?;
        }
    }
    Ok(())
}

/// Where each partition would go (`prepareOffsetsToReset`).
fn prepared(
    options: &Options,
    group: &str,
    partitions: &[Partition],
    client: &mut Client,
    console: &mut Console,
) -> Result<Offsets, Failure> {
    let usage = Failure::Usage;
    if let Some(offset) = options.number::<i64>("to-offset").map_err(usage)? {
        let wanted = partitions.iter().map(|partition| (partition.clone(), offset)).collect();
        return Ok(within(wanted, client, console)?);
    }
    if options.has("to-earliest") {
        return Ok(at(partitions, EARLIEST, client)?);
    }
    if options.has("to-latest") {
        return Ok(at(partitions, LATEST, client)?);
    }
    if let Some(by) = options.number::<i64>("shift-by").map_err(usage)? {
        let committed = ask::committed(client, group)?;
        let shifted = |partition: &Partition| -> Result<(Partition, i64), Failure> {
            let current = committed.get(partition).ok_or_else(|| {
                let (topic, index) = partition;
                let told = "since there is no current committed offset";
                Failure::Usage(format!("Cannot shift offset for partition {topic}-{index} {told}"))
            })?;
            Ok((partition.clone(), current.offset.saturating_add(by)))
        };
        let wanted = partitions.iter().map(shifted).collect::<Result<Offsets, Failure>>()?;
        return Ok(within(wanted, client, console)?);
    }
    if let Some(text) = options.value("to-datetime").map_err(usage)? {
        let millis =
            time::date_time(text).map_err(|message| Refused::own("java.text.ParseException", message))?;
        return Ok(since(partitions, millis, client, console)?);
    }
    if let Some(text) = options.value("by-duration").map_err(usage)? {
        let wrong =
            || Refused::own("java.time.format.DateTimeParseException", "Text cannot be parsed to a Duration");
        let millis = time::duration_ms(text).ok_or_else(wrong)?;
        let millis = client.now_ms().saturating_sub(millis);
        return Ok(since(partitions, millis, client, console)?);
    }
    if let Some(file) = options.value("from-file").map_err(usage)? {
        let mut plan = read(file, &options.values("group"))?;
        let Some(wanted) = plan.remove(group) else {
            error(console, &format!("No reset plan for group {group} found"));
            return Ok(Offsets::new());
        };
        return Ok(within(wanted, client, console)?);
    }
    if options.has("to-current") {
        let committed = ask::committed(client, group)?;
        let fresh: Vec<Partition> =
            partitions.iter().filter(|partition| !committed.contains_key(*partition)).cloned().collect();
        let mut offsets = at(&fresh, LATEST, client)?;
        let known = partitions
            .iter()
            .filter_map(|partition| Some((partition.clone(), committed.get(partition)?.offset)));
        offsets.extend(known);
        return Ok(offsets);
    }
    let scenarios: Vec<String> = SCENARIOS.iter().map(|scenario| format!("[{scenario}]")).collect();
    let told = "requires one of the following scenarios:";
    Err(Failure::Usage(format!("Option '[reset-offsets]' {told} [{}]", scenarios.join(", "))))
}

fn read(file: &str, groups: &[&str]) -> Result<Plan, Refused> {
    let text = std::fs::read_to_string(file)
        .map_err(|_| Refused::own("java.io.IOException", format!("Unable to read file {file}")))?;
    plan::read(&text, groups)
}

fn at(partitions: &[Partition], time: i64, client: &mut Client) -> Result<Offsets, Refused> {
    let wanted: Vec<(Partition, i64)> =
        partitions.iter().map(|partition| (partition.clone(), time)).collect();
    let mut offsets = Offsets::new();
    for (partition, offset) in client.offsets(&wanted, false)? {
        offsets.insert(partition, offset?);
    }
    Ok(offsets)
}

/// The first record at that time or later; the end where there is none.
fn since(
    partitions: &[Partition],
    millis: i64,
    client: &mut Client,
    console: &mut Console,
) -> Result<Offsets, Refused> {
    let mut offsets = at(partitions, millis, client)?;
    let none: Vec<Partition> = offsets
        .iter()
        .filter(|(_, offset)| **offset == NO_OFFSET)
        .map(|(partition, _)| partition.clone())
        .collect();
    let none = java::in_map_order(none, 16, |(topic, index)| java::partition_hash(topic, *index));
    for (topic, index) in &none {
        let told = "is empty. Falling back to latest known offset.";
        console.say(format_args!("\nWarn: Partition {index} from topic {topic} {told}"));
    }
    offsets.extend(at(&none, LATEST, client)?);
    Ok(offsets)
}

/// No offset outside of its partition (`checkOffsetsRange`).
fn within(wanted: Offsets, client: &mut Client, console: &mut Console) -> Result<Offsets, Refused> {
    let partitions: Vec<Partition> = wanted.keys().cloned().collect();
    let (starts, ends) = (at(&partitions, EARLIEST, client)?, at(&partitions, LATEST, client)?);
    let bounded = |(partition, offset): (Partition, i64)| {
        let (start, end) =
            (starts.get(&partition).copied().unwrap_or(0), ends.get(&partition).copied().unwrap_or(offset));
        let bounded = if offset > end { end } else { offset.max(start) };
        if bounded != offset {
            let (topic, index) = &partition;
            let what = if offset > end { "higher than latest" } else { "lower than earliest" };
            console.complain(format_args!(
                "WARN New offset ({offset}) is {what} offset for topic partition {topic}-{index}. Value will be set to \
                 {bounded}"
            ));
        }
        (partition, bounded)
    };
    Ok(wanted.into_iter().map(bounded).collect())
}

fn commit(group: &str, offsets: &Offsets, client: &mut Client) -> Result<(), Refused> {
    let mut topics: BTreeMap<&str, Vec<OffsetCommitRequestPartition>> = BTreeMap::new();
    for ((topic, index), offset) in offsets {
        let partition = OffsetCommitRequestPartition::default()
            .with_partition_index(*index)
            .with_committed_offset(*offset)
            .with_committed_metadata(Some(StrBytes::default()));
        topics.entry(topic).or_default().push(partition);
    }
    let topic = |(name, partitions): (&str, Vec<OffsetCommitRequestPartition>)| {
        OffsetCommitRequestTopic::default().with_name(topic_name(name)).with_partitions(partitions)
    };
    let request = OffsetCommitRequest::default()
        .with_group_id(GroupId(StrBytes::from_string(group.to_owned())))
        .with_generation_id_or_member_epoch(-1)
        .with_topics(topics.into_iter().map(topic).collect());
    let deadline = client.deadline();
    loop {
        let at = client.coordinator(group)?;
        let answer = client.call(at, "offsetCommit", |_| request.clone())?;
        let mut codes =
            answer.topics.iter().flat_map(|topic| &topic.partitions).map(|partition| partition.error_code);
        match codes.find_map(|code| Refused::of(code, None)) {
            None => return Ok(()),
            Some(refused) if !refused.error.is_some_and(|error| error.is_retriable()) => return Err(refused),
            Some(refused) if !client.has_another(deadline) => return Err(refused),
            Some(_) => {}
        }
    }
}
