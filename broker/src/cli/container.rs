//! `milena container`: starts as Kafka's images start.
//!
//! Must never let what the image brings win over what somebody gave: variables over the mounted file over the image.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::arguments::ContainerArguments;
use super::{complain, environment, refuse, start};
use crate::settings::Sources;

/// Where a settings file is mounted, first found first: `DockerEnvironment` of Kafka's image, then Bitnami's.
const FILES: [&str; 3] = [
    "/mnt/shared/config/server.properties",
    "/mnt/shared/config/milena.toml",
    "/bitnami/kafka/config/server.properties",
];

pub(super) fn run(arguments: &ContainerArguments) -> ExitCode {
    let mut sources = sources();
    for variable in &arguments.variables {
        let Some((name, value)) = variable.split_once('=') else {
            complain(&format!("{variable} is not VARIABLE=VALUE"));
            return ExitCode::from(super::WRONG_SETTINGS);
        };
        sources.environment.retain(|(known, _)| known != name);
        sources.environment.push((name.to_owned(), value.to_owned()));
    }
    sources.overrides.extend(start::dev_security(&arguments.dev));
    if let Some(file) = &arguments.write_properties {
        return write_properties(&sources, file);
    }
    start::run_from(sources, arguments.ephemeral, (arguments.log_format, None))
}

/// What was given and what the container adds, as a file that `kafka-storage` and others read.
fn write_properties(sources: &Sources, file: &Path) -> ExitCode {
    let loaded = match sources.load() {
        Ok(loaded) => loaded,
        Err(error) => return refuse(&error),
    };
    let given = loaded.settings.given().iter();
    let lines: String = given.map(|(name, given)| format!("{name}={}\n", escaped(&given.text))).collect();
    match fs::write(file, lines) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("{}: {error}", file.display()));
            ExitCode::FAILURE
        }
    }
}

/// A value as `java.util.Properties` reads it back.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\r")
}

/// What the settings of a container are read from.
pub(super) fn sources() -> Sources {
    let file = FILES.into_iter().find(|file| Path::new(file).is_file()).map(PathBuf::from);
    Sources { file, environment: environment(), overrides: Vec::new(), in_container: true }
}
