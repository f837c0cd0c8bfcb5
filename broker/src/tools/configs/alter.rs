//! `kafka-configs --alter`: sets and removes configs of one entity.
//!
//! Must never send a pair that it could not take apart.

use kafka_protocol::messages::IncrementalAlterConfigsRequest;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::protocol::StrBytes;

use super::{Entities, describe, resource, singular};
use crate::tools::client::{Client, Properties, Refused};
use crate::tools::console::Console;
use crate::tools::options::Options;

const ILLEGAL: &str = "java.lang.IllegalArgumentException";
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
    if matches!(kind, "users" | "clients" | "ips") {
        let class = "org.apache.kafka.common.errors.UnsupportedVersionException";
        let message =
            format!("configs of {kind} (quotas and SCRAM credentials) cannot be altered by this tool");
        return Err(Refused::own(class, message));
    }
    if kind == "broker-loggers" {
        let known = describe::loggers(client, name)?;
        let names = deleted.iter().copied().chain(added.iter().map(|(name, _)| name.as_str()));
        let unknown: Vec<&str> = names.filter(|name| !known.iter().any(|known| known == name)).collect();
        if !unknown.is_empty() {
            let message = format!("Invalid broker logger(s): {}", unknown.join(","));
            return Err(Refused::own(
                "org.apache.kafka.common.errors.InvalidConfigurationException",
                message,
            ));
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
    let (resource_type, at) = resource(kind, name);
    let altered = AlterConfigsResource::default()
        .with_resource_type(resource_type)
        .with_resource_name(text(name))
        .with_configs(configs);
    let request = IncrementalAlterConfigsRequest::default().with_resources(vec![altered]);
    let answer = client.call(at, "incrementalAlterConfigs", |_| request.clone())?;
    for response in &answer.responses {
        Refused::check(response.error_code, response.error_message.as_deref())?;
    }
    console.say(if name.is_empty() {
        format!("Completed updating default config for {kind} in the cluster.")
    } else {
        format!("Completed updating config for {} {name}.", singular(kind))
    });
    Ok(())
}

/// `ConfigCommand.parseConfigsToBeAdded`.
fn added(options: &Options) -> Result<Vec<(String, String)>, Refused> {
    let unread = |message| Refused::own("joptsimple.OptionException", message);
    let mut added = Vec::new();
    if let Some(file) = options.value("add-config-file").map_err(unread)? {
        added.extend(Properties::load(file)?);
    }
    if let Some(text) = options.value("add-config").map_err(unread)? {
        for pair in outside_of_brackets(text, ',') {
            let parts = outside_of_brackets(pair, '=');
            let [name, value] = parts[..] else {
                let message = "requirement failed: Invalid entity config: all configs to be added must be in the format \
                               \"key=val\" or  \"key=[val1,val2]\" to group values which contain commas.";
                return Err(Refused::own(ILLEGAL, message));
            };
            added.push((name.trim().to_owned(), value.replace(['[', ']'], "").trim().to_owned()));
        }
    }
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "$._-".contains(c);
    match added.iter().find(|(name, _)| !name.chars().all(is_plain)) {
        Some((name, _)) => {
            Err(Refused::own(ILLEGAL, format!("Invalid character found for config key: {name}")))
        }
        None => Ok(added),
    }
}

fn outside_of_brackets(text: &str, separator: char) -> Vec<&str> {
    let mut is_inside = false;
    text.split(|c| {
        match c {
            '[' => is_inside = true,
            ']' => is_inside = false,
            _ => {}
        }
        c == separator && !is_inside
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_keep_commas_together() {
        assert_eq!(outside_of_brackets("a=1,b=[x,y],c=", ','), ["a=1", "b=[x,y]", "c="]);
        assert_eq!(outside_of_brackets("b=[x=1,y]", '='), ["b", "[x=1,y]"]);
    }
}
