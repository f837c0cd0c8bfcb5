//! node-rdkafka's e2e tests, from its package as published, with the addon and librdkafka built from the package's sources.
//!
//! It must never change a test, nor build on several cores: the makefile of the package does not bear it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use kafka_protocol::messages::CreateTopicsRequest;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::protocol::StrBytes;
use milena_compat_tests::fetched::{self, FETCH_PATIENCE};
use milena_compat_tests::server::Setup;
use milena_compat_tests::{Program, Server, Target, wait};
use serde_json::Value;

use super::{Said, has_a_coordinator};

/// One minute on an idle machine. In the long form the tests that shall not pass end only by mocha's two minutes each.
const PATIENCE: Duration = Duration::from_secs(1500);

/// Longer than mocha's two minutes for a test or a hook: without a word for this long, its event loop stands still.
const SILENCE: Duration = Duration::from_secs(150);

/// A hook waits for ever in about one run of ten (see `suites/README.md`). What it was to clean up after is not run then,
/// and gets another process; a broker that made hooks fail every time would use these up.
const ROUNDS: usize = 4;

/// What the package's `run_docker.sh` creates, one partition each.
const TOPICS: [&str; 6] = ["test", "test2", "test3", "test4", "test5", "test6"];

pub(crate) fn run(tests: &[&str]) -> Said {
    let folder = installed();
    let server = Setup::of(Target::chosen()).start();
    has_a_coordinator(&server);
    create_topics(&server);
    let mut said = Said { outcomes: Vec::new(), output: String::new() };
    let started = Instant::now();
    for _ in 0..ROUNDS {
        let known = |test: &&str| !said.outcomes.iter().any(|(ran, _)| ran == test);
        let asked: Vec<&str> = tests.iter().copied().filter(known).collect();
        if asked.is_empty() || started.elapsed() > PATIENCE {
            break;
        }
        let events = round(&folder, &server, &asked);
        said.outcomes.extend(outcomes(&events, &asked));
        said.output.push_str(&events);
    }
    said
}

/// One process of mocha over these tests, and the events that it told, a line each. It is killed when it has told its end,
/// or nothing for too long: after a lost disconnect the addon keeps the process from exiting.
fn round(folder: &Path, server: &Server, tests: &[&str]) -> String {
    // As the package's Makefile starts them, but for the reporter.
    let mocha =
        ["node_modules/mocha/bin/mocha.js", "--exit", "--timeout", "120000", "--reporter", "json-stream"];
    let program = Program::new("node").args(mocha).arg("--grep").arg(pattern(tests));
    let program = program.args(specs(folder)).env("KAFKA_HOST", server.bootstrap());
    let mut running = program.current_dir(folder).patience(PATIENCE).start();
    let started = Instant::now();
    let mut heard = (running.output().len(), Instant::now());
    wait::until_or(PATIENCE, || {
        let output = running.output();
        if output.len() != heard.0 {
            heard = (output.len(), Instant::now());
        }
        let over = output.lines().any(|line| line.starts_with("[\"end\",")) || running.ended();
        (over || heard.1.elapsed() > SILENCE).then_some(())
    });
    let output = running.kill();
    let (seconds, asked) = (started.elapsed().as_secs(), tests.len());
    format!("{output}\n# {asked} tests asked of this process, {seconds} s\n")
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

/// The outcomes by full titles, with one space where they have more. When a hook before tests fails, it stands among the
/// failures under a name of its own, and the tests that it was for have failed with it; one after tests says nothing of them.
fn outcomes(events: &str, tests: &[&str]) -> Vec<(String, bool)> {
    let events = events.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let judged = events.filter_map(|event| {
        let passed = event[0] == "pass";
        let title = event[1]["fullTitle"].as_str().filter(|_| passed || event[0] == "fail")?;
        Some((title.split_whitespace().collect::<Vec<_>>().join(" "), passed))
    });
    let mut ran: Vec<(String, bool)> = judged.collect();
    let hooks: Vec<String> =
        ran.iter().filter_map(|(name, _)| Some(name.split_once(" \"before ")?.0.into())).collect();
    for test in tests.iter().filter(|test| hooks.iter().any(|hook| test.starts_with(hook.as_str()))) {
        if !ran.iter().any(|(name, _)| name == test) {
            ran.push(((*test).to_owned(), false));
        }
    }
    ran
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hooks_before_tests_fail_them_and_hooks_after_them_leave_the_rest_to_be_run() {
        let events = "addon says hello\n\
            [\"start\",{\"total\":5}]\n\
            [\"pass\",{\"fullTitle\":\"A one  two\"}]\n\
            [\"fail\",{\"fullTitle\":\"A \\\"after each\\\" hook for \\\"one two\\\"\"}]\n\
            [\"fail\",{\"fullTitle\":\"B \\\"before each\\\" hook for \\\"one\\\"\"}]\n\
            [\"fail\",{\"fullTitle\":\"C one\"}]\n\
            [\"end\",{}]\n[\"pa";
        let asked = ["A one two", "A three", "B one", "C one"];
        let mut judged = outcomes(events, &asked);
        judged.retain(|(name, _)| asked.contains(&name.as_str()));
        let expected = [("A one two", true), ("C one", false), ("B one", false)];
        assert_eq!(judged, expected.map(|(name, passed)| (name.to_owned(), passed)));
    }
}
