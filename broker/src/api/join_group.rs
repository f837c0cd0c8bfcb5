//! JoinGroup: 11, v0–9. A member comes (back) to its group and waits for the others.
//!
//! Versions: 1 rebalance time-out, 4 member id required (KIP-394), 5 static members (KIP-345), 6 flexible, 7 protocol
//! type (KIP-559), 8 reason (KIP-800), 9 skip assignment (KIP-814). The answer may take as long as the slowest member's
//! rebalance time-out. Every decision is the group machine's.

use std::ops::RangeInclusive;

use kafka_protocol::messages::{JoinGroupRequest, JoinGroupResponse};
use milena_coordinator::group::Request;

use super::{Cx, Outcome};
use crate::shard::Question;

pub const VERSIONS: RangeInclusive<i16> = 0..=9;

pub fn handle(cx: &Cx<'_>, request: JoinGroupRequest) -> Outcome<JoinGroupResponse> {
    let group = request.group_id.clone();
    cx.broker.shards.ask(cx, &group, Question::new(cx, Request::Join(request))).answer()
}
