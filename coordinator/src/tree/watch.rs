//! Watches: who wants to hear of which change, and in what order events go out.
//!
//! Local to one replica and never in the log or a snapshot. Feed every [`Change`] of a command through
//! [`Watches::fire`] and queue the events for a watcher before any reply that shows the change: that is ZooKeeper's
//! promise. Must never look at a tree but to re-register.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::command::Acls;
use super::path::parent;
use super::stat::Zxid;
use super::{Change, Tree};

/// A connection; all watches that it holds on a path fire as one event.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct WatcherId(pub u64);

/// What a read leaves behind.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum WatchKind {
    /// Left by getData, and by exists whether or not the node is there.
    Data,
    /// Left by getChildren.
    Child,
    /// Both; only to look for watches and to remove them.
    Any,
}

/// What `addWatch` registers; stays until removed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum WatchMode {
    /// Data and child events of one node.
    Persistent,
    /// Everything about a node and what is below it, except child events, which the nodes' own events imply.
    PersistentRecursive,
}

/// ZooKeeper's event types, with their numbers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(i32)]
pub enum EventKind {
    Created = 1,
    Deleted = 2,
    DataChanged = 3,
    ChildrenChanged = 4,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub watcher: WatcherId,
    pub kind: EventKind,
    pub path: Arc<str>,
    /// Only those who may read by this list are told, else a path that is nobody's business would leak
    /// (CVE-2024-23944). None when a client asked about the path by its name.
    pub guard: Option<Acls>,
}

/// How a watcher watches one path in one table; several at once are possible.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Modes {
    once: bool,
    persistent: bool,
    recursive: bool,
}

/// ZooKeeper keeps data and child watches apart (`DataTree`), each with persistent ones among them.
#[derive(Debug, Default)]
struct Table {
    by_path: BTreeMap<Arc<str>, BTreeMap<WatcherId, Modes>>,
    by_watcher: BTreeMap<WatcherId, BTreeSet<Arc<str>>>,
    /// Recursive watches in `by_path`; while there are none, ancestors need no look.
    recursive: usize,
}

/// The watches of one replica.
#[derive(Debug, Default)]
pub struct Watches {
    data: Table,
    child: Table,
}

/// How many watches there are, for operators.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WatchCount {
    pub watchers: usize,
    pub paths: usize,
    pub watches: usize,
}

impl Watches {
    /// Leaves a one-shot watch, as a read does.
    pub fn watch(&mut self, watcher: WatcherId, path: &str, kind: WatchKind) {
        for table in self.tables(kind) {
            table.change(watcher, path, |modes| modes.once = true);
        }
    }

    /// Registers a watch that stays. A recursive one replaces a plain one on the same path, and the other way round.
    pub fn add(&mut self, watcher: WatcherId, path: &str, mode: WatchMode) {
        for table in self.tables(WatchKind::Any) {
            table.change(watcher, path, |modes| {
                modes.recursive = mode == WatchMode::PersistentRecursive;
                modes.persistent = mode == WatchMode::Persistent;
            });
        }
    }

    /// Removes a watcher's watches of a kind on a path, those that stay included; says whether there was one (else
    /// ZooKeeper's −121).
    pub fn remove(&mut self, watcher: WatcherId, path: &str, kind: WatchKind) -> bool {
        let had = self.has(watcher, path, kind);
        if had {
            for table in self.tables(kind) {
                table.change(watcher, path, |modes| *modes = Modes::default());
            }
        }
        had
    }

    /// Whether a watcher has a watch of a kind on a path.
    #[must_use]
    pub fn has(&self, watcher: WatcherId, path: &str, kind: WatchKind) -> bool {
        let here = |table: &Table| table.by_path.get(path).is_some_and(|all| all.contains_key(&watcher));
        kind != WatchKind::Child && here(&self.data) || kind != WatchKind::Data && here(&self.child)
    }

    /// Forgets a watcher: its connection is gone.
    pub fn forget(&mut self, watcher: WatcherId) {
        for table in self.tables(WatchKind::Any) {
            for path in table.by_watcher.get(&watcher).cloned().unwrap_or_default() {
                table.change(watcher, &path, |modes| *modes = Modes::default());
            }
        }
    }

    /// Data watches, as ZooKeeper's `wchs` counts them.
    #[must_use]
    pub fn count(&self) -> WatchCount {
        WatchCount {
            watchers: self.data.by_watcher.len(),
            paths: self.data.by_path.len(),
            watches: self.data.by_watcher.values().map(BTreeSet::len).sum(),
        }
    }

    /// Paths that one watcher watches, in either table.
    #[must_use]
    pub fn held_by(&self, watcher: WatcherId) -> usize {
        let held = |table: &Table| table.by_watcher.get(&watcher).map_or(0, BTreeSet::len);
        held(&self.data) + held(&self.child)
    }

    fn tables(&mut self, kind: WatchKind) -> impl Iterator<Item = &mut Table> {
        let data = (kind != WatchKind::Child).then_some(&mut self.data);
        let child = (kind != WatchKind::Data).then_some(&mut self.child);
        data.into_iter().chain(child)
    }

    /// Re-registers one-shot watches after a reconnect, and says what the watcher missed since `seen`
    /// (ZooKeeper's setWatches). Persistent watches are re-registered with [`Watches::add`]; what those missed is
    /// not replayed.
    pub fn set_again(&mut self, tree: &Tree, watcher: WatcherId, seen: Zxid, lost: &Lost<'_>) -> Vec<Event> {
        let mut missed = Vec::new();
        let mut again =
            |table: &mut Self, path: &str, kind, missed_event: Option<EventKind>| match missed_event {
                // DataTree.setWatches asks nobody's access list: who may not read a node hears of it here all the same.
                Some(kind) => missed.push(Event { watcher, kind, path: Arc::from(path), guard: None }),
                None => table.watch(watcher, path, kind),
            };
        for path in lost.data {
            let event = match tree.stat(path) {
                None => Some(EventKind::Deleted),
                Some(stat) => (stat.mzxid > seen).then_some(EventKind::DataChanged),
            };
            again(self, path, WatchKind::Data, event);
        }
        for path in lost.exist {
            let event = tree.stat(path).map(|_| EventKind::Created);
            again(self, path, WatchKind::Data, event);
        }
        for path in lost.child {
            let event = match tree.stat(path) {
                None => Some(EventKind::Deleted),
                Some(stat) => (stat.pzxid > seen).then_some(EventKind::ChildrenChanged),
            };
            again(self, path, WatchKind::Child, event);
        }
        missed
    }

    /// The events of one change, in ZooKeeper's order: the node's own, then its parent's. Among watchers, by id.
    pub fn fire(&mut self, change: &Change) -> Vec<Event> {
        let mut events = Vec::new();
        let (path, guards, kind) = match change {
            Change::Created(path, guards) => (path, guards, EventKind::Created),
            Change::Deleted(path, guards) => (path, guards, EventKind::Deleted),
            Change::DataChanged(path, guards) => (path, guards, EventKind::DataChanged),
            Change::AclChanged(_)
            | Change::SessionOpened(_)
            | Change::SessionAttached(..)
            | Change::SessionClosed(_) => return events,
        };
        let mut woken = self.data.trigger(path, kind);
        if kind == EventKind::Deleted {
            woken.extend(self.child.trigger(path, kind));
        }
        push(&mut events, woken, kind, path, &guards.node);
        if kind != EventKind::DataChanged
            && !self.child.by_path.is_empty()
            && let Some(parent) = parent(path)
        {
            let parent: Arc<str> = Arc::from(parent);
            let woken = self.child.trigger(&parent, EventKind::ChildrenChanged);
            push(&mut events, woken, EventKind::ChildrenChanged, &parent, &guards.parent);
        }
        events
    }
}

fn push(events: &mut Vec<Event>, woken: BTreeSet<WatcherId>, kind: EventKind, path: &Arc<str>, guard: &Acls) {
    events.extend(woken.into_iter().map(|watcher| Event {
        watcher,
        kind,
        path: Arc::clone(path),
        guard: Some(Arc::clone(guard)),
    }));
}

impl Table {
    /// Who hears of this; one-shot watches on the path itself are gone after it.
    fn trigger(&mut self, path: &Arc<str>, kind: EventKind) -> BTreeSet<WatcherId> {
        let mut woken = BTreeSet::new();
        if self.by_path.is_empty() {
            return woken;
        }
        let is_of_children = kind == EventKind::ChildrenChanged;
        let hears = |modes: &Modes| modes.once || modes.persistent || modes.recursive && !is_of_children;
        if let Some(watchers) = self.by_path.get(path) {
            woken.extend(watchers.iter().filter(|(_, modes)| hears(modes)).map(|(watcher, _)| *watcher));
        }
        for watcher in &woken {
            self.change(*watcher, path, |modes| modes.once = false);
        }
        if self.recursive > 0 && !is_of_children {
            let mut at = path.as_ref();
            while let Some(above) = parent(at) {
                let watchers = self.by_path.get(above).into_iter().flatten();
                woken.extend(watchers.filter(|(_, modes)| modes.recursive).map(|(watcher, _)| *watcher));
                at = above;
            }
        }
        woken
    }

    fn change(&mut self, watcher: WatcherId, path: &str, change: impl FnOnce(&mut Modes)) {
        let path: Arc<str> = match self.by_path.get_key_value(path) {
            Some((path, _)) => Arc::clone(path),
            None => Arc::from(path),
        };
        let watchers = self.by_path.entry(Arc::clone(&path)).or_default();
        let modes = watchers.entry(watcher).or_default();
        let was_recursive = modes.recursive;
        change(modes);
        let now = *modes;
        self.recursive = self.recursive + usize::from(now.recursive) - usize::from(was_recursive);
        if now != Modes::default() {
            self.by_watcher.entry(watcher).or_default().insert(path);
            return;
        }
        watchers.remove(&watcher);
        if watchers.is_empty() {
            self.by_path.remove(&path);
        }
        if let Some(paths) = self.by_watcher.get_mut(&watcher) {
            paths.remove(&path);
            if paths.is_empty() {
                self.by_watcher.remove(&watcher);
            }
        }
    }
}

/// The one-shot watches that a reconnecting client says it holds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lost<'a> {
    pub data: &'a [&'a str],
    pub exist: &'a [&'a str],
    pub child: &'a [&'a str],
}
