//! `cub kafka-ready` and `ub kafka-ready`: waits until a cluster has enough brokers, as scripts beside Confluent's images do
//! (`confluent.docker_utils.cub`, `io.confluent.admin.utils.ClusterStatus.isKafkaReady`).
//!
//! Must never say that brokers are there whom nobody could ask: a cluster counts when one of them answers for it.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use super::client::{Client, Properties, Refused};
use super::console::Console;

/// As long as a client waits for one answer by default, in milliseconds (`request.timeout.ms`).
const REQUEST_TIMEOUT_MAX: u64 = 30_000;

/// Confluent Platform Utility.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Check if Kafka is ready.
    KafkaReady(Wanted),
}

#[derive(Debug, clap::Args)]
struct Wanted {
    /// Minimum number of brokers to wait for
    expected_brokers: usize,
    /// Time in secs to wait for the number of brokers to be available.
    timeout: u64,
    /// Bootstrap broker list
    #[arg(short)]
    bootstrap_broker_list: String,
    /// Path to config properties file
    #[arg(short)]
    config: Option<String>,
    /// Security protocol to use when multiple listeners are enabled; here a broker is asked at the address that is given.
    #[arg(short)]
    security_protocol: Option<String>,
}

pub(super) fn run(arguments: &[OsString]) -> ExitCode {
    let wanted = match Arguments::try_parse_from(arguments) {
        Ok(Arguments { action: Action::KafkaReady(wanted) }) => wanted,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(1));
        }
    };
    match wanted.wait() {
        Ok(()) => ExitCode::SUCCESS,
        Err(refused) => {
            Console::new().complain(refused);
            ExitCode::FAILURE
        }
    }
}

impl Wanted {
    fn wait(&self) -> Result<(), Refused> {
        let file = self.config.as_deref();
        let mut properties = file.map_or_else(|| Ok(Properties::default()), Properties::load)?;
        let limit = self.timeout.saturating_mul(1_000).max(1);
        properties.set("bootstrap.servers", &self.bootstrap_broker_list);
        properties.set("default.api.timeout.ms", &limit.to_string());
        properties.set("request.timeout.ms", &limit.min(REQUEST_TIMEOUT_MAX).to_string());
        let mut client = Client::new(&properties)?;
        let deadline = client.deadline();
        loop {
            let found = client.brokers()?.len();
            if found >= self.expected_brokers {
                return Ok(());
            }
            if !client.has_another(deadline) {
                let expected = self.expected_brokers;
                return Err(Refused::timeout(format!("Expected {expected} brokers but found only {found}.")));
            }
        }
    }
}
