//! Quotas of users, clients and addresses: what there is, and what is to be.
//!
//! Must never remove a quota that is not there without saying so.

use kafka_protocol::messages::alter_client_quotas_request::{EntityData, EntryData, OpData};
use kafka_protocol::messages::describe_client_quotas_request::ComponentData;
use kafka_protocol::messages::describe_client_quotas_response::EntryData as Found;
use kafka_protocol::messages::{AlterClientQuotasRequest, DescribeClientQuotasRequest};
use kafka_protocol::protocol::StrBytes;
use milena_coordinator::image::QuotaKey;

use super::{Entities, illegal, invalid};
use crate::tools::client::{At, Client, Refused};
use crate::tools::console::Console;
use crate::tools::java;

/// Whether it is one of users and clients (`QuotaConfig.isClientOrUserQuotaConfig`).
pub(super) fn is_of_clients(name: &str) -> bool {
    QuotaKey::from_name(name).is_some_and(|key| key != QuotaKey::ConnectionCreationRate)
}

/// Whether it is the only one of an address.
pub(super) fn is_of_addresses(name: &str) -> bool {
    QuotaKey::from_name(name) == Some(QuotaKey::ConnectionCreationRate)
}

/// What the protocol calls a type, and what the tool calls an entity of it, in the order in which it names them.
const KINDS: [(&str, &str, &str); 3] =
    [("users", "user", "user-principal"), ("clients", "client-id", "client-id"), ("ips", "ip", "ip")];

/// Shows the quotas of those entities that have exactly these types.
pub(super) fn describe(
    entities: &Entities<'_>,
    client: &mut Client,
    console: &mut Console,
) -> Result<(), Refused> {
    for entry in find(entities, client)? {
        let mut parts = Vec::new();
        for (_, kind, shown) in KINDS {
            let named = entry.entity.iter().find(|entity| entity.entity_type.as_str() == kind);
            parts.extend(named.map(|entity| match &entity.entity_name {
                Some(name) => format!("{shown} '{name}'"),
                None => format!("the default {shown}"),
            }));
        }
        let values = entry.values.iter().map(|value| (value.key.to_string(), value.value)).collect();
        let values =
            java::in_map_order(values, entry.values.len(), |(name, _): &(String, f64)| java::hash_code(name));
        let values: Vec<String> =
            values.iter().map(|(name, value)| format!("{name}={}", java::double(*value))).collect();
        console.say(format_args!("Quota configs for {} are {}", parts.join(", "), values.join(", ")));
    }
    Ok(())
}

/// Sets and removes quotas of one entity.
pub(super) fn alter(
    entities: &Entities<'_>,
    added: &[(String, String)],
    deleted: &[&str],
    client: &mut Client,
) -> Result<(), Refused> {
    let found = find(entities, client)?;
    let is_set = |name: &&str| {
        found.first().is_some_and(|entry| entry.values.iter().any(|value| value.key.as_str() == *name))
    };
    let missing: Vec<&str> = deleted.iter().copied().filter(|name| !is_set(name)).collect();
    if !missing.is_empty() {
        return Err(invalid(format!("Invalid config(s): {}", missing.join(","))));
    }
    let op = |name: &str| OpData::default().with_key(text(name));
    let mut ops = Vec::new();
    for (name, value) in added {
        let value = java::parse_double(value)
            .ok_or_else(|| illegal(format!("Cannot parse quota configuration value for {name}: {value}")))?;
        ops.push(op(name).with_value(value));
    }
    ops.extend(deleted.iter().map(|name| op(name).with_remove(true)));
    let entity = entities.types.iter().zip(&entities.names).map(|(kind, name)| {
        let name = (!name.is_empty()).then(|| text(name));
        EntityData::default().with_entity_type(text(of_protocol(kind))).with_entity_name(name)
    });
    let entry = EntryData::default().with_entity(entity.collect()).with_ops(ops);
    let request = AlterClientQuotasRequest::default().with_entries(vec![entry]);
    let answer = client.call(At::Any, "alterClientQuotas", |_| request.clone())?;
    answer
        .entries
        .iter()
        .try_for_each(|entry| Refused::check(entry.error_code, entry.error_message.as_deref()))
}

/// In the order of Java's map of them.
fn find(entities: &Entities<'_>, client: &mut Client) -> Result<Vec<Found>, Refused> {
    client.require_brokers()?;
    if entities.names.len() > entities.types.len() {
        return Err(illegal("More entity names specified than entity types"));
    }
    let names = entities.names.iter().copied().map(Some).chain(std::iter::repeat(None));
    let component = |(kind, name): (&&str, Option<&str>)| {
        let component = ComponentData::default().with_entity_type(text(of_protocol(kind)));
        match name {
            None => component.with_match_type(2).with_match(None),
            Some("") => component.with_match_type(1).with_match(None),
            Some(name) => component.with_match_type(0).with_match(Some(text(name))),
        }
    };
    let components = entities.types.iter().zip(names).map(component).collect();
    let request = DescribeClientQuotasRequest::default().with_components(components).with_strict(true);
    let answer = client.call(At::Any, "describeClientQuotas", |_| request.clone())?;
    Refused::check(answer.error_code, answer.error_message.as_deref())?;
    let entries = answer.entries.unwrap_or_default();
    let capacity = entries.len();
    Ok(java::in_map_order(entries, capacity, |entry| {
        let hash = |text: &StrBytes| java::hash_code(text.as_str());
        let parts = entry.entity.iter();
        let sum = parts.fold(0_i32, |sum, part| {
            sum.wrapping_add(hash(&part.entity_type) ^ part.entity_name.as_ref().map_or(0, hash))
        });
        sum.wrapping_add(31)
    }))
}

fn of_protocol(kind: &str) -> &'static str {
    KINDS.iter().find(|(known, _, _)| *known == kind).map_or("ip", |(_, kind, _)| kind)
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}
