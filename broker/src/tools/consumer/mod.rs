//! `kafka-console-consumer`: records on stdout (`ConsoleConsumer` of Kafka 4.3.1).
//!
//! Must never commit what it has not printed.

mod fetch;
mod format;
mod group;
mod json;
mod member;
mod offsets;
mod records;
mod stop;

use kafka_protocol::error::ResponseError;
use regex::Regex;

use super::client::{Client, EARLIEST, LATEST, Partition, Properties, Refused};
use super::console::Console;
use super::options::{Exit, Options, Spec};
use fetch::{Fetched, Fetcher};
use format::Formatter;

pub(super) const OPTIONS: &[Spec] = &[
    Spec::value("topic", "topic", "The topic to consume from."),
    Spec::value("include", "Java regex (String)", "A regular expression of topics to consume from."),
    Spec::value("partition", "partition", "The partition; from its end unless --offset is given."),
    Spec::value("offset", "consume offset", "The offset to begin at: a number, earliest or latest."),
    Spec::value("consumer-property", "consumer_prop", "(DEPRECATED) As --command-property."),
    Spec::value("command-property", "consumer_prop", "Properties of the consumer: key=value."),
    Spec::value("consumer.config", "config file", "(DEPRECATED) As --command-config."),
    Spec::value("command-config", "config file", "A file of these."),
    Spec::value(
        "formatter",
        "class",
        "DefaultMessageFormatter and its siblings in org.apache.kafka.tools.consumer.",
    ),
    Spec::value("property", "prop", "(DEPRECATED) As --formatter-property."),
    Spec::value(
        "formatter-property",
        "prop",
        "print.timestamp, print.key, print.offset, print.epoch, print.partition, print.headers, print.value, print.delivery, key.separator, line.separator, headers.separator, null.literal, key.deserializer, value.deserializer, headers.deserializer.",
    ),
    Spec::value("formatter-config", "config file", "A file of these."),
    Spec::flag("from-beginning", "Begin at the earliest record where nothing was committed."),
    Spec::value("max-messages", "num_messages", "End after that many records."),
    Spec::value("timeout-ms", "timeout_ms", "End when no record has come for so long."),
    Spec::flag("skip-message-on-error", "Skip a record that cannot be printed."),
    Spec::value("bootstrap-server", "server to connect to", "REQUIRED: The servers to connect to."),
    Spec::value("key-deserializer", "deserializer for keys", "The class that reads keys."),
    Spec::value("value-deserializer", "deserializer for values", "The class that reads values."),
    Spec::flag("enable-systest-events", "Say when the consumer ends."),
    Spec::value("isolation-level", "String", "read_committed or read_uncommitted."),
    Spec::value("group", "consumer group id", "The consumer group."),
];

/// What is consumed from.
enum Wanted {
    Topic(String),
    Topics(Regex),
    Partition(Partition, i64),
}

/// What keeps the consumer in its group.
enum Member {
    Classic(group::Member),
    Consumer(member::Member),
}

impl Member {
    fn new(group: &str, properties: &Properties) -> Result<Self, Refused> {
        Ok(if member::is_asked_for(properties)? {
            Self::Consumer(member::Member::new(group, properties)?)
        } else {
            Self::Classic(group::Member::new(group, properties)?)
        })
    }

    fn keep(
        &mut self,
        fetcher: &mut Fetcher,
        topics: &[(String, i32)],
        changed: bool,
        console: &mut Console,
    ) -> Result<(), Refused> {
        match self {
            Self::Classic(member) => member.keep(fetcher, topics, changed, console),
            Self::Consumer(member) => member.keep(fetcher, topics, changed, console),
        }
    }

    fn leave(&mut self, fetcher: &mut Fetcher) {
        match self {
            Self::Classic(member) => member.leave(fetcher),
            Self::Consumer(member) => member.leave(fetcher),
        }
    }
}

/// Everything that the options say.
struct Plan {
    wanted: Wanted,
    group: Option<String>,
    properties: Properties,
    formatter: Formatter,
    messages_max: Option<u64>,
    timeout_ms: Option<i64>,
    skips_errors: bool,
}

pub(super) fn run(options: &Options, console: &mut Console) -> Result<(), Exit> {
    let plan = plan(options, console)?;
    let classic =
        plan.properties.get("group.protocol").is_none_or(|name| name.eq_ignore_ascii_case("classic"));
    if classic && !matches!(plan.wanted, Wanted::Partition(..)) {
        console.complain(
            "The consumer rebalance protocol (KIP-848) is production-ready! Set group.protocol=consumer to try it out. \
             See https://kafka.apache.org/documentation/#consumer_rebalance_protocol",
        );
    }
    let mut printed = 0;
    let done = consume(&plan, &mut printed, console);
    console.complain(format_args!("Processed a total of {printed} messages"));
    if options.has("enable-systest-events") {
        console.say("shutdown_complete");
    }
    done.map_err(|refused| Exit::Failed(format!("ERROR Unknown error when running consumer: \n{refused}")))
}

fn plan(options: &Options, console: &mut Console) -> Result<Plan, Exit> {
    options.help_or_version(
        "This tool helps to read data from Kafka topics and outputs it to standard output.",
    )?;
    let usage = |text: &str| Exit::Usage(text.to_owned());
    let text = |name: &str| options.value(name).map_err(Exit::Failed);
    if options.has("topic") == options.has("include") {
        return Err(usage("Exactly one of the following arguments is required: [topic], [include]"));
    }
    let partition: Option<i32> = options.number("partition").map_err(Exit::Failed)?;
    match partition {
        Some(_) if !options.has("topic") => {
            return Err(usage("The topic is required when partition is specified."));
        }
        Some(_) if options.has("from-beginning") && options.has("offset") => {
            return Err(usage("Options from-beginning and offset cannot be specified together."));
        }
        None if options.has("offset") => {
            return Err(usage("The partition is required when offset is specified."));
        }
        _ => {}
    }
    options.require(&["bootstrap-server"])?;
    for (old, new) in [("consumer-property", "command-property"), ("consumer.config", "command-config")] {
        if options.has(old) && options.has(new) {
            return Err(Exit::Usage(format!("Options --{old} and --{new} cannot be specified together.")));
        }
    }
    let mut chosen = |old: &'static str, new: &'static str| {
        let told = "is deprecated and will be removed in a future version. Use";
        if options.has(old) {
            console.say(format_args!("Option --{old} {told} --{new} instead."));
        }
        if options.has(old) { old } else { new }
    };
    let (property, config) =
        (chosen("consumer-property", "command-property"), chosen("consumer.config", "command-config"));
    let (properties, group) = properties(options, property, config, partition.is_some(), console)?;
    let offset = offset(options)?;
    let formatter = formatter(options, console)?;
    let topic = text("topic")?.unwrap_or_default().to_owned();
    let wanted = match (text("include")?, partition) {
        (Some(pattern), _) => {
            let anchored = Regex::new(&format!("^(?:{pattern})$"));
            Wanted::Topics(anchored.map_err(|error| Exit::Failed(error.to_string()))?)
        }
        (None, Some(partition)) => Wanted::Partition((topic, partition), offset),
        (None, None) => Wanted::Topic(topic),
    };
    let timeout: Option<i64> = options.number("timeout-ms").map_err(Exit::Failed)?;
    let messages: Option<i64> = options.number("max-messages").map_err(Exit::Failed)?;
    Ok(Plan {
        wanted,
        group,
        properties,
        formatter,
        messages_max: messages.filter(|count| *count != -1).map(|count| u64::try_from(count).unwrap_or(0)),
        timeout_ms: timeout.filter(|millis| *millis >= 0),
        skips_errors: options.has("skip-message-on-error"),
    })
}

/// The consumer's properties, and its group where one was named.
fn properties(
    options: &Options,
    property: &str,
    config: &str,
    has_partition: bool,
    console: &mut Console,
) -> Result<(Properties, Option<String>), Exit> {
    let file = options.value(config).map_err(Exit::Failed)?;
    let loaded = file.map_or_else(|| Ok(Properties::default()), Properties::load);
    let mut properties = loaded.map_err(|refused| Exit::Failed(refused.to_string()))?;
    let of_file = properties.get("group.id").map(str::to_owned);
    properties.add(&options.values(property));
    let groups = [
        options.value("group").map_err(Exit::Failed)?.map(str::to_owned),
        of_file,
        properties.get("group.id").map(str::to_owned),
    ];
    let mut groups: Vec<String> = groups.into_iter().flatten().collect();
    groups.dedup();
    if groups.len() > 1 {
        let listed: Vec<String> = groups.iter().map(|group| format!("'{group}'")).collect();
        return Err(Exit::Usage(format!(
            "The group ids provided in different places (directly using '--group', via '--consumer-property', or via \
             '--consumer.config') do not match. Detected group ids: {}",
            listed.join(", ")
        )));
    }
    if !groups.is_empty() && has_partition {
        return Err(Exit::Usage("Options group and partition cannot be specified together.".to_owned()));
    }
    let from_beginning = options.has("from-beginning");
    match properties.get("auto.offset.reset").map(str::to_owned) {
        Some(other) if from_beginning && other != "earliest" => {
            console.complain(format_args!(
                "Can't simultaneously specify --from-beginning and 'auto.offset.reset={other}', please remove one option"
            ));
            return Err(Exit::Silent);
        }
        Some(_) => {}
        None => properties.set("auto.offset.reset", if from_beginning { "earliest" } else { "latest" }),
    }
    properties.set(
        "bootstrap.servers",
        options.value("bootstrap-server").map_err(Exit::Failed)?.unwrap_or_default(),
    );
    if properties.get("client.id").is_none() {
        properties.set("client.id", "console-consumer");
    }
    match options.value("isolation-level").map_err(Exit::Failed)? {
        Some(level) => properties.set("isolation.level", level),
        None if properties.get("isolation.level").is_none() => {
            properties.set("isolation.level", "read_uncommitted")
        }
        None => {}
    }
    Ok((properties, groups.pop()))
}

fn offset(options: &Options) -> Result<i64, Exit> {
    let Some(text) = options.value("offset").map_err(Exit::Failed)? else {
        return Ok(if options.has("from-beginning") { EARLIEST } else { LATEST });
    };
    match text.to_lowercase().as_str() {
        "earliest" => Ok(EARLIEST),
        "latest" => Ok(LATEST),
        number => number.parse().ok().filter(|offset| *offset >= 0).ok_or_else(|| {
            Exit::Usage(format!(
                "The provided offset value '{text}' is incorrect. Valid values are 'earliest', 'latest', or a \
                 non-negative long."
            ))
        }),
    }
}

fn formatter(options: &Options, console: &mut Console) -> Result<Formatter, Exit> {
    let failed = |refused: Refused| Exit::Usage(refused.message);
    let class = options.value("formatter").map_err(Exit::Failed)?;
    if options.has("property") && options.has("formatter-property") {
        let told = "Options --property and --formatter-property cannot be specified together.";
        return Err(Exit::Usage(told.to_owned()));
    }
    let chosen = if options.has("property") {
        console.say(
            "Option --property is deprecated and will be removed in a future version. Use --formatter-property instead.",
        );
        "property"
    } else {
        "formatter-property"
    };
    let file = options.value("formatter-config").map_err(Exit::Failed)?;
    let mut properties = file.map_or_else(|| Ok(Properties::default()), Properties::load).map_err(failed)?;
    for name in ["key", "value"] {
        let class = options.value(&format!("{name}-deserializer")).map_err(Exit::Failed)?;
        if let Some(class) = class.filter(|class| !class.is_empty()) {
            properties.set(&format!("{name}.deserializer"), class);
        }
    }
    properties.add(&options.values(chosen));
    Formatter::new(class, &properties, console).map_err(failed)
}

/// Reads and prints until there is a reason to end.
fn consume(plan: &Plan, printed: &mut u64, console: &mut Console) -> Result<(), Refused> {
    if plan.messages_max == Some(0) {
        return Ok(());
    }
    member::is_asked_for(&plan.properties)?;
    let client = Client::new(&plan.properties)?;
    let mut fetcher = Fetcher::new(client, &plan.properties)?;
    let mut member = match (&plan.group, &plan.wanted) {
        (Some(group), _) => Some(Member::new(group, &plan.properties)?),
        (None, Wanted::Partition(partition, offset)) => {
            fetcher.assign(vec![(partition.clone(), *offset)]);
            None
        }
        (None, _) => None,
    };
    let stop = stop::on_signals();
    let done = read(plan, &mut fetcher, &mut member, &stop, printed, console);
    console.flush();
    if let Some(member) = &mut member {
        member.leave(&mut fetcher);
    }
    done
}

fn read(
    plan: &Plan,
    fetcher: &mut Fetcher,
    member: &mut Option<Member>,
    stop: &stop::Stop,
    printed: &mut u64,
    console: &mut Console,
) -> Result<(), Refused> {
    let mut subscription = Subscription::new(&plan.wanted, &plan.properties)?;
    let mut last = fetcher.client.steady_ms();
    loop {
        if stop.is_asked() {
            return Ok(());
        }
        let fetched = match next(&mut subscription, fetcher, member, console) {
            Ok(fetched) => fetched,
            Err(refused) if may_pass(&refused) => {
                subscription.is_due = true;
                fetcher.client.has_another(i64::MAX);
                Vec::new()
            }
            // Kafka's tool logs it, and ends well.
            Err(refused) => {
                console.complain(format_args!(
                    "ERROR Error processing message, terminating consumer process: \n{refused}"
                ));
                return Ok(());
            }
        };
        for record in &fetched {
            match plan.formatter.write(record, console) {
                Err(refused) if plan.skips_errors => {
                    console.complain(format_args!(
                        "ERROR Error processing message, skipping this message: \n{refused}"
                    ));
                }
                other => other?,
            }
            *printed += 1;
            fetcher.passed(record);
            if plan.messages_max.is_some_and(|most| *printed >= most) || console.is_broken() {
                return Ok(());
            }
        }
        console.flush();
        let now = fetcher.client.steady_ms();
        if !fetched.is_empty() {
            last = now;
        } else if plan.timeout_ms.is_some_and(|limit| now - last > limit) {
            console.complain(
                "ERROR Error processing message, terminating consumer process: \n\
                 org.apache.kafka.common.errors.TimeoutException",
            );
            return Ok(());
        }
    }
}

/// Records, after all that has to be done before there can be some.
fn next(
    subscription: &mut Subscription<'_>,
    fetcher: &mut Fetcher,
    member: &mut Option<Member>,
    console: &mut Console,
) -> Result<Vec<Fetched>, Refused> {
    let changed = subscription.refresh(fetcher)?;
    match member {
        Some(member) => member.keep(fetcher, &subscription.topics, changed, console)?,
        None if changed => fetcher.add(&subscription.partitions),
        None => {}
    }
    fetcher.poll()
}

fn may_pass(refused: &Refused) -> bool {
    refused.error.is_some_and(|error| error.is_retriable() || error == ResponseError::UnknownTopicId)
}

/// Which topics there are of those that are wanted.
struct Subscription<'a> {
    wanted: &'a Wanted,
    topics: Vec<(String, i32)>,
    partitions: Vec<Partition>,
    creates: bool,
    excludes_internal: bool,
    age_max_ms: i64,
    asked_at: i64,
    is_due: bool,
}

impl<'a> Subscription<'a> {
    fn new(wanted: &'a Wanted, properties: &Properties) -> Result<Self, Refused> {
        let creates = properties.get("allow.auto.create.topics").is_none_or(|text| text != "false");
        let excludes_internal = properties.get("exclude.internal.topics").is_none_or(|text| text != "false");
        let age_max_ms = properties.number("metadata.max.age.ms", 300_000_i64)?;
        Ok(Self {
            wanted,
            topics: Vec::new(),
            partitions: Vec::new(),
            creates,
            excludes_internal,
            age_max_ms,
            asked_at: 0,
            is_due: true,
        })
    }

    /// Asks if it is time to; whether something is there that was not there before.
    fn refresh(&mut self, fetcher: &mut Fetcher) -> Result<bool, Refused> {
        let now = fetcher.client.steady_ms();
        if !self.is_due && now - self.asked_at < self.age_max_ms && !self.topics.is_empty() {
            return Ok(false);
        }
        if self.asked_at > 0 && self.topics.is_empty() && !fetcher.client.has_another(i64::MAX) {
            return Ok(false);
        }
        (self.asked_at, self.is_due) = (now, false);
        let found = match self.wanted {
            Wanted::Topic(name) | Wanted::Partition((name, _), _) => {
                fetcher.client.metadata(Some(&[name]), self.creates)?
            }
            Wanted::Topics(_) => fetcher.client.metadata(None, false)?,
        };
        let mut topics = Vec::new();
        let mut partitions = Vec::new();
        for topic in found {
            let name = topic.name.as_ref().map_or_else(String::new, |name| name.to_string());
            let is_hidden = topic.is_internal && self.excludes_internal;
            if matches!(self.wanted, Wanted::Topics(pattern) if !pattern.is_match(&name) || is_hidden) {
                continue;
            }
            match Refused::of(topic.error_code, None) {
                Some(refused) if refused.is(ResponseError::InvalidTopicException) => {
                    return Err(refused.saying(format!("Invalid topics: [{name}]")));
                }
                Some(refused) if !may_pass(&refused) => return Err(refused),
                Some(_) => continue,
                None => {}
            }
            topics.push((name.clone(), i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX)));
            partitions
                .extend(topic.partitions.iter().map(|partition| (name.clone(), partition.partition_index)));
            fetcher.lead(&name, topic.topic_id, &topic.partitions);
        }
        topics.sort();
        let changed = topics != self.topics && !matches!(self.wanted, Wanted::Partition(..));
        (self.topics, self.partitions) = (topics, partitions);
        Ok(changed)
    }
}
