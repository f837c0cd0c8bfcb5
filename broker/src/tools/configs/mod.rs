//! `kafka-configs`: configs of topics, brokers, groups and client metrics, quotas, and credentials of users
//! (`ConfigCommand` of Kafka 4.3.1).
//!
//! Must never alter an entity that the options do not name.

mod alter;
mod describe;

use super::client::{At, Client, Properties, Refused};
use super::console::Console;
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
    let failed = |refused: Refused| Exit::Failed(refused.to_string());
    let file = options.value("command-config").map_err(Exit::Failed)?;
    let mut properties = file.map_or_else(|| Ok(Properties::default()), Properties::load).map_err(failed)?;
    let address = options.value("bootstrap-server").map_err(Exit::Failed)?;
    let controller = options.value("bootstrap-controller").map_err(Exit::Failed)?;
    properties.set("bootstrap.servers", address.or(controller).unwrap_or_default());
    let mut client = Client::new(&properties).map_err(failed)?;
    if options.has("alter") {
        if entities.types.len() != entities.names.len() {
            return Err(Exit::Failed("An entity name must be specified for every entity type".to_owned()));
        }
        alter::run(options, &entities, &mut client, console).map_err(failed)
    } else {
        describe::run(options, &entities, &mut client, console).map_err(failed)
    }
}

fn entities(options: &Options) -> Result<Entities<'_>, String> {
    let mut types = options.values("entity-type");
    let mut names = options.values("entity-name");
    if options.has("entity-default") {
        names.push("");
    }
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
    let listed = types.join(",");
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
    let head = types[0];
    if matches!(head, "brokers" | "broker-loggers") {
        let wrong = names.iter().find(|name| !name.is_empty() && name.parse::<i32>().is_err());
        if let Some(wrong) = wrong {
            return Err(format!(
                "The entity name for {head} must be a valid integer broker id, but it is: {wrong}"
            ));
        }
    }
    let has_name = names.iter().any(|name| !name.is_empty());
    let has_defaults = types.iter().any(|kind| matches!(*kind, "users" | "clients" | "brokers" | "ips"));
    if options.has("describe") {
        if !has_defaults && options.has("entity-default") {
            return Err(format!("--entity-default must not be specified with --describe of {listed}"));
        }
        if head == "broker-loggers" && !has_name {
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

/// What `DescribeConfigs` calls a type, and who answers for an entity of it.
fn resource(kind: &str, name: &str) -> (i8, At) {
    let itself = name.parse().map_or(At::Any, At::Node);
    match kind {
        "topics" => (2, At::Any),
        "brokers" => (4, itself),
        "broker-loggers" => (8, itself),
        "client-metrics" => (16, At::Any),
        _ => (32, At::Any),
    }
}

/// Without its last letter, as Kafka's tool makes one of many.
fn singular(kind: &str) -> &str {
    &kind[..kind.len() - 1]
}
