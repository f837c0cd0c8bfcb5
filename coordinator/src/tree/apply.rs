//! How a command changes the tree, with ZooKeeper's checks in ZooKeeper's order (`PrepRequestProcessor`).
//!
//! A multi changes nothing unless all of its operations succeed: each operation notes the nodes it replaced, and a
//! failure puts them back. Must never depend on anything but the tree, the zxid and the command.
//!
//! Access lists are enforced for clients of the ZooKeeper protocol, here and not before, so that a request is judged by
//! the lists of its own place in the order. The controller's commands carry no identities and may do everything.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use milena_storage::ids::Timestamp;

use super::acl::{Guards, Id, Perms, fix, permits};
use super::client::Secret;
use super::command::{
    ANY_VERSION, Acls, Code, Command, CommandKind, Mode, MultiError, Op, OpResult, Outcome, open_acl,
};
use super::path::{parent, validate};
use super::stat::{MAX_TTL_MILLIS, Owner, SessionId, Zxid};
use super::{Change, MAX_NODE_BYTES, MAX_OPS, Node, Session, Tree};

impl Tree {
    /// Applies one command of the total order and says what changed.
    ///
    /// A refused command takes its zxid too, as in ZooKeeper, and changes nothing else.
    pub fn apply(&mut self, zxid: Zxid, command: &Command) -> (Outcome, Vec<Change>) {
        debug_assert!(zxid > self.zxid, "{zxid} after {}", self.zxid);
        if let CommandKind::Clients(requests) = &command.kind {
            return self.apply_clients(zxid, command.time, requests);
        }
        self.zxid = zxid;
        if command.session != SessionId::NONE && !self.sessions.contains_key(&command.session) {
            return (Outcome::Refused(Code::SessionExpired), Vec::new());
        }
        match &command.kind {
            CommandKind::Multi(ops) => self.multi(zxid, command.time, command.session, None, ops),
            CommandKind::OpenSession { timeout_millis } => self.open_session(zxid, *timeout_millis),
            CommandKind::CloseSession { id } => self.close_session(zxid, *id),
            CommandKind::Clients(_) => unreachable!("handled above: its requests have zxids of their own"),
            CommandKind::Secret(secret) => {
                self.secret.get_or_insert_with(|| secret.clone());
                (Outcome::SecretKept, Vec::new())
            }
            CommandKind::Begin { timeout_millis, secret, ops } => {
                self.begin(zxid, command.time, (*timeout_millis, secret), ops)
            }
        }
    }

    /// All or nothing. Without identities no access list is asked.
    pub(super) fn multi(
        &mut self,
        zxid: Zxid,
        time: Timestamp,
        session: SessionId,
        ids: Option<&[Id]>,
        ops: &[Op],
    ) -> (Outcome, Vec<Change>) {
        let mut step = Step { zxid, time, session, ids, undo: Vec::new(), changes: Vec::new(), tree: self };
        let result = step.multi(ops);
        let changes = step.changes;
        (Outcome::Multi(result), changes)
    }

    fn open_session(&mut self, zxid: Zxid, timeout_millis: i32) -> (Outcome, Vec<Change>) {
        let id = SessionId(zxid.0);
        let attached = Zxid::default();
        self.sessions.insert(id, Session { timeout_millis, attached, ephemerals: BTreeSet::new() });
        (Outcome::SessionOpened(id), vec![Change::SessionOpened(id)])
    }

    fn begin(
        &mut self,
        zxid: Zxid,
        time: Timestamp,
        (timeout_millis, secret): (i32, &Secret),
        ops: &[Op],
    ) -> (Outcome, Vec<Change>) {
        let (_, mut changes) = self.open_session(zxid, timeout_millis);
        let id = SessionId(zxid.0);
        match self.multi(zxid, time, id, None, ops) {
            (Outcome::Multi(Ok(_)), done) => {
                changes.extend(done);
                self.secret.get_or_insert_with(|| secret.clone());
                (Outcome::Begun(id), changes)
            }
            (refused, _) => {
                self.sessions.remove(&id);
                (refused, Vec::new())
            }
        }
    }

    pub(super) fn close_session(&mut self, zxid: Zxid, id: SessionId) -> (Outcome, Vec<Change>) {
        let Some(session) = self.sessions.get(&id) else {
            return (Outcome::Refused(Code::UnknownSession), Vec::new());
        };
        let gone: Vec<_> = session.ephemerals.iter().cloned().collect();
        let mut changes = Vec::with_capacity(gone.len() + 1);
        for path in &gone {
            let node = self.remove(path).expect("a session's ephemerals are the nodes that it owns");
            let parent = self.touch_parent(path, |node| {
                node.children -= 1;
                node.pzxid = zxid;
            });
            changes.push(Change::Deleted(Arc::clone(path), Guards { node: node.acl, parent }));
        }
        self.sessions.remove(&id);
        changes.push(Change::SessionClosed(id));
        (Outcome::SessionClosed(gone), changes)
    }

    fn touch_parent(&mut self, path: &str, change: impl FnOnce(&mut Node)) -> Acls {
        let parent = parent(path).expect("only the root has no parent, and it is never created or deleted");
        let node = self.nodes.get_mut(parent).expect("a node's parent exists as long as the node");
        change(node);
        Arc::clone(&node.acl)
    }

    /// Puts a node in place, and into the index that its owner asks for.
    pub(super) fn insert(&mut self, path: Arc<str>, node: Node) {
        match Owner::from_field(node.owner) {
            Owner::Nobody => {}
            Owner::Container | Owner::Ttl { .. } => {
                self.perishable.insert(Arc::clone(&path));
            }
            Owner::Session(id) => {
                if let Some(session) = self.sessions.get_mut(&id) {
                    session.ephemerals.insert(Arc::clone(&path));
                }
            }
        }
        self.nodes.insert(path, Box::new(node));
    }

    fn remove(&mut self, path: &str) -> Option<Node> {
        let node = self.nodes.remove(path)?;
        match Owner::from_field(node.owner) {
            Owner::Nobody => {}
            Owner::Container | Owner::Ttl { .. } => {
                self.perishable.remove(path);
            }
            Owner::Session(id) => {
                if let Some(session) = self.sessions.get_mut(&id) {
                    session.ephemerals.remove(path);
                }
            }
        }
        Some(*node)
    }
}

impl Node {
    /// `ContainerManager`'s rule: a container goes once it has had children and has none; a TTL node once it has
    /// none and its data has been left alone for longer than its time to live.
    pub(super) fn has_perished(&self, now: Timestamp) -> bool {
        self.children == 0
            && match Owner::from_field(self.owner) {
                Owner::Container => self.creations > 0,
                Owner::Ttl { millis } => now.0.saturating_sub(self.mtime.0) > millis,
                Owner::Nobody | Owner::Session(_) => false,
            }
    }
}

/// One multi on its way.
struct Step<'a> {
    zxid: Zxid,
    time: Timestamp,
    session: SessionId,
    /// Who asks; none for the controller.
    ids: Option<&'a [Id]>,
    /// What stood at a path before, latest last.
    undo: Vec<(Arc<str>, Option<Node>)>,
    changes: Vec<Change>,
    tree: &'a mut Tree,
}

impl Step<'_> {
    fn multi(&mut self, ops: &[Op]) -> Result<Vec<OpResult>, MultiError> {
        if ops.len() > MAX_OPS {
            return Err(MultiError {
                index: MAX_OPS,
                code: Code::BadArguments,
                path: ops[MAX_OPS].path().to_owned(),
            });
        }
        let mut results = Vec::with_capacity(ops.len());
        for (index, op) in ops.iter().enumerate() {
            match self.operation(op) {
                Ok(result) => results.push(result),
                Err(code) => {
                    self.roll_back();
                    return Err(MultiError { index, code, path: op.path().to_owned() });
                }
            }
        }
        Ok(results)
    }

    fn roll_back(&mut self) {
        self.changes.clear();
        while let Some((path, before)) = self.undo.pop() {
            self.tree.remove(&path);
            if let Some(node) = before {
                self.tree.insert(path, node);
            }
        }
    }

    fn operation(&mut self, op: &Op) -> Result<OpResult, Code> {
        match op {
            Op::Create { path, data, acl, mode } => self.create(path, data.as_ref(), acl, *mode),
            Op::Delete { path, version } => self.delete(path, *version),
            Op::SetData { path, data, version } => self.set_data(path, data.as_ref(), *version),
            Op::SetAcl { path, acl, version } => self.set_acl(path, acl, *version),
            Op::Check { path, version } => {
                validate(path).map_err(|_| Code::BadArguments)?;
                let node = self.tree.nodes.get(path.as_str()).ok_or(Code::NoNode)?;
                self.authorize(&node.acl, Perms::READ)?;
                expect_version(node.version, *version)?;
                Ok(OpResult::Checked)
            }
            Op::DeleteContainer { path } => self.delete_container(path),
            Op::Refuse { code, .. } => Err(*code),
        }
    }

    fn authorize(&self, acl: &Acls, perms: Perms) -> Result<(), Code> {
        match self.ids {
            Some(ids) if !permits(acl, perms, ids) => Err(Code::NoAuth),
            _ => Ok(()),
        }
    }

    /// The list that a node shall have; what clients ask for is looked through first.
    fn list(&self, acl: &Acls) -> Result<Acls, Code> {
        match self.ids {
            _ if *acl == open_acl() => Ok(open_acl()),
            Some(ids) => fix(acl, ids).map(Acls::from),
            None if acl.is_empty() => Err(Code::InvalidAcl),
            None => Ok(Arc::clone(acl)),
        }
    }

    fn create(&mut self, path: &str, data: Option<&Bytes>, acl: &Acls, mode: Mode) -> Result<OpResult, Code> {
        check_weight(path, data.map_or(0, Bytes::len), acl)?;
        let owner = self.owner_for(mode)?;
        let parent_path = raw_parent(path)?;
        let acl = self.list(acl)?;
        let parent = self.tree.nodes.get(parent_path).ok_or(Code::NoNode)?;
        self.authorize(&parent.acl, Perms::CREATE)?;
        let path: Arc<str> = if mode.is_sequential() {
            Arc::from(format!("{path}{:010}", parent.creations))
        } else {
            Arc::from(path)
        };
        validate(&path).map_err(|_| Code::BadArguments)?;
        if self.tree.nodes.contains_key(&path) {
            return Err(Code::NodeExists);
        }
        if matches!(Owner::from_field(parent.owner), Owner::Session(_)) {
            return Err(Code::NoChildrenForEphemerals);
        }
        let guards = Guards { node: Arc::clone(&acl), parent: Arc::clone(&parent.acl) };
        let node = Node::new(data.cloned(), acl, owner, self.zxid, self.time);
        let stat = node.stat();
        self.replace(&Arc::from(parent_path), |parent, step| {
            parent.children += 1;
            parent.creations = parent.creations.wrapping_add(1);
            parent.pzxid = step.0;
        });
        self.undo.push((Arc::clone(&path), None));
        self.tree.insert(Arc::clone(&path), node);
        self.changes.push(Change::Created(Arc::clone(&path), guards));
        Ok(OpResult::Created { path, stat })
    }

    fn owner_for(&self, mode: Mode) -> Result<Owner, Code> {
        match mode {
            Mode::Persistent | Mode::PersistentSequential => Ok(Owner::Nobody),
            Mode::Container => Ok(Owner::Container),
            Mode::Ttl { millis } | Mode::TtlSequential { millis } => {
                if (1..=MAX_TTL_MILLIS).contains(&millis) {
                    Ok(Owner::Ttl { millis })
                } else {
                    Err(Code::BadArguments)
                }
            }
            Mode::Ephemeral | Mode::EphemeralSequential if self.session == SessionId::NONE => {
                Err(Code::BadArguments)
            }
            Mode::Ephemeral | Mode::EphemeralSequential => Ok(Owner::Session(self.session)),
        }
    }

    fn delete(&mut self, path: &str, version: i32) -> Result<OpResult, Code> {
        let parent_path = deletable(path)?;
        let parent = self.tree.nodes.get(parent_path).ok_or(Code::NoNode)?;
        self.authorize(&parent.acl, Perms::DELETE)?;
        let node = self.tree.nodes.get(path).ok_or(Code::NoNode)?;
        expect_version(node.version, version)?;
        if node.children > 0 {
            return Err(Code::NotEmpty);
        }
        self.take_out(path, parent_path);
        Ok(OpResult::Deleted)
    }

    fn delete_container(&mut self, path: &str) -> Result<OpResult, Code> {
        let parent_path = deletable(path)?;
        let node = self.tree.nodes.get(path).ok_or(Code::NoNode)?;
        if node.children > 0 {
            return Err(Code::NotEmpty);
        }
        // The timer's decision may be older than a touch of the node; ZooKeeper answers so too for ordinary nodes.
        if !node.has_perished(self.time) {
            return Err(Code::BadVersion);
        }
        self.take_out(path, parent_path);
        Ok(OpResult::Deleted)
    }

    fn take_out(&mut self, path: &str, parent_path: &str) {
        let path: Arc<str> = Arc::from(path);
        let before = self.tree.remove(&path).expect("the caller found the node");
        let node = Arc::clone(&before.acl);
        self.undo.push((Arc::clone(&path), Some(before)));
        self.replace(&Arc::from(parent_path), |parent, step| {
            parent.children -= 1;
            parent.pzxid = step.0;
        });
        let parent = self.tree.acl(parent_path).expect("it was replaced just now");
        let guards = Guards { node, parent: Arc::clone(parent) };
        self.changes.push(Change::Deleted(path, guards));
    }

    fn set_data(&mut self, path: &str, data: Option<&Bytes>, version: i32) -> Result<OpResult, Code> {
        validate(path).map_err(|_| Code::BadArguments)?;
        let node = self.tree.nodes.get(path).ok_or(Code::NoNode)?;
        self.authorize(&node.acl, Perms::WRITE)?;
        check_weight(path, data.map_or(0, Bytes::len), &node.acl)?;
        let guards = Guards { node: Arc::clone(&node.acl), parent: Arc::clone(&node.acl) };
        let next = expect_version(node.version, version)?;
        let path: Arc<str> = Arc::from(path);
        let stat = self.replace(&path, |node, (zxid, time)| {
            node.data = data.cloned();
            node.version = next;
            node.mzxid = zxid;
            node.mtime = time;
        });
        self.changes.push(Change::DataChanged(path, guards));
        Ok(OpResult::DataSet(stat))
    }

    fn set_acl(&mut self, path: &str, acl: &Acls, version: i32) -> Result<OpResult, Code> {
        validate(path).map_err(|_| Code::BadArguments)?;
        let acl = self.list(acl)?;
        let node = self.tree.nodes.get(path).ok_or(Code::NoNode)?;
        self.authorize(&node.acl, Perms::ADMIN)?;
        check_weight(path, node.bytes().len(), &acl)?;
        let next = expect_version(node.aversion, version)?;
        let path: Arc<str> = Arc::from(path);
        let stat = self.replace(&path, |node, _| {
            node.acl = acl;
            node.aversion = next;
        });
        self.changes.push(Change::AclChanged(path));
        Ok(OpResult::AclSet(stat))
    }

    /// Changes a node that exists, noting what it was.
    fn replace(&mut self, path: &Arc<str>, change: impl FnOnce(&mut Node, (Zxid, Timestamp))) -> super::Stat {
        let node = self.tree.nodes.get_mut(&**path).expect("the caller found the node");
        self.undo.push((Arc::clone(path), Some(Node::clone(node))));
        change(node, (self.zxid, self.time));
        node.stat()
    }
}

/// The version that follows, if the node has the expected one.
fn expect_version(current: i32, expected: i32) -> Result<i32, Code> {
    if expected != ANY_VERSION && expected != current {
        return Err(Code::BadVersion);
    }
    // −1 means "any version", so no node may ever have it (ZOOKEEPER-4743).
    Ok(if current == -2 { 0 } else { current.wrapping_add(1) })
}

/// The parent of a node that may be deleted; the root and ZooKeeper's own nodes may not.
fn deletable(path: &str) -> Result<&str, Code> {
    if matches!(path, "/" | "/zookeeper" | "/zookeeper/config" | "/zookeeper/quota") {
        return Err(Code::BadArguments);
    }
    raw_parent(path)
}

/// What stands before the last slash of a path not yet checked: ZooKeeper looks for the parent first, so most bad
/// paths are answered with "no node".
fn raw_parent(path: &str) -> Result<&str, Code> {
    match path.rsplit_once('/') {
        None => Err(Code::BadArguments),
        Some(_) if path.contains('\0') => Err(Code::BadArguments),
        Some(("", _)) => Ok("/"),
        Some((parent, _)) => Ok(parent),
    }
}

fn check_weight(path: &str, data: usize, acl: &Acls) -> Result<(), Code> {
    let entries: usize = acl.iter().map(|entry| entry.scheme.len() + entry.id.len() + 12).sum();
    if path.len() + data + entries > MAX_NODE_BYTES { Err(Code::BadArguments) } else { Ok(()) }
}
