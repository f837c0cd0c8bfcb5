//! Heartbeat: 12, v0–4. A member lives, and learns whether it has to join again.
//!
//! Versions: 3 static members (KIP-345), 4 flexible. While the coordinator loads the answer is 0, as in Kafka. Every
//! decision is the group machine's.

use std::ops::RangeInclusive;

use kafka_protocol::messages::{HeartbeatRequest, HeartbeatResponse};
use milena_coordinator::group::Request;

use super::{Cx, Outcome};
use crate::shard::Question;

pub const VERSIONS: RangeInclusive<i16> = 0..=4;

pub fn handle(cx: &Cx<'_>, request: HeartbeatRequest) -> Outcome<HeartbeatResponse> {
    let group = request.group_id.clone();
    cx.broker.shards.ask(cx, &group, Question::new(cx, Request::Heartbeat(request))).answer()
}
