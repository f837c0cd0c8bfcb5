//! LeaveGroup: 13, v0–5. Members go.
//!
//! Versions: 3 several members with results of their own (KIP-345), 4 flexible, 5 reason (KIP-800). Every decision is
//! the group machine's.

use std::ops::RangeInclusive;

use kafka_protocol::messages::{LeaveGroupRequest, LeaveGroupResponse};
use milena_coordinator::group::Request;

use super::{Cx, Outcome};
use crate::shard::Question;

pub const VERSIONS: RangeInclusive<i16> = 0..=5;

pub fn handle(cx: &Cx<'_>, request: LeaveGroupRequest) -> Outcome<LeaveGroupResponse> {
    let group = request.group_id.clone();
    cx.broker.shards.ask(cx, &group, Question::new(cx, Request::Leave(request))).answer()
}
