//! SyncGroup: 14, v0–5. The leader brings the assignment, everybody fetches their part.
//!
//! Versions: 3 static members (KIP-345), 4 flexible, 5 protocol type and name (KIP-559). A follower waits for the leader.
//! Every decision is the group machine's.

use std::ops::RangeInclusive;

use kafka_protocol::messages::{SyncGroupRequest, SyncGroupResponse};
use milena_coordinator::group::Request;

use super::{Cx, Outcome};
use crate::shard::Question;

pub const VERSIONS: RangeInclusive<i16> = 0..=5;

pub fn handle(cx: &Cx<'_>, request: SyncGroupRequest) -> Outcome<SyncGroupResponse> {
    let group = request.group_id.clone();
    cx.broker.shards.ask(cx, &group, Question::new(cx, Request::Sync(request))).answer()
}
