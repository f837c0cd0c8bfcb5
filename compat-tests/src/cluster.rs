//! A cluster on loopback, made of the files for three nodes that `config/` ships: of Milena, or of Apache Kafka on the same terms.
//!
//! Nodes are stopped, killed and started again one by one, on the same directories and ports. It must never depend on how the
//! nodes find each other beyond what these files say.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use kafka_protocol::messages::DescribeClusterRequest;
use rustix::process::Signal;
use tempfile::TempDir;

use crate::java::{self, Jars};
use crate::links::Links;
use crate::paths;
use crate::port;
use crate::process::Guarded;
use crate::server::{CLUSTER_ID, Target, with_small_disk};
use crate::tool::Tool;
use crate::wait::{self, PATIENCE};
use crate::wire::Wire;

/// Version of DescribeCluster from which an endpoint type can be asked for, and the type of controllers.
const OF_CONTROLLERS: (i16, i8) = (1, 2);

/// The heap of each of Kafka's nodes.
const KAFKA_HEAP_MIB: u32 = 1024;

/// Nodes by their ids. Dropping it kills them and removes their directories.
#[derive(Debug)]
pub struct Cluster {
    directory: TempDir,
    target: Target,
    nodes: Vec<Node>,
    links: Option<Links>,
}

/// What a cluster has beside what the files say.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shape<'a> {
    /// Kafka's nodes get all of its JVM's flags and a heap of 1 GiB: they are there to be measured.
    pub target: Target,
    pub settings: &'a [(&'a str, &'a str)],
    /// The nodes reach each other through doors, which can be closed (see `links`); clients come directly.
    pub is_linked: bool,
    /// Every node has two log directories, and one more for the metadata.
    pub has_two_log_dirs: bool,
    /// This node's log directory is a disk of so many MiB of its own, gone with its process; its metadata are elsewhere.
    pub small_disk: Option<(i32, u32)>,
}

/// One process, running or not.
#[derive(Debug)]
struct Node {
    id: i32,
    /// The file and what is set beside it.
    config: PathBuf,
    overrides: Vec<String>,
    broker: Option<SocketAddr>,
    controller: Option<SocketAddr>,
    zookeeper: SocketAddr,
    small_disk_mib: Option<u32>,
    process: Option<Guarded>,
}

impl Cluster {
    /// Three nodes with both roles; waits until all are ready.
    ///
    /// # Panics
    /// When they do not become ready.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// As `start`, with settings beside those of the files.
    ///
    /// # Panics
    /// When they do not become ready.
    #[must_use]
    pub fn start_with(settings: &[(&str, &str)]) -> Self {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Self::start_each(|_| settings.iter().map(owned).collect())
    }

    /// As `start`, with settings of each node beside those of its file.
    ///
    /// # Panics
    /// When they do not become ready.
    #[must_use]
    pub fn start_each(settings: impl Fn(i32) -> Vec<(String, String)>) -> Self {
        Self::made(Shape::default(), settings)
    }

    /// As `start`, with more than the files say.
    ///
    /// # Panics
    /// When they do not become ready.
    #[must_use]
    pub fn shaped(shape: Shape<'_>) -> Self {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Self::made(shape, |_| shape.settings.iter().map(owned).collect())
    }

    fn made(shape: Shape<'_>, settings: impl Fn(i32) -> Vec<(String, String)>) -> Self {
        let mut links = shape.is_linked.then(Links::new);
        let controllers: Vec<SocketAddr> = (1..=3).map(|_| free_address()).collect();
        let mut door = |id, listener| links.as_mut().map_or(listener, |links| links.door(id, listener));
        let told: Vec<SocketAddr> = (1..).zip(&controllers).map(|(id, at)| door(id, *at)).collect();
        let voters: Vec<String> = (1..).zip(&told).map(|(id, at)| format!("{id}@{at}")).collect();
        let mut nodes = Vec::new();
        for ((id, controller), controller_told) in (1..).zip(controllers).zip(&told) {
            let (broker, internal) = (free_address(), free_address());
            let mut listeners = format!("PLAINTEXT://{broker},CONTROLLER://{controller}");
            let mut advertised = format!("PLAINTEXT://{broker},CONTROLLER://{controller_told}");
            let mut overrides = vec![format!("controller.quorum.voters={}", voters.join(","))];
            if shape.is_linked {
                listeners += &format!(",INTERNAL://{internal}");
                advertised += &format!(",INTERNAL://{}", door(id, internal));
                let map = "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,INTERNAL:PLAINTEXT";
                overrides.push("inter.broker.listener.name=INTERNAL".to_owned());
                overrides.push(format!("listener.security.protocol.map={map}"));
            }
            overrides.push(format!("listeners={listeners}"));
            overrides.push(format!("advertised.listeners={advertised}"));
            overrides.extend(settings(id).iter().map(|(name, value)| format!("{name}={value}")));
            let small_disk_mib = shape.small_disk.filter(|(node, _)| *node == id).map(|(_, mib)| mib);
            nodes.push(Node {
                id,
                config: paths::workspace().join("config").join(format!("three-nodes-{id}.properties")),
                overrides,
                broker: Some(broker),
                controller: Some(controller),
                zookeeper: free_address(),
                small_disk_mib,
                process: None,
            });
        }
        let directory = paths::scratch("cluster");
        let mut cluster = Self { directory, target: shape.target, nodes, links };
        (1..=3).for_each(|id| cluster.places_logs(id, &shape));
        if shape.target == Target::Kafka {
            (1..=3).for_each(|id| cluster.formats_kafka(id));
        }
        (1..=3).for_each(|id| cluster.launch(id));
        (1..=3).for_each(|id| cluster.wait_ready(id));
        cluster
    }

    /// Kafka takes its settings from one file, in which the last line of a name counts, and wants its directories formatted.
    fn formats_kafka(&mut self, id: i32) {
        let config = self.directory.path().join(format!("{id}.properties"));
        let node = self.node_mut(id);
        let shipped = fs::read_to_string(&node.config).expect("the file is shipped");
        fs::write(&config, format!("{shipped}\n{}\n", node.overrides.join("\n")))
            .expect("the cluster's directory is writable");
        let path = config.display().to_string();
        let _ =
            Tool::new("kafka-storage").args(["format", "--cluster-id", CLUSTER_ID, "--config", &path]).ok();
        node.config = config;
    }

    /// Names the log directories of a node that has more than one.
    fn places_logs(&mut self, id: i32, shape: &Shape<'_>) {
        let (first, second) = (self.log_dir(id), self.second_log_dir(id));
        let metadata =
            format!("metadata.log.dir={}", self.directory.path().join(format!("metadata-{id}")).display());
        let node = self.node_mut(id);
        if shape.has_two_log_dirs {
            node.overrides.push(format!("log.dirs={},{}", first.display(), second.display()));
            node.overrides.push(metadata);
        } else {
            node.overrides.push(format!("log.dirs={}", first.display()));
            if node.small_disk_mib.is_some() {
                node.overrides.push(metadata);
                fs::create_dir(&first).expect("the cluster's directory is writable");
            }
        }
    }

    /// Adds a node that finds the others by their controllers' addresses, and starts it.
    ///
    /// # Panics
    /// When it does not become ready.
    pub fn add(&mut self, id: i32, role: Role) {
        let address = free_address();
        let known: Vec<String> =
            self.nodes.iter().filter_map(|node| node.controller).map(|at| at.to_string()).collect();
        let (name, roles) = match role {
            Role::Broker => ("PLAINTEXT", "broker"),
            Role::Controller => ("CONTROLLER", "controller"),
        };
        let config = self.directory.path().join(format!("{id}.properties"));
        let text = format!(
            "process.roles={roles}\nnode.id={id}\ncontroller.quorum.bootstrap.servers={}\nlisteners={name}://{address}\n\
             controller.listener.names=CONTROLLER\nlog.dirs={}\n\
             listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT\n",
            known.join(","),
            self.log_dir(id).display(),
        );
        fs::write(&config, text).expect("the cluster's directory is writable");
        self.nodes.push(Node {
            id,
            config,
            overrides: Vec::new(),
            broker: (role == Role::Broker).then_some(address),
            controller: (role == Role::Controller).then_some(address),
            zookeeper: free_address(),
            small_disk_mib: None,
            process: None,
        });
        self.restart(id);
    }

    /// Where clients find a node.
    ///
    /// # Panics
    /// When it is no broker.
    #[must_use]
    pub fn address(&self, id: i32) -> SocketAddr {
        self.node(id).broker.expect("the node is a broker")
    }

    /// Where tools that ask the quorum find a node.
    ///
    /// # Panics
    /// When it is no controller.
    #[must_use]
    pub fn controller_address(&self, id: i32) -> SocketAddr {
        self.node(id).controller.expect("the node is a controller")
    }

    /// Where clients of ZooKeeper's protocol find a node.
    #[must_use]
    pub fn zookeeper_address(&self, id: i32) -> SocketAddr {
        self.node(id).zookeeper
    }

    /// The file that a node was started with.
    #[must_use]
    pub fn config(&self, id: i32) -> PathBuf {
        self.node(id).config.clone()
    }

    #[must_use]
    pub fn log_dir(&self, id: i32) -> PathBuf {
        self.directory.path().join(format!("data-{id}"))
    }

    /// The other one of two log directories.
    #[must_use]
    pub fn second_log_dir(&self, id: i32) -> PathBuf {
        self.directory.path().join(format!("data-{id}-second"))
    }

    /// A path of a running node's own disk, as seen from outside.
    #[must_use]
    pub fn inside(&self, id: i32, path: &Path) -> PathBuf {
        let pid = self.process(id).pid();
        Path::new("/proc")
            .join(pid.to_string())
            .join("root")
            .join(path.strip_prefix("/").expect("an absolute path"))
    }

    /// The network between the nodes.
    ///
    /// # Panics
    /// When the cluster was made without one.
    #[must_use]
    pub fn links(&self) -> &Links {
        self.links.as_ref().expect("a cluster with links")
    }

    /// All nodes that are brokers, for clients that find another when one is away.
    #[must_use]
    pub fn bootstrap(&self) -> String {
        let brokers: Vec<String> =
            self.nodes.iter().filter_map(|node| node.broker).map(|at| at.to_string()).collect();
        brokers.join(",")
    }

    /// A protocol connection to a node.
    #[must_use]
    pub fn wire(&self, id: i32) -> Wire {
        Wire::connect(self.address(id))
    }

    /// A tool aimed at a node.
    #[must_use]
    pub fn tool(&self, name: &str, id: i32) -> Tool {
        Tool::new(name).args(["--bootstrap-server", &self.address(id).to_string()])
    }

    /// The leader of the quorum as one node knows it; none while it knows of none, or does not answer.
    #[must_use]
    pub fn leader_by(&self, id: i32) -> Option<i32> {
        let mut wire = Wire::try_connect(self.controller_address(id)).ok()?;
        let (version, controllers) = OF_CONTROLLERS;
        let request = DescribeClusterRequest::default().with_endpoint_type(controllers);
        let answer = wire.try_call(version, &request).ok()?;
        Some(answer.controller_id.0).filter(|leader| *leader >= 0)
    }

    /// The leader that every running voter of the first three names.
    ///
    /// # Panics
    /// When they do not agree in time.
    #[must_use]
    pub fn leader(&self) -> i32 {
        wait::until(PATIENCE, "a leader that every voter knows", || {
            let running = self.nodes.iter().filter(|node| node.id <= 3 && node.process.is_some());
            let mut named = running.map(|node| self.leader_by(node.id));
            let first = named.next()??;
            named.all(|other| other == Some(first)).then_some(first)
        })
    }

    /// Kills a node as `kill -9` does.
    pub fn kill(&mut self, id: i32) {
        self.take_process(id).kill();
    }

    /// A running node's process.
    ///
    /// # Panics
    /// When it is not running.
    #[must_use]
    pub fn process(&self, id: i32) -> &Guarded {
        self.node(id).process.as_ref().expect("the node is running")
    }

    /// Sends a signal to a node's process.
    ///
    /// # Panics
    /// When it is not running.
    pub fn signal(&mut self, id: i32, signal: Signal) {
        self.node_mut(id).process.as_mut().expect("the node is running").signal(signal);
    }

    /// The nodes whose processes were started and not ended by the test.
    #[must_use]
    pub fn running(&self) -> Vec<i32> {
        self.nodes.iter().filter(|node| node.process.is_some()).map(|node| node.id).collect()
    }

    /// Stops a node with SIGTERM and waits for its end.
    pub fn stop(&mut self, id: i32) -> ExitStatus {
        self.take_process(id).terminate(PATIENCE)
    }

    /// Starts a node on its directory and waits until it is ready.
    ///
    /// # Panics
    /// When it is running, or does not become ready.
    pub fn restart(&mut self, id: i32) {
        self.launch(id);
        self.wait_ready(id);
    }

    /// Starts all nodes that are down and waits until they are ready: alone, none of several voters is.
    ///
    /// # Panics
    /// When they do not become ready.
    pub fn restart_together(&mut self) {
        let down: Vec<i32> =
            self.nodes.iter().filter(|node| node.process.is_none()).map(|node| node.id).collect();
        down.iter().for_each(|id| self.launch(*id));
        down.iter().for_each(|id| self.wait_ready(*id));
    }

    /// What a node has written to its output.
    #[must_use]
    pub fn output(&self, id: i32) -> String {
        fs::read_to_string(self.output_file(id)).unwrap_or_default()
    }

    fn node(&self, id: i32) -> &Node {
        self.nodes.iter().find(|node| node.id == id).expect("the cluster has the node")
    }

    fn node_mut(&mut self, id: i32) -> &mut Node {
        self.nodes.iter_mut().find(|node| node.id == id).expect("the cluster has the node")
    }

    fn take_process(&mut self, id: i32) -> Guarded {
        self.node_mut(id).process.take().expect("the node is running")
    }

    fn output_file(&self, id: i32) -> PathBuf {
        self.directory.path().join(format!("output-{id}.txt"))
    }

    /// Starts a node on its directory; it may have to wait for others before it is ready.
    ///
    /// # Panics
    /// When it is running.
    pub fn launch(&mut self, id: i32) {
        let output = self.output_file(id);
        // What an earlier run said must not be taken for this one's.
        let _ = fs::remove_file(&output);
        let mut command = match self.target {
            Target::Milena => self.milena_command(id),
            Target::Kafka => self.kafka_command(id),
        };
        command.current_dir(self.directory.path());
        let node = self.node_mut(id);
        assert!(node.process.is_none(), "node {id} is running");
        let process = Guarded::start(&mut command, &output);
        let pid = process.pid();
        node.process = Some(process);
        if let Some(links) = &self.links {
            links.is_process(id, pid);
        }
    }

    fn milena_command(&self, id: i32) -> Command {
        let node = self.node(id);
        let mut command = match node.small_disk_mib {
            None => Command::new(paths::milena()),
            Some(mib) => with_small_disk(&self.log_dir(id), mib),
        };
        command.arg("start").arg("--config").arg(&node.config);
        let zookeeper = format!("zookeeper.listener={}", node.zookeeper);
        for each in node.overrides.iter().chain([&zookeeper]) {
            command.arg("--override").arg(each);
        }
        command
    }

    fn kafka_command(&self, id: i32) -> Command {
        let mut command = java::java_of_a_server(&Jars::Kafka.class_path(), KAFKA_HEAP_MIB);
        command
            .arg(java::log_config("log4j2-broker.properties"))
            .arg("kafka.Kafka")
            .arg(&self.node(id).config);
        command
    }

    /// Returns when a node that was launched is ready.
    ///
    /// # Panics
    /// When it does not become ready.
    pub fn wait_ready(&mut self, id: i32) {
        let process = self.node_mut(id).process.as_mut().expect("the node was launched");
        wait::until(PATIENCE, &format!("node {id} is ready"), || {
            let output = process.output();
            let ended = process.ended();
            assert!(ended.is_none(), "node {id} ended with {ended:?}:\n{output}");
            output.contains("Kafka Server started").then_some(())
        });
    }
}

/// What a node that is added does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Broker,
    Controller,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for node in &self.nodes {
                let output = self.output(node.id);
                let lines: Vec<&str> = output.lines().collect();
                eprintln!("the last lines of node {}:", node.id);
                lines[lines.len().saturating_sub(30)..].iter().for_each(|line| eprintln!("  {line}"));
            }
        }
    }
}

fn free_address() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port::free()))
}
