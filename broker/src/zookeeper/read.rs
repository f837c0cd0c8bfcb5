//! Requests that change nothing: answered from this node's tree, with their watches left behind.
//!
//! The answer is put into the mailbox while the tree is held, so it stands behind every event of what it shows, and
//! before every event of what it does not. Must never run before the changes that the same client asked for earlier.

use std::borrow::Cow;

use milena_coordinator::tree::{
    Acl, Code, Id, Lost, Perms, SessionId, Stat, Tree, WatchKind, WatchMode, WatcherId, Zxid, is_super,
    masked, permits,
};

use super::hub::Hub;
use super::jute::{Garbled, Input, Output};
use super::kafka_nodes::is_secret;
use super::mailbox::Mailbox;
use super::op_code::{
    ADD_WATCH, CHECK_WATCHES, ERROR, EXISTS, GET_ACL, GET_ALL_CHILDREN_NUMBER, GET_CHILDREN, GET_CHILDREN2,
    GET_DATA, GET_EPHEMERALS, MARSHALLING_ERROR, MULTI_READ, NO_WATCHER, PING, REMOVE_WATCHES, SET_WATCHES,
    SET_WATCHES2, WHO_AM_I,
};
use super::write::multi_header;

/// Who reads.
pub(super) struct Reader<'a> {
    pub(super) hub: &'a Hub,
    pub(super) watcher: WatcherId,
    pub(super) session: SessionId,
    pub(super) ids: &'a [Id],
}

/// What is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub(super) xid: i32,
    pub(super) op: i32,
    pub(super) input: Input<'a>,
}

/// Why a read has no body.
#[derive(Debug, PartialEq, Eq)]
enum Failure {
    Code(i32),
    Garbled,
}

/// Data, access list and numbers of a node.
type Seen<'t> = (Option<&'t [u8]>, &'t [Acl], Stat);

impl From<Garbled> for Failure {
    fn from(_: Garbled) -> Self {
        Self::Garbled
    }
}

impl From<Code> for Failure {
    fn from(code: Code) -> Self {
        Self::Code(code.number())
    }
}

pub(super) fn is_read(op: i32) -> bool {
    matches!(
        op,
        EXISTS
            | GET_DATA
            | GET_ACL
            | GET_CHILDREN
            | GET_CHILDREN2
            | GET_ALL_CHILDREN_NUMBER
            | GET_EPHEMERALS
            | MULTI_READ
            | SET_WATCHES
            | SET_WATCHES2
            | ADD_WATCH
            | CHECK_WATCHES
            | REMOVE_WATCHES
            | WHO_AM_I
            | PING
    )
}

impl Reader<'_> {
    /// Answers into the mailbox; the caller holds the tree. `scratch` is empty before and after.
    pub(super) fn answer(&self, tree: &Tree, asked: Asked<'_>, mailbox: &Mailbox, scratch: &mut Vec<u8>) {
        let Asked { xid, op, input } = asked;
        let code = match self.frame(tree, xid, op, input, scratch) {
            Ok(()) => None,
            Err(Failure::Code(code)) => Some(code),
            Err(Failure::Garbled) => Some(MARSHALLING_ERROR),
        };
        if let Some(code) = code {
            scratch.clear();
            Output(scratch).frame(|out| out.header(xid, tree.zxid().0, code));
        }
        mailbox.lock().out.append(scratch);
    }

    /// The mailbox is not held meanwhile: missed events go there too, before the answer.
    fn frame(
        &self,
        tree: &Tree,
        xid: i32,
        op: i32,
        input: Input<'_>,
        scratch: &mut Vec<u8>,
    ) -> Result<(), Failure> {
        let mut result = Ok(());
        Output(scratch).frame(|out| {
            out.header(xid, tree.zxid().0, 0);
            result = self.body(tree, op, input, out);
        });
        result
    }

    fn body(&self, tree: &Tree, op: i32, mut input: Input<'_>, out: &mut Output<'_>) -> Result<(), Failure> {
        match op {
            PING => {}
            SET_WATCHES | SET_WATCHES2 => self.set_watches(tree, op, input)?,
            EXISTS => self.exists(tree, &mut input, out)?,
            GET_DATA => self.get_data(tree, &mut input, true, out)?,
            GET_CHILDREN => _ = self.get_children(tree, &mut input, true, out)?,
            GET_CHILDREN2 => {
                let path = self.get_children(tree, &mut input, true, out)?;
                out.stat(&tree.stat(&path).ok_or(Code::NoNode)?);
            }
            GET_ACL => self.get_acl(tree, &mut input, out)?,
            GET_ALL_CHILDREN_NUMBER => {
                let path = input.string()?;
                let path = root(&path);
                self.node(tree, path, Perms::READ)?;
                out.length(tree.subtree(path).count() - 1);
            }
            GET_EPHEMERALS => self.get_ephemerals(tree, &mut input, out)?,
            MULTI_READ => self.multi_read(tree, &mut input, out)?,
            ADD_WATCH => {
                let path = input.string()?;
                let mode = match input.int()? {
                    0 => WatchMode::Persistent,
                    1 => WatchMode::PersistentRecursive,
                    _ => return Err(Failure::Garbled),
                };
                self.hub.add_watch(self.watcher, &path, mode);
                out.int(0);
            }
            CHECK_WATCHES | REMOVE_WATCHES => {
                let path = input.string()?;
                let kind = match input.int()? {
                    1 => WatchKind::Child,
                    2 => WatchKind::Data,
                    3 => WatchKind::Any,
                    _ => return Err(Failure::Garbled),
                };
                let found = if op == CHECK_WATCHES {
                    self.hub.has_watch(self.watcher, &path, kind)
                } else {
                    self.hub.remove_watch(self.watcher, &path, kind)
                };
                if !found {
                    return Err(Failure::Code(NO_WATCHER));
                }
            }
            WHO_AM_I => self.who_am_i(out),
            _ => return Err(Failure::Garbled),
        }
        Ok(())
    }

    /// The node, if this client may see it.
    fn node<'t>(&self, tree: &'t Tree, path: &str, perms: Perms) -> Result<Seen<'t>, Failure> {
        let (data, acl, stat) = tree.node(path).ok_or(Code::NoNode)?;
        let hidden = is_secret(path) && !is_super(self.ids);
        if hidden || !permits(acl, perms, self.ids) {
            return Err(Code::NoAuth.into());
        }
        Ok((data, acl, stat))
    }

    fn exists(&self, tree: &Tree, input: &mut Input<'_>, out: &mut Output<'_>) -> Result<(), Failure> {
        let (path, watch) = (input.string()?, input.boolean()?);
        if path.contains('\0') {
            return Err(Code::BadArguments.into());
        }
        if watch {
            self.hub.watch(self.watcher, &path, WatchKind::Data);
        }
        out.stat(&tree.stat(root(&path)).ok_or(Code::NoNode)?);
        Ok(())
    }

    fn get_data(
        &self,
        tree: &Tree,
        input: &mut Input<'_>,
        alone: bool,
        out: &mut Output<'_>,
    ) -> Result<(), Failure> {
        let (path, watch) = (input.string()?, input.boolean()?);
        let (data, _, stat) = self.node(tree, root(&path), Perms::READ)?;
        if watch && alone {
            self.hub.watch(self.watcher, &path, WatchKind::Data);
        }
        out.buffer(data);
        out.stat(&stat);
        Ok(())
    }

    fn get_children(
        &self,
        tree: &Tree,
        input: &mut Input<'_>,
        alone: bool,
        out: &mut Output<'_>,
    ) -> Result<String, Failure> {
        let (path, watch) = (input.string()?, input.boolean()?);
        let path = root(&path);
        self.node(tree, path, Perms::READ)?;
        if watch && alone {
            self.hub.watch(self.watcher, path, WatchKind::Child);
        }
        out.strings(tree.children(path));
        Ok(path.to_owned())
    }

    fn get_acl(&self, tree: &Tree, input: &mut Input<'_>, out: &mut Output<'_>) -> Result<(), Failure> {
        let path = input.string()?;
        let (_, acl, stat) = self.node(tree, root(&path), Perms::READ_OR_ADMIN)?;
        if permits(acl, Perms::ADMIN, self.ids) {
            out.acls(acl);
        } else {
            out.acls(&masked(acl));
        }
        out.stat(&stat);
        Ok(())
    }

    fn get_ephemerals(
        &self,
        tree: &Tree,
        input: &mut Input<'_>,
        out: &mut Output<'_>,
    ) -> Result<(), Failure> {
        let prefix = input.text()?.unwrap_or_default();
        let all = matches!(prefix.trim(), "" | "/");
        let own = tree.session(self.session).into_iter().flat_map(|session| &session.ephemerals);
        out.strings(own.map(|path| &**path).filter(|path| all || path.starts_with(&*prefix)));
        Ok(())
    }

    /// Each read for itself: one that fails leaves its code among the answers.
    fn multi_read(&self, tree: &Tree, input: &mut Input<'_>, out: &mut Output<'_>) -> Result<(), Failure> {
        loop {
            let (op, done, _code) = (input.int()?, input.boolean()?, input.int()?);
            if done {
                multi_header(out, -1, true, -1);
                return Ok(());
            }
            let start = out.0.len();
            multi_header(out, op, false, 0);
            let result = match op {
                GET_DATA => self.get_data(tree, input, false, out),
                GET_CHILDREN => self.get_children(tree, input, false, out).map(drop),
                _ => return Err(Failure::Garbled),
            };
            match result {
                Ok(()) => {}
                Err(Failure::Code(code)) => {
                    out.0.truncate(start);
                    multi_header(out, ERROR, false, code);
                    out.int(code);
                }
                Err(Failure::Garbled) => return Err(Failure::Garbled),
            }
        }
    }

    fn who_am_i(&self, out: &mut Output<'_>) {
        out.length(self.ids.len());
        for id in self.ids {
            let user =
                if id.scheme == "digest" { id.id.split(':').next().unwrap_or_default() } else { &id.id };
            out.string(&id.scheme);
            out.string(user);
        }
    }

    fn set_watches(&self, tree: &Tree, op: i32, mut input: Input<'_>) -> Result<(), Garbled> {
        let seen = Zxid(input.long()?);
        let [data, exist, child] = [input.strings()?, input.strings()?, input.strings()?];
        let (persistent, recursive) = match op {
            SET_WATCHES2 => (input.strings()?, input.strings()?),
            _ => Default::default(),
        };
        let (data, exist, child) = (borrowed(&data), borrowed(&exist), borrowed(&child));
        let lost = Lost { data: &data, exist: &exist, child: &child };
        self.hub.set_again(tree, self.watcher, seen, &lost);
        for path in &persistent {
            self.hub.add_watch(self.watcher, path, WatchMode::Persistent);
        }
        for path in &recursive {
            self.hub.add_watch(self.watcher, path, WatchMode::PersistentRecursive);
        }
        Ok(())
    }
}

fn borrowed<'a>(paths: &'a [Cow<'_, str>]) -> Vec<&'a str> {
    paths.iter().map(AsRef::as_ref).collect()
}

/// ZooKeeper's root has the empty path too.
fn root(path: &str) -> &str {
    if path.is_empty() { "/" } else { path }
}
