//! ListConfigResources: 74, v0–1. What carries configs (KIP-1142; v0 is ListClientMetricsResources, KIP-1000).
//!
//! Behaviour: no types asked for means all; a type that cannot be listed is UNSUPPORTED_VERSION. Topics and brokers
//! are listed whether or not they have configs, groups and client metrics only if they do.

use std::ops::RangeInclusive;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::list_config_resources_response::ConfigResource;
use kafka_protocol::messages::{ListConfigResourcesRequest, ListConfigResourcesResponse};
use kafka_protocol::protocol::StrBytes;
use milena_coordinator::image::ConfigKind;

use super::{Cx, Outcome};

pub const VERSIONS: RangeInclusive<i16> = 0..=1;

/// `ConfigResource.Type.BROKER_LOGGER`, which is no kind of the tree.
const BROKER_LOGGER: i8 = 8;

pub fn handle(cx: &Cx<'_>, request: ListConfigResourcesRequest) -> Outcome<ListConfigResourcesResponse> {
    let (metrics, group) = (ConfigKind::ClientMetrics.code(), ConfigKind::Group.code());
    let (broker, topic) = (ConfigKind::Broker.code(), ConfigKind::Topic.code());
    let all = [group, metrics, BROKER_LOGGER, broker, topic];
    let supported = if cx.version == 0 { &all[1..2] } else { &all[..] };
    let asked = &request.resource_types;
    if asked.iter().any(|kind| !supported.contains(kind)) {
        let code = ResponseError::UnsupportedVersion.code();
        return ListConfigResourcesResponse::default().with_error_code(code).into();
    }
    let mut resources = Vec::new();
    for kind in supported.iter().copied().filter(|kind| asked.is_empty() || asked.contains(kind)) {
        let mut list = |name: String| {
            let name = StrBytes::from_string(name);
            resources.push(ConfigResource::default().with_resource_name(name).with_resource_type(kind));
        };
        match ConfigKind::from_code(kind) {
            Some(ConfigKind::Topic) => cx.image.topics().for_each(|topic| list(topic.name.to_string())),
            Some(kind @ (ConfigKind::Group | ConfigKind::ClientMetrics)) => {
                cx.image.configs(kind).for_each(|(name, _)| list(name.to_string()));
            }
            Some(ConfigKind::Broker | ConfigKind::User) | None => {
                let on_listener = |b: &&std::sync::Arc<milena_coordinator::image::BrokerImage>| {
                    b.endpoint(&cx.caller.listener).is_some()
                };
                cx.image.brokers.values().filter(on_listener).for_each(|broker| list(broker.id.to_string()));
            }
        }
    }
    ListConfigResourcesResponse::default().with_config_resources(resources).into()
}
