//! Takes a frame through header, table, guard and decoder to its handler, and the answer back into a frame.
//!
//! The same for every API: must never hold behaviour of one, but for the rules about ApiVersions of KIP-511.

mod authentication;
mod faulty;
mod metered;
mod refusals;
mod run;
mod throttle_field;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;

use super::{
    API_VERSIONS, Answer, Ask, BoxFuture, Caller, Cx, METADATA, MessageError, Outcome, Row, api_versions, row,
};
use crate::net::frame::{Frame, FrameBuilder};
use crate::net::guard::{self, Header};
use crate::net::{Closing, Served, Service};
use crate::state::BrokerState;
use authentication::Admission;

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
        let (row, head, body, caller) = match self.begin(caller, frame)? {
            Begun::Served(served) => return Ok(served),
            Begun::Request { row, head, body, caller } => (row, head, body, caller),
        };
        let cx = self.cx(&caller, head.version);
        self.look_for_lost(row.key, &cx);
        if self.broker.faults.is_armed()
            && let Some(hit) = faulty::met(&cx, row, &body)
        {
            return faulty::carry_out(hit, &cx, row, head, body);
        }
        // One look while nobody has a quota.
        let quotas = cx.image.quotas().cloned();
        match quotas {
            None => row.start(&cx, head, body),
            Some(quotas) => metered::start(&quotas, cx, row, head, body, frame.len()),
        }
    }

    /// Everything before the handler that is the same whatever comes with the frame.
    fn begin(&self, caller: &Caller, frame: &Bytes) -> Result<Begun, Closing> {
        let principal = match &caller.sasl {
            None => None,
            Some(sasl) => match self.admit(caller, sasl, frame)? {
                Admission::Request(principal) => Some(principal),
                Admission::Served(served) => return Ok(Begun::Served(served)),
            },
        };
        let (row, header, body) = match open(frame)? {
            Opened::Request { row, .. } if !row.is_at(caller.endpoint) => {
                return Err(Closing::UnknownApi(row.key));
            }
            Opened::Request { row, header, body } => (row, header, body),
            Opened::TooNew(head) => {
                return frame_of(head, api_versions::unsupported_version(), 0)
                    .map(|answer| Begun::Served(Served::Now(answer)));
            }
        };
        // KIP-511: the answer to ApiVersions keeps header 0 for ever, for clients that do not know the version yet.
        let flexible = row.key != API_VERSIONS && row.shape.is_flexible(header.api_version);
        let head = Head { flexible, ..Head::of(row, &header) };
        self.broker.requests.note(caller.connection, row.key);
        let mut caller = Caller { client_id: header.client_id, ..caller.clone() };
        if let Some(principal) = principal {
            caller.principal = principal;
        }
        Ok(Begun::Request { row, head, body, caller })
    }

    /// One image and one time for the whole request.
    fn cx<'a>(&'a self, caller: &'a Caller, version: i16) -> Cx<'a> {
        Cx {
            version,
            image: self.broker.image.load_full(),
            caller,
            now: self.broker.clock.now(),
            broker: &self.broker,
            meter: None,
        }
    }

    /// Names a client that was told where to go and cannot get there.
    fn look_for_lost(&self, key: i16, cx: &Cx<'_>) {
        let diagnosis = &self.broker.diagnosis;
        let caller = cx.caller;
        let client = || (caller.host, caller.client_id.clone().unwrap_or_default());
        if key != METADATA {
            if key != API_VERSIONS && diagnosis.is_waiting() {
                diagnosis.asks_for_more(&client());
            }
            return;
        }
        let now = self.broker.clock.steady_ms();
        let Some(seconds) = diagnosis.asks_for_metadata(client(), caller.connection, now) else { return };
        let endpoint = cx.image.broker(self.broker.id).and_then(|broker| broker.endpoint(&caller.listener));
        let Some(endpoint) = endpoint else { return };
        let (listener, host, port) = (&caller.listener, &endpoint.host, endpoint.port);
        tracing::warn!(
            "client {:?} of {} has asked listener {listener} for metadata for {seconds} seconds, was told to go to {host}:{port}, and \
             asks for nothing else: that address is likely not reachable from there. Set advertised.listeners to one that is, as \
             {listener}://<host that {} can reach>:{port}",
            caller.client_id.as_deref().unwrap_or_default(),
            caller.host,
            caller.host,
        );
    }
}

/// Whether there is an answer of this API that only tells an error, for rules of tests.
#[must_use]
pub fn can_refuse(key: i16) -> bool {
    refusals::REFUSED.contains(&key)
}

/// Whether answers of this API tell a throttle time.
#[must_use]
pub fn can_throttle(key: i16) -> bool {
    throttle_field::is_known(key)
}

impl Service for Dispatch {
    fn serve(&self, caller: &Caller, frame: Bytes) -> Served {
        self.start(caller, &frame).unwrap_or_else(Served::Close)
    }

    fn goes_with_others(&self, frame: &[u8]) -> bool {
        self.is_for_run(frame)
    }

    fn serve_run(&self, caller: &Caller, frames: Vec<Bytes>) -> Vec<Served> {
        self.start_run(caller, frames)
    }

    fn uptime(&self) -> Duration {
        self.broker.clock.uptime()
    }
}

impl Row {
    fn start(&self, cx: &Cx<'_>, head: Head, body: Bytes) -> Result<Served, Closing> {
        // The state that handlers share is behind locks that do not poison; one request is lost, not the broker.
        catch_unwind(AssertUnwindSafe(|| (self.serve)(cx, head, body)))
            .map_err(|_| Closing::Panicked { api: head.api, version: head.version })
    }
}

/// A frame of a connection that has proved what it has to.
enum Begun {
    /// It is answered already.
    Served(Served),
    Request {
        row: &'static Row,
        head: Head,
        body: Bytes,
        /// With the client id of this request.
        caller: Caller,
    },
}

/// A frame after the guard.
enum Opened {
    Request {
        row: &'static Row,
        header: Header,
        body: Bytes,
    },
    /// ApiVersions of a version that is not served: only the header was read.
    TooNew(Head),
}

/// Everything up to the decoder: header, table, version, guard.
fn open(frame: &Bytes) -> Result<Opened, Closing> {
    let (key, version) = guard::api(frame)?;
    let row = row(key).ok_or(Closing::UnknownApi(key))?;
    let (header, body_at) = guard::header(row.shape, frame)?;
    if !row.versions.contains(&version) {
        // KIP-511: a client that is too new asks again with what it learns; everybody else is cut off.
        if key == API_VERSIONS {
            return Ok(Opened::TooNew(Head::of(row, &header)));
        }
        return Err(Closing::Version { api: row.name, version });
    }
    let body = frame.slice(body_at..);
    guard::body(row.shape, version, &body).map_err(|flaw| malformed(row.name, version, &flaw))?;
    Ok(Opened::Request { row, header, body })
}

/// What happens to a frame before its handler; for tests with hostile frames.
pub fn probe(frame: &Bytes) -> Result<(), Closing> {
    match open(frame)? {
        Opened::TooNew(_) => Ok(()),
        Opened::Request { row, header, body } => {
            let version = header.api_version;
            (row.decode)(body, version).map_err(|error| malformed(row.name, version, &error))
        }
    }
}

/// What the answer to a request needs to know of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    api: &'static str,
    version: i16,
    correlation_id: i32,
    flexible: bool,
}

impl Head {
    fn of(row: &Row, header: &Header) -> Self {
        Self {
            api: row.name,
            version: header.api_version,
            correlation_id: header.correlation_id,
            flexible: false,
        }
    }
}

fn malformed(api: &'static str, version: i16, reason: &impl std::fmt::Display) -> Closing {
    Closing::Malformed { api, version, reason: reason.to_string() }
}

/// Decodes, handles, encodes: the same for every API.
pub(super) fn answer<Q: Ask, R: Answer + 'static>(
    cx: &Cx<'_>,
    head: Head,
    body: Bytes,
    handle: impl FnOnce(&Cx<'_>, Q) -> Outcome<R>,
) -> Served {
    let request = match Q::decode(body, head.version) {
        Ok(request) => request,
        Err(error) => return Served::Close(malformed(head.api, head.version, &error)),
    };
    served(head, handle(cx, request))
}

/// What a connection does about an outcome.
fn served<R: Answer + 'static>(head: Head, outcome: Outcome<R>) -> Served {
    match outcome {
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

#[cfg(test)]
mod tests;
