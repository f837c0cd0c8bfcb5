//! A broker for a test: Milena, or Apache Kafka on the same terms.
//!
//! It has a directory and a port of its own, can be stopped, killed and started again on both, and is gone at the end. It
//! must never depend on which of the two it is, except for how the process is started.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use std::{env, thread};

use tempfile::TempDir;

use crate::java::{self, Jars};
use crate::paths;
use crate::port;
use crate::process::Guarded;
use crate::tool::Tool;
use crate::wait::{self, PATIENCE};
use crate::wire::Wire;

/// Which broker the tests run against, from `MILENA_TARGET`.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    #[default]
    Milena,
    Kafka,
}

impl Target {
    /// The target that the environment asks for; Milena when it is silent.
    ///
    /// # Panics
    /// When the variable holds another word.
    #[must_use]
    pub fn chosen() -> Self {
        match env::var("MILENA_TARGET").as_deref() {
            Err(_) | Ok("" | "milena") => Self::Milena,
            Ok("kafka") => Self::Kafka,
            Ok(other) => panic!("MILENA_TARGET is {other:?}: milena or kafka"),
        }
    }
}

/// How a broker is to be started.
#[derive(Debug, Clone)]
pub struct Setup {
    target: Target,
    settings: Vec<(String, String)>,
    heap_mib: u32,
    quick_jvm: bool,
    /// A directory that is a small file system of its own, and its size in MiB.
    small_disk: Option<(PathBuf, u32)>,
    /// The voters of the quorum can be changed, and its listener be asked.
    dynamic_quorum: bool,
}

impl Setup {
    #[must_use]
    pub fn of(target: Target) -> Self {
        Self {
            target,
            settings: Vec::new(),
            heap_mib: 400,
            quick_jvm: true,
            small_disk: None,
            dynamic_quorum: false,
        }
    }

    /// Begins a quorum whose voters can be changed (`kafka-storage format --standalone`), with a listener of its own at
    /// [`Server::controller_address`]. Either broker reads the same file.
    #[must_use]
    pub fn dynamic_quorum(mut self) -> Self {
        self.dynamic_quorum = true;
        self
    }

    /// Adds a broker setting, by Kafka's name.
    #[must_use]
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Gives Milena a disk of this size at `path`, in a mount namespace of its own, so that it is gone with the process.
    /// From outside it is seen through [`Server::inside`].
    #[must_use]
    pub fn small_disk(mut self, path: &Path, mib: u32) -> Self {
        self.small_disk = Some((path.to_owned(), mib));
        self
    }

    /// Gives Kafka's JVM its full compiler and a larger heap, for measurements.
    #[must_use]
    pub fn at_full_speed(mut self) -> Self {
        self.heap_mib = 1024;
        self.quick_jvm = false;
        self
    }

    /// Starts the broker and waits until it is ready.
    ///
    /// # Panics
    /// When it does not become ready; its output is shown.
    #[must_use]
    pub fn start(self) -> Server {
        let directory = paths::scratch("broker");
        let mut server =
            Server { setup: self, directory, process: None, port: 0, started: Instant::now(), cleanup: None };
        if server.setup.target == Target::Kafka || server.setup.dynamic_quorum {
            server.choose_ports();
            server.write_kafka_properties();
        }
        if server.setup.target == Target::Kafka {
            server.format_kafka();
        }
        server.start();
        server.cleanup = Some(Cleanup::of(server.directory.path()));
        server
    }
}

/// A broker process with its directory. Dropping it kills the process and removes the directory.
#[derive(Debug)]
pub struct Server {
    setup: Setup,
    process: Option<Guarded>,
    port: u16,
    started: Instant,
    directory: TempDir,
    cleanup: Option<Cleanup>,
}

impl Server {
    /// A broker of the chosen target with default settings.
    #[must_use]
    pub fn start_default() -> Self {
        Setup::of(Target::chosen()).start()
    }

    /// One broker for all tests of a test process that need nothing of their own but names.
    #[must_use]
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Server> = OnceLock::new();
        SHARED.get_or_init(Self::start_default)
    }

    #[must_use]
    pub fn target(&self) -> Target {
        self.setup.target
    }

    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    #[must_use]
    pub fn bootstrap(&self) -> String {
        self.address().to_string()
    }

    /// Where the controller listens.
    ///
    /// # Panics
    /// When the broker was started without [`Setup::dynamic_quorum`].
    #[must_use]
    pub fn controller_address(&self) -> SocketAddr {
        let (_, address) = self
            .setup
            .settings
            .iter()
            .find(|(name, _)| name == BOOTSTRAP_SERVERS)
            .expect("a quorum that can be changed");
        address.parse().expect("the address that was written")
    }

    /// A protocol connection of the test's own.
    ///
    /// # Panics
    /// When the broker does not accept.
    #[must_use]
    pub fn wire(&self) -> Wire {
        Wire::connect(self.address())
    }

    /// A tool aimed at this broker.
    #[must_use]
    pub fn tool(&self, name: &str) -> Tool {
        Tool::new(name).at(self)
    }

    /// The log directory: one folder per partition, as Kafka lays it out.
    #[must_use]
    pub fn log_dir(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// The files of a partition whose name ends so, in order.
    ///
    /// # Panics
    /// When the partition has no folder.
    #[must_use]
    pub fn partition_files(&self, topic: &str, partition: i32, ending: &str) -> Vec<PathBuf> {
        let folder = self.log_dir().join(format!("{topic}-{partition}"));
        let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("a readable folder").path()).collect();
        files.retain(|path| path.to_string_lossy().ends_with(ending));
        files.sort();
        files
    }

    /// A path as the broker's process sees it.
    #[must_use]
    pub fn inside(&self, path: &Path) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.pid()));
        root.join(path.strip_prefix("/").unwrap_or(path))
    }

    #[must_use]
    pub fn pid(&self) -> u32 {
        self.running().pid()
    }

    fn running(&self) -> &Guarded {
        self.process.as_ref().expect("the broker is running")
    }

    /// The time since the process was last started.
    #[must_use]
    pub fn since_started(&self) -> Duration {
        self.started.elapsed()
    }

    /// What the broker has written to its output.
    #[must_use]
    pub fn output(&self) -> String {
        fs::read_to_string(self.output_file()).unwrap_or_default()
    }

    /// Resident memory in bytes.
    ///
    /// # Panics
    /// When the process has ended.
    #[must_use]
    pub fn resident_bytes(&self) -> u64 {
        self.running().memory_bytes("VmRSS")
    }

    /// The processor time used so far, user and system.
    ///
    /// # Panics
    /// When the process has ended.
    #[must_use]
    pub fn processor_time(&self) -> Duration {
        self.running().processor_time()
    }

    /// Stops it with SIGTERM and waits for the end.
    ///
    /// # Panics
    /// When it is not running or does not stop.
    pub fn stop(&mut self) -> ExitStatus {
        self.process.take().expect("the broker is running").terminate(PATIENCE)
    }

    /// How it ended by itself, if it did.
    ///
    /// # Panics
    /// When it was stopped or killed before.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.process.as_mut().expect("the broker was not stopped").ended()
    }

    /// Kills it as `kill -9` does.
    ///
    /// # Panics
    /// When it is not running.
    pub fn kill(&mut self) {
        self.process.take().expect("the broker is running").kill();
    }

    /// Starts it again on the same directory and port.
    ///
    /// # Panics
    /// When it is running, or does not become ready.
    pub fn start(&mut self) {
        assert!(self.process.is_none(), "the broker is running");
        let mut command = match self.setup.target {
            Target::Milena => self.milena_command(),
            Target::Kafka => self.kafka_command(),
        };
        let before = self.output().len();
        self.started = Instant::now();
        let mut process = Guarded::start(&mut command, &self.output_file());
        let port = wait::until(PATIENCE, &format!("the broker's ready line, from {command:?}"), || {
            let output = process.output();
            let ended = process.ended();
            assert!(ended.is_none(), "the broker ended with {ended:?}:\n{output}");
            ready_port(output.get(before..)?, self.port)
        });
        self.port = port;
        self.process = Some(process);
    }

    /// Starts the other broker on the directory, with the configuration file that Kafka had.
    ///
    /// # Panics
    /// When it is running, was made without Kafka, or does not become ready.
    pub fn start_as(&mut self, target: Target) {
        assert!(self.properties_file().exists(), "Kafka made the directory");
        self.setup.target = target;
        self.start();
    }

    /// Sets a broker setting for the next start.
    ///
    /// # Panics
    /// When the configuration file cannot be written.
    pub fn set_for_next_start(&mut self, name: &str, value: &str) {
        self.setup.settings.retain(|(had, _)| had != name);
        self.setup.settings.push((name.to_owned(), value.to_owned()));
        if self.setup.target == Target::Kafka {
            self.write_kafka_properties();
        }
    }

    fn output_file(&self) -> PathBuf {
        self.directory.path().join("output.txt")
    }

    fn milena_command(&self) -> Command {
        let mut command = match &self.setup.small_disk {
            None => Command::new(paths::milena()),
            Some((path, mib)) => with_small_disk(path, *mib),
        };
        command.current_dir(self.directory.path()).arg("start");
        if self.properties_file().exists() {
            command.arg("--config").arg(self.properties_file());
            return command;
        }
        let fixed = [
            ("listeners".to_owned(), format!("PLAINTEXT://127.0.0.1:{}", self.port)),
            ("log.dirs".to_owned(), self.log_dir().display().to_string()),
        ];
        for (name, value) in fixed.iter().chain(&self.setup.settings) {
            command.arg("--override").arg(format!("{name}={value}"));
        }
        command
    }

    fn kafka_command(&self) -> Command {
        let class_path = Jars::Kafka.class_path();
        let mut command = if self.setup.quick_jvm {
            java::java(&class_path, self.setup.heap_mib)
        } else {
            java::java_of_a_server(&class_path, self.setup.heap_mib)
        };
        command.arg(java::log_config("log4j2-broker.properties"));
        command.current_dir(self.directory.path()).arg("kafka.Kafka").arg(self.properties_file());
        command
    }

    fn properties_file(&self) -> PathBuf {
        self.directory.path().join("server.properties")
    }

    /// Kafka cannot choose its own ports, so they are chosen for it.
    fn choose_ports(&mut self) {
        self.port = port::free();
        let controller = SocketAddr::from((Ipv4Addr::LOCALHOST, port::free()));
        let set = self.setup.settings.iter().find(|(name, _)| name == "node.id");
        let node = set.map_or_else(|| "1".to_owned(), |(_, id)| id.clone());
        let quorum = if self.setup.dynamic_quorum {
            (BOOTSTRAP_SERVERS.to_owned(), controller.to_string())
        } else {
            ("controller.quorum.voters".to_owned(), format!("{node}@{controller}"))
        };
        let listeners = format!("PLAINTEXT://{},CONTROLLER://{controller}", self.address());
        self.setup.settings.splice(..0, [quorum, ("listeners".to_owned(), listeners)]);
    }

    fn format_kafka(&self) {
        let properties = self.properties_file().display().to_string();
        let mut format = vec!["format", "--cluster-id", CLUSTER_ID, "--config", &properties];
        if self.setup.dynamic_quorum {
            format.push("--standalone");
        }
        let _ = Tool::new("kafka-storage").args(format).ok();
    }

    fn write_kafka_properties(&self) {
        let mut text = format!("log.dirs={}\n{KAFKA_PROPERTIES}", self.log_dir().display());
        for (name, value) in &self.setup.settings {
            text.push_str(&format!("{name}={value}\n"));
        }
        fs::write(self.properties_file(), text).expect("the broker's directory is writable");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if thread::panicking() {
            let output = self.output();
            let tail: Vec<&str> = output.lines().rev().take(60).collect();
            eprintln!("the broker's last lines:");
            for line in tail.into_iter().rev() {
                eprintln!("  {line}");
            }
        }
    }
}

const BOOTSTRAP_SERVERS: &str = "controller.quorum.bootstrap.servers";
pub(crate) const CLUSTER_ID: &str = "4L6g3nShT-eMCtK--X86sw";

/// What makes one Kafka node serve alone; the rest is its default. The join delay is the single-node default of Milena.
const KAFKA_PROPERTIES: &str = "process.roles=broker,controller
node.id=1
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
";

/// Milena with a file system of `mib` MiB mounted at `path`; the process stays the one that is started.
pub(crate) fn with_small_disk(path: &Path, mib: u32) -> Command {
    let script = "mount -t tmpfs -o size=$1m milena \"$2\" && shift 2 && exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"]);
    command.arg(mib.to_string()).arg(path).arg(paths::milena());
    command
}

/// The port in the ready line, or the one that was asked for.
fn ready_port(output: &str, asked: u16) -> Option<u16> {
    let line = output.lines().find(|line| line.contains("Kafka Server started"))?;
    if asked != 0 {
        return Some(asked);
    }
    // The first listener is the one that was asked for.
    let (_, after) = line.split_once("127.0.0.1:")?;
    let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// Removes the directory of a broker that lives in a static, whose destructor never runs.
#[derive(Debug)]
struct Cleanup {
    _shell: std::process::Child,
}

impl Cleanup {
    fn of(directory: &Path) -> Self {
        let shell = Command::new("sh")
            .args(["-c", "read -r _; sleep 1; rm -rf \"$1\"", "cleanup"])
            .arg(directory)
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("a shell starts");
        Self { _shell: shell }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ready_line_tells_the_chosen_port() {
        let line = "x\n2026-01-01 INFO Kafka Server started at 127.0.0.1:41234, data in /tmp/x (127.0.0.1)\n";
        assert_eq!(ready_port("starting 127.0.0.1:1\n", 0), None);
        assert_eq!(ready_port(line, 0), Some(41234));
        assert_eq!(ready_port(line, 9092), Some(9092));
    }
}
