//! The requests of one connection that are started and not yet answered, in the order of arrival.
//!
//! Must never let an answer overtake another, nor grow without bound.

use std::collections::VecDeque;
use std::task::{Context, Poll};
use std::time::Duration;

use smallvec::SmallVec;

use super::frame::Frame;
use super::limits::Reservation;
use super::outbox::Outbox;
use super::{Closing, Served};
use crate::api::context::BoxFuture;

/// Requests that may wait at a time; clients keep 1 to 5 in flight, pipelining tools some dozens.
pub(super) const MAX_WAITING: usize = 128;
/// Bytes of requests that wait and of answers behind them.
pub(super) const MAX_WAITING_BYTES: usize = 16 << 20;

/// Ordered answers: ready ones behind the first that is not.
#[derive(Default)]
pub(super) struct Window {
    slots: VecDeque<Slot>,
    bytes: usize,
}

struct Slot {
    state: State,
    /// What this slot counts for in `bytes`.
    bytes: usize,
    _memory: Reservation,
}

enum State {
    Waiting(BoxFuture<Result<Frame, Closing>>),
    Ready(Frame),
}

impl Window {
    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Whether one more request may be started, besides so many that are not yet here.
    pub(super) fn has_room(&self, besides: usize) -> bool {
        self.slots.len() + besides < MAX_WAITING && self.bytes < MAX_WAITING_BYTES
    }

    /// Takes up what became of a request of `bytes` bytes, straight to the socket when nothing is before it.
    pub(super) fn push(
        &mut self,
        served: Served,
        bytes: usize,
        memory: Reservation,
        out: &mut Outbox,
    ) -> Result<(), Closing> {
        let (state, bytes) = match served {
            Served::Now(frame) if self.slots.is_empty() => {
                out.push(frame);
                return Ok(());
            }
            Served::Now(frame) => {
                let len = frame.len;
                (State::Ready(frame), len)
            }
            Served::Later(future) => (State::Waiting(future), bytes),
            Served::Nothing => return Ok(()),
            Served::Close(closing) => return Err(closing),
            Served::Last(last) => {
                self.slots.push_back(Slot {
                    state: State::Waiting(late(last.frame, last.after)),
                    bytes: 0,
                    _memory: None,
                });
                return Err(last.why);
            }
        };
        self.bytes += bytes;
        self.slots.push_back(Slot { state, bytes, _memory: memory });
        Ok(())
    }

    /// Lets waiting requests go on; ready when the first answer is there to be collected.
    ///
    /// A request that fails takes those behind it with it, for they cannot be answered in order any more.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Closing>> {
        for index in 0..self.slots.len() {
            let slot = &mut self.slots[index];
            let State::Waiting(future) = &mut slot.state else { continue };
            match future.as_mut().poll(cx) {
                Poll::Pending => {}
                Poll::Ready(Ok(frame)) => {
                    self.bytes = self.bytes - slot.bytes + frame.len;
                    slot.bytes = frame.len;
                    slot.state = State::Ready(frame);
                }
                Poll::Ready(Err(closing)) => {
                    self.bytes -= self.slots.drain(index..).map(|slot| slot.bytes).sum::<usize>();
                    return Poll::Ready(Err(closing));
                }
            }
        }
        match self.slots.front() {
            Some(Slot { state: State::Ready(_), .. }) => Poll::Ready(Ok(())),
            _ => Poll::Pending,
        }
    }

    /// Moves the answers that are next in order to the socket's queue.
    pub(super) fn collect(&mut self, out: &mut Outbox) {
        while let Some(Slot { state: State::Ready(_), .. }) = self.slots.front() {
            let slot = self.slots.pop_front().expect("there is a front");
            self.bytes -= slot.bytes;
            if let State::Ready(frame) = slot.state {
                out.push(frame);
            }
        }
    }
}

/// An answer that is held back; without one only the wait.
fn late(frame: Option<Frame>, after: Duration) -> BoxFuture<Result<Frame, Closing>> {
    Box::pin(async move {
        tokio::time::sleep(after).await;
        Ok(frame.unwrap_or(Frame { chunks: SmallVec::new(), len: 0, pause_ms: 0 }))
    })
}
