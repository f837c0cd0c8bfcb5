//! AlterConfigs: 33, v0–2. Replaces all configs of a resource; superseded by IncrementalAlterConfigs.
//!
//! Behaviour: what the request does not name is deleted. Decisions: `controller::alter_configs`.
//! Versions: 2 flexible.

use std::ops::RangeInclusive;

use kafka_protocol::messages::alter_configs_response::AlterConfigsResourceResponse;
use kafka_protocol::messages::{AlterConfigsRequest, AlterConfigsResponse};
use milena_coordinator::controller::Refusal;

use super::{Cx, Outcome};

pub const VERSIONS: RangeInclusive<i16> = 0..=2;

pub fn handle(cx: &Cx<'_>, request: AlterConfigsRequest) -> Outcome<AlterConfigsResponse> {
    let quorum = match cx.broker.quorum() {
        Ok(quorum) => quorum.clone(),
        Err(refusal) => return refuse(&request, &refusal).into(),
    };
    Outcome::later(async move {
        match quorum.alter_configs(request.clone()).await {
            Ok(responses) => AlterConfigsResponse::default().with_responses(responses),
            Err(refusal) => refuse(&request, &refusal),
        }
    })
}

/// The answer when the request as a whole is refused.
pub fn refuse(request: &AlterConfigsRequest, refusal: &Refusal) -> AlterConfigsResponse {
    let responses = request.resources.iter().map(|resource| {
        AlterConfigsResourceResponse::default()
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name.clone())
            .with_error_code(refusal.code.code())
            .with_error_message(refusal.wire_message())
    });
    AlterConfigsResponse::default().with_responses(responses.collect())
}
