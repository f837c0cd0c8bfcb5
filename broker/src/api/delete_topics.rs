//! DeleteTopics: 20, v1–6. By name, from v6 also by id.
//!
//! Behaviour: `delete.topic.enable=false` refuses the request (TOPIC_DELETION_DISABLED, INVALID_REQUEST before v3).
//! Decisions: `controller::delete_topics`.
//! Versions: 4 flexible, 5 error messages, 6 topic ids.

use std::ops::RangeInclusive;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::{DeleteTopicsRequest, DeleteTopicsResponse};

use super::{Cx, Outcome};

pub const VERSIONS: RangeInclusive<i16> = 1..=6;

/// From here on clients know THROTTLING_QUOTA_EXCEEDED (KIP-599).
const STRICT: i16 = 5;

pub fn handle(cx: &Cx<'_>, request: DeleteTopicsRequest) -> Outcome<DeleteTopicsResponse> {
    if !cx.broker.settings.load().topic_defaults().deletable {
        let code =
            if cx.version < 3 { ResponseError::InvalidRequest } else { ResponseError::TopicDeletionDisabled };
        return refuse(&request, code).into();
    }
    let payer = cx.payer(STRICT);
    let quorum = match cx.broker.quorum() {
        Ok(quorum) => quorum.charged_to(payer.as_ref()),
        Err(refusal) => return refuse(&request, refusal.code).into(),
    };
    Outcome::later(async move {
        match quorum.delete_topics(request.clone()).await {
            Ok(responses) => DeleteTopicsResponse::default()
                .with_responses(responses)
                .with_throttle_time_ms(payer.map_or(0, |payer| payer.wait_ms())),
            Err(refusal) => refuse(&request, refusal.code),
        }
    })
}

/// The answer when the request as a whole is refused.
pub fn refuse(request: &DeleteTopicsRequest, code: ResponseError) -> DeleteTopicsResponse {
    let result = || DeletableTopicResult::default().with_error_code(code.code());
    let by_name = request.topic_names.iter().map(|name| result().with_name(Some(name.clone())));
    let by_state = request
        .topics
        .iter()
        .map(|topic| result().with_name(topic.name.clone()).with_topic_id(topic.topic_id));
    DeleteTopicsResponse::default().with_responses(by_name.chain(by_state).collect())
}
