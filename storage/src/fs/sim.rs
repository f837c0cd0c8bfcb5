//! A disk in memory that forgets, tears, fails and fills up when told, for crash tests.
//!
//! Must never touch the real disk or choose by itself: every whim comes from the seed or the cue that a test gave.

mod power_loss;
mod room;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use super::{Entry, File, Fs, Lock, Meta, Open};
use crate::ids::Timestamp;

/// What happens when the cue of [`SimFs::fault_after`] comes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SimFault {
    /// The operation fails once; later ones work.
    Error,
    /// No space is left: this and every later write fails until [`SimFs::heal`].
    Full,
    /// The process dies in the middle: a write keeps only its first half, and everything fails until
    /// [`SimFs::heal`] or [`SimFs::power_loss`].
    Death,
}

/// A disk that does not do what it was told, to see whether tests notice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SimLie {
    /// Syncs of files succeed and do nothing.
    Syncs,
    /// Files whose name ends so are never shortened.
    Shortening(&'static str),
}

/// A simulated file system; clones share one disk.
#[derive(Clone, Debug, Default)]
pub struct SimFs {
    disk: Arc<Mutex<Disk>>,
}

#[derive(Debug, Default)]
struct Disk {
    nodes: Vec<Node>,
    locks: BTreeSet<PathBuf>,
    now: i64,
    mutations: u64,
    cue: Option<(u64, SimFault)>,
    state: State,
    /// How many processes have died. A file is of the process that opened it: a thread of a dead one that is still running must not write
    /// into what the next one reads.
    deaths: u64,
    /// How many bytes more fit, if that is limited.
    free: Option<u64>,
    lie: Option<SimLie>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum State {
    #[default]
    Well,
    Full,
    Dead,
}

#[derive(Debug)]
enum Node {
    File { data: Vec<u8>, synced: Vec<u8>, pending: Vec<Change>, modified: i64 },
    Dir { names: Names, synced: Names, history: Vec<Names> },
}

type Names = BTreeMap<String, usize>;

/// A change of a file that a loss of power may undo.
#[derive(Clone, Debug)]
enum Change {
    Write(u64, Vec<u8>),
    Length(u64),
}

#[derive(Debug)]
struct SimFile {
    disk: Arc<Mutex<Disk>>,
    node: usize,
    suffix: String,
    /// The deaths before it was opened.
    deaths: u64,
}

impl SimFile {
    /// The disk, if the process that opened the file lives.
    fn disk(&self) -> io::Result<MutexGuard<'_, Disk>> {
        let disk = self.disk.lock();
        if self.deaths == disk.deaths { Ok(disk) } else { Err(dead()) }
    }
}

fn dead() -> io::Error {
    io::Error::other("the simulated process is dead")
}

#[derive(Debug)]
struct SimLock {
    disk: Arc<Mutex<Disk>>,
    path: PathBuf,
}

impl Lock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.disk.lock().locks.remove(&self.path);
    }
}

impl SimFs {
    pub fn new() -> Self {
        let fs = Self::default();
        fs.disk.lock().nodes.push(empty_dir());
        fs
    }

    /// Counts the operations that change the disk, so that a test can place a fault at each of them.
    pub fn mutations(&self) -> u64 {
        self.disk.lock().mutations
    }

    /// After `count` more changes the next one meets `fault`.
    pub fn fault_after(&self, count: u64, fault: SimFault) {
        let mut disk = self.disk.lock();
        disk.cue = Some((disk.mutations + count, fault));
    }

    /// Ends every fault; what was written stays, as after `kill -9`.
    pub fn heal(&self) {
        let mut disk = self.disk.lock();
        disk.cue = None;
        disk.free = None;
        disk.state = State::Well;
        disk.locks.clear();
    }

    /// Makes the disk a liar.
    pub fn lie(&self, lie: SimLie) {
        self.disk.lock().lie = Some(lie);
    }

    /// Loses power: of each file and directory everything synced stays, and of the changes since then a part that `seed`
    /// chooses: the first ones, with the last one torn or read back as zeros, or any of them, each with any of its
    /// sectors, as a disk does that reorders what was not synced.
    pub fn power_loss(&self, seed: u64) {
        self.heal();
        let mut chance = Chance(seed);
        let mut disk = self.disk.lock();
        disk.deaths += 1;
        for node in &mut disk.nodes {
            node.lose_power(&mut chance);
        }
    }

    /// Sets the modification time that later writes leave.
    pub fn set_now(&self, now: Timestamp) {
        self.disk.lock().now = now.0;
    }
}

impl Fs for SimFs {
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn File>> {
        let mut disk = self.disk.lock();
        disk.alive()?;
        let found = disk.find(path);
        let node = match (found, how) {
            (Some(node), Open::Truncate) => {
                disk.change_file(node, Change::Length(0))?;
                node
            }
            (Some(node), _) => node,
            (None, Open::Read | Open::Write) => return Err(io::ErrorKind::NotFound.into()),
            (None, Open::Create | Open::Truncate) => {
                disk.mutation()?;
                disk.take_name()?;
                let node = disk.nodes.len();
                let modified = disk.now;
                disk.nodes.push(Node::File {
                    data: Vec::new(),
                    synced: Vec::new(),
                    pending: Vec::new(),
                    modified,
                });
                disk.edit_parent(path, |names, name| names.insert(name, node))?;
                node
            }
        };
        if matches!(disk.nodes[node], Node::Dir { .. }) {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let suffix = path.extension().and_then(|suffix| suffix.to_str()).unwrap_or_default().to_owned();
        let deaths = disk.deaths;
        Ok(Arc::new(SimFile { disk: self.disk.clone(), node, suffix, deaths }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut disk = self.disk.lock();
        disk.mutation()?;
        assert_eq!(from.parent(), to.parent(), "the simulated disk renames within one directory");
        let node = disk.find(from).ok_or(io::ErrorKind::NotFound)?;
        let old = name_of(from)?;
        if let Some(replaced) = disk.find(to) {
            disk.give_back(replaced);
        }
        disk.edit_parent(to, |names, name| {
            names.remove(&old);
            names.insert(name, node)
        })
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.disk.lock();
        disk.mutation()?;
        let node = disk.find(path).ok_or(io::ErrorKind::NotFound)?;
        disk.give_back(node);
        disk.edit_parent(path, |names, name| names.remove(&name))
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.remove_file(path)
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.disk.lock();
        disk.alive()?;
        let mut at = PathBuf::new();
        for part in path.components() {
            at.push(part);
            if disk.find(&at).is_none() {
                disk.mutation()?;
                let node = disk.nodes.len();
                disk.nodes.push(empty_dir());
                disk.edit_parent(&at, |names, name| names.insert(name, node))?;
            }
        }
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let disk = self.disk.lock();
        disk.alive()?;
        let node = disk.find(dir).ok_or(io::ErrorKind::NotFound)?;
        let Node::Dir { names, .. } = &disk.nodes[node] else {
            return Err(io::ErrorKind::NotADirectory.into());
        };
        let entry = |(name, &node): (&String, &usize)| match &disk.nodes[node] {
            Node::File { data, .. } => Entry { name: name.clone(), is_dir: false, len: data.len() as u64 },
            Node::Dir { .. } => Entry { name: name.clone(), is_dir: true, len: 0 },
        };
        Ok(names.iter().map(entry).collect())
    }

    fn meta(&self, path: &Path) -> io::Result<Option<Meta>> {
        let disk = self.disk.lock();
        disk.alive()?;
        Ok(disk.find(path).map(|node| match &disk.nodes[node] {
            Node::File { data, modified, .. } => {
                Meta { is_dir: false, len: data.len() as u64, modified: Timestamp(*modified) }
            }
            Node::Dir { .. } => Meta { is_dir: true, len: 0, modified: Timestamp(0) },
        }))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut disk = self.disk.lock();
        disk.mutation()?;
        let node = disk.find(dir).ok_or(io::ErrorKind::NotFound)?;
        if let Node::Dir { names, synced, history } = &mut disk.nodes[node] {
            history.clear();
            synced.clone_from(names);
        }
        Ok(())
    }

    fn try_lock(&self, path: &Path) -> io::Result<Option<Box<dyn Lock>>> {
        self.open(path, Open::Create)?;
        if !self.disk.lock().locks.insert(path.to_owned()) {
            return Ok(None);
        }
        Ok(Some(Box::new(SimLock { disk: self.disk.clone(), path: path.to_owned() })))
    }
}

impl File for SimFile {
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        let disk = self.disk()?;
        disk.alive()?;
        let data = disk.data(self.node);
        let Some(rest) = usize::try_from(at).ok().and_then(|at| data.get(at..)) else { return Ok(0) };
        let n = rest.len().min(buf.len());
        buf[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }

    fn write_at(&self, buf: &[u8], at: u64) -> io::Result<()> {
        self.disk()?.change_file(self.node, Change::Write(at, buf.to_vec()))
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.disk()?.data(self.node).len() as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        if self.disk()?.lie.is_some_and(|lie| matches!(lie, SimLie::Shortening(of) if self.suffix == of)) {
            return Ok(());
        }
        self.disk()?.change_file(self.node, Change::Length(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut disk = self.disk()?;
        disk.mutation()?;
        if disk.lie == Some(SimLie::Syncs) {
            return Ok(());
        }
        if let Node::File { data, synced, pending, .. } = &mut disk.nodes[self.node] {
            pending.clear();
            synced.clone_from(data);
        }
        Ok(())
    }

    fn set_modified(&self, at: Timestamp) -> io::Result<()> {
        let mut disk = self.disk()?;
        disk.mutation()?;
        if let Node::File { modified, .. } = &mut disk.nodes[self.node] {
            *modified = at.0;
        }
        Ok(())
    }

    fn allocate(&self, _at: u64, len: u64) -> io::Result<()> {
        let mut disk = self.disk()?;
        disk.mutation()?;
        disk.has_room(len)
    }
}

impl Disk {
    fn alive(&self) -> io::Result<()> {
        if self.state == State::Dead { Err(dead()) } else { Ok(()) }
    }

    /// Counts one change and meets the fault that is due.
    fn mutation(&mut self) -> io::Result<()> {
        self.alive()?;
        if self.state == State::Full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.mutations += 1;
        match self.cue {
            Some((due, fault)) if self.mutations > due => {
                self.cue = None;
                match fault {
                    SimFault::Error => return Err(io::Error::other("simulated failure")),
                    SimFault::Full => self.state = State::Full,
                    SimFault::Death => {
                        self.state = State::Dead;
                        self.deaths += 1;
                    }
                }
                self.alive().and(Err(io::ErrorKind::StorageFull.into()))
            }
            _ => Ok(()),
        }
    }

    fn find(&self, path: &Path) -> Option<usize> {
        let mut node = 0;
        for part in path.components() {
            if let std::path::Component::Normal(name) = part {
                let Node::Dir { names, .. } = &self.nodes[node] else { return None };
                node = *names.get(name.to_str()?)?;
            }
        }
        Some(node)
    }

    fn edit_parent<T>(&mut self, path: &Path, edit: impl FnOnce(&mut Names, String) -> T) -> io::Result<()> {
        let name = name_of(path)?;
        let parent = path.parent().and_then(|dir| self.find(dir)).ok_or(io::ErrorKind::NotFound)?;
        let Node::Dir { names, history, .. } = &mut self.nodes[parent] else {
            return Err(io::ErrorKind::NotADirectory.into());
        };
        edit(names, name);
        history.push(names.clone());
        Ok(())
    }

    fn data(&self, node: usize) -> &[u8] {
        match &self.nodes[node] {
            Node::File { data, .. } => data,
            Node::Dir { .. } => &[],
        }
    }

    fn change_file(&mut self, node: usize, change: Change) -> io::Result<()> {
        let met = self.mutation();
        let died = met.is_err() && self.state == State::Dead;
        let change = match (met, change) {
            (Err(_), Change::Write(at, bytes)) if died => {
                Change::Write(at, bytes[..bytes.len() / 2].to_vec())
            }
            (Err(error), _) => return Err(error),
            (Ok(()), change) => change,
        };
        let (fits, is_all) = self.take_room(node, change);
        let now = self.now;
        if let Some(change) = fits {
            self.nodes[node].take(change, now);
        }
        if is_all { self.alive() } else { Err(io::ErrorKind::StorageFull.into()) }
    }
}

impl Change {
    fn apply(&self, data: &mut Vec<u8>) {
        match self {
            Self::Write(at, bytes) => {
                let at = usize::try_from(*at).expect("simulated files fit in memory");
                if data.len() < at + bytes.len() {
                    data.resize(at + bytes.len(), 0);
                }
                data[at..at + bytes.len()].copy_from_slice(bytes);
            }
            Self::Length(len) => {
                data.resize(usize::try_from(*len).expect("simulated files fit in memory"), 0);
            }
        }
    }
}

impl Node {
    fn lose_power(&mut self, chance: &mut Chance) {
        match self {
            Self::File { data, synced, pending, .. } => {
                data.clone_from(synced);
                if chance.below(2) == 0 {
                    power_loss::keep_first(data, pending, chance);
                } else {
                    power_loss::keep_any(data, pending, chance);
                }
                pending.clear();
                synced.clone_from(data);
            }
            Self::Dir { names, synced, history } => {
                let kept = chance.below(history.len() + 1);
                if kept > 0 {
                    synced.clone_from(&history[kept - 1]);
                }
                names.clone_from(synced);
                history.clear();
            }
        }
    }
}

fn empty_dir() -> Node {
    Node::Dir { names: Names::new(), synced: Names::new(), history: Vec::new() }
}

fn name_of(path: &Path) -> io::Result<String> {
    let name = path.file_name().and_then(|name| name.to_str()).ok_or(io::ErrorKind::InvalidInput)?;
    Ok(name.to_owned())
}

/// SplitMix64: enough to spread the choices of a seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let z = z ^ (z >> 31);
        usize::try_from(z % bound as u64).expect("smaller than a usize")
    }
}

#[cfg(test)]
mod tests;
