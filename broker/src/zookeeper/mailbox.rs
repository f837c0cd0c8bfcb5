//! What reaches a connection from elsewhere: events, outcomes of its changes, and its end.
//!
//! Answers and events leave in the order in which they were put here, and by the rule of `read` and `hub` that is
//! ZooKeeper's order. Must never wait for the connection: one that does not take its events in time is cut off.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use milena_coordinator::tree::{EventKind, Outcome, Zxid};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use super::jute::Output;
use super::op_code::{NOTIFICATION_XID, STATE_CONNECTED};

/// Bytes that may wait for a client that does not read; twice the largest answer that is usual.
const UNSENT_BYTES_MAX: usize = 64 << 20;

/// Shared by a connection's task and everybody who has something for it.
#[derive(Debug, Default)]
pub(super) struct Mailbox {
    mail: Mutex<Mail>,
    wake: Notify,
    cut: Notify,
    /// When the client was last heard, in steady milliseconds.
    pub(super) heard: AtomicI64,
    pub(super) received: AtomicU64,
    pub(super) sent: AtomicU64,
    pub(super) outstanding: AtomicU64,
}

/// What waits.
#[derive(Debug, Default)]
pub(super) struct Mail {
    /// Frames to send.
    pub(super) out: Vec<u8>,
    /// Of the changes that this connection asked for, in that order.
    pub(super) outcomes: VecDeque<(Zxid, Outcome)>,
    /// The session has ended or is served elsewhere, or changes of this connection were lost.
    pub(super) is_over: bool,
}

impl Mailbox {
    pub(super) fn lock(&self) -> MutexGuard<'_, Mail> {
        self.mail.lock()
    }

    pub(super) fn put_event(&self, kind: EventKind, path: &str) {
        let mut mail = self.mail.lock();
        if mail.out.len() > UNSENT_BYTES_MAX {
            mail.is_over = true;
            self.cut.notify_one();
        } else {
            put_event(&mut mail.out, kind, path);
            self.sent.fetch_add(1, Ordering::Relaxed);
        }
        drop(mail);
        self.wake.notify_one();
    }

    pub(super) fn put_outcome(&self, zxid: Zxid, outcome: Outcome) {
        self.mail.lock().outcomes.push_back((zxid, outcome));
        self.wake.notify_one();
    }

    /// The connection has to end; what is written at the moment is given up.
    pub(super) fn end(&self) {
        self.mail.lock().is_over = true;
        self.wake.notify_one();
        self.cut.notify_one();
    }

    /// Resolves when something was put here since the last time.
    pub(super) async fn wait(&self) {
        self.wake.notified().await;
    }

    /// Resolves when the connection has to end, even in the middle of a frame.
    pub(super) async fn wait_cut(&self) {
        self.cut.notified().await;
    }

    pub(super) fn hear(&self, now: i64) {
        self.heard.store(now, Ordering::Relaxed);
    }
}

/// A frame with an event. Its zxid is −1, as ZooKeeper 3.8 has it.
pub(super) fn put_event(out: &mut Vec<u8>, kind: EventKind, path: &str) {
    Output(out).frame(|out| {
        out.header(NOTIFICATION_XID, -1, 0);
        out.int(kind as i32);
        out.int(STATE_CONNECTED);
        out.string(path);
    });
}

/// Where outcomes go; none for changes that nobody waits for.
pub(super) type ReplyTo = Option<Arc<Mailbox>>;
