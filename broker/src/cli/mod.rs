//! The command line: what was asked for, done, and told in one exit code.
//!
//! Must never hold what a broker does: it reads arguments, prints, and calls the library.

mod arguments;
mod check;
mod cluster;
mod container;
mod healthcheck;
mod port;
mod show;
mod start;

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

use crate::settings::{SettingsError, Sources};
use crate::tools;
use arguments::{Arguments, Command, SourceArguments};

/// Wrong arguments or settings; the same code that clap uses.
const WRONG_SETTINGS: u8 = 2;

/// Runs the program with the process's arguments, its own name first.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut arguments: Vec<OsString> = arguments.into_iter().collect();
    if let Some(tool) = arguments.first().and_then(tools::named) {
        return tool.run(&arguments);
    }
    let daemon = arguments::take_daemon_flag(&mut arguments);
    let parsed = match Arguments::try_parse_from(arguments) {
        Ok(parsed) => parsed,
        Err(error) => {
            // Help and version are no errors and go to stdout; clap knows which is which.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(WRONG_SETTINGS));
        }
    };
    if daemon {
        complain(
            "-daemon is left aside: start milena in the background with your shell or a service manager",
        );
    }
    match parsed.command {
        Some(Command::Config(config)) => show::run(&config),
        Some(Command::Cluster(cluster)) => cluster::run(&cluster),
        Some(Command::CheckConfig(sources)) => check::run(&sources.sources()),
        Some(Command::Container(container)) => container::run(&container),
        Some(Command::Healthcheck(healthcheck)) => healthcheck::run(&healthcheck),
        Some(Command::Faults(faults)) => port::faults(&faults),
        Some(Command::Reset(reset)) => port::reset(&reset),
        Some(Command::Tool(tool)) => run_tool(&tool.words),
        Some(Command::Start(start)) => start::run(&start),
        None => start::run(&parsed.start),
    }
}

/// One of Kafka's commands by its name, where no link has that name.
fn run_tool(words: &[OsString]) -> ExitCode {
    if let Some(tool) = words.first().and_then(tools::named) {
        return tool.run(words);
    }
    let name = words.first().map(|name| name.to_string_lossy()).unwrap_or_default();
    complain(&format!("there is no tool {name}; there are {}", tools::names().join(", ")));
    ExitCode::from(WRONG_SETTINGS)
}

impl SourceArguments {
    fn sources(&self) -> Sources {
        Sources {
            file: self.config.clone().or_else(|| self.file.clone()),
            environment: environment(),
            overrides: self.overrides.clone(),
            in_container: false,
        }
    }
}

/// The variables of this process.
fn environment() -> Vec<(String, String)> {
    let text = |text: OsString| text.to_string_lossy().into_owned();
    std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect()
}

/// Prints all faults and says that settings were wrong.
fn refuse(error: &SettingsError) -> ExitCode {
    complain(&error.to_string());
    ExitCode::from(WRONG_SETTINGS)
}

/// One message to people, apart from the log.
fn complain(text: &str) {
    // Nothing is left to do for a program that nobody listens to.
    let _ = writeln!(io::stderr().lock(), "milena: {text}");
}
