//! ZooKeeper's own clients: zkCli, the Java client with its recipes, and kazoo with its own.
//!
//! Must never be content with an exit code: what the client shows is read.

use std::fs;
use std::process::Command;

use milena_compat_tests::Program;
use milena_compat_tests::fetched::{self, FETCH_PATIENCE, clients};
use milena_compat_tests::java::{self, Jars};
use milena_compat_tests::zoo::{Kind, Zoo};

#[test]
fn kazoo_and_its_recipes_work() {
    let zoo = Zoo::start_with(Kind::Milena, 2000, 60_000);
    let source = clients().join("kazoo");
    let pins = fs::read_to_string(source.join("requirements.txt")).unwrap();
    let folder = fetched::fetched("kazoo", &pins, |folder| {
        let environment = folder.join("env");
        Program::new("python3").args(["-m", "venv"]).arg(&environment).patience(FETCH_PATIENCE).ok();
        let install = ["install", "--quiet", "--disable-pip-version-check", "-r"];
        let pip = Program::new(environment.join("bin/pip")).args(install);
        pip.arg(source.join("requirements.txt")).patience(FETCH_PATIENCE).ok();
    });
    let python = Program::new(folder.join("env/bin/python")).env("PYTHONDONTWRITEBYTECODE", "1");
    let output = python.arg(source.join("recipes.py")).arg(zoo.address().to_string()).ok();
    assert!(output.ends_with("passed\n"), "{output}");
}

#[test]
fn the_java_client_and_its_recipes_work() {
    // What the program expects is what ZooKeeper does.
    for kind in [Kind::ZooKeeper, Kind::Milena] {
        let zoo = Zoo::start_with(kind, 2000, 60_000);
        let mut command = java::java(&java::compiled("zookeeper", Jars::ZooKeeper), 128);
        command.arg("-Dzookeeper.sasl.client=false");
        let output = Program::of(command).arg("JavaClient").arg(zoo.address().to_string()).ok();
        assert!(output.ends_with("passed\n"), "{kind:?}: {output}");
    }
}

/// A line of zkCli and what its answer holds.
const CLI: &[(&str, &str)] = &[
    ("create /cli data", "Created /cli"),
    ("create -e /cli/e x", "Created /cli/e"),
    ("create -s /cli/s- y", "Created /cli/s-0000000001"),
    ("create -c /cli/c", "Created /cli/c"),
    ("create -t 100000 /cli/t z", "Created /cli/t"),
    ("create /cli/none/x", "Node does not exist: /cli/none/x"),
    ("create /cli", "Node already exists: /cli"),
    ("get /cli", "data"),
    ("ls -R /cli", "/cli/s-0000000001"),
    ("set -v 7 /cli bad", "version No is not valid : /cli"),
    ("set -s /cli new", "dataVersion = 1"),
    ("setAcl /cli/t world:anyone:r", ""),
    ("getAcl /cli/t", "'world,'anyone\n: r"),
    ("set /cli/t x", "Insufficient permission : /cli/t"),
    ("set /brokers/topics x", "Insufficient permission : /brokers/topics"),
    ("addauth digest super:test", ""),
    ("set /cli/t x", ""),
    ("getEphemerals", "[/cli/e]"),
    ("getAllChildrenNumber /cli", "4"),
    ("addWatch -m PERSISTENT_RECURSIVE /cli", ""),
    ("set /cli/s-0000000001 again", "type:NodeDataChanged path:/cli/s-0000000001"),
    ("removewatches /cli", "type:PersistentWatchRemoved path:/cli"),
    ("sync /", "Sync is OK"),
    ("whoami", "super:"),
    ("delete /cli", "Node not empty: /cli"),
    ("deleteall /cli", ""),
    ("ls /cli", "Node does not exist: /cli"),
    ("quit", "state:Closed"),
];

#[test]
fn zkcli_works() {
    let zoo = Zoo::start_with(Kind::Milena, 2000, 60_000);
    let lines: Vec<&str> = CLI.iter().map(|(line, _)| *line).collect();
    let mut command = Command::new("sh");
    let java = "java -Xmx128m -XX:+UseSerialGC -cp /usr/share/java/zookeeper.jar \
                org.apache.zookeeper.ZooKeeperMain -server";
    command.args(["-c", &format!("printf '%s\\n' \"$0\" | {java} {}", zoo.address()), &lines.join("\n")]);
    // Its exit code is that of the last command that failed.
    let output = Program::of(command).run().output;
    let mut rest = output.as_str();
    for (line, expected) in CLI {
        let at = rest
            .find(expected)
            .unwrap_or_else(|| panic!("{line}: {expected:?} is not in\n{rest}\nof\n{output}"));
        rest = &rest[at + expected.len()..];
    }
}
