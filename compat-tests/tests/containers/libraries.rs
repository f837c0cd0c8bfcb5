//! Testcontainers' modules for Kafka, unchanged, from their registries: each starts our image, writes and reads.
//!
//! It must never give a module more than the image's name.

use std::env;
use std::fs;
use std::path::PathBuf;

use milena_compat_tests::fetched::{self, FETCH_PATIENCE};
use milena_compat_tests::java::{self, Jars};
use milena_compat_tests::program::Program;

use crate::engine::{IMAGE, OLDER, images};

/// The heap of a program that mostly waits for containers.
const HEAP_MIB: u32 = 256;

/// A program of a module, with what every module is told where no image can be pulled.
fn run(program: Program) -> String {
    program
        // The container that would clean up is an image of its own; ours are removed by the programs.
        .env("TESTCONTAINERS_RYUK_DISABLED", "true")
        // Some look for the engine's address with another image when they run inside a container themselves.
        .env("TESTCONTAINERS_HOST_OVERRIDE", "127.0.0.1")
        .patience(FETCH_PATIENCE)
        .ok()
}

fn folder(name: &str) -> PathBuf {
    fetched::clients().join("containers").join(name)
}

fn is_long() -> bool {
    env::var("MILENA_LONG").is_ok_and(|value| value == "1")
}

#[test]
fn the_java_classes_start_it() {
    let Some(()) = images() else { return };
    let program = Program::of(java::java(&java::compiled("containers", Jars::Containers), HEAP_MIB));
    let output = run(program.arg("Containers").arg(IMAGE));
    for class in [
        "KafkaContainer",
        "ConfluentKafkaContainer",
        "deprecated KafkaContainer, KRaft",
        "deprecated KafkaContainer, ZooKeeper",
    ] {
        assert!(output.contains(&format!("ok {class}\n")), "{output}");
    }
}

#[test]
fn the_python_module_starts_it() {
    let Some(()) = images() else { return };
    let python = fetched::python_with("containers-python", &folder("python").join("requirements.txt"));
    let output = run(Program::new(python).arg(folder("python").join("containers.py")).arg(IMAGE));
    assert!(output.contains("ok KRaft\n") && output.contains("ok ZooKeeper\n"), "{output}");
}

#[test]
fn the_node_module_starts_it() {
    let Some(()) = images() else { return };
    let source = folder("node");
    let pins = fs::read_to_string(source.join("package-lock.json")).expect("the pins are in the tree");
    let installed = fetched::fetched("containers-node", &pins, |to| {
        for file in ["package.json", "package-lock.json"] {
            fs::copy(source.join(file), to.join(file)).expect("the target directory is writable");
        }
        let install = ["ci", "--no-audit", "--no-fund"];
        Program::new("npm").args(install).current_dir(to).patience(FETCH_PATIENCE).ok();
    });
    let program = Program::new("node").env("NODE_PATH", installed.join("node_modules"));
    let program = program.env("KAFKAJS_NO_PARTITIONER_WARNING", "1").arg(source.join("containers.js"));
    let output = run(program.args([IMAGE, OLDER]));
    assert!(output.contains("ok 8\n") && output.contains("ok 7\n"), "{output}");
}

/// Long, since the module and what it needs are compiled first.
#[test]
fn the_go_module_starts_it() {
    let (true, Some(())) = (is_long(), images()) else { return };
    let to = fetched::root().join("containers-go");
    let _lock = fetched::lock("containers-go");
    let binary = to.join("containers");
    let build = Program::new("go").args(["build", "-modcacherw", "-mod=readonly", "-o"]).arg(&binary);
    let build = build.arg(".").current_dir(folder("go")).env("GOTOOLCHAIN", "auto");
    let build = build.env("GOMODCACHE", to.join("modules")).env("GOCACHE", to.join("cache"));
    build.patience(FETCH_PATIENCE).ok();
    let output = run(Program::new(binary).arg(IMAGE));
    assert!(output.contains("ok kafka.Run\n"), "{output}");
}

/// Long, for the same reason.
#[test]
fn the_rust_module_starts_it() {
    let (true, Some(())) = (is_long(), images()) else { return };
    let to = fetched::root().join("containers-rust");
    let _lock = fetched::lock("containers-rust");
    let build = Program::new("cargo").args(["build", "--locked", "--quiet", "--target-dir"]).arg(&to);
    build.current_dir(folder("rust")).patience(FETCH_PATIENCE).ok();
    let output = run(Program::new(to.join("debug/milena-containers")).arg(IMAGE));
    assert!(output.contains("ok apache::Kafka\n"), "{output}");
}
