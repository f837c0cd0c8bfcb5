//! CreateTopics: 19, v2–7. Topics with placed or given replicas and configs.
//!
//! Behaviour: each topic succeeds or fails alone; names that occur twice are answered once, after the others. The
//! answer comes when this broker is ready to take records for the topics. Decisions: `controller::create_topics`.
//! Versions: 4 defaults for partitions and replicas (−1), 5 flexible, with the effective configs (KIP-525), 7 topic ids.

use std::ops::RangeInclusive;

use kafka_protocol::messages::create_topics_response::CreatableTopicResult;
use kafka_protocol::messages::{CreateTopicsRequest, CreateTopicsResponse};
use milena_coordinator::controller::Refusal;

use super::{Cx, Outcome};

pub const VERSIONS: RangeInclusive<i16> = 2..=7;

/// From here on clients know THROTTLING_QUOTA_EXCEEDED (KIP-599).
const STRICT: i16 = 6;

pub fn handle(cx: &Cx<'_>, request: CreateTopicsRequest) -> Outcome<CreateTopicsResponse> {
    if request.topics.is_empty() {
        return CreateTopicsResponse::default().into();
    }
    let payer = cx.payer(STRICT);
    let quorum = match cx.broker.quorum() {
        Ok(quorum) => quorum.charged_to(payer.as_ref()),
        Err(refusal) => return refuse(&request, &refusal).into(),
    };
    Outcome::later(async move {
        match quorum.create_topics(request.clone()).await {
            Ok(topics) => CreateTopicsResponse::default()
                .with_topics(topics)
                .with_throttle_time_ms(payer.map_or(0, |payer| payer.wait_ms())),
            Err(refusal) => refuse(&request, &refusal),
        }
    })
}

/// The answer when the request as a whole is refused.
pub fn refuse(request: &CreateTopicsRequest, refusal: &Refusal) -> CreateTopicsResponse {
    let topics = request.topics.iter().map(|topic| {
        CreatableTopicResult::default()
            .with_name(topic.name.clone())
            .with_error_code(refusal.code.code())
            .with_error_message(refusal.wire_message())
    });
    CreateTopicsResponse::default().with_topics(topics.collect())
}
