//! CreatePartitions: 37, v0–3. More partitions for topics that exist (KIP-195).
//!
//! Behaviour: the count is that of all partitions, old ones included. Decisions: `controller::create_partitions`.
//! Versions: 2 flexible.

use std::ops::RangeInclusive;

use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::{CreatePartitionsRequest, CreatePartitionsResponse};
use milena_coordinator::controller::Refusal;

use super::{Cx, Outcome};

pub const VERSIONS: RangeInclusive<i16> = 0..=3;

/// From here on clients know THROTTLING_QUOTA_EXCEEDED (KIP-599).
const STRICT: i16 = 3;

pub fn handle(cx: &Cx<'_>, request: CreatePartitionsRequest) -> Outcome<CreatePartitionsResponse> {
    let payer = cx.payer(STRICT);
    let quorum = match cx.broker.quorum() {
        Ok(quorum) => quorum.charged_to(payer.as_ref()),
        Err(refusal) => return refuse(&request, &refusal).into(),
    };
    Outcome::later(async move {
        match quorum.create_partitions(request.clone()).await {
            Ok(results) => CreatePartitionsResponse::default()
                .with_results(results)
                .with_throttle_time_ms(payer.map_or(0, |payer| payer.wait_ms())),
            Err(refusal) => refuse(&request, &refusal),
        }
    })
}

/// The answer when the request as a whole is refused.
pub fn refuse(request: &CreatePartitionsRequest, refusal: &Refusal) -> CreatePartitionsResponse {
    let results = request.topics.iter().map(|topic| {
        CreatePartitionsTopicResult::default()
            .with_name(topic.name.clone())
            .with_error_code(refusal.code.code())
            .with_error_message(refusal.wire_message())
    });
    CreatePartitionsResponse::default().with_results(results.collect())
}
