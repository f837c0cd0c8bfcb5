//! The tests inside published crates: rust-rdkafka and rskafka.
//!
//! It must never change a test; only the pins around them that keep a crate from building here.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use milena_compat_tests::fetched::{self, FETCH_PATIENCE};
use milena_compat_tests::server::Setup;
use milena_compat_tests::{Program, Server, Target};
use serde_json::Value;

use super::{Said, has_a_coordinator};

/// The tests themselves take one minute on an idle machine.
const PATIENCE: Duration = Duration::from_secs(600);

struct Suite {
    name: &'static str,
    version: &'static str,
    targets: &'static [&'static str],
    /// A dependency whose locked version the current compiler refuses.
    renewed: Option<&'static str>,
}

pub(crate) fn rdkafka(tests: &[&str]) -> Said {
    let suite = Suite {
        name: "rdkafka",
        version: "0.39.0",
        targets: &[
            "test_admin",
            "test_high_consumers",
            "test_high_producers",
            "test_low_consumers",
            "test_low_producers",
            "test_metadata",
            "test_transactions",
        ],
        renewed: None,
    };
    // The suite's compose file starts a broker 0 with three partitions for a new topic.
    let setup = Setup::of(Target::chosen()).set("node.id", "0").set("num.partitions", "3");
    suite.run(&setup.start(), tests, &[("KAFKA_VERSION", "4.3.1")], "KAFKA_HOST")
}

pub(crate) fn rskafka(tests: &[&str]) -> Said {
    let suite = Suite {
        name: "rskafka",
        version: "0.6.0",
        targets: &["client", "consumer", "producer"],
        renewed: Some("rsasl"),
    };
    let environment = [("TEST_INTEGRATION", "1"), ("TEST_BROKER_IMPL", "kafka")];
    // One test asks for a topic that must not come into being.
    let setup = Setup::of(Target::chosen()).set("auto.create.topics.enable", "false");
    suite.run(&setup.start(), tests, &environment, "KAFKA_CONNECT")
}

impl Suite {
    fn run(&self, server: &Server, tests: &[&str], environment: &[(&str, &str)], address: &str) -> Said {
        has_a_coordinator(server);
        let source = self.source();
        let _lock = fetched::lock("crate-suites");
        self.cargo(&source).arg("--no-run").patience(FETCH_PATIENCE).ok();
        let mut program = self.cargo(&source).env(address, server.bootstrap());
        for (name, value) in environment {
            program = program.env(name, value);
        }
        let names = tests.iter().filter_map(|test| test.split_once("::")).map(|(_, name)| name);
        let program = program.args(["--no-fail-fast", "--", "--test-threads=2", "--exact"]).args(names);
        let ran = program.patience(PATIENCE).run();
        Said { outcomes: outcomes(&ran.output), output: ran.output }
    }

    fn cargo(&self, source: &PathBuf) -> Program {
        let program = Program::new("cargo").args(["test", "--target-dir"]);
        let program = program.arg(fetched::root().join("crate-suites")).current_dir(source);
        program.args(self.targets.iter().flat_map(|target| ["--test", target]))
    }

    /// The crate as published: asking for it as a dependency makes cargo fetch and unpack it.
    fn source(&self) -> PathBuf {
        let Self { name, version, renewed, .. } = self;
        let pins = format!("{name} {version} {renewed:?}");
        let folder = fetched::fetched(&format!("crate-{name}"), &pins, |folder| {
            let asking = folder.join("asking");
            fs::create_dir_all(asking.join("src")).expect("the target directory is writable");
            let manifest = format!(
                "[workspace]\n[package]\nname = \"asking\"\nedition = \"2024\"\n\
                 [dependencies]\n{name} = {{ version = \"={version}\", default-features = false }}\n"
            );
            fs::write(asking.join("Cargo.toml"), manifest).expect("the target directory is writable");
            fs::write(asking.join("src/lib.rs"), "").expect("the target directory is writable");
            let metadata = Program::new("cargo").args(["metadata", "--quiet", "--format-version=1"]);
            let output = metadata.current_dir(&asking).patience(FETCH_PATIENCE).ok();
            let source = folder.join("source");
            Program::new("cp").arg("-r").arg(unpacked(&output, name)).arg(&source).ok();
            let manifest = source.join("Cargo.toml");
            let text = fs::read_to_string(&manifest).expect("a crate has a manifest");
            // It lies below our workspace and is none of its members.
            fs::write(&manifest, format!("{text}\n[workspace]\n")).expect("the target directory is writable");
            let _ = fs::remove_file(source.join("rust-toolchain.toml"));
            if let Some(renewed) = renewed {
                let update = Program::new("cargo").args(["update", "--package", renewed]);
                update.current_dir(&source).patience(FETCH_PATIENCE).ok();
            }
        });
        folder.join("source")
    }
}

/// The folder in which cargo keeps the package.
fn unpacked(metadata: &str, name: &str) -> PathBuf {
    let line = metadata.lines().find(|line| line.starts_with('{')).expect("cargo prints one object");
    let metadata: Value = serde_json::from_str(line).expect("cargo prints JSON");
    let packages = metadata["packages"].as_array().expect("the metadata has packages");
    let package = packages.iter().find(|package| package["name"] == name).expect("the package was asked for");
    let manifest = package["manifest_path"].as_str().expect("a package has a manifest");
    PathBuf::from(manifest).parent().expect("a manifest lies in a folder").to_path_buf()
}

/// Each `test name ... ok`, with the file of tests before it.
fn outcomes(output: &str) -> Vec<(String, bool)> {
    let mut file = String::new();
    let mut found = Vec::new();
    for line in output.lines() {
        if let Some((_, rest)) = line.split_once("Running tests/") {
            rest.split('.').next().unwrap_or_default().clone_into(&mut file);
        } else if let Some(test) = line.strip_prefix("test ") {
            let outcome = test.rsplit_once(" ... ");
            if let Some((name, word @ ("ok" | "FAILED"))) = outcome {
                found.push((format!("{file}::{name}"), word == "ok"));
            }
        }
    }
    found
}
