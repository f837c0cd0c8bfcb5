//! Runs of Produce requests: those of one connection that came in together, handled together.
//!
//! Must never change what becomes of a request: each is admitted, decoded and answered as if it came alone.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use milena_coordinator::image::MetadataImage;
use milena_storage::ids::Timestamp;

use super::{Begun, Dispatch, Head, malformed, served};
use crate::api::{Ask, Caller, Cx, PRODUCE, produce};
use crate::codec::produce_request::ProduceRequest;
use crate::net::guard;
use crate::net::{Closing, Served};

/// A request of a run.
struct Member {
    head: Head,
    caller: Caller,
    request: ProduceRequest,
}

impl Dispatch {
    /// Produce only, and not while rules of tests or quotas decide about single requests.
    pub(super) fn is_for_run(&self, frame: &[u8]) -> bool {
        guard::api(frame).is_ok_and(|(key, _)| key == PRODUCE) && self.is_plain(&self.broker.image.load())
    }

    fn is_plain(&self, image: &MetadataImage) -> bool {
        !self.broker.faults.is_armed() && image.quotas().is_none()
    }

    /// Starts requests that are [for a run](Self::is_for_run), as far as none closes the connection.
    pub(super) fn start_run(&self, caller: &Caller, frames: Vec<Bytes>) -> Vec<Served> {
        let image = self.broker.image.load_full();
        let mut done = Vec::with_capacity(frames.len());
        let mut run = Vec::with_capacity(frames.len());
        for frame in frames {
            let alone = if self.is_plain(&image) {
                self.join(caller, &frame, &mut run)
            } else {
                Some(self.start(caller, &frame).unwrap_or_else(Served::Close))
            };
            let Some(alone) = alone else { continue };
            self.finish_run(&image, std::mem::take(&mut run), &mut done);
            let closes = matches!(alone, Served::Close(_));
            done.push(alone);
            if closes {
                return done;
            }
        }
        self.finish_run(&image, run, &mut done);
        done
    }

    /// Takes a request into a run, or tells what became of it by itself.
    fn join(&self, caller: &Caller, frame: &Bytes, run: &mut Vec<Member>) -> Option<Served> {
        let (row, head, body, caller) = match self.begin(caller, frame) {
            Ok(Begun::Request { row, head, body, caller }) => (row, head, body, caller),
            Ok(Begun::Served(served)) => return Some(served),
            Err(closing) => return Some(Served::Close(closing)),
        };
        assert_eq!(row.key, PRODUCE, "nothing else is for a run");
        match ProduceRequest::decode(body, head.version) {
            Ok(request) => {
                run.push(Member { head, caller, request });
                None
            }
            Err(error) => Some(Served::Close(malformed(head.api, head.version, &error))),
        }
    }

    /// Handles what there is of a run.
    fn finish_run(&self, image: &Arc<MetadataImage>, run: Vec<Member>, done: &mut Vec<Served>) {
        let Some(first) = run.first().map(|member| member.head) else { return };
        let now = self.broker.clock.now();
        // One request is lost with its connection, not the broker.
        let handled = catch_unwind(AssertUnwindSafe(|| self.handle_run(image, now, run)));
        match handled {
            Ok(handled) => done.extend(handled),
            Err(_) => {
                done.push(Served::Close(Closing::Panicked { api: first.api, version: first.version }));
            }
        }
    }

    fn handle_run(&self, image: &Arc<MetadataImage>, now: Timestamp, mut run: Vec<Member>) -> Vec<Served> {
        let requests: Vec<_> = run.iter_mut().map(|member| std::mem::take(&mut member.request)).collect();
        let asked = run.iter().zip(requests).map(|(member, request)| {
            let version = member.head.version;
            let image = Arc::clone(image);
            let cx = Cx { version, image, caller: &member.caller, now, broker: &self.broker, meter: None };
            self.look_for_lost(PRODUCE, &cx);
            (cx, request)
        });
        let outcomes = produce::handle_run(asked.collect());
        run.iter().zip(outcomes).map(|(member, outcome)| served(member.head, outcome)).collect()
    }
}
