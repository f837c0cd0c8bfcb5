//! Sessions of brokers as their leader sees them: who was heard, who is silent, whose time is over.
//!
//! The leader alone decides that a session has expired, and proposes its end; nothing here changes the tree. A new leader
//! gives every session its full time again. Must never expire a session that this node itself keeps alive.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::tree::{Change, Session, SessionId, Tree, Zxid};

/// See the module.
pub(super) struct Sessions {
    state: Mutex<State>,
    /// The next deadline may have changed.
    changed: Notify,
    /// Sessions whose node is no longer connected, though their time is not over.
    suspects: watch::Sender<BTreeSet<SessionId>>,
    /// The leader should be told now which sessions live.
    untold: Notify,
}

#[derive(Default)]
struct State {
    /// Only on a leader: each session that may expire.
    heard: Option<BTreeMap<SessionId, Heard>>,
    /// Sessions that live as long as this node.
    kept: BTreeSet<SessionId>,
}

struct Heard {
    timeout: Duration,
    deadline: Instant,
    /// The node that spoke for it last.
    by: Option<i32>,
    /// Its time was over, and nobody has spoken for it since.
    is_over: bool,
}

impl Default for Sessions {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            changed: Notify::new(),
            suspects: watch::Sender::default(),
            untold: Notify::new(),
        }
    }
}

impl Sessions {
    /// This node has become the leader: every session has its full time from now.
    pub(super) fn lead(&self, tree: &Tree, now: Instant) {
        let all = tree.sessions().filter(|(_, session)| is_of_a_node(session));
        let all = all.map(|(id, session)| (id, Heard::new(session.timeout_millis, now)));
        self.state.lock().heard = Some(all.collect());
        self.suspects.send_replace(BTreeSet::new());
        self.changed.notify_one();
    }

    /// Another node decides now.
    pub(super) fn follow(&self) {
        self.state.lock().heard = None;
        self.suspects.send_replace(BTreeSet::new());
        self.changed.notify_one();
    }

    pub(super) fn applied(&self, tree: &Tree, changes: &[Change]) {
        let mut state = self.state.lock();
        let mut is_changed = false;
        for change in changes {
            match change {
                Change::SessionOpened(id) => {
                    if let (Some(heard), Some(session)) = (&mut state.heard, tree.session(*id))
                        && is_of_a_node(session)
                    {
                        heard.insert(*id, Heard::new(session.timeout_millis, Instant::now()));
                        is_changed = true;
                    }
                }
                Change::SessionClosed(id) => {
                    state.heard.as_mut().map(|heard| heard.remove(id));
                    state.kept.remove(id);
                    is_changed = true;
                    self.suspects.send_if_modified(|suspects| suspects.remove(id));
                }
                _ => {}
            }
        }
        if is_changed {
            self.changed.notify_one();
        }
    }

    /// The tree as a whole is another; only followers are given snapshots.
    pub(super) fn replaced(&self, tree: &Tree) {
        let mut state = self.state.lock();
        state.kept.retain(|id| tree.session(*id).is_some());
    }

    /// From now on the session lives as long as this node does.
    pub(super) fn keep(&self, id: SessionId) {
        self.state.lock().kept.insert(id);
        self.changed.notify_one();
        self.untold.notify_one();
    }

    pub(super) fn let_go(&self, id: SessionId) {
        self.state.lock().kept.remove(&id);
    }

    /// Another node speaks for its sessions. False if this node does not lead.
    pub(super) fn touched_by(&self, by: i32, ids: &[SessionId], now: Instant) -> bool {
        let mut state = self.state.lock();
        let Some(heard) = &mut state.heard else { return false };
        for id in ids {
            if let Some(heard) = heard.get_mut(id) {
                heard.renew(now, Some(by));
            }
        }
        drop(state);
        self.suspects.send_if_modified(|suspects| {
            let before = suspects.len();
            suspects.retain(|id| !ids.contains(id));
            suspects.len() != before
        });
        true
    }

    /// What the leader is to be told with a heartbeat.
    pub(super) fn to_tell(&self) -> Vec<SessionId> {
        self.state.lock().kept.iter().copied().collect()
    }

    /// A connection to a node is open: if it is the leader, it hears of our sessions now.
    pub(super) fn met(&self) {
        self.untold.notify_one();
    }

    /// Returns when the leader is to be told before the next heartbeat is due.
    pub(super) async fn untold(&self) {
        self.untold.notified().await;
    }

    /// These sessions' nodes are not connected, and were not since this node leads.
    pub(super) fn doubt(&self, ids: &[SessionId]) {
        let state = self.state.lock();
        let Some(heard) = &state.heard else { return };
        let unheard = |id: &SessionId| heard.get(id).is_some_and(|heard| heard.by.is_none());
        let ids: Vec<_> = ids.iter().copied().filter(|id| unheard(id) && !state.kept.contains(id)).collect();
        drop(state);
        self.suspects.send_if_modified(|suspects| {
            let before = suspects.len();
            suspects.extend(ids);
            suspects.len() != before
        });
    }

    /// The connection to a node is gone.
    pub(super) fn parted(&self, peer: i32) {
        let state = self.state.lock();
        let Some(heard) = &state.heard else { return };
        let of_peer = heard.iter().filter(|(_, heard)| heard.by == Some(peer)).map(|(id, _)| *id);
        let of_peer: Vec<_> = of_peer.collect();
        drop(state);
        self.suspects.send_if_modified(|suspects| {
            let before = suspects.len();
            suspects.extend(of_peer);
            suspects.len() != before
        });
    }

    pub(super) fn suspects(&self) -> watch::Receiver<BTreeSet<SessionId>> {
        self.suspects.subscribe()
    }

    /// Sessions whose time is over; each gets another second, for the proposal that ends it.
    pub(super) fn expired(&self, now: Instant) -> Vec<SessionId> {
        let mut state = self.state.lock();
        let State { heard: Some(heard), kept, .. } = &mut *state else { return Vec::new() };
        let mut over = Vec::new();
        for (id, heard) in heard.iter_mut().filter(|(_, heard)| heard.deadline <= now) {
            if kept.contains(id) {
                heard.renew(now, None);
            } else {
                heard.deadline = now + Duration::from_secs(1);
                heard.is_over = true;
                over.push(*id);
            }
        }
        over
    }

    /// Whether this node leads and has heard nobody speak for a session since its time was over.
    pub(super) fn is_over(&self, id: SessionId) -> bool {
        let state = self.state.lock();
        !state.kept.contains(&id)
            && state.heard.as_ref().is_some_and(|all| all.get(&id).is_some_and(|heard| heard.is_over))
    }

    /// When to look next; never, if every session is one that this node keeps.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let state = self.state.lock();
        let heard = state.heard.as_ref()?.iter();
        heard.filter(|(id, _)| !state.kept.contains(id)).map(|(_, heard)| heard.deadline).min()
    }

    /// Returns when the next deadline may be another.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }
}

/// Clients' sessions are ended by whoever serves their connections.
fn is_of_a_node(session: &Session) -> bool {
    session.attached == Zxid::default()
}

impl Heard {
    fn new(timeout_millis: i32, now: Instant) -> Self {
        let timeout = Duration::from_millis(u64::try_from(timeout_millis).unwrap_or(0));
        Self { timeout, deadline: now + timeout, by: None, is_over: false }
    }

    fn renew(&mut self, now: Instant, by: Option<i32>) {
        self.deadline = now + self.timeout;
        self.by = by.or(self.by);
        self.is_over = false;
    }
}

#[cfg(test)]
mod tests {
    use milena_storage::ids::Timestamp;

    use super::*;
    use crate::tree::{Command, CommandKind};

    /// A tree with one session of nine seconds, which is also returned.
    fn a_session() -> (Tree, SessionId) {
        let mut tree = Tree::new();
        let kind = CommandKind::OpenSession { timeout_millis: 9000 };
        let command = Command { session: SessionId::NONE, time: Timestamp(0), kind };
        tree.apply(Zxid(1), &command);
        let id = tree.sessions().next().unwrap().0;
        (tree, id)
    }

    fn after(start: Instant, millis: u64) -> Instant {
        start + Duration::from_millis(millis)
    }

    #[test]
    fn a_silent_session_expires_after_its_time_and_a_heard_one_does_not() {
        let ((tree, id), start, sessions) = (a_session(), Instant::now(), Sessions::default());
        assert_eq!(sessions.next_deadline(), None, "a follower expires nobody");
        sessions.lead(&tree, start);
        assert_eq!(sessions.next_deadline(), Some(after(start, 9000)));
        assert!(sessions.touched_by(2, &[id], after(start, 5000)));
        assert_eq!(sessions.expired(after(start, 13_999)), []);
        assert!(!sessions.is_over(id));
        assert_eq!(sessions.expired(after(start, 14_000)), [id]);
        assert!(sessions.is_over(id));
        assert_eq!(sessions.expired(after(start, 14_001)), [], "its end is being proposed");
        assert_eq!(sessions.expired(after(start, 15_001)), [id], "the proposal came to nothing");
        sessions.touched_by(2, &[id], after(start, 15_002));
        assert!(!sessions.is_over(id), "it was heard before the proposal was made");
    }

    #[test]
    fn a_new_leader_gives_every_session_its_full_time() {
        let ((tree, id), start, sessions) = (a_session(), Instant::now(), Sessions::default());
        sessions.lead(&tree, start);
        sessions.follow();
        assert!(!sessions.touched_by(2, &[id], start));
        sessions.lead(&tree, after(start, 60_000));
        assert_eq!(sessions.expired(after(start, 68_999)), []);
        assert_eq!(sessions.expired(after(start, 69_000)), [id]);
    }

    #[test]
    fn a_kept_session_needs_no_timer_and_never_expires() {
        let ((tree, id), start, sessions) = (a_session(), Instant::now(), Sessions::default());
        sessions.lead(&tree, start);
        sessions.keep(id);
        assert_eq!(sessions.next_deadline(), None);
        assert_eq!(sessions.expired(after(start, 100_000)), []);
        assert_eq!(sessions.to_tell(), [id]);
    }

    #[test]
    fn a_closed_connection_makes_suspect_at_once_until_the_session_is_heard_again() {
        let ((tree, id), start, sessions) = (a_session(), Instant::now(), Sessions::default());
        sessions.lead(&tree, start);
        sessions.touched_by(2, &[id], start);
        sessions.parted(3);
        assert!(sessions.suspects().borrow().is_empty());
        sessions.parted(2);
        assert!(sessions.suspects().borrow().contains(&id));
        sessions.touched_by(2, &[id], start);
        assert!(sessions.suspects().borrow().is_empty());
    }

    #[test]
    fn a_new_leader_doubts_whom_it_is_told_of_unless_it_has_heard_them() {
        let ((tree, id), start, sessions) = (a_session(), Instant::now(), Sessions::default());
        sessions.doubt(&[id]);
        assert!(sessions.suspects().borrow().is_empty(), "only a leader suspects anybody");
        sessions.lead(&tree, start);
        sessions.doubt(&[id]);
        assert!(sessions.suspects().borrow().contains(&id));
        sessions.touched_by(2, &[id], start);
        sessions.doubt(&[id]);
        assert!(sessions.suspects().borrow().is_empty());
    }
}
