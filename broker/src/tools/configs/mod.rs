//! `kafka-configs`: configs of topics, brokers, groups and client metrics, quotas, and credentials of users
//! (`ConfigCommand` of Kafka 4.3.1).
//!
//! Must never alter an entity that the options do not name.

mod alter;
mod describe;
mod quotas;
mod scram;

use std::net::ToSocketAddrs;

use super::client::{At, Client, Properties, Refused};
use super::console::Console;
use super::java;
use super::options::{Exit, Options, Spec};

pub(super) const OPTIONS: &[Spec] = &[
    Spec::value("bootstrap-server", "server to connect to", "The Kafka servers to connect to."),
    Spec::value("bootstrap-controller", "controller to connect to", "The Kafka controllers to connect to."),
    Spec::value("command-config", "command config property file", "Properties of the admin client."),
    Spec::flag("alter", "Alter the configuration of the entity."),
    Spec::flag("describe", "List configs of the entity."),
    Spec::flag("all", "List all configs of the entity, also those that nobody set."),
    Spec::value(
        "entity-type",
        "String",
        "topics, clients, users, brokers, broker-loggers, ips, client-metrics or groups.",
    ),
    Spec::value("entity-name", "String", "The name of the entity."),
    Spec::flag("entity-default", "The default of clients, users, brokers or ips."),
    Spec::value("add-config", "String", "Configs to set: 'k1=v1,k2=[v1,v2,v2],k3=v3'."),
    Spec::value("add-config-file", "String", "A properties file with configs to set."),
    Spec::value("delete-config", "String", "Configs to remove: 'k1,k2'."),
    Spec::value("topic", "String", "The topic's name."),
    Spec::value("client", "String", "The client's ID."),
    Spec::flag("client-defaults", "The defaults of all clients."),
    Spec::value("user", "String", "The user's principal name."),
    Spec::flag("user-defaults", "The defaults of all users."),
    Spec::value("broker", "String", "The broker's ID."),
    Spec::flag("broker-defaults", "The defaults of all brokers."),
    Spec::value("broker-logger", "String", "The broker's ID, for its loggers."),
    Spec::flag("ip-defaults", "The defaults of all IPs."),
    Spec::value("ip", "String", "The IP address."),
    Spec::value("group", "String", "The group's ID."),
    Spec::value("client-metrics", "String", "The name of the client metrics."),
];

const ILLEGAL: &str = "java.lang.IllegalArgumentException";
const INVALID: &str = "org.apache.kafka.common.errors.InvalidConfigurationException";
const UNSUPPORTED: &str = "org.apache.kafka.common.errors.UnsupportedVersionException";
/// A kind of the former, in Java.
const INVALID_TOPIC: &str = "org.apache.kafka.common.errors.InvalidTopicException";
const OPTION: &str = "joptsimple.OptionException";
const KAFKA_EXCEPTION: &str = "org.apache.kafka.common.KafkaException";

/// Entity types as the options name them, and the flags that stand for one with a name.
const FLAGS: [(&str, &str); 8] = [
    ("topic", "topics"),
    ("client", "clients"),
    ("user", "users"),
    ("broker", "brokers"),
    ("broker-logger", "broker-loggers"),
    ("ip", "ips"),
    ("client-metrics", "client-metrics"),
    ("group", "groups"),
];
const DEFAULT_FLAGS: [(&str, &str); 4] = [
    ("client-defaults", "clients"),
    ("user-defaults", "users"),
    ("broker-defaults", "brokers"),
    ("ip-defaults", "ips"),
];
const TYPES: [&str; 8] =
    ["topics", "clients", "users", "brokers", "ips", "client-metrics", "groups", "broker-loggers"];

/// Which entities are meant.
struct Entities<'a> {
    types: Vec<&'a str>,
    /// An empty one is the default.
    names: Vec<&'a str>,
}

pub(super) fn run(options: &Options, console: &mut Console) -> Result<(), Exit> {
    options.help_or_version(
        "This tool helps to manipulate and describe entity config for a topic, client, user, broker, ip, client-metrics \
         or group",
    )?;
    if options.has("alter") == options.has("describe") {
        return Err(Exit::Usage("Command must include exactly one action: --describe, --alter".to_owned()));
    }
    options.refuse_with("describe", &["alter", "add-config", "delete-config"])?;
    let entities = entities(options).map_err(Exit::Failed)?;
    check(options, &entities).map_err(Exit::Failed)?;
    let failed = |refused: Refused| Exit::Failed(told(options, &refused));
    let mut client = connect(options)?;
    if options.has("alter") {
        if entities.types.len() != entities.names.len() {
            return Err(Exit::Failed("An entity name must be specified for every entity type".to_owned()));
        }
        alter::run(options, &entities, &mut client, console).map_err(failed)
    } else {
        describe::run(options, &entities, &mut client, console).map_err(failed)
    }
}

/// A client of the brokers, or of the controllers.
fn connect(options: &Options) -> Result<Client, Exit> {
    let failed = |trace: String| {
        Exit::Failed(format!("Error while executing config command with args '{}'\n{trace}", options.line))
    };
    let file = options.value("command-config").map_err(Exit::Failed)?;
    let loaded = file.map_or_else(|| Ok(Properties::default()), Properties::load);
    let mut properties = loaded.map_err(|refused| failed(refused.to_string()))?;
    let servers = options.value("bootstrap-server").map_err(Exit::Failed)?;
    let controllers = options.value("bootstrap-controller").map_err(Exit::Failed)?;
    properties.connect_to(servers, controllers);
    Client::new(&properties).map_err(|refused| {
        // What a property cannot be is told by the properties, all else by the client that is made of them.
        if refused.message.starts_with("Invalid value") {
            failed(refused.to_string())
        } else {
            failed(format!("{KAFKA_EXCEPTION}: Failed to create new KafkaAdminClient\nCaused by: {refused}"))
        }
    })
}

/// `ConfigCommand.main`: what the tool itself refuses is told as it is, all else with Java's trace.
fn told(options: &Options, refused: &Refused) -> String {
    let class = refused.class();
    let is_own = refused.error.is_none();
    if is_own && [ILLEGAL, INVALID, INVALID_TOPIC, UNSUPPORTED, OPTION].contains(&class.as_str()) {
        return refused.message.clone();
    }
    let trace = if is_own && class.starts_with("java.") {
        refused.to_string()
    } else {
        let first = format!("{class}: {}", refused.message);
        format!("java.util.concurrent.ExecutionException: {first}\nCaused by: {refused}")
    };
    format!("Error while executing config command with args '{}'\n{trace}", options.line)
}

fn illegal(message: impl Into<String>) -> Refused {
    Refused::own(ILLEGAL, message)
}

fn invalid(message: impl Into<String>) -> Refused {
    Refused::own(INVALID, message)
}

/// Types and names of the entities, each in the order of the command line.
fn entities(options: &Options) -> Result<Entities<'_>, String> {
    let mut types = options.values("entity-type");
    let mut names = options.in_order(&["entity-name", "entity-default"]);
    for (flag, kind) in FLAGS.iter().filter(|(flag, _)| options.has(flag)) {
        types.push(kind);
        names.push(options.value(flag)?.unwrap_or_default());
    }
    for (_, kind) in DEFAULT_FLAGS.iter().filter(|(flag, _)| options.has(flag)) {
        types.push(kind);
        names.push("");
    }
    Ok(Entities { types, names })
}

/// `ConfigCommandOptions.checkArgs`.
fn check(options: &Options, Entities { types, names }: &Entities<'_>) -> Result<(), String> {
    let twice: Vec<&str> =
        (1..types.len()).filter(|at| types[..*at].contains(&types[*at])).map(|at| types[at]).collect();
    if !twice.is_empty() {
        return Err(format!("Duplicate entity type(s) specified: {}", twice.join(",")));
    }
    let connects =
        ["bootstrap-server", "bootstrap-controller"].iter().filter(|name| options.has(name)).count();
    if connects == 0 {
        return Err("Either --bootstrap-server or --bootstrap-controller must be specified.".to_owned());
    }
    if let Some(unknown) = types.iter().find(|kind| !TYPES.contains(kind)) {
        let known = TYPES.join(", ");
        let with = "with a --bootstrap-server or --bootstrap-controller argument";
        return Err(format!("Invalid entity type {unknown}, the entity type must be one of {known} {with}"));
    }
    if types.is_empty() {
        return Err("At least one entity type must be specified".to_owned());
    }
    if types.len() > 1 && !types.iter().all(|kind| matches!(*kind, "users" | "clients")) {
        return Err("Only 'users' and 'clients' entity types may be specified together".to_owned());
    }
    let plain = ["entity-name", "entity-type", "entity-default"].iter().any(|name| options.has(name));
    if plain && FLAGS.iter().chain(&DEFAULT_FLAGS).any(|(flag, _)| options.has(flag)) {
        let told =
            "--entity-{type,name,default} should not be used in conjunction with specific entity flags";
        return Err(told.to_owned());
    }
    if connects > 1 {
        return Err("Only one of --bootstrap-server or --bootstrap-controller can be specified".to_owned());
    }
    check_names(options, types, names)?;
    check_action(options, types, names)
}

/// Brokers have numbers, and addresses can be looked up.
fn check_names(options: &Options, types: &[&str], names: &[&str]) -> Result<(), String> {
    let head = types[0];
    let has_name = names.iter().any(|name| !name.is_empty());
    let named = |flags: &[&str]| -> Result<Vec<&str>, String> {
        let given = flags.iter().filter(|flag| options.has(flag));
        given.map(|flag| options.value(flag).map(Option::unwrap_or_default)).collect()
    };
    if has_name && types.iter().any(|kind| matches!(*kind, "brokers" | "broker-loggers")) {
        let named = named(&["entity-name", "broker", "broker-logger"])?;
        if let Some(wrong) = named.iter().find(|name| java::parse_int(name).is_err()) {
            return Err(format!(
                "The entity name for {head} must be a valid integer broker id, but it is: {wrong}"
            ));
        }
    }
    if has_name && types.contains(&"ips") {
        let named = named(&["entity-name", "ip"])?;
        if let Some(wrong) = named.iter().find(|name| !is_address(name)) {
            return Err(format!(
                "The entity name for {head} must be a valid IP or resolvable host, but it is: {wrong}"
            ));
        }
    }
    Ok(())
}

/// What describing and altering each need.
fn check_action(options: &Options, types: &[&str], names: &[&str]) -> Result<(), String> {
    let has_name = names.iter().any(|name| !name.is_empty());
    let listed = types.join(",");
    let has_defaults = types.iter().any(|kind| matches!(*kind, "users" | "clients" | "brokers" | "ips"));
    if options.has("describe") {
        if !has_defaults && options.has("entity-default") {
            return Err(format!("--entity-default must not be specified with --describe of {listed}"));
        }
        if types.contains(&"broker-loggers") && !has_name {
            return Err(format!("An entity name must be specified with --describe of {listed}"));
        }
        return Ok(());
    }
    if has_defaults && names.is_empty() {
        let told = "An entity-name or default entity must be specified with --alter of users, clients, brokers or ips";
        return Err(told.to_owned());
    }
    if !has_defaults && !has_name {
        return Err(format!("An entity name must be specified with --alter of {listed}"));
    }
    match (options.has("add-config"), options.has("add-config-file"), options.has("delete-config")) {
        (true, true, _) => Err("Only one of --add-config or --add-config-file must be specified".to_owned()),
        (false, false, false) => {
            let told = "At least one of --add-config, --add-config-file, or --delete-config must be specified with --alter";
            Err(told.to_owned())
        }
        _ => Ok(()),
    }
}

/// `ConfigCommand.isValidIpEntity`: Java takes nothing for this host itself.
fn is_address(name: &str) -> bool {
    let name = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name);
    name.is_empty() || (name, 0_u16).to_socket_addrs().is_ok_and(|mut found| found.next().is_some())
}

/// What `DescribeConfigs` calls a type, and who answers for an entity of it. Of controllers only loggers, and what a node
/// itself knows, are asked of a certain one.
fn resource(kind: &str, name: &str, changes: bool, client: &Client) -> (i8, At) {
    let anyone = if client.asks_controllers() { At::Controller } else { At::Any };
    let itself = name.parse().map_or(anyone, At::Node);
    match kind {
        "topics" => (2, anyone),
        "brokers" if changes && client.asks_controllers() => (4, anyone),
        "brokers" => (4, itself),
        "broker-loggers" => (8, itself),
        "client-metrics" => (16, anyone),
        _ => (32, anyone),
    }
}

/// Without its last letter, as Kafka's tool makes one of many.
fn singular(kind: &str) -> &str {
    &kind[..kind.len() - 1]
}
