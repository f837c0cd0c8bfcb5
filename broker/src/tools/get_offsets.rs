//! `kafka-get-offsets`: offsets of partitions at a time (`GetOffsetShell` of Kafka 4.3.1).
//!
//! Must never print an offset that a leader did not tell.

use regex::Regex;

use super::client::{Client, EARLIEST, LATEST, NO_OFFSET, Partition, Properties, Refused};
use super::console::Console;
use super::options::{Exit, Options, Spec};
use super::topics::pattern;

pub(super) const OPTIONS: &[Spec] = &[
    Spec::value("bootstrap-server", "HOST1:PORT1,...,HOST3:PORT3", "REQUIRED. The servers to connect to."),
    Spec::value(
        "topic-partitions",
        "topic1:1,topic2:0-3,topic3",
        "Patterns of partitions: a regular expression of the topic, and a number or a range behind a colon.",
    ),
    Spec::value("topic", "topic", "A regular expression of topics."),
    Spec::value("partitions", "partition ids", "Numbers of partitions with commas between."),
    Spec::value(
        "time",
        "time",
        "A timestamp in ms, -1 or latest, -2 or earliest, -3 or max-timestamp, -4 or earliest-local, -5 or latest-tiered, -6 or earliest-pending-upload.",
    ),
    Spec::value("command-config", "config file", "Properties of the admin client."),
    Spec::flag("exclude-internal-topics", "Leave internal topics out."),
];

const ABOUT: &str = "An interactive shell for getting topic-partition offsets.";

/// Names of times that are none.
const TIMES: &[(&str, i64)] = &[
    ("latest", LATEST),
    ("earliest", EARLIEST),
    ("max-timestamp", -3),
    ("earliest-local", -4),
    ("latest-tiered", -5),
    ("earliest-pending-upload", -6),
];

/// Topics, and partitions of them: from the first, below the second.
struct Rule {
    topic: Regex,
    partitions: Vec<std::ops::Range<i64>>,
}

impl Rule {
    fn allows(&self, (topic, index): &Partition) -> bool {
        let index = i64::from(*index);
        let in_one = || self.partitions.iter().any(|range| range.contains(&index));
        self.topic.is_match(topic) && (self.partitions.is_empty() || in_one())
    }
}

pub(super) fn run(options: &Options, console: &mut Console) -> Result<(), Exit> {
    options.help_or_version(ABOUT)?;
    options.require(&["bootstrap-server"])?;
    super::check_bootstrap(options)?;
    let occurred = |message: String| Exit::Failed(format!("Error occurred: {message}"));
    let failed = |refused: Refused| occurred(refused.message);
    if options.has("topic-partitions") && (options.has("topic") || options.has("partitions")) {
        return Err(occurred("--topic-partitions cannot be used with --topic or --partitions".to_owned()));
    }
    let time = time(options.value("time").map_err(occurred)?.unwrap_or("latest")).map_err(occurred)?;
    let rules = rules(options).map_err(occurred)?;
    let file = options.value("command-config").map_err(occurred)?;
    let mut properties = file.map_or_else(|| Ok(Properties::default()), Properties::load).map_err(failed)?;
    properties
        .set("bootstrap.servers", options.value("bootstrap-server").map_err(occurred)?.unwrap_or_default());
    properties.set("client.id", "GetOffsetShell");
    let mut client = Client::new(&properties).map_err(failed)?;
    let mut partitions = Vec::new();
    for topic in client.metadata(None, false).map_err(failed)? {
        let name = topic.name.as_ref().map_or_else(String::new, |name| name.to_string());
        if topic.is_internal && options.has("exclude-internal-topics") {
            continue;
        }
        let all = topic.partitions.iter().map(|partition| (name.clone(), partition.partition_index));
        partitions.extend(all.filter(|partition| rules.iter().any(|rule| rule.allows(partition))));
    }
    if partitions.is_empty() {
        return Err(occurred("Could not match any topic-partitions with the specified filters".to_owned()));
    }
    partitions.sort_by_key(|(topic, index)| format!("{topic}-{index}"));
    let wanted: Vec<(Partition, i64)> =
        partitions.iter().map(|partition| (partition.clone(), time)).collect();
    let mut found = client.offsets(&wanted, false).map_err(failed)?;
    for partition in partitions {
        let (topic, index) = &partition;
        match found.remove(&partition) {
            Some(Ok(NO_OFFSET)) | None => {}
            Some(Ok(offset)) => console.say(format_args!("{topic}:{index}:{offset}")),
            Some(Err(refused)) => console.complain(format_args!(
                "Skip getting offsets for topic-partition {topic}-{index} due to error: {refused}"
            )),
        }
    }
    Ok(())
}

fn time(text: &str) -> Result<i64, String> {
    if let Some((_, time)) = TIMES.iter().find(|(name, _)| *name == text) {
        return Ok(*time);
    }
    text.parse().map_err(|_| {
        format!(
            "Malformed time argument {text}. Please use -1 or latest / -2 or earliest / -3 or max-timestamp / -4 or \
             earliest-local / -5 or latest-tiered / -6 or earliest-pending-upload, or a specified long format timestamp"
        )
    })
}

fn rules(options: &Options) -> Result<Vec<Rule>, String> {
    let of_topic = |text: &str| pattern(text).map_err(|refused| refused.message);
    if let Some(text) = options.value("topic-partitions")? {
        let shape = Regex::new("^([^:,]*)(?::(?:([0-9]*)|(?:([0-9]*)-([0-9]*))))?$").expect("a good pattern");
        let rule = |text: &str| {
            let parts = shape.captures(text).ok_or_else(|| format!("Invalid rule specification: {text}"))?;
            let part = |index| parts.get(index).map(|part| part.as_str()).filter(|part| !part.is_empty());
            let number =
                |text: &str| text.parse::<i64>().map_err(|_| format!("For input string: \"{text}\""));
            let one = part(2).map(number).transpose()?;
            let least = part(3).map(number).transpose()?.unwrap_or(0);
            let end = part(4).map(number).transpose()?.unwrap_or(i64::from(i32::MAX));
            let range = one.map_or(least..end, |one| one..one + 1);
            Ok(Rule { topic: of_topic(part(1).unwrap_or(".*"))?, partitions: vec![range] })
        };
        return text.split(',').map(rule).collect();
    }
    let listed = options.value("partitions")?.unwrap_or_default();
    let number = |text: &str| {
        let wrong = "--partitions expects a comma separated list of numeric partition ids, but received: ";
        text.parse::<i64>().map(|one| one..one + 1).map_err(|_| format!("{wrong}{listed}"))
    };
    let partitions =
        listed.split(',').filter(|_| !listed.is_empty()).map(number).collect::<Result<_, _>>()?;
    Ok(vec![Rule { topic: of_topic(options.value("topic")?.unwrap_or(".*"))?, partitions }])
}
