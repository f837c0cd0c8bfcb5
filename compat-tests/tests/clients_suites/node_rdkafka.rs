//! node-rdkafka's e2e tests, from its package as published, with the addon and librdkafka built from the package's sources.
//!
//! It must never change a test, nor build on several cores: the makefile of the package does not bear it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kafka_protocol::messages::CreateTopicsRequest;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::protocol::StrBytes;
use milena_compat_tests::fetched::{self, FETCH_PATIENCE};
use milena_compat_tests::server::Setup;
use milena_compat_tests::{Program, Server, Target, paths};
use serde_json::Value;

use super::{Said, has_a_coordinator};

/// One minute and a half on an idle machine. In the long form the six tests of transactions and their hooks, where these
/// are not served, may end only by mocha's two minutes each.
const PATIENCE: Duration = Duration::from_secs(1500);

/// What the package's `run_docker.sh` creates, one partition each.
const TOPICS: [&str; 6] = ["test", "test2", "test3", "test4", "test5", "test6"];

pub(crate) fn run(tests: &[&str]) -> Said {
    let folder = installed();
    let server = Setup::of(Target::chosen()).start();
    has_a_coordinator(&server);
    create_topics(&server);
    let report = paths::scratch("node-rdkafka");
    let report = report.path().join("report.json");
    // As the package's Makefile starts them, but for the report.
    let mocha = ["node_modules/mocha/bin/mocha.js", "--exit", "--timeout", "120000", "--reporter", "json"];
    let program = Program::new("node").args(mocha).arg("--reporter-option");
    let program = program.arg(format!("output={}", report.display())).arg("--grep").arg(pattern(tests));
    let program = program.args(specs(&folder)).env("KAFKA_HOST", server.bootstrap());
    let ran = program.current_dir(&folder).patience(PATIENCE).run();
    // Without a report, all tests are missing and the output says why.
    let text = fs::read_to_string(&report).unwrap_or_else(|_| "{}".to_owned());
    let report: Value = serde_json::from_str(&text).expect("mocha writes JSON");
    Said { outcomes: outcomes(&report, tests), output: ran.output + &failures(&report) }
}

/// The package and mocha, at the versions of `suites/node-rdkafka/package-lock.json`.
fn installed() -> PathBuf {
    let source = fetched::clients().with_file_name("suites").join("node-rdkafka");
    let read = |name: &str| fs::read_to_string(source.join(name)).expect("the package is in the tree");
    let pins = format!("{}{}", read("package.json"), read("package-lock.json"));
    fetched::fetched("node-rdkafka", &pins, |folder| {
        for file in ["package.json", "package-lock.json"] {
            fs::copy(source.join(file), folder.join(file)).expect("the target directory is writable");
        }
        let program = Program::new("npm").args(["ci", "--no-audit", "--no-fund"]);
        let program = program.args(node_headers().map(|prefix| format!("--nodedir={}", prefix.display())));
        program.current_dir(folder).patience(FETCH_PATIENCE).ok();
        // The addon finds its libraries in build/deps; what they were made of is half a gigabyte.
        let package = folder.join("node_modules/node-rdkafka");
        for made_of in ["deps", "build/Release/obj.target"] {
            fs::remove_dir_all(package.join(made_of)).expect("the package is built there");
        }
    })
}

/// Where the headers of the installed node are; without them node-gyp fetches those of the same version.
fn node_headers() -> Option<PathBuf> {
    let node = Program::new("node").args(["-p", "process.execPath"]).ok();
    let prefix = Path::new(node.trim()).parent()?.parent()?;
    prefix.join("include/node/node.h").is_file().then(|| prefix.to_path_buf())
}

fn specs(folder: &Path) -> Vec<PathBuf> {
    let e2e = folder.join("node_modules/node-rdkafka/e2e");
    let entries = fs::read_dir(&e2e).expect("the package has its e2e tests");
    let mut specs: Vec<PathBuf> = entries.map(|entry| entry.expect("a readable folder").path()).collect();
    specs.retain(|path| path.to_string_lossy().ends_with(".spec.js"));
    specs.sort();
    specs
}

/// Some tests read from topics that nobody has written to yet.
fn create_topics(server: &Server) {
    let topics = TOPICS.map(|name| {
        let topic = CreatableTopic::default().with_name(StrBytes::from_static_str(name).into());
        topic.with_num_partitions(1).with_replication_factor(1)
    });
    let request = CreateTopicsRequest::default().with_topics(topics.to_vec()).with_timeout_ms(30_000);
    let answer = server.wire().call(5, &request);
    assert!(answer.topics.iter().all(|topic| topic.error_code == 0), "{answer:?}");
}

/// A regular expression of JavaScript that takes these titles and no others.
fn pattern(tests: &[&str]) -> String {
    let quoted = tests.iter().map(|test| {
        let quote = |c: char| match c {
            ' ' => " +".to_owned(),
            c if c.is_alphanumeric() => c.to_string(),
            c => format!("\\{c}"),
        };
        test.chars().map(quote).collect::<String>()
    });
    format!("^({}) *$", quoted.collect::<Vec<_>>().join("|"))
}

/// Full titles, with one space where they have more. When a hook fails, it stands among the failures under a name of
/// its own, and the tests that it was for have failed with it.
fn outcomes(report: &Value, tests: &[&str]) -> Vec<(String, bool)> {
    let titles = |list: &str, passed| {
        let tests = report[list].as_array().into_iter().flatten();
        let titles = tests.filter_map(|test| test["fullTitle"].as_str());
        let titles = titles.map(|title| title.split_whitespace().collect::<Vec<_>>().join(" "));
        titles.map(|title| (title, passed)).collect::<Vec<_>>()
    };
    let mut ran = [titles("passes", true), titles("failures", false)].concat();
    let hooks: Vec<String> =
        ran.iter().filter_map(|(name, _)| Some(name.split_once(" \"before ")?.0.into())).collect();
    for test in tests.iter().filter(|test| hooks.iter().any(|hook| test.starts_with(hook.as_str()))) {
        if !ran.iter().any(|(name, _)| name == test) {
            ran.push(((*test).to_owned(), false));
        }
    }
    ran
}

/// What mocha would have printed of those that failed.
fn failures(report: &Value) -> String {
    let failed = report["failures"].as_array().into_iter().flatten();
    failed.map(|test| format!("{}\n{}\n\n", test["fullTitle"], test["err"]["stack"])).collect()
}
