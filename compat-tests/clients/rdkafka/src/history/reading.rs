//! The readers: those that follow everything, and members of a group.
//!
//! It must never commit what it has not told, nor what it was given no longer.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset, TopicPartitionList};
use serde_json::{Value, json};

use crate::telling::{name, note, tell};
use crate::{Done, Place, Task};

const POLL: Duration = Duration::from_millis(200);
/// So many records are told together at most, and so many are committed together.
const TOGETHER_MAX: usize = 200;
const GROUP: &str = "rdkafka";

/// Reads everything from the beginning, on and on.
pub(crate) fn follow(task: &Task, by: &'static str, reader: &str, isolation: &str) -> Done {
    let mut settings = settings(task, by);
    settings.set("isolation.level", format!("read_{isolation}"));
    let consumer: BaseConsumer = settings.create()?;
    let mut from = TopicPartitionList::new();
    for (topic, partition) in task.plain.iter().chain(&task.whole) {
        from.add_partition_offset(topic, *partition, Offset::Beginning)?;
    }
    consumer.assign(&from)?;
    loop {
        let mut seen: Vec<Value> = Vec::new();
        let mut wait = POLL;
        while seen.len() < TOGETHER_MAX {
            match consumer.poll(wait) {
                Some(Ok(message)) => {
                    let (place, offset, value) = told(task, &message);
                    seen.push(json!([name(&place), offset, value]));
                }
                Some(Err(error)) => note(by, &error),
                None => break,
            }
            wait = Duration::ZERO;
        }
        if !seen.is_empty() {
            tell(by, "read", json!({"reader": reader, "isolation": isolation, "records": seen}));
        }
    }
}

pub(crate) fn member(task: &Task, by: &'static str) -> Done {
    let mut settings = settings(task, GROUP);
    settings.set("session.timeout.ms", "10000").set("heartbeat.interval.ms", "500");
    let member = Member { by, unsaved: Mutex::default() };
    let consumer: BaseConsumer<Member> = settings.create_with_context(member)?;
    consumer.subscribe(&["plain", "whole"])?;
    let mut count = 0;
    loop {
        // A rebalance is told within the poll: each record is told before the next one.
        match consumer.poll(POLL) {
            Some(Ok(message)) => {
                let (place, offset, value) = told(task, &message);
                let seen = json!([[name(&place), offset, value]]);
                tell(by, "read", json!({"reader": "member", "isolation": "committed", "records": seen}));
                consumer.context().unsaved().insert(place, offset + 1);
                count += 1;
                if count % TOGETHER_MAX == 0 {
                    save(&consumer)?;
                }
            }
            Some(Err(error)) => note(by, &error),
            None => save(&consumer)?,
        }
    }
}

fn save(consumer: &BaseConsumer<Member>) -> Done {
    let offsets = std::mem::take(&mut *consumer.context().unsaved());
    if offsets.is_empty() {
        return Ok(());
    }
    let mut list = TopicPartitionList::new();
    for ((topic, partition), offset) in &offsets {
        list.add_partition_offset(topic, *partition, Offset::Offset(*offset))?;
    }
    let by = consumer.context().by;
    match consumer.commit(&list, CommitMode::Sync) {
        Ok(()) => {
            let offsets: BTreeMap<String, i64> =
                offsets.iter().map(|(place, offset)| (name(place), *offset)).collect();
            tell(by, "saved", json!({"group": GROUP, "offsets": offsets}));
        }
        // What is not saved is read again.
        Err(error) => note(by, &error),
    }
    Ok(())
}

fn told(task: &Task, message: &BorrowedMessage<'_>) -> (Place, i64, String) {
    let text = String::from_utf8_lossy(message.payload().unwrap_or_default());
    let value = match text.split_once(' ') {
        // What a producer has called it, if it is whole.
        Some((value, padding)) if padding == task.padding => value.to_owned(),
        _ => format!("damaged: {text}"),
    };
    ((message.topic().to_owned(), message.partition()), message.offset(), value)
}

fn settings(task: &Task, group: &str) -> ClientConfig {
    let mut settings = task.settings();
    settings.set("group.id", group).set("auto.offset.reset", "earliest").set("enable.auto.commit", "false");
    settings
}

struct Member {
    by: &'static str,
    /// Where it would go on, of what it has and has not committed.
    unsaved: Mutex<BTreeMap<Place, i64>>,
}

impl Member {
    fn unsaved(&self) -> MutexGuard<'_, BTreeMap<Place, i64>> {
        self.unsaved.lock().expect("no holder panics")
    }

    fn tell(&self, what: &str, list: &TopicPartitionList) {
        let places: Vec<String> =
            list.elements().iter().map(|each| format!("{}-{}", each.topic(), each.partition())).collect();
        tell(self.by, what, json!({"group": GROUP, "places": places}));
    }
}

impl ClientContext for Member {}

impl ConsumerContext for Member {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(list) => self.tell("assigned", list),
            Rebalance::Revoke(list) => {
                self.unsaved().clear();
                self.tell("revoked", list);
            }
            Rebalance::Error(error) => note(self.by, error),
        }
    }
}
