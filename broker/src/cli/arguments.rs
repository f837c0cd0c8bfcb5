//! The arguments, by command.
//!
//! Must never give an argument a meaning; its doc comment is its help text.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Where the HTTP port is by custom.
const HTTP_PORT: &str = "127.0.0.1:9644";

/// Milena, a Kafka broker.
///
/// Without a command it starts one broker that is a whole cluster, with its data in ./milena-data.
#[derive(Debug, Parser)]
#[command(name = "milena", version, args_conflicts_with_subcommands = true)]
pub(super) struct Arguments {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub start: StartArguments,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Start the broker (this is also what no command does)
    Start(StartArguments),
    /// Start several brokers on this machine as one cluster, and stop them together
    Cluster(ClusterArguments),
    /// Print the settings that hold, and where each came from
    Config(ConfigArguments),
    /// Say whether the settings would do, and what is wrong with them
    CheckConfig(SourceArguments),
    /// Start as Kafka's images do: settings from the environment and /mnt/shared/config, data in /var/lib/kafka/data
    Container(ContainerArguments),
    /// Ask a broker whether it serves: exit code 0 if so
    Healthcheck(HealthcheckArguments),
    /// Set, show and take away faults of a running broker, through its HTTP port
    Faults(FaultsArguments),
    /// Empty a running cluster of topics, groups and transactions, through the HTTP port of a broker
    Reset(ResetArguments),
    /// Run one of Kafka's commands with its own options: milena tool kafka-topics --list ...
    Tool(ToolArguments),
}

#[derive(Args, Debug)]
pub(super) struct ToolArguments {
    /// The command's name, and its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true, value_name = "NAME")]
    pub words: Vec<OsString>,
}

#[derive(Args, Debug)]
pub(super) struct DevSecurityArguments {
    /// For tests: also listen with TLS and SASL, with a generated CA and the users admin and alice
    #[arg(long)]
    pub dev_security: bool,
    /// Where its keys, certificates and files for clients are kept [default: with the data]
    #[arg(long, value_name = "DIR")]
    pub dev_security_dir: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(super) struct StartArguments {
    #[command(flatten)]
    pub sources: SourceArguments,
    #[command(flatten)]
    pub dev: DevSecurityArguments,
    /// Keep the data in memory, gone at the end (in $TMPDIR if it is set, or if /dev/shm has less than 1 GiB free)
    #[arg(long)]
    pub ephemeral: bool,
    /// The process that started this one, which is not to outlive it
    #[arg(long, value_name = "PID", hide = true)]
    pub with_parent: Option<i32>,
    /// How log lines look
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// What is logged: a level, or targets with levels as in RUST_LOG [default: info]
    #[arg(long, value_name = "LEVEL")]
    pub log_level: Option<String>,
}

#[derive(Args, Debug)]
pub(super) struct ClusterArguments {
    /// How many brokers; with three or more, three of them vote on what the cluster is
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub brokers: u8,
    /// The node id of the first broker; the others follow
    #[arg(long, value_name = "ID", default_value_t = 1, value_parser = clap::value_parser!(i32).range(0..=1_000_000))]
    pub first_id: i32,
    /// The port of the first broker on 127.0.0.1; the others follow, then the voters' ports. With --ephemeral, 0 chooses free ones
    #[arg(long, value_name = "PORT", default_value_t = 9092)]
    pub port: u16,
    /// Where each broker's settings file and data are kept
    #[arg(long, value_name = "DIR", default_value = "./milena-cluster", conflicts_with = "ephemeral")]
    pub directory: PathBuf,
    /// Keep everything in memory, gone at the end (in $TMPDIR if it is set, or if /dev/shm has less than 1 GiB free)
    #[arg(long)]
    pub ephemeral: bool,
    /// An HTTP port on which brokers are stopped, killed and started (docs/HTTP.md); without a host on 127.0.0.1
    #[arg(long, value_name = "HOST:PORT")]
    pub http: Option<String>,
    /// A setting of every broker; may be repeated
    #[arg(long = "override", value_name = "NAME=VALUE")]
    pub overrides: Vec<String>,
}

#[derive(Args, Debug)]
pub(super) struct ContainerArguments {
    /// Variables over those of the environment
    #[arg(value_name = "VARIABLE=VALUE")]
    pub variables: Vec<String>,
    #[command(flatten)]
    pub dev: DevSecurityArguments,
    /// Write the settings that hold to a properties file, for Kafka's tools, and start nothing
    #[arg(long, value_name = "FILE")]
    pub write_properties: Option<PathBuf>,
    /// Keep the data in memory, gone at the end (in $TMPDIR if it is set, or if /dev/shm has less than 1 GiB free)
    #[arg(long)]
    pub ephemeral: bool,
    /// How log lines look
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

#[derive(Args, Debug)]
pub(super) struct HealthcheckArguments {
    /// The broker; by default the first listener that the settings of a container name
    #[arg(long, value_name = "HOST:PORT")]
    pub bootstrap_server: Option<String>,
    /// How long it may take
    #[arg(long, value_name = "MS", default_value_t = 3000)]
    pub timeout_ms: u64,
}

#[derive(Args, Debug)]
pub(super) struct FaultsArguments {
    /// The broker's HTTP port (milena.http.listener)
    #[arg(long, value_name = "HOST:PORT", default_value = HTTP_PORT, global = true)]
    pub http: String,
    #[command(subcommand)]
    pub command: FaultsCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum FaultsCommand {
    /// The rules that stand, with what each has seen and struck
    List,
    /// Add a rule, as JSON: '{"api": ["Produce"], "times": 1, "action": {"kind": "error", "error": "NOT_LEADER_OR_FOLLOWER"}}'
    Add { rule: String },
    /// One rule
    Show { id: u64 },
    /// Take one rule away
    Remove { id: u64 },
    /// Take all rules away
    Clear,
}

#[derive(Args, Debug)]
pub(super) struct ResetArguments {
    /// The broker's HTTP port (milena.http.listener)
    #[arg(long, value_name = "HOST:PORT", default_value = HTTP_PORT)]
    pub http: String,
    /// Make the topics of the settings again
    #[arg(long)]
    pub start_topics: bool,
}

#[derive(Args, Debug)]
pub(super) struct ConfigArguments {
    #[command(flatten)]
    pub sources: SourceArguments,
    /// Also print the settings that nobody set
    #[arg(long)]
    pub all: bool,
    /// Print a JSON array
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub(super) struct SourceArguments {
    /// A settings file, as kafka-server-start takes it
    #[arg(value_name = "FILE", conflicts_with = "config")]
    pub file: Option<PathBuf>,
    /// A settings file: TOML if its name ends in .toml, else Java properties
    #[arg(long, short, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// A setting that wins over the file and the environment; may be repeated
    #[arg(long = "override", value_name = "NAME=VALUE")]
    pub overrides: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum LogFormat {
    Text,
    Json,
}

/// `kafka-server-start.sh` takes `-daemon` in front; a parser of short flags would read it as six of them.
pub(super) fn take_daemon_flag(arguments: &mut Vec<OsString>) -> bool {
    let before = arguments.len();
    arguments.retain(|argument| argument != "-daemon");
    arguments.len() != before
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Arguments {
        Arguments::try_parse_from(line.split_whitespace()).unwrap_or_else(|error| panic!("{line}: {error}"))
    }

    #[test]
    fn the_definitions_are_sound() {
        <Arguments as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn the_forms_of_kafka_server_start_are_understood() {
        let parsed = parse("milena server.properties --override a=b --override c=d,e");
        assert_eq!(parsed.start.sources.file, Some(PathBuf::from("server.properties")));
        assert_eq!(parsed.start.sources.overrides, ["a=b", "c=d,e"]);
        let mut arguments = vec![OsString::from("milena"), "-daemon".into(), "x.properties".into()];
        assert!(take_daemon_flag(&mut arguments));
        assert!(Arguments::try_parse_from(arguments).is_ok());
    }

    #[test]
    fn start_is_what_no_command_does() {
        let Some(Command::Start(start)) = parse("milena start --config a.toml --ephemeral").command else {
            panic!("a start command")
        };
        assert!(start.ephemeral);
        assert!(parse("milena --config a.toml --ephemeral").start.ephemeral);
        assert!(parse("milena").command.is_none());
    }

    #[test]
    fn a_cluster_has_three_brokers_unless_told_otherwise() {
        let cluster = |line: &str| match parse(line).command {
            Some(Command::Cluster(cluster)) => cluster,
            other => panic!("{other:?}"),
        };
        let usual = cluster("milena cluster");
        assert_eq!((usual.brokers, usual.first_id, usual.port, usual.ephemeral), (3, 1, 9092, false));
        let five = cluster("milena cluster --brokers 5 --first-id 101 --port 0 --ephemeral --override a=b");
        assert_eq!((five.brokers, five.first_id, five.port, five.ephemeral), (5, 101, 0, true));
        assert!(Arguments::try_parse_from(["milena", "cluster", "--brokers", "0"]).is_err());
    }

    #[test]
    fn config_has_its_own_switches() {
        let Some(Command::Config(config)) = parse("milena config --all --json x.toml").command else {
            panic!("a config command")
        };
        assert!(config.all && config.json);
        assert!(Arguments::try_parse_from(["milena", "--json"]).is_err());
        assert!(Arguments::try_parse_from(["milena", "a.toml", "--config", "b.toml"]).is_err());
    }
}
