//! What was measured, as one Markdown table; written below `docs/benchmarks` when that is asked for.
//!
//! It must never show a ratio of two runs.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::time::Duration;
use std::{env, fs};

use milena_compat_tests::Target;

use crate::plot::{self, Bars};

/// Where the page is, from the workspace on.
const PAGE: &str = "docs/benchmarks";

/// One load on one server.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) answers: u64,
    pub(crate) bytes: u64,
    pub(crate) lasted: Duration,
    pub(crate) took: Vec<f64>,
    pub(crate) processor: Duration,
}

/// One line of the table.
#[derive(Debug)]
struct Row {
    what: String,
    larger_is_better: bool,
    limit: f64,
    milena: f64,
    kafka: f64,
}

/// All that is known so far.
#[derive(Debug)]
pub(crate) struct Report {
    arguments: Vec<String>,
    rows: Vec<Row>,
}

impl Report {
    pub(crate) fn new(arguments: &[String]) -> Self {
        Self { arguments: arguments.to_vec(), rows: Vec::new() }
    }

    /// Notes what the bare loop needs.
    pub(crate) fn limit(&mut self, name: &str, is_transfer: bool, mut measured: Measured) {
        for (unit, larger_is_better, value) in numbers(is_transfer, &mut measured) {
            let what = format!("{name}: {unit}");
            let (milena, kafka) = (f64::NAN, f64::NAN);
            self.rows.push(Row { what, larger_is_better, limit: value, milena, kafka });
        }
    }

    /// Notes what a broker needs for the same.
    pub(crate) fn broker(&mut self, target: Target, name: &str, mut measured: Measured) {
        let is_transfer = self.rows.iter().any(|row| row.what == format!("{name}: {}", UNITS.transfer));
        for (unit, _, value) in numbers(is_transfer, &mut measured) {
            let what = format!("{name}: {unit}");
            let row = self.rows.iter_mut().find(|row| row.what == what).expect("the limit has it too");
            match target {
                Target::Milena => row.milena = value,
                Target::Kafka => row.kafka = value,
            }
        }
    }

    /// To stdout, and into the page.
    pub(crate) fn print(&self) -> io::Result<()> {
        let text = self.text()?;
        io::stdout().write_all(text.as_bytes())?;
        if self.arguments.iter().any(|word| word == "--write") {
            fs::create_dir_all(PAGE)?;
            fs::write(format!("{PAGE}/{}.md", self.name()), text)?;
            fs::write(format!("{PAGE}/{}.svg", self.name()), self.picture())?;
        }
        Ok(())
    }

    /// A part has a page of its own.
    fn name(&self) -> String {
        let parts = self.arguments.iter().filter(|word| *word != "--write");
        parts.fold("limits".to_owned(), |name, part| format!("{name}-{part}"))
    }

    fn picture(&self) -> String {
        let costs = self.rows.iter().filter(|row| row.what.contains(": processor"));
        let bars: Vec<Bars<'_>> = costs
            .map(|row| Bars {
                what: row.what.split(':').next().unwrap_or_default(),
                milena: row.milena / row.limit,
                kafka: row.kafka / row.limit,
            })
            .collect();
        plot::svg(&bars)
    }

    fn text(&self) -> io::Result<String> {
        let mut text = String::from("# Next to the machine's limit, and to Kafka\n\n");
        let command = ["bench-limits".to_owned()].into_iter().chain(self.arguments.iter().cloned());
        let command = command.collect::<Vec<_>>().join(" ");
        let mut say = |line: String| writeln!(text, "{line}").map_err(io::Error::other);
        say(format!("![Processor time in multiples of the limit]({}.svg)\n", self.name()))?;
        say(format!("`{command}`: {}\n", machine()?))?;
        say("| | Limit | Milena | of the limit | Kafka 4.3.1 | better than Kafka by |".into())?;
        say("|---|---:|---:|---:|---:|---:|".into())?;
        for row in &self.rows {
            let better = |a: f64, b: f64| if row.larger_is_better { a / b } else { b / a };
            let (limit, milena, kafka) = (digits(row.limit), digits(row.milena), digits(row.kafka));
            let (of, by) = (better(row.milena, row.limit), better(row.milena, row.kafka));
            say(format!("| {} | {limit} | {milena} | {of:.2} | {kafka} | {by:.1}x |", row.what))?;
        }
        Ok(text)
    }
}

struct Units {
    rate: &'static str,
    transfer: &'static str,
    each: &'static str,
    middle: &'static str,
    tail: &'static str,
}

const UNITS: Units = Units {
    rate: "requests/s",
    transfer: "processor (s per GB)",
    each: "processor (us each)",
    middle: "p50 (ms)",
    tail: "p99 (ms)",
};

fn numbers(is_transfer: bool, measured: &mut Measured) -> Vec<(&'static str, bool, f64)> {
    let (seconds, used) = (measured.lasted.as_secs_f64(), measured.processor.as_secs_f64());
    let mut numbers = Vec::new();
    if is_transfer {
        numbers.push(("MB/s", true, measured.bytes as f64 / 1e6 / seconds));
        numbers.push((UNITS.transfer, false, used / (measured.bytes as f64 / 1e9)));
    } else {
        numbers.push((UNITS.rate, true, measured.answers as f64 / seconds));
        numbers.push((UNITS.each, false, used * 1e6 / measured.answers as f64));
    }
    if !measured.took.is_empty() && !is_transfer {
        numbers.push((UNITS.middle, false, percentile(&mut measured.took, 0.5)));
        numbers.push((UNITS.tail, false, percentile(&mut measured.took, 0.99)));
    }
    numbers
}

fn percentile(values: &mut [f64], part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    values[((last as f64) * part).round() as usize]
}

fn digits(value: f64) -> String {
    if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.3}") }
}

/// What was measured on.
fn machine() -> io::Result<String> {
    let cores = std::thread::available_parallelism()?;
    let model = fs::read_to_string("/proc/cpuinfo")?;
    let model =
        model.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split(": ").nth(1));
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let memory = fs::read_to_string("/proc/meminfo")?;
    let kib: u64 = memory.split_whitespace().nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
    Ok(format!(
        "{cores} cores ({}), {} GiB, Linux {}, {}; Milena {}. All servers run with their defaults, one after the other; the load shares the \
         cores with them.",
        model.unwrap_or("unknown"),
        kib >> 20,
        kernel.trim(),
        env::consts::ARCH,
        env!("CARGO_PKG_VERSION"),
    ))
}

/// What a process has used so far, of user and system time.
pub(crate) fn processor_time(pid: u32) -> io::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    // User and system time are the 14th and 15th field, and the first behind the name is the third.
    let ticks: u64 = fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Ok(Duration::from_micros(ticks * 1_000_000 / rustix::param::clock_ticks_per_second()))
}
