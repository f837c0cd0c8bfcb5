//! ConsumerGroupHeartbeat: 68, v0–1. A member of a consumer group joins, lives, and learns what it should have (KIP-848).
//!
//! Versions: 1 subscriptions by pattern, and member ids that the client makes (KIP-1082). UNSUPPORTED_VERSION while the
//! cluster's `group.version` is 0 or the broker does not serve the protocol. Every decision is the group machine's.

use std::ops::RangeInclusive;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};
use milena_coordinator::group::Request;

use super::{Cx, Outcome};
use crate::shard::Question;

pub const VERSIONS: RangeInclusive<i16> = 0..=1;

pub fn handle(
    cx: &Cx<'_>,
    request: ConsumerGroupHeartbeatRequest,
) -> Outcome<ConsumerGroupHeartbeatResponse> {
    if !cx.broker.shards.serves_consumer_protocol(&cx.image) {
        return Outcome::Now(refuse(&request, ResponseError::UnsupportedVersion.code()));
    }
    let group = request.group_id.clone();
    cx.broker.shards.ask(cx, &group, Question::new(cx, Request::ConsumerHeartbeat(request))).answer()
}

pub fn refuse(_request: &ConsumerGroupHeartbeatRequest, code: i16) -> ConsumerGroupHeartbeatResponse {
    ConsumerGroupHeartbeatResponse::default().with_error_code(code)
}
