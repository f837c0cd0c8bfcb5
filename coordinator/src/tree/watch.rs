//! Watches: who wants to hear of which change, and in what order events go out.
//!
//! Local to one replica and never in the log or a snapshot. Feed every [`Change`] of a command through
//! [`Watches::fire`] and queue the events for a watcher before any reply that shows the change: that is ZooKeeper's
//! promise. Must never look at a tree but to re-register.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

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
}

/// How a watcher watches one path; several at once are possible.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Modes {
    data: bool,
    child: bool,
    persistent: bool,
    recursive: bool,
}

impl Modes {
    fn is_none(self) -> bool {
        self == Self::default()
    }
}

/// The watches of one replica.
#[derive(Debug, Default)]
pub struct Watches {
    by_path: BTreeMap<Arc<str>, BTreeMap<WatcherId, Modes>>,
    by_watcher: BTreeMap<WatcherId, BTreeSet<Arc<str>>>,
    /// Recursive watches in `by_path`; while there are none, ancestors need no look.
    recursive: usize,
}

impl Watches {
    /// Leaves a one-shot watch, as a read does.
    pub fn watch(&mut self, watcher: WatcherId, path: &str, kind: WatchKind) {
        self.change(watcher, path, |modes| match kind {
            WatchKind::Data => modes.data = true,
            WatchKind::Child => modes.child = true,
        });
    }

    /// Registers a watch that stays. A recursive one replaces a plain one on the same path, and the other way round.
    pub fn add(&mut self, watcher: WatcherId, path: &str, mode: WatchMode) {
        self.change(watcher, path, |modes| {
            modes.recursive = mode == WatchMode::PersistentRecursive;
            modes.persistent = mode == WatchMode::Persistent;
        });
    }

    /// Removes every watch of a watcher on a path; says whether there was one (else ZooKeeper's −121).
    pub fn remove(&mut self, watcher: WatcherId, path: &str) -> bool {
        let had = self.by_path.get(path).is_some_and(|watchers| watchers.contains_key(&watcher));
        if had {
            self.change(watcher, path, |modes| *modes = Modes::default());
        }
        had
    }

    /// Forgets a watcher: its connection is gone.
    pub fn forget(&mut self, watcher: WatcherId) {
        for path in self.by_watcher.get(&watcher).cloned().unwrap_or_default() {
            self.change(watcher, &path, |modes| *modes = Modes::default());
        }
    }

    /// Re-registers one-shot watches after a reconnect, and says what the watcher missed since `seen`
    /// (ZooKeeper's setWatches). Persistent watches are re-registered with [`Watches::add`]; what those missed is
    /// not replayed.
    pub fn set_again(&mut self, tree: &Tree, watcher: WatcherId, seen: Zxid, lost: &Lost<'_>) -> Vec<Event> {
        let mut missed = Vec::new();
        let mut again =
            |table: &mut Self, path: &str, kind, missed_event: Option<EventKind>| match missed_event {
                Some(kind) => missed.push(Event { watcher, kind, path: Arc::from(path) }),
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
        match change {
            Change::Created(path) => {
                self.trigger(path, EventKind::Created, &mut events);
                self.trigger_parent(path, &mut events);
            }
            Change::Deleted(path) => {
                self.trigger(path, EventKind::Deleted, &mut events);
                self.trigger_parent(path, &mut events);
            }
            Change::DataChanged(path) => self.trigger(path, EventKind::DataChanged, &mut events),
            Change::AclChanged(_) | Change::SessionOpened(_) | Change::SessionClosed(_) => {}
        }
        events
    }

    fn trigger_parent(&mut self, path: &str, events: &mut Vec<Event>) {
        if let Some(parent) = parent(path) {
            self.trigger(&Arc::from(parent), EventKind::ChildrenChanged, events);
        }
    }

    fn trigger(&mut self, path: &Arc<str>, kind: EventKind, events: &mut Vec<Event>) {
        let mut woken = BTreeSet::new();
        if let Some(watchers) = self.by_path.get(path) {
            woken.extend(watchers.iter().filter(|(_, modes)| modes.hear(kind)).map(|(watcher, _)| *watcher));
        }
        for watcher in &woken {
            self.change(*watcher, path, |modes| modes.spend(kind));
        }
        if self.recursive > 0 && kind != EventKind::ChildrenChanged {
            let mut at = path.as_ref();
            while let Some(above) = parent(at) {
                let watchers = self.by_path.get(above).into_iter().flatten();
                woken.extend(watchers.filter(|(_, modes)| modes.recursive).map(|(watcher, _)| *watcher));
                at = above;
            }
        }
        events.extend(woken.into_iter().map(|watcher| Event { watcher, kind, path: Arc::clone(path) }));
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
        if !now.is_none() {
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

impl Modes {
    fn hear(self, kind: EventKind) -> bool {
        match kind {
            EventKind::Created | EventKind::DataChanged => self.data || self.persistent || self.recursive,
            EventKind::Deleted => self.data || self.child || self.persistent || self.recursive,
            EventKind::ChildrenChanged => self.child || self.persistent,
        }
    }

    /// One-shot watches are gone once they fired; a deletion fires both kinds.
    fn spend(&mut self, kind: EventKind) {
        match kind {
            EventKind::Created | EventKind::DataChanged => self.data = false,
            EventKind::Deleted => (self.data, self.child) = (false, false),
            EventKind::ChildrenChanged => self.child = false,
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
