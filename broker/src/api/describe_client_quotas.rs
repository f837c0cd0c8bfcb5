//! DescribeClientQuotas: 48, v0–1. Quotas by user, client id and address (KIP-546).
//!
//! Behaviour: there are none to tell yet, so every well-formed filter matches nothing; malformed ones are refused as
//! `ClientQuotasImage.describe` refuses them.
//! Versions: 1 flexible.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_client_quotas_request::ComponentData;
use kafka_protocol::messages::{DescribeClientQuotasRequest, DescribeClientQuotasResponse};
use kafka_protocol::protocol::StrBytes;
use milena_coordinator::controller::Refusal;

use super::{Cx, Outcome};

pub const VERSIONS: RangeInclusive<i16> = 0..=1;

const EXACT: i8 = 0;
const DEFAULT: i8 = 1;
const SPECIFIED: i8 = 2;

pub fn handle(_cx: &Cx<'_>, request: DescribeClientQuotasRequest) -> Outcome<DescribeClientQuotasResponse> {
    let answer = DescribeClientQuotasResponse::default();
    match check(&request.components) {
        // Kafka leaves the message as it is, which for its generated classes is the empty string.
        Ok(()) => answer
            .with_error_message(Some(StrBytes::from_static_str("")))
            .with_entries(Some(Vec::new()))
            .into(),
        Err(refusal) => answer
            .with_error_code(refusal.code.code())
            .with_error_message(refusal.wire_message())
            .with_entries(None)
            .into(),
    }
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
