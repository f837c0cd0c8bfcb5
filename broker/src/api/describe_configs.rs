//! DescribeConfigs: 32, v1–4. Effective values with their sources and synonyms.
//!
//! Behaviour (`ConfigHelper`): all public configs, or the keys asked for; a broker answers for itself and, under the
//! empty name, for the cluster-wide defaults; an unknown topic is an error of its resource, an unknown group has the
//! defaults. Values and sources: `settings::describe`.
//! Versions: 1 synonyms, 3 types and documentation, 4 flexible.

use std::ops::RangeInclusive;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use kafka_protocol::messages::{DescribeConfigsRequest, DescribeConfigsResponse};
use kafka_protocol::protocol::StrBytes;
use milena_coordinator::controller::{Refusal, check_topic_name};
use milena_coordinator::image::{ConfigKind, Configs};
use milena_storage::ids::BrokerId;

use super::{Cx, Outcome};
use crate::settings::describe::{ConfigSource, Entry, Synonym};

pub const VERSIONS: RangeInclusive<i16> = 1..=4;

/// `ConfigResource.Type.BROKER_LOGGER`
const BROKER_LOGGER: i8 = 8;
/// Kafka leaves the field as it is, which for its generated classes is the empty string.
const NO_MESSAGE: StrBytes = StrBytes::from_static_str("");
/// The text of INVALID_REQUEST itself.
const INVALID_REQUEST: &str = "This most likely occurs because of a request being malformed by the client library or \
                               the message was sent to an incompatible broker. See the broker logs for more details.";

pub fn handle(cx: &Cx<'_>, request: DescribeConfigsRequest) -> Outcome<DescribeConfigsResponse> {
    let is_known = |kind: i8| kind == BROKER_LOGGER || ConfigKind::from_code(kind).is_some();
    if request.resources.iter().any(|resource| !is_known(resource.resource_type)) {
        return refuse(&request, &Refusal::new(ResponseError::InvalidRequest, INVALID_REQUEST)).into();
    }
    let told = Told { synonyms: request.include_synonyms, documentation: request.include_documentation };
    let results = request
        .resources
        .iter()
        .map(|resource| {
            let result = DescribeConfigsResult::default()
                .with_resource_type(resource.resource_type)
                .with_resource_name(resource.resource_name.clone());
            match entries(cx, resource) {
                Ok(entries) => {
                    result.with_error_message(Some(NO_MESSAGE)).with_configs(chosen(resource, entries, told))
                }
                Err(refusal) => result
                    .with_error_code(refusal.code.code())
                    .with_error_message(Some(refusal.wire_message().unwrap_or(NO_MESSAGE))),
            }
        })
        .collect();
    DescribeConfigsResponse::default().with_results(results).into()
}

/// The answer when the request as a whole is refused.
pub fn refuse(request: &DescribeConfigsRequest, refusal: &Refusal) -> DescribeConfigsResponse {
    let results = request.resources.iter().map(|resource| {
        DescribeConfigsResult::default()
            .with_error_code(refusal.code.code())
            .with_error_message(refusal.wire_message())
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name.clone())
    });
    DescribeConfigsResponse::default().with_results(results.collect())
}

/// What the request wants to be told besides values.
#[derive(Clone, Copy)]
struct Told {
    synonyms: bool,
    documentation: bool,
}

fn entries(cx: &Cx<'_>, resource: &DescribeConfigsResource) -> Result<Vec<Entry>, Refusal> {
    let name = resource.resource_name.as_str();
    let invalid = |message: String| Refusal::new(ResponseError::InvalidRequest, message);
    // Broker values may change while running, and topics fall back to them.
    let settings = cx.broker.settings.load();
    let none = Configs::new();
    let overrides = |kind| cx.image.config(kind, name).unwrap_or(&none);
    match ConfigKind::from_code(resource.resource_type) {
        Some(ConfigKind::Topic) => {
            check_topic_name(name)?;
            if cx.image.topic(name).is_none() {
                return Err(Refusal::bare(ResponseError::UnknownTopicOrPartition));
            }
            Ok(settings.describe_topic(overrides(ConfigKind::Topic)))
        }
        Some(ConfigKind::Broker) if name.is_empty() => Ok(settings.describe_cluster_wide()),
        Some(ConfigKind::Broker) => {
            if parse_broker(name)? != cx.broker.id {
                return Err(invalid(format!(
                    "Unexpected broker id, expected {} or empty string, but received {name}",
                    cx.broker.id
                )));
            }
            Ok(settings.describe_broker())
        }
        Some(ConfigKind::Group) if name.is_empty() => Err(invalid("Group name must not be empty".into())),
        Some(ConfigKind::Group) => Ok(settings.describe_group(overrides(ConfigKind::Group))),
        Some(ConfigKind::ClientMetrics) if name.is_empty() => {
            Err(invalid("Client metrics subscription name must not be empty".into()))
        }
        Some(ConfigKind::ClientMetrics) => {
            Ok(settings.describe_client_metrics(overrides(ConfigKind::ClientMetrics)))
        }
        // No resource type stands for users.
        Some(ConfigKind::User) => Ok(Vec::new()),
        None if name.is_empty() => Err(invalid("Broker id must not be empty".into())),
        None if parse_broker(name)? != cx.broker.id => {
            Err(invalid(format!("Unexpected broker id, expected {} but received {name}", cx.broker.id)))
        }
        // Milena's log levels are no log4j loggers: there is none to list.
        None => Ok(Vec::new()),
    }
}

fn parse_broker(name: &str) -> Result<BrokerId, Refusal> {
    name.parse().map(BrokerId).map_err(|_| {
        let message = format!("Broker id must be an integer, but it is: {name}");
        Refusal::new(ResponseError::InvalidRequest, message)
    })
}

fn chosen(
    resource: &DescribeConfigsResource,
    entries: Vec<Entry>,
    told: Told,
) -> Vec<DescribeConfigsResourceResult> {
    let keys = resource.configuration_keys.as_deref().unwrap_or_default();
    let asked = |entry: &Entry| keys.is_empty() || keys.iter().any(|key| key.as_str() == entry.name);
    entries.into_iter().filter(asked).map(|entry| line(entry, told)).collect()
}

fn line(entry: Entry, told: Told) -> DescribeConfigsResourceResult {
    let config_type = entry.type_code();
    let synonyms = if told.synonyms { entry.synonyms } else { Vec::new() };
    DescribeConfigsResourceResult::default()
        .with_name(StrBytes::from_string(entry.name))
        .with_value(entry.value.map(StrBytes::from_string))
        .with_read_only(entry.read_only)
        .with_config_source(code(entry.source))
        .with_is_sensitive(entry.sensitive)
        .with_synonyms(synonyms.into_iter().map(synonym).collect())
        .with_config_type(config_type)
        .with_documentation(entry.documentation.filter(|_| told.documentation).map(StrBytes::from_static_str))
}

fn synonym(synonym: Synonym) -> DescribeConfigsSynonym {
    DescribeConfigsSynonym::default()
        .with_name(StrBytes::from_string(synonym.name))
        .with_value(synonym.value.map(StrBytes::from_string))
        .with_source(code(synonym.source))
}

fn code(source: ConfigSource) -> i8 {
    source as i8
}

#[cfg(test)]
#[path = "describe_configs/tests.rs"]
mod tests;
