//! `milena container`: starts as Kafka's images start.
//!
//! Must never let what the image brings win over what somebody gave: variables over the mounted file over the image.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::arguments::ContainerArguments;
use super::{complain, environment, start};
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
    start::run_from(sources, arguments.ephemeral, (arguments.log_format, None))
}

/// What the settings of a container are read from.
pub(super) fn sources() -> Sources {
    let file = FILES.into_iter().find(|file| Path::new(file).is_file()).map(PathBuf::from);
    Sources { file, environment: environment(), overrides: Vec::new(), in_container: true }
}
