//! The loads that go on as fast as they are answered: produce, its codecs, fetch, TLS, small requests.
//!
//! It must never measure one broker with more, or other, requests than another.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::records::Compression;
use rustls::ClientConfig;

use crate::bare::{Bare, Kind};
use crate::load::{Load, Open, Outcome, Until};
use crate::peers::{Running, processor_time};
use crate::report::{EACH, Numbers, P50, P99, PER_GB, RATE, REQUESTS};
use crate::requests::{self, Asked, MOST_RECORDS};
use crate::stats::percentile;
use crate::{Length, codecs, tls};

/// A run with large batches ends here at the latest, a warm-up with half of it.
const PRODUCED: u64 = 1 << 30;
const SMALL_BATCH: usize = 16;
const TOPICS: usize = 1_000;

/// One load, by what it does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum What {
    /// Records of a batch, and bytes of each.
    Produce(usize, usize),
    /// A batch of as many records, of lines of text.
    Packed(usize, Compression),
    /// Bytes of an answer.
    Fetch(usize),
    Heartbeat,
    Commit,
    Metadata,
}

/// What is run: a name, a load, connections, requests under way on each.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) name: &'static str,
    what: What,
    connections: usize,
    window: usize,
}

const fn line(name: &'static str, what: What, connections: usize, window: usize) -> Line {
    Line { name, what, connections, window }
}

pub(crate) const PRODUCE: &[Line] = &[
    line("16 KB, 1 connection", What::Produce(SMALL_BATCH, 1_000), 1, 5),
    line("16 KB, 16 connections", What::Produce(SMALL_BATCH, 1_000), 16, 5),
    line("16 KB, 256 connections", What::Produce(SMALL_BATCH, 1_000), 256, 5),
    line("1 MB, 1 connection", What::Produce(MOST_RECORDS, 1_000), 1, 5),
    line("1 MB, 16 connections", What::Produce(MOST_RECORDS, 1_000), 16, 5),
    line("1 MB, 256 connections, 1 at a time", What::Produce(MOST_RECORDS, 1_000), 256, 1),
];

pub(crate) const CODECS: &[Line] = &[
    line("none, 16 KB", What::Packed(SMALL_BATCH, Compression::None), 16, 5),
    line("gzip, 16 KB", What::Packed(SMALL_BATCH, Compression::Gzip), 16, 5),
    line("snappy, 16 KB", What::Packed(SMALL_BATCH, Compression::Snappy), 16, 5),
    line("lz4, 16 KB", What::Packed(SMALL_BATCH, Compression::Lz4), 16, 5),
    line("zstd, 16 KB", What::Packed(SMALL_BATCH, Compression::Zstd), 16, 5),
    line("none, 1 MB", What::Packed(MOST_RECORDS, Compression::None), 16, 5),
    line("gzip, 1 MB", What::Packed(MOST_RECORDS, Compression::Gzip), 16, 5),
    line("snappy, 1 MB", What::Packed(MOST_RECORDS, Compression::Snappy), 16, 5),
    line("lz4, 1 MB", What::Packed(MOST_RECORDS, Compression::Lz4), 16, 5),
    line("zstd, 1 MB", What::Packed(MOST_RECORDS, Compression::Zstd), 16, 5),
];

pub(crate) const FETCH: &[Line] = &[
    line("1 KB, 1 connection", What::Fetch(1 << 10), 1, 1),
    line("64 KB, 1 connection", What::Fetch(64 << 10), 1, 1),
    line("1 MB, 1 connection", What::Fetch(1 << 20), 1, 1),
    line("1 MB, 64 connections", What::Fetch(1 << 20), 64, 1),
];

/// The same with TLS.
pub(crate) const TLS: &[Line] = &[
    line("64 KB, 1 connection", What::Fetch(64 << 10), 1, 1),
    line("1 MB, 1 connection", What::Fetch(1 << 20), 1, 1),
    line("1 MB, 64 connections", What::Fetch(1 << 20), 64, 1),
];

pub(crate) const SMALL: &[Line] = &[
    line("Produce 100 bytes, 1 connection", What::Produce(1, 100), 1, 1),
    line("Produce 100 bytes, 16 connections", What::Produce(1, 100), 16, 1),
    line("Produce 100 bytes, 16 connections, 5 at a time", What::Produce(1, 100), 16, 5),
    line("Heartbeat, 1 connection", What::Heartbeat, 1, 1),
    line("Heartbeat, 16 connections", What::Heartbeat, 16, 1),
    line("Heartbeat, 256 connections", What::Heartbeat, 256, 1),
    line("Heartbeat, 16 connections, 5 at a time", What::Heartbeat, 16, 5),
    line("OffsetCommit, 16 connections", What::Commit, 16, 1),
    line("Metadata of 1,000 topics, 16 connections", What::Metadata, 16, 1),
];

impl Line {
    fn is_transfer(&self) -> bool {
        match self.what {
            What::Produce(records, _) => records > 1,
            What::Fetch(bytes) => bytes > 1 << 10,
            What::Packed(..) => true,
            What::Heartbeat | What::Commit | What::Metadata => false,
        }
    }

    /// The bytes that count in a request; `None` where those of the answer do. Of a packed batch they are those of its records.
    fn sent(&self, frame: usize) -> Option<u64> {
        match self.what {
            What::Produce(..) => Some(frame as u64),
            What::Packed(records, _) => Some(records as u64 * 1_000),
            _ => None,
        }
    }

    /// The same load on the loop that does the least; there is none that answers with all topics.
    pub(crate) fn at_the_limit(
        &self,
        length: &Length,
        secure: Option<&tls::Files>,
    ) -> io::Result<Vec<Numbers>> {
        let topic = "bench-limits";
        let (kind, asked) = match self.what {
            What::Produce(records, bytes) => {
                (Kind::Append(1), requests::produce(topic, 1, &requests::records(records, bytes)))
            }
            What::Packed(records, codec) => {
                (Kind::Append(1), requests::produce(topic, 1, &codecs::batch(records, 1_000, codec)?))
            }
            What::Fetch(bytes) if secure.is_some() => (Kind::Encrypt(bytes), requests::fetch(topic, 0)),
            What::Fetch(bytes) => (Kind::Send(bytes), requests::fetch(topic, 0)),
            What::Heartbeat | What::Commit => (Kind::Echo, requests::any()),
            What::Metadata => return Ok(Vec::new()),
        };
        let files = secure.map(|files| [files.certificate.as_path(), files.key.as_path()]);
        let bare = Bare::with(kind, files.as_ref().map_or(&[], |files| &files[..]))?;
        let tls = secure.map(tls::Files::client).transpose()?;
        // A bare loop's answers are zero from its size on.
        let asked = Asked { error_at: Some(8), ..asked };
        self.runs(bare.address, bare.pid(), asked, length, tls)
    }

    /// The load on a broker: at its plain listener, or at another with TLS.
    pub(crate) fn of_broker(
        &self,
        broker: &Running,
        length: &Length,
        secure: Option<(std::net::SocketAddr, &tls::Files)>,
    ) -> io::Result<Vec<Numbers>> {
        let mut wire = broker.wire()?;
        let topics: Vec<String> = match self.what {
            What::Metadata => (0..TOPICS).map(|_| requests::new_topic()).collect(),
            _ => vec![requests::new_topic()],
        };
        let topic = &topics[0];
        if self.is_transfer() && self.sent(0).is_some() {
            requests::create_brief(&mut wire, topic, requests::KEPT)?;
        } else {
            requests::create(&mut wire, &topics, 1)?;
        }
        let asked = match self.what {
            What::Produce(records, bytes) => {
                requests::fill(&mut wire, topic, 0, 1, &requests::records(1, 1))?;
                requests::produce(topic, 1, &requests::records(records, bytes))
            }
            What::Packed(records, codec) => {
                requests::fill(&mut wire, topic, 0, 1, &requests::records(1, 1))?;
                requests::produce(topic, 1, &codecs::batch(records, 1_000, codec)?)
            }
            What::Fetch(bytes) => {
                let of_one = bytes <= 1 << 10;
                let (times, batch) = if of_one {
                    (1, requests::records(1, 950))
                } else {
                    (bytes / (16 << 10) + 1, requests::records(SMALL_BATCH, 1_000))
                };
                requests::fill(&mut wire, topic, 0, times, &batch)?;
                requests::fetch(topic, i32::try_from(bytes).map_err(io::Error::other)?)
            }
            What::Heartbeat => requests::heartbeat(&mut wire)?,
            What::Commit => {
                requests::fill(&mut wire, topic, 0, 1, &requests::records(1, 1))?;
                requests::commit(&mut wire, topic)?
            }
            What::Metadata => requests::metadata(&mut wire, TOPICS)?,
        };
        let (address, tls) = match secure {
            None => (broker.address(), None),
            Some((address, files)) => (address, Some(files.client()?)),
        };
        let measured = self.runs(address, broker.pid(), asked, length, tls);
        // Of a connection that was idle all the time; and a broker that does not delete is measured all the same.
        let _ = broker.wire().and_then(|mut wire| requests::delete(&mut wire, &topics));
        measured
    }

    fn runs(
        &self,
        to: std::net::SocketAddr,
        pid: u32,
        asked: Asked,
        length: &Length,
        tls: Option<Arc<ClientConfig>>,
    ) -> io::Result<Vec<Numbers>> {
        let sent = self.sent(asked.frames[0].len());
        let most = sent.map_or(u64::MAX, |sent| if self.is_transfer() { PRODUCED / sent } else { u64::MAX });
        let Asked { frames, error_at } = asked;
        let load = Load { frames, error_at, connections: self.connections, window: self.window, tls };
        let mut open = Open::new(to, load)?;
        let _ = open.run(Until { passed: length.warms, answered: most / 2 })?;
        let mut runs = Vec::with_capacity(length.runs);
        for _ in 0..length.runs {
            let before = processor_time(pid)?;
            let outcome = open.run(Until { passed: length.lasts, answered: most })?;
            let used = processor_time(pid)?.saturating_sub(before);
            runs.push(self.numbers(outcome, used, sent));
        }
        Ok(runs)
    }

    fn numbers(&self, mut outcome: Outcome, used: Duration, sent: Option<u64>) -> Numbers {
        let bytes = sent.map_or(outcome.bytes, |sent| outcome.answers * sent) as f64;
        let (seconds, used) = (outcome.lasted.as_secs_f64(), used.as_secs_f64());
        if self.is_transfer() {
            return vec![(RATE, bytes / 1e6 / seconds), (PER_GB, used / (bytes / 1e9))];
        }
        let answers = outcome.answers as f64;
        let mut numbers = vec![(REQUESTS, answers / seconds), (EACH, used * 1e6 / answers)];
        if !outcome.took.is_empty() {
            numbers.push((P50, percentile(&mut outcome.took, 0.5)));
            numbers.push((P99, percentile(&mut outcome.took, 0.99)));
        }
        numbers
    }
}
