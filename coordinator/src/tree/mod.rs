//! A ZooKeeper-like tree: nodes with versions, ephemeral nodes bound to sessions, sequential nodes, atomic multis.
//!
//! A pure state machine. Its only change is [`Tree::apply`], a function of the tree, the zxid and the command, so
//! replicas that apply the same log are equal byte for byte. Must never ask a clock, draw a random number, do I/O or
//! iterate an unordered map.
//!
//! The semantics are ZooKeeper's (`PrepRequestProcessor`, `DataTree`), down to what a client can see in a `Stat`.

mod acl;
mod apply;
mod apply_client;
mod client;
mod client_bytes;
mod command;
mod command_bytes;
mod path;
mod snapshot;
mod stat;
mod watch;
mod wire;

use std::collections::BTreeSet;
use std::collections::btree_map::{self, BTreeMap};
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use milena_storage::ids::Timestamp;

pub use acl::{Guards, Id, Ids, Perms, fix as fix_acl, is_super, masked, permits};
pub use client::{ClientKind, ClientRequest, PASSWORD_BYTES, Secret};
pub use command::{
    ANY_VERSION, Acl, Acls, Code, Command, CommandKind, Mode, MultiError, Op, OpResult, Outcome, open_acl,
};
pub use path::{PathError, parent, validate as validate_path};
pub use snapshot::SnapshotError;
pub use stat::{MAX_TTL_MILLIS, Owner, SessionId, Stat, Zxid};
pub use watch::{Event, EventKind, Lost, WatchCount, WatchKind, WatchMode, WatcherId, Watches};
pub use wire::Malformed;

/// Most that one node may weigh (path, data and access list), as ZooKeeper's `jute.maxbuffer`.
pub const MAX_NODE_BYTES: usize = 0xf_ffff;
/// Most operations in one multi: more than any controller decision needs, few enough to apply without a pause.
pub const MAX_OPS: usize = 100_000;

/// What a command did to the tree, in the order in which it did it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Created(Arc<str>, Guards),
    Deleted(Arc<str>, Guards),
    DataChanged(Arc<str>, Guards),
    AclChanged(Arc<str>),
    SessionOpened(SessionId),
    /// The session is served by the connection that attached itself with this zxid.
    SessionAttached(SessionId, Zxid),
    SessionClosed(SessionId),
}

/// A session and the ephemeral nodes that live as long as it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    pub timeout_millis: i32,
    /// Zxid of the command that bound a client's session to the connection that serves it: only this one may use it.
    /// Zero for the sessions of brokers, which have no such connection.
    pub attached: Zxid,
    /// Derived from the nodes' owners.
    pub ephemerals: BTreeSet<Arc<str>>,
}

/// The tree with its sessions. See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    /// By full path. A node's descendants follow it, though not at once: `/a`, `/a-b`, `/a/b`.
    /// Boxed, for a map keeps its leaves half empty: a node is much larger than a pointer.
    nodes: BTreeMap<Arc<str>, Box<Node>>,
    sessions: BTreeMap<SessionId, Session>,
    /// Containers and TTL nodes: those that a timer may remove. Derived from the nodes' owners.
    perishable: BTreeSet<Arc<str>>,
    secret: Option<Secret>,
    zxid: Zxid,
}

/// A node as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Node {
    data: Option<Bytes>,
    acl: Acls,
    czxid: Zxid,
    mzxid: Zxid,
    pzxid: Zxid,
    ctime: Timestamp,
    mtime: Timestamp,
    version: i32,
    aversion: i32,
    /// Children ever created: the next sequential suffix. ZooKeeper keeps this number and shows a client the count of
    /// creations *and* deletions, which follows from it and the number of children (`DataNode.copyStat`).
    creations: i32,
    children: i32,
    owner: i64,
}

impl Node {
    fn new(data: Option<Bytes>, acl: Acls, owner: Owner, zxid: Zxid, time: Timestamp) -> Self {
        Self {
            data,
            acl,
            czxid: zxid,
            mzxid: zxid,
            pzxid: zxid,
            ctime: time,
            mtime: time,
            version: 0,
            aversion: 0,
            creations: 0,
            children: 0,
            owner: owner.field(),
        }
    }

    fn bytes(&self) -> &[u8] {
        self.data.as_deref().unwrap_or_default()
    }

    fn stat(&self) -> Stat {
        Stat {
            czxid: self.czxid,
            mzxid: self.mzxid,
            ctime: self.ctime,
            mtime: self.mtime,
            version: self.version,
            cversion: self.creations.wrapping_mul(2).wrapping_sub(self.children),
            aversion: self.aversion,
            ephemeral_owner: self.owner,
            data_length: i32::try_from(self.bytes().len()).expect("data is at most a mebibyte"),
            num_children: self.children,
            pzxid: self.pzxid,
        }
    }
}

impl Default for Tree {
    fn default() -> Self {
        Self::new()
    }
}

impl Tree {
    /// The tree before its first command. Like ZooKeeper's it holds `/zookeeper` with `config` and `quota`; these
    /// were never created by a command, which is why their parents' cversions are negative.
    #[must_use]
    pub fn new() -> Self {
        // The reserved node that a client could otherwise make larger than the rest (ZOOKEEPER-2014).
        let read_only = Acls::from([Acl { perms: 1, scheme: "world".to_owned(), id: "anyone".to_owned() }]);
        let reserved = |path: &str, children| {
            let acl = if path == "/zookeeper/config" { Arc::clone(&read_only) } else { open_acl() };
            let mut node = Node::new(Some(Bytes::new()), acl, Owner::Nobody, Zxid::default(), Timestamp(0));
            node.children = children;
            Box::new(node)
        };
        let nodes = [("/", 1), ("/zookeeper", 2), ("/zookeeper/config", 0), ("/zookeeper/quota", 0)];
        Self {
            nodes: nodes.into_iter().map(|(path, count)| (Arc::from(path), reserved(path, count))).collect(),
            sessions: BTreeMap::new(),
            perishable: BTreeSet::new(),
            secret: None,
            zxid: Zxid::default(),
        }
    }

    /// Zxid of the last command applied.
    #[must_use]
    pub fn zxid(&self) -> Zxid {
        self.zxid
    }

    #[must_use]
    pub fn get(&self, path: &str) -> Option<(&[u8], Stat)> {
        self.nodes.get(path).map(|node| (node.bytes(), node.stat()))
    }

    /// Like [`Tree::get`], with the data as a cheap copy that outlives the borrow.
    #[must_use]
    pub fn get_shared(&self, path: &str) -> Option<(Bytes, Stat)> {
        self.nodes.get(path).map(|node| (node.data.clone().unwrap_or_default(), node.stat()))
    }

    /// All of a node that clients can see. Data that was never given is none, not empty.
    #[must_use]
    pub fn node(&self, path: &str) -> Option<(Option<&[u8]>, &Acls, Stat)> {
        self.nodes.get(path).map(|node| (node.data.as_deref(), &node.acl, node.stat()))
    }

    /// The secret that session passwords are made with; none before the first was kept.
    #[must_use]
    pub fn secret(&self) -> Option<&Secret> {
        self.secret.as_ref()
    }

    #[must_use]
    pub fn stat(&self, path: &str) -> Option<Stat> {
        self.nodes.get(path).map(|node| node.stat())
    }

    #[must_use]
    pub fn acl(&self, path: &str) -> Option<&Acls> {
        self.nodes.get(path).map(|node| &node.acl)
    }

    /// The names of a node's children, in byte order; nothing if there is no such node.
    #[must_use]
    pub fn children<'a>(&'a self, path: &str) -> Children<'a> {
        let prefix = if path == "/" { "/".to_owned() } else { format!("{path}/") };
        let range = self.range_from(&prefix);
        Children { nodes: &self.nodes, prefix, range }
    }

    /// A node and everything below it, by full path, parents before children.
    pub fn subtree<'a>(&'a self, path: &'a str) -> impl Iterator<Item = (&'a Arc<str>, &'a [u8], Stat)> {
        let below = if path == "/" { "/".to_owned() } else { format!("{path}/") };
        let this = self.nodes.get_key_value(path).into_iter();
        let descendants = self.range_from(&below);
        this.chain(
            descendants
                .take_while(move |(key, _)| key.starts_with(&below))
                .filter(|(key, _)| key.as_ref() != "/"),
        )
        .map(|(key, node)| (key, node.bytes(), node.stat()))
    }

    #[must_use]
    pub fn session(&self, id: SessionId) -> Option<&Session> {
        self.sessions.get(&id)
    }

    pub fn sessions(&self) -> impl Iterator<Item = (SessionId, &Session)> {
        self.sessions.iter().map(|(id, session)| (*id, session))
    }

    /// Number of nodes, reserved ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Never: the root is always there.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Containers and TTL nodes whose time has come, for the leader's timer: each wants an
    /// [`Op::DeleteContainer`] of its own, which is checked again when it is applied.
    pub fn perished(&self, now: Timestamp) -> impl Iterator<Item = &Arc<str>> {
        self.perishable
            .iter()
            .filter(move |path| self.nodes.get(&**path).is_some_and(|n| n.has_perished(now)))
    }

    fn range_from(&self, lower: &str) -> btree_map::Range<'_, Arc<str>, Box<Node>> {
        self.nodes.range::<str, _>((Bound::Included(lower), Bound::Unbounded))
    }
}

/// See [`Tree::children`].
#[derive(Debug)]
pub struct Children<'a> {
    nodes: &'a BTreeMap<Arc<str>, Box<Node>>,
    prefix: String,
    range: btree_map::Range<'a, Arc<str>, Box<Node>>,
}

impl<'a> Iterator for Children<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        loop {
            let (key, _) = self.range.next()?;
            let name = key.strip_prefix(self.prefix.as_str())?;
            match name.split_once('/') {
                None if name.is_empty() => {} // the root among the root's own range
                None => return Some(name),
                Some((child, _)) => {
                    // The descendants of a child: '0' is the character after '/'.
                    let after = format!("{}{child}0", self.prefix);
                    self.range =
                        self.nodes.range::<str, _>((Bound::Included(after.as_str()), Bound::Unbounded));
                }
            }
        }
    }
}
