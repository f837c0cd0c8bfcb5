//! Who leads a partition: ElectLeaders, and taking partitions up when a broker starts.
//!
//! Must never elect a replica outside the in-sync set unless unclean election was asked for.

use std::collections::BTreeMap;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::elect_leaders_response::{PartitionResult, ReplicaElectionResult};
use kafka_protocol::messages::{ElectLeadersRequest, ElectLeadersResponse};
use kafka_protocol::protocol::StrBytes;
use milena_storage::ids::{BrokerId, PartitionIndex};

use super::{Ctx, Item, Refusal, fence};
use crate::image::nodes::{StateNode, to_json};
use crate::image::{MetadataImage, PartitionImage, paths};
use crate::tree::Op;

/// Decides on each partition asked for, or on all; all elections are one item. One that is named twice is elected for once.
///
/// # Errors
/// INVALID_REQUEST for a type of election that nobody knows.
pub fn elect_leaders(
    ctx: &Ctx<'_>,
    request: &ElectLeadersRequest,
) -> Result<Item<ElectLeadersResponse>, Refusal> {
    let kind = match request.election_type {
        0 => Kind::Preferred,
        1 => Kind::Unclean,
        other => {
            let message = format!("Unknown election type {other}");
            return Err(Refusal::new(ResponseError::InvalidRequest, message));
        }
    };
    let mut elections = BTreeMap::new();
    let mut results = Vec::new();
    let mut elect = |topic: &str, indexes: &mut dyn Iterator<Item = i32>, all: bool| {
        let elected = indexes.map(|index| (index, elect_one(ctx.image, topic, index, kind, &mut elections)));
        // Asked about everything, Kafka leaves out what needs no election.
        let told = elected.filter(|(_, outcome)| {
            !all || !matches!(outcome, Err(refusal) if refusal.code == ResponseError::ElectionNotNeeded)
        });
        let partitions =
            told.map(|(index, outcome)| partition_result(index, outcome.as_ref().err())).collect();
        results.push(
            ReplicaElectionResult::default()
                .with_topic(StrBytes::from_string(topic.to_owned()).into())
                .with_partition_result(partitions),
        );
    };
    match &request.topic_partitions {
        Some(topics) => {
            for topic in topics {
                elect(topic.topic.as_str(), &mut topic.partitions.iter().copied(), false);
            }
        }
        None => {
            for topic in ctx.image.topics() {
                elect(&topic.name, &mut (0..topic.partition_count()), true);
            }
        }
    }
    let mut ops: Vec<Op> = elections.into_values().collect();
    if !ops.is_empty() {
        ops.insert(0, fence(ctx.image));
    }
    Ok(Item { ops, result: ElectLeadersResponse::default().with_replica_election_results(results) })
}

/// The operations, without a fence, by which a broker that has just registered leads what it can: partitions
/// without a leader whose in-sync set holds it, and, when its last run did not end cleanly, those that it led. Their
/// leader epoch grows, so that a log that lost its tail is not taken for the one that clients have seen.
pub fn take_up_leadership(image: &MetadataImage, broker: BrokerId, clean: bool) -> Vec<Op> {
    let mut ops = Vec::new();
    for topic in image.topics() {
        for partition in &topic.partitions {
            // With other replicas it is for these to lead, or for the controller to find out (`fail_over`).
            let alone = partition.replicas == [broker];
            let led = partition.leader == Some(broker);
            let orphaned = partition.leader.is_none() && partition.isr.contains(&broker);
            if alone && (orphaned || (led && !clean)) {
                ops.push(lead(image, &topic.name, partition, broker));
            }
        }
    }
    ops
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Preferred,
    Unclean,
}

fn partition_result(index: i32, refusal: Option<&Refusal>) -> PartitionResult {
    PartitionResult::default()
        .with_partition_id(index)
        .with_error_code(refusal.map_or(0, |r| r.code.code()))
        .with_error_message(refusal.and_then(Refusal::wire_message))
}

fn elect_one(
    image: &MetadataImage,
    topic: &str,
    index: i32,
    kind: Kind,
    elections: &mut BTreeMap<(String, i32), Op>,
) -> Result<(), Refusal> {
    let unknown = |what| Refusal::new(ResponseError::UnknownTopicOrPartition, what);
    let image_of = image.topic(topic).ok_or_else(|| unknown(format!("No such topic as {topic}")))?;
    let partition = image_of
        .partition(PartitionIndex(index))
        .ok_or_else(|| unknown(format!("No such partition as {topic}-{index}")))?;
    let preferred = partition.replicas.first().copied();
    let needless = match kind {
        Kind::Preferred => partition.leader.is_some() && partition.leader == preferred,
        Kind::Unclean => partition.leader.is_some(),
    };
    if needless {
        let message = "Leader election not needed for topic partition.";
        return Err(Refusal::new(ResponseError::ElectionNotNeeded, message));
    }
    let leader = match kind {
        Kind::Preferred => preferred_leader(image, partition),
        Kind::Unclean => {
            clean_leader(image, partition).or_else(|| usable(image, partition, &partition.replicas).next())
        }
    };
    match leader {
        Some(leader) => {
            elections.insert((topic.to_owned(), index), lead(image, topic, partition, leader));
            Ok(())
        }
        None if kind == Kind::Preferred => {
            let message = "The preferred leader was not available.";
            Err(Refusal::new(ResponseError::PreferredLeaderNotAvailable, message))
        }
        None => {
            let message = "Eligible topic partition leaders are not available.";
            Err(Refusal::new(ResponseError::EligibleLeadersNotAvailable, message))
        }
    }
}

/// The first replica if it is in sync; without a leader, any that is.
fn preferred_leader(image: &MetadataImage, partition: &PartitionImage) -> Option<BrokerId> {
    let preferred = partition.replicas.first()?;
    if usable(image, partition, &partition.isr).any(|id| id == *preferred) {
        return Some(*preferred);
    }
    if partition.leader.is_none() { clean_leader(image, partition) } else { None }
}

fn clean_leader(image: &MetadataImage, partition: &PartitionImage) -> Option<BrokerId> {
    let eligible = |id: &BrokerId| partition.isr.contains(id) || partition.elr.contains(id);
    usable(image, partition, &partition.replicas).find(eligible)
}

fn usable<'a>(
    image: &'a MetadataImage,
    partition: &'a PartitionImage,
    ids: &'a [BrokerId],
) -> impl Iterator<Item = BrokerId> + 'a {
    ids.iter().copied().filter(|id| image.is_usable(partition, *id))
}

/// The write that makes `leader` lead; a leader from outside the in-sync set is alone in the new one and marked as
/// recovering.
pub(super) fn lead(image: &MetadataImage, topic: &str, partition: &PartitionImage, leader: BrokerId) -> Op {
    let in_sync = partition.isr.contains(&leader);
    let clean = in_sync || partition.elr.contains(&leader);
    let isr = if in_sync { partition.isr.clone() } else { vec![leader] };
    let epoch = partition.leader_epoch.0 + 1;
    let mut state = StateNode::of(partition, leader, epoch, image.controller_epoch, &isr);
    state.leader_recovery_state = i8::from(!clean);
    if clean {
        state.elr = partition.elr.iter().filter(|id| **id != leader).map(|id| id.0).collect();
        state.last_known_elr = partition.last_known_elr.iter().map(|id| id.0).collect();
    }
    Op::set(paths::partition_state(topic, partition.index.0), to_json(&state), partition.partition_epoch)
}

#[cfg(test)]
#[path = "elections/tests.rs"]
mod tests;
