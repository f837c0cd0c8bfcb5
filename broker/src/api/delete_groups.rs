//! DeleteGroups: 42, v0–2. Empty groups go, with their offsets.
//!
//! Versions: 2 flexible. 68 for a group with members, 69 for an unknown one; a group named twice is answered once.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::{DeleteGroupsRequest, DeleteGroupsResponse};
use milena_coordinator::group::{Reply, Request};

use super::{Cx, Outcome};
use crate::shard::{Question, gather};

pub const VERSIONS: RangeInclusive<i16> = 0..=2;

pub fn handle(cx: &Cx<'_>, request: DeleteGroupsRequest) -> Outcome<DeleteGroupsResponse> {
    let mut seen = BTreeSet::new();
    let distinct = request.groups_names.iter().filter(|group| seen.insert(group.as_str()));
    let asked = distinct.map(|group| {
        let ask = Request::Delete { groups: vec![group.to_string()] };
        cx.broker.shards.ask(cx, group, Question::new(cx, ask))
    });
    gather(asked.collect(), |replies| {
        DeleteGroupsResponse::default().with_results(replies.into_iter().flat_map(deleted).collect())
    })
}

fn deleted(reply: Reply) -> Vec<DeletableGroupResult> {
    if let Reply::Delete(results) = reply { results } else { Vec::new() }
}
