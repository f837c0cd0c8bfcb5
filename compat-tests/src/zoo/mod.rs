//! A server of ZooKeeper's protocol: Milena's listener, or ZooKeeper 3.8 itself from Debian's package.
//!
//! It must never depend on which of the two it is, except for how the process is started.

pub mod client;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::paths;
use crate::port;
use crate::process::Guarded;
use crate::server::Setup;
use crate::wait::{self, PATIENCE};
use crate::{Server, Target};

pub use client::{Client, Reply};

/// Where Debian's package `zookeeper` puts the server.
const JAR: &str = "/usr/share/java/zookeeper.jar";
/// Sessions expire after this many milliseconds times two at least, so tests need not wait long.
const TICK_MILLIS: u32 = 200;
/// Empty containers stay long enough for any test that does not ask for less.
const CONTAINER_MILLIS: u32 = 600_000;
/// `super:test`, as ZooKeeper's own documentation has it.
pub const SUPER_DIGEST: &str = "super:D/InIHSb7yEEbrWz8b9l71RjZJU=";

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Milena,
    ZooKeeper,
}

/// A running server with a directory of its own; gone when it is dropped.
#[derive(Debug)]
pub struct Zoo {
    process: Process,
    port: u16,
    started: Instant,
}

#[derive(Debug)]
enum Process {
    Milena(Box<Server>),
    ZooKeeper { process: Guarded, _directory: TempDir },
}

impl Zoo {
    /// Starts a server with ticks of 200 ms, so that time-outs lie between 0.4 and 4 s unless said.
    ///
    /// # Panics
    /// When it does not serve in time.
    #[must_use]
    pub fn start(kind: Kind) -> Self {
        Self::start_with(kind, TICK_MILLIS, CONTAINER_MILLIS)
    }

    /// As [`Zoo::start`], with other ticks and another time between two looks for empty containers.
    ///
    /// # Panics
    /// When it does not serve in time.
    #[must_use]
    pub fn start_with(kind: Kind, tick_millis: u32, container_millis: u32) -> Self {
        // A port that was free a moment ago may be taken now; then another is tried.
        for _ in 0..5 {
            let port = port::free();
            let started = Instant::now();
            let process = match kind {
                Kind::Milena => Process::Milena(Box::new(milena(port, tick_millis, container_millis))),
                Kind::ZooKeeper => zookeeper(port, tick_millis, container_millis),
            };
            let mut zoo = Self { process, port, started };
            if zoo.is_up() {
                return zoo;
            }
        }
        panic!("{kind:?} did not start on any of five ports");
    }

    fn is_up(&mut self) -> bool {
        let address = self.address();
        wait::until(PATIENCE, "the server answers or ends", || {
            if let Process::ZooKeeper { process, .. } = &mut self.process
                && process.ended().is_some()
            {
                return Some(false);
            }
            client::four_letters(address, "srvr").is_ok_and(|answer| answer.contains("Mode:")).then_some(true)
        })
    }

    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    /// How long ago the process was started.
    #[must_use]
    pub fn since_started(&self) -> Duration {
        self.started.elapsed()
    }

    /// A client with a new session.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::open(self.address(), 4000)
    }

    #[must_use]
    pub fn pid(&self) -> u32 {
        match &self.process {
            Process::Milena(server) => server.pid(),
            Process::ZooKeeper { process, .. } => process.pid(),
        }
    }

    /// Bytes of the process that are in memory.
    ///
    /// # Panics
    /// When the system does not tell.
    #[must_use]
    pub fn resident_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("the process lives");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("the line is there");
        let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().expect("it is a number");
        kib * 1024
    }

    /// Kills Milena and starts it again on the same port and directory.
    ///
    /// # Panics
    /// When it is not Milena, or does not come back.
    pub fn kill_and_restart(&mut self) {
        let Process::Milena(server) = &mut self.process else { panic!("only Milena is restarted") };
        server.kill();
        server.start();
        assert!(self.is_up());
    }

    /// All that the process has written.
    #[must_use]
    pub fn output(&self) -> String {
        match &self.process {
            Process::Milena(server) => server.output(),
            Process::ZooKeeper { process, .. } => process.output(),
        }
    }
}

fn milena(port: u16, tick_millis: u32, container_millis: u32) -> Server {
    Setup::of(Target::Milena)
        .set("zookeeper.listener", &format!("127.0.0.1:{port}"))
        .set("zookeeper.min.session.timeout.ms", &(tick_millis * 2).to_string())
        .set("zookeeper.max.session.timeout.ms", &(tick_millis * 20).to_string())
        .set("zookeeper.max.client.connections", "0")
        .set("zookeeper.container.check.interval.ms", &container_millis.to_string())
        .set("zookeeper.4lw.commands.whitelist", "*")
        .set("zookeeper.super.digest", SUPER_DIGEST)
        .start()
}

fn zookeeper(port: u16, tick_millis: u32, container_millis: u32) -> Process {
    assert!(
        Path::new(JAR).is_file(),
        "{JAR} is missing: install the package zookeeper (apt-get install zookeeper)"
    );
    let directory = paths::scratch("zookeeper");
    let data = directory.path().join("data");
    let config = directory.path().join("zoo.cfg");
    let lines = [
        format!("tickTime={tick_millis}"),
        format!("dataDir={}", data.display()),
        format!("clientPort={port}"),
        "clientPortAddress=127.0.0.1".to_owned(),
        "maxClientCnxns=0".to_owned(),
        "admin.enableServer=false".to_owned(),
        "4lw.commands.whitelist=*".to_owned(),
        "extendedTypesEnabled=true".to_owned(),
    ];
    fs::write(&config, lines.join("\n")).expect("the scratch directory is writable");
    // As Debian starts it, with the JVM's own choice of compilers and collector: it is measured too.
    let mut command = Command::new("java");
    command
        .args(["-Xmx1g", "-cp", JAR])
        .arg("-Dzookeeper.extendedTypesEnabled=true")
        .arg(format!("-Dznode.container.checkIntervalMs={container_millis}"))
        .arg(format!("-Dzookeeper.DigestAuthenticationProvider.superDigest={SUPER_DIGEST}"))
        .arg("org.apache.zookeeper.server.ZooKeeperServerMain")
        .arg(&config);
    let process = Guarded::start(&mut command, &directory.path().join("output"));
    Process::ZooKeeper { process, _directory: directory }
}
