//! One connection, one task: reads what is there, starts every complete request, answers in order, writes once; and goes to another core when it
//! has to, with nothing under way.
//!
//! Must never block its core, and never wait for one thing only: data, answers, a writable socket, silence and
//! the broker's stop are waited for together.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::futures::Notified;
use tokio::time::Sleep;
use tracing::{debug, error, warn};

use super::connections::Counted;
use super::cores::Place;
use super::inbox::{Arrived, Inbox, Received};
use super::limits::Reservation;
use super::listener::{Shared, connect};
use super::outbox::Outbox;
use super::transport::{Parked, Transport};
use super::window::Window;
use super::{Closing, Served};
use crate::api::context::Caller;

/// After so many bytes of requests and answers, other connections of the core get their turn (measured: 64 KB keeps
/// a stream of large batches from starving small requests; 96 KB costs more of a core with batches of 16 KB).
const TURN: usize = 64 << 10;
/// The same for answers: bytes of files are moved, not copied, so that more of them take no longer (measured: a quarter less processor time
/// a byte than with 64 KB for fetches of 1 MB of one connection). With TLS they are encrypted, which takes a quarter of a millisecond.
const SENDING_TURN: usize = 256 << 10;
/// Requests that are started together at most; their bytes are those of a turn. Of small ones 64 take a seventh less processor time each than 16
/// (measured with 100 bytes, 32 at a time); others wait for the lock under which they are appended.
const RUN: usize = 64;
/// Clients have five under way unless told otherwise.
const FEW: usize = 8;
/// Answers that a client does not read; above this nothing more is started for it.
const MAX_UNSENT: usize = 8 << 20;
/// How long earlier answers may still take once the client has sent its last byte, or was refused.
const FAREWELL: Duration = Duration::from_secs(5);
/// Looks at silence per idle limit: a connection is closed at its limit or at most a quarter later.
const LOOKS: u32 = 4;
/// How often a connection is looked at that holds scarce memory; it may be silent for one look.
const STALL: Duration = Duration::from_secs(5);

/// What the connection waits for ends with one of these.
enum Event {
    /// Answers may be collected, or bytes sent or cut into requests.
    Progress,
    /// The client has sent its last byte.
    End,
    Tick,
}

/// Why no more requests are started.
enum Ending {
    Client,
    Stop,
    Closed(Closing),
}

pub(super) struct Connection {
    transport: Transport,
    caller: Caller,
    shared: Arc<Shared>,
    inbox: Inbox,
    window: Window,
    outbox: Outbox,
    ending: Option<Ending>,
    /// Bytes of requests and answers since other connections had their turn.
    moved: usize,
    /// Whether something moved since the last look.
    active: bool,
    /// Time between looks, and how long nothing moved, in whole looks.
    look: Duration,
    silent: Duration,
    /// Set while nothing is taken from the client because of its quotas.
    muted: Option<Pin<Box<Sleep>>>,
    place: Place,
    counted: Counted,
}

/// A connection between two cores. Nothing is under way, but there may be bytes that have arrived.
pub(super) struct Moving {
    pub(super) parked: Parked,
    pub(super) caller: Caller,
    pub(super) shared: Arc<Shared>,
    pub(super) inbox: Inbox,
    pub(super) place: Place,
    pub(super) counted: Counted,
}

/// How a core is done with a connection.
enum Left {
    Ended,
    For(Place),
}

impl Connection {
    pub(super) fn new(
        transport: Transport,
        caller: Caller,
        shared: Arc<Shared>,
        inbox: Inbox,
        place: Place,
        counted: Counted,
    ) -> Self {
        let look = shared.max_idle.map_or(Duration::MAX, |idle| idle / LOOKS);
        Self {
            transport,
            caller,
            shared,
            inbox,
            window: Window::default(),
            outbox: Outbox::default(),
            ending: None,
            moved: 0,
            active: false,
            look,
            silent: Duration::ZERO,
            muted: None,
            place,
            counted,
        }
    }

    /// Serves the connection to its end, or until it goes to another core.
    pub(super) async fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        let mut stop = Box::pin(shared.stop.notified());
        // Registered once: the task's waker stays the same, so the broker's stop costs the loop one load.
        poll_once(stop.as_mut()).await;
        let mut tick = Box::pin(tokio::time::sleep(self.look));
        match self.serve(&mut tick).await {
            Ok(Left::Ended) => self.report(),
            Ok(Left::For(place)) => self.go(place),
            Err(error) => debug!(peer = %self.caller.host, %error, "connection lost"),
        }
    }

    async fn serve(&mut self, tick: &mut Pin<Box<Sleep>>) -> io::Result<Left> {
        loop {
            if self.ending.is_none() && self.shared.is_stopping() {
                self.end(Ending::Stop, tick);
            }
            if self.ending.is_none()
                && let Err(closing) = self.start_requests()
            {
                self.end(Ending::Closed(closing), tick);
            }
            self.watch_stall(tick);
            self.collect();
            self.mute();
            if self.outbox.write(&mut self.transport, SENDING_TURN)? >= SENDING_TURN {
                self.moved = TURN;
            }
            if self.ending.is_some() && self.window.is_empty() && !self.owes() {
                self.transport.close();
                return Ok(Left::Ended);
            }
            if let Some(place) = self.leaves_for() {
                return Ok(Left::For(place));
            }
            if self.moved >= TURN {
                self.moved = 0;
                tokio::task::yield_now().await;
                continue;
            }
            match poll_fn(|cx| self.poll_event(cx, tick)).await {
                Ok(Event::Progress) => {}
                Ok(Event::End) => self.end(Ending::Client, tick),
                Ok(Event::Tick) if self.is_over(tick) => return Ok(Left::Ended),
                Ok(Event::Tick) => {}
                Err(Failure::Io(error)) => return Err(error),
                Err(Failure::Closing(closing)) => self.end(Ending::Closed(closing), tick),
            }
        }
    }

    /// Starts every complete request that was received, as far as the window and the turn allow.
    fn start_requests(&mut self) -> Result<(), Closing> {
        while self.may_start() && self.moved < TURN {
            let Some(received) = self.inbox.next_frame(self.max_frame())? else { return Ok(()) };
            self.begin();
            let bytes = received.frame.len();
            self.moves(bytes);
            if self.goes_on() && self.shared.service.goes_with_others(&received.frame) {
                self.start_run(received)?;
                continue;
            }
            let served = self.shared.service.serve(&self.caller, received.frame);
            self.take_up(served, bytes, received.memory)?;
        }
        Ok(())
    }

    /// Whether the next frame is here and goes with others.
    fn goes_on(&self) -> bool {
        let next = self.inbox.peek(self.max_frame());
        next.is_some_and(|frame| self.shared.service.goes_with_others(frame))
    }

    /// Starts a request together with those behind it, as far as the window and the turn allow.
    fn start_run(&mut self, first: Received) -> Result<(), Closing> {
        let mut frames = Vec::with_capacity(FEW);
        let mut held = Vec::with_capacity(FEW);
        let mut next = Some(first);
        while let Some(received) = next {
            held.push((received.frame.len(), received.memory));
            frames.push(received.frame);
            let is_over = self.moved >= TURN || frames.len() == RUN || !self.window.has_room(frames.len());
            next = if is_over || !self.goes_on() { None } else { self.inbox.next_frame(self.max_frame())? };
            if let Some(received) = &next {
                self.begin();
                self.moves(received.frame.len());
            }
        }
        let served = self.shared.service.serve_run(&self.caller, frames);
        for (served, (bytes, memory)) in served.into_iter().zip(held) {
            self.take_up(served, bytes, memory)?;
        }
        Ok(())
    }

    /// What became of a request of so many bytes.
    fn take_up(&mut self, served: Served, bytes: usize, memory: Reservation) -> Result<(), Closing> {
        let queued = self.outbox.len();
        self.window.push(served, bytes, memory, &mut self.outbox)?;
        self.moves(self.outbox.len() - queued);
        Ok(())
    }

    /// Queues the answers that are next in order.
    fn collect(&mut self) {
        let queued = self.outbox.len();
        self.window.collect(&mut self.outbox);
        self.moves(self.outbox.len() - queued);
    }

    fn begin(&mut self) {
        let now = self.shared.service.uptime();
        self.counted.life().used(now);
        self.shared.cores.begin(&mut self.place, now);
    }

    /// So many bytes of a request or of answers.
    fn moves(&mut self, bytes: usize) {
        self.moved += bytes;
        self.shared.cores.count(&mut self.place, bytes as u64);
    }

    /// Where it has to go, at a moment when nothing of it is under way.
    fn leaves_for(&self) -> Option<Place> {
        let is_free = self.ending.is_none() && self.muted.is_none() && self.window.is_empty() && !self.owes();
        if is_free { self.shared.cores.leave(&self.place) } else { None }
    }

    /// Everything starts anew there, but for the bytes that have arrived.
    fn go(self, place: Place) {
        let Self { transport, caller, shared, mut inbox, counted, .. } = self;
        let parked = match transport.park() {
            Ok(parked) => parked,
            Err(error) => {
                debug!(peer = %caller.host, %error, "connection lost on its way to another core");
                return;
            }
        };
        let core = shared.cores.core(&place).clone();
        inbox.move_to(core.pool);
        let life = Arc::clone(counted.life());
        let moving = Moving { parked, caller, shared, inbox, place, counted };
        life.served_by(|| core.handle.spawn(connect(moving, None)).abort_handle());
    }

    /// Answers go out at once, and then nothing more is taken until the time is over that they tell (KIP-219).
    fn mute(&mut self) {
        let Some(pause) = self.outbox.take_pause() else { return };
        let muted = tokio::time::sleep(pause);
        if self.muted.as_ref().is_none_or(|earlier| earlier.deadline() < muted.deadline()) {
            self.muted = Some(Box::pin(muted));
        }
    }

    /// Who has not proved who it is may say little.
    fn max_frame(&self) -> usize {
        self.caller.sasl.as_ref().map_or(self.shared.max_frame, |sasl| sasl.max_frame(self.shared.max_frame))
    }

    /// Whether anything has yet to be sent.
    fn owes(&self) -> bool {
        !self.outbox.is_empty() || self.transport.holds_back()
    }

    fn may_start(&self) -> bool {
        let is_muted = self.muted.is_some() || self.outbox.asks_to_wait();
        !is_muted && self.window.has_room(0) && self.outbox.len() < MAX_UNSENT
    }

    fn poll_event(
        &mut self,
        cx: &mut Context<'_>,
        tick: &mut Pin<Box<Sleep>>,
    ) -> Poll<Result<Event, Failure>> {
        if self.ending.is_none() && self.shared.is_stopping() {
            return Poll::Ready(Ok(Event::Progress));
        }
        if let Poll::Ready(collected) = self.window.poll(cx) {
            self.active = true;
            return Poll::Ready(collected.map(|()| Event::Progress).map_err(Failure::Closing));
        }
        if self.owes()
            && let Poll::Ready(writable) = self.transport.poll_write_ready(cx)
        {
            self.active = true;
            return Poll::Ready(writable.map(|()| Event::Progress).map_err(Failure::Io));
        }
        if let Some(muted) = &mut self.muted
            && muted.as_mut().poll(cx).is_ready()
        {
            self.muted = None;
            self.active = true;
            return Poll::Ready(Ok(Event::Progress));
        }
        if self.ending.is_none()
            && self.may_start()
            && let Poll::Ready(read) = self.inbox.poll_read(cx, &mut self.transport)
        {
            self.active = true;
            return Poll::Ready(match read {
                Ok(Arrived::End) => Ok(Event::End),
                Ok(Arrived::Bytes | Arrived::Memory) => Ok(Event::Progress),
                Err(error) => Err(Failure::Io(error)),
            });
        }
        tick.as_mut().poll(cx).map(|()| Ok(Event::Tick))
    }

    /// No more requests; what is started may still be answered for a while.
    fn end(&mut self, ending: Ending, tick: &mut Pin<Box<Sleep>>) {
        let farewell = match ending {
            Ending::Stop => self.shared.stop_grace(),
            Ending::Closed(Closing::Authentication(_)) => FAREWELL + self.shared.failed_authentication,
            _ => FAREWELL,
        };
        self.ending = Some(ending);
        restart(tick, farewell);
    }

    /// After a look: whether the connection has been silent, stalled or ending for too long.
    fn is_over(&mut self, tick: &mut Pin<Box<Sleep>>) -> bool {
        if self.ending.is_some() {
            return true;
        }
        self.silent = if self.active { Duration::ZERO } else { self.silent.saturating_add(self.look) };
        self.active = false;
        if self.inbox.holds_scarce_memory() && self.silent >= STALL {
            self.ending = Some(Ending::Closed(Closing::Stalled));
            return true;
        }
        restart(tick, self.look);
        // Who waits for an answer is not idle: a join may take minutes. Who has to wait for its quotas is, as it may be gone.
        self.window.is_empty() && self.shared.max_idle.is_some_and(|idle| self.silent >= idle)
    }

    /// Looks more often from the moment on when this connection keeps memory that others need.
    fn watch_stall(&mut self, tick: &mut Pin<Box<Sleep>>) {
        if self.look > STALL && self.inbox.holds_scarce_memory() {
            self.look = STALL;
            restart(tick, STALL);
        }
    }

    fn report(&self) {
        let Some(Ending::Closed(closing)) = &self.ending else { return };
        let (peer, listener) = (self.caller.host, &self.caller.listener);
        if closing.is_ours() {
            error!(%peer, %listener, "closed a connection: {closing}");
        } else if *closing == Closing::Asked {
            debug!(%peer, %listener, "closed a connection: {closing}");
        } else if let Some(left_out) = self.shared.gate.pass(self.shared.service.uptime()) {
            let left_out = (left_out > 0).then_some(left_out);
            warn!(%peer, %listener, left_out, "closed a connection: {closing}");
        }
    }
}

enum Failure {
    Io(io::Error),
    Closing(Closing),
}

async fn poll_once(mut stop: Pin<&mut Notified<'_>>) {
    poll_fn(|cx| {
        let _ = stop.as_mut().poll(cx);
        Poll::Ready(())
    })
    .await;
}

fn restart(tick: &mut Pin<Box<Sleep>>, after: Duration) {
    tick.set(tokio::time::sleep(after));
}
