//! The network between a cluster's nodes: a door in front of each of their listeners, through which the others come.
//!
//! What goes from one node to another can be held back, in one direction or in both, as a network does that loses packets: connections
//! stay open, what is sent does not come, and comes when the cut is healed. It must never touch what does not come from a node.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use crate::wait;

/// Whoever is no node: nothing is held back from it.
const NOBODY: i32 = -1;
/// A node's process is known a moment after it has begun to run.
const KNOWN_WITHIN: Duration = Duration::from_secs(2);
const BUFFER: usize = 64 << 10;

/// All doors of a cluster. Dropping it lets everything pass and closes the doors.
#[derive(Debug)]
pub struct Links {
    state: Arc<State>,
    doors: Vec<SocketAddr>,
}

#[derive(Debug, Default)]
struct State {
    network: Mutex<Network>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Network {
    /// From whom to whom nothing comes.
    cuts: BTreeSet<(i32, i32)>,
    pids: BTreeMap<i32, u32>,
    is_over: bool,
}

impl Links {
    #[must_use]
    pub fn new() -> Self {
        Self { state: Arc::default(), doors: Vec::new() }
    }

    /// Makes a door to a node's listener; the other nodes are told its address.
    ///
    /// # Panics
    /// When no port can be had.
    pub fn door(&mut self, to: i32, listener: SocketAddr) -> SocketAddr {
        let door = TcpListener::bind((Ipv4Addr::LOCALHOST, crate::port::free())).expect("a free port");
        let address = door.local_addr().expect("a bound socket");
        let state = Arc::clone(&self.state);
        thread::spawn(move || {
            for stream in door.incoming() {
                if state.lock().is_over {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let state = Arc::clone(&state);
                thread::spawn(move || state.pass(to, stream, listener));
            }
        });
        self.doors.push(address);
        address
    }

    /// Tells which process a node is now.
    pub fn is_process(&self, node: i32, pid: u32) {
        self.state.change(|network| {
            network.pids.insert(node, pid);
        });
    }

    /// From now on nothing comes from one node to another.
    pub fn cut(&self, from: i32, to: i32) {
        self.state.change(|network| {
            network.cuts.insert((from, to));
        });
    }

    /// Everything comes again, also what was held back.
    pub fn heal(&self) {
        self.state.change(|network| network.cuts.clear());
    }
}

impl Default for Links {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        self.state.change(|network| {
            network.cuts.clear();
            network.is_over = true;
        });
        // Wakes those that wait for somebody to come.
        self.doors.iter().for_each(|door| drop(TcpStream::connect(door)));
    }
}

impl State {
    fn lock(&self) -> MutexGuard<'_, Network> {
        self.network.lock().expect("no holder panics")
    }

    fn change(&self, change: impl FnOnce(&mut Network)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    /// Returns when something from one node would reach the other.
    fn until_open(&self, from: i32, to: i32) {
        let mut network = self.lock();
        while network.cuts.contains(&(from, to)) {
            network = self.changed.wait(network).expect("no holder panics");
        }
    }

    fn pass(&self, to: i32, coming: TcpStream, listener: SocketAddr) {
        let Ok(peer) = coming.peer_addr() else { return };
        let from = wait::until_or(KNOWN_WITHIN, || self.who(peer)).unwrap_or(NOBODY);
        // A handshake needs both ways.
        self.until_open(from, to);
        self.until_open(to, from);
        // Nobody listens while the node is down; the connection is closed then.
        let Ok(going) = TcpStream::connect(listener) else { return };
        let _ = (coming.set_nodelay(true), going.set_nodelay(true));
        let (Ok(back_from), Ok(back_to)) = (going.try_clone(), coming.try_clone()) else { return };
        thread::scope(|scope| {
            scope.spawn(|| self.pump(coming, going, (from, to)));
            self.pump(back_from, back_to, (to, from));
        });
    }

    /// Passes on what comes until one side ends. An end is held back too.
    fn pump(&self, mut source: TcpStream, mut sink: TcpStream, (from, to): (i32, i32)) {
        let mut buffer = vec![0; BUFFER];
        loop {
            let read = source.read(&mut buffer).unwrap_or(0);
            self.until_open(from, to);
            if read == 0 || sink.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
        let _ = sink.shutdown(Shutdown::Write);
        let _ = source.shutdown(Shutdown::Read);
    }

    /// The node whose process holds the other end of a connection.
    fn who(&self, peer: SocketAddr) -> Option<i32> {
        let inode = inode(&fs::read_to_string("/proc/net/tcp").ok()?, peer.port())?;
        let pids = self.lock().pids.clone();
        pids.into_iter().find(|(_, pid)| holds(*pid, &inode)).map(|(node, _)| node)
    }
}

/// The number of the socket that has this port on its own side, from the kernel's table of connections.
fn inode(table: &str, port: u16) -> Option<String> {
    const LOCAL: usize = 1;
    const INODE: usize = 9;
    let ending = format!(":{port:04X}");
    table.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let inode = *words.get(INODE)?;
        // What is closed already has none.
        (words.get(LOCAL)?.ends_with(&ending) && inode != "0").then(|| inode.to_owned())
    })
}

fn holds(pid: u32, inode: &str) -> bool {
    let wanted = format!("socket:[{inode}]");
    let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    files.flatten().any(|file| fs::read_link(file.path()).is_ok_and(|link| link == Path::new(&wanted)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A listener that sends back whatever comes.
    fn echo() -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let _ = std::io::copy(&mut stream.try_clone().unwrap(), &mut &stream);
        });
        address
    }

    #[test]
    fn what_is_cut_is_held_back_and_comes_when_it_is_healed() {
        let mut links = Links::new();
        links.is_process(1, std::process::id());
        for cut in [(1, 2), (2, 1)] {
            let mut stream = TcpStream::connect(links.door(2, echo())).unwrap();
            let mut buffer = [0; 3];
            stream.write_all(b"one").unwrap();
            stream.read_exact(&mut buffer).unwrap();
            assert_eq!(&buffer, b"one");
            links.cut(cut.0, cut.1);
            stream.write_all(b"two").unwrap();
            stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
            assert!(stream.read_exact(&mut buffer).is_err(), "nothing comes");
            links.heal();
            stream.set_read_timeout(Some(wait::PATIENCE)).unwrap();
            stream.read_exact(&mut buffer).unwrap();
            assert_eq!(&buffer, b"two");
        }
    }

    #[test]
    fn others_are_not_cut_off() {
        let mut links = Links::new();
        links.is_process(1, std::process::id());
        links.cut(3, 2);
        links.cut(1, 3);
        let mut stream = TcpStream::connect(links.door(2, echo())).unwrap();
        stream.write_all(b"one").unwrap();
        let mut buffer = [0; 3];
        stream.set_read_timeout(Some(wait::PATIENCE)).unwrap();
        stream.read_exact(&mut buffer).unwrap();
        assert_eq!(&buffer, b"one");
    }
}
