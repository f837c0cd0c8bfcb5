//! CreatePartitions, and the partition states that new topics and new partitions share.
//!
//! Must never shrink a topic or move a partition that exists.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::CreatePartitionsRequest;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::protocol::StrBytes;
use milena_storage::ids::BrokerId;

use super::create_topics::{MAX_PARTITIONS_PER_REQUEST, duplicates};
use super::placement::place;
use super::{Ctx, Item, Plan, Refusal, active, fence, is_registered};
use crate::image::nodes::{StateNode, TopicNode, to_json, topic_id_text};
use crate::image::{MetadataImage, TopicImage, paths};
use crate::tree::Op;

/// Decides on each topic. Kafka answers names that occur twice first, once each.
pub fn create_partitions(
    ctx: &mut Ctx<'_>,
    request: &CreatePartitionsRequest,
) -> Plan<CreatePartitionsTopicResult> {
    let twice = duplicates(request.topics.iter().map(|topic| topic.name.as_str()));
    let duplicate = Refusal::new(ResponseError::InvalidRequest, "Duplicate topic name.");
    let mut plan: Plan<_> = twice.iter().map(|name| Item::answer(answer(name, Some(&duplicate)))).collect();
    for topic in request.topics.iter().filter(|topic| !twice.contains(topic.name.as_str())) {
        let name = topic.name.as_str();
        plan.push(match grow(ctx, topic) {
            Ok(ops) => {
                Item { ops: if request.validate_only { Vec::new() } else { ops }, result: answer(name, None) }
            }
            Err(refusal) => Item::answer(answer(name, Some(&refusal))),
        });
    }
    plan
}

/// Checks brokers named by hand; `factor` is that of the partitions before.
pub(super) fn check_assignment(
    image: &MetadataImage,
    replicas: &[BrokerId],
    factor: Option<usize>,
) -> Result<(), Refusal> {
    let invalid = |message: String| Err(Refusal::new(ResponseError::InvalidReplicaAssignment, message));
    if replicas.is_empty() {
        return invalid("The manual partition assignment includes an empty replica list.".into());
    }
    let mut sorted = replicas.to_vec();
    sorted.sort_unstable();
    for (i, id) in sorted.iter().enumerate() {
        if !is_registered(image, *id) {
            return invalid(format!(
                "The manual partition assignment includes broker {id}, but no such broker is registered."
            ));
        }
        if i > 0 && sorted[i - 1] == *id {
            return invalid(format!(
                "The manual partition assignment includes the broker {id} more than once."
            ));
        }
    }
    match factor {
        Some(factor) if factor != replicas.len() => invalid(format!(
            "The manual partition assignment includes a partition with {} replica(s), but this is not consistent with \
             previous partitions, which have {factor} replica(s).",
            replicas.len()
        )),
        _ => Ok(()),
    }
}

/// Appends the nodes of partitions from `first` on, one per entry of `replicas`.
pub(super) fn create_states(
    image: &MetadataImage,
    topic: &str,
    first: i32,
    replicas: &[Vec<BrokerId>],
    ops: &mut Vec<Op>,
) {
    for (index, replicas) in (first..).zip(replicas) {
        let isr = active(image, replicas);
        let leader = isr.first().copied().expect("placement and assignment both require a live broker");
        let state = StateNode::new(leader, 0, image.controller_epoch, &isr);
        ops.push(Op::create(paths::partition(topic, index), ""));
        ops.push(Op::create(paths::partition_state(topic, index), to_json(&state)));
    }
}

fn answer(name: &str, refusal: Option<&Refusal>) -> CreatePartitionsTopicResult {
    CreatePartitionsTopicResult::default()
        .with_name(StrBytes::from_string(name.to_owned()).into())
        .with_error_code(refusal.map_or(0, |r| r.code.code()))
        .with_error_message(refusal.and_then(Refusal::wire_message))
}

fn grow(ctx: &mut Ctx<'_>, request: &CreatePartitionsTopic) -> Result<Vec<Op>, Refusal> {
    let name = request.name.as_str();
    let topic = ctx.image.topic(name).ok_or(Refusal::bare(ResponseError::UnknownTopicOrPartition))?;
    let before = topic.partition_count();
    let invalid = |message| Refusal::new(ResponseError::InvalidPartitions, message);
    if request.count == before {
        return Err(invalid(format!("Topic already has {before} partition(s).")));
    }
    if request.count < before {
        return Err(invalid(format!(
            "The topic {name} currently has {before} partition(s); {} would not be an increase.",
            request.count
        )));
    }
    let additional = request.count - before;
    if let Some(assignments) = &request.assignments {
        check_count(additional, assignments.len())?;
    }
    ctx.charge(usize::try_from(additional).unwrap_or_default())?;
    let replicas = match &request.assignments {
        Some(assignments) => {
            let brokers =
                assignments.iter().map(|a| a.broker_ids.iter().map(|id| BrokerId(id.0)).collect()).collect();
            check_new(ctx.image, topic, brokers)?
        }
        None => {
            // Kafka fails here when its record batch is full, at the same number.
            if i64::from(additional) > MAX_PARTITIONS_PER_REQUEST {
                let message = "Excessively large number of partitions per request.";
                return Err(Refusal::new(ResponseError::PolicyViolation, message));
            }
            place(ctx.image, &mut ctx.dice, additional, topic.replication_factor())
                .map_err(|reason| Refusal::new(ResponseError::InvalidReplicationFactor, reason))?
        }
    };
    Ok(grow_ops(ctx.image, topic, &replicas))
}

fn check_count(additional: i32, assignments: usize) -> Result<(), Refusal> {
    if usize::try_from(additional) == Ok(assignments) {
        return Ok(());
    }
    let message = format!(
        "Attempted to add {additional} additional partition(s), but only {assignments} assignment(s) were specified."
    );
    Err(Refusal::new(ResponseError::InvalidReplicaAssignment, message))
}

fn check_new(
    image: &MetadataImage,
    topic: &TopicImage,
    replicas: Vec<Vec<BrokerId>>,
) -> Result<Vec<Vec<BrokerId>>, Refusal> {
    let invalid = |message: String| Err(Refusal::new(ResponseError::InvalidReplicaAssignment, message));
    let factor = topic.partitions.first().map(|p| p.replicas.len());
    for (index, ids) in (topic.partition_count()..).zip(&replicas) {
        check_assignment(image, ids, factor)?;
        if active(image, ids).is_empty() {
            return invalid(format!(
                "All brokers specified in the manual partition assignment for partition {index} are fenced or in \
                 controlled shutdown."
            ));
        }
    }
    Ok(replicas)
}

fn grow_ops(image: &MetadataImage, topic: &TopicImage, added: &[Vec<BrokerId>]) -> Vec<Op> {
    let ids = |replicas: &[BrokerId]| -> Vec<i32> { replicas.iter().map(|id| id.0).collect() };
    let moving = |of: fn(&crate::image::PartitionImage) -> &[BrokerId]| {
        topic.partitions.iter().filter(|p| !of(p).is_empty()).map(|p| (p.index.0, ids(of(p)))).collect()
    };
    let old = topic.partitions.iter().map(|p| ids(&p.replicas));
    let node = TopicNode {
        version: 3,
        partitions: (0..).zip(old.chain(added.iter().map(|r| ids(r)))).collect(),
        adding_replicas: moving(|p| &p.adding),
        removing_replicas: moving(|p| &p.removing),
        topic_id: topic_id_text(topic.id),
    };
    let mut ops = vec![fence(image), Op::set(paths::topic(&topic.name), to_json(&node), topic.version)];
    create_states(image, &topic.name, topic.partition_count(), added, &mut ops);
    ops
}

#[cfg(test)]
#[path = "partitions/tests.rs"]
mod tests;
