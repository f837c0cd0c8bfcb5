//! The four-letter words that operators send instead of a handshake, and their answers as ZooKeeper prints them.
//!
//! Must never answer a word that is not on the white list, nor tell what clients watch or own: that helps attackers only
//! (CVE-2017-5637).

use std::fmt::Write as _;
use std::sync::atomic::Ordering;

use super::Shared;

/// Every word that ZooKeeper knows; those that are not served are answered as if they were not on the list.
const KNOWN: &[&[u8; 4]] = &[
    b"conf", b"cons", b"crst", b"dirs", b"dump", b"envi", b"gtmk", b"hash", b"isro", b"mntr", b"ruok",
    b"srst", b"srvr", b"stat", b"stmk", b"wchc", b"wchp", b"wchs",
];
/// The version that tools are told: theirs decides by it what they may ask.
pub(super) const VERSION: &str = concat!("3.8.0-milena-", env!("CARGO_PKG_VERSION"), ", built on unknown");

type Answer = fn(&Shared, &mut String);
const SERVED: &[(&[u8; 4], Answer)] = &[
    (b"conf", conf),
    (b"cons", cons),
    (b"envi", envi),
    (b"isro", isro),
    (b"mntr", mntr),
    (b"ruok", ruok),
    (b"srvr", srvr),
    (b"stat", stat),
    (b"wchs", wchs),
];

/// The answer, if this is a word and not the length of a frame.
pub(super) fn answer(word: [u8; 4], shared: &Shared) -> Option<String> {
    if !KNOWN.contains(&&word) {
        return None;
    }
    let name = String::from_utf8_lossy(&word);
    let is_listed = shared.limits.words.iter().any(|listed| listed == "*" || *listed == name);
    let served = SERVED.iter().find(|(known, _)| **known == word);
    let mut out = String::new();
    match served {
        Some((_, answer)) if is_listed => answer(shared, &mut out),
        _ => out = format!("{name} is not executed because it is not in the whitelist.\n"),
    }
    Some(out)
}

/// A line; writing to a string cannot fail.
macro_rules! line {
    ($out:expr, $($format:tt)*) => { writeln!($out, $($format)*).unwrap_or_default() };
}

fn ruok(_shared: &Shared, out: &mut String) {
    out.push_str("imok");
}

fn isro(_shared: &Shared, out: &mut String) {
    out.push_str("rw");
}

fn envi(_shared: &Shared, out: &mut String) {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    line!(out, "Environment:");
    line!(out, "zookeeper.version={VERSION}");
    line!(out, "host.name={host}");
    line!(out, "os.name={}", std::env::consts::OS);
    line!(out, "os.arch={}", std::env::consts::ARCH);
    line!(out, "os.version={}", rustix::system::uname().release().to_string_lossy());
}

fn conf(shared: &Shared, out: &mut String) {
    let limits = &shared.limits;
    line!(out, "clientPort={}", shared.port.load(Ordering::Relaxed));
    line!(out, "secureClientPort=-1");
    // ZooKeeper derives the bounds from it; here they are settings.
    line!(out, "tickTime={}", limits.timeout_min / 2);
    line!(out, "maxClientCnxns={}", limits.connections_per_ip);
    line!(out, "minSessionTimeout={}", limits.timeout_min);
    line!(out, "maxSessionTimeout={}", limits.timeout_max);
    line!(out, "serverId={}", shared.node);
}

fn cons(shared: &Shared, out: &mut String) {
    for peer in shared.hub.peers() {
        let (received, sent) =
            (peer.mailbox.received.load(Ordering::Relaxed), peer.mailbox.sent.load(Ordering::Relaxed));
        let queued = peer.mailbox.outstanding.load(Ordering::Relaxed);
        line!(
            out,
            " /{}[1](queued={queued},recved={received},sent={sent},sid={},to={})",
            peer.address,
            peer.session,
            peer.timeout_millis
        );
    }
    out.push('\n');
}

fn stat(shared: &Shared, out: &mut String) {
    line!(out, "Zookeeper version: {VERSION}");
    line!(out, "Clients:");
    for peer in shared.hub.peers() {
        let (received, sent) =
            (peer.mailbox.received.load(Ordering::Relaxed), peer.mailbox.sent.load(Ordering::Relaxed));
        let queued = peer.mailbox.outstanding.load(Ordering::Relaxed);
        line!(out, " /{}[1](queued={queued},recved={received},sent={sent})", peer.address);
    }
    out.push('\n');
    server(shared, out);
}

fn srvr(shared: &Shared, out: &mut String) {
    line!(out, "Zookeeper version: {VERSION}");
    server(shared, out);
}

fn server(shared: &Shared, out: &mut String) {
    let counts = Counted::of(shared);
    line!(out, "Latency min/avg/max: 0/{}/{}", counts.latency_average, counts.latency_max);
    line!(out, "Received: {}", counts.received);
    line!(out, "Sent: {}", counts.sent);
    line!(out, "Connections: {}", counts.connections);
    line!(out, "Outstanding: {}", counts.outstanding);
    line!(out, "Zxid: {}", shared.ensemble.with_tree(|tree| tree.zxid()));
    line!(out, "Mode: {}", shared.mode());
    line!(out, "Node count: {}", shared.ensemble.with_tree(|tree| tree.len()));
}

fn wchs(shared: &Shared, out: &mut String) {
    let count = shared.hub.watch_count();
    line!(out, "{} connections watching {} paths", count.watchers, count.paths);
    line!(out, "Total watches:{}", count.watches);
}

fn mntr(shared: &Shared, out: &mut String) {
    let counts = Counted::of(shared);
    let (nodes, ephemerals, sessions) = shared.ensemble.with_tree(|tree| {
        let ephemerals: usize = tree.sessions().map(|(_, session)| session.ephemerals.len()).sum();
        (tree.len(), ephemerals, tree.sessions().count())
    });
    line!(out, "zk_version\t{VERSION}");
    line!(out, "zk_server_state\t{}", shared.mode());
    line!(out, "zk_avg_latency\t{}.0", counts.latency_average);
    line!(out, "zk_max_latency\t{}", counts.latency_max);
    line!(out, "zk_min_latency\t0");
    line!(out, "zk_packets_received\t{}", counts.received);
    line!(out, "zk_packets_sent\t{}", counts.sent);
    line!(out, "zk_num_alive_connections\t{}", counts.connections);
    line!(out, "zk_outstanding_requests\t{}", counts.outstanding);
    line!(out, "zk_uptime\t{}", shared.clock.uptime().as_millis());
    line!(out, "zk_znode_count\t{nodes}");
    line!(out, "zk_watch_count\t{}", shared.hub.watch_count().watches);
    line!(out, "zk_ephemerals_count\t{ephemerals}");
    line!(out, "zk_global_sessions\t{sessions}");
}

/// The numbers that several words tell.
struct Counted {
    received: u64,
    sent: u64,
    latency_average: u64,
    latency_max: u64,
    connections: usize,
    outstanding: usize,
}

impl Counted {
    fn of(shared: &Shared) -> Self {
        let counts = &shared.hub.counts;
        let answered = counts.answered.load(Ordering::Relaxed).max(1);
        Self {
            received: counts.received.load(Ordering::Relaxed),
            sent: counts.sent.load(Ordering::Relaxed),
            latency_average: counts.latency_sum.load(Ordering::Relaxed) / answered,
            latency_max: counts.latency_max.load(Ordering::Relaxed),
            connections: shared.hub.peers().len(),
            outstanding: shared.proposer.waiting(),
        }
    }
}
