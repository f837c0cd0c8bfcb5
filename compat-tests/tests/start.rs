//! The command line: starting with any kind of settings, printing them, refusing them, stopping.
//!
//! It must never look inside: it sees arguments, files, variables, output and exit codes.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Output};

use milena_compat_tests::process::Guarded;
use milena_compat_tests::wait::{self, PATIENCE};
use milena_compat_tests::{paths, wire::Wire};

/// The settings file of a single KRaft node in Kafka's release, without its comments.
const STOCK: &str = "process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=localhost:9093
listeners=PLAINTEXT://:0,CONTROLLER://:9093
inter.broker.listener.name=PLAINTEXT
advertised.listeners=PLAINTEXT://localhost:0,CONTROLLER://localhost:9093
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT
num.network.threads=3
num.io.threads=8
socket.send.buffer.bytes=102400
socket.receive.buffer.bytes=102400
socket.request.max.bytes=104857600
num.partitions=1
num.recovery.threads.per.data.dir=2
offsets.topic.replication.factor=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
log.retention.hours=168
log.segment.bytes=1073741824
log.retention.check.interval.ms=300000
";

/// The binary in a directory of its own, without settings from the test's environment.
fn milena(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(paths::milena());
    command.current_dir(directory).args(arguments);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("KAFKA_") || name == "CLUSTER_ID" || name == "RUST_LOG" {
            command.env_remove(name);
        }
    }
    command
}

fn run(directory: &Path, arguments: &[&str]) -> Output {
    milena(directory, arguments).output().expect("the binary runs")
}

/// Starts a broker and waits for its ready line; the process and the port that the line tells.
fn start(command: &mut Command, directory: &Path) -> (Guarded, u16) {
    let process = Guarded::start(command, &directory.join("output.txt"));
    let port = wait::until(PATIENCE, &format!("a ready line of {command:?}"), || {
        let output = process.output();
        let line = output.lines().find(|line| line.contains("Kafka Server started"))?;
        let (_, address) = line.split_once("bootstrap.servers=")?;
        let (_, port) = address.split_once(':')?;
        port.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok()
    });
    (process, port)
}

fn assert_serves(port: u16) {
    drop(Wire::connect((Ipv4Addr::LOCALHOST, port).into()));
}

#[test]
fn every_wrong_setting_is_named_at_once_and_the_exit_code_is_2() {
    let directory = paths::scratch("start");
    let text = "num.io.threads=many\n\nlog.segment.bytes=5\nlisteners=HOST://:9092\n";
    fs::write(directory.path().join("server.properties"), text).expect("a writable directory");
    let output = run(directory.path(), &["server.properties", "--override", "node.id=x"]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    for expected in [
        "4 settings are wrong",
        "server.properties:1: num.io.threads=many: Not a number of type INT",
        "server.properties:3: log.segment.bytes=5: Value must be at least 1048576",
        "server.properties:4: listeners=HOST://:9092: No security protocol defined for listener HOST",
        "command line: node.id=x: Not a number of type INT",
    ] {
        assert!(said.contains(expected), "{expected:?} is not in\n{said}");
    }
    assert_eq!(said.matches("remedy: ").count(), 4, "{said}");
}

#[test]
fn a_stock_kraft_file_starts_unchanged_and_sigterm_stops_it() {
    let directory = paths::scratch("start");
    let data = directory.path().join("data");
    let file = directory.path().join("server.properties");
    fs::write(&file, format!("{STOCK}log.dirs={}\n", data.display())).expect("a writable directory");
    let file = file.display().to_string();
    let (mut process, port) = start(&mut milena(directory.path(), &[&file]), directory.path());
    assert_serves(port);
    let output = process.output();
    assert!(!output.contains(" WARN "), "{output}");
    assert!(output.contains("Transitioning from RECOVERY to RUNNING"), "{output}");
    assert!(output.contains("[KafkaServer id=1] started"), "{output}");
    assert!(output.lines().count() <= 10, "{output}");
    assert!(data.join("meta.properties").is_file());

    let second = run(directory.path(), &["start", "--config", &file]);
    assert_eq!(second.status.code(), Some(1));
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(said.contains(&data.display().to_string()), "who holds the directory? {said}");

    let status = process.terminate(PATIENCE);
    assert!(status.success(), "{status}");
}

#[test]
fn toml_variables_and_overrides_are_read_in_this_order() {
    let directory = paths::scratch("start");
    fs::write(directory.path().join("a.toml"), "num.partitions = 2\nnode.id = 5\n[log]\nretention.ms = 7\n")
        .expect("a writable directory");
    let output = milena(directory.path(), &["config", "--config", "a.toml", "--override", "node.id=6"])
        .env("KAFKA_LOG_RETENTION_MS", "8")
        .env("KAFKA_HEAP_OPTS", "-Xmx1g")
        .output()
        .expect("the binary runs");
    let said = String::from_utf8_lossy(&output.stdout);
    for expected in [
        "num.partitions=2  # a.toml:1",
        "log.retention.ms=8  # environment variable KAFKA_LOG_RETENTION_MS",
        "node.id=6  # command line",
        "listeners=PLAINTEXT://127.0.0.1:9092  # default",
    ] {
        assert!(said.lines().any(|line| line == expected), "{expected:?} is not in\n{said}");
    }
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn config_prints_everything_as_json_when_asked() {
    let directory = paths::scratch("start");
    let output =
        run(directory.path(), &["config", "--all", "--json", "--override", "ssl.key.password=hunter2"]);
    let settings: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let settings = settings.as_array().expect("an array");
    assert!(settings.len() >= 340, "{}", settings.len());
    let secret = settings.iter().find(|one| one["name"] == "ssl.key.password").expect("what was set");
    assert_eq!(secret["value"], "[hidden]");
}

#[test]
fn an_ephemeral_broker_leaves_nothing_behind() {
    let directory = paths::scratch("start");
    let temporary = directory.path().join("tmp");
    fs::create_dir(&temporary).expect("a writable directory");
    let arguments =
        ["--ephemeral", "--log-format", "json", "--override", "listeners=PLAINTEXT://127.0.0.1:0"];
    let (mut process, port) =
        start(milena(directory.path(), &arguments).env("TMPDIR", &temporary), directory.path());
    assert_serves(port);
    assert_eq!(fs::read_dir(&temporary).expect("a directory").count(), 1);
    for line in process.output().lines() {
        let line: serde_json::Value = serde_json::from_str(line).expect("every line is JSON");
        assert!(line["message"].is_string(), "{line}");
    }
    assert!(process.terminate(PATIENCE).success());
    assert_eq!(fs::read_dir(&temporary).expect("a directory").count(), 0);
    assert!(!directory.path().join("milena-data").exists());
}

#[test]
fn unknown_and_old_names_are_warned_of_and_the_nearest_name_is_told() {
    let directory = paths::scratch("start");
    let text = "zookeeper.connect=localhost:2181\nlog.retention.hour=5\n";
    fs::write(directory.path().join("old.properties"), text).expect("a writable directory");
    let output = run(directory.path(), &["config", "old.properties"]);
    assert!(output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(said.lines().count(), 2, "{said}");
    assert!(said.contains("did you mean log.retention.hours?"), "{said}");
    assert!(said.contains("zookeeper.connect"), "{said}");
}

#[test]
fn help_and_version_are_printed() {
    let directory = paths::scratch("start");
    let help = run(directory.path(), &["--help"]);
    assert!(help.status.success());
    assert!(String::from_utf8_lossy(&help.stdout).contains("--ephemeral"));
    let version = run(directory.path(), &["--version"]);
    assert!(String::from_utf8_lossy(&version.stdout).starts_with("milena "));
    assert_eq!(run(directory.path(), &["--nonsense"]).status.code(), Some(2));
}
