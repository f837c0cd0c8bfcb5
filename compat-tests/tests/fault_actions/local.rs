//! `milena cluster --http`: brokers are stopped, killed and started while clients write, on the ports that they had.
//!
//! It must never touch a broker's process itself: the port is asked for everything.

use std::collections::BTreeSet;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::{Duration, Instant};

use kafka_protocol::messages::MetadataRequest;
use milena_compat_tests::http::Http;
use milena_compat_tests::process::Guarded;
use milena_compat_tests::wait::{self, PATIENCE};
use milena_compat_tests::wire::Wire;
use milena_compat_tests::{paths, port};
use serde_json::Value;

use super::world::{Client, Running, records};

/// Leaders return soon, and a killed broker is soon missed.
const QUICK: [&str; 3] = [
    "leader.imbalance.check.interval.seconds=1",
    "broker.session.timeout.ms=1500",
    "broker.heartbeat.interval.ms=300",
];
const BROKERS: i32 = 3;
/// Each broker has a port for clients and one for the quorum.
const PORTS: u16 = 6;
/// A topic for each client, on all brokers.
const TOPICS: &str = "milena.create.topics=java:1:3,librdkafka:1:3";

struct Local {
    process: Guarded,
    http: Http,
    folder: tempfile::TempDir,
}

impl Local {
    fn start() -> Self {
        let folder = paths::scratch("local-http");
        let at = SocketAddr::from((Ipv4Addr::LOCALHOST, port::free()));
        let mut command = Command::new(paths::milena());
        command.args(["cluster", "--ephemeral", "--http", &at.to_string()]);
        command.args(["--brokers", &BROKERS.to_string(), "--port", &port::free_row(PORTS).to_string()]);
        QUICK.iter().chain([&TOPICS]).for_each(|each| {
            command.args(["--override", each]);
        });
        command.env("TMPDIR", folder.path());
        let process = Guarded::start(&mut command, &folder.path().join("output"));
        let started = |output: String| output.contains("Cluster of 3 started").then_some(());
        wait::until(PATIENCE, "the cluster", || started(process.output()));
        Self { process, http: Http::at(at), folder }
    }

    fn brokers(&self) -> Brokers {
        Brokers(self.http.told(200, "GET", "/v1/brokers", ""))
    }

    /// Asks for something to be done to a broker, and gives what all of them are then.
    fn order(&self, broker: i32, what: &str) -> Brokers {
        Brokers(self.http.told(200, "POST", &format!("/v1/brokers/{broker}/{what}"), ""))
    }

    fn refused(&self, status: u16, broker: i32, what: &str) {
        let told = self.http.told(status, "POST", &format!("/v1/brokers/{broker}/{what}"), "");
        assert!(told["error"].is_string(), "{told}");
    }
}

struct Brokers(Value);

impl Brokers {
    fn each(&self) -> impl Iterator<Item = &Value> {
        self.0["brokers"].as_array().expect("a list of brokers").iter()
    }

    /// Ids with where they listen.
    fn places(&self) -> Vec<(i64, &str)> {
        let place = |broker: &'_ Value| broker["id"].as_i64().expect("an id");
        self.each()
            .map(|broker| (place(broker), broker["bootstrap_servers"].as_str().expect("an address")))
            .collect()
    }

    fn pid(&self, id: i32) -> Option<i64> {
        self.each().find(|broker| broker["id"] == id).expect("the broker is listed")["pid"].as_i64()
    }

    fn bootstrap(&self) -> String {
        self.places().iter().map(|(_, place)| *place).collect::<Vec<_>>().join(",")
    }
}

/// Waits until every replica is in sync, by the word of one broker: whoever is missed next may be.
fn all_in_sync(asked: &str) {
    let at = asked.parse().expect("an address");
    let request = MetadataRequest::default().with_topics(None);
    wait::until(PATIENCE, "all replicas are in sync", || {
        let told = Wire::try_connect(at).ok()?.try_call(12, &request).ok()?;
        let mut all = told.topics.iter().flat_map(|topic| &topic.partitions);
        all.all(|each| each.isr_nodes.len() == BROKERS as usize).then_some(())
    });
}

/// Waits until a client that writes on and on has had more records acknowledged.
fn goes_on(client: &mut Running) {
    const MORE: usize = 20;
    let before = client.told().words("acked").len();
    client.wait_for("more records", |told| told.words("acked").len() >= before + MORE);
}

#[test]
fn clients_go_on_while_brokers_are_stopped_killed_and_started() {
    let mut local = Local::start();
    let before = local.brokers();
    assert_eq!(before.places().len(), 3);
    let word = local.folder.path().display().to_string();
    let settings = ["acks=all", "enable.idempotence=true"];
    let start =
        |client: Client| client.start(["stream", &before.bootstrap(), client.name(), &word], &settings);
    let mut clients = [Client::Java, Client::Librdkafka].map(|client| (client, start(client)));
    let mut all_go_on = || clients.iter_mut().for_each(|(_, running)| goes_on(running));
    all_go_on();

    local.refused(409, 1, "start");
    local.refused(404, BROKERS + 1, "kill");
    for (broker, how) in [(1, "stop"), (2, "kill"), (3, "kill")] {
        let had = local.brokers().pid(broker);
        let told = local.order(broker, how);
        assert_eq!((told.pid(broker), told.places()), (None, before.places()), "{how} {broker}");
        local.refused(409, broker, how);
        all_go_on();
        let told = local.order(broker, "start");
        assert!(told.pid(broker).is_some() && told.pid(broker) != had, "{how} {broker}");
        assert_eq!(told.places(), before.places(), "{how} {broker}");
        all_in_sync(told.places()[0].1);
        all_go_on();
    }

    fs::write(local.folder.path().join("stop"), "").expect("the scratch folder is writable");
    for (client, running) in clients {
        let told = running.finish();
        assert!(told.words("failed").is_empty(), "{client:?} {told:?}");
        let read = records(&before.bootstrap(), client.name());
        let acked: BTreeSet<&str> = told.words("acked").into_iter().collect();
        assert_eq!(read.len(), acked.len(), "{client:?}: each once");
        assert_eq!(read.iter().map(String::as_str).collect::<BTreeSet<_>>(), acked, "{client:?}");
    }
    assert!(local.process.terminate(PATIENCE).success(), "{}", local.process.output());
}

/// The last node of a cluster that is stopped as a whole has nobody to decide with.
#[test]
fn a_cluster_with_restarted_brokers_is_stopped_at_once() {
    // Two waits of two seconds for the others were what the last one had.
    const AT_ONCE: Duration = Duration::from_secs(3);
    let mut local = Local::start();
    for broker in [1, 2, 3, 1] {
        local.order(broker, "stop");
        local.order(broker, "start");
    }
    let begin = Instant::now();
    assert!(local.process.terminate(PATIENCE).success(), "{}", local.process.output());
    let took = begin.elapsed();
    assert!(took < AT_ONCE, "{took:?}: {}", local.process.output());
}
