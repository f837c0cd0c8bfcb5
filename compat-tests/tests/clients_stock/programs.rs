//! How each client's program is fetched, built and started.
//!
//! It must never fetch or build outside `target/`, nor use a version that the tree does not pin.

use std::fs;
use std::path::Path;
use std::process::Command;

use milena_compat_tests::Program;
use milena_compat_tests::fetched::{self, FETCH_PATIENCE, clients};
use milena_compat_tests::java::{self, Jars};

/// A client's heap: its scenario holds a few hundred small records.
const HEAP_MIB: u32 = 128;

pub(crate) fn java_4_3() -> Program {
    java_client(Jars::Kafka)
}

pub(crate) fn java_2_8() -> Program {
    java_client(Jars::Client28)
}

fn java_client(jars: Jars) -> Program {
    Program::of(java::java(&java::compiled("scenario", jars), HEAP_MIB)).arg("Scenario")
}

pub(crate) fn python(file: &str) -> Program {
    let program = Program::new(fetched::python()).arg(clients().join("python").join(file));
    program.env("PYTHONDONTWRITEBYTECODE", "1")
}

pub(crate) fn node(file: &str) -> Program {
    let source = clients().join("node");
    let pins = read(&source.join("package-lock.json"));
    let folder = fetched::fetched("node", &pins, |folder| {
        for file in ["package.json", "package-lock.json"] {
            fs::copy(source.join(file), folder.join(file)).expect("the target directory is writable");
        }
        let install = ["ci", "--no-audit", "--no-fund"];
        Program::new("npm").args(install).current_dir(folder).patience(FETCH_PATIENCE).ok();
    });
    let program = Program::new("node").env("NODE_PATH", folder.join("node_modules"));
    program.env("KAFKAJS_NO_PARTITIONER_WARNING", "1").arg(source.join(file))
}

/// One of the folders of `clients/go`.
pub(crate) fn go(program: &str) -> Program {
    Program::new(fetched::go(program))
}

pub(crate) fn rdkafka() -> Program {
    Program::new(fetched::rdkafka("milena-rdkafka-scenario"))
}

/// kcat comes from the system: Debian's package, at Debian's version.
pub(crate) fn kcat() -> Program {
    let found = Command::new("kcat").arg("-V").output().is_ok();
    assert!(found, "kcat is missing: install the package kcat (apt-get install kcat)");
    Program::new(clients().join("kcat/scenario.sh"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
