//! DescribeGroups: 15, v0–6. Members, state and assignment of classic groups.
//!
//! Versions: 3 authorized operations (KIP-430), 4 static members (KIP-345), 5 flexible, 6 an unknown group is an error
//! (KIP-1043); before that it is a group in state Dead.

use std::ops::RangeInclusive;

use kafka_protocol::messages::describe_groups_response::DescribedGroup;
use kafka_protocol::messages::{DescribeGroupsRequest, DescribeGroupsResponse};
use milena_coordinator::group::{Reply, Request};

use super::{Cx, Outcome, operations};
use crate::shard::{Question, gather};

pub const VERSIONS: RangeInclusive<i16> = 0..=6;

pub fn handle(cx: &Cx<'_>, request: DescribeGroupsRequest) -> Outcome<DescribeGroupsResponse> {
    let asks_operations = cx.version >= 3 && request.include_authorized_operations;
    let asked = request.groups.iter().map(|group| {
        let ask = Request::Describe { groups: vec![group.to_string()] };
        cx.broker.shards.ask(cx, group, Question::new(cx, ask))
    });
    gather(asked.collect(), move |replies| {
        let groups = replies.into_iter().flat_map(described).map(|group| {
            let known = group.error_code == 0;
            if asks_operations && known { group.with_authorized_operations(operations::GROUP) } else { group }
        });
        DescribeGroupsResponse::default().with_groups(groups.collect())
    })
}

fn described(reply: Reply) -> Vec<DescribedGroup> {
    if let Reply::Describe(groups) = reply { groups } else { Vec::new() }
}
