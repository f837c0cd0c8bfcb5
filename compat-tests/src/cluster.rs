//! A cluster of Milena processes on loopback, made of the files for three nodes that `config/` ships.
//!
//! Nodes are stopped, killed and started again one by one, on the same directories and ports. It must never depend on how the
//! nodes find each other beyond what these files say.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Command, ExitStatus};

use kafka_protocol::messages::DescribeClusterRequest;
use tempfile::TempDir;

use crate::paths;
use crate::port;
use crate::process::Guarded;
use crate::tool::Tool;
use crate::wait::{self, PATIENCE};
use crate::wire::Wire;

/// Version of DescribeCluster from which an endpoint type can be asked for, and the type of controllers.
const OF_CONTROLLERS: (i16, i8) = (1, 2);

/// Nodes by their ids. Dropping it kills them and removes their directories.
#[derive(Debug)]
pub struct Cluster {
    directory: TempDir,
    nodes: Vec<Node>,
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
        let mut cluster = Self { directory: paths::scratch("cluster"), nodes: Vec::new() };
        let controllers: Vec<SocketAddr> = (1..=3).map(|_| free_address()).collect();
        let voters: Vec<String> = (1..).zip(&controllers).map(|(id, at)| format!("{id}@{at}")).collect();
        for (id, controller) in (1..).zip(controllers) {
            let broker = free_address();
            let listeners = format!("PLAINTEXT://{broker},CONTROLLER://{controller}");
            let mut node = Node {
                id,
                config: paths::workspace().join("config").join(format!("three-nodes-{id}.properties")),
                overrides: vec![
                    format!("listeners={listeners}"),
                    format!("advertised.listeners={listeners}"),
                    format!("controller.quorum.voters={}", voters.join(",")),
                ],
                broker: Some(broker),
                controller: Some(controller),
                zookeeper: free_address(),
                process: None,
            };
            node.overrides.extend(settings(id).iter().map(|(name, value)| format!("{name}={value}")));
            cluster.nodes.push(node);
        }
        (1..=3).for_each(|id| cluster.launch(id));
        (1..=3).for_each(|id| cluster.wait_ready(id));
        cluster
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
        let mut command = Command::new(paths::milena());
        let node = self.node(id);
        command.current_dir(self.directory.path()).arg("start").arg("--config").arg(&node.config);
        let own = [
            format!("log.dirs={}", self.log_dir(id).display()),
            format!("zookeeper.listener={}", node.zookeeper),
        ];
        for each in node.overrides.iter().chain(&own) {
            command.arg("--override").arg(each);
        }
        let node = self.node_mut(id);
        assert!(node.process.is_none(), "node {id} is running");
        node.process = Some(Guarded::start(&mut command, &output));
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
