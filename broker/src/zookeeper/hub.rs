//! What the connections of one node share: who watches what, who serves which session, who was heard when.
//!
//! Told of changes while nobody can read the tree, so an event is queued before any answer that shows its change. Locks
//! are taken in this order: the tree's, this one, a mailbox's. Must never be asked for a change of the tree.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use milena_coordinator::tree::{
    Change, Event, Ids, Lost, Perms, SessionId, Tree, WatchCount, WatchKind, WatchMode, WatcherId, Watches,
    Zxid, is_super, permits,
};
use parking_lot::Mutex;

use super::kafka_nodes::is_secret;
use super::mailbox::Mailbox;
use crate::clock::Clock;
use crate::quorum::TreeWatcher;

/// Paths that one connection may watch: more than any recipe holds, few enough to stay in memory.
const WATCHES_MAX: usize = 1 << 20;

/// See the module.
#[derive(Debug)]
pub struct Hub {
    state: Mutex<State>,
    clock: Arc<Clock>,
    pub(super) counts: Counts,
}

/// Numbers for the four-letter words.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) received: AtomicU64,
    pub(super) sent: AtomicU64,
    pub(super) answered: AtomicU64,
    pub(super) latency_sum: AtomicU64,
    pub(super) latency_max: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    watches: Watches,
    peers: BTreeMap<WatcherId, Peer>,
    /// Open sessions of clients, wherever they are served.
    sessions: BTreeMap<SessionId, Known>,
    next: u64,
}

/// A connection of this node.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) address: SocketAddr,
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) ids: Ids,
    /// None before the session is open.
    pub(super) session: SessionId,
    pub(super) timeout_millis: i32,
}

/// A session as the leader's clock sees it.
#[derive(Clone, Copy, Debug)]
struct Known {
    attached: Zxid,
    timeout_millis: i32,
    /// Served by this connection of this node, if any.
    server: Option<WatcherId>,
    /// When it was last heard of, in steady milliseconds.
    heard: i64,
}

impl Hub {
    #[must_use]
    pub fn new(clock: Arc<Clock>) -> Self {
        Self { state: Mutex::default(), clock, counts: Counts::default() }
    }

    /// Enters a connection that has no session yet.
    pub(super) fn enter(&self, address: SocketAddr, mailbox: Arc<Mailbox>, ids: Ids) -> WatcherId {
        let mut state = self.state.lock();
        state.next += 1;
        let id = WatcherId(state.next);
        let peer = Peer { address, mailbox, ids, session: SessionId::NONE, timeout_millis: 0 };
        state.peers.insert(id, peer);
        id
    }

    pub(super) fn leave(&self, id: WatcherId) {
        let mut state = self.state.lock();
        state.watches.forget(id);
        let Some(peer) = state.peers.remove(&id) else { return };
        let now = peer.mailbox.heard.load(Ordering::Relaxed);
        if let Some(known) = state.sessions.get_mut(&peer.session)
            && known.server == Some(id)
        {
            known.server = None;
            known.heard = known.heard.max(now);
        }
    }

    /// A connection serves a session from now on. `false` if another has taken it over already, or it has ended.
    pub(super) fn serve(
        &self,
        id: WatcherId,
        session: SessionId,
        attached: Zxid,
        timeout_millis: i32,
    ) -> bool {
        let mut state = self.state.lock();
        let State { peers, sessions, .. } = &mut *state;
        let (Some(peer), Some(known)) = (peers.get_mut(&id), sessions.get_mut(&session)) else {
            return false;
        };
        if known.attached != attached {
            return false;
        }
        known.server = Some(id);
        peer.session = session;
        peer.timeout_millis = timeout_millis;
        true
    }

    pub(super) fn set_ids(&self, id: WatcherId, ids: Ids) {
        if let Some(peer) = self.state.lock().peers.get_mut(&id) {
            peer.ids = ids;
        }
    }

    /// Leaves a one-shot watch. Called while the tree is read.
    pub(super) fn watch(&self, id: WatcherId, path: &str, kind: WatchKind) {
        self.with_watches(id, |watches| watches.watch(id, path, kind));
    }

    pub(super) fn add_watch(&self, id: WatcherId, path: &str, mode: WatchMode) {
        self.with_watches(id, |watches| watches.add(id, path, mode));
    }

    pub(super) fn has_watch(&self, id: WatcherId, path: &str, kind: WatchKind) -> bool {
        self.state.lock().watches.has(id, path, kind)
    }

    pub(super) fn remove_watch(&self, id: WatcherId, path: &str, kind: WatchKind) -> bool {
        self.state.lock().watches.remove(id, path, kind)
    }

    /// Re-registers watches and queues what the client missed. Called while the tree is read.
    pub(super) fn set_again(&self, tree: &Tree, id: WatcherId, seen: Zxid, lost: &Lost<'_>) {
        let mut state = self.state.lock();
        let missed = state.watches.set_again(tree, id, seen, lost);
        missed.iter().for_each(|event| state.tell(event, &self.counts));
        state.limit(id);
    }

    fn with_watches(&self, id: WatcherId, change: impl FnOnce(&mut Watches)) {
        let mut state = self.state.lock();
        change(&mut state.watches);
        state.limit(id);
    }

    pub(super) fn peers(&self) -> Vec<Peer> {
        self.state.lock().peers.values().cloned().collect()
    }

    pub(super) fn watch_count(&self) -> WatchCount {
        self.state.lock().watches.count()
    }

    /// Sessions that this node serves and has heard since then, for the leader.
    pub(super) fn heard_here(&self, since: i64) -> Vec<SessionId> {
        let state = self.state.lock();
        let is_heard = |known: &Known| {
            let peer = known.server.and_then(|server| state.peers.get(&server));
            peer.is_some_and(|peer| peer.mailbox.heard.load(Ordering::Relaxed) >= since)
        };
        state.sessions.iter().filter(|(_, known)| is_heard(known)).map(|(id, _)| *id).collect()
    }

    /// Sessions that are overdue, if this is the leader.
    pub(super) fn overdue(&self) -> Vec<(SessionId, Zxid)> {
        let now = self.clock.steady_ms();
        let mut state = self.state.lock();
        let State { peers, sessions, .. } = &mut *state;
        let mut overdue = Vec::new();
        for (id, known) in sessions {
            if let Some(peer) = known.server.and_then(|server| peers.get(&server)) {
                known.heard = known.heard.max(peer.mailbox.heard.load(Ordering::Relaxed));
            }
            if now - known.heard > i64::from(known.timeout_millis) {
                overdue.push((*id, known.attached));
            }
        }
        overdue
    }

    /// A new leader knows nothing of what the old one heard: every session begins anew.
    pub(super) fn hear_all(&self) {
        let now = self.clock.steady_ms();
        self.state.lock().sessions.values_mut().for_each(|known| known.heard = now);
    }
}

impl TreeWatcher for Hub {
    fn changing(&self, tree: &Tree, changes: &[Change]) {
        let now = self.clock.steady_ms();
        let mut state = self.state.lock();
        if changes.is_empty() {
            state.begin_anew(tree, now);
        }
        for change in changes {
            match change {
                Change::SessionAttached(id, attached) => state.attached(tree, *id, *attached, now),
                Change::SessionClosed(id) => state.closed(*id),
                _ => {
                    for event in state.watches.fire(change) {
                        state.tell(&event, &self.counts);
                    }
                }
            }
        }
    }

    fn heard(&self, sessions: &[SessionId]) {
        let now = self.clock.steady_ms();
        let mut state = self.state.lock();
        for id in sessions {
            if let Some(known) = state.sessions.get_mut(id) {
                known.heard = now;
            }
        }
    }
}

impl State {
    /// The tree as a whole is new: what happened to single nodes is not known, so clients have to come back and ask.
    fn begin_anew(&mut self, tree: &Tree, now: i64) {
        for peer in self.peers.values() {
            peer.mailbox.end();
        }
        let of_client = |(id, session): (SessionId, &milena_coordinator::tree::Session)| {
            let (attached, timeout_millis) = (session.attached, session.timeout_millis);
            let known = Known { attached, timeout_millis, server: None, heard: now };
            (attached != Zxid::default()).then_some((id, known))
        };
        self.sessions = tree.sessions().filter_map(of_client).collect();
    }

    fn attached(&mut self, tree: &Tree, id: SessionId, attached: Zxid, now: i64) {
        let timeout_millis = tree.session(id).map_or(0, |session| session.timeout_millis);
        let known = Known { attached, timeout_millis, server: None, heard: now };
        let before = self.sessions.insert(id, known);
        self.end_server(before);
    }

    fn closed(&mut self, id: SessionId) {
        let before = self.sessions.remove(&id);
        self.end_server(before);
    }

    fn end_server(&self, known: Option<Known>) {
        let server = known.and_then(|known| known.server);
        if let Some(peer) = server.and_then(|server| self.peers.get(&server)) {
            peer.mailbox.end();
        }
    }

    /// Queues an event if the watcher may read the node (ZOOKEEPER-4799).
    fn tell(&self, event: &Event, counts: &Counts) {
        let Some(peer) = self.peers.get(&event.watcher) else { return };
        let may_read = event.guard.as_ref().is_none_or(|acl| permits(acl, Perms::READ, &peer.ids));
        if may_read && (is_super(&peer.ids) || !is_secret(&event.path)) {
            counts.sent.fetch_add(1, Ordering::Relaxed);
            peer.mailbox.put_event(event.kind, &event.path);
        }
    }

    fn limit(&self, id: WatcherId) {
        if self.watches.held_by(id) > WATCHES_MAX
            && let Some(peer) = self.peers.get(&id)
        {
            tracing::warn!(address = %peer.address, "a client watches too many paths and is cut off");
            peer.mailbox.end();
        }
    }
}
