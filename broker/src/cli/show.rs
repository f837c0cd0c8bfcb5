//! `milena config`: the settings that hold, and where each came from.
//!
//! Must never show a secret.

use std::io::{self, Write};
use std::process::ExitCode;

use serde::Serialize;

use super::arguments::ConfigArguments;
use super::{complain, refuse};
use crate::settings::row::Effect;
use crate::settings::{NoteLevel, Settings, Source, rows, shown};

/// One line of the answer.
#[derive(Debug, Serialize)]
struct Setting {
    name: String,
    /// `null` where nothing is set and there is no default.
    value: Option<String>,
    source: String,
    default: Option<String>,
    /// Whether Milena acts on it; `null` for names that it does not know.
    effect: Option<bool>,
}

pub(super) fn run(arguments: &ConfigArguments) -> ExitCode {
    let loaded = match arguments.sources.sources().load() {
        Ok(loaded) => loaded,
        Err(error) => return refuse(&error),
    };
    for note in loaded.notes.iter().filter(|note| note.level == NoteLevel::Warning) {
        complain(&note.text);
    }
    let settings = collect(&loaded.settings, arguments.all);
    let mut out = io::stdout().lock();
    let printed = if arguments.json {
        serde_json::to_writer_pretty(&mut out, &settings)
            .map_err(io::Error::from)
            .and_then(|()| writeln!(out))
    } else {
        settings.iter().try_for_each(|setting| {
            let value = setting.value.as_deref().unwrap_or("null");
            writeln!(out, "{}={value}  # {}", setting.name, setting.source)
        })
    };
    // A closed pipe (`| head`) is the reader's wish.
    match printed {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            complain(&format!("cannot print the settings: {error}"));
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}

/// By name: what was set and what Milena sets otherwise than Kafka, or everything.
fn collect(settings: &Settings, all: bool) -> Vec<Setting> {
    let of_rows = rows::broker_rows()
        .filter(|row| settings.is_set(row.name) || row.own_default.is_some() || (all && !row.hidden))
        .map(|row| row.name);
    let unknown = settings.given().keys().map(String::as_str).filter(|name| rows::broker_row(name).is_none());
    let mut names: Vec<&str> = of_rows.chain(unknown).collect();
    names.sort_unstable();
    names.into_iter().map(|name| describe(settings, name)).collect()
}

fn describe(settings: &Settings, name: &str) -> Setting {
    let row = rows::broker_row(name);
    let found = settings.find(name);
    Setting {
        name: name.to_owned(),
        value: found.map(|found| shown(name, found.text)),
        source: found.map_or(&Source::Default, |found| found.source).to_string(),
        default: row.and_then(|row| settings.row_default(row)).map(str::to_owned),
        effect: row.map(|row| row.effect == Effect::Works),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(pairs: &[(&str, &str)], all: bool) -> Vec<String> {
        let settings = Settings::from_pairs(pairs).expect("texts of the right type");
        let lines = collect(&settings, all).into_iter();
        lines.map(|s| format!("{}={} {}", s.name, s.value.unwrap_or_default(), s.source)).collect()
    }

    #[test]
    fn what_was_set_is_shown_with_its_source_and_secrets_are_not() {
        let lines =
            lines(&[("num.partitions", "3"), ("ssl.key.password", "hunter2"), ("my.own", "x")], false);
        for expected in [
            "num.partitions=3 command line",
            "ssl.key.password=[hidden] command line",
            "my.own=x command line",
            "log.dir=./milena-data default",
        ] {
            assert!(lines.iter().any(|line| line == expected), "{expected} is not in {lines:?}");
        }
        assert!(lines.is_sorted());
    }

    #[test]
    fn all_shows_every_public_setting() {
        assert!(lines(&[], true).len() >= 340);
        assert!(lines(&[], false).len() < 20);
    }
}
