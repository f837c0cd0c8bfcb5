//! The checks of transactions.
//!
//! It must never check anything that `README.md` does not list.

use std::error::Error;
use std::time::Duration;

use futures_executor::block_on;
use rdkafka::TopicPartitionList;
use rdkafka::admin::{AdminOptions, NewTopic, TopicReplication};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};
use rdkafka::topic_partition_list::Offset;

use crate::check::{Deliveries, PATIENCE, Record, equal, passed, until};
use crate::{Admin, Done, POLL, all_done, settings};

pub(crate) type Transactional = ThreadedProducer<Deliveries>;
type Values = Result<Vec<String>, Box<dyn Error>>;

pub(crate) const COMMITTED: &str = "read_committed";
const UNCOMMITTED: &str = "read_uncommitted";
const TIMEOUT: Duration = Duration::from_secs(2);

/// What is checked before the restart.
pub(crate) fn before_restart(bootstrap: &str, name: &str) -> Done {
    let admin: Admin = settings(bootstrap).create()?;
    let out = format!("{name}-out");
    let topics = [format!("{name}-in"), out.clone()];
    let new = topics.each_ref().map(|topic| NewTopic::new(topic, 1, TopicReplication::Fixed(1)));
    all_done(block_on(admin.create_topics(&new, &AdminOptions::new()))?)?;

    let producer = transactional(bootstrap, name, "writer", None)?;
    commit_and_abort(bootstrap, &producer, &out)?;
    offsets(bootstrap, name, &producer)?;
    zombie(bootstrap, name)?;
    time_out(bootstrap, name)?;

    let lasting = transactional(bootstrap, name, "lasting", None)?;
    begin(&lasting, &out, &words("lasting", 0, 5))?;
    lasting.commit_transaction(PATIENCE)?;
    begin(&lasting, &out, &words("lasting", 5, 10))
}

/// What is checked after it.
pub(crate) fn after_restart(bootstrap: &str, name: &str) -> Done {
    let out = format!("{name}-out");
    let lasting = transactional(bootstrap, name, "lasting", None)?;
    begin(&lasting, &out, &words("lasting", 10, 15))?;
    lasting.commit_transaction(PATIENCE)?;
    end(bootstrap, &out, "lasting")?;
    let committed = [words("lasting", 0, 5), words("lasting", 10, 15)].concat();
    equal(&seen(bootstrap, &out, "lasting", COMMITTED)?, &committed, "what is committed")?;
    let written = words("lasting", 0, 15);
    equal(&seen(bootstrap, &out, "lasting", UNCOMMITTED)?, &written, "what is written")?;
    passed("survives a restart");
    Ok(())
}

fn commit_and_abort(bootstrap: &str, producer: &Transactional, out: &str) -> Done {
    begin(producer, out, &words("plain", 0, 10))?;
    producer.commit_transaction(PATIENCE)?;
    begin(producer, out, &words("plain", 10, 20))?;
    producer.abort_transaction(PATIENCE)?;
    begin(producer, out, &words("plain", 20, 30))?;
    producer.commit_transaction(PATIENCE)?;
    end(bootstrap, out, "plain")?;
    let committed = [words("plain", 0, 10), words("plain", 20, 30)].concat();
    equal(&seen(bootstrap, out, "plain", COMMITTED)?, &committed, "what is committed")?;
    equal(&seen(bootstrap, out, "plain", UNCOMMITTED)?, &words("plain", 0, 30), "what is written")?;
    passed("commit and abort");
    Ok(())
}

fn offsets(bootstrap: &str, name: &str, producer: &Transactional) -> Done {
    let (source, out) = (format!("{name}-in"), format!("{name}-out"));
    write(bootstrap, &source, &words("copy", 0, 10))?;
    let aborted = copied(bootstrap, name, producer, || producer.abort_transaction(PATIENCE))?;
    equal(&aborted, &Offset::Invalid, "the offset after an abort")?;
    let committed = copied(bootstrap, name, producer, || producer.commit_transaction(PATIENCE))?;
    equal(&committed, &Offset::Offset(10), "the offset after a commit")?;
    end(bootstrap, &out, "copy")?;
    equal(&seen(bootstrap, &out, "copy", COMMITTED)?, &words("copy", 0, 10), "the copies")?;
    passed("offsets in transactions");
    Ok(())
}

/// Copies ten records in a transaction and gives the group's committed offset after its end.
fn copied(
    bootstrap: &str,
    name: &str,
    producer: &Transactional,
    close: impl FnOnce() -> Result<(), KafkaError>,
) -> Result<Offset, Box<dyn Error>> {
    let source = format!("{name}-in");
    let reader = reader(bootstrap, &format!("{name}-copiers"), COMMITTED)?;
    reader.subscribe(&[&source])?;
    let mut got = Vec::new();
    until("ten records to copy", || {
        got.extend(polled(&reader)?);
        Ok(got.len() >= 10)
    })?;
    begin(producer, &format!("{name}-out"), &got)?;
    let group = reader.group_metadata().ok_or("the reader has no group")?;
    producer.send_offsets_to_transaction(&reader.position()?, &group, PATIENCE)?;
    close()?;
    let mut asked = TopicPartitionList::new();
    asked.add_partition(&source, 0);
    Ok(reader.committed_offsets(asked, PATIENCE)?.elements()[0].offset())
}

fn zombie(bootstrap: &str, name: &str) -> Done {
    let out = format!("{name}-out");
    let zombie = transactional(bootstrap, name, "fenced", None)?;
    begin(&zombie, &out, &words("fenced", 0, 1))?;
    let heir = transactional(bootstrap, name, "fenced", None)?;
    is_fenced(zombie.commit_transaction(PATIENCE), "the zombie's commit")?;
    begin(&heir, &out, &words("fenced", 1, 2))?;
    heir.commit_transaction(PATIENCE)?;
    end(bootstrap, &out, "fenced")?;
    equal(&seen(bootstrap, &out, "fenced", COMMITTED)?, &words("fenced", 1, 2), "what the heir committed")?;
    passed("zombie fenced");
    Ok(())
}

fn time_out(bootstrap: &str, name: &str) -> Done {
    let out = format!("{name}-out");
    let late = transactional(bootstrap, name, "late", Some(TIMEOUT))?;
    begin(&late, &out, &words("late", 0, 1))?;
    end(bootstrap, &out, "late")?;
    equal(&seen(bootstrap, &out, "late", COMMITTED)?, &Vec::new(), "what is committed in time")?;
    is_fenced(late.commit_transaction(PATIENCE), "the late commit")?;
    passed("time-out");
    Ok(())
}

fn is_fenced(result: Result<(), KafkaError>, what: &str) -> Done {
    match result {
        Err(KafkaError::Transaction(error))
            if error.is_fatal() && error.code() == RDKafkaErrorCode::Fenced =>
        {
            Ok(())
        }
        other => Err(format!("{what} is not fenced but {other:?}").into()),
    }
}

fn transactional(
    bootstrap: &str,
    name: &str,
    id: &str,
    timeout: Option<Duration>,
) -> Result<Transactional, Box<dyn Error>> {
    let mut settings = settings(bootstrap);
    settings.set("transactional.id", format!("{name}-{id}"));
    if let Some(timeout) = timeout {
        settings.set("transaction.timeout.ms", timeout.as_millis().to_string());
    }
    let producer: Transactional = settings.create_with_context(Deliveries::default())?;
    producer.init_transactions(PATIENCE)?;
    Ok(producer)
}

/// Begins a transaction with these values, which have reached the broker at the end.
fn begin(producer: &Transactional, topic: &str, values: &[String]) -> Done {
    producer.begin_transaction()?;
    let (delivered, _) = producer.context().counts();
    for value in values {
        let record: BaseRecord<'_, (), String> = BaseRecord::to(topic).partition(0).payload(value);
        producer.send(record).map_err(|(error, _)| error)?;
    }
    producer.flush(PATIENCE)?;
    equal(&producer.context().counts(), &(delivered + values.len(), 0), "the records delivered and failed")
}

pub(crate) fn write(bootstrap: &str, topic: &str, values: &[String]) -> Done {
    let records: Vec<Record> = values.iter().map(|value| Record::of(value.clone(), 0)).collect();
    crate::produce(bootstrap, topic, "none", &records)
}

pub(crate) fn end(bootstrap: &str, topic: &str, word: &str) -> Done {
    write(bootstrap, topic, &[format!("{word} end")])
}

/// The values of a check, up to its last record, for a reader of this isolation.
pub(crate) fn seen(bootstrap: &str, topic: &str, word: &str, isolation: &str) -> Values {
    let reader = reader(bootstrap, "unused", isolation)?;
    let mut from = TopicPartitionList::new();
    from.add_partition_offset(topic, 0, Offset::Beginning)?;
    reader.assign(&from)?;
    let last = format!("{word} end");
    let mut got: Vec<String> = Vec::new();
    until(&format!("the end of {word} for {isolation}"), || {
        got.extend(polled(&reader)?);
        Ok(got.contains(&last))
    })?;
    let before = got.into_iter().take_while(|value| *value != last);
    Ok(before.filter(|value| value.starts_with(&format!("{word} "))).collect())
}

fn polled(reader: &BaseConsumer) -> Values {
    let mut got = Vec::new();
    while let Some(message) = reader.poll(POLL) {
        got.push(String::from_utf8_lossy(message?.payload().unwrap_or_default()).into_owned());
    }
    Ok(got)
}

fn reader(bootstrap: &str, group: &str, isolation: &str) -> Result<BaseConsumer, Box<dyn Error>> {
    let mut settings: ClientConfig = settings(bootstrap);
    settings.set("group.id", group).set("auto.offset.reset", "earliest").set("enable.auto.commit", "false");
    settings.set("isolation.level", isolation);
    Ok(settings.create()?)
}

pub(crate) fn words(word: &str, first: usize, end: usize) -> Vec<String> {
    (first..end).map(|number| format!("{word} {number}")).collect()
}
