//! ListGroups: 16, v0–5. The groups that this broker coordinates.
//!
//! Versions: 3 flexible, 4 state filter and states (KIP-518), 5 type filter and types (KIP-848). Filters do not regard
//! case. While one partition of the internal topic is loading, the whole answer is error 14.

use std::ops::RangeInclusive;

use kafka_protocol::messages::{ListGroupsRequest, ListGroupsResponse};
use kafka_protocol::protocol::StrBytes;

use super::{Cx, Outcome};

pub const VERSIONS: RangeInclusive<i16> = 0..=5;

pub fn handle(cx: &Cx<'_>, request: ListGroupsRequest) -> Outcome<ListGroupsResponse> {
    let texts = |filter: &[StrBytes]| filter.iter().map(ToString::to_string).collect::<Vec<_>>();
    cx.broker.shards.list(cx, &texts(&request.states_filter), &texts(&request.types_filter))
}
