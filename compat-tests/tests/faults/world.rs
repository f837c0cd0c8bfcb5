//! A cluster, the clients that work on it, and what they have told.
//!
//! It must never end without having judged, unless something else has failed before.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use milena_compat_tests::dice::Dice;
use milena_compat_tests::history::{self, Event, What};
use milena_compat_tests::java::{self, Jars};
use milena_compat_tests::wait::{self, PATIENCE};
use milena_compat_tests::wire::now_ms;
use milena_compat_tests::{Cluster, Shape, fetched, paths};
use tempfile::TempDir;

use crate::admin;
use crate::telling::Client;

/// A killed broker's session ends soon, preferred leaders return soon, and followers that are away are soon missed.
pub(crate) const QUICK: [(&str, &str); 8] = [
    ("broker.session.timeout.ms", "1500"),
    ("broker.heartbeat.interval.ms", "300"),
    ("leader.imbalance.check.interval.seconds", "1"),
    ("replica.lag.time.max.ms", "3000"),
    ("offsets.topic.num.partitions", "3"),
    ("transaction.state.log.num.partitions", "3"),
    ("group.initial.rebalance.delay.ms", "0"),
    // What a broker asks of one that stands still is asked elsewhere soon.
    ("replica.socket.timeout.ms", "3000"),
];
/// Partitions of the topic that is written without transactions, and of the one that is written with them.
pub(crate) const PLAIN: i32 = 3;
pub(crate) const WHOLE: i32 = 2;
/// Records that each producer sends.
const PER_SECOND: u32 = 120;
/// What each producer must have acknowledged of what it sent after a moment, to be said to go on.
const GOING_ON: usize = 30;
const WRITERS: [&str; 4] = ["java-plain", "java-whole", "rdkafka-plain", "rdkafka-whole"];
/// Those that read to the end once all is over; the last of librdkafka does not tell when it is there, and is judged all the same.
const LAST: [&str; 2] = ["java-last", "java-last-u"];
const CLIENT_HEAP_MIB: u32 = 128;
/// How long readers may take for what was written, once nothing more is written.
const READING: Duration = Duration::from_secs(45);

pub(crate) struct World {
    pub(crate) cluster: Cluster,
    pub(crate) dice: Dice,
    name: String,
    clients: Vec<Client>,
    events: Vec<Event>,
    /// Acknowledged values of each producer.
    acked: BTreeMap<String, usize>,
    /// What was done to the cluster, and when.
    struck: Vec<(i64, String)>,
    folder: TempDir,
    began: Instant,
}

impl World {
    /// A cluster with two topics under load, everybody at work; records carry so many bytes more.
    pub(crate) fn start(name: &str, seed: u64, shape: Shape<'_>, padding: usize) -> Self {
        eprintln!("{name}: MILENA_SEED={seed}");
        let began = Instant::now();
        let settings: Vec<(&str, &str)> = QUICK.iter().chain(shape.settings).copied().collect();
        let cluster = Cluster::shaped(Shape { settings: &settings, ..shape });
        admin::create(&cluster, "plain", PLAIN);
        admin::create(&cluster, "whole", WHOLE);
        wait::until(PATIENCE, "both topics to be known everywhere", || {
            let knows =
                |node: i32| Some(admin::partitions(&cluster, node)?.len() >= (PLAIN + WHOLE) as usize);
            cluster.running().into_iter().all(|node| knows(node) == Some(true)).then_some(())
        });
        admin::all_in_sync(&cluster);
        let folder = paths::scratch("history");
        let clients = clients(&cluster.bootstrap(), folder.path(), padding);
        let (events, acked, struck) = (Vec::new(), BTreeMap::new(), Vec::new());
        let (dice, name) = (Dice::of(seed), format!("{name}, seed {seed}"));
        let mut world = Self { cluster, dice, name, clients, events, acked, struck, folder, began };
        world.note("all begin");
        world.goes_on();
        for group in ["java", "rdkafka"] {
            world.until(PATIENCE, &format!("the group {group} to read"), |world| {
                let saved =
                    |event: &Event| matches!(&event.what, What::Saved { group: own, .. } if own == group);
                world.events.iter().any(saved)
            });
        }
        // The internal topics were made meanwhile.
        admin::all_in_sync(&world.cluster);
        world
    }

    /// Keeps for the end what is done to the cluster.
    pub(crate) fn note(&mut self, what: impl Into<String>) {
        let what = what.into();
        eprintln!("{:7.2} s {}: {what}", self.began.elapsed().as_secs_f64(), self.name);
        self.struck.push((now_ms(), what));
    }

    /// Waits until each producer has acknowledgements for more records than it may have in flight now.
    pub(crate) fn goes_on(&mut self) {
        self.hear();
        let before = self.acked.clone();
        self.until(PATIENCE, "every producer to go on", |world| world.is_further_than(&before));
    }

    /// As `goes_on`, but no longer than that: where the cluster owes nobody progress.
    pub(crate) fn goes_on_or(&mut self, patience: Duration) {
        self.hear();
        let before = self.acked.clone();
        let _ = wait::until_or(patience, || {
            self.hear();
            self.is_further_than(&before).then_some(())
        });
    }

    fn is_further_than(&self, before: &BTreeMap<String, usize>) -> bool {
        WRITERS.iter().all(|writer| count(&self.acked, writer) >= count(before, writer) + GOING_ON)
    }

    fn hear(&mut self) {
        for client in &mut self.clients {
            for event in client.told() {
                if matches!(event.what, What::Acked { .. }) {
                    *self.acked.entry(event.by.clone()).or_default() += 1;
                }
                self.events.push(event);
            }
        }
    }

    fn until(&mut self, patience: Duration, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        let held = wait::until_or(patience, || {
            self.hear();
            holds(self).then_some(())
        });
        if held.is_none() {
            let noise: Vec<String> = self.clients.iter().map(Client::noise).collect();
            panic!("{}: not within {patience:?}: {what}\n{}\n{}", self.name, self.story(), noise.join("\n"));
        }
    }

    /// Ends the writing, has everything read and judges. Gives the verdict for more questions.
    pub(crate) fn judge(mut self) -> history::Verdict {
        self.note("the writing ends");
        self.touch("stop");
        self.until(PATIENCE, "the producers' ends", |world| {
            let ended =
                |by: &str| world.events.iter().any(|event| event.by == by && event.what == What::Ended);
            WRITERS.iter().all(|writer| ended(writer))
        });
        self.note("the producers have ended");
        self.touch("last");
        let read = wait::until_or(READING, || {
            self.hear();
            let reached = |by: &str| {
                let reached = |event: &&Event| event.by == by && matches!(event.what, What::Reached { .. });
                self.events.iter().filter(reached).count() == (PLAIN + WHOLE) as usize
            };
            let are_there = LAST.iter().all(|last| reached(last)) && history::behind(&self.events).is_empty();
            (are_there && history::judge(&self.events).anomalies.is_empty()).then_some(())
        });
        let verdict = history::judge(&self.events);
        self.note(format!("judged: {verdict}"));
        assert!(verdict.anomalies.is_empty(), "{}\n{}\n{}", self.name, verdict.told(), self.story());
        assert!(
            read.is_some(),
            "{}: readers are stuck: {:?}\n{}",
            self.name,
            history::behind(&self.events),
            self.story()
        );
        let failed: Vec<_> =
            verdict.failed.iter().filter(|(value, _)| value.contains("-plain/")).take(10).collect();
        assert!(failed.is_empty(), "{}: given up by producers: {failed:?}\n{}", self.name, self.story());
        assert!(verdict.committed > 20 && verdict.aborted > 5, "{verdict}");
        verdict
    }

    fn touch(&self, file: &str) {
        fs::write(self.folder.path().join(file), "").expect("the scratch folder is writable");
    }

    /// What was done, and what clients noted meanwhile.
    fn story(&self) -> String {
        const NOTES_MAX: usize = 60;
        let kept = std::env::var("MILENA_KEEP_HISTORY").ok().map(|path| {
            let lines: Vec<String> = self.events.iter().map(|event| format!("{event:?}")).collect();
            let _ = fs::write(&path, lines.join("\n"));
            format!("the history is in {path}\n")
        });
        let mut lines: Vec<(i64, String)> =
            self.struck.iter().map(|(ms, what)| (*ms, format!("** {what}"))).collect();
        let noted = self.events.iter().filter_map(|event| match &event.what {
            What::Noted { text } => Some((event.ms, format!("{}: {text}", event.by))),
            _ => None,
        });
        let noted: Vec<_> = noted.collect();
        lines.extend(noted[noted.len().saturating_sub(NOTES_MAX)..].iter().cloned());
        lines.sort();
        let first = self.struck.first().map_or(0, |(ms, _)| *ms);
        let told = lines.into_iter().map(|(ms, line)| format!("{:6} ms {line}", ms - first));
        kept.unwrap_or_default() + &told.collect::<Vec<_>>().join("\n")
    }
}

fn count(acked: &BTreeMap<String, usize>, writer: &str) -> usize {
    acked.get(writer).copied().unwrap_or(0)
}

/// The two processes of clients.
fn clients(bootstrap: &str, folder: &Path, padding: usize) -> Vec<Client> {
    let mut java = java::java(&java::compiled("history", Jars::Kafka), CLIENT_HEAP_MIB);
    java.arg("History");
    let rdkafka = Command::new(fetched::rdkafka("milena-rdkafka-history"));
    let start = |name, mut command: Command| {
        command.arg(bootstrap).arg(folder).args([PER_SECOND.to_string(), padding.to_string()]);
        command.args([PLAIN.to_string(), WHOLE.to_string()]);
        Client::start(name, command, folder.join(name))
    };
    vec![start("java", java), start("rdkafka", rdkafka)]
}
