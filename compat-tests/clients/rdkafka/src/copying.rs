//! A topic is copied within transactions, whoever is killed meanwhile: "Copying" of `../README.md`.
//!
//! It must never tell of a transaction that was not committed without an error.

use std::error::Error;

use futures_executor::block_on;
use rdkafka::admin::{AdminOptions, NewTopic, TopicReplication};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::producer::{BaseRecord, Producer};
use rdkafka::topic_partition_list::Offset;

use crate::check::{Deliveries, PATIENCE, equal, passed, say, until};
use crate::transactions::{COMMITTED, Transactional, end, seen, words, write};
use crate::{Admin, Done, POLL, all_done, settings};

const TO_COPY: usize = 5_000;
const IN_A_TRANSACTION: usize = 10;
const SESSION_MS: &str = "6000";

pub(crate) fn original(bootstrap: &str, name: &str) -> Done {
    let admin: Admin = settings(bootstrap).create()?;
    let topics = ["original", "copy"].map(|rest| format!("{name}-{rest}"));
    let new = topics.each_ref().map(|topic| NewTopic::new(topic, 1, TopicReplication::Fixed(1)));
    all_done(block_on(admin.create_topics(&new, &AdminOptions::new()))?)?;
    write(bootstrap, &topics[0], &words("record", 0, TO_COPY))
}

pub(crate) fn copy(bootstrap: &str, name: &str) -> Done {
    let copies = format!("{name}-copy");
    let mut producing = settings(bootstrap);
    // A librdkafka that has lost its only broker forgets it by default, but not that it was the group's coordinator
    // (confluentinc/librdkafka#5511).
    producing.set("transactional.id", format!("{name}-copier")).set("metadata.recovery.strategy", "none");
    let producer: Transactional = producing.create_with_context(Deliveries::default())?;
    retried(|| producer.init_transactions(PATIENCE))?;
    let mut reading = settings(bootstrap);
    reading.set("group.id", format!("{name}-copiers")).set("auto.offset.reset", "earliest");
    reading.set("enable.auto.commit", "false").set("isolation.level", COMMITTED);
    reading.set("session.timeout.ms", SESSION_MS);
    let reader: BaseConsumer = reading.create()?;
    reader.subscribe(&[&format!("{name}-original")])?;
    let mut copied = 0;
    while copied < TO_COPY {
        let values = next(&reader);
        if !values.is_empty() && within_transaction(&producer, &reader, &copies, &values)? {
            copied = place(&reader)?;
            say(&serde_json::json!({"copied": copied}));
        }
    }
    drop(reader);
    end(bootstrap, &copies, "record")?;
    equal(&seen(bootstrap, &copies, "record", COMMITTED)?, &words("record", 0, TO_COPY), "the copies")?;
    passed("exactly once");
    Ok(())
}

/// What is there, and not too much of it. What the reader says of a broker that is away ends by itself.
fn next(reader: &BaseConsumer) -> Vec<String> {
    let mut values = Vec::new();
    while values.len() < IN_A_TRANSACTION {
        match reader.poll(POLL) {
            None => break,
            Some(Err(_)) => {}
            Some(Ok(message)) => {
                values.push(String::from_utf8_lossy(message.payload().unwrap_or_default()).into_owned());
            }
        }
    }
    values
}

/// Whether it is committed. It is not when librdkafka asks for an abort: then the reader is where it was before.
fn within_transaction(
    producer: &Transactional,
    reader: &BaseConsumer,
    topic: &str,
    values: &[String],
) -> Result<bool, Box<dyn Error>> {
    match copy_these(producer, reader, topic, values) {
        Ok(()) => Ok(true),
        Err(KafkaError::Transaction(error)) if error.txn_requires_abort() => {
            retried(|| producer.abort_transaction(PATIENCE))?;
            for one in reader.committed(PATIENCE)?.elements() {
                let offset = if let Offset::Offset(offset) = one.offset() { offset } else { 0 };
                reader.seek(one.topic(), one.partition(), Offset::Offset(offset), PATIENCE)?;
            }
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}

fn copy_these(
    producer: &Transactional,
    reader: &BaseConsumer,
    topic: &str,
    values: &[String],
) -> Result<(), KafkaError> {
    producer.begin_transaction()?;
    for value in values {
        let record: BaseRecord<'_, (), String> = BaseRecord::to(topic).partition(0).payload(value);
        producer.send(record).map_err(|(error, _)| error)?;
    }
    let group = reader.group_metadata().expect("the reader has a group");
    let positions = reader.position()?;
    retried(|| producer.send_offsets_to_transaction(&positions, &group, PATIENCE))?;
    retried(|| producer.commit_transaction(PATIENCE))
}

/// How far the reader has come, which is how much is copied.
fn place(reader: &BaseConsumer) -> Result<usize, Box<dyn Error>> {
    match reader.position()?.elements().first().map(|one| one.offset()) {
        Some(Offset::Offset(offset)) => Ok(usize::try_from(offset)?),
        other => Err(format!("the reader is at {other:?}").into()),
    }
}

/// Calls again as long as librdkafka says that it may be: once the broker is back, it succeeds.
fn retried(mut call: impl FnMut() -> Result<(), KafkaError>) -> Result<(), KafkaError> {
    let mut outcome = Ok(());
    let ended = until("a call that is not to be retried", || {
        outcome = call();
        Ok(!matches!(&outcome, Err(KafkaError::Transaction(error)) if error.is_retriable()))
    });
    // Where the time is over, the last error tells more.
    drop(ended);
    outcome
}
