//! In which log directories of their brokers replicas lie, and what follows when one fails (KIP-858).
//!
//! A broker with several directories says which serve and what lies where. A replica in a directory that does not serve is as one whose
//! broker is away, though the broker lives: it leads nothing, is in sync nowhere, and its word for what it had counts for nothing, as what
//! comes back may be empty. Must never let it lead before its broker has named a directory that serves.
//! Kafka: `ReplicationControlManager.handleAssignReplicasToDirs`, `handleDirectoriesOffline`.

use std::collections::BTreeMap;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::assign_replicas_to_dirs_response::{DirectoryData, PartitionData, TopicData};
use kafka_protocol::messages::{AssignReplicasToDirsRequest, AssignReplicasToDirsResponse};
use milena_storage::ids::{BrokerId, PartitionIndex};
use uuid::Uuid;

use super::fail_over::{PARTITIONS_TOGETHER, changes, put, together};
use super::features::keeps_eligible_replicas;
use super::next_state::{Ground, is_live, next_state, write};
use super::{Ctx, Item, Plan, Refusal, fence};
use crate::image::nodes::StateNode;
use crate::image::{BrokerImage, PartitionImage, TopicImage};
use crate::tree::Op;

/// The answer for one replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assigned {
    pub directory: Uuid,
    pub topic: Uuid,
    pub partition: i32,
    pub error: i16,
}

/// What has to be committed when only these log directories of a broker serve, or it is cordoned or not any more: that, and then that
/// others lead and are in sync where its replicas lie in other directories. A partition that is nowhere else stays without leader.
///
/// # Errors
/// BROKER_ID_NOT_REGISTERED if it is not there.
pub fn keep_log_dirs(
    ctx: &Ctx<'_>,
    broker: BrokerId,
    online: &[Uuid],
    cordoned: bool,
) -> Result<Plan<()>, Refusal> {
    let present = ctx.image.broker(broker).ok_or(Refusal::bare(ResponseError::BrokerIdNotRegistered))?;
    let remaining = BrokerImage { log_dirs: online.to_vec(), cordoned, ..(**present).clone() };
    let is_online = |partition: &PartitionImage| remaining.has_online_dir(partition.directory(broker));
    let live = |partition: &PartitionImage, id| {
        is_live(ctx.image, partition, id) && (id != broker || is_online(partition))
    };
    let mut ops = Vec::new();
    for topic in ctx.image.topics() {
        changes(ctx, topic, &|partition| !is_online(partition), &live, Some(broker), &mut ops);
    }
    let mut plan = Plan::new();
    if (&present.log_dirs, present.cordoned) != (&remaining.log_dirs, cordoned) {
        plan.push(Item { ops: vec![fence(ctx.image), put(ctx, remaining)], result: () });
    }
    plan.extend(together(ctx, &ops));
    Ok(plan)
}

/// Notes where a broker's replicas lie. What lies in a directory that does not serve is given up at once.
///
/// # Errors
/// STALE_BROKER_EPOCH when the asking process is not the one that is registered.
pub fn assign_replicas_to_dirs(
    ctx: &Ctx<'_>,
    request: &AssignReplicasToDirsRequest,
) -> Result<Plan<Vec<Assigned>>, Refusal> {
    let id = BrokerId(request.broker_id.0);
    let registered = ctx.image.broker(id).filter(|broker| broker.epoch == request.broker_epoch);
    let broker = registered.ok_or(Refusal::bare(ResponseError::StaleBrokerEpoch))?;
    let asked = request.directories.iter().flat_map(|directory| {
        directory.topics.iter().flat_map(move |topic| {
            let indexes = topic.partitions.iter().map(|partition| partition.partition_index);
            indexes.map(move |partition| (directory.id, topic.topic_id, partition))
        })
    });
    let asked: Vec<_> = asked.collect();
    let plan = asked.chunks(PARTITIONS_TOGETHER).map(|asked| {
        // One that is named twice lies where it was named last.
        let mut ops = BTreeMap::new();
        let answers = asked.iter().map(|&(directory, topic, partition)| {
            let done = assign(ctx, broker, directory, (topic, partition));
            let error = done.as_ref().err().map_or(0, ResponseError::code);
            if let Ok(op) = done {
                ops.insert((topic, partition), op);
            }
            Assigned { directory, topic, partition, error }
        });
        let result = answers.collect();
        let mut ops: Vec<Op> = ops.into_values().flatten().collect();
        if !ops.is_empty() {
            ops.insert(0, fence(ctx.image));
        }
        Item { ops, result }
    });
    Ok(plan.collect())
}

/// The answers of all replicas as Kafka sends them, in the order of the request.
#[must_use]
pub fn assigned(answers: Vec<Assigned>) -> AssignReplicasToDirsResponse {
    let mut directories: Vec<DirectoryData> = Vec::new();
    for Assigned { directory, topic, partition, error } in answers {
        let answer = PartitionData::default().with_partition_index(partition).with_error_code(error);
        if directories.last().is_none_or(|last| last.id != directory) {
            directories.push(DirectoryData::default().with_id(directory));
        }
        let topics = &mut directories.last_mut().expect("one was pushed").topics;
        match topics.last_mut().filter(|last| last.topic_id == topic) {
            Some(last) => last.partitions.push(answer),
            None => topics.push(TopicData::default().with_topic_id(topic).with_partitions(vec![answer])),
        }
    }
    AssignReplicasToDirsResponse::default().with_directories(directories)
}

/// The write for one replica; none if that is known.
fn assign(
    ctx: &Ctx<'_>,
    broker: &BrokerImage,
    directory: Uuid,
    (topic, index): (Uuid, i32),
) -> Result<Option<Op>, ResponseError> {
    let topic = ctx.image.topic_by_id(topic).ok_or(ResponseError::UnknownTopicId)?;
    let partition = topic.partition(PartitionIndex(index)).ok_or(ResponseError::UnknownTopicOrPartition)?;
    if !partition.replicas.contains(&broker.id) {
        return Err(ResponseError::NotLeaderOrFollower);
    }
    if partition.directory(broker.id) == Some(directory) {
        return Ok(None);
    }
    let mut placed = PartitionImage::clone(partition);
    placed.directories.retain(|(id, _)| *id != broker.id);
    placed.directories.push((broker.id, directory));
    placed.directories.sort_unstable();
    let state = state_of(ctx, topic, &placed, broker);
    Ok(Some(write(&topic.name, partition, &state)))
}

/// The state of a partition of which a replica was found to lie elsewhere.
fn state_of(ctx: &Ctx<'_>, topic: &TopicImage, placed: &PartitionImage, broker: &BrokerImage) -> StateNode {
    let image = ctx.image;
    let rules = ctx.rules.replication(image, &topic.name);
    let live = |partition: &PartitionImage, id| is_live(image, partition, id);
    let ground = Ground {
        controller_epoch: image.controller_epoch,
        eligible: keeps_eligible_replicas(image),
        live: &live,
        min_in_sync: rules.min_in_sync,
        unclean: rules.unclean_election,
    };
    let is_lost = !broker.has_online_dir(placed.directory(broker.id));
    let isr = placed.isr.iter().copied().filter(|id| !is_lost || *id != broker.id).collect();
    // The only replica keeps its place, as it does when its broker is away.
    let next = (placed.replicas.len() > 1)
        .then(|| next_state(&ground, placed, isr, is_lost.then_some(broker.id)))
        .flatten();
    next.unwrap_or_else(|| StateNode::unchanged(placed, image.controller_epoch))
}

#[cfg(test)]
#[path = "directories/tests.rs"]
mod tests;
