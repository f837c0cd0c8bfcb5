//! Kafka's command-line tools by their own names: the binary, linked as `kafka-storage`, behaves as that tool.
//!
//! Must never do a broker's work: a tool reads files, or asks a broker as any client would.

mod add_scram;
mod api_versions;
mod client;
mod cluster;
mod configs;
mod console;
mod consumer;
mod features;
mod get_offsets;
mod groups;
mod java;
mod log_dirs;
mod options;
mod producer;
mod ready;
mod storage;
mod time;
mod topics;
mod zookeeper_stub;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use console::Console;
use options::{Exit, Options, Spec, Unread};

/// The version whose tools these are.
const KAFKA_VERSION: &str = "4.3.1";

/// One of Kafka's commands.
pub(crate) struct Tool {
    name: &'static str,
    does: Does,
}

enum Does {
    /// What it likes with its arguments, its name first.
    Anything(fn(&[OsString]) -> ExitCode),
    /// What its options say.
    Asks(&'static [Spec], fn(&Options, &mut Console) -> Result<(), Exit>, Wrong),
}

/// How a tool tells of options that it cannot read.
#[derive(Clone, Copy)]
enum Wrong {
    /// With the usage.
    Usage,
    /// As it is, behind this.
    Bare(&'static str),
    /// With the exception, as Java shows one.
    Thrown,
    /// As Java shows what nobody caught.
    Uncaught,
}

/// Each also with `.sh` at its end, as Kafka's own package has them. `config/image/tools` has them, too.
const TOOLS: &[Tool] = &[
    Tool { name: "cub", does: Does::Anything(ready::run) },
    Tool {
        name: "kafka-broker-api-versions",
        does: Does::Asks(api_versions::OPTIONS, api_versions::run, Wrong::Thrown),
    },
    Tool { name: "kafka-cluster", does: Does::Anything(cluster::run) },
    Tool { name: "kafka-configs", does: Does::Asks(configs::OPTIONS, configs::run, Wrong::Bare("")) },
    Tool { name: "kafka-console-consumer", does: Does::Asks(consumer::OPTIONS, consumer::run, Wrong::Usage) },
    Tool { name: "kafka-console-producer", does: Does::Asks(producer::OPTIONS, producer::run, Wrong::Usage) },
    Tool { name: "kafka-consumer-groups", does: Does::Asks(groups::OPTIONS, groups::run, Wrong::Uncaught) },
    Tool {
        name: "kafka-get-offsets",
        does: Does::Asks(get_offsets::OPTIONS, get_offsets::run, Wrong::Bare("Error occurred: ")),
    },
    Tool { name: "kafka-log-dirs", does: Does::Asks(log_dirs::OPTIONS, log_dirs::run, Wrong::Thrown) },
    Tool { name: "kafka-storage", does: Does::Anything(storage::run) },
    Tool { name: "kafka-topics", does: Does::Asks(topics::OPTIONS, topics::run, Wrong::Thrown) },
    Tool { name: "ub", does: Does::Anything(ready::run) },
    Tool { name: "zookeeper-server-start", does: Does::Anything(zookeeper_stub::run) },
];

/// The tool that this name of the program asks for.
pub(crate) fn named(program: &OsString) -> Option<&'static Tool> {
    let name = Path::new(program).file_name()?.to_str()?;
    let name = name.strip_suffix(".sh").unwrap_or(name);
    TOOLS.iter().find(|tool| tool.name == name)
}

/// The names of all tools.
pub(crate) fn names() -> Vec<&'static str> {
    TOOLS.iter().map(|tool| tool.name).collect()
}

impl Tool {
    /// Runs it with its arguments, its name first.
    pub(crate) fn run(&self, arguments: &[OsString]) -> ExitCode {
        match self.does {
            Does::Anything(run) => run(arguments),
            Does::Asks(specs, run, wrong) => ask(specs, run, wrong, arguments),
        }
    }
}

fn ask(
    specs: &'static [Spec],
    run: fn(&Options, &mut Console) -> Result<(), Exit>,
    wrong: Wrong,
    arguments: &[OsString],
) -> ExitCode {
    let arguments: Vec<String> =
        arguments.iter().skip(1).map(|argument| argument.to_string_lossy().into_owned()).collect();
    let mut console = Console::new();
    let done = match Options::parse(specs, &arguments) {
        Ok(options) => run(&options, &mut console),
        Err(Unread { class, message }) => Err(match wrong {
            Wrong::Usage => Exit::Usage(message),
            Wrong::Bare(before) => Exit::Failed(format!("{before}{message}")),
            Wrong::Thrown => Exit::Failed(format!("{message}\n{class}: {message}\n")),
            Wrong::Uncaught => Exit::Failed(format!("Exception in thread \"main\" {class}: {message}")),
        }),
    };
    match done {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Exit::Version) => {
            console.say(KAFKA_VERSION);
            return ExitCode::SUCCESS;
        }
        Err(Exit::Usage(message)) => {
            console.complain(message);
            console.complain(Options::usage(specs));
        }
        Err(Exit::Failed(message)) => console.complain(message),
        Err(Exit::Silent) => {}
    }
    ExitCode::FAILURE
}

/// `ToolsUtils.validateBootstrapServer`.
fn check_bootstrap(options: &Options) -> Result<(), Exit> {
    let text = options.value("bootstrap-server").map_err(Exit::Failed)?.unwrap_or_default();
    if text.trim().is_empty() {
        return Err(Exit::Usage("Error while validating the bootstrap address\n".to_owned()));
    }
    let has_port = |part: &str| part.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    if text.trim_end_matches(',').split(',').all(has_port) {
        return Ok(());
    }
    Err(Exit::Usage("Please provide valid host:port like host1:9091,host2:9092\n".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_is_found_by_the_programs_name() {
        let name = |program: &str| named(&OsString::from(program)).map(|tool| tool.name);
        assert_eq!(name("/opt/kafka/bin/kafka-storage.sh"), Some("kafka-storage"));
        assert_eq!(name("kafka-storage"), Some("kafka-storage"));
        assert_eq!(name("/usr/bin/milena"), None);
        assert_eq!(name("kafka-server-start.sh"), None, "that is what the program does anyway");
    }

    #[test]
    fn the_image_has_every_tool() {
        let listed = include_str!("../../../config/image/tools");
        let listed =
            listed.lines().find_map(|line| line.strip_prefix("printf '%s\\n' ")).expect("one line of names");
        let mut listed: Vec<&str> = listed.split(' ').filter(|name| *name != "kafka-server-start").collect();
        listed.sort_unstable();
        let own = names();
        assert_eq!(listed, own, "config/image/tools and TOOLS, in order");
    }
}
