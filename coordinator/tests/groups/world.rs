//! A group shard with its log, its timers and its time, all by hand.
//!
//! Must never skip a deadline: time moves from one to the next.

use std::collections::BTreeMap;

use kafka_protocol::protocol::StrBytes;
use milena_coordinator::group::{
    Caller, ChangedTopics, GroupConfig, GroupShard, Input, Output, Record, Reply, Request,
};
use milena_coordinator::group::{DeletedTopic, Ticket, TimerKey, precheck};
use milena_storage::ids::{ProducerId, Timestamp};
use uuid::Uuid;

use crate::cluster::Cluster;

pub(crate) struct World {
    pub(crate) config: GroupConfig,
    pub(crate) now: Timestamp,
    log: Vec<Entry>,
    pub(crate) timers: BTreeMap<TimerKey, Timestamp>,
    shard: GroupShard,
    tickets: u64,
    fresh: u128,
    pub(crate) cluster: Cluster,
}

/// What stands in the log: records, those of transactions with their producer, and markers.
#[derive(Clone)]
enum Entry {
    Record(Option<ProducerId>, Record),
    Marker(ProducerId, bool),
}

/// What one input did.
pub(crate) struct Happened {
    /// Set when it was a deadline.
    pub(crate) fired: Option<TimerKey>,
    pub(crate) output: Output,
}

impl World {
    pub(crate) fn new(config: GroupConfig) -> Self {
        let mut world = Self {
            shard: GroupShard::new(config.clone()),
            config,
            now: Timestamp(0),
            log: Vec::new(),
            timers: BTreeMap::new(),
            tickets: 0,
            fresh: 0,
            cluster: Cluster::default(),
        };
        let _ = world.input(Input::Loaded);
        world
    }

    /// Sends a request; its ticket counts up from 1.
    pub(crate) fn request(&mut self, client: &str, version: i16, request: Request) -> (Ticket, Happened) {
        self.tickets += 1;
        self.fresh += 1;
        let ticket = Ticket(self.tickets);
        let caller = Caller {
            client_id: StrBytes::from_string(client.to_owned()),
            client_host: "/127.0.0.1".into(),
            api_version: version,
            fresh_id: Uuid::from_u128(self.fresh),
        };
        if let Some(reply) = precheck(&self.config, &caller, &request) {
            let output = Output { replies: vec![(ticket, reply)], ..Output::default() };
            return (ticket, Happened { fired: None, output });
        }
        (ticket, self.input(Input::Request(ticket, caller, request)))
    }

    /// As above, for requests that are answered at once.
    pub(crate) fn ask(&mut self, version: i16, request: Request) -> Reply {
        let (ticket, happened) = self.request("c", version, request);
        let found = happened.output.replies.into_iter().find(|(answered, _)| *answered == ticket);
        found.expect("the request is answered at once").1
    }

    pub(crate) fn input(&mut self, input: Input) -> Happened {
        let output = self.shard.step(self.now, self.cluster.image(), input);
        let producer = output.transaction.map(|(id, _)| id);
        for record in &output.records {
            self.append(Entry::Record(producer, record.clone()));
        }
        for (key, deadline) in &output.timers {
            match deadline {
                Some(at) => self.timers.insert(key.clone(), *at),
                None => self.timers.remove(key),
            };
        }
        Happened { fired: None, output }
    }

    /// A topic is new, has other partitions, or is gone; the shard hears of it.
    pub(crate) fn change_topic(&mut self, name: &str, partitions: i32) -> Happened {
        let before = self.cluster.topic_id(name);
        self.cluster.put_topic(name, partitions);
        let deleted = before.filter(|_| partitions == 0).map(|id| DeletedTopic { name: name.to_owned(), id });
        self.input(Input::TopicsChanged(ChangedTopics {
            changed: vec![name.to_owned()],
            deleted: deleted.into_iter().collect(),
            created: before.is_none(),
        }))
    }

    /// A log that somebody else has left.
    pub(crate) fn set_log(&mut self, records: impl Iterator<Item = Record>) {
        self.log = records.map(|record| Entry::Record(None, record)).collect();
    }

    /// A transaction's marker reaches the partition.
    pub(crate) fn end_transaction(&mut self, producer: ProducerId, commit: bool) {
        self.append(Entry::Marker(producer, commit));
    }

    fn append(&mut self, entry: Entry) {
        apply(&mut self.shard, &entry);
        self.log.push(entry);
    }

    /// Moves time on, firing what falls due, in order.
    pub(crate) fn tick(&mut self, ms: i64) -> Vec<Happened> {
        let end = Timestamp(self.now.0 + ms);
        let mut happened = Vec::new();
        while let Some((at, key)) = self.next_deadline().filter(|(at, _)| *at <= end) {
            self.now = self.now.max(at);
            self.timers.remove(&key);
            let output = self.input(Input::Timer(key.clone())).output;
            happened.push(Happened { fired: Some(key), output });
        }
        self.now = end;
        happened
    }

    fn next_deadline(&self) -> Option<(Timestamp, TimerKey)> {
        self.timers.iter().map(|(key, at)| (*at, key.clone())).min()
    }

    /// The same log under a new machine, as after a restart or on another broker.
    pub(crate) fn restart(&mut self, config: GroupConfig) -> Happened {
        self.shard = GroupShard::new(config.clone());
        self.config = config;
        self.timers.clear();
        for entry in &self.log {
            apply(&mut self.shard, entry);
        }
        self.input(Input::Loaded)
    }

    /// Another world that has only seen the log.
    pub(crate) fn reloaded(&self) -> Self {
        let mut other = Self::new(self.config.clone());
        other.now = self.now;
        other.cluster = self.cluster.clone();
        other.log = self.log.clone();
        let _ = other.restart(self.config.clone());
        other
    }
}

fn apply(shard: &mut GroupShard, entry: &Entry) {
    match entry {
        Entry::Record(None, record) => shard.apply(&record.key, record.value.as_deref()).unwrap(),
        Entry::Record(Some(producer), record) => {
            shard.apply_in_transaction(*producer, &record.key, record.value.as_deref()).unwrap();
        }
        Entry::Marker(producer, commit) => shard.end_transaction(*producer, *commit),
    }
}
