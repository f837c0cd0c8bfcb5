//! IncrementalAlterConfigs: 44, v0–1. Sets, deletes, appends to and subtracts from single configs (KIP-339).
//!
//! Behaviour: one refused key refuses its resource; a broker's own configs are taken by that broker only. Decisions:
//! `controller::incremental_alter_configs`.
//! Versions: 1 flexible.

use std::ops::RangeInclusive;

use kafka_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse;
use kafka_protocol::messages::{IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse};
use milena_coordinator::controller::Refusal;

use super::{Cx, Outcome};

pub const VERSIONS: RangeInclusive<i16> = 0..=1;

pub fn handle(
    cx: &Cx<'_>,
    request: IncrementalAlterConfigsRequest,
) -> Outcome<IncrementalAlterConfigsResponse> {
    let quorum = match cx.broker.quorum() {
        Ok(quorum) => quorum.clone(),
        Err(refusal) => return refuse(&request, &refusal).into(),
    };
    Outcome::later(async move {
        match quorum.incremental_alter_configs(request.clone()).await {
            Ok(responses) => IncrementalAlterConfigsResponse::default().with_responses(responses),
            Err(refusal) => refuse(&request, &refusal),
        }
    })
}

/// The answer when the request as a whole is refused.
pub fn refuse(
    request: &IncrementalAlterConfigsRequest,
    refusal: &Refusal,
) -> IncrementalAlterConfigsResponse {
    let responses = request.resources.iter().map(|resource| {
        AlterConfigsResourceResponse::default()
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name.clone())
            .with_error_code(refusal.code.code())
            .with_error_message(refusal.wire_message())
    });
    IncrementalAlterConfigsResponse::default().with_responses(responses.collect())
}
