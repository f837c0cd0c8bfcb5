//! `kafka-consumer-groups --delete` and `--delete-offsets`.
//!
//! Must never call a deletion successful that a coordinator did not confirm.

use std::collections::BTreeMap;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use kafka_protocol::messages::{DeleteGroupsRequest, GroupId, OffsetDeleteRequest};
use kafka_protocol::protocol::StrBytes;

use super::reset::split;
use super::{Failure, MISSING, error, named};
use crate::tools::client::{Client, Partition, Refused, topic_name};
use crate::tools::console::Console;
use crate::tools::java;
use crate::tools::options::Options;

pub(super) fn groups(options: &Options, client: &mut Client, console: &mut Console) -> Result<(), Failure> {
    let (mut deleted, mut failed) = (Vec::new(), Vec::new());
    let names = named(options, client)?;
    for name in java::in_map_order(names, 16, |name| java::hash_code(name)) {
        match delete(client, &name) {
            Ok(()) => deleted.push(name),
            Err(refused) => failed.push((name, refused)),
        }
    }
    let listed: Vec<String> = deleted.iter().map(|name| format!("'{name}'")).collect();
    let listed = listed.join(", ");
    if failed.is_empty() {
        console.say(format_args!("Deletion of requested consumer groups ({listed}) was successful."));
        return Ok(());
    }
    error(console, "Deletion of some consumer groups failed:");
    for (name, refused) in failed {
        console.say(format_args!("* Group '{name}' could not be deleted due to: {refused}"));
    }
    if !deleted.is_empty() {
        console.say(format_args!("\nThese consumer groups were deleted successfully: {listed}"));
    }
    Ok(())
}

fn delete(client: &mut Client, name: &str) -> Result<(), Refused> {
    let deadline = client.deadline();
    loop {
        let at = client.coordinator(name)?;
        let id = GroupId(StrBytes::from_string(name.to_owned()));
        let request = DeleteGroupsRequest::default().with_groups_names(vec![id]);
        let answer = client.call(at, "deleteGroups", |_| request.clone())?;
        let refused = answer.results.first().and_then(|result| Refused::of(result.error_code, None));
        match refused {
            None => return Ok(()),
            Some(refused) if !refused.error.is_some_and(|error| error.is_retriable()) => return Err(refused),
            Some(refused) if !client.has_another(deadline) => return Err(refused),
            Some(_) => {}
        }
    }
}

type Results = BTreeMap<Partition, Option<Refused>>;

pub(super) fn offsets(options: &Options, client: &mut Client, console: &mut Console) -> Result<(), Failure> {
    let group = options.value("group").map_err(Failure::Usage)?.unwrap_or_default();
    let (mut partitions, topics) = split(&options.values("topic"))?;
    let mut results = Results::new();
    if !topics.is_empty() {
        for topic in client.metadata(Some(&topics), false)? {
            let name = topic.name.as_ref().map_or_else(String::new, |name| name.to_string());
            match Refused::of(topic.error_code, None) {
                Some(refused) => drop(results.insert((name, -1), Some(refused))),
                None => {
                    partitions.extend(topic.partitions.iter().map(|one| (name.clone(), one.partition_index)))
                }
            }
        }
    }
    let whole = ask(client, group, &partitions, &mut results)?;
    let first = whole.or_else(|| partitions.iter().find_map(|partition| results.get(partition)?.clone()));
    use ResponseError as E;
    match first.and_then(|refused| Some((refused.error?, refused.message))) {
        None => console.say(format_args!("Request succeeded for deleting offsets from group {group}.")),
        Some((
            E::InvalidGroupId | E::GroupIdNotFound | E::GroupAuthorizationFailed | E::NonEmptyGroup,
            told,
        )) => {
            error(console, &told);
        }
        Some((E::GroupSubscribedToTopic | E::TopicAuthorizationFailed | E::UnknownTopicOrPartition, _)) => {
            error(console, "Encountered some partition-level error, see the follow-up details.");
        }
        Some((other, _)) => error(console, &format!("Encountered some unknown error: {other}")),
    }
    let width = results.keys().map(|(topic, _)| topic.len()).max().unwrap_or(0).max(15);
    let mut text = format!("\n{:<width$} {:<10} {:<15}", "TOPIC", "PARTITION", "STATUS");
    let mut ordered: Vec<(&Partition, &Option<Refused>)> = results.iter().collect();
    ordered.sort_by_key(|((topic, index), _)| format!("{topic}{index}"));
    for ((topic, index), refused) in ordered {
        let index = if *index >= 0 { index.to_string() } else { MISSING.to_owned() };
        let status =
            refused.as_ref().map_or_else(|| "Successful".to_owned(), |refused| format!("Error: {refused}"));
        text.push_str(&format!("\n{topic:<width$} {index:<10} {status:<15}"));
    }
    console.say(text);
    Ok(())
}

/// Notes what became of each partition; gives what is wrong with the group.
fn ask(
    client: &mut Client,
    group: &str,
    partitions: &[Partition],
    results: &mut Results,
) -> Result<Option<Refused>, Refused> {
    if partitions.is_empty() {
        return Ok(None);
    }
    let mut topics: BTreeMap<&str, Vec<OffsetDeleteRequestPartition>> = BTreeMap::new();
    for (topic, index) in partitions {
        let partition = OffsetDeleteRequestPartition::default().with_partition_index(*index);
        topics.entry(topic).or_default().push(partition);
    }
    let topic = |(name, partitions): (&str, Vec<OffsetDeleteRequestPartition>)| {
        OffsetDeleteRequestTopic::default().with_name(topic_name(name)).with_partitions(partitions)
    };
    let request = OffsetDeleteRequest::default()
        .with_group_id(GroupId(StrBytes::from_string(group.to_owned())))
        .with_topics(topics.into_iter().map(topic).collect());
    let deadline = client.deadline();
    loop {
        let at = client.coordinator(group)?;
        let answer = client.call(at, "offsetDelete", |_| request.clone())?;
        match Refused::of(answer.error_code, None) {
            Some(refused) if refused.error.is_some_and(|error| error.is_retriable()) => {
                if !client.has_another(deadline) {
                    return Err(refused);
                }
            }
            Some(refused) => {
                results.extend(partitions.iter().map(|partition| (partition.clone(), Some(refused.clone()))));
                return Ok(Some(refused));
            }
            None => {
                for topic in answer.topics {
                    for partition in topic.partitions {
                        let at = (topic.name.to_string(), partition.partition_index);
                        results.insert(at, Refused::of(partition.error_code, None));
                    }
                }
                return Ok(None);
            }
        }
    }
}
