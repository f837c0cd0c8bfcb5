//! AlterPartition: a leader's proposal of another in-sync set (KIP-497, KIP-841, KIP-903).
//!
//! Must never take a proposal that was made on an older state of the partition, or by anybody but its leader.
//! Kafka: `ReplicationControlManager.alterPartition`, `validateAlterPartitionData`.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::alter_partition_request::PartitionData as Asked;
use kafka_protocol::messages::alter_partition_response::{PartitionData, TopicData};
use kafka_protocol::messages::{AlterPartitionRequest, AlterPartitionResponse};
use milena_storage::ids::{BrokerId, PartitionIndex};
use uuid::Uuid;

use super::features::keeps_eligible_replicas;
use super::next_state::{Ground, is_live, next_state, write};
use super::{Ctx, Item, Plan, fence, reassign};
use crate::image::{PartitionImage, TopicImage};
use crate::plant::{self, Bug};

/// One partition's answer, under its topic.
pub type Altered = (Uuid, PartitionData);

/// Decides on each partition by itself.
///
/// # Errors
/// STALE_BROKER_EPOCH when the asking process is not the one that is registered.
pub fn alter_partition(
    ctx: &Ctx<'_>,
    request: &AlterPartitionRequest,
) -> Result<Plan<Altered>, super::Refusal> {
    let leader = BrokerId(request.broker_id.0);
    if ctx.image.broker(leader).map(|broker| broker.epoch) != Some(request.broker_epoch) {
        return Err(super::Refusal::bare(ResponseError::StaleBrokerEpoch));
    }
    let mut plan = Plan::new();
    for topic in &request.topics {
        let found = ctx.image.topic_by_id(topic.topic_id);
        for asked in &topic.partitions {
            plan.push(match found {
                None => refused(topic.topic_id, asked, ResponseError::UnknownTopicId),
                Some(found) => decide(ctx, leader, found, asked),
            });
        }
    }
    Ok(plan)
}

/// The answers of all partitions as Kafka sends them.
#[must_use]
pub fn altered(answers: Vec<Altered>) -> AlterPartitionResponse {
    let mut topics: Vec<TopicData> = Vec::new();
    for (id, partition) in answers {
        match topics.iter_mut().find(|topic| topic.topic_id == id) {
            Some(topic) => topic.partitions.push(partition),
            None => topics.push(TopicData::default().with_topic_id(id).with_partitions(vec![partition])),
        }
    }
    AlterPartitionResponse::default().with_topics(topics)
}

fn refused(topic: Uuid, asked: &Asked, code: ResponseError) -> Item<Altered> {
    let answer =
        PartitionData::default().with_partition_index(asked.partition_index).with_error_code(code.code());
    Item::answer((topic, answer))
}

fn decide(ctx: &Ctx<'_>, leader: BrokerId, topic: &TopicImage, asked: &Asked) -> Item<Altered> {
    let Some(partition) = topic.partition(PartitionIndex(asked.partition_index)) else {
        return refused(topic.id, asked, ResponseError::UnknownTopicOrPartition);
    };
    let isr: Vec<_> = asked.new_isr_with_epochs.iter().map(|each| BrokerId(each.broker_id.0)).collect();
    if let Err(code) = check(ctx, leader, partition, asked, &isr) {
        return refused(topic.id, asked, code);
    }
    let rules = ctx.rules.replication(ctx.image, &topic.name);
    let live = |partition: &PartitionImage, id| is_live(ctx.image, partition, id);
    let ground = Ground {
        controller_epoch: ctx.image.controller_epoch,
        eligible: keeps_eligible_replicas(ctx.image),
        live: &live,
        min_in_sync: rules.min_in_sync,
        unclean: rules.unclean_election,
    };
    // A leader that takes others in has recovered.
    let recovered = PartitionImage { recovering: asked.leader_recovery_state != 0, ..(**partition).clone() };
    let state = next_state(&ground, &recovered, isr.clone(), None);
    let mut ops = vec![fence(ctx.image)];
    match reassign::completed(ctx.image, topic, &recovered, &isr, &ground) {
        Some(complete) => ops.extend(complete),
        None => match state {
            Some(state) => ops.push(write(&topic.name, partition, &state)),
            // Nothing changes: the answer is the state that there is.
            None if recovered.recovering == partition.recovering => ops.clear(),
            None => return refused(topic.id, asked, ResponseError::InvalidRequest),
        },
    }
    let grown = i32::from(!ops.is_empty());
    let answer = PartitionData::default()
        .with_partition_index(asked.partition_index)
        .with_leader_id(leader.0.into())
        .with_leader_epoch(partition.leader_epoch.0)
        .with_isr(isr.iter().map(|id| id.0.into()).collect())
        .with_leader_recovery_state(asked.leader_recovery_state)
        .with_partition_epoch(partition.partition_epoch + grown);
    Item { ops, result: (topic.id, answer) }
}

fn check(
    ctx: &Ctx<'_>,
    leader: BrokerId,
    partition: &PartitionImage,
    asked: &Asked,
    isr: &[BrokerId],
) -> Result<(), ResponseError> {
    // A leader that knows more than this controller has been told by a newer one.
    if asked.leader_epoch > partition.leader_epoch.0 || asked.partition_epoch > partition.partition_epoch {
        return Err(ResponseError::NotController);
    }
    if asked.leader_epoch < partition.leader_epoch.0 {
        return Err(ResponseError::FencedLeaderEpoch);
    }
    if partition.leader != Some(leader) {
        return Err(ResponseError::InvalidRequest);
    }
    if asked.partition_epoch < partition.partition_epoch {
        return Err(ResponseError::InvalidUpdateVersion);
    }
    let distinct: std::collections::BTreeSet<_> = isr.iter().collect();
    let known = distinct.len() == isr.len() && isr.iter().all(|id| partition.replicas.contains(id));
    let recovering = asked.leader_recovery_state != 0;
    if !known || !isr.contains(&leader) || recovering && (isr.len() > 1 || !partition.recovering) {
        return Err(ResponseError::InvalidRequest);
    }
    let eligible = asked.new_isr_with_epochs.iter().all(|each| {
        let id = BrokerId(each.broker_id.0);
        let broker = ctx.image.broker(id).filter(|_| ctx.image.is_usable(partition, id));
        let planted = plant::is_planted(Bug::IgnoresBrokerEpochs);
        broker.is_some_and(|broker| planted || each.broker_epoch == -1 || each.broker_epoch == broker.epoch)
    });
    if eligible { Ok(()) } else { Err(ResponseError::IneligibleReplica) }
}

#[cfg(test)]
#[path = "alter_partition/tests.rs"]
mod tests;
