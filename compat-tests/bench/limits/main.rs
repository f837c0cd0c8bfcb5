//! Milena next to the bare loops, which are the machine's limit, and to Apache Kafka 4.3.1, kfake and Tansu: one run, one machine, one load.
//!
//! `cargo run --release -p milena-compat-tests --bin bench-limits -- [PART...] [--short] [--write]`, with the parts `produce`, `codecs`, `fetch`,
//! `tls`, `clients`, `small`, `latency`, `scale` and `start`; all of them without one. `--write` puts what was measured into `docs/benchmarks`. The load is a
//! program of ours that costs less than a broker. It must never print a number that it did not measure in this run.

mod bare;
mod bare_tls;
mod clients;
mod codecs;
mod latency;
mod lines;
mod load;
mod open;
mod page;
mod parts;
mod peers;
mod plot;
mod report;
mod requests;
mod scale;
mod start;
mod stats;
mod tls;

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use page::Section;
use parts::{Part, guarded};
use report::Column;

/// How long things are measured, and how often.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Length {
    /// Before anything is measured; a JVM compiles what it does often, and needs more.
    pub(crate) warms: Duration,
    pub(crate) jvm_warms: Duration,
    pub(crate) lasts: Duration,
    pub(crate) runs: usize,
    /// A run at a fixed rate, whose tail needs many records.
    pub(crate) steady: Duration,
    pub(crate) steady_runs: usize,
    pub(crate) idle: Duration,
    pub(crate) starts: usize,
    pub(crate) jvm_starts: usize,
    /// Records of 1,000 bytes that a stock client moves.
    pub(crate) client_records: u64,
}

const FULL: Length = Length {
    warms: Duration::from_secs(1),
    jvm_warms: Duration::from_secs(3),
    lasts: Duration::from_secs(1),
    runs: 3,
    steady: Duration::from_secs(10),
    steady_runs: 3,
    idle: Duration::from_secs(5),
    starts: 21,
    jvm_starts: 3,
    client_records: 300_000,
};

/// To see that everything works: its numbers say little.
const SHORT: Length = Length {
    warms: Duration::from_millis(200),
    jvm_warms: Duration::from_secs(1),
    lasts: Duration::from_millis(300),
    runs: 1,
    steady: Duration::from_secs(2),
    steady_runs: 1,
    idle: Duration::from_secs(1),
    starts: 5,
    jvm_starts: 2,
    client_records: 20_000,
};

impl Length {
    /// With the warm-up of a broker.
    pub(crate) fn of(&self, column: Column) -> Self {
        let warms = if column == Column::Kafka { self.jvm_warms } else { self.warms };
        Self { warms, ..*self }
    }
}

const FILES: u64 = 200_000;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.split_first() {
        Some((first, rest)) if first == bare::COMMAND => bare::serve(rest),
        _ => measure(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

/// Ten thousand partitions and five thousand connections, in this process and in the servers that it starts: a hard limit that is lower
/// goes up where the system lets it. What still is too low is told by what fails.
fn allow_many_files() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let limit = Rlimit { current: Some(FILES), maximum: Some(FILES) };
    if setrlimit(Resource::Nofile, limit).is_err() {
        milena_compat_tests::members::allow_many_connections();
    }
}

fn measure(arguments: &[String]) -> io::Result<()> {
    allow_many_files();
    let (flags, wanted): (Vec<&str>, Vec<&str>) =
        arguments.iter().map(String::as_str).partition(|word| word.starts_with("--"));
    let known = |word: &&&str| Part::ALL.iter().any(|part| part.name() == **word);
    let unknown = wanted.iter().find(|word| !known(word));
    if let Some(word) = unknown.or(flags.iter().find(|flag| !["--short", "--write"].contains(flag))) {
        let parts = Part::ALL.map(Part::name).join("|");
        return Err(io::Error::other(format!(
            "{word}: usage: bench-limits [{parts}]... [--short] [--write]"
        )));
    }
    let length = if flags.contains(&"--short") { SHORT } else { FULL };
    let machine = page::machine()?;
    for part in Part::ALL {
        if !wanted.is_empty() && !wanted.contains(&part.name()) {
            continue;
        }
        let (table, failed) = part.measure(&length)?;
        let flags = if flags.contains(&"--short") { " --short" } else { "" };
        let command = format!("bench-limits {}{flags}", part.name());
        let section = Section {
            name: part.name(),
            title: part.title(),
            text: part.text(),
            command: &command,
            table: &table.markdown(),
        };
        let section = section.markdown(&machine);
        io::stdout().write_all(section.as_bytes())?;
        if let Some(error) = failed {
            return Err(error);
        }
        if arguments.iter().any(|word| word == "--write") {
            let (unit, title) = part.picture();
            page::write(part.name(), &section, &plot::svg(title, &table.groups(unit)))?;
        }
    }
    Ok(())
}
