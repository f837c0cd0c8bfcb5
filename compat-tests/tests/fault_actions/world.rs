//! A broker with its HTTP port, and the programs of two client libraries that tell what they see of it.
//!
//! It must never judge what they tell.

use std::net::{Ipv4Addr, SocketAddr};
use std::thread;

use milena_compat_tests::http::{Http, Rule};
use milena_compat_tests::java::{self, Jars};
use milena_compat_tests::program::Started;
use milena_compat_tests::server::{Setup, Target};
use milena_compat_tests::wait::{self, PATIENCE};
use milena_compat_tests::{Program, Server, fetched, port};
use serde_json::{Value, json};

/// A client's heap: it holds a few small records.
const HEAP_MIB: u32 = 96;

/// A client library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Client {
    Java,
    Librdkafka,
}

impl Client {
    /// Does the same with both, at the same time.
    pub(crate) fn both(each: impl Fn(Self) + Sync) {
        thread::scope(|scope| {
            scope.spawn(|| each(Self::Java));
            each(Self::Librdkafka);
        });
    }

    /// What its topics and groups are called, and with `app-` before it the client itself.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Java => "java",
            Self::Librdkafka => "librdkafka",
        }
    }

    pub(crate) fn id(self) -> String {
        format!("app-{}", self.name())
    }

    /// It gives a request up that is not answered for about a second.
    pub(crate) fn hasty(self) -> &'static [&'static str] {
        match self {
            Self::Java => &["request.timeout.ms=1000"],
            // Its check of the settings wants a second between the two.
            Self::Librdkafka => &["socket.timeout.ms=1100", "fetch.wait.max.ms=100"],
        }
    }

    /// Starts a role of its program; the word is a number of records or a folder, as the role wants it.
    pub(crate) fn start(self, role: [&str; 4], settings: &[&str]) -> Running {
        let program = match self {
            Self::Java => {
                Program::of(java::java(&java::compiled("faulted", Jars::Kafka), HEAP_MIB)).arg("Faulted")
            }
            Self::Librdkafka => Program::new(fetched::python())
                .env("PYTHONDONTWRITEBYTECODE", "1")
                .arg(fetched::clients().join("python/faulted.py")),
        };
        let program = program.args(role).arg(format!("client.id={}", self.id())).args(settings);
        Running { started: program.start() }
    }
}

/// A client at work.
pub(crate) struct Running {
    started: Started,
}

impl Running {
    /// What it has told so far.
    pub(crate) fn told(&self) -> Told {
        Told::of(&self.started.output())
    }

    /// Waits for something that it tells.
    pub(crate) fn wait_for(&mut self, what: &str, holds: impl Fn(&Told) -> bool) -> Told {
        Told::of(&self.started.wait_for(what, |output| holds(&Told::of(output))))
    }

    pub(crate) fn kill(self) -> Told {
        Told::of(&self.started.kill())
    }

    /// Waits for its end, which must be a good one.
    pub(crate) fn finish(self) -> Told {
        Told::of(&self.started.finish().ok())
    }
}

/// The lines of a client, in order.
#[derive(Debug)]
pub(crate) struct Told(pub(crate) Vec<Value>);

impl Told {
    fn of(output: &str) -> Self {
        Self(output.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
    }

    /// The lines that have this field.
    pub(crate) fn of_field(&self, field: &str) -> Vec<&Value> {
        self.0.iter().filter(|line| line.get(field).is_some()).collect()
    }

    /// All that was told under this name.
    pub(crate) fn words(&self, field: &str) -> Vec<&str> {
        self.0.iter().filter_map(|line| line.get(field)?.as_str()).collect()
    }

    /// All numbers that were told under this name.
    pub(crate) fn numbers(&self, field: &str) -> Vec<i64> {
        self.0.iter().filter_map(|line| line.get(field)?.as_i64()).collect()
    }
}

/// A broker with its HTTP port.
pub(crate) struct Broker {
    pub(crate) server: Server,
    pub(crate) http: Http,
}

impl Broker {
    /// With topics, as `KAFKA_CREATE_TOPICS` tells them.
    pub(crate) fn start(topics: &str, settings: &[(&str, &str)]) -> Self {
        let at = SocketAddr::from((Ipv4Addr::LOCALHOST, port::free()));
        let setup = Setup::of(Target::Milena)
            .set("milena.http.listener", &at.to_string())
            .set("milena.create.topics", topics);
        let server = settings.iter().fold(setup, |setup, (name, value)| setup.set(name, value)).start();
        let http = Http::at(at);
        serves(http);
        Self { server, http }
    }

    pub(crate) fn send(&self, client: Client, topic: &str, records: usize, settings: &[&str]) -> Running {
        client.start(["send", &self.server.bootstrap(), topic, &records.to_string()], settings)
    }

    pub(crate) fn read(&self, client: Client, topic: &str, records: usize, settings: &[&str]) -> Running {
        client.start(["read", &self.server.bootstrap(), topic, &records.to_string()], settings)
    }

    /// A rule for requests of one API of one client.
    pub(crate) fn rule(&self, client: Client, api: &str, times: Option<u64>, action: &Value) -> Rule {
        let mut rule = json!({ "api": [api], "client_id": client.id(), "action": action });
        if let Some(times) = times {
            rule["times"] = times.into();
        }
        self.http.rule(&rule)
    }

    /// What is in a topic of one partition, read by somebody whom no rule is meant for.
    pub(crate) fn records(&self, topic: &str) -> Vec<String> {
        records(&self.server.bootstrap(), topic)
    }
}

/// The values in a topic, uncommitted ones too.
pub(crate) fn records(bootstrap: &str, topic: &str) -> Vec<String> {
    let all = ["-X", "isolation.level=read_uncommitted"];
    let read = Program::new("kcat").args(["-b", bootstrap, "-C", "-q", "-e", "-o", "beginning", "-t", topic]);
    read.args(all).args(["-f", "%s\\n"]).ok().lines().map(str::to_owned).collect()
}

/// Waits until a broker's port answers.
fn serves(http: Http) {
    wait::until(PATIENCE, "the HTTP port serves", || {
        http.ask("GET", "/healthz", "").ok().filter(|(status, _)| *status == 200)
    });
}
