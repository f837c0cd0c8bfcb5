//! `kafka-log-dirs`: which log directories brokers have, and what lies in them (`LogDirsCommand` of Kafka 4.3.1).
//!
//! Must never order what it prints otherwise than Java's maps do.

use kafka_protocol::messages::DescribeLogDirsRequest;
use kafka_protocol::messages::describe_log_dirs_response::DescribeLogDirsResult;
use serde_json::Value;

use super::client::{At, Client, Properties, Refused};
use super::console::Console;
use super::java;
use super::options::{Exit, Options, Spec};

pub(super) const OPTIONS: &[Spec] = &[
    Spec::value(
        "bootstrap-server",
        "The server(s) to use for bootstrapping",
        "REQUIRED: the servers to connect to.",
    ),
    Spec::value("command-config", "Admin client property file", "Properties of the admin client."),
    Spec::flag("describe", "Describe the log directories."),
    Spec::value("topic-list", "Topic list", "Topics with commas between; all if not given."),
    Spec::value("broker-list", "Broker list", "Ids of brokers with commas between; all if not given."),
];

pub(super) fn run(options: &Options, console: &mut Console) -> Result<(), Exit> {
    options.help_or_version("This tool helps to query log directory usage on the specified brokers.")?;
    options.require(&["bootstrap-server", "describe"])?;
    let failed = |refused: Refused| Exit::Failed(refused.message);
    let file = options.value("command-config").map_err(Exit::Failed)?;
    let mut properties = file.map_or_else(|| Ok(Properties::default()), Properties::load).map_err(failed)?;
    properties.set(
        "bootstrap.servers",
        options.value("bootstrap-server").map_err(Exit::Failed)?.unwrap_or_default(),
    );
    let mut client = Client::new(&properties).map_err(failed)?;
    let listed = |name| {
        options.value(name).map(|text| text.unwrap_or_default().split(',').filter(|part| !part.is_empty()))
    };
    let topics: Vec<&str> = listed("topic-list").map_err(Exit::Failed)?.collect();
    let number =
        |text: &str| text.parse::<i32>().map_err(|_| Exit::Failed(format!("For input string: \"{text}\"")));
    let asked = listed("broker-list").map_err(Exit::Failed)?.map(number).collect::<Result<Vec<_>, _>>()?;
    let mut asked = in_set_order(asked);
    asked.dedup();
    let there: Vec<i32> = client.brokers().map_err(failed)?.iter().map(|node| node.id).collect();
    let there = in_set_order(there);
    let missing: Vec<i32> = asked.iter().copied().filter(|id| !there.contains(id)).collect();
    if !missing.is_empty() {
        let told = "ERROR: The given brokers do not exist from --broker-list:";
        return Err(Exit::Failed(format!(
            "{told} {}. Current existent brokers: {}",
            joined(&missing),
            joined(&there)
        )));
    }
    let brokers = if asked.is_empty() { there } else { asked };
    console.say("Querying brokers for log directories information");
    let mut described = Vec::new();
    for &broker in &brokers {
        let request = DescribeLogDirsRequest::default().with_topics(None);
        let answer = client.call(At::Node(broker), "describeLogDirs", |_| request.clone()).map_err(failed)?;
        Refused::check(answer.error_code, None).map_err(failed)?;
        let count = answer.results.len();
        let dirs = java::in_map_order(answer.results, count, |dir| java::hash_code(&dir.log_dir));
        let dirs: Vec<String> = dirs.iter().map(|dir| dir_text(dir, &topics)).collect();
        described.push(object(vec![("broker", broker.to_string()), ("logDirs", array(&dirs))]));
    }
    console.say(format_args!("Received log directory information from brokers {}", joined(&brokers)));
    console.say(object(vec![("version", "1".to_owned()), ("brokers", array(&described))]));
    Ok(())
}

/// As a `HashSet` of integers is walked.
fn in_set_order(mut ids: Vec<i32>) -> Vec<i32> {
    ids.sort_unstable();
    java::in_map_order(ids, 16, |id| *id)
}

fn joined(ids: &[i32]) -> String {
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

fn dir_text(dir: &DescribeLogDirsResult, topics: &[&str]) -> String {
    let mut replicas = Vec::new();
    for topic in &dir.topics {
        replicas.extend(topic.partitions.iter().map(|partition| (topic.name.as_str(), partition)));
    }
    let by_partition = |replica: &(&str, &_)| {
        let (topic, partition): &(
            &str,
            &kafka_protocol::messages::describe_log_dirs_response::DescribeLogDirsPartition,
        ) = replica;
        java::partition_hash(topic, partition.partition_index)
    };
    // One map of all, and another one of those that were asked for.
    let mut replicas = java::in_map_order(replicas, 16, by_partition);
    replicas.retain(|(topic, _)| topics.is_empty() || topics.contains(topic));
    let replicas = java::in_map_order(replicas, 16, by_partition);
    let replica = |(topic, partition): &(
        &str,
        &kafka_protocol::messages::describe_log_dirs_response::DescribeLogDirsPartition,
    )| {
        object(vec![
            ("partition", text(&format!("{topic}-{}", partition.partition_index))),
            ("size", partition.partition_size.to_string()),
            ("offsetLag", partition.offset_lag.to_string()),
            ("isFuture", partition.is_future_key.to_string()),
        ])
    };
    let replicas: Vec<String> = replicas.iter().map(replica).collect();
    let error =
        Refused::of(dir.error_code, None).map_or_else(|| "null".to_owned(), |refused| text(&refused.class()));
    object(vec![("logDir", text(&dir.log_dir)), ("error", error), ("partitions", array(&replicas))])
}

fn text(text: &str) -> String {
    Value::from(text).to_string()
}

fn array(items: &[String]) -> String {
    format!("[{}]", items.join(","))
}

/// As Jackson writes a `HashMap`.
fn object(fields: Vec<(&str, String)>) -> String {
    let fields = java::in_map_order(fields, 16, |(name, _)| java::hash_code(name));
    let fields: Vec<String> = fields.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    format!("{{{}}}", fields.join(","))
}
