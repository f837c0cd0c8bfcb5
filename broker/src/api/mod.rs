//! The one table of APIs, and the dispatch that derives from it.
//!
//! Adding an API is one file and one row. Must never hold behaviour of a particular API.

pub mod api_versions;
pub mod context;
pub mod delete_records;
pub mod describe_producers;
pub mod fetch;
pub mod list_offsets;
pub mod message;
pub mod offset_for_leader_epoch;
pub mod produce;

use std::ops::RangeInclusive;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::*;

pub use context::{BoxFuture, Caller, Cx, Outcome, Principal, Software};
pub use message::{Answer, Ask, Encoded, MessageError};

use crate::codec::fetch_response::FetchAnswer;
use crate::net::frame::{Frame, FrameBuilder};
use crate::net::guard::{self, Shape};
use crate::net::{Closing, Served, Service};
use crate::state::BrokerState;

/// One API that is served.
#[derive(Debug)]
pub struct Row {
    pub key: i16,
    pub name: &'static str,
    pub versions: RangeInclusive<i16>,
    /// Served, but left out of ApiVersions (telemetry without a plugin).
    pub hidden: bool,
    shape: &'static Shape,
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
            serve: |cx, head, body| answer::<$request, $response>(cx, head, body, $module::handle),
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
    row!(
        23,
        "OffsetForLeaderEpoch",
        offset_for_leader_epoch,
        OffsetForLeaderEpochRequest,
        OffsetForLeaderEpochResponse
    ),
    row!(61, "DescribeProducers", describe_producers, DescribeProducersRequest, DescribeProducersResponse),
];

/// The row of an API key.
#[must_use]
pub fn row(key: i16) -> Option<&'static Row> {
    TABLE.iter().find(|row| row.key == key)
}

/// Takes frames from connections to handlers.
#[derive(Debug)]
pub struct Dispatch {
    broker: Arc<BrokerState>,
}

impl Dispatch {
    #[must_use]
    pub fn new(broker: Arc<BrokerState>) -> Self {
        Self { broker }
    }

    fn start(&self, caller: &Caller, frame: &Bytes) -> Result<Served, Closing> {
        let (key, version) = guard::api(frame)?;
        let row = row(key).ok_or(Closing::UnknownApi(key))?;
        let (header, body_at) = guard::header(row.shape, frame)?;
        let head = Head { api: row.name, version, correlation_id: header.correlation_id, flexible: false };
        if !row.versions.contains(&version) {
            // KIP-511: a client that is too new asks again with what it learns; everybody else is cut off.
            if key == API_VERSIONS {
                return frame_of(head, api_versions::unsupported_version(), 0).map(Served::Now);
            }
            return Err(Closing::Version { api: row.name, version });
        }
        let body = frame.slice(body_at..);
        guard::body(row.shape, version, &body).map_err(|flaw| malformed(row.name, version, &flaw))?;
        // KIP-511: the answer to ApiVersions keeps header 0 for ever, for clients that do not know the version yet.
        let flexible = key != API_VERSIONS && row.shape.is_flexible(version);
        let head = Head { flexible, ..head };
        let caller = Caller { client_id: header.client_id, ..caller.clone() };
        let cx = Cx {
            version,
            image: self.broker.image.load_full(),
            caller: &caller,
            now: self.broker.clock.now(),
            broker: &self.broker,
        };
        // The state that a handler shares is behind locks that do not poison; one request is lost, not the broker.
        catch_unwind(AssertUnwindSafe(|| (row.serve)(&cx, head, body)))
            .map_err(|_| Closing::Panicked { api: row.name, version })
    }
}

impl Service for Dispatch {
    fn serve(&self, caller: &Caller, frame: Bytes) -> Served {
        self.start(caller, &frame).unwrap_or_else(Served::Close)
    }

    fn uptime(&self) -> Duration {
        self.broker.clock.uptime()
    }
}

/// What the answer to a request needs to know of it.
#[derive(Clone, Copy, Debug)]
struct Head {
    api: &'static str,
    version: i16,
    correlation_id: i32,
    flexible: bool,
}

fn malformed(api: &'static str, version: i16, reason: &impl std::fmt::Display) -> Closing {
    Closing::Malformed { api, version, reason: reason.to_string() }
}

/// Decodes, handles, encodes: the same for every API.
fn answer<Q: Ask, R: Answer + 'static>(
    cx: &Cx<'_>,
    head: Head,
    body: Bytes,
    handle: impl FnOnce(&Cx<'_>, Q) -> Outcome<R>,
) -> Served {
    let request = match Q::decode(body, head.version) {
        Ok(request) => request,
        Err(error) => return Served::Close(malformed(head.api, head.version, &error)),
    };
    match handle(cx, request) {
        Outcome::Now(answer) => frame_of(head, answer, head.version).map_or_else(Served::Close, Served::Now),
        Outcome::Later(future) => {
            let panicked = Closing::Panicked { api: head.api, version: head.version };
            Served::Later(Box::pin(async move {
                let answer = Unpanicked(future).await.map_err(|()| panicked)?;
                frame_of(head, answer, head.version)
            }))
        }
        Outcome::Nothing => Served::Nothing,
        Outcome::Close => Served::Close(Closing::Asked),
    }
}

fn frame_of<R: Answer>(head: Head, answer: R, version: i16) -> Result<Frame, Closing> {
    let mut out = FrameBuilder::new(head.correlation_id, head.flexible, answer.size_hint(version));
    match answer.encode(version, &mut out) {
        Ok(()) => out.finish().ok_or_else(|| unencodable(head, "longer than two gigabytes".to_owned())),
        Err(MessageError(reason)) => Err(unencodable(head, reason)),
    }
}

fn unencodable(head: Head, reason: String) -> Closing {
    Closing::Unencodable { api: head.api, version: head.version, reason }
}

/// A future whose panic ends it instead of its connection's thread.
struct Unpanicked<R>(BoxFuture<R>);

impl<R> Future for Unpanicked<R> {
    type Output = Result<R, ()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        catch_unwind(AssertUnwindSafe(|| self.0.as_mut().poll(cx)))
            .map_or(Poll::Ready(Err(())), |polled| polled.map(Ok))
    }
}
