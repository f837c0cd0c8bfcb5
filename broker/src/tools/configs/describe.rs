//! `kafka-configs --describe`: configs with where they come from.
//!
//! Must never show a config of another source than was asked for.

use std::collections::BTreeSet;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::DescribeConfigsResourceResult;
use kafka_protocol::messages::{DescribeConfigsRequest, ListConfigResourcesRequest, ListGroupsRequest};
use kafka_protocol::protocol::StrBytes;

use super::{Entities, quotas, resource, scram, singular};
use crate::tools::client::{At, Client, Refused};
use crate::tools::console::Console;
use crate::tools::java;
use crate::tools::options::Options;

/// By their number in the protocol, from 1 (`ConfigEntry.ConfigSource`).
const SOURCES: [&str; 8] = [
    "DYNAMIC_TOPIC_CONFIG",
    "DYNAMIC_BROKER_CONFIG",
    "DYNAMIC_DEFAULT_BROKER_CONFIG",
    "STATIC_BROKER_CONFIG",
    "DEFAULT_CONFIG",
    "DYNAMIC_BROKER_LOGGER_CONFIG",
    "DYNAMIC_CLIENT_METRICS_CONFIG",
    "DYNAMIC_GROUP_CONFIG",
];
const CLIENT_METRICS: i8 = 16;
const GROUP: i8 = 32;

pub(super) fn run(
    options: &Options,
    entities: &Entities<'_>,
    client: &mut Client,
    console: &mut Console,
) -> Result<(), Refused> {
    match entities.types[0] {
        "users" | "clients" | "ips" => {
            quotas::describe(entities, client, console)?;
            if entities.types == ["users"] && !entities.names.contains(&"") {
                scram::describe(&entities.names, client, console)?;
            }
            Ok(())
        }
        kind => configs(options, kind, entities.names.first().copied(), client, console),
    }
}

fn configs(
    options: &Options,
    kind: &str,
    name: Option<&str>,
    client: &mut Client,
    console: &mut Console,
) -> Result<(), Refused> {
    let all = options.has("all");
    let names = match name {
        Some(name) => {
            if !all && !is_there(kind, name, client)? {
                let told = "doesn't exist and doesn't have dynamic config.";
                console.say(format_args!("The {} '{name}' {told}", singular(kind)));
                return Ok(());
            }
            vec![name.to_owned()]
        }
        None => everything(kind, client)?,
    };
    for name in names {
        if name.is_empty() {
            console.say(format_args!("Default configs for {kind} in the cluster are:"));
        } else {
            let which = if all { "All" } else { "Dynamic" };
            console.say(format_args!("{which} configs for {} {name} are:", singular(kind)));
        }
        let source = match kind {
            "topics" => Some(1),
            "brokers" if name.is_empty() => Some(3),
            "brokers" => Some(2),
            "client-metrics" => Some(7),
            "groups" => Some(8),
            _ => None,
        };
        for entry in entries(client, kind, &name, true)? {
            if all || source.is_none_or(|source| entry.config_source == source) {
                console.say(line(&entry));
            }
        }
    }
    Ok(())
}

fn line(entry: &DescribeConfigsResourceResult) -> String {
    let source = |number: i8| {
        let index = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
        index.and_then(|index| SOURCES.get(index).copied()).unwrap_or("UNKNOWN")
    };
    let text =
        |value: &Option<StrBytes>| value.as_ref().map_or_else(|| "null".to_owned(), ToString::to_string);
    let synonyms: Vec<String> = entry
        .synonyms
        .iter()
        .map(|synonym| format!("{}:{}={}", source(synonym.source), synonym.name, text(&synonym.value)))
        .collect();
    let value = text(&entry.value);
    format!("  {}={value} sensitive={} synonyms={{{}}}", entry.name, entry.is_sensitive, synonyms.join(", "))
}

/// All configs of one entity, by name.
fn entries(
    client: &mut Client,
    kind: &str,
    name: &str,
    synonyms: bool,
) -> Result<Vec<DescribeConfigsResourceResult>, Refused> {
    let (resource_type, at) = resource(kind, name, false, client);
    let asked = DescribeConfigsResource::default()
        .with_resource_type(resource_type)
        .with_resource_name(StrBytes::from_string(name.to_owned()))
        .with_configuration_keys(None);
    let request =
        DescribeConfigsRequest::default().with_resources(vec![asked]).with_include_synonyms(synonyms);
    let answer = client.call(at, "describeConfigs", |_| request.clone())?;
    let mut entries = Vec::new();
    for result in answer.results {
        Refused::check(result.error_code, result.error_message.as_deref())?;
        entries.extend(result.configs);
    }
    entries.sort_by(|a, b| a.name.as_str().cmp(b.name.as_str()));
    Ok(entries)
}

/// The loggers of a broker.
pub(super) fn loggers(client: &mut Client, name: &str) -> Result<Vec<String>, Refused> {
    let entries = entries(client, "broker-loggers", name, false)?;
    Ok(entries.into_iter().map(|entry| entry.name.to_string()).collect())
}

fn is_there(kind: &str, name: &str, client: &mut Client) -> Result<bool, Refused> {
    Ok(match kind {
        "brokers" | "broker-loggers" => {
            name.is_empty() || client.brokers()?.iter().any(|node| node.id.to_string() == name)
        }
        "groups" => {
            groups(client)?.iter().any(|known| known == name)
                || group_configs(client)?.is_none_or(|named| named.iter().any(|known| known == name))
        }
        "topics" => {
            milena_coordinator::controller::check_topic_name(name).map_err(|refusal| {
                Refused::own("org.apache.kafka.common.errors.InvalidTopicException", refusal.message)
            })?;
            everything(kind, client)?.iter().any(|known| known == name)
        }
        _ => everything(kind, client)?.iter().any(|known| known == name),
    })
}

/// The names of all entities of a type.
fn everything(kind: &str, client: &mut Client) -> Result<Vec<String>, Refused> {
    match kind {
        "topics" => {
            let topics = client.metadata(None, false)?;
            let names =
                topics.iter().filter_map(|topic| topic.name.as_ref()).map(|name| name.to_string()).collect();
            Ok(java::in_map_order(names, 16, |name: &String| java::hash_code(name)))
        }
        "brokers" | "broker-loggers" => {
            let mut ids: Vec<i32> = client.brokers()?.iter().map(|node| node.id).collect();
            ids.sort_unstable();
            let ids = java::in_map_order(ids, 16, |id| *id);
            Ok(ids.iter().map(ToString::to_string).chain([String::new()]).collect())
        }
        "client-metrics" => resources(client, CLIENT_METRICS),
        _ => {
            let mut names = groups(client)?;
            names.extend(group_configs(client)?.into_iter().flatten());
            let mut seen = BTreeSet::new();
            names.retain(|name| seen.insert(name.clone()));
            Ok(java::in_set_order(names))
        }
    }
}

fn groups(client: &mut Client) -> Result<Vec<String>, Refused> {
    let mut names = Vec::new();
    client.require_brokers()?;
    for broker in client.brokers()? {
        let request = ListGroupsRequest::default();
        let answer = client.call(At::Node(broker.id), "listGroups", |_| request.clone())?;
        names.extend(answer.groups.iter().map(|group| group.group_id.to_string()));
    }
    Ok(java::in_map_order(names, 16, |name: &String| java::hash_code(name)))
}

/// Groups that have configs; `None` where the brokers do not tell.
fn group_configs(client: &mut Client) -> Result<Option<Vec<String>>, Refused> {
    use ResponseError::{ClusterAuthorizationFailed, UnsupportedVersion};
    match resources(client, GROUP) {
        Err(refused) if refused.is(UnsupportedVersion) || refused.is(ClusterAuthorizationFailed) => Ok(None),
        found => found.map(Some),
    }
}

fn resources(client: &mut Client, kind: i8) -> Result<Vec<String>, Refused> {
    client.require_brokers()?;
    let answer = client.call(At::Any, "listConfigResources", |version| {
        let request = ListConfigResourcesRequest::default();
        if version >= 1 { request.with_resource_types(vec![kind]) } else { request }
    })?;
    Refused::check(answer.error_code, None)?;
    let of_kind = answer.config_resources.iter().filter(|resource| resource.resource_type == kind);
    Ok(of_kind.map(|resource| resource.resource_name.to_string()).collect())
}
