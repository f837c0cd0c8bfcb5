//! The official jars: fetched through Maven once, kept below `target/java/`, and the commands that run them.
//!
//! It must never fetch what is already there, nor put a jar into the tree.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::SystemTime;

use rustix::fs::{FlockOperation, flock};

use crate::paths;

/// A set of jars, named after the folder below `compat-tests/java/` whose `pom.xml` lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Jars {
    /// Apache Kafka 4.3.1: broker, tools and client.
    Kafka,
    /// The Java client 2.8.
    Client28,
    /// The Java client 3.6, as AKHQ has it.
    Client36,
    /// The Java client 3.9, as kafka-ui has it.
    Client39,
    /// Kafka Streams 4.3.1 with its own test programs.
    Streams,
    /// Testcontainers' Kafka module, with the client 4.3.1.
    Containers,
    /// ZooKeeper's client 3.8 and its recipes, of Debian's packages `zookeeper` and `libzookeeper-java`.
    ZooKeeper,
}

/// Where Debian's packages put jars; each names those that it needs.
const ZOOKEEPER_JARS: &str = "/usr/share/java/zookeeper.jar:/usr/share/java/zookeeper-recipes-lock.jar:\
                              /usr/share/java/zookeeper-recipes-queue.jar:/usr/share/java/zookeeper-recipes-election.jar";

impl Jars {
    fn folder(self) -> &'static str {
        match self {
            Self::Kafka => "kafka",
            Self::Client28 => "client28",
            Self::Client36 => "client36",
            Self::Client39 => "client39",
            Self::Streams => "streams",
            Self::Containers => "containers",
            Self::ZooKeeper => "zookeeper",
        }
    }

    /// The class path of the set, fetched if it is not there.
    ///
    /// # Panics
    /// When Maven fails; its output is shown.
    #[must_use]
    pub fn class_path(self) -> String {
        static KAFKA: OnceLock<String> = OnceLock::new();
        static CLIENT28: OnceLock<String> = OnceLock::new();
        static CLIENT36: OnceLock<String> = OnceLock::new();
        static CLIENT39: OnceLock<String> = OnceLock::new();
        static STREAMS: OnceLock<String> = OnceLock::new();
        static CONTAINERS: OnceLock<String> = OnceLock::new();
        let cell = match self {
            Self::Kafka => &KAFKA,
            Self::Client28 => &CLIENT28,
            Self::Client36 => &CLIENT36,
            Self::Client39 => &CLIENT39,
            Self::Streams => &STREAMS,
            Self::Containers => &CONTAINERS,
            Self::ZooKeeper => return ZOOKEEPER_JARS.to_owned(),
        };
        cell.get_or_init(|| format!("{}/*", fetch(self).display())).clone()
    }
}

/// `java`, small and quick to start: most of our JVMs live for a second.
#[must_use]
pub fn java(class_path: &str, heap_mib: u32) -> Command {
    let mut command = Command::new("java");
    command.args(["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-Xss512k"]);
    command.arg(format!("-Xmx{heap_mib}m"));
    command.arg(log_config("log4j2-tools.properties"));
    command.args(["-cp", class_path]);
    command
}

/// `java` as `kafka-server-start.sh` starts it: what is measured.
#[must_use]
pub fn java_of_a_server(class_path: &str, heap_mib: u32) -> Command {
    let mut command = Command::new("java");
    command.args(["-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-Djava.awt.headless=true"]);
    command.args(["-XX:InitiatingHeapOccupancyPercent=35", "-XX:+ExplicitGCInvokesConcurrent"]);
    command.arg(format!("-Xmx{heap_mib}m")).arg(format!("-Xms{heap_mib}m"));
    command.args(["-cp", class_path]);
    command
}

/// The argument that gives a JVM one of our logging configurations.
#[must_use]
pub fn log_config(name: &str) -> OsString {
    let mut argument = OsString::from("-Dlog4j2.configurationFile=");
    argument.push(paths::workspace().join("compat-tests/java").join(name));
    argument
}

/// Compiles the Java files of `compat-tests/java/<folder>` against a set of jars; gives the class path to run them.
///
/// # Panics
/// When the compiler refuses; its output is shown.
#[must_use]
pub fn compiled(folder: &str, jars: Jars) -> String {
    let sources = java_files(&paths::workspace().join("compat-tests/java").join(folder));
    let class_path = jars.class_path();
    let classes = cache().join("classes").join(format!("{folder}-{}", jars.folder()));
    let _lock = lock();
    let stamp = classes.join("compiled");
    let newest = sources.iter().map(|source| modified(source)).max().expect("a folder of Java files");
    if !stamp.is_file() || modified(&stamp) < newest {
        fs::create_dir_all(&classes).expect("the cache is writable");
        let mut command = Command::new("javac");
        command.args(["-cp", &class_path, "-d"]).arg(&classes).args(&sources);
        run_quietly(&mut command);
        File::create(&stamp).expect("the cache is writable");
    }
    format!("{}:{class_path}", classes.display())
}

fn fetch(jars: Jars) -> PathBuf {
    let pom = paths::workspace().join("compat-tests/java").join(jars.folder()).join("pom.xml");
    let libs = cache().join(jars.folder());
    let _lock = lock();
    let stamp = libs.join("fetched");
    if !stamp.is_file() || modified(&stamp) < modified(&pom) {
        let _ = fs::remove_dir_all(&libs);
        let mut command = Command::new("mvn");
        command.args(["--quiet", "--batch-mode", "--file"]).arg(&pom);
        command.args(["dependency:copy-dependencies", &format!("-DoutputDirectory={}", libs.display())]);
        run_quietly(&mut command);
        File::create(&stamp).expect("the cache is writable");
    }
    libs
}

fn run_quietly(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    assert!(
        output.status.success(),
        "{command:?} failed with {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

fn cache() -> PathBuf {
    paths::target().join("java")
}

/// Several test processes may want the cache at once; the lock is freed with the file.
fn lock() -> File {
    fs::create_dir_all(cache()).expect("the target directory is writable");
    let file = File::create(cache().join("lock")).expect("the cache is writable");
    flock(&file, FlockOperation::LockExclusive).expect("a local file can be locked");
    file
}

fn java_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("a readable folder").path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "java"));
    files.sort();
    files
}

fn modified(path: &Path) -> SystemTime {
    let metadata = fs::metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    metadata.modified().expect("the file system keeps times")
}
