//! Quotas of clients: set and deleted here, kept where ZooKeeper kept them (KIP-546; `ClientQuotaControlManager`).
//!
//! Must never touch what else the node of a user holds: its credentials.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::alter_client_quotas_request::{
    EntityData as AskedPart, EntryData as Asked, OpData,
};
use kafka_protocol::messages::alter_client_quotas_response::{EntityData, EntryData};
use kafka_protocol::messages::{AlterClientQuotasRequest, AlterClientQuotasResponse};
use kafka_protocol::protocol::StrBytes;

use super::{Ctx, Item, Plan, Refusal, fence};
use crate::image::nodes::{ConfigNodeJson, to_json};
use crate::image::{Configs, MetadataImage, QuotaEntity, QuotaKey, paths};
use crate::tree::Op;

/// Changes in one request (`QuorumController.MAX_RECORDS_PER_USER_OP`).
pub const MAX_OPS: usize = 10_000;

/// An entity as it is named in a request, by type: a type that is named twice counts once.
type Named = BTreeMap<StrBytes, Option<StrBytes>>;

/// Decides on each entity by itself. What is changed is changed at once: entities share nodes.
///
/// # Errors
/// POLICY_VIOLATION for more changes than one request may ask for.
pub fn alter_client_quotas(
    ctx: &mut Ctx<'_>,
    request: &AlterClientQuotasRequest,
) -> Result<Plan<Vec<EntryData>>, Refusal> {
    if request.entries.iter().map(|entry| entry.ops.len()).sum::<usize>() > MAX_OPS {
        let message = "Unable to perform excessively large batch operation.";
        return Err(Refusal::new(ResponseError::PolicyViolation, message));
    }
    let mut draft = Draft { image: ctx.image, changed: BTreeMap::new() };
    let mut places: BTreeMap<Named, usize> = BTreeMap::new();
    let mut results: Vec<EntryData> = Vec::new();
    for entry in &request.entries {
        let named = named(&entry.entity);
        let place = places.get(&named).copied();
        let decided = if place.is_some() || names_key_twice(&entry.ops) {
            Err(invalid(format!("Ignoring duplicate entity {}", printed(&entry.entity))))
        } else {
            decide(&mut draft, &named, entry)
        };
        let result = result(&named, decided);
        match place {
            Some(place) => results[place] = result,
            None => {
                places.insert(named, results.len());
                results.push(result);
            }
        }
    }
    let ops = if request.validate_only { Vec::new() } else { draft.ops() };
    Ok(vec![Item { ops, result: results }])
}

/// The answer when the request as a whole is refused.
#[must_use]
pub fn refused_quotas(request: &AlterClientQuotasRequest, refusal: &Refusal) -> AlterClientQuotasResponse {
    let entries = request.entries.iter().map(|entry| result(&named(&entry.entity), Err(refusal.clone())));
    AlterClientQuotasResponse::default().with_entries(entries.collect())
}

/// An entity as Java prints it.
#[must_use]
pub fn printed(entity: &[AskedPart]) -> String {
    let part = |(kind, name): (StrBytes, Option<StrBytes>)| {
        format!("{kind}={}", name.as_ref().map_or("null", |name| name.as_str()))
    };
    let parts: Vec<String> = named(entity).into_iter().map(part).collect();
    format!("ClientQuotaEntity(entries={{{}}})", parts.join(", "))
}

fn named(entity: &[AskedPart]) -> Named {
    entity.iter().map(|part| (part.entity_type.clone(), part.entity_name.clone())).collect()
}

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new(ResponseError::InvalidRequest, message)
}

/// Kafka says of it what it says of an entity that is named twice.
fn names_key_twice(ops: &[OpData]) -> bool {
    let mut keys = BTreeSet::new();
    !ops.iter().all(|op| keys.insert(&op.key))
}

fn result(named: &Named, decided: Result<(), Refusal>) -> EntryData {
    let part = |(kind, name): (&StrBytes, &Option<StrBytes>)| {
        EntityData::default().with_entity_type(kind.clone()).with_entity_name(name.clone())
    };
    let entry = EntryData::default().with_entity(named.iter().map(part).collect());
    match decided {
        Ok(()) => entry.with_error_message(None),
        Err(refusal) => entry.with_error_code(refusal.code.code()).with_error_message(refusal.wire_message()),
    }
}

fn decide(draft: &mut Draft<'_>, named: &Named, entry: &Asked) -> Result<(), Refusal> {
    let entity = check_entity(named)?;
    let before = draft.image.quota_node(&entity).map(|(configs, _)| configs);
    let mut configs = before.cloned().unwrap_or_default();
    for op in &entry.ops {
        let key = op.key.as_str();
        if !op.remove {
            configs.insert(key.to_owned(), check_value(&entity, key, op.value)?);
        } else if QuotaKey::from_name(key).is_some() {
            configs.remove(key);
        }
    }
    let is_changed = before.map_or(!configs.is_empty(), |before| *before != configs);
    if is_changed {
        draft.changed.insert(entity, configs);
    }
    Ok(())
}

/// Whether a host can be found is for who asks: names are looked up outside.
fn check_entity(named: &Named) -> Result<QuotaEntity, Refusal> {
    let empty = || invalid("Invalid empty client quota entity");
    for (kind, name) in named {
        if !["user", "client-id", "ip"].contains(&kind.as_str()) {
            return Err(invalid(format!("Unhandled client quota entity type: {kind}")));
        }
        if name.as_ref().is_some_and(|name| name.is_empty()) {
            return Err(invalid(format!("Empty {kind} not supported")));
        }
    }
    let of = |kind: &'static str| {
        let name = named.get(&StrBytes::from_static_str(kind))?;
        Some(name.as_ref().map_or_else(|| Arc::from(""), |name| Arc::from(name.as_str())))
    };
    match (of("user"), of("client-id"), of("ip")) {
        (None, None, None) => Err(empty()),
        (None, None, Some(ip)) => Ok(QuotaEntity::Ip(ip)),
        (_, _, Some(_)) => Err(invalid(
            "Invalid quota entity combination, IP entity shouldnot be combined with User or ClientId",
        )),
        (Some(user), None, None) => Ok(QuotaEntity::User(user)),
        (None, Some(client), None) => Ok(QuotaEntity::Client(client)),
        (Some(user), Some(client), None) => Ok(QuotaEntity::UserClient(user, client)),
    }
}

/// The text of a value that may be set.
fn check_value(entity: &QuotaEntity, name: &str, value: f64) -> Result<String, Refusal> {
    let key = QuotaKey::from_name(name)
        .filter(|key| (*key == QuotaKey::ConnectionCreationRate) == entity.is_ip())
        .ok_or_else(|| invalid(format!("Invalid configuration key {name}")))?;
    if value <= 0.0 {
        return Err(invalid(format!("Quota {name} must be greater than 0")));
    }
    #[expect(clippy::cast_precision_loss, reason = "Java compares the same rounded number")]
    let (whole, most) = match key {
        QuotaKey::RequestPercentage | QuotaKey::ControllerMutationRate => (None, f64::INFINITY),
        QuotaKey::ProducerByteRate | QuotaKey::ConsumerByteRate => (Some("a LONG"), i64::MAX as f64),
        QuotaKey::ConnectionCreationRate => (Some("an INT"), f64::from(i32::MAX)),
    };
    if let Some(kind) = whole {
        if value > most {
            return Err(invalid(format!("Proposed value for {name} is too large for {kind}.")));
        }
        if (value % 1.0).abs() > 1e-6 {
            return Err(invalid(format!("{name} cannot be a fractional value.")));
        }
    }
    Ok(value.to_string())
}

/// What the nodes of changed entities shall hold.
struct Draft<'a> {
    image: &'a MetadataImage,
    changed: BTreeMap<QuotaEntity, Configs>,
}

impl Draft<'_> {
    /// One multi for all, so that nodes which entities share are written once.
    fn ops(self) -> Vec<Op> {
        if self.changed.is_empty() {
            return Vec::new();
        }
        let mut ops = vec![fence(self.image)];
        let mut users = BTreeSet::new();
        for (entity, configs) in &self.changed {
            match entity {
                QuotaEntity::Client(_) | QuotaEntity::Ip(_) => self.write(entity, configs, &mut ops),
                QuotaEntity::User(user) | QuotaEntity::UserClient(user, _) => _ = users.insert(user),
            }
        }
        for user in users {
            self.write_user(user, &mut ops);
        }
        ops
    }

    /// A node that nothing else lies below.
    fn write(&self, entity: &QuotaEntity, configs: &Configs, ops: &mut Vec<Op>) {
        let path = paths::quotas(entity);
        let json = || to_json(&ConfigNodeJson::new(configs.clone()));
        match self.image.quota_node(entity) {
            Some((_, version)) if configs.is_empty() => ops.push(Op::delete(path, version)),
            Some((_, version)) => ops.push(Op::set(path, json(), version)),
            None if configs.is_empty() => {}
            None => ops.push(Op::create(path, json())),
        }
    }

    /// A user's node stands as long as it holds something or clients have quotas as this user.
    fn write_user(&self, user: &Arc<str>, ops: &mut Vec<Op>) {
        let entity = QuotaEntity::User(Arc::clone(user));
        let is_of = |entity: &QuotaEntity| matches!(entity, QuotaEntity::UserClient(of, _) if of == user);
        let clients: Vec<(&QuotaEntity, &Configs)> =
            self.changed.iter().filter(|(entity, _)| is_of(entity)).collect();
        let is_left =
            |client: &&QuotaEntity| self.changed.get(*client).is_none_or(|configs| !configs.is_empty());
        let has_clients = self.image.clients_of(user).iter().any(is_left)
            || clients.iter().any(|(_, configs)| !configs.is_empty());
        let node = self.image.quota_node(&entity);
        let nothing = Configs::new();
        let before = node.map_or(&nothing, |(configs, _)| configs);
        let configs = self.changed.get(&entity).unwrap_or(before);
        let path = paths::quotas(&entity);
        let json = || to_json(&ConfigNodeJson::new(configs.clone()));
        let is_needed = has_clients || !configs.is_empty();
        match node {
            None if is_needed => ops.push(Op::create(path.clone(), json())),
            Some((_, version)) if is_needed && before != configs => {
                ops.push(Op::set(path.clone(), json(), version));
            }
            _ => {}
        }
        let folder = self.image.has_client_folder(user);
        if has_clients && !folder {
            ops.push(Op::create(paths::clients_of(user), ""));
        }
        clients.iter().for_each(|(client, configs)| self.write(client, configs, ops));
        if folder && !has_clients {
            ops.push(Op::delete(paths::clients_of(user), crate::tree::ANY_VERSION));
        }
        if let (Some((_, version)), false) = (node, is_needed) {
            ops.push(Op::delete(path, version));
        }
    }
}

#[cfg(test)]
#[path = "quotas/tests.rs"]
mod tests;
