//! The parts of the bench, each of which is measured by itself: who takes part in it, and what is said of it.
//!
//! It must never let a broker's failure pass for a number, nor Milena's for anything but the end of the run.

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};

use milena_compat_tests::server::Setup;
use milena_compat_tests::{Target, paths, port};

use crate::lines::{self, Line};
use crate::peers::{RETAINING, Running};
use crate::report::{Column, EACH, P99, PER_GB, TIME, Table, Unit};
use crate::{Length, clients, latency, scale, start, tls};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Produce,
    Codecs,
    Fetch,
    Tls,
    Clients,
    Small,
    Latency,
    Scale,
    Start,
}

/// Warm-ups of the first load of a broker.
const FIRST: u32 = 4;

const BROKERS: [Column; 4] = [Column::Milena, Column::Kafka, Column::Kfake, Column::Tansu];

impl Part {
    pub(crate) const ALL: [Self; 9] = [
        Self::Produce,
        Self::Codecs,
        Self::Fetch,
        Self::Tls,
        Self::Clients,
        Self::Small,
        Self::Latency,
        Self::Scale,
        Self::Start,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Produce => "produce",
            Self::Codecs => "codecs",
            Self::Fetch => "fetch",
            Self::Tls => "tls",
            Self::Clients => "clients",
            Self::Small => "small",
            Self::Latency => "latency",
            Self::Scale => "scale",
            Self::Start => "start",
        }
    }

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Produce => "Produce",
            Self::Codecs => "Produce by codec",
            Self::Fetch => "Fetch",
            Self::Tls => "Fetch with TLS",
            Self::Clients => "Stock clients",
            Self::Small => "Small requests",
            Self::Latency => "Latency at a fixed rate",
            Self::Scale => "Many partitions, many connections",
            Self::Start => "Start and idle",
        }
    }

    /// What is measured, for the page.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Produce => {
                "Records of 1,000 bytes in batches of 16 and of 1,000, `acks=1`, to one partition, five requests at a time on each connection unless \
                 said. The bare loop receives, takes the CRC-32C and appends to a file. The newest 256 MiB are kept, in files of 64, by all alike \
                 (brokers look ten times a second): with all kept, it is the machine that looks for memory for its page cache that is measured. \
                 Brokers sync a full file, as Kafka does; the bare loop does not."
            }
            Self::Codecs => {
                "Records of 1,000 bytes of words and numbers, compressed by the load beforehand; bytes are those of the records before \
                 that. 16 connections, five requests at a time. The bare loop appends what it gets and decompresses nothing. As much is kept as above."
            }
            Self::Fetch => {
                "The first bytes of a topic again and again, from the page cache, one request at a time on each connection. The bare loop calls \
                 sendfile."
            }
            Self::Tls => {
                "As fetch, with TLS 1.3 and a certificate made for the run. The bare loop reads a file, encrypts with rustls and sends."
            }
            Self::Clients => {
                "One producer with `acks=all`, and one consumer of what it wrote, of 300,000 records of 1,000 bytes in one partition: Kafka's own performance \
                 tools, each in a JVM of its own that starts cold, and librdkafka by the rdkafka crate. They take more of the two cores than a broker \
                 does, so MB/s tell of them. The newest 512 MiB are kept."
            }
            Self::Small => {
                "One request at a time on each connection unless said. The bare loop answers sixty bytes, and appends what is produced; there is none \
                 for metadata."
            }
            Self::Latency => {
                "A producer that sends 5,000 records a second, each in a request of its own with `acks=1`, whatever becomes of those before, and one \
                 consumer that waits for them. Times go from the moment at which a record was to be sent to its arrival; each percentile is the \
                 median of the runs'. The bare loop appends a record and passes it on."
            }
            Self::Scale => {
                "Cost of a request with partitions and connections that all have their turn, one request at a time on each connection; memory and \
                 processor of what nobody uses. The bare loop appends to as many files in turns. Kernel memory is not counted, and a JVM takes its \
                 own from a heap that it holds already."
            }
            Self::Start => {
                "A process is started and asked until it answers ApiVersions. Median of 21 starts; of 11 with partitions, which have a record each; \
                 of 3 of a JVM. Processor and memory of a broker without topics, three seconds after its start."
            }
        }
    }

    /// The unit that is drawn, and the picture's title.
    pub(crate) fn picture(self) -> (Unit, &'static str) {
        match self {
            Self::Produce | Self::Codecs => (PER_GB, "Produce: processor time of the broker, s per GB"),
            Self::Fetch => (PER_GB, "Fetch: processor time of the broker, s per GB"),
            Self::Tls => (PER_GB, "Fetch with TLS: processor time of the broker, s per GB"),
            Self::Clients => (PER_GB, "Stock clients: processor time of the broker, s per GB"),
            Self::Small | Self::Scale => (EACH, "Processor time of the broker, us per request"),
            Self::Latency => (P99, "p99, ms"),
            Self::Start => (TIME, "Time to the first answer, ms"),
        }
    }

    /// All that is known, and why Milena has no number, if it has none.
    pub(crate) fn measure(self, length: &Length) -> io::Result<(Table, Option<io::Error>)> {
        let mut table = Table::default();
        let folder = paths::scratch("bench-tls");
        let files = tls::Files::make(folder.path())?;
        self.limits(&mut table, length, &files)?;
        let mut failed = None;
        for column in BROKERS {
            let mut run = || self.broker(&mut table, column, length, &files);
            let done = guarded(&mut run);
            if let Err(error) = done {
                say(&format!("{}: {error}", column.title()));
                table.note(format!("{}: {error}.", column.title()));
                if column == Column::Milena {
                    failed = Some(error);
                }
            }
        }
        Ok((table, failed))
    }

    fn lines(self) -> &'static [Line] {
        match self {
            Self::Produce => lines::PRODUCE,
            Self::Codecs => lines::CODECS,
            Self::Fetch => lines::FETCH,
            Self::Tls => lines::TLS,
            Self::Small => lines::SMALL,
            Self::Clients | Self::Latency | Self::Scale | Self::Start => &[],
        }
    }

    fn limits(self, table: &mut Table, length: &Length, files: &tls::Files) -> io::Result<()> {
        let secure = (self == Self::Tls).then_some(files);
        for line in self.lines() {
            say(&format!("bare loop: {} {}", self.name(), line.name));
            table.runs(Column::Limit, line.name, &line.at_the_limit(length, secure)?);
        }
        match self {
            Self::Latency => {
                say("bare loop: latency");
                table.runs(Column::Limit, latency::NAME, &latency::at_the_limit(length)?);
                Ok(())
            }
            Self::Scale => scale::at_the_limit(table, length),
            _ => Ok(()),
        }
    }

    fn broker(
        self,
        table: &mut Table,
        column: Column,
        length: &Length,
        files: &tls::Files,
    ) -> io::Result<()> {
        say(&format!("{}: {}", column.title(), self.name()));
        if self == Self::Start {
            return start::of_broker(table, column, length);
        }
        let (running, secure) = match self {
            Self::Tls => secured(column, files)?,
            Self::Produce | Self::Codecs | Self::Clients => (Running::start(column, RETAINING)?, None),
            _ => (Running::start(column, &[])?, None),
        };
        match self {
            Self::Latency => table.runs(column, latency::NAME, &latency::of_broker(&running, length)?),
            Self::Scale => scale::of_broker(table, &running, length)?,
            Self::Clients => clients::of_broker(table, &running, length)?,
            _ => {}
        }
        for (index, line) in self.lines().iter().enumerate() {
            say(&format!("{}: {} {}", column.title(), self.name(), line.name));
            // The first load finds everything cold, above all a JVM.
            let longer = if index == 0 { FIRST } else { 1 };
            let length = length.of(column);
            let length = Length { warms: length.warms * longer, ..length };
            let secure = secure.map(|address| (address, files));
            let mut run = || line.of_broker(&running, &length, secure);
            match guarded(&mut run) {
                Ok(runs) => table.runs(column, line.name, &runs),
                Err(error) if column == Column::Milena => return Err(error),
                Err(error) => table.note(format!("{}, {}: {error}.", column.title(), line.name)),
            }
        }
        Ok(())
    }
}

/// The protocol's own client panics at an answer that it cannot read; here that is an error as any other.
pub(crate) fn guarded<T>(run: &mut dyn FnMut() -> io::Result<T>) -> io::Result<T> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it went wrong");
        Err(io::Error::other(text.lines().next().unwrap_or(text).to_owned()))
    })
}

/// A broker with a listener for TLS beside the one in plaintext, and where that is.
fn secured(column: Column, files: &tls::Files) -> io::Result<(Running, Option<SocketAddr>)> {
    let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let (plain, secure, controller) = (at(port::free()), at(port::free()), at(port::free()));
    let target = match column {
        Column::Milena => Target::Milena,
        Column::Kafka => Target::Kafka,
        _ => return Err(io::Error::other("it has no listener in plaintext beside one with TLS")),
    };
    let listeners = format!("PLAINTEXT://{plain},SSL://{secure}");
    let more = if target == Target::Kafka { format!(",CONTROLLER://{controller}") } else { String::new() };
    let map = "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL";
    let mut setup = Setup::of(target)
        .set("listeners", &format!("{listeners}{more}"))
        .set("ssl.keystore.type", "PEM")
        .set("ssl.keystore.location", &files.both.display().to_string());
    if target == Target::Kafka {
        setup = setup.set("controller.quorum.voters", &format!("1@{controller}"));
        setup = setup.set("listener.security.protocol.map", map);
    }
    let server = setup.at_full_speed().start();
    Ok((Running::at(column, server, plain), Some(secure)))
}

pub(crate) fn say(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}
