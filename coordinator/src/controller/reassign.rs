//! AlterPartitionReassignments: replicas move to other brokers, or back (KIP-455, KIP-860).
//!
//! A move has two steps: the partition gets its new replicas beside the old ones; once all of the new ones are in sync, a proposal of
//! the leader completes it (`alter_partition`) and the old ones go. Must never complete a move that would leave nobody in sync.
//! Kafka: `ReplicationControlManager.alterPartitionReassignments`, `PartitionReassignmentReplicas`, `PartitionReassignmentRevert`.

use std::collections::BTreeMap;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::AlterPartitionReassignmentsRequest;
use kafka_protocol::messages::alter_partition_reassignments_request::{
    ReassignablePartition, ReassignableTopic,
};
use kafka_protocol::messages::alter_partition_reassignments_response::{
    ReassignablePartitionResponse, ReassignableTopicResponse,
};
use milena_storage::ids::{BrokerId, PartitionIndex};

use super::features::keeps_eligible_replicas;
use super::next_state::{Ground, is_live, next_state, write};
use super::partitions::check_assignment;
use super::{Ctx, Item, Refusal, fence};
use crate::image::nodes::{StateNode, TopicNode, to_json, topic_id_text};
use crate::image::{MetadataImage, PartitionImage, TopicImage, paths};
use crate::tree::Op;

/// Decides on each partition; what is to be done is one item, as Kafka's is one batch. Each partition is decided on as it is before the
/// request, also one that is named twice, of which the last change counts: to be told to stay as it is takes no earlier change back.
pub fn alter_partition_reassignments(
    ctx: &Ctx<'_>,
    request: &AlterPartitionReassignmentsRequest,
) -> Item<Vec<ReassignableTopicResponse>> {
    let mut planned = BTreeMap::new();
    let answer = |asked| of_topic(ctx, asked, request.allow_replication_factor_change, &mut planned);
    let result = request.topics.iter().map(answer).collect();
    let mut ops = Vec::new();
    for (name, Changes { placements, states }) in planned {
        let topic = ctx.image.topic(&name).expect("it was found when it was planned");
        ops.push(topic_op(topic, &placements));
        ops.extend(states.into_values());
    }
    if !ops.is_empty() {
        ops.insert(0, fence(ctx.image));
    }
    Item { ops, result }
}

/// What changes in one topic, by partition.
#[derive(Default)]
struct Changes {
    placements: BTreeMap<i32, Placement>,
    states: BTreeMap<i32, Op>,
}

/// The operations, without a fence, of a move that is complete with this in-sync set.
pub(super) fn completed(
    image: &MetadataImage,
    topic: &TopicImage,
    partition: &PartitionImage,
    isr: &[BrokerId],
    ground: &Ground<'_>,
) -> Option<Vec<Op>> {
    let moved = Placement::of(partition).finished(isr)?;
    let changes = BTreeMap::from([(partition.index.0, moved)]);
    let mut ops = vec![topic_op(topic, &changes)];
    ops.extend(state_op(image, topic, partition, &changes[&partition.index.0], isr, ground));
    Some(ops)
}

/// Where a partition's replicas are and where they go.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Placement {
    replicas: Vec<BrokerId>,
    adding: Vec<BrokerId>,
    removing: Vec<BrokerId>,
}

impl Placement {
    fn of(partition: &PartitionImage) -> Self {
        Self {
            replicas: partition.replicas.clone(),
            adding: partition.adding.clone(),
            removing: partition.removing.clone(),
        }
    }

    fn is_moving(&self) -> bool {
        !self.adding.is_empty() || !self.removing.is_empty()
    }

    /// The way from here to `target`.
    fn towards(&self, target: &[BrokerId]) -> Self {
        let sorted = |mut ids: Vec<BrokerId>| {
            ids.sort_unstable();
            ids
        };
        let missing = |from: &[BrokerId], of: &[BrokerId]| -> Vec<BrokerId> {
            of.iter().copied().filter(|id| !from.contains(id)).collect()
        };
        let removing = sorted(missing(target, &self.replicas));
        let adding = sorted(missing(&self.replicas, target));
        Self { replicas: [target, &removing].concat(), adding, removing }
    }

    /// Where it ends, if this in-sync set lets it.
    fn finished(&self, isr: &[BrokerId]) -> Option<Self> {
        if !self.is_moving() {
            return None;
        }
        let stays = |ids: &[BrokerId]| -> Vec<BrokerId> {
            ids.iter().copied().filter(|id| !self.removing.contains(id)).collect()
        };
        let (replicas, isr) = (stays(&self.replicas), stays(isr));
        let waits = isr.is_empty() || replicas.is_empty() || !self.adding.iter().all(|id| isr.contains(id));
        // A smaller set must not be smaller than it has to be.
        let shrinks = self.adding.len() < self.removing.len() && !replicas.iter().all(|id| isr.contains(id));
        (!waits && !shrinks).then(|| Self { replicas, adding: Vec::new(), removing: Vec::new() })
    }

    /// Back to where it was.
    fn reverted(&self) -> Self {
        let replicas = self.replicas.iter().copied().filter(|id| !self.adding.contains(id)).collect();
        Self { replicas, adding: Vec::new(), removing: Vec::new() }
    }
}

fn of_topic(
    ctx: &Ctx<'_>,
    asked: &ReassignableTopic,
    other_factor: bool,
    changes: &mut BTreeMap<String, Changes>,
) -> ReassignableTopicResponse {
    let image = ctx.image;
    let name = asked.name.as_str();
    let answer = ReassignableTopicResponse::default().with_name(asked.name.clone());
    let Some(topic) = image.topic(name) else {
        let refusal = unknown(format!("Unable to find a topic named {name}."));
        let partitions = asked.partitions.iter().map(|each| told(each, Some(&refusal))).collect();
        return answer.with_partitions(partitions);
    };
    let rules = ctx.rules.replication(image, name);
    let live = |partition: &PartitionImage, id| is_live(image, partition, id);
    let ground = Ground {
        controller_epoch: image.controller_epoch,
        eligible: keeps_eligible_replicas(image),
        live: &live,
        min_in_sync: rules.min_in_sync,
        unclean: rules.unclean_election,
    };
    let partitions = asked.partitions.iter().map(|each| {
        let (partition, placement) = match plan(image, topic, each, other_factor, ground.unclean) {
            Ok(planned) => planned,
            Err(refusal) => return told(each, Some(&refusal)),
        };
        // What needs nobody to catch up is complete at once.
        let done = placement.finished(&partition.isr).unwrap_or(placement);
        if done != Placement::of(partition) {
            let index = partition.index.0;
            let changes = changes.entry(topic.name.to_string()).or_default();
            changes.states.remove(&index);
            let state = state_op(image, topic, partition, &done, &partition.isr, &ground);
            changes.states.extend(state.map(|op| (index, op)));
            changes.placements.insert(index, done);
        }
        told(each, None)
    });
    answer.with_partitions(partitions.collect())
}

fn plan<'a>(
    image: &MetadataImage,
    topic: &'a TopicImage,
    asked: &ReassignablePartition,
    other_factor: bool,
    unclean: bool,
) -> Result<(&'a PartitionImage, Placement), Refusal> {
    let (name, index) = (&topic.name, asked.partition_index);
    let partition = topic
        .partition(PartitionIndex(index))
        .ok_or_else(|| unknown(format!("Unable to find partition {name}:{index}.")))?;
    let now = Placement::of(partition);
    let Some(target) = &asked.replicas else {
        if !now.is_moving() {
            return Err(Refusal::bare(ResponseError::NoReassignmentInProgress));
        }
        let back = now.reverted();
        if !unclean && !partition.isr.iter().any(|id| back.replicas.contains(id)) {
            return Err(Refusal::new(
                ResponseError::InvalidReplicaAssignment,
                format!(
                    "Unable to revert partition assignment for {name}:{index} because it would require an unclean \
                     leader election."
                ),
            ));
        }
        return Ok((partition, back));
    };
    let target: Vec<_> = target.iter().map(|id| BrokerId(id.0)).collect();
    check_assignment(image, &target, None)?;
    let factor = now.replicas.len() - now.adding.len();
    if !other_factor && factor != target.len() {
        return Err(Refusal::new(
            ResponseError::InvalidReplicationFactor,
            format!("The replication factor is changed from {factor} to {}", target.len()),
        ));
    }
    Ok((partition, now.towards(&target)))
}

/// The topic's node with other placements of some partitions.
fn topic_op(topic: &TopicImage, changes: &BTreeMap<i32, Placement>) -> Op {
    let ids = |replicas: &[BrokerId]| -> Vec<i32> { replicas.iter().map(|id| id.0).collect() };
    let placements: Vec<(i32, Placement)> = topic
        .partitions
        .iter()
        .map(|each| {
            let index = each.index.0;
            (index, changes.get(&index).cloned().unwrap_or_else(|| Placement::of(each)))
        })
        .collect();
    let moving = |part: fn(&Placement) -> &[BrokerId]| {
        let moving = placements.iter().filter(|(_, each)| !part(each).is_empty());
        moving.map(|(index, each)| (*index, ids(part(each)))).collect()
    };
    let node = TopicNode {
        version: 3,
        partitions: placements.iter().map(|(index, each)| (*index, ids(&each.replicas))).collect(),
        adding_replicas: moving(|each| &each.adding),
        removing_replicas: moving(|each| &each.removing),
        topic_id: topic_id_text(topic.id),
    };
    Op::set(paths::topic(&topic.name), to_json(&node), topic.version)
}

/// The state that goes with a placement. Where replicas go, the leader epoch grows even if the leader stays, so that
/// those who went cannot be taken for followers any more.
fn state_op(
    image: &MetadataImage,
    topic: &TopicImage,
    partition: &PartitionImage,
    placed: &Placement,
    isr: &[BrokerId],
    ground: &Ground<'_>,
) -> Option<Op> {
    let isr: Vec<_> = isr.iter().copied().filter(|id| placed.replicas.contains(id)).collect();
    let left = partition.replicas.iter().any(|id| !placed.replicas.contains(id));
    let there = PartitionImage { replicas: placed.replicas.clone(), ..partition.clone() };
    let next = next_state(ground, &there, isr, None);
    match next {
        Some(mut state) => {
            if left && state.leader_epoch == partition.leader_epoch.0 {
                state.leader_epoch += 1;
            }
            Some(write(&topic.name, partition, &state))
        }
        None if left => {
            let leader = partition.leader.unwrap_or(BrokerId(-1));
            let epoch = partition.leader_epoch.0 + 1;
            let state = StateNode::of(&there, leader, epoch, image.controller_epoch, &partition.isr);
            Some(write(&topic.name, partition, &state))
        }
        None => None,
    }
}

fn unknown(message: String) -> Refusal {
    Refusal::new(ResponseError::UnknownTopicOrPartition, message)
}

fn told(asked: &ReassignablePartition, refusal: Option<&Refusal>) -> ReassignablePartitionResponse {
    ReassignablePartitionResponse::default()
        .with_partition_index(asked.partition_index)
        .with_error_code(refusal.map_or(0, |refusal| refusal.code.code()))
        .with_error_message(refusal.and_then(Refusal::wire_message))
}
