//! The records of the scenario, the JSON lines, the deadlines.
//!
//! It must never decide what is checked.

use std::error::Error;
use std::fmt::Debug;
use std::io::{self, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::ProducerContext;

/// The longest wait for any condition.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

pub(crate) const CODECS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];

/// A record as the scenario sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) partition: i32,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
}

impl Record {
    /// A record with nothing but a value.
    pub(crate) fn of(value: String, partition: i32) -> Self {
        Self { partition, key: None, value: Some(value.into_bytes()), headers: Vec::new() }
    }
}

/// The hundred records of a codec.
pub(crate) fn records(codec: &str) -> Vec<Record> {
    let one = |number: usize| {
        let key = Some(format!("k{}", number % 7).into_bytes());
        let value = Some(format!("{codec} {number} {}", "lorem ipsum ".repeat(20)).into_bytes());
        let (key, value) = match number {
            50 => (key, None),
            51 => (None, value),
            52 => (Some(Vec::new()), Some(Vec::new())),
            53 => (key, Some((0..=255).collect())),
            _ => (key, value),
        };
        let headers = [("codec", codec.to_owned()), ("n", number.to_string())]
            .map(|(key, value)| (key.to_owned(), value.into_bytes()));
        Record { partition: 0, key, value, headers: headers.into() }
    };
    (0..100).map(one).collect()
}

/// Forty values.
pub(crate) fn numbered(word: &str) -> Vec<String> {
    (0..40).map(|number| format!("{word} {number}")).collect()
}

pub(crate) fn sorted(mut values: Vec<String>) -> Vec<String> {
    values.sort();
    values
}

/// Counts what a producer delivered and failed to deliver.
#[derive(Debug, Default)]
pub(crate) struct Deliveries {
    delivered: AtomicUsize,
    failed: AtomicUsize,
}

impl Deliveries {
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.delivered.load(Ordering::SeqCst), self.failed.load(Ordering::SeqCst))
    }
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let counter = if result.is_ok() { &self.delivered } else { &self.failed };
        counter.fetch_add(1, Ordering::SeqCst);
    }
}

/// Asks until the answer is true.
pub(crate) fn until(
    what: &str,
    mut holds: impl FnMut() -> Result<bool, Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    let deadline = Instant::now() + PATIENCE;
    while !holds()? {
        if Instant::now() > deadline {
            return Err(format!("not within {PATIENCE:?}: {what}").into());
        }
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

pub(crate) fn equal<T: PartialEq + Debug>(got: &T, wanted: &T, what: &str) -> Result<(), Box<dyn Error>> {
    if got == wanted {
        return Ok(());
    }
    Err(format!("{what}: got {got:?}, wanted {wanted:?}").into())
}

pub(crate) fn passed(check: &str) {
    say(&serde_json::json!({"check": check, "ok": true}));
}

pub(crate) fn say(line: &serde_json::Value) {
    // Nobody reads any more when this fails; the exit code still tells.
    let _ = writeln!(io::stdout().lock(), "{line}");
}
