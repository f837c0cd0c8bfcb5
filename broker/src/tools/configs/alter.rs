//! `kafka-configs --alter`: sets and removes configs of one entity.
//!
//! Must never send a pair that it could not take apart.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::IncrementalAlterConfigsRequest;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::protocol::StrBytes;

use super::{Entities, UNSUPPORTED, describe, illegal, invalid, quotas, resource, scram, singular};
use crate::tools::client::{Client, Properties, Refused};
use crate::tools::console::Console;
use crate::tools::java;
use crate::tools::options::Options;

/// What `IncrementalAlterConfigs` calls its operations.
const SET: i8 = 0;
const DELETE: i8 = 1;

pub(super) fn run(
    options: &Options,
    entities: &Entities<'_>,
    client: &mut Client,
    console: &mut Console,
) -> Result<(), Refused> {
    let (kind, name) = (entities.types[0], entities.names[0]);
    let added = added(options)?;
    let deleted: Vec<&str> =
        options.values("delete-config").iter().flat_map(|text| text.split(',')).map(str::trim).collect();
    match kind {
        "users" | "clients" | "ips" => limits(entities, &added, &deleted, client)?,
        _ => configs(kind, name, &added, &deleted, client)?,
    }
    console.say(if name.is_empty() {
        format!("Completed updating default config for {kind} in the cluster.")
    } else {
        format!("Completed updating config for {} {name}.", singular(kind))
    });
    Ok(())
}

/// Quotas and credentials, after a look at whether these entities may have such.
fn limits(
    entities: &Entities<'_>,
    added: &[(String, String)],
    deleted: &[&str],
    client: &mut Client,
) -> Result<(), Refused> {
    let (kind, name) = (entities.types[0], entities.names[0]);
    let names: Vec<&str> = added.iter().map(|(name, _)| name.as_str()).collect();
    let is_quota = |name: &&str| quotas::is_of_clients(name);
    let is_scram = |name: &&str| scram::mechanism(name).is_some();
    let is_unknown = |name: &&str| !is_quota(name) && !is_scram(name);
    let of = |names: &[&'_ str], which: &dyn Fn(&&str) -> bool| -> Vec<String> {
        names.iter().filter(|name| which(name)).map(|name| (*name).to_owned()).collect()
    };
    if kind == "ips" {
        let all = [&names[..], deleted].concat();
        let unknown = of(&all, &|name| !quotas::is_of_addresses(name));
        if !unknown.is_empty() {
            return Err(illegal(format!(
                "Only connection quota configs can be added for 'ips' using --bootstrap-server. Unexpected config names: {}",
                unknown.join(",")
            )));
        }
        return quotas::alter(entities, added, deleted, client);
    }
    let (scram_added, scram_deleted) = (of(&names, &is_scram), of(deleted, &is_scram));
    let (mut unknown, mut undeletable) = (of(&names, &is_unknown), of(deleted, &is_unknown));
    let is_of_clients = kind == "clients" || entities.types.len() == 2;
    let (what, of_whom) = if is_of_clients {
        unknown.extend(scram_added.iter().cloned());
        undeletable.extend(scram_deleted.iter().cloned());
        ("quota", "clients")
    } else {
        ("quota and SCRAM credential", "users")
    };
    let unexpected = |done: &str, shown: String| {
        let told = "using --bootstrap-server. Unexpected config names:";
        illegal(format!("Only {what} configs can be {done} for '{of_whom}' {told} {shown}"))
    };
    if !unknown.is_empty() {
        return Err(unexpected("added", scala_set(&unknown)));
    }
    if !undeletable.is_empty() {
        return Err(unexpected("deleted", format!("ArrayBuffer({})", undeletable.join(", "))));
    }
    let has_quotas = names.iter().chain(deleted).any(is_quota);
    let has_scram = !scram_added.is_empty() || !scram_deleted.is_empty();
    if !is_of_clients && has_scram {
        if entities.names.contains(&"") {
            return Err(illegal(
                "The use of --entity-default or --user-defaults is not allowed with User SCRAM Credentials using \
                 --bootstrap-server.",
            ));
        }
        if has_quotas {
            return Err(illegal(
                "Cannot alter both quota and SCRAM credential configs simultaneously for 'users' using --bootstrap-server.",
            ));
        }
    }
    if has_quotas {
        return quotas::alter(entities, added, deleted, client);
    }
    scram::alter(name, added, deleted, client)
}

/// As Scala shows a set.
fn scala_set(names: &[String]) -> String {
    let kind = if names.len() > 4 { "HashSet" } else { "Set" };
    format!("{kind}({})", java::in_set_order(names.to_vec()).join(", "))
}

/// Configs of a resource of the cluster.
fn configs(
    kind: &str,
    name: &str,
    added: &[(String, String)],
    deleted: &[&str],
    client: &mut Client,
) -> Result<(), Refused> {
    if kind == "broker-loggers" {
        let known = describe::loggers(client, name)?;
        let names = deleted.iter().copied().chain(added.iter().map(|(name, _)| name.as_str()));
        let unknown: Vec<&str> = names.filter(|name| !known.iter().any(|known| known == name)).collect();
        if !unknown.is_empty() {
            return Err(invalid(format!("Invalid broker logger(s): {}", unknown.join(","))));
        }
    }
    let text = |text: &str| StrBytes::from_string(text.to_owned());
    let mut configs: Vec<AlterableConfig> = deleted
        .iter()
        .map(|name| {
            AlterableConfig::default()
                .with_name(text(name))
                .with_config_operation(DELETE)
                .with_value(Some(text("")))
        })
        .collect();
    configs.extend(added.iter().map(|(name, value)| {
        AlterableConfig::default()
            .with_name(text(name))
            .with_config_operation(SET)
            .with_value(Some(text(value)))
    }));
    let (resource_type, at) = resource(kind, name, true, client);
    let altered = AlterConfigsResource::default()
        .with_resource_type(resource_type)
        .with_resource_name(text(name))
        .with_configs(configs);
    let request = IncrementalAlterConfigsRequest::default().with_resources(vec![altered]);
    let done = client.call(at, "incrementalAlterConfigs", |_| request.clone()).and_then(|answer| {
        answer
            .responses
            .iter()
            .try_for_each(|response| Refused::check(response.error_code, response.error_message.as_deref()))
    });
    match done {
        Err(refused) if kind != "broker-loggers" && refused.is(ResponseError::UnsupportedVersion) => {
            Err(Refused::own(
                UNSUPPORTED,
                "The INCREMENTAL_ALTER_CONFIGS API is not supported by the cluster. The API is supported starting from \
                 version 2.3.0. You may want to use an older version of this tool to interact with your cluster, or upgrade \
                 your brokers to version 2.3.0 or newer to avoid this error.",
            ))
        }
        done => done,
    }
}

/// `ConfigCommand.parseConfigsToBeAdded`: each name once, in the order of Java's map of them.
fn added(options: &Options) -> Result<Vec<(String, String)>, Refused> {
    let unread = |message| Refused::own("joptsimple.OptionException", message);
    let mut added: Vec<(String, String)> = Vec::new();
    if let Some(file) = options.value("add-config-file").map_err(unread)? {
        added.extend(Properties::load(file)?);
    }
    if let Some(text) = options.value("add-config").map_err(unread)? {
        let mut pairs = outside_of_brackets(text, ',');
        // Java's split leaves out what is empty at the end.
        while pairs.len() > 1 && pairs.last().is_some_and(|pair| pair.is_empty()) {
            pairs.pop();
        }
        let pairs: Vec<Vec<&str>> = pairs.into_iter().map(|pair| outside_of_brackets(pair, '=')).collect();
        if pairs.iter().any(|parts| parts.len() != 2) {
            return Err(illegal(
                "requirement failed: Invalid entity config: all configs to be added must be in the format \"key=val\" or  \
                 \"key=[val1,val2]\" to group values which contain commas.",
            ));
        }
        for parts in pairs {
            let (name, value) = (parts[0].trim(), parts[1].replace(['[', ']'], ""));
            added.retain(|(known, _)| known != name);
            added.push((name.to_owned(), value.trim().to_owned()));
        }
    }
    let added = java::in_map_order(added, 16, |(name, _)| java::hash_code(name));
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "$._-".contains(c);
    match added.iter().find(|(name, _)| !name.chars().all(is_plain)) {
        Some((name, _)) => Err(illegal(format!("Invalid character found for config key: {name}"))),
        None => Ok(added),
    }
}

/// Split where the next bracket, if any, opens.
fn outside_of_brackets(text: &str, separator: char) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut from = 0;
    for (at, _) in text.match_indices(separator) {
        let rest = &text[at + separator.len_utf8()..];
        if !rest.contains(']') || rest.find(['[', ']']).is_some_and(|next| rest[next..].starts_with('[')) {
            parts.push(&text[from..at]);
            from = at + separator.len_utf8();
        }
    }
    parts.push(&text[from..]);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_keep_commas_together() {
        assert_eq!(outside_of_brackets("a=1,b=[x,y],c=", ','), ["a=1", "b=[x,y]", "c="]);
        assert_eq!(outside_of_brackets("b=[x=1,y]", '='), ["b", "[x=1,y]"]);
        assert_eq!(outside_of_brackets("b=[x,y", ','), ["b=[x", "y"]);
    }
}
