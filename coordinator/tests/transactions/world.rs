//! A transaction shard with its log, its timers and its time, all by hand.
//!
//! Must never skip a deadline: time moves from one to the next.

use std::collections::BTreeMap;

use milena_coordinator::transaction::{
    Input, MarkerOrder, Output, Record, Reply, Request, Ticket, TimerKey, TransactionConfig,
    TransactionShard, TransactionVersion,
};
use milena_storage::ids::{ProducerId, Timestamp};

pub(crate) struct World {
    pub(crate) version: TransactionVersion,
    pub(crate) now: Timestamp,
    pub(crate) log: Vec<Record>,
    pub(crate) timers: BTreeMap<TimerKey, Timestamp>,
    /// Markers that are to be written.
    pub(crate) orders: Vec<MarkerOrder>,
    pub(crate) config: TransactionConfig,
    shard: TransactionShard,
    tickets: u64,
    fresh: i64,
}

impl World {
    pub(crate) fn new(version: TransactionVersion) -> Self {
        let config = TransactionConfig::default();
        let mut world = Self {
            version,
            now: Timestamp(1_000),
            log: Vec::new(),
            timers: BTreeMap::new(),
            orders: Vec::new(),
            shard: TransactionShard::new(config.clone()),
            config,
            tickets: 0,
            fresh: 999,
        };
        let _ = world.input(Input::Loaded);
        world
    }

    pub(crate) fn fresh(&mut self) -> ProducerId {
        self.fresh += 1;
        ProducerId(self.fresh)
    }

    pub(crate) fn ask(&mut self, request: Request) -> (Reply, Output) {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        let mut output = self.input(Input::Request(ticket, request));
        let (answered, reply) = output.replies.pop().unwrap();
        assert_eq!(answered, ticket);
        assert!(output.replies.is_empty(), "each request is answered once, at once");
        (reply, output)
    }

    pub(crate) fn input(&mut self, input: Input) -> Output {
        let output = self.shard.step(self.now, self.version, input);
        for record in &output.records {
            self.log.push(record.clone());
            self.shard.apply(&record.key, record.value.as_deref()).unwrap();
        }
        for (key, deadline) in &output.timers {
            match deadline {
                Some(at) => self.timers.insert(key.clone(), *at),
                None => self.timers.remove(key),
            };
        }
        self.orders.extend(output.orders.iter().cloned());
        output
    }

    /// Moves time on, firing what falls due, in order.
    pub(crate) fn tick(&mut self, ms: i64) -> Vec<Output> {
        let end = Timestamp(self.now.0 + ms);
        let mut outputs = Vec::new();
        while let Some((at, key)) = self.next_deadline().filter(|(at, _)| *at <= end) {
            self.now = self.now.max(at);
            self.timers.remove(&key);
            outputs.push(self.input(Input::Timer(key)));
        }
        self.now = end;
        outputs
    }

    /// The same log under a new machine, as after a restart or on another broker.
    pub(crate) fn restart(&mut self) -> Output {
        self.shard = TransactionShard::new(self.config.clone());
        self.timers.clear();
        self.orders.clear();
        for record in &self.log {
            self.shard.apply(&record.key, record.value.as_deref()).unwrap();
        }
        self.input(Input::Loaded)
    }

    fn next_deadline(&self) -> Option<(Timestamp, TimerKey)> {
        self.timers.iter().map(|(key, at)| (*at, key.clone())).min()
    }
}
