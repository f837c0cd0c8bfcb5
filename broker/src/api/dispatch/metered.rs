//! Measures requests while clients have quotas, has answers tell how long to wait, and connections wait (KIP-219).
//!
//! Must never be on the way of a request while nobody has a quota.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use milena_coordinator::image::ClientQuotas;
use smallvec::SmallVec;

use super::{Head, throttle_field};
use crate::api::{BoxFuture, Cx, PRODUCE, Row};
use crate::net::frame::Frame;
use crate::net::{Closing, Served};
use crate::quotas::meter::{Meter, milliseconds};
use crate::quotas::usage::Client;
use crate::state::BrokerState;

/// What only brokers ask of each other.
const BETWEEN_BROKERS: &[i16] = &[27];

/// One request on its way.
struct Ticket {
    broker: Arc<BrokerState>,
    meter: Arc<Meter>,
    key: i16,
    head: Head,
    /// Bytes of the request.
    bytes: usize,
}

/// Starts a request whose client may have quotas.
pub(super) fn start(
    quotas: &Arc<ClientQuotas>,
    mut cx: Cx<'_>,
    row: &Row,
    head: Head,
    body: Bytes,
    bytes: usize,
) -> Result<Served, Closing> {
    let client = Client { user: Arc::clone(&cx.caller.principal.name), id: cx.caller.client_id.clone() };
    let usage = Arc::clone(&cx.broker.usage);
    let meter = Arc::new(Meter::new(usage, Arc::clone(quotas), client));
    if BETWEEN_BROKERS.contains(&row.key) {
        meter.exempt();
    }
    cx.meter = Some(Arc::clone(&meter));
    let ticket = Ticket { broker: Arc::clone(cx.broker), meter, key: row.key, head, bytes };
    let began = ticket.now();
    let served = row.start(&cx, head, body)?;
    ticket.spend(began);
    Ok(match served {
        Served::Now(frame) => Served::Now(ticket.settle(frame)),
        Served::Later(answer) => Served::Later(Box::pin(Timed { answer, ticket })),
        Served::Nothing => ticket.settle_nothing(),
        other => other,
    })
}

impl Ticket {
    fn now(&self) -> Duration {
        self.broker.clock.uptime()
    }

    fn spend(&self, began: Duration) {
        self.meter.spend(self.now().saturating_sub(began));
    }

    /// The answer as its client gets it. What its handler has told already holds if it is longer.
    fn settle(&self, mut frame: Frame) -> Frame {
        let now = self.now();
        // A fetch has decided with its bytes in hand.
        let of_bytes =
            if self.key == PRODUCE { self.meter.of_produced(self.bytes, now) } else { Duration::ZERO };
        let pause = of_bytes.max(self.meter.of_time(now));
        let told = throttle_field::read(&mut frame, self.key, self.head);
        frame.pause_ms = milliseconds(pause).max(told);
        if frame.pause_ms > told {
            let ms = i32::try_from(frame.pause_ms).unwrap_or(i32::MAX);
            throttle_field::write(&mut frame, self.key, self.head, ms);
        }
        frame
    }

    /// Produce without an answer: bytes count, time does not.
    fn settle_nothing(&self) -> Served {
        match milliseconds(self.meter.of_produced(self.bytes, self.now())) {
            0 => Served::Nothing,
            pause_ms => Served::Now(Frame { chunks: SmallVec::new(), len: 0, pause_ms }),
        }
    }
}

/// An answer that is waited for; only the time in which it is worked on counts.
struct Timed {
    answer: BoxFuture<Result<Frame, Closing>>,
    ticket: Ticket,
}

impl Future for Timed {
    type Output = Result<Frame, Closing>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let began = self.ticket.now();
        let polled = self.answer.as_mut().poll(cx);
        self.ticket.spend(began);
        polled.map(|answer| answer.map(|frame| self.ticket.settle(frame)))
    }
}
