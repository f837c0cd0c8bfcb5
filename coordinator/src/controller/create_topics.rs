//! CreateTopics: the checks of `ControllerApis` and `ReplicationControlManager`, then the topic's nodes.
//!
//! Must never create half a topic: its nodes, its config and all partition states are one item.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::CreateTopicsRequest;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::create_topics_response::{CreatableTopicConfigs, CreatableTopicResult};
use kafka_protocol::protocol::StrBytes;
use milena_storage::ids::BrokerId;
use uuid::Uuid;

use super::configs::check_value_sizes;
use super::partitions::{check_assignment, create_states};
use super::placement::place;
use super::{Ctx, Item, Plan, Refusal, active, check_topic_name, fence};
use crate::image::nodes::{ConfigNodeJson, TopicNode, to_json, topic_id_text};
use crate::image::{ConfigKind, Configs, paths};
use crate::tree::{ANY_VERSION, Op};

/// Most partitions that one request may create (`MAX_PARTITIONS_PER_BATCH`).
pub(super) const MAX_PARTITIONS_PER_REQUEST: i64 = 10_000;
/// The topic that Kafka keeps its own metadata in; nobody may create it.
const METADATA_TOPIC: &str = "__cluster_metadata";

/// Decides on each topic; the refusal is one of the whole request.
pub fn create_topics(
    ctx: &mut Ctx<'_>,
    request: &CreateTopicsRequest,
) -> Result<Plan<CreatableTopicResult>, Refusal> {
    let twice = duplicates(request.topics.iter().map(|topic| topic.name.as_str()));
    let single: Vec<_> = request
        .topics
        .iter()
        .filter(|t| !twice.contains(t.name.as_str()) && t.name.as_str() != METADATA_TOPIC)
        .collect();
    check_total(ctx, &single)?;
    let mut plan: Plan<_> = single
        .into_iter()
        .map(|topic| {
            let created = create_topic(ctx, topic);
            let (ops, result) =
                created.unwrap_or_else(|refusal| (Vec::new(), refused(&topic.name, &refusal)));
            Item { ops: if request.validate_only { Vec::new() } else { ops }, result }
        })
        .collect();
    for name in twice {
        let refusal = Refusal::new(ResponseError::InvalidRequest, "Duplicate topic name.");
        plan.push(Item::answer(refused(name, &refusal)));
    }
    if request.topics.iter().filter(|topic| topic.name.as_str() == METADATA_TOPIC).count() == 1 {
        let message = format!("Creation of internal topic {METADATA_TOPIC} is prohibited.");
        plan.push(Item::answer(refused(
            METADATA_TOPIC,
            &Refusal::new(ResponseError::InvalidRequest, message),
        )));
    }
    Ok(plan)
}

/// Names that occur more than once.
pub(super) fn duplicates<'a>(names: impl Iterator<Item = &'a str>) -> BTreeSet<&'a str> {
    let mut seen = BTreeSet::new();
    names.filter(|name| !seen.insert(*name)).collect()
}

fn refused(name: &str, refusal: &Refusal) -> CreatableTopicResult {
    CreatableTopicResult::default()
        .with_name(StrBytes::from_string(name.to_owned()).into())
        .with_error_code(refusal.code.code())
        .with_error_message(refusal.wire_message())
}

fn check_total(ctx: &Ctx<'_>, topics: &[&CreatableTopic]) -> Result<(), Refusal> {
    let count = |topic: &CreatableTopic| match topic.num_partitions {
        _ if !topic.assignments.is_empty() => i64::try_from(topic.assignments.len()).unwrap_or(i64::MAX),
        -1 => i64::from(ctx.rules.default_partitions()),
        partitions => i64::from(partitions.max(0)),
    };
    let total = topics.iter().map(|topic| count(topic)).fold(0, i64::saturating_add);
    if total > MAX_PARTITIONS_PER_REQUEST {
        let message = "Excessively large number of partitions per request.";
        return Err(Refusal::new(ResponseError::PolicyViolation, message));
    }
    Ok(())
}

fn create_topic(
    ctx: &mut Ctx<'_>,
    topic: &CreatableTopic,
) -> Result<(Vec<Op>, CreatableTopicResult), Refusal> {
    let name = topic.name.as_str();
    check_new_name(ctx, name)?;
    let configs = check_configs(ctx, topic)?;
    let replicas = if topic.assignments.is_empty() { placed(ctx, topic)? } else { assigned(ctx, topic)? };
    ctx.charge(replicas.len())?;
    let id = ctx.dice.topic_id();
    let ops = topic_ops(ctx, name, id, &replicas, &configs);
    let result = CreatableTopicResult::default()
        .with_name(topic.name.clone())
        .with_topic_id(id)
        .with_num_partitions(i32::try_from(replicas.len()).expect("at most 10,000"))
        .with_replication_factor(i16::try_from(replicas[0].len()).unwrap_or(i16::MAX))
        .with_configs(Some(effective_configs(ctx, &configs)));
    Ok((ops, result))
}

fn check_new_name(ctx: &Ctx<'_>, name: &str) -> Result<(), Refusal> {
    if ctx.image.topic(name).is_some() {
        let message = format!("Topic '{name}' already exists.");
        return Err(Refusal::new(ResponseError::TopicAlreadyExists, message));
    }
    check_topic_name(name)?;
    match ctx.image.colliding_topic(name) {
        Some(other) => {
            let message = format!("Topic '{name}' collides with existing topic: {other}");
            Err(Refusal::new(ResponseError::InvalidTopicException, message))
        }
        None => Ok(()),
    }
}

fn check_configs(ctx: &Ctx<'_>, topic: &CreatableTopic) -> Result<Configs, Refusal> {
    let nulls: Vec<_> = topic.configs.iter().filter(|c| c.value.is_none()).map(|c| c.name.as_str()).collect();
    if !nulls.is_empty() {
        let message = format!("Null value not supported for topic configs: {}", nulls.join(","));
        return Err(Refusal::new(ResponseError::InvalidConfig, message));
    }
    let configs: Configs = topic
        .configs
        .iter()
        .filter_map(|c| Some((c.name.to_string(), c.value.as_ref()?.to_string())))
        .collect();
    check_value_sizes(configs.values())?;
    ctx.rules.check(ConfigKind::Topic, topic.name.as_str(), &configs, &Configs::new())?;
    Ok(configs)
}

/// The replicas of a topic that names its brokers itself.
fn assigned(ctx: &Ctx<'_>, topic: &CreatableTopic) -> Result<Vec<Vec<BrokerId>>, Refusal> {
    let invalid = |message: String| Refusal::new(ResponseError::InvalidReplicaAssignment, message);
    for (given, what) in
        [(i32::from(topic.replication_factor), "replication factor"), (topic.num_partitions, "numPartitions")]
    {
        if given != -1 {
            let message =
                format!("A manual partition assignment was specified, but {what} was not set to -1.");
            return Err(Refusal::new(ResponseError::InvalidRequest, message));
        }
    }
    let mut partitions = BTreeMap::new();
    let mut factor = None;
    for assignment in &topic.assignments {
        let index = assignment.partition_index;
        if partitions.contains_key(&index) {
            return Err(invalid(format!(
                "Found multiple manual partition assignments for partition {index}"
            )));
        }
        let replicas: Vec<_> = assignment.broker_ids.iter().map(|id| BrokerId(id.0)).collect();
        check_assignment(ctx.image, &replicas, factor)?;
        if active(ctx.image, &replicas).is_empty() {
            return Err(invalid(format!(
                "All brokers specified in the manual partition assignment for partition {index} are fenced or in \
                 controlled shutdown."
            )));
        }
        factor = Some(replicas.len());
        partitions.insert(index, replicas);
    }
    if !partitions.keys().copied().eq((0..).take(partitions.len())) {
        return Err(invalid("partitions should be a consecutive 0-based integer sequence".into()));
    }
    Ok(partitions.into_values().collect())
}

/// The replicas of a topic that leaves the choice to the controller.
fn placed(ctx: &mut Ctx<'_>, topic: &CreatableTopic) -> Result<Vec<Vec<BrokerId>>, Refusal> {
    let factor = match topic.replication_factor {
        -1 => ctx.rules.default_replication_factor(),
        ..=0 => {
            let message = "Replication factor must be larger than 0, or -1 to use the default value.";
            return Err(Refusal::new(ResponseError::InvalidReplicationFactor, message));
        }
        factor => factor,
    };
    let partitions = match topic.num_partitions {
        -1 => ctx.rules.default_partitions(),
        ..=0 => {
            let message = "Number of partitions was set to an invalid non-positive value.";
            return Err(Refusal::new(ResponseError::InvalidPartitions, message));
        }
        partitions => partitions,
    };
    place(ctx.image, &mut ctx.dice, partitions, factor).map_err(|reason| {
        let message = format!("Unable to replicate the partition {factor} time(s): {reason}");
        Refusal::new(ResponseError::InvalidReplicationFactor, message)
    })
}

fn topic_ops(ctx: &Ctx<'_>, name: &str, id: Uuid, replicas: &[Vec<BrokerId>], configs: &Configs) -> Vec<Op> {
    let node = TopicNode {
        version: 3,
        partitions: (0..)
            .zip(replicas)
            .map(|(index, ids)| (index, ids.iter().map(|id| id.0).collect()))
            .collect(),
        topic_id: topic_id_text(id),
        ..TopicNode::default()
    };
    let mut ops = vec![
        fence(ctx.image),
        Op::create(paths::topic(name), to_json(&node)),
        Op::create(paths::partitions(name), ""),
    ];
    create_states(ctx.image, name, 0, replicas, &mut ops);
    let path = paths::config(ConfigKind::Topic, name);
    // A config node without its topic can only have been written by hand; it must not leak into the new topic.
    match (ctx.image.topic_config(name), configs.is_empty()) {
        (None, true) => {}
        (Some(_), true) => ops.push(Op::delete(path, ANY_VERSION)),
        (None, false) => ops.push(Op::create(path, to_json(&ConfigNodeJson::new(configs.clone())))),
        (Some(_), false) => {
            ops.push(Op::set(path, to_json(&ConfigNodeJson::new(configs.clone())), ANY_VERSION))
        }
    }
    ops
}

fn effective_configs(ctx: &Ctx<'_>, configs: &Configs) -> Vec<CreatableTopicConfigs> {
    let mut entries: Vec<_> = ctx
        .rules
        .topic_configs(ctx.image, configs)
        .into_iter()
        .map(|entry| {
            CreatableTopicConfigs::default()
                .with_name(StrBytes::from_string(entry.name))
                .with_value(entry.value.map(StrBytes::from_string))
                .with_read_only(entry.read_only)
                .with_config_source(entry.source)
                .with_is_sensitive(entry.sensitive)
        })
        .collect();
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    entries
}

#[cfg(test)]
#[path = "create_topics/tests.rs"]
mod tests;
