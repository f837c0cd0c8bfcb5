//! The producers: an idempotent one, and one that writes in transactions.
//!
//! It must never say of a transaction that it is aborted because its end is not known.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use serde_json::json;

use crate::telling::{name, note, tell};
use crate::{Done, Place, REQUEST_MS, Task};

/// What the Java client gives up after.
const DELIVERY_MS: &str = "120000";
const CALL: Duration = Duration::from_secs(10);
/// A producer that waits is served for so long at a time.
const SERVED: Duration = Duration::from_millis(50);
const VALUES_OF_A_TRANSACTION: usize = 4;
/// One of so many transactions is aborted.
const ABORTED: usize = 4;

/// What a producer calls a record until its delivery is known.
struct Sent {
    value: String,
    place: Place,
}

/// Tells what became of each record.
struct Teller {
    by: &'static str,
    has_failed: AtomicBool,
}

impl ClientContext for Teller {}

impl ProducerContext for Teller {
    type DeliveryOpaque = Box<Sent>;

    fn delivery(&self, result: &DeliveryResult<'_>, sent: Box<Sent>) {
        let Sent { value, place } = *sent;
        match result {
            Ok(message) => {
                let offset = Some(message.offset()).filter(|offset| *offset >= 0);
                tell(self.by, "acked", json!({"value": value, "place": name(&place), "offset": offset}));
            }
            Err((error, _)) => {
                self.has_failed.store(true, Ordering::SeqCst);
                tell(self.by, "failed", json!({"value": value, "error": error.to_string()}));
            }
        }
    }
}

type Writer = BaseProducer<Teller>;

pub(crate) fn plain(task: &Task, by: &'static str) -> Done {
    let producer = producer(task, by, None)?;
    let begin = Instant::now();
    let mut number = 0;
    while !task.must_stop() {
        send(task, &producer, number, &task.plain[number % task.plain.len()], None)?;
        number += 1;
        pace(&producer, begin, number, task.per_second);
    }
    while producer.in_flight_count() > 0 {
        producer.poll(SERVED);
    }
    Ok(())
}

pub(crate) fn whole(task: &Task, by: &'static str) -> Done {
    let mut begun = 0;
    while !task.must_stop() {
        let producer = transactional(task, by)?;
        if let Err(error) = transactions(task, &producer, &mut begun) {
            // This producer's life is over; the next one ends what it has left.
            note(by, &error);
            begun += 1;
        }
    }
    transactional(task, by)?;
    Ok(())
}

fn transactions(task: &Task, producer: &Writer, begun: &mut usize) -> Result<(), KafkaError> {
    let (begin, first) = (Instant::now(), *begun);
    while !task.must_stop() {
        transaction(task, producer, *begun)?;
        *begun += 1;
        pace(producer, begin, (*begun - first) * VALUES_OF_A_TRANSACTION, task.per_second);
    }
    Ok(())
}

fn transaction(task: &Task, producer: &Writer, number: usize) -> Result<(), KafkaError> {
    let by = producer.context().by;
    let id = format!("{by}:{number}");
    producer.context().has_failed.store(false, Ordering::SeqCst);
    producer.begin_transaction()?;
    let written = (0..VALUES_OF_A_TRANSACTION).try_for_each(|each| {
        let place = &task.whole[each % task.whole.len()];
        send(task, producer, number * VALUES_OF_A_TRANSACTION + each, place, Some(&id))
    });
    let wanted = number % ABORTED != ABORTED - 1;
    let flushed = written.and_then(|()| again(by, || producer.flush(CALL)));
    let has_failed = producer.context().has_failed.load(Ordering::SeqCst);
    match flushed {
        Ok(()) if wanted && !has_failed => {
            tell(by, "committing", json!({"transaction": id}));
            match again(by, || producer.commit_transaction(CALL)) {
                Ok(()) => {
                    tell(by, "committed", json!({"transaction": id}));
                    return Ok(());
                }
                Err(KafkaError::Transaction(error)) if error.txn_requires_abort() => note(by, &error),
                Err(error) => return Err(error),
            }
        }
        Ok(()) => {}
        Err(error) => note(by, &error),
    }
    again(by, || producer.abort_transaction(CALL))?;
    tell(by, "aborted", json!({"transaction": id}));
    Ok(())
}

/// A call that ran out of time is to be made again: nobody knows yet what became of it.
fn again(by: &str, mut call: impl FnMut() -> Result<(), KafkaError>) -> Result<(), KafkaError> {
    use rdkafka::error::RDKafkaErrorCode::OperationTimedOut;
    loop {
        match call() {
            Err(KafkaError::Transaction(error)) if error.is_retriable() => note(by, &error),
            Err(KafkaError::Flush(OperationTimedOut)) => note(by, &"a flush takes long"),
            other => return other,
        }
    }
}

fn send(
    task: &Task,
    producer: &Writer,
    number: usize,
    place: &Place,
    transaction: Option<&str>,
) -> Result<(), KafkaError> {
    let by = producer.context().by;
    let value = format!("{by}/{number}");
    tell(by, "sent", json!({"value": value, "place": name(place), "transaction": transaction}));
    let payload = format!("{value} {}", task.padding);
    let sent = Box::new(Sent { value, place: place.clone() });
    let record: BaseRecord<'_, (), String, Box<Sent>> = BaseRecord::with_opaque_to(&place.0, sent);
    producer.send(record.partition(place.1).payload(&payload)).map_err(|(error, _)| error)
}

/// Serves the producer until the next record is due.
fn pace(producer: &Writer, begin: Instant, number: usize, per_second: u32) {
    let due = begin + Duration::from_secs(1) / per_second * u32::try_from(number).unwrap_or(u32::MAX);
    loop {
        let left = due.saturating_duration_since(Instant::now());
        producer.poll(left);
        if left.is_zero() {
            return;
        }
    }
}

fn transactional(task: &Task, by: &'static str) -> Result<Writer, KafkaError> {
    let producer = producer(task, by, Some(by))?;
    again(by, || producer.init_transactions(CALL))?;
    Ok(producer)
}

fn producer(task: &Task, by: &'static str, transactional_id: Option<&str>) -> Result<Writer, KafkaError> {
    let mut settings = task.settings();
    settings.set("request.timeout.ms", REQUEST_MS);
    settings.set("enable.idempotence", "true").set("acks", "all").set("message.timeout.ms", DELIVERY_MS);
    if let Some(id) = transactional_id {
        // No longer than its transaction.
        settings.set("transactional.id", id).set("transaction.timeout.ms", "20000");
        settings.set("message.timeout.ms", "20000");
    }
    settings.create_with_context(Teller { by, has_failed: AtomicBool::new(false) })
}
