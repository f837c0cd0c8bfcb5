//! How a batch of clients' requests changes the tree: each for itself, in order, with a zxid of its own.
//!
//! Must never let a request of a connection through that no longer serves its session.

use std::collections::BTreeSet;

use milena_storage::ids::Timestamp;

use super::client::{ClientKind, ClientRequest};
use super::command::{Code, Outcome};
use super::stat::{SessionId, Zxid};
use super::{Change, Session, Tree};

impl Tree {
    /// `first` is the zxid of the first request that takes one. The tree's own is that of the last.
    pub(super) fn apply_clients(
        &mut self,
        first: Zxid,
        time: Timestamp,
        requests: &[ClientRequest],
    ) -> (Outcome, Vec<Change>) {
        let mut changes = Vec::new();
        let mut outcomes = Vec::with_capacity(requests.len());
        let mut next = first;
        for request in requests {
            if request.kind == ClientKind::Sync {
                outcomes.push((self.zxid, self.place_in_order(request)));
                continue;
            }
            self.zxid = next;
            next = Zxid(next.0 + 1);
            outcomes.push((self.zxid, self.client(time, request, &mut changes)));
        }
        (Outcome::Clients(outcomes), changes)
    }

    fn client(&mut self, time: Timestamp, request: &ClientRequest, changes: &mut Vec<Change>) -> Outcome {
        let zxid = self.zxid;
        let mut told = |(outcome, did): (Outcome, Vec<Change>)| {
            changes.extend(did);
            outcome
        };
        match &request.kind {
            ClientKind::Open { timeout_millis } => told(self.open_client(zxid, *timeout_millis)),
            ClientKind::Attach { id, timeout_millis } => told(self.attach(zxid, *id, *timeout_millis)),
            ClientKind::Expire { id, attached } => match self.sessions.get(id) {
                Some(session) if session.attached == *attached => told(self.close_session(zxid, *id)),
                Some(_) => Outcome::Refused(Code::SessionMoved),
                None => Outcome::Refused(Code::UnknownSession),
            },
            ClientKind::Multi(ops) => match self.refusal(request) {
                Some(code) => Outcome::Refused(code),
                None => told(self.multi(zxid, time, request.session, Some(&request.ids), ops)),
            },
            ClientKind::Close => match self.refusal(request) {
                Some(code) => Outcome::Refused(code),
                None => told(self.close_session(zxid, request.session)),
            },
            ClientKind::Sync => self.place_in_order(request),
        }
    }

    fn place_in_order(&self, request: &ClientRequest) -> Outcome {
        self.refusal(request).map_or(Outcome::Synced, Outcome::Refused)
    }

    /// Why the session may not be used by the connection that asks.
    fn refusal(&self, request: &ClientRequest) -> Option<Code> {
        match self.sessions.get(&request.session) {
            None => Some(Code::SessionExpired),
            Some(session) if session.attached != request.attached => Some(Code::SessionMoved),
            Some(_) => None,
        }
    }

    fn open_client(&mut self, zxid: Zxid, timeout_millis: i32) -> (Outcome, Vec<Change>) {
        let id = SessionId(zxid.0);
        self.sessions.insert(id, Session { timeout_millis, attached: zxid, ephemerals: BTreeSet::new() });
        (Outcome::SessionOpened(id), vec![Change::SessionOpened(id), Change::SessionAttached(id, zxid)])
    }

    /// Only a client's session can be attached: that of a broker belongs to nobody but the broker.
    fn attach(&mut self, zxid: Zxid, id: SessionId, timeout_millis: i32) -> (Outcome, Vec<Change>) {
        match self.sessions.get_mut(&id) {
            Some(session) if session.attached != Zxid::default() => {
                session.attached = zxid;
                session.timeout_millis = timeout_millis;
                (Outcome::SessionAttached, vec![Change::SessionAttached(id, zxid)])
            }
            _ => (Outcome::Refused(Code::UnknownSession), Vec::new()),
        }
    }
}
