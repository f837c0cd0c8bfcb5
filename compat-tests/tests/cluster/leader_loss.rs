//! The leader of the quorum is killed, or stopped, while others write: what was acknowledged stays, and soon somebody leads.

use std::collections::BTreeSet;
use std::env;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use kafka_protocol::messages::alter_user_scram_credentials_request::ScramCredentialUpsertion;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::{
    AlterUserScramCredentialsRequest, CreateTopicsRequest, DescribeUserScramCredentialsRequest,
    MetadataRequest,
};
use milena_compat_tests::Cluster;
use milena_compat_tests::wait::{self, PATIENCE};
use milena_compat_tests::wire::Wire;

use crate::text;

/// A new leader is known to the others so soon after the old one is killed.
const NEW_LEADER_MAX: Duration = Duration::from_secs(2);
/// Writes that each writer has to get acknowledged before and after the fault.
const ACKNOWLEDGED_EACH: usize = 10;

/// The kinds of writes.
const USERS: usize = 0;
const TOPICS: usize = 1;

/// How often the leader is lost: `MILENA_LONG=1` asks for the long form.
fn rounds(short: u32, long: u32) -> u32 {
    if env::var("MILENA_LONG").is_ok_and(|value| value == "1") { long } else { short }
}

/// What was acknowledged.
#[derive(Debug, Default)]
struct Written {
    users: BTreeSet<String>,
    topics: BTreeSet<String>,
}

/// Writes under way against some nodes, until told to stop.
struct Writers<'a> {
    at: &'a [SocketAddr],
    round: u32,
    stop: AtomicBool,
    /// By kind of write: acknowledged, and anything else.
    acknowledged: [AtomicUsize; 2],
    failed: Mutex<Vec<String>>,
    /// So many topics may be made: each has a log on disk.
    topics_max: AtomicUsize,
}

/// Stops the writers, whatever becomes of the test.
struct Stopper<'a>(&'a AtomicBool);

impl Drop for Stopper<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl<'a> Writers<'a> {
    fn new(at: &'a [SocketAddr], round: u32) -> Self {
        Self {
            at,
            round,
            stop: AtomicBool::new(false),
            acknowledged: Default::default(),
            failed: Mutex::default(),
            topics_max: AtomicUsize::new(0),
        }
    }

    /// Writes names until told to stop; a connection that breaks is made again, to the next node.
    fn write(&self, kind: usize, put: impl Fn(&mut Wire, &str) -> std::io::Result<i16>) -> BTreeSet<String> {
        let mut done = BTreeSet::new();
        let mut wire = None;
        let mut number = 0;
        while !self.stop.load(Ordering::Relaxed) {
            if kind == TOPICS && done.len() >= self.topics_max.load(Ordering::Relaxed) {
                thread::yield_now();
                continue;
            }
            number += 1;
            let name = format!("{}-{kind}-{number}", self.round);
            let at = self.at[number % self.at.len()];
            let Some(mut connected) = wire.take().or_else(|| Wire::try_connect(at).ok()) else { continue };
            let began = Instant::now();
            match put(&mut connected, &name) {
                Ok(0) => {
                    done.insert(name);
                    self.acknowledged[kind].fetch_add(1, Ordering::Relaxed);
                    wire = Some(connected);
                }
                Ok(code) => {
                    self.fail(format!("{name} at {at}: code {code} after {:?}", began.elapsed()));
                    wire = Some(connected);
                }
                Err(error) => self.fail(format!("{name} at {at}: {error} after {:?}", began.elapsed())),
            }
        }
        done
    }

    fn fail(&self, what: String) {
        self.failed.lock().expect("no holder panics").push(what);
    }

    /// Returns when every kind of write was acknowledged that many times more.
    fn wait_for_more(&self, more: usize) {
        let before: Vec<usize> =
            self.acknowledged.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        self.topics_max.fetch_max(before[TOPICS] + 2 * more, Ordering::Relaxed);
        wait::until(PATIENCE, "more acknowledged writes", || {
            let mut now = self.acknowledged.iter().zip(&before);
            now.all(|(count, before)| count.load(Ordering::Relaxed) >= before + more).then_some(())
        });
    }

    /// Runs the writers while `fault` happens, and gives what was acknowledged.
    fn during(&self, fault: impl FnOnce(&Self)) -> Written {
        thread::scope(|scope| {
            let stopper = Stopper(&self.stop);
            let users = scope.spawn(|| self.write(USERS, put_user));
            let topics = scope.spawn(|| self.write(TOPICS, put_topic));
            fault(self);
            drop(stopper);
            Written {
                users: users.join().expect("the writer of users"),
                topics: topics.join().expect("the writer of topics"),
            }
        })
    }
}

fn put_user(wire: &mut Wire, name: &str) -> std::io::Result<i16> {
    let credential = ScramCredentialUpsertion::default()
        .with_name(text(name))
        .with_mechanism(1)
        .with_iterations(4096)
        .with_salt("salt".into())
        .with_salted_password("password".into());
    let request = AlterUserScramCredentialsRequest::default().with_upsertions(vec![credential]);
    Ok(wire.try_call(0, &request)?.results[0].error_code)
}

fn put_topic(wire: &mut Wire, name: &str) -> std::io::Result<i16> {
    let topic = CreatableTopic::default()
        .with_name(text(name).into())
        .with_num_partitions(1)
        .with_replication_factor(1);
    let request = CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(30_000);
    Ok(wire.try_call(7, &request)?.topics[0].error_code)
}

/// What of it a node does not know.
fn missing(at: SocketAddr, written: &Written) -> Vec<String> {
    let mut wire = Wire::connect(at);
    let users = wire.call(0, &DescribeUserScramCredentialsRequest::default().with_users(None)).results;
    let users: BTreeSet<String> = users.into_iter().map(|result| result.user.to_string()).collect();
    let topics = wire.call(12, &MetadataRequest::default().with_topics(None)).topics;
    let topics: BTreeSet<String> =
        topics.into_iter().filter_map(|topic| topic.name.map(|name| name.to_string())).collect();
    let lost = written.users.difference(&users).chain(written.topics.difference(&topics));
    lost.cloned().collect()
}

fn assert_kept(cluster: &Cluster, nodes: &[i32], written: &Written) {
    for node in nodes {
        let missing = || missing(cluster.address(*node), written);
        wait::until_like(
            PATIENCE,
            &format!("node {node} knows all that was acknowledged"),
            missing,
            Vec::is_empty,
        );
    }
}

#[test]
fn a_killed_leader_loses_nothing_and_another_leads_within_two_seconds() {
    let mut cluster = Cluster::start();
    let mut all = Written::default();
    let mut longest = Duration::ZERO;
    for round in 0..rounds(3, 50) {
        let leader = cluster.leader();
        let others: Vec<i32> = (1..=3).filter(|id| *id != leader).collect();
        let addresses: Vec<SocketAddr> = others.iter().map(|id| cluster.address(*id)).collect();
        let writers = Writers::new(&addresses, round);
        let written = writers.during(|writers| {
            writers.wait_for_more(ACKNOWLEDGED_EACH);
            let killed = Instant::now();
            cluster.kill(leader);
            let known = |id: &i32| cluster.leader_by(*id).is_some_and(|now| now != leader);
            wait::until(PATIENCE, "another leader", || others.iter().all(known).then_some(()));
            let took = killed.elapsed();
            assert!(took < NEW_LEADER_MAX, "round {round}: another leader after {took:?}");
            longest = longest.max(took);
            writers.wait_for_more(ACKNOWLEDGED_EACH / 2);
        });
        all.users.extend(written.users);
        all.topics.extend(written.topics);
        assert_kept(&cluster, &others, &all);
        cluster.restart(leader);
        assert_kept(&cluster, &[leader], &all);
    }
    println!("{} users, {} topics; a leader after {longest:?} at most", all.users.len(), all.topics.len());
}

#[test]
fn a_leader_that_is_stopped_hands_over_without_a_failed_write() {
    let mut cluster = Cluster::start();
    let mut all = Written::default();
    for round in 0..rounds(3, 50) {
        let leader = cluster.leader();
        let others: Vec<i32> = (1..=3).filter(|id| *id != leader).collect();
        let addresses: Vec<SocketAddr> = others.iter().map(|id| cluster.address(*id)).collect();
        let writers = Writers::new(&addresses, round);
        let written = writers.during(|writers| {
            writers.wait_for_more(ACKNOWLEDGED_EACH);
            assert!(cluster.stop(leader).success());
            writers.wait_for_more(ACKNOWLEDGED_EACH / 2);
        });
        let failed = writers.failed.lock().expect("no holder panics").clone();
        assert!(failed.is_empty(), "round {round}: {failed:#?}");
        all.users.extend(written.users);
        all.topics.extend(written.topics);
        assert_kept(&cluster, &others, &all);
        cluster.restart(leader);
        assert_kept(&cluster, &[leader], &all);
    }
}
