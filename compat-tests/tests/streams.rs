//! Kafka Streams' own smoke test, `org.apache.kafka.streams.tests.StreamsSmokeTest`, with `exactly_once_v2`.
//!
//! Its driver produces for a minute and a half and then checks every topic that the processors wrote; "exactly once" is its verdict,
//! not ours. It must never be given an easier life than Kafka's system test gives it: processors are killed, not stopped.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use milena_compat_tests::java::{self, Jars};
use milena_compat_tests::process::Guarded;
use milena_compat_tests::server::Setup;
use milena_compat_tests::{Cluster, Target, Tool, paths, wait};

/// The topics of Kafka's system test, of five partitions each.
const TOPICS: [&str; 14] = [
    "echo",
    "data",
    "min",
    "min-suppressed",
    "min-raw",
    "max",
    "sum",
    "sws-raw",
    "sws-suppressed",
    "dif",
    "cnt",
    "avg",
    "wcnt",
    "tagg",
];

/// Ninety seconds of data, six minutes at most until the last record is processed.
const DRIVER_PATIENCE: Duration = Duration::from_secs(540);
/// A killed processor's session, a rebalance, the restore of its stores.
const TAKEOVER_PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn streams_process_exactly_once_while_processors_and_the_broker_are_killed() {
    let mut server = Setup::of(Target::chosen()).start();
    create_topics(&server.bootstrap(), &[]);
    let folder = paths::scratch("streams");
    let mut first = Processor::start(&server.bootstrap(), folder.path(), "first");
    first.is_at_work();
    let driver = Program::start(&server.bootstrap(), folder.path(), "driver", "run");
    first.has_processed();
    driver.is_not_done();
    first.program.process.kill();

    let mut second = Processor::start(&server.bootstrap(), folder.path(), "second");
    second.is_at_work();
    second.has_processed();
    server.kill();
    server.start();
    driver.is_not_done();
    second.program.process.kill();

    let third = Processor::start(&server.bootstrap(), folder.path(), "third");
    third.is_at_work();
    third.has_processed();
    driver.is_not_done();
    server.stop();
    server.start();
    let said = driver.ends_well();
    assert!(said.lines().any(|line| line == "SUCCESS"), "{said}\n{}", third.program.process.output());
}

/// A replicated topology on three brokers of which each is killed once; internal topics have as many replicas.
#[test]
fn streams_process_exactly_once_on_three_brokers_while_each_is_killed() {
    let mut cluster = Cluster::start_with(&[
        ("broker.session.timeout.ms", "1500"),
        ("broker.heartbeat.interval.ms", "300"),
    ]);
    create_topics(&cluster.bootstrap(), &["--replication-factor", "3", "--config", "min.insync.replicas=2"]);
    let folder = paths::scratch("streams");
    let mut first = Processor::start(&cluster.bootstrap(), folder.path(), "first");
    first.is_at_work();
    let driver = Program::start(&cluster.bootstrap(), folder.path(), "driver", "run");
    first.has_processed();
    cluster.kill(1);
    cluster.restart(1);
    driver.is_not_done();
    first.program.process.kill();

    let second = Processor::start(&cluster.bootstrap(), folder.path(), "second");
    for node in [2, 3] {
        second.is_at_work();
        second.has_processed();
        driver.is_not_done();
        cluster.kill(node);
        cluster.restart(node);
    }
    let said = driver.ends_well();
    assert!(said.lines().any(|line| line == "SUCCESS"), "{said}\n{}", second.program.process.output());
}

fn create_topics(bootstrap: &str, more: &[&str]) {
    for topic in TOPICS {
        let tool =
            Tool::new("kafka-topics").args(["--bootstrap-server", bootstrap, "--create", "--topic", topic]);
        tool.args(["--partitions", "5"]).args(more.iter().copied()).ok();
    }
}

/// One run of `StreamsSmokeTest`, in a process of its own: it is to be killed.
struct Program {
    process: Guarded,
}

impl Program {
    fn start(bootstrap: &str, folder: &Path, name: &str, command: &str) -> Self {
        let folder = folder.join(name);
        fs::create_dir_all(&folder).expect("the scratch folder is writable");
        let properties = folder.join("properties");
        let state = folder.join("state");
        let text = format!(
            "bootstrap.servers={}\nprocessing.guarantee=exactly_once_v2\nsession.timeout.ms=10000\nstate.dir={}\n",
            bootstrap,
            state.display()
        );
        fs::write(&properties, text).expect("the scratch folder is writable");
        let mut java: Command = java::java(&Jars::Streams.class_path(), 512);
        java.arg("org.apache.kafka.streams.tests.StreamsSmokeTest").arg(&properties).arg(command);
        Self { process: Guarded::start(&mut java, &folder.join("output")) }
    }

    /// Kafka's own test asks this before each step: a driver that is done proves nothing of what follows.
    fn is_not_done(&self) {
        let said = self.process.output();
        assert!(!said.contains("Result Verification"), "the driver is done too early:\n{said}");
    }

    fn ends_well(mut self) -> String {
        let status = wait::until_or(DRIVER_PATIENCE, || self.process.ended());
        let said = self.process.output();
        assert!(status.is_some_and(|status| status.success()), "{status:?}\n{said}");
        said
    }
}

/// An instance of the application.
struct Processor {
    program: Program,
}

impl Processor {
    fn start(bootstrap: &str, folder: &Path, name: &str) -> Self {
        Self { program: Program::start(bootstrap, folder, name, "process") }
    }

    fn is_at_work(&self) {
        self.says("REBALANCING -> RUNNING");
    }

    fn has_processed(&self) {
        self.says("processed");
    }

    fn says(&self, words: &str) {
        let found =
            wait::until_or(TAKEOVER_PATIENCE, || self.program.process.output().contains(words).then_some(()));
        assert!(found.is_some(), "a processor never said {words:?}:\n{}", self.program.process.output());
    }
}
