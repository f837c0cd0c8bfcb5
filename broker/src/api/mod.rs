//! The one table of APIs, and the dispatch that derives from it.
//!
//! Adding an API is one file and one row. Must never hold behaviour of a particular API.

pub mod api_versions;
pub mod context;
pub mod delete_records;
pub mod describe_producers;
mod dispatch;
pub mod fetch;
pub mod get_telemetry_subscriptions;
pub mod init_producer_id;
pub mod list_offsets;
pub mod message;
pub mod offset_for_leader_epoch;
pub mod produce;
pub mod push_telemetry;
#[cfg(test)]
pub(crate) mod testing;

use std::ops::RangeInclusive;

use bytes::Bytes;
use kafka_protocol::messages::*;

pub use context::{BoxFuture, Caller, Cx, Outcome, Principal, Software};
pub use dispatch::{Dispatch, probe};
pub use message::{Answer, Ask, Encoded, MessageError};

use crate::codec::fetch_response::FetchAnswer;
use crate::net::Served;
use crate::net::guard::{self, Shape};
use dispatch::Head;

/// One API that is served.
#[derive(Debug)]
pub struct Row {
    pub key: i16,
    pub name: &'static str,
    pub versions: RangeInclusive<i16>,
    /// Served, but left out of ApiVersions (telemetry without a plugin).
    pub hidden: bool,
    shape: &'static Shape,
    decode: fn(Bytes, i16) -> Result<(), MessageError>,
    serve: fn(&Cx<'_>, Head, Bytes) -> Served,
}

/// `row!(key, "Name", module, XRequest, XResponse)`, with `, hidden` where ApiVersions leaves it out.
macro_rules! row {
    ($key:literal, $name:literal, $module:ident, $request:ty, $response:ty) => {
        row!(@row $key, $name, $module, $request, $response, false)
    };
    ($key:literal, $name:literal, $module:ident, $request:ty, $response:ty, hidden) => {
        row!(@row $key, $name, $module, $request, $response, true)
    };
    (@row $key:literal, $name:literal, $module:ident, $request:ty, $response:ty, $hidden:literal) => {
        Row {
            key: $key,
            name: $name,
            versions: $module::VERSIONS,
            hidden: $hidden,
            shape: const { guard::shape($key) },
            decode: |body, version| <$request>::decode(body, version).map(drop),
            serve: |cx, head, body| dispatch::answer::<$request, $response>(cx, head, body, $module::handle),
        }
    };
}

/// Key of the API that tells a client what it may ask.
const API_VERSIONS: i16 = 18;

/// Every API that is served, by key.
pub static TABLE: &[Row] = &[
    row!(0, "Produce", produce, ProduceRequest, ProduceResponse),
    row!(1, "Fetch", fetch, FetchRequest, FetchAnswer),
    row!(2, "ListOffsets", list_offsets, list_offsets::Asked, list_offsets::Told),
    row!(18, "ApiVersions", api_versions, ApiVersionsRequest, Encoded),
    row!(21, "DeleteRecords", delete_records, DeleteRecordsRequest, DeleteRecordsResponse),
    row!(22, "InitProducerId", init_producer_id, InitProducerIdRequest, InitProducerIdResponse),
    row!(
        23,
        "OffsetForLeaderEpoch",
        offset_for_leader_epoch,
        OffsetForLeaderEpochRequest,
        OffsetForLeaderEpochResponse
    ),
    row!(61, "DescribeProducers", describe_producers, DescribeProducersRequest, DescribeProducersResponse),
    row!(
        71,
        "GetTelemetrySubscriptions",
        get_telemetry_subscriptions,
        GetTelemetrySubscriptionsRequest,
        GetTelemetrySubscriptionsResponse,
        hidden
    ),
    row!(72, "PushTelemetry", push_telemetry, PushTelemetryRequest, PushTelemetryResponse, hidden),
];

/// The row of an API key.
#[must_use]
pub fn row(key: i16) -> Option<&'static Row> {
    TABLE.iter().find(|row| row.key == key)
}
