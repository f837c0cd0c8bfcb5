//! `milena cluster`: several brokers of one cluster on this machine, each a process of its own, started and stopped together.
//!
//! Must never leave a child behind, nor do more for one than write its settings file: each is `milena start` with that file, which can be
//! started again by hand.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};

use super::arguments::ClusterArguments;
use super::{WRONG_SETTINGS, complain};
use crate::ephemeral::EphemeralDirectory;
use crate::http;
use crate::http::local::{LocalCluster, NO_SUCH, Order, Shown, What};
use crate::net::listener::{self, ListenerConfig};
use crate::settings::http_address;

/// Voters of a cluster that is large enough: more make it slower and no safer against the loss of one.
const VOTERS: usize = 3;
/// How long the brokers may take to stop before they are killed: as long as a broker gives its connections, twice.
const STOP_PATIENCE: Duration = Duration::from_secs(30);
/// Lines of the children's output that may wait to be written.
const LINES: usize = 1024;
/// Orders that may wait to be taken.
const ORDERS: usize = 16;
/// Connections that may wait to be accepted.
const BACKLOG: i32 = 16;
/// What a broker says when it serves.
const READY: &str = "Kafka Server started";

/// What the parent hears.
enum Event {
    Line(i32, String),
    Ended(i32, io::Result<ExitStatus>),
}

/// One broker.
#[derive(Clone, Debug)]
struct Node {
    id: i32,
    port: u16,
    /// Of the controller's listener, for voters.
    controller: Option<u16>,
}

pub(super) fn run(arguments: &ClusterArguments) -> ExitCode {
    let directory = match Directory::of(arguments) {
        Ok(directory) => directory,
        Err(error) => {
            complain(&format!("cannot make a directory: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let prepared = nodes(arguments).and_then(|nodes| {
        check_earlier(directory.path(), &nodes)?;
        write_settings(directory.path(), &nodes, &arguments.overrides)?;
        Ok(nodes)
    });
    let nodes = match prepared {
        Ok(nodes) => nodes,
        Err(error) => {
            complain(&error.to_string());
            return ExitCode::from(WRONG_SETTINGS);
        }
    };
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(supervise(directory.path(), &nodes, arguments.http.as_deref())),
        Err(error) => {
            complain(&format!("cannot start a runtime: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Where everything is kept; a temporary one goes with this value.
enum Directory {
    Lasting(PathBuf),
    Temporary(EphemeralDirectory),
}

impl Directory {
    fn of(arguments: &ClusterArguments) -> io::Result<Self> {
        if arguments.ephemeral {
            return EphemeralDirectory::new().map(Self::Temporary);
        }
        std::fs::create_dir_all(&arguments.directory)?;
        arguments.directory.canonicalize().map(Self::Lasting)
    }

    fn path(&self) -> &Path {
        match self {
            Self::Lasting(path) => path,
            Self::Temporary(directory) => directory.path(),
        }
    }
}

/// The brokers with their ports: one after the other from the given one, or free ones.
fn nodes(arguments: &ClusterArguments) -> io::Result<Vec<Node>> {
    let brokers = usize::from(arguments.brokers);
    // Two voters would stop with either of them.
    let voters = if brokers < VOTERS { 1 } else { VOTERS };
    if arguments.port == 0 && !arguments.ephemeral {
        let message =
            "free ports (--port 0) are for --ephemeral: a cluster that is kept finds itself by its ports";
        return Err(io::Error::other(message));
    }
    let ports = ports(arguments.port, brokers + voters)?;
    let node = |(index, id): (usize, i32)| Node {
        id,
        port: ports[index],
        controller: (index < voters).then(|| ports[brokers + index]),
    };
    Ok((0..brokers).zip(arguments.first_id..).map(node).collect())
}

fn ports(first: u16, count: usize) -> io::Result<Vec<u16>> {
    if first == 0 {
        // All are held until all are known, so that none comes twice.
        let bind = |_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let held = (0..count).map(bind).collect::<io::Result<Vec<_>>>()?;
        return held.iter().map(|listener| Ok(listener.local_addr()?.port())).collect();
    }
    let ports: Vec<u16> = (first..=u16::MAX).take(count).collect();
    if ports.len() < count {
        return Err(io::Error::other(format!("{count} ports from {first} on are more than there are")));
    }
    Ok(ports)
}

/// A directory keeps the cluster that it was made for: its voters are written in its log.
fn check_earlier(directory: &Path, nodes: &[Node]) -> io::Result<()> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(directory)? {
        let name = entry?.file_name();
        if let Some(id) = name.to_str().and_then(|name| name.strip_prefix("data-")?.parse::<i32>().ok()) {
            found.insert(id);
        }
    }
    let wanted: BTreeSet<i32> = nodes.iter().map(|node| node.id).collect();
    if found.is_empty() || found == wanted {
        return Ok(());
    }
    let place = directory.display();
    Err(io::Error::other(format!("{place} holds a cluster of the brokers {found:?}, and not of {wanted:?}")))
}

fn write_settings(directory: &Path, nodes: &[Node], overrides: &[String]) -> io::Result<()> {
    nodes.iter().try_for_each(|node| {
        std::fs::write(settings_file(directory, node.id), settings(directory, nodes, node, overrides))
    })
}

fn settings_file(directory: &Path, id: i32) -> PathBuf {
    directory.join(format!("broker-{id}.properties"))
}

fn settings(directory: &Path, nodes: &[Node], node: &Node, overrides: &[String]) -> String {
    let local = Ipv4Addr::LOCALHOST;
    let voters = nodes.iter().filter_map(|node| Some((node.id, node.controller?)));
    let all = |form: fn(i32, u16) -> String| {
        voters.clone().map(|(id, port)| form(id, port)).collect::<Vec<_>>().join(",")
    };
    let mut listeners = format!("PLAINTEXT://{local}:{}", node.port);
    let (roles, quorum) = match node.controller {
        Some(port) => {
            let _ = write!(listeners, ",CONTROLLER://{local}:{port}");
            let voters = all(|id, port| format!("{id}@{}:{port}", Ipv4Addr::LOCALHOST));
            ("broker,controller", format!("controller.quorum.voters={voters}"))
        }
        None => {
            let known = all(|_, port| format!("{}:{port}", Ipv4Addr::LOCALHOST));
            ("broker", format!("controller.quorum.bootstrap.servers={known}"))
        }
    };
    let (id, data) = (node.id, directory.join(format!("data-{}", node.id)));
    let (replicas, in_sync) = (nodes.len().min(3), nodes.len().min(2));
    let mut text = format!(
        "# Broker {id} of {} on this machine, written by milena cluster. To start it again by itself:\n\
         #   milena start --config {}\n\
         process.roles={roles}\nnode.id={id}\n{quorum}\ncontroller.listener.names=CONTROLLER\n\
         listeners={listeners}\nadvertised.listeners={listeners}\ninter.broker.listener.name=PLAINTEXT\n\
         listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT\nlog.dirs={}\n\
         offsets.topic.replication.factor={replicas}\ntransaction.state.log.replication.factor={replicas}\n\
         transaction.state.log.min.isr={in_sync}\n",
        nodes.len(),
        settings_file(directory, id).display(),
        data.display(),
    );
    overrides.iter().for_each(|each| {
        text.push_str(each);
        text.push('\n');
    });
    text
}

/// Starts the brokers, passes on what they say, and stops them together.
async fn supervise(directory: &Path, nodes: &[Node], http: Option<&str>) -> ExitCode {
    let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    let (Ok(mut terminate), Ok(mut interrupt)) = signals else {
        complain("cannot listen for signals");
        return ExitCode::FAILURE;
    };
    let (events, mut queue) = mpsc::channel(LINES);
    let (sender, mut orders) = mpsc::channel(ORDERS);
    let _port = match http.map(|address| serve(address, sender.clone())).transpose() {
        Ok(port) => port,
        Err(error) => {
            complain(&error);
            return ExitCode::from(WRONG_SETTINGS);
        }
    };
    let mut brokers = Brokers::new(directory, nodes, events);
    for node in nodes {
        if let Err(error) = brokers.start(node.id) {
            complain(&format!("broker {} does not start: {error}", node.id));
            stop(&mut brokers.running, &mut queue).await;
            return ExitCode::FAILURE;
        }
    }
    loop {
        let event = tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            order = orders.recv() => {
                brokers.take(order.expect("this task holds a sender"));
                continue;
            }
            event = queue.recv() => event.expect("the brokers hold a sender"),
        };
        match event {
            Event::Line(id, line) => brokers.hear(id, &line),
            Event::Ended(id, status) => {
                if !brokers.end(id, status) {
                    stop(&mut brokers.running, &mut queue).await;
                    return ExitCode::FAILURE;
                }
            }
        }
    }
    if stop(&mut brokers.running, &mut queue).await { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Opens the HTTP port.
fn serve(address: &str, orders: mpsc::Sender<Order>) -> Result<watch::Sender<()>, String> {
    let (host, port) =
        http_address(address).ok_or_else(|| format!("--http is {address:?}, which is not host:port"))?;
    let bound = listener::bind(&ListenerConfig { name: "HTTP".into(), host, port }, BACKLOG);
    let bound = bound.map_err(|error| error.to_string())?;
    say(&format!("HTTP on {}", bound.address));
    http::serve_local(bound, LocalCluster { orders }).map_err(|error| error.to_string())
}

/// The brokers, and what was asked of them.
struct Brokers<'a> {
    directory: &'a Path,
    nodes: &'a [Node],
    events: mpsc::Sender<Event>,
    running: Vec<(i32, Pid)>,
    /// Those that have not said yet that they serve.
    starting: BTreeSet<i32>,
    /// All have served at one time: it is a cluster.
    complete: bool,
    /// By broker, until it is done.
    orders: BTreeMap<i32, Order>,
}

impl<'a> Brokers<'a> {
    fn new(directory: &'a Path, nodes: &'a [Node], events: mpsc::Sender<Event>) -> Self {
        Self {
            directory,
            nodes,
            events,
            running: Vec::new(),
            starting: BTreeSet::new(),
            complete: false,
            orders: BTreeMap::new(),
        }
    }

    fn start(&mut self, id: i32) -> io::Result<()> {
        let pid = start(self.directory, id, &self.events)?;
        self.running.push((id, pid));
        self.starting.insert(id);
        Ok(())
    }

    /// Passes on a line of a broker, and notes if it serves.
    fn hear(&mut self, id: i32, line: &str) {
        say(&format!("[{id}] {line}"));
        if !line.contains(READY) || !self.starting.remove(&id) {
            return;
        }
        if !self.complete && self.starting.is_empty() {
            self.complete = true;
            tell(self.nodes, &self.running);
        }
        self.settle(id, Ok(()));
    }

    /// Notes that a broker has ended; false if there is no cluster any more.
    fn end(&mut self, id: i32, status: io::Result<ExitStatus>) -> bool {
        self.running.retain(|(other, _)| *other != id);
        let was_starting = self.starting.remove(&id);
        let how = status.map_or_else(|error| error.to_string(), |status| status.to_string());
        let ordered = self.orders.contains_key(&id);
        let failed = was_starting.then(|| format!("broker {id} has ended while it started ({how})"));
        self.settle(id, failed.map_or(Ok(()), Err));
        if ordered {
            say(&format!("broker {id} has ended ({how}), as it was asked to"));
            return true;
        }
        let again = settings_file(self.directory, id);
        say(&format!(
            "broker {id} has ended ({how}); it starts again with: milena start --config {}",
            again.display()
        ));
        // A cluster that never was one is no use to anybody.
        (self.complete || !was_starting) && !self.running.is_empty()
    }

    /// Begins what is asked, or says why not.
    fn take(&mut self, order: Order) {
        let (id, wanted) = match order.what {
            What::Show => {
                let _ = order.done.send(Ok(self.shown()));
                return;
            }
            What::Stop(id) => (id, Some(Signal::TERM)),
            What::Kill(id) => (id, Some(Signal::KILL)),
            What::Start(id) => (id, None),
        };
        let pid = self.running.iter().find(|(other, _)| *other == id).map(|(_, pid)| *pid);
        let begun = if self.nodes.iter().all(|node| node.id != id) {
            Err(NO_SUCH.to_owned())
        } else if self.orders.contains_key(&id) || self.starting.contains(&id) {
            Err(format!("broker {id} is being stopped or started"))
        } else {
            match (wanted, pid) {
                (Some(signal), Some(pid)) => kill_process(pid, signal).map_err(|error| error.to_string()),
                (Some(_), None) => Err(format!("broker {id} does not run")),
                (None, Some(_)) => Err(format!("broker {id} runs")),
                (None, None) => self.start(id).map_err(|error| error.to_string()),
            }
        };
        match begun {
            Ok(()) => {
                self.orders.insert(id, order);
            }
            // Whoever asked may have hung up.
            Err(why) => drop(order.done.send(Err(why))),
        }
    }

    /// Tells whoever asked for this what became of it.
    fn settle(&mut self, id: i32, outcome: Result<(), String>) {
        if let Some(order) = self.orders.remove(&id) {
            let _ = order.done.send(outcome.map(|()| self.shown()));
        }
    }

    fn shown(&self) -> Vec<Shown> {
        let pid = |id| self.running.iter().find(|(other, _)| *other == id);
        let shown = |node: &Node| Shown {
            id: node.id,
            bootstrap_servers: format!("{}:{}", Ipv4Addr::LOCALHOST, node.port),
            pid: pid(node.id).map(|(_, pid)| pid.as_raw_nonzero().get()),
        };
        self.nodes.iter().map(shown).collect()
    }
}

/// The lines that scripts wait for.
fn tell(nodes: &[Node], running: &[(i32, Pid)]) {
    for (id, pid) in running {
        say(&format!("broker {id} is process {}", pid.as_raw_nonzero()));
    }
    let servers: Vec<String> =
        nodes.iter().map(|node| format!("{}:{}", Ipv4Addr::LOCALHOST, node.port)).collect();
    say(&format!("Cluster of {} started, bootstrap.servers={}", nodes.len(), servers.join(",")));
}

fn say(line: &str) {
    // Without a reader there is nobody to tell.
    let _ = writeln!(io::stdout().lock(), "{line}");
}

fn start(directory: &Path, id: i32, events: &mpsc::Sender<Event>) -> io::Result<Pid> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(["start", "--with-parent", &std::process::id().to_string(), "--config"])
        .arg(settings_file(directory, id))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // A terminal's interrupt is for the parent, which passes it on once.
        .process_group(0)
        .spawn()?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("a process has an id");
    for stream in streams(&mut child) {
        let events = events.clone();
        thread::spawn(move || pass_on(stream, id, &events));
    }
    let events = events.clone();
    thread::spawn(move || {
        let status = child.wait();
        // Nobody hears it when the parent has ended with everything else.
        let _ = events.blocking_send(Event::Ended(id, status));
    });
    Ok(pid)
}

type Output = Box<dyn Read + Send>;

fn streams(child: &mut Child) -> Vec<Output> {
    let out = child.stdout.take().map(|stream| Box::new(stream) as Output);
    let error = child.stderr.take().map(|stream| Box::new(stream) as Output);
    out.into_iter().chain(error).collect()
}

fn pass_on(stream: Output, id: i32, events: &mpsc::Sender<Event>) {
    for line in BufReader::new(stream).lines() {
        let Ok(line) = line else { return };
        if events.blocking_send(Event::Line(id, line)).is_err() {
            return;
        }
    }
}

/// Stops all that run; true if each ended cleanly.
async fn stop(running: &mut Vec<(i32, Pid)>, queue: &mut mpsc::Receiver<Event>) -> bool {
    let signal = |running: &[(i32, Pid)], signal| {
        // One that has just ended needs none.
        for (_, pid) in running {
            let _ = kill_process(*pid, signal);
        }
    };
    signal(running, Signal::TERM);
    let patience = tokio::time::sleep(STOP_PATIENCE);
    tokio::pin!(patience);
    let mut clean = true;
    let mut killed = false;
    while !running.is_empty() {
        tokio::select! {
            event = queue.recv() => match event {
                Some(Event::Line(id, line)) => say(&format!("[{id}] {line}")),
                Some(Event::Ended(id, status)) => {
                    running.retain(|(other, _)| *other != id);
                    clean &= status.is_ok_and(|status| status.success());
                }
                None => return false,
            },
            () = &mut patience, if !killed => {
                complain("some brokers do not stop; they are killed");
                signal(running, Signal::KILL);
                (killed, clean) = (true, false);
            }
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(brokers: u8, port: u16, ephemeral: bool) -> ClusterArguments {
        ClusterArguments {
            brokers,
            first_id: 101,
            port,
            directory: PathBuf::from("d"),
            ephemeral,
            http: None,
            overrides: vec!["num.partitions=4".to_owned()],
        }
    }

    #[test]
    fn three_vote_and_the_others_find_them() {
        let nodes = nodes(&arguments(4, 9092, false)).unwrap();
        let told: Vec<_> = nodes.iter().map(|node| (node.id, node.port, node.controller)).collect();
        let wanted =
            [(101, 9092, Some(9096)), (102, 9093, Some(9097)), (103, 9094, Some(9098)), (104, 9095, None)];
        assert_eq!(told, wanted);
        let last = settings(Path::new("/d"), &nodes, &nodes[3], &["a=b".to_owned()]);
        let known = "controller.quorum.bootstrap.servers=127.0.0.1:9096,127.0.0.1:9097,127.0.0.1:9098\n";
        assert!(last.contains(known) && last.contains("process.roles=broker\n") && last.ends_with("a=b\n"));
        let first = settings(Path::new("/d"), &nodes, &nodes[0], &[]);
        assert!(first.contains("controller.quorum.voters=101@127.0.0.1:9096,102@"), "{first}");
    }

    #[test]
    fn one_of_two_votes_and_free_ports_are_distinct() {
        let nodes = nodes(&arguments(2, 0, true)).unwrap();
        let ports: BTreeSet<u16> =
            nodes.iter().flat_map(|node| [Some(node.port), node.controller]).flatten().collect();
        assert_eq!((ports.len(), nodes[1].controller), (3, None));
        assert!(super::nodes(&arguments(2, 0, false)).is_err(), "a kept cluster needs its ports again");
        assert!(super::nodes(&arguments(3, 65_533, false)).is_err());
    }

    #[test]
    fn a_directory_keeps_its_brokers() {
        let directory = tempfile::tempdir().unwrap();
        let nodes = nodes(&arguments(1, 9092, false)).unwrap();
        check_earlier(directory.path(), &nodes).unwrap();
        std::fs::create_dir(directory.path().join("data-101")).unwrap();
        check_earlier(directory.path(), &nodes).unwrap();
        std::fs::create_dir(directory.path().join("data-102")).unwrap();
        assert!(check_earlier(directory.path(), &nodes).is_err());
    }
}
