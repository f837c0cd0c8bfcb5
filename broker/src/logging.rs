//! Log lines on stdout: Kafka's form, which people's parsers expect, or JSON.
//!
//! Must never be started by the library itself: several brokers may live in one process, and the log is the program's.

use std::fmt;

use tracing::{Event, Subscriber};
use tracing_subscriber::filter::{LevelFilter, ParseError, Targets};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use crate::clock::Clock;

/// What a line looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Text,
    Json,
}

/// Opens the log of this process; says what is wrong with the asked level.
///
/// The argument wins over `RUST_LOG`, and that over `KAFKA_LOG4J_ROOT_LOGLEVEL` of Kafka's image.
pub fn start(form: Form, level: Option<&str>, environment: &[(String, String)]) -> Result<(), String> {
    let of = |name: &str| environment.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let asked = level
        .or_else(|| of("RUST_LOG"))
        .or_else(|| of("KAFKA_LOG4J_ROOT_LOGLEVEL"))
        .map(str::trim)
        .filter(|asked| !asked.is_empty())
        .unwrap_or("info");
    let filter = filter(asked).map_err(|error| {
        format!("log level {asked}: {error}; choose from error, warn, info, debug, trace")
    })?;
    let builder = tracing_subscriber::fmt().with_max_level(LevelFilter::TRACE);
    let started = match form {
        Form::Text => builder.event_format(KafkaForm).finish().with(filter).try_init(),
        Form::Json => builder.json().flatten_event(true).with_timer(Utc).finish().with(filter).try_init(),
    };
    started.map_err(|error| format!("cannot open the log: {error}"))
}

/// What is let through: a level, or targets with levels, separated by commas; the longest target that fits an event counts.
// Not tracing's filter of spans and their fields: it would bring a second automaton, 0.1 MB, and no span here is worth one.
pub(crate) fn filter(asked: &str) -> Result<Targets, ParseError> {
    // The consensus library tells its whole state at `info`; who wants that names it.
    let usual = "openraft=error,openraft::raft::stream_append=off";
    let all: Vec<&str> =
        usual.split(',').chain(asked.split(',')).map(str::trim).filter(|each| !each.is_empty()).collect();
    all.join(",").parse()
}

/// One line in the log's form that passes by the level filter.
pub fn line(form: Form, message: &str) -> String {
    let now = Clock::new().now().0;
    match form {
        Form::Text => format!("[{}] INFO {message} (milena)", kafka_time(now)),
        Form::Json => serde_json::json!({
            "timestamp": iso_time(now),
            "level": "INFO",
            "message": message,
            "target": "milena",
        })
        .to_string(),
    }
}

/// `[2026-11-20 14:02:21,123] INFO message (target)`, as `log4j2.yaml` of Kafka has it; times in UTC.
struct KafkaForm;

impl<S, N> FormatEvent<S, N> for KafkaForm
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        write!(writer, "[{}] {} ", kafka_time(Clock::new().now().0), metadata.level())?;
        context.field_format().format_fields(writer.by_ref(), event)?;
        writeln!(writer, " ({})", metadata.target())
    }
}

/// RFC 3339 for JSON lines.
struct Utc;

impl FormatTime for Utc {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        writer.write_str(&iso_time(Clock::new().now().0))
    }
}

fn kafka_time(millis: i64) -> String {
    let Parts { date: (year, month, day), hour, minute, second, milli } = parts(millis);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02},{milli:03}")
}

fn iso_time(millis: i64) -> String {
    let Parts { date: (year, month, day), hour, minute, second, milli } = parts(millis);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
}

struct Parts {
    date: (i64, i64, i64),
    hour: i64,
    minute: i64,
    second: i64,
    milli: i64,
}

/// Milliseconds since 1970 as a date of the Gregorian calendar and a time of day.
fn parts(millis: i64) -> Parts {
    const DAY: i64 = 86_400_000;
    let (days, rest) = (millis.div_euclid(DAY), millis.rem_euclid(DAY));
    // Counted from 1 March of year 0, so that the leap day is the last of its year (Hinnant's `civil_from_days`).
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    Parts {
        date: (year, month, day),
        hour: rest / 3_600_000,
        minute: rest / 60_000 % 60,
        second: rest / 1000 % 60,
        milli: rest % 1000,
    }
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn levels_are_given_for_all_or_by_target() {
        let lets = |asked: &str, target: &str, level: Level| {
            filter(asked).expect("a filter").would_enable(target, &level)
        };
        assert!(lets("info", "milena::net", Level::INFO) && !lets("info", "milena::net", Level::DEBUG));
        assert!(lets("WARN", "milena", Level::WARN) && !lets("WARN", "milena", Level::INFO));
        assert!(
            !lets("trace", "openraft::core", Level::INFO) && lets("trace", "openraft::core", Level::ERROR)
        );
        assert!(!lets("trace", "openraft::raft::stream_append", Level::ERROR));
        assert!(lets("info,openraft=debug", "openraft::core", Level::DEBUG));
        let one = "warn, milena::net=trace,";
        assert!(lets(one, "milena::net::tls", Level::TRACE) && !lets(one, "milena::api", Level::INFO));
        assert!(!lets("off", "milena", Level::ERROR));
        assert!(filter("milena=loud").is_err());
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        assert_eq!(kafka_time(0), "1970-01-01 00:00:00,000");
        assert_eq!(kafka_time(951_826_153_007), "2000-02-29 12:09:13,007");
        assert_eq!(iso_time(1_795_183_341_123), "2026-11-20 14:02:21.123Z".replace(' ', "T"));
        assert_eq!(kafka_time(-1), "1969-12-31 23:59:59,999");
    }

    #[test]
    fn ready_lines_are_found_in_both_forms() {
        let text = line(Form::Text, "Kafka Server started");
        assert!(text.starts_with('[') && text.ends_with("] INFO Kafka Server started (milena)"), "{text}");
        let json: serde_json::Value = serde_json::from_str(&line(Form::Json, "a \"b\"")).expect("JSON");
        assert_eq!(json["message"], "a \"b\"");
    }
}
