//! `kafka-configs --describe`: configs with where they come from.
//!
//! Must never show a config of another source than was asked for.

use std::collections::BTreeSet;

use kafka_protocol::messages::describe_client_quotas_request::ComponentData;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::DescribeConfigsResourceResult;
use kafka_protocol::messages::describe_user_scram_credentials_request::UserName;
use kafka_protocol::messages::{
    DescribeClientQuotasRequest, DescribeConfigsRequest, DescribeUserScramCredentialsRequest,
    ListConfigResourcesRequest, ListGroupsRequest,
};
use kafka_protocol::protocol::StrBytes;

use super::{Entities, resource, singular};
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
            quotas(entities, client, console)?;
            if entities.types == ["users"] && !entities.names.contains(&"") {
                credentials(&entities.names, client, console)?;
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
    let (resource_type, at) = resource(kind, name);
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
            let mut names = Vec::new();
            for broker in client.brokers()? {
                let request = ListGroupsRequest::default();
                let answer = client.call(At::Node(broker.id), "listGroups", |_| request.clone())?;
                names.extend(answer.groups.iter().map(|group| group.group_id.to_string()));
            }
            names.extend(resources(client, GROUP)?);
            let mut seen = BTreeSet::new();
            names.retain(|name| seen.insert(name.clone()));
            Ok(names)
        }
    }
}

fn resources(client: &mut Client, kind: i8) -> Result<Vec<String>, Refused> {
    let answer = client.call(At::Any, "listConfigResources", |version| {
        let request = ListConfigResourcesRequest::default();
        if version >= 1 { request.with_resource_types(vec![kind]) } else { request }
    })?;
    Refused::check(answer.error_code, None)?;
    let of_kind = answer.config_resources.iter().filter(|resource| resource.resource_type == kind);
    Ok(of_kind.map(|resource| resource.resource_name.to_string()).collect())
}

fn quotas(entities: &Entities<'_>, client: &mut Client, console: &mut Console) -> Result<(), Refused> {
    let names = entities.names.iter().copied().map(Some).chain(std::iter::repeat(None));
    let component = |(kind, name): (&&str, Option<&str>)| {
        let entity = match *kind {
            "users" => "user",
            "clients" => "client-id",
            _ => "ip",
        };
        let component = ComponentData::default().with_entity_type(StrBytes::from_static_str(entity));
        match name {
            None => component.with_match_type(2).with_match(None),
            Some("") => component.with_match_type(1).with_match(None),
            Some(name) => {
                component.with_match_type(0).with_match(Some(StrBytes::from_string(name.to_owned())))
            }
        }
    };
    let components = entities.types.iter().zip(names).map(component).collect();
    let request = DescribeClientQuotasRequest::default().with_components(components).with_strict(true);
    let answer = client.call(At::Any, "describeClientQuotas", |_| request.clone())?;
    Refused::check(answer.error_code, answer.error_message.as_deref())?;
    for entry in answer.entries.iter().flatten() {
        let mut parts = Vec::new();
        for (kind, shown) in [("user", "user-principal"), ("client-id", "client-id"), ("ip", "ip")] {
            let named = entry.entity.iter().find(|entity| entity.entity_type.as_str() == kind);
            parts.extend(named.map(|entity| match &entity.entity_name {
                Some(name) => format!("{shown} '{name}'"),
                None => format!("the default {shown}"),
            }));
        }
        let values: Vec<String> =
            entry.values.iter().map(|value| format!("{}={:?}", value.key, value.value)).collect();
        console.say(format_args!("Quota configs for {} are {}", parts.join(", "), values.join(", ")));
    }
    Ok(())
}

fn credentials(names: &[&str], client: &mut Client, console: &mut Console) -> Result<(), Refused> {
    let user = |name: &&str| UserName::default().with_name(StrBytes::from_string((*name).to_owned()));
    // Nobody named means everybody.
    let users = (!names.is_empty()).then(|| names.iter().map(user).collect());
    let request = DescribeUserScramCredentialsRequest::default().with_users(users);
    let answer = client.call(At::Any, "describeUserScramCredentials", |_| request.clone())?;
    Refused::check(answer.error_code, answer.error_message.as_deref())?;
    for result in answer.results {
        let user = &result.user;
        // Kafka's result leaves those out that have none.
        if result.error_code == kafka_protocol::error::ResponseError::ResourceNotFound.code() {
            continue;
        }
        if let Some(refused) = Refused::of(result.error_code, result.error_message.as_deref()) {
            let class = refused.class();
            let simple = class.rsplit('.').next().unwrap_or_default();
            console.say(format_args!(
                "Error retrieving SCRAM credential configs for user-principal '{user}': {simple}: {}",
                refused.message
            ));
            continue;
        }
        let infos: Vec<String> = result
            .credential_infos
            .iter()
            .map(|info| {
                let mechanism = if info.mechanism == 1 { "SCRAM-SHA-256" } else { "SCRAM-SHA-512" };
                format!("{mechanism}=iterations={}", info.iterations)
            })
            .collect();
        console.say(format_args!(
            "SCRAM credential configs for user-principal '{user}' are {}",
            infos.join(", ")
        ));
    }
    Ok(())
}
