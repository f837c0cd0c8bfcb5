//! DescribeClientQuotas: 48, v0–1. Quotas by user, client id and address (KIP-546).
//!
//! Behaviour: tells what the image knows, to any filter; malformed ones are refused as `ClientQuotasImage.describe` refuses them.
//! Versions: 1 flexible.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_client_quotas_request::ComponentData;
use kafka_protocol::messages::describe_client_quotas_response::{EntityData, EntryData, ValueData};
use kafka_protocol::messages::{DescribeClientQuotasRequest, DescribeClientQuotasResponse};
use kafka_protocol::protocol::StrBytes;
use milena_coordinator::controller::Refusal;
use milena_coordinator::image::{QuotaEntity, QuotaKey};

use super::{Cx, Outcome};

pub const VERSIONS: RangeInclusive<i16> = 0..=1;

const EXACT: i8 = 0;
const DEFAULT: i8 = 1;
const SPECIFIED: i8 = 2;

pub fn handle(cx: &Cx<'_>, request: DescribeClientQuotasRequest) -> Outcome<DescribeClientQuotasResponse> {
    let answer = DescribeClientQuotasResponse::default();
    match check(&request.components) {
        // Kafka leaves the message as it is, which for its generated classes is the empty string.
        Ok(()) => answer
            .with_error_message(Some(StrBytes::from_static_str("")))
            .with_entries(Some(matching(cx, &request)))
            .into(),
        Err(refusal) => answer
            .with_error_code(refusal.code.code())
            .with_error_message(refusal.wire_message())
            .with_entries(None)
            .into(),
    }
}

fn matching(cx: &Cx<'_>, request: &DescribeClientQuotasRequest) -> Vec<EntryData> {
    let entities = cx.image.quotas().into_iter().flat_map(|quotas| quotas.entities());
    let entities = entities.filter(|(entity, _)| matches(entity, &request.components, request.strict));
    entities.map(|(entity, values)| entry(entity, values)).collect()
}

/// A strict filter leaves out what has types that it does not name.
fn matches(entity: &QuotaEntity, components: &[ComponentData], strict: bool) -> bool {
    let parts = entity.parts();
    let fits = |component: &ComponentData| {
        let part = parts.iter().find(|(kind, _)| *kind == component.entity_type.as_str());
        part.is_some_and(|(_, name)| match component.match_type {
            SPECIFIED => true,
            DEFAULT => name.is_none(),
            _ => name.map(|name| &**name) == component._match.as_deref(),
        })
    };
    (!strict || parts.len() == components.len()) && components.iter().all(fits)
}

fn entry(entity: &QuotaEntity, values: &[(QuotaKey, f64)]) -> EntryData {
    let part = |(kind, name): (&'static str, Option<&std::sync::Arc<str>>)| {
        let name = name.map(|name| StrBytes::from_string(name.to_string()));
        EntityData::default().with_entity_type(StrBytes::from_static_str(kind)).with_entity_name(name)
    };
    let value = |(key, value): &(QuotaKey, f64)| {
        ValueData::default().with_key(StrBytes::from_static_str(key.name())).with_value(*value)
    };
    EntryData::default()
        .with_entity(entity.parts().into_iter().map(part).collect())
        .with_values(values.iter().map(value).collect())
}

fn check(components: &[ComponentData]) -> Result<(), Refusal> {
    let invalid = |message: String| Err(Refusal::new(ResponseError::InvalidRequest, message));
    let mut types = BTreeSet::new();
    for component in components {
        let kind = component.entity_type.as_str();
        if kind.is_empty() {
            return invalid("Invalid empty entity type.".into());
        }
        if !types.insert(kind) {
            return invalid(format!("Entity type {kind} cannot appear more than once in the filter."));
        }
        if !["ip", "user", "client-id"].contains(&kind) {
            let message = format!("Unsupported entity type {kind}");
            return Err(Refusal::new(ResponseError::UnsupportedVersion, message));
        }
        match (component.match_type, &component._match) {
            (EXACT, Some(_)) | (DEFAULT | SPECIFIED, None) => {}
            (EXACT, None) => {
                return invalid("Request specified MATCH_TYPE_EXACT, but set match string to null.".into());
            }
            (matching @ (DEFAULT | SPECIFIED), Some(_)) => {
                let name = if matching == DEFAULT { "DEFAULT" } else { "SPECIFIED" };
                return invalid(format!(
                    "Request specified MATCH_TYPE_{name}, but also specified a match string."
                ));
            }
            (other, _) => return invalid(format!("Unknown match type {other}")),
        }
    }
    if types.contains("ip") && types.len() > 1 {
        return invalid(
            "Invalid entity filter component combination. IP filter component should not be used with user or \
             clientId filter component."
                .into(),
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn component(kind: &str, matching: i8, value: Option<&str>) -> ComponentData {
        ComponentData::default()
            .with_entity_type(StrBytes::from_string(kind.into()))
            .with_match_type(matching)
            .with_match(value.map(|v| StrBytes::from_string(v.into())))
    }

    #[test]
    fn a_filter_finds_by_name_by_default_and_by_type() {
        let app = QuotaEntity::UserClient("u".into(), "app".into());
        let everybody = QuotaEntity::User("".into());
        let user = |matching, value| vec![component("user", matching, value)];
        let found = |components: &[ComponentData], strict| {
            [&app, &everybody].map(|entity| matches(entity, components, strict))
        };
        assert_eq!(found(&[], false), [true, true]);
        assert_eq!(found(&[], true), [false, false]);
        assert_eq!(found(&user(SPECIFIED, None), false), [true, true]);
        assert_eq!(found(&user(SPECIFIED, None), true), [false, true]);
        assert_eq!(found(&user(DEFAULT, None), false), [false, true]);
        assert_eq!(found(&user(EXACT, Some("u")), false), [true, false]);
        let both = [component("user", EXACT, Some("u")), component("client-id", EXACT, Some("app"))];
        assert_eq!(found(&both, true), [true, false]);
        assert_eq!(found(&[component("ip", SPECIFIED, None)], false), [false, false]);
        let told = entry(&app, &[(QuotaKey::RequestPercentage, 1.5)]);
        let kinds: Vec<_> = told.entity.iter().map(|part| part.entity_type.as_str()).collect();
        assert_eq!(kinds, ["client-id", "user"]);
    }

    #[test]
    fn malformed_filters_are_refused_in_kafkas_words() {
        let cases = [
            (vec![component("", 2, None)], "Invalid empty entity type."),
            (
                vec![component("user", 2, None), component("user", 1, None)],
                "Entity type user cannot appear more than once in the filter.",
            ),
            (vec![component("shoe", 2, None)], "Unsupported entity type shoe"),
            (
                vec![component("user", 0, None)],
                "Request specified MATCH_TYPE_EXACT, but set match string to null.",
            ),
            (
                vec![component("user", 1, Some("u"))],
                "Request specified MATCH_TYPE_DEFAULT, but also specified a match string.",
            ),
            (vec![component("user", 9, None)], "Unknown match type 9"),
        ];
        for (components, message) in cases {
            assert_eq!(check(&components).unwrap_err().message, message);
        }
        assert_eq!(check(&[component("user", 0, Some("u")), component("client-id", 1, None)]), Ok(()));
        assert!(check(&[component("ip", 2, None), component("user", 2, None)]).is_err());
    }
}
