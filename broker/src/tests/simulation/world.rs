//! One run: brokers and clients as hosts of one thread and one virtual time, trouble for a while, then peace.
//!
//! Everything follows from the seed. Must never wait for anything real.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use kafka_protocol::messages::CreateTopicsRequest;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use milena_storage::fs::{Fs, SimFault, SimFs};
use milena_storage::ids::Timestamp;

use super::client::{Client, topic_name};
use super::clocks::Clocks;
use super::dice::Dice;
use super::judge::{self, Watch};
use super::member::Member;
use super::node::Node;
use super::producer::Producer;
use super::reader::Reader;
use super::shared::{Phase, Shared};
use super::{PARTITIONS, TOPIC};

/// How long there is trouble.
const TROUBLE: Duration = Duration::from_secs(20);
/// How long the cluster may take until it serves for the first time, and until it is whole again after the trouble.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long the trouble pauses for the cluster to become whole, so that a broker may lose its power.
const CALM: Duration = Duration::from_secs(5);
/// How often brokers are looked at.
const LOOK_STEPS: usize = 20;
/// What each client must have got done after the trouble.
const PROGRESS: usize = 5;
/// When the simulated clocks begin.
const EPOCH: Duration = Duration::from_secs(1_800_000_000);
/// Hosts that run clients.
const CLIENTS: [&str; 3] = ["producers", "readers", "members"];
const CLIENTS_OF_A_KIND: usize = 2;

pub(super) struct World<'a> {
    sim: turmoil::Sim<'a>,
    shared: Shared,
    nodes: BTreeMap<i32, Node>,
    dice: Dice,
    clocks: Clocks,
    watch: Watch,
    steps: usize,
    /// What is mended when.
    due: Vec<(Duration, Mend)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Mend {
    Start(i32),
    /// Messages between two hosts get through again.
    Release(String, String),
    /// The same where they were dropped.
    Repair(String, String),
}

impl World<'_> {
    pub(super) fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let brokers = dice.pick(&[3, 3, 4, 5]);
        let sim = turmoil::Builder::new()
            .rng_seed(dice.next())
            .epoch(SystemTime::UNIX_EPOCH + EPOCH)
            .tick_duration(Duration::from_millis(1))
            .simulation_duration(Duration::from_secs(3600))
            .min_message_latency(Duration::from_millis(0))
            .max_message_latency(Duration::from_millis(5))
            .tcp_capacity(4096)
            .build();
        let shared = Shared::new(brokers);
        let mut world = Self {
            sim,
            shared,
            nodes: BTreeMap::new(),
            dice,
            clocks: Clocks::new(seed),
            watch: Watch::default(),
            steps: 0,
            due: Vec::new(),
        };
        world.shared.brokers().into_iter().for_each(|id| world.add_broker(id));
        world
    }

    fn add_broker(&mut self, id: i32) {
        let disk = SimFs::new();
        disk.create_dir_all("/data".as_ref()).expect("a new disk");
        disk.sync_dir("/".as_ref()).expect("a new disk");
        let skew_ms = Rc::new(Cell::new(self.clocks.skew_ms()));
        let node = Node { id, disk, shared: self.shared.clone(), stop: Rc::default(), skew_ms };
        self.nodes.insert(id, node.clone());
        self.sim.host(node.host(), move || node.clone().run());
    }

    fn add_clients(&mut self) {
        for (kind, host) in CLIENTS.into_iter().enumerate() {
            let clients: Vec<Client> = (0..CLIENTS_OF_A_KIND)
                .map(|n| {
                    let initial = &host[..1];
                    Client::new(&self.shared, &format!("{initial}{n}"), self.dice.child())
                })
                .collect();
            self.sim.client(host, async move {
                let tasks: Vec<_> = clients
                    .into_iter()
                    .map(|client| match kind {
                        0 => tokio::task::spawn_local(Producer::new(client).run()),
                        1 => tokio::task::spawn_local(Reader::new(client).run()),
                        _ => tokio::task::spawn_local(Member::new(client).run()),
                    })
                    .collect();
                for task in tasks {
                    task.await?;
                }
                Ok(())
            });
        }
    }

    /// The whole run; what it found is in the history.
    pub(super) fn run(mut self) -> Shared {
        self.create_topic();
        if self.has_faults() {
            return self.shared;
        }
        self.add_clients();
        self.trouble();
        self.heal();
        self.recover();
        self.end();
        judge::judge(&self.shared);
        self.shared
    }

    fn has_faults(&self) -> bool {
        self.shared.history(|history| !history.faults.is_empty())
    }

    fn create_topic(&mut self) {
        let mut client = Client::new(&self.shared, "admin", self.dice.child());
        self.sim.client("admin", async move {
            loop {
                let broker = client.any_broker();
                let topic = CreatableTopic::default()
                    .with_name(topic_name(TOPIC))
                    .with_num_partitions(PARTITIONS)
                    .with_replication_factor(3);
                let request = CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(2_000);
                let answer = client.ask(broker, 7, &request).await;
                // 36: it is there already.
                let done = |code: i16| code == 0 || code == 36;
                if answer.is_some_and(|answer| answer.topics.iter().all(|topic| done(topic.error_code))) {
                    return Ok(());
                }
                client.pause().await;
            }
        });
        let deadline = self.sim.elapsed() + PATIENCE;
        loop {
            let done = self.step();
            if done && judge::is_whole(&self.shared).is_ok() {
                return;
            }
            if self.sim.elapsed() > deadline {
                let why = judge::is_whole(&self.shared);
                return self.shared.fault(format!("the cluster does not begin: {why:?}"));
            }
        }
    }

    /// One millisecond; whether all clients have ended.
    fn step(&mut self) -> bool {
        let now = Timestamp(i64::try_from((EPOCH + self.sim.elapsed()).as_millis()).expect("not so far"));
        self.nodes.values().for_each(|node| node.disk.set_now(now));
        self.shared.set_now(self.sim.elapsed());
        let ended = match self.sim.step() {
            Ok(ended) => ended,
            Err(error) => {
                self.shared.fault(format!("a host failed: {error}"));
                true
            }
        };
        self.steps += 1;
        if self.steps.is_multiple_of(LOOK_STEPS) {
            self.watch.look(&self.shared);
            self.start_what_ended();
        }
        self.mend(self.sim.elapsed());
        ended
    }

    fn pass(&mut self, time: Duration) {
        let until = self.sim.elapsed() + time;
        while self.sim.elapsed() < until && !self.has_faults() {
            self.step();
        }
    }

    /// A supervisor starts processes that ended by themselves.
    fn start_what_ended(&mut self) {
        for (id, node) in self.nodes.clone() {
            let is_due = self.due.iter().any(|(_, mend)| *mend == Mend::Start(id));
            if !is_due && !self.sim.is_host_running(node.host()) {
                self.shared.stopped(id);
                let pause = self.dice.ms(100, 1_000);
                self.due.push((self.sim.elapsed() + pause, Mend::Start(id)));
            }
        }
    }

    fn mend(&mut self, now: Duration) {
        let (due, later) = self.due.drain(..).partition(|(at, _)| *at <= now);
        self.due = later;
        for (_, mend) in due {
            self.shared.note(|| format!("{mend:?}"));
            match mend {
                Mend::Start(id) => self.sim.bounce(self.nodes[&id].host()),
                Mend::Release(from, to) => self.sim.release(from, to),
                Mend::Repair(from, to) => self.sim.repair_oneway(from, to),
            }
        }
    }

    fn trouble(&mut self) {
        let end = self.sim.elapsed() + TROUBLE;
        while self.sim.elapsed() < end && !self.has_faults() {
            let pause = self.dice.ms(50, 1_500);
            self.pass(pause);
            self.trouble_once();
            self.set_a_clock();
        }
    }

    fn trouble_once(&mut self) {
        let brokers = self.shared.brokers();
        let broker = self.dice.pick(&brokers);
        match self.dice.roll(10) {
            0..=2 => self.kill(broker, false),
            3 | 4 => self.cut_power(broker),
            5 => self.stop(broker),
            6 | 7 => self.cut_off(broker),
            8 => self.cut(broker),
            _ => self.cut_one_way(broker),
        }
    }

    /// A machine's clock jumps, forward or back.
    fn set_a_clock(&mut self) {
        let Some((id, skew_ms)) = self.clocks.jump(&self.shared.brokers()) else { return };
        self.count("jumps of clocks");
        self.shared.note(|| format!("b{id}'s clock is {skew_ms} ms wrong"));
        self.nodes[&id].skew_ms.set(skew_ms);
        if let Some(broker) = self.shared.running().get(&id) {
            broker.clock.skew(skew_ms);
        }
    }

    fn is_up(&mut self, id: i32) -> bool {
        let host = self.nodes[&id].host();
        self.sim.is_host_running(host)
    }

    fn count(&self, what: &'static str) {
        self.shared.history(|history| history.count(what));
    }

    /// Whether everybody else has what a disk would lose: the promise is for fewer losses than the in-sync sets have members.
    fn may_lose_power(&self) -> bool {
        let all_run = self.shared.running().len() == self.nodes.len();
        all_run && self.due.is_empty() && judge::is_whole(&self.shared).is_ok()
    }

    /// Waits for a moment in which a broker may lose its power, which it does then; without one it is killed.
    fn cut_power(&mut self, id: i32) {
        let until = self.sim.elapsed() + CALM;
        while !self.may_lose_power() && self.sim.elapsed() < until && !self.has_faults() {
            self.pass(Duration::from_millis(20));
        }
        let power = self.may_lose_power();
        self.kill(id, power);
    }

    /// The process dies, and with its power what its disk has not synced.
    fn kill(&mut self, id: i32, power: bool) {
        if !self.is_up(id) {
            return;
        }
        self.count(if power { "power losses" } else { "kills" });
        self.shared.note(|| format!("b{id} is killed, power lost: {power}"));
        self.shared.stopped(id);
        let disk = self.nodes[&id].disk.clone();
        disk.fault_after(0, SimFault::Death);
        self.sim.crash(self.nodes[&id].host());
        let seed = self.dice.next();
        if power {
            disk.power_loss(seed)
        } else {
            disk.heal()
        }
        let down = if self.dice.percent(50) { self.dice.ms(1, 100) } else { self.dice.ms(100, 4_000) };
        self.due.push((self.sim.elapsed() + down, Mend::Start(id)));
    }

    fn stop(&mut self, id: i32) {
        if self.is_up(id) && self.shared.running().contains_key(&id) {
            self.count("stops");
            self.shared.note(|| format!("b{id} is stopped"));
            self.nodes[&id].stop.notify_one();
        }
    }

    fn hold(&mut self, one: &str, other: &str, time: Duration) {
        self.sim.hold(one, other);
        self.due.push((self.sim.elapsed() + time, Mend::Release(one.to_owned(), other.to_owned())));
    }

    /// A broker hears no other, nor they it; clients may reach it still.
    fn cut_off(&mut self, id: i32) {
        self.count("isolations");
        let with_clients = self.dice.percent(30);
        let time = self.dice.ms(100, 6_000);
        self.shared.note(|| format!("b{id} is cut off for {time:?}, from clients too: {with_clients}"));
        let host = self.nodes[&id].host();
        for other in self.shared.brokers().into_iter().filter(|other| *other != id) {
            self.hold(&host, &format!("b{other}"), time);
        }
        if with_clients {
            CLIENTS.into_iter().for_each(|client| self.hold(&host, client, time));
        }
    }

    /// Two brokers do not hear each other.
    fn cut(&mut self, id: i32) {
        self.count("cuts");
        let (other, time) = (self.other(id), self.dice.ms(100, 6_000));
        self.shared.note(|| format!("b{id} and b{other} are cut for {time:?}"));
        self.hold(&format!("b{id}"), &format!("b{other}"), time);
    }

    /// What one broker sends to another is lost, and connections are stuck afterwards.
    fn cut_one_way(&mut self, id: i32) {
        self.count("one-way cuts");
        let (other, time) = (self.other(id), self.dice.ms(100, 4_000));
        self.shared.note(|| format!("b{id} does not get through to b{other} for {time:?}"));
        let (from, to) = (format!("b{id}"), format!("b{other}"));
        self.sim.partition_oneway(from.as_str(), to.as_str());
        self.due.push((self.sim.elapsed() + time, Mend::Repair(from, to)));
    }

    fn other(&mut self, id: i32) -> i32 {
        let others: Vec<i32> = self.shared.brokers().into_iter().filter(|other| *other != id).collect();
        self.dice.pick(&others)
    }

    fn heal(&mut self) {
        self.mend(Duration::MAX);
        self.shared.enter(Phase::Recovery);
    }

    fn is_recovered(&self) -> Result<(), String> {
        if self.shared.running().len() < self.nodes.len() {
            return Err("not every broker runs".to_owned());
        }
        judge::is_whole(&self.shared)?;
        self.shared.history(|history| {
            let got = |name: &String| history.progress.get(name).copied().unwrap_or_default();
            let names = CLIENTS
                .iter()
                .flat_map(|host| (0..CLIENTS_OF_A_KIND).map(move |n| format!("{}{n}", &host[..1])));
            // A member may own nothing while there are fewer partitions than members; here there are more.
            let stuck: Vec<String> = names.filter(|name| got(name) < PROGRESS).collect();
            if stuck.is_empty() { Ok(()) } else { Err(format!("{stuck:?} do not get on")) }
        })
    }

    /// Everything must work again in time.
    fn recover(&mut self) {
        let deadline = self.sim.elapsed() + PATIENCE;
        while let Err(why) = self.is_recovered() {
            if self.has_faults() {
                return;
            }
            if self.sim.elapsed() > deadline {
                return self.shared.fault(format!("{PATIENCE:?} after the trouble: {why}"));
            }
            self.pass(Duration::from_millis(100));
        }
    }

    /// Nothing is sent any more, so that everybody comes to hold the same.
    fn end(&mut self) {
        if self.has_faults() {
            return;
        }
        self.shared.enter(Phase::End);
        let deadline = self.sim.elapsed() + PATIENCE;
        self.pass(Duration::from_secs(5));
        while let Err(why) = judge::is_at_rest(&self.shared) {
            if self.has_faults() {
                return;
            }
            if self.sim.elapsed() > deadline {
                return self.shared.fault(format!("it does not come to rest: {why}"));
            }
            self.pass(Duration::from_millis(100));
        }
    }
}
