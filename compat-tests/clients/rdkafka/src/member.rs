//! A group member that polls on a thread of its own until told to leave.
//!
//! It must never hold its lock while it polls.

use std::collections::BTreeSet;
use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::message::Message;

/// The member. Leaving ends its thread and closes its consumer.
pub(crate) struct Member {
    seen: Arc<Seen>,
    thread: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Seen {
    partitions: Mutex<BTreeSet<i32>>,
    values: Mutex<Vec<String>>,
    leaving: AtomicBool,
}

struct Context(Arc<Seen>);

impl Member {
    pub(crate) fn join(mut settings: ClientConfig, group: &str, topic: &str) -> Result<Self, Box<dyn Error>> {
        settings.set("group.id", group).set("auto.offset.reset", "earliest");
        settings.set("enable.auto.commit", "false").set("session.timeout.ms", "10000");
        settings.set("heartbeat.interval.ms", "500");
        let seen = Arc::new(Seen::default());
        let consumer: BaseConsumer<Context> = settings.create_with_context(Context(Arc::clone(&seen)))?;
        consumer.subscribe(&[topic])?;
        let of_thread = Arc::clone(&seen);
        let thread = thread::spawn(move || of_thread.poll(&consumer));
        Ok(Self { seen, thread })
    }

    pub(crate) fn holds(&self) -> usize {
        self.seen.partitions.lock().expect("no holder panics").len()
    }

    pub(crate) fn values(&self) -> Vec<String> {
        self.seen.values.lock().expect("no holder panics").clone()
    }

    pub(crate) fn leave(self) {
        self.seen.leaving.store(true, Ordering::SeqCst);
        self.thread.join().expect("the member's thread does not panic");
    }
}

impl Seen {
    fn poll(&self, consumer: &BaseConsumer<Context>) {
        while !self.leaving.load(Ordering::SeqCst) {
            if let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) {
                // A commit that a rebalance refuses shows as a record read twice.
                let _ = consumer.commit_message(&message, CommitMode::Sync);
                let value = String::from_utf8_lossy(message.payload().unwrap_or_default()).into_owned();
                self.values.lock().expect("no holder panics").push(value);
            }
        }
    }
}

impl ClientContext for Context {}

impl ConsumerContext for Context {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Revoke(revoked) = rebalance {
            let mut partitions = self.0.partitions.lock().expect("no holder panics");
            for one in revoked.elements() {
                partitions.remove(&one.partition());
            }
        }
    }

    fn post_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Assign(assigned) = rebalance {
            let mut partitions = self.0.partitions.lock().expect("no holder panics");
            partitions.extend(assigned.elements().iter().map(|one| one.partition()));
        }
    }
}
