//! ConsumerGroupDescribe: 69, v0–1. Members, epochs and assignments of consumer groups (KIP-848).
//!
//! Versions: 1 the protocol that each member speaks. A group of another kind is not found (69), one without an id is
//! invalid (24). UNSUPPORTED_VERSION as for ConsumerGroupHeartbeat.

use std::ops::RangeInclusive;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::consumer_group_describe_response::DescribedGroup;
use kafka_protocol::messages::{ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, GroupId};
use milena_coordinator::group::{Reply, Request};

use super::{Cx, Outcome, operations};
use crate::shard::{Asked, Question, gather};

pub const VERSIONS: RangeInclusive<i16> = 0..=1;

pub fn handle(cx: &Cx<'_>, request: ConsumerGroupDescribeRequest) -> Outcome<ConsumerGroupDescribeResponse> {
    if !cx.broker.shards.serves_consumer_protocol(&cx.image) {
        return Outcome::Now(refuse(&request, ResponseError::UnsupportedVersion.code()));
    }
    let asks_operations = request.include_authorized_operations;
    let asked = request.group_ids.iter().map(|group| {
        if group.is_empty() {
            return Asked::Now(Reply::DescribeConsumer(vec![refused(
                group,
                ResponseError::InvalidGroupId.code(),
            )]));
        }
        let ask = Request::DescribeConsumer { groups: vec![group.to_string()] };
        cx.broker.shards.ask(cx, group, Question::new(cx, ask))
    });
    gather(asked.collect(), move |replies| {
        let groups = replies.into_iter().flat_map(described).map(|group| {
            let known = group.error_code == 0;
            if asks_operations && known { group.with_authorized_operations(operations::GROUP) } else { group }
        });
        ConsumerGroupDescribeResponse::default().with_groups(groups.collect())
    })
}

pub fn refuse(request: &ConsumerGroupDescribeRequest, code: i16) -> ConsumerGroupDescribeResponse {
    let groups = request.group_ids.iter().map(|group| refused(group, code));
    ConsumerGroupDescribeResponse::default().with_groups(groups.collect())
}

fn refused(group: &GroupId, code: i16) -> DescribedGroup {
    DescribedGroup::default().with_group_id(group.clone()).with_error_code(code)
}

fn described(reply: Reply) -> Vec<DescribedGroup> {
    if let Reply::DescribeConsumer(groups) = reply { groups } else { Vec::new() }
}
