//! `kafka-cluster`: the id of a cluster, its endpoints, and the end of a registration (`ClusterTool` of Kafka 4.3.1).
//!
//! Must never ask brokers where controllers were named.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::{
    BrokerId, DescribeClusterRequest, DescribeClusterResponse, UnregisterBrokerRequest,
};

use super::client::{At, Client, Properties, Refused};
use super::console::Console;
use super::java;

/// The Kafka cluster tool.
#[derive(Debug, Parser)]
#[command(name = "kafka-cluster")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Get information about the ID of a cluster.
    ClusterId(Connecting),
    /// Unregister a broker.
    Unregister {
        #[command(flatten)]
        connecting: Connecting,
        /// The ID of the broker to unregister.
        #[arg(long, short)]
        id: i32,
    },
    /// List endpoints
    ListEndpoints {
        #[command(flatten)]
        connecting: Connecting,
        /// Whether to include fenced brokers when listing broker endpoints
        #[arg(long)]
        include_fenced_brokers: bool,
    },
}

#[derive(Args, Debug)]
struct Connecting {
    /// Addresses of brokers.
    #[arg(
        long,
        short,
        required_unless_present = "bootstrap_controller",
        conflicts_with = "bootstrap_controller"
    )]
    bootstrap_server: Option<String>,
    /// Addresses of controllers.
    #[arg(long, short = 'C')]
    bootstrap_controller: Option<String>,
    /// (DEPRECATED) As --command-config.
    #[arg(long)]
    config: Option<String>,
    /// Properties of the admin client.
    #[arg(long, short = 'c')]
    command_config: Option<String>,
}

pub(super) fn run(arguments: &[OsString]) -> ExitCode {
    let parsed = match Arguments::try_parse_from(arguments) {
        Ok(parsed) => parsed,
        Err(error) => {
            let _ = error.print();
            // Kafka's takes a request for help for an error, too.
            return ExitCode::FAILURE;
        }
    };
    let mut console = Console::new();
    let done = match &parsed.command {
        Command::ClusterId(connecting) => cluster_id(connecting, &mut console),
        Command::Unregister { connecting, id } => unregister(connecting, *id, &mut console),
        Command::ListEndpoints { connecting, include_fenced_brokers } => {
            endpoints(connecting, *include_fenced_brokers, &mut console)
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(refused) => {
            console.complain(refused);
            ExitCode::FAILURE
        }
    }
}

impl Connecting {
    fn client(&self, console: &mut Console) -> Result<Client, Refused> {
        if self.config.is_some() && self.command_config.is_some() {
            let message = "--config and --command-config cannot be specified together.";
            return Err(Refused::own("net.sourceforge.argparse4j.inf.ArgumentParserException", message));
        }
        if self.config.is_some() {
            console.say(
                "Option --config has been deprecated and will be removed in a future version. Use --command-config \
                 instead.",
            );
        }
        let file = self.config.as_deref().or(self.command_config.as_deref());
        let mut properties = file.map_or_else(|| Ok(Properties::default()), Properties::load)?;
        let addresses = self.bootstrap_server.as_deref().or(self.bootstrap_controller.as_deref());
        properties.set("bootstrap.servers", addresses.unwrap_or_default());
        Client::new(&properties)
    }

    fn describe(&self, client: &mut Client, fenced: bool) -> Result<DescribeClusterResponse, Refused> {
        let endpoint_type = if self.bootstrap_controller.is_some() { 2 } else { 1 };
        let answer = client.call(At::Any, "describeCluster", |version| {
            let request = DescribeClusterRequest::default();
            let request = if version >= 1 { request.with_endpoint_type(endpoint_type) } else { request };
            if version >= 2 { request.with_include_fenced_brokers(fenced) } else { request }
        })?;
        Refused::check(answer.error_code, answer.error_message.as_deref())?;
        Ok(answer)
    }
}

fn cluster_id(connecting: &Connecting, console: &mut Console) -> Result<(), Refused> {
    let mut client = connecting.client(console)?;
    let answer = connecting.describe(&mut client, false)?;
    console.say(format_args!("Cluster ID: {}", answer.cluster_id));
    Ok(())
}

fn unregister(connecting: &Connecting, id: i32, console: &mut Console) -> Result<(), Refused> {
    let mut client = connecting.client(console)?;
    let at = if connecting.bootstrap_controller.is_some() {
        let answer = connecting.describe(&mut client, false)?;
        client.learn(&answer);
        At::Controller
    } else {
        At::Any
    };
    let request = UnregisterBrokerRequest::default().with_broker_id(BrokerId(id));
    let answer = match client.call(at, "unregisterBroker", |_| request.clone()) {
        Err(refused) if refused.is(ResponseError::UnsupportedVersion) => {
            console.say("The target cluster does not support the broker unregistration API.");
            return Ok(());
        }
        other => other?,
    };
    Refused::check(answer.error_code, answer.error_message.as_deref())?;
    console.say(format_args!("Broker {id} is no longer registered."));
    Ok(())
}

fn endpoints(connecting: &Connecting, fenced: bool, console: &mut Console) -> Result<(), Refused> {
    let of_controllers = connecting.bootstrap_controller.is_some();
    let mut client = connecting.client(console)?;
    if fenced && of_controllers {
        let message = "The option --include-fenced-brokers is only supported with --bootstrap-server option";
        return Err(Refused::own("java.lang.IllegalArgumentException", message));
    }
    let answer = connecting.describe(&mut client, fenced)?;
    let nodes = java::in_map_order(answer.brokers, 16, |node| node.broker_id.0);
    let host = nodes.iter().map(|node| node.host.len()).max().unwrap_or(100);
    let racks = nodes.iter().filter_map(|node| node.rack.as_ref().map(|rack| rack.len()));
    let rack = racks.max().unwrap_or(10);
    let row = |id: &str, name: &str, port: &str, of_rack: &str, state: &str, kind: &str| {
        let state = if of_controllers { String::new() } else { format!("{state:<10} ") };
        format!("{id:<10} {name:<host$} {port:<10} {of_rack:<rack$} {state}{kind:<15}")
    };
    console.say(row("ID", "HOST", "PORT", "RACK", "STATE", "ENDPOINT_TYPE"));
    let line = |node: &DescribeClusterBroker| {
        let state = if node.is_fenced { "fenced" } else { "unfenced" };
        let kind = if of_controllers { "controller" } else { "broker" };
        let of_rack = node.rack.as_deref().unwrap_or("null");
        row(&node.broker_id.0.to_string(), &node.host, &node.port.to_string(), of_rack, state, kind)
    };
    nodes.iter().for_each(|node| console.say(line(node)));
    Ok(())
}
