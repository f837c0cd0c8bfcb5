//! What librdkafka does to a cluster under faults, told as the events of `compat-tests/src/history`: one JSON line each.
//!
//! It must never judge, nor end by itself: the files `stop` and `last` in its folder tell it how far to go.

mod reading;
mod telling;
mod writing;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use rdkafka::config::ClientConfig;

type Done = Result<(), Box<dyn std::error::Error>>;

/// A partition.
type Place = (String, i32);

/// A broker that stands still is given up after so long, and asked again elsewhere.
const REQUEST_MS: &str = "3000";
/// How often a file is looked for.
const LOOK: Duration = Duration::from_millis(20);

/// What it was told on its command line.
#[derive(Clone)]
struct Task {
    bootstrap: String,
    folder: PathBuf,
    per_second: u32,
    padding: String,
    plain: Vec<Place>,
    whole: Vec<Place>,
}

impl Task {
    fn of(arguments: &[String]) -> Option<Self> {
        let [bootstrap, folder, per_second, padding, plain, whole] = arguments else { return None };
        let places = |topic: &str, count: &str| {
            Some((0..count.parse().ok()?).map(|n| (String::from(topic), n)).collect())
        };
        Some(Self {
            bootstrap: bootstrap.clone(),
            folder: PathBuf::from(folder),
            per_second: per_second.parse().ok()?,
            padding: "x".repeat(padding.parse().ok()?),
            plain: places("plain", plain)?,
            whole: places("whole", whole)?,
        })
    }

    fn settings(&self) -> ClientConfig {
        let mut settings = ClientConfig::new();
        settings.set("bootstrap.servers", &self.bootstrap).set("socket.timeout.ms", REQUEST_MS);
        settings
    }

    fn is_there(&self, file: &str) -> bool {
        self.folder.join(file).exists()
    }

    fn must_stop(&self) -> bool {
        self.is_there("stop")
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some(task) = Task::of(&arguments) else {
        let usage = "give the bootstrap address, a folder, records a second, padding, partitions of plain and of whole";
        let _ = writeln!(io::stderr(), "{usage}");
        return ExitCode::from(2);
    };
    start(&task, "rdkafka-plain", writing::plain);
    start(&task, "rdkafka-whole", writing::whole);
    start(&task, "rdkafka-follower", |task, by| reading::follow(task, by, "follower", "committed"));
    start(&task, "rdkafka-member-1", reading::member);
    start(&task, "rdkafka-member-2", reading::member);
    while !task.is_there("last") {
        thread::park_timeout(LOOK);
    }
    start(&task, "rdkafka-last", |task, by| reading::follow(task, by, "last", "uncommitted"));
    loop {
        thread::park();
    }
}

/// A role that fails ends the process, which whoever waits for its events sees.
fn start(task: &Task, by: &'static str, role: fn(&Task, &'static str) -> Done) {
    let task = task.clone();
    thread::spawn(move || match role(&task, by) {
        Ok(()) => telling::tell(by, "ended", serde_json::json!({})),
        Err(error) => {
            let _ = writeln!(io::stderr(), "{by}: {error}");
            std::process::exit(1);
        }
    });
}
