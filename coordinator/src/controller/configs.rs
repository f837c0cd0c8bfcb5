//! IncrementalAlterConfigs and AlterConfigs: what `ConfigAdminManager` checks on the broker that was asked, then what
//! `ConfigurationControlManager` checks, then one write of the resource's whole config node.
//!
//! Must never know a config by name, but for the one on which eligible replicas depend: names, types and ranges are asked from
//! [`super::ConfigRules`].

use std::collections::BTreeSet;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::alter_configs_response::AlterConfigsResourceResponse as LegacyResponse;
use kafka_protocol::messages::incremental_alter_configs_request::AlterableConfig;
use kafka_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse;
use kafka_protocol::messages::{AlterConfigsRequest, IncrementalAlterConfigsRequest};
use kafka_protocol::protocol::StrBytes;
use milena_storage::ids::BrokerId;

use super::features::keeps_eligible_replicas;
use super::next_state::write as write_state;
use super::rules::MIN_IN_SYNC;
use super::{Ctx, Item, Plan, Refusal, check_topic_name, fence};
use crate::image::nodes::{ConfigNodeJson, StateNode, to_json};
use crate::image::{ConfigKind, Configs, MetadataImage, paths};
use crate::tree::Op;

/// Longest value, in UTF-16 units: Kafka writes it behind a 16-bit length.
const MAX_VALUE_LENGTH: usize = 32_767;
/// `ConfigResource.Type.BROKER_LOGGER`: log levels, which live in the broker and not in the tree.
const BROKER_LOGGER: i8 = 8;

/// Decides on each resource of an IncrementalAlterConfigs request.
pub fn incremental_alter_configs(
    ctx: &Ctx<'_>,
    request: &IncrementalAlterConfigsRequest,
) -> Plan<AlterConfigsResourceResponse> {
    let keys = request.resources.iter().map(|r| (r.resource_type, r.resource_name.as_str()));
    let twice = repeated(keys);
    let mut plan = Plan::new();
    for resource in &request.resources {
        let (code, name) = (resource.resource_type, resource.resource_name.as_str());
        let decided = once(&twice, code, name).and_then(|()| {
            check_entries(resource.configs.iter().map(|c| {
                (c.name.as_str(), c.value.is_none() && Change::of(c.config_operation) != Some(Change::Delete))
            }))?;
            let kind = kind_of(ctx, code, name)?;
            changed(ctx, kind, name, &resource.configs)
        });
        let result = AlterConfigsResourceResponse::default()
            .with_resource_type(code)
            .with_resource_name(resource.resource_name.clone())
            .with_error_code(error_code(&decided))
            .with_error_message(error_message(&decided));
        let ops = decided.unwrap_or_default();
        plan.push(Item { ops: if request.validate_only { Vec::new() } else { ops }, result });
    }
    plan
}

/// Decides on each resource of an AlterConfigs request, which replaces all configs of the resource.
pub fn alter_configs(ctx: &Ctx<'_>, request: &AlterConfigsRequest) -> Plan<LegacyResponse> {
    let keys = request.resources.iter().map(|r| (r.resource_type, r.resource_name.as_str()));
    let twice = repeated(keys);
    let mut plan = Plan::new();
    for resource in &request.resources {
        let (code, name) = (resource.resource_type, resource.resource_name.as_str());
        let decided = once(&twice, code, name).and_then(|()| {
            check_entries(resource.configs.iter().map(|c| (c.name.as_str(), c.value.is_none())))?;
            let kind = kind_of(ctx, code, name)?;
            let new = resource.configs.iter();
            let new = new.filter_map(|c| Some((c.name.to_string(), c.value.as_ref()?.to_string()))).collect();
            replaced(ctx, kind, name, new)
        });
        let result = LegacyResponse::default()
            .with_resource_type(code)
            .with_resource_name(resource.resource_name.clone())
            .with_error_code(error_code(&decided))
            .with_error_message(error_message(&decided));
        let ops = decided.unwrap_or_default();
        plan.push(Item { ops: if request.validate_only { Vec::new() } else { ops }, result });
    }
    plan
}

/// Refuses values that Kafka could not store.
pub(super) fn check_value_sizes<'a>(mut values: impl Iterator<Item = &'a String>) -> Result<(), Refusal> {
    // A string has at most as many UTF-16 units as bytes.
    let too_long =
        |value: &String| value.len() > MAX_VALUE_LENGTH && value.encode_utf16().count() > MAX_VALUE_LENGTH;
    if values.any(too_long) {
        let message = format!(
            "The configuration value cannot be added because it exceeds the maximum value size of {MAX_VALUE_LENGTH} \
             bytes."
        );
        return Err(Refusal::new(ResponseError::InvalidConfig, message));
    }
    Ok(())
}

/// `AlterConfigOp.OpType`
#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    Set,
    Delete,
    Append,
    Subtract,
}

impl Change {
    fn of(code: i8) -> Option<Self> {
        match code {
            0 => Some(Self::Set),
            1 => Some(Self::Delete),
            2 => Some(Self::Append),
            3 => Some(Self::Subtract),
            _ => None,
        }
    }
}

fn error_code(decided: &Result<Vec<Op>, Refusal>) -> i16 {
    decided.as_ref().err().map_or(0, |refusal| refusal.code.code())
}

fn error_message(decided: &Result<Vec<Op>, Refusal>) -> Option<StrBytes> {
    decided.as_ref().err().and_then(Refusal::wire_message)
}

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new(ResponseError::InvalidRequest, message)
}

fn repeated<'a>(keys: impl Iterator<Item = (i8, &'a str)>) -> BTreeSet<(i8, &'a str)> {
    let mut seen = BTreeSet::new();
    keys.filter(|key| !seen.insert(*key)).collect()
}

fn once(twice: &BTreeSet<(i8, &str)>, code: i8, name: &str) -> Result<(), Refusal> {
    if twice.contains(&(code, name)) {
        Err(invalid("Each resource must appear at most once."))
    } else {
        Ok(())
    }
}

/// Refuses names that occur twice and values that are missing.
fn check_entries<'a>(entries: impl Iterator<Item = (&'a str, bool)>) -> Result<(), Refusal> {
    let (mut names, mut nulls) = (BTreeSet::new(), Vec::new());
    for (name, null) in entries {
        if !names.insert(name) {
            return Err(invalid("Error due to duplicate config keys"));
        }
        if null {
            nulls.push(name);
        }
    }
    if nulls.is_empty() {
        Ok(())
    } else {
        Err(invalid(format!("Null value not supported for : {}", nulls.join(", "))))
    }
}

/// The kind of a resource that this broker may change.
fn kind_of(ctx: &Ctx<'_>, code: i8, name: &str) -> Result<ConfigKind, Refusal> {
    if code == BROKER_LOGGER {
        // Milena's log levels are no log4j loggers: none of those has a name here.
        let node = parse_node(name)?;
        if node != ctx.node {
            return Err(invalid(format!("Unexpected node id. Expected {}, but received {node}", ctx.node)));
        }
        let message = "The log levels of this broker are set when it starts, not through broker loggers.";
        return Err(Refusal::new(ResponseError::InvalidConfig, message));
    }
    let kind = ConfigKind::from_code(code).ok_or_else(|| invalid(format!("Unknown resource type {code}")))?;
    match kind {
        ConfigKind::Broker if !name.is_empty() && parse_node(name)? != ctx.node => {
            Err(invalid(format!("Unexpected broker id, expected {}, but received {name}", ctx.node)))
        }
        ConfigKind::Topic if name.is_empty() => Err(invalid("Default topic resources are not allowed.")),
        ConfigKind::Topic => check_topic_name(name).map(|()| kind),
        ConfigKind::Group if name.is_empty() => Err(invalid("Default group resources are not allowed.")),
        _ => Ok(kind),
    }
}

fn parse_node(name: &str) -> Result<BrokerId, Refusal> {
    name.parse().map(BrokerId).map_err(|_| invalid(format!("Node id must be an integer, but it is: {name}")))
}

/// The operations of an incremental change.
fn changed(
    ctx: &Ctx<'_>,
    kind: ConfigKind,
    name: &str,
    entries: &[AlterableConfig],
) -> Result<Vec<Op>, Refusal> {
    let old = ctx.image.config(kind, name).cloned().unwrap_or_default();
    let mut new = old.clone();
    for entry in entries {
        let key = entry.name.as_str();
        let operation = entry.config_operation;
        let change =
            Change::of(operation).ok_or_else(|| invalid(format!("Unknown operations type {operation}")))?;
        let value = entry.value.as_deref().unwrap_or_default();
        match change {
            Change::Set => _ = new.insert(key.to_owned(), value.to_owned()),
            Change::Delete => _ = new.remove(key),
            Change::Append | Change::Subtract => {
                let list = list_after(ctx, kind, key, new.get(key), change, value)?;
                new.insert(key.to_owned(), list);
            }
        }
    }
    write(ctx, kind, name, new, old)
}

/// The operations of a change that leaves nothing of what was set before.
fn replaced(ctx: &Ctx<'_>, kind: ConfigKind, name: &str, new: Configs) -> Result<Vec<Op>, Refusal> {
    let old = ctx.image.config(kind, name).cloned().unwrap_or_default();
    write(ctx, kind, name, new, old)
}

fn list_after(
    ctx: &Ctx<'_>,
    kind: ConfigKind,
    key: &str,
    current: Option<&String>,
    change: Change,
    value: &str,
) -> Result<String, Refusal> {
    let is_list = ctx.rules.is_list(kind, key);
    if is_list != Some(true) {
        return Err(Refusal::new(
            ResponseError::InvalidConfig,
            not_a_list(kind, key, change, is_list.is_some()),
        ));
    }
    let current = current.cloned().or_else(|| ctx.rules.default_text(kind, key)).unwrap_or_default();
    let mut list: Vec<&str> = current.split(',').filter(|part| !part.is_empty()).collect();
    for part in value.split(',') {
        let at = list.iter().position(|have| *have == part);
        match (change, at) {
            (Change::Append, None) => list.push(part),
            (Change::Subtract, Some(at)) => _ = list.remove(at),
            _ => {}
        }
    }
    Ok(list.join(","))
}

/// Brokers are checked by another class than the rest, which says the same in other words.
fn not_a_list(kind: ConfigKind, key: &str, change: Change, known: bool) -> String {
    let append = change == Change::Append;
    match (kind, known) {
        (ConfigKind::Broker, false) => format!("Unknown config name: {key}"),
        (ConfigKind::Broker, true) => {
            let change = if append { "append" } else { "subtract" };
            format!("Config value {change} is not allowed for config key: {key}")
        }
        _ => {
            let change = if append { "APPEND" } else { "SUBTRACT" };
            format!("Can't {change} to key {key} because its type is not LIST.")
        }
    }
}

fn write(
    ctx: &Ctx<'_>,
    kind: ConfigKind,
    name: &str,
    new: Configs,
    old: Configs,
) -> Result<Vec<Op>, Refusal> {
    check_value_sizes(
        new.iter().filter(|(key, value)| old.get(*key) != Some(value)).map(|(_, value)| value),
    )?;
    ctx.rules.check(kind, name, &new, &old)?;
    check_min_in_sync(ctx.image, kind, name, (&old, &new))?;
    check_exists(ctx.image, kind, name)?;
    // A broker's configs are written even if they are equal: that makes brokers load changed key stores (KAFKA-14136).
    if new == old && (kind != ConfigKind::Broker || new.is_empty()) {
        return Ok(Vec::new());
    }
    let forgotten = if changes_min_in_sync(&old, &new) {
        forget_eligible(ctx.image, (kind == ConfigKind::Topic).then_some(name))
    } else {
        Vec::new()
    };
    let path = paths::config(kind, name);
    let write = match ctx.image.config_version(kind, name) {
        Some(version) if new.is_empty() => Op::delete(path, version),
        Some(version) => Op::set(path, to_json(&ConfigNodeJson::new(new)), version),
        None => Op::create(path, to_json(&ConfigNodeJson::new(new))),
    };
    Ok([fence(ctx.image), write].into_iter().chain(forgotten).collect())
}

fn changes_min_in_sync(old: &Configs, new: &Configs) -> bool {
    old.get(MIN_IN_SYNC) != new.get(MIN_IN_SYNC)
}

/// While eligible leader replicas are kept, all brokers have to agree on how many replicas make a write durable (KIP-966).
fn check_min_in_sync(
    image: &MetadataImage,
    kind: ConfigKind,
    name: &str,
    (old, new): (&Configs, &Configs),
) -> Result<(), Refusal> {
    if kind != ConfigKind::Broker || !keeps_eligible_replicas(image) || !changes_min_in_sync(old, new) {
        return Ok(());
    }
    let refused = match (name.is_empty(), new.contains_key(MIN_IN_SYNC)) {
        (true, true) => return Ok(()),
        (true, false) => format!("Cluster-level {MIN_IN_SYNC} cannot be removed while ELR is enabled."),
        (false, _) => format!("Broker-level {MIN_IN_SYNC} cannot be altered while ELR is enabled."),
    };
    Err(Refusal::new(ResponseError::InvalidConfig, refused))
}

/// Nobody is eligible out of sync any more once another number of replicas makes a write durable: who was had what the former number
/// promised (`ConfigurationControlManager.createClearElrRecordsAsNeeded`). Of all topics, unless one is named.
fn forget_eligible(image: &MetadataImage, only: Option<&str>) -> Vec<Op> {
    let mut ops = Vec::new();
    for topic in image.topics().filter(|topic| only.is_none_or(|only| *topic.name == *only)) {
        let kept =
            topic.partitions.iter().filter(|each| !each.elr.is_empty() || !each.last_known_elr.is_empty());
        ops.extend(kept.map(|partition| {
            let leader = partition.leader.unwrap_or(BrokerId(-1));
            let epoch = partition.leader_epoch.0;
            let mut state = StateNode::of(partition, leader, epoch, image.controller_epoch, &partition.isr);
            state.leader_recovery_state = i8::from(partition.recovering);
            write_state(&topic.name, partition, &state)
        }));
    }
    ops
}

fn check_exists(image: &MetadataImage, kind: ConfigKind, name: &str) -> Result<(), Refusal> {
    match kind {
        ConfigKind::Topic if image.topic(name).is_none() => {
            let message = format!("The topic '{name}' does not exist.");
            Err(Refusal::new(ResponseError::UnknownTopicOrPartition, message))
        }
        ConfigKind::Broker if !name.is_empty() && image.broker(parse_node(name)?).is_none() => {
            let message = format!("No node with id {name} found.");
            Err(Refusal::new(ResponseError::BrokerIdNotRegistered, message))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
#[path = "configs/tests.rs"]
mod tests;
