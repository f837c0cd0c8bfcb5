//! `kafka-topics`: creates, lists, describes, alters and deletes topics (`TopicCommand` of Kafka 4.3.1).
//!
//! Must never create what the client of Kafka would not have asked for: it checks names of configs first.

mod change;
mod describe;

use kafka_protocol::messages::metadata_response::MetadataResponseTopic;
use regex::Regex;

use super::client::{Client, Properties, Refused};
use super::console::Console;
use super::options::{Exit, Options, Spec};

pub(super) const OPTIONS: &[Spec] = &[
    Spec::value("bootstrap-server", "server to connect to", "REQUIRED: The Kafka server to connect to."),
    Spec::value("command-config", "command config property file", "Properties of the admin client."),
    Spec::flag("list", "List all available topics."),
    Spec::flag("create", "Create a new topic."),
    Spec::flag("delete", "Delete a topic."),
    Spec::flag("alter", "Alter the number of partitions and the replica assignment."),
    Spec::flag("describe", "List details of the given topics."),
    Spec::value("topic", "topic", "The topic; a regular expression except with --create."),
    Spec::value("topic-id", "topic-id", "The id of the topic to describe."),
    Spec::value("config", "name=value", "A config of the topic that is created."),
    Spec::value("delete-config", "name", "No longer supported."),
    Spec::value(
        "partitions",
        "# of partitions",
        "The number of partitions; the broker's default if not given.",
    ),
    Spec::value(
        "replication-factor",
        "replication factor",
        "Replicas of each partition; the broker's default if not given.",
    ),
    Spec::value(
        "replica-assignment",
        "ids",
        "Brokers of each partition: colons between brokers, commas between partitions.",
    ),
    Spec::flag(
        "under-replicated-partitions",
        "With --describe: only partitions with too few replicas in sync.",
    ),
    Spec::flag("unavailable-partitions", "With --describe: only partitions whose leader is not available."),
    Spec::flag(
        "under-min-isr-partitions",
        "With --describe: only partitions with fewer replicas in sync than the minimum.",
    ),
    Spec::flag(
        "at-min-isr-partitions",
        "With --describe: only partitions with just the minimum of replicas in sync.",
    ),
    Spec::flag("topics-with-overrides", "With --describe: only topics that have configs of their own."),
    Spec::flag("if-exists", "Do nothing about a topic that does not exist."),
    Spec::flag("if-not-exists", "With --create: a topic that exists is no error."),
    Spec::flag("exclude-internal", "Leave internal topics out."),
    Spec::value(
        "partition-size-limit-per-response",
        "maximum number of partitions per response",
        "Partitions in one answer.",
    ),
];

const ACTIONS: [&str; 5] = ["create", "list", "alter", "describe", "delete"];
const REPORTS: [&str; 4] = [
    "under-replicated-partitions",
    "under-min-isr-partitions",
    "at-min-isr-partitions",
    "unavailable-partitions",
];

pub(super) fn run(options: &Options, console: &mut Console) -> Result<(), Exit> {
    check(options, console)?;
    let failed = |refused: Refused| Exit::Failed(refused.message);
    let file = options.value("command-config").map_err(Exit::Failed)?;
    let mut properties = file.map_or_else(|| Ok(Properties::default()), Properties::load).map_err(failed)?;
    properties
        .set("bootstrap.servers", options.value("bootstrap-server").map_err(Exit::Failed)?.unwrap_or(""));
    let mut client = Client::new(&properties).map_err(failed)?;
    let done = if options.has("create") {
        change::create(options, &mut client, console)
    } else if options.has("alter") {
        change::alter(options, &mut client)
    } else if options.has("list") {
        list(options, &mut client, console)
    } else if options.has("describe") {
        describe::run(options, &mut client, console)
    } else {
        change::delete(options, &mut client)
    };
    done.map_err(|refused| {
        console.say(format_args!("Error while executing topic command : {}", refused.message));
        console.complain(refused);
        Exit::Silent
    })
}

/// `TopicCommandOptions.checkArgs`.
fn check(options: &Options, console: &mut Console) -> Result<(), Exit> {
    if options.is_empty {
        return Err(Exit::Usage("Create, delete, describe, or change a topic.".to_owned()));
    }
    options.help_or_version("This tool helps to create, delete, describe, or change a topic.")?;
    if ACTIONS.iter().filter(|action| options.has(action)).count() != 1 {
        let told =
            "Command must include exactly one action: --list, --describe, --create, --alter or --delete";
        return Err(Exit::Usage(told.to_owned()));
    }
    if options.has("delete-config") {
        console.complain(
            "delete-config option is no longer supported and deprecated since version 4.0. The config will be fully \
             removed in future releases.",
        );
    }
    if !options.has("bootstrap-server") {
        return Err(Exit::Failed("--bootstrap-server must be specified".to_owned()));
    }
    if options.has("describe") && options.has("if-exists") {
        match (options.has("topic"), options.has("topic-id")) {
            (false, false) => {
                return Err(Exit::Usage("--topic or --topic-id is required to describe a topic".to_owned()));
            }
            (true, true) => console.say(
                "Only topic id will be used when both --topic and --topic-id are specified and topicId is not \
                 Uuid.ZERO_UUID",
            ),
            _ => {}
        }
    }
    if !options.has("list") && !options.has("describe") {
        options.require(&["topic"])?;
    }
    if options.has("alter") {
        options.refuse_with("config", &["alter"])?;
        options.require(&["partitions"])?;
    }
    refuse_combinations(options)
}

fn refuse_combinations(options: &Options) -> Result<(), Exit> {
    let but = |allowed: &[&str]| -> Vec<&'static str> {
        ACTIONS.into_iter().filter(|action| !allowed.contains(action)).collect()
    };
    for name in ["config", "partitions", "replica-assignment"] {
        options.refuse_with(name, &but(&["alter", "create"]))?;
    }
    options.refuse_with("replication-factor", &but(&["create"]))?;
    if options.has("create") {
        options.refuse_with("replica-assignment", &["partitions", "replication-factor"])?;
    }
    for report in REPORTS {
        options.refuse_with(report, &but(&["describe"]))?;
        options.refuse_with(report, &["topics-with-overrides"])?;
    }
    options.refuse_with("topics-with-overrides", &but(&["describe"]))?;
    options.refuse_with("topics-with-overrides", &REPORTS)?;
    options.refuse_with("if-exists", &but(&["alter", "delete", "describe"]))?;
    options.refuse_with("if-not-exists", &but(&["create"]))?;
    options.refuse_with("exclude-internal", &but(&["list", "describe"]))
}

fn list(options: &Options, client: &mut Client, console: &mut Console) -> Result<(), Refused> {
    let names: Vec<String> = found(options, client)?.iter().map(name_of).collect();
    console.say(names.join("\n"));
    Ok(())
}

/// An option that cannot be read, as the exception that joptsimple throws when it is used.
fn unread(message: String) -> Refused {
    Refused::own("joptsimple.OptionArgumentConversionException", message)
}

fn name_of(topic: &MetadataResponseTopic) -> String {
    topic.name.as_ref().map_or_else(String::new, |name| name.to_string())
}

/// All topics that the options ask for, by name.
fn found(options: &Options, client: &mut Client) -> Result<Vec<MetadataResponseTopic>, Refused> {
    let pattern = options.value("topic").map_err(unread)?.map(pattern).transpose()?;
    let no_internal = options.has("exclude-internal");
    let mut topics = client.metadata(None, false)?;
    topics.retain(|topic| {
        let name = name_of(topic);
        let is_asked = pattern.as_ref().is_none_or(|pattern| pattern.is_match(&name));
        is_asked && !(no_internal && topic.is_internal) && topic.error_code == 0
    });
    topics.sort_by_key(name_of);
    Ok(topics)
}

/// The topics of a filter: quotes go, commas mean "or", and the whole name has to match (`TopicFilter`).
pub(super) fn pattern(text: &str) -> Result<Regex, Refused> {
    let plain = text.trim().replace(',', "|").replace(' ', "");
    let plain = plain.trim_matches(|c| c == '"' || c == '\'');
    Regex::new(&format!("^(?:{plain})$"))
        .map_err(|_| Refused::own("java.lang.RuntimeException", format!("{plain} is an invalid regex.")))
}

/// A name that was asked for and is not there is an error, unless it may be missing.
fn ensure(found: &[MetadataResponseTopic], options: &Options) -> Result<(), Refused> {
    match options.value("topic").map_err(unread)? {
        Some(name) if !name.is_empty() && found.is_empty() && !options.has("if-exists") => {
            let message = format!("Topic '{name}' does not exist as expected");
            Err(Refused::own("java.lang.IllegalArgumentException", message))
        }
        _ => Ok(()),
    }
}
