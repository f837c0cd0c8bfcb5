//! `kafka-console-producer`: lines of stdin as records (`ConsoleProducer` of Kafka 4.3.1).
//!
//! Must never end before what it has read is acknowledged, or its failure told.

mod reader;
mod sender;

use std::io::{self, IsTerminal};

use super::client::{Client, Properties, Refused};
use super::console::Console;
use super::options::{Exit, Options, Spec};
use reader::LineReader;
use sender::Sender;

pub(super) const OPTIONS: &[Spec] = &[
    Spec::value("topic", "topic", "REQUIRED: The topic to produce to."),
    Spec::value(
        "bootstrap-server",
        "server to connect to",
        "REQUIRED: The servers to connect to: HOST1:PORT1,HOST2:PORT2.",
    ),
    Spec::flag("sync", "Send one record at a time, and end at the first that fails."),
    Spec::perhaps(
        "compression-codec",
        "compression-codec",
        "none, gzip, snappy, lz4 or zstd; gzip if no value is given.",
    ),
    Spec::value("batch-size", "size", "Bytes of a batch (batch.size)."),
    Spec::value("message-send-max-retries", "Integer", "How often a record is sent again (retries)."),
    Spec::value("retry-backoff-ms", "Long", "The pause before that (retry.backoff.ms)."),
    Spec::value("timeout", "timeout_ms", "Accepted; records are sent as soon as no more input waits."),
    Spec::value("request-required-acks", "request required acks", "0, 1, -1 or all (acks)."),
    Spec::value(
        "request-timeout-ms",
        "request timeout ms",
        "The longest wait for an acknowledgement (request.timeout.ms).",
    ),
    Spec::value(
        "metadata-expiry-ms",
        "metadata expiration interval",
        "Accepted; metadata are asked for when they are wrong.",
    ),
    Spec::value("max-block-ms", "max block on send", "The longest wait for the topic (max.block.ms)."),
    Spec::value(
        "max-memory-bytes",
        "total memory in bytes",
        "Accepted; no more than a batch of each partition is held.",
    ),
    Spec::value(
        "max-partition-memory-bytes",
        "memory in bytes per partition",
        "(Deprecated) As --batch-size.",
    ),
    Spec::value("line-reader", "reader_class", "The class that reads lines: LineMessageReader only."),
    Spec::value("socket-buffer-size", "size", "Accepted; the system chooses."),
    Spec::value("property", "prop", "(DEPRECATED) As --reader-property."),
    Spec::value(
        "reader-property",
        "prop",
        "parse.key, parse.headers, ignore.error, key.separator, headers.delimiter, headers.separator, headers.key.separator, null.marker.",
    ),
    Spec::value("reader-config", "config file", "A file of these."),
    Spec::value("producer-property", "producer_prop", "(DEPRECATED) As --command-property."),
    Spec::value("command-property", "producer_prop", "Properties of the producer: key=value."),
    Spec::value("producer.config", "config file", "(DEPRECATED) As --command-config."),
    Spec::value("command-config", "config file", "A file of these."),
];

const READER: &str = "org.apache.kafka.tools.LineMessageReader";

/// Options with names of their own for properties, and what they are where neither is given.
const MERGED: &[(&str, &str, &str)] = &[
    ("request-required-acks", "acks", "-1"),
    ("request-timeout-ms", "request.timeout.ms", "1500"),
    ("message-send-max-retries", "retries", "3"),
    ("retry-backoff-ms", "retry.backoff.ms", "100"),
    ("batch-size", "batch.size", "16384"),
    ("max-partition-memory-bytes", "batch.size", "16384"),
    ("max-block-ms", "max.block.ms", "60000"),
];

pub(super) fn run(options: &Options, console: &mut Console) -> Result<(), Exit> {
    let names = check(options, console)?;
    let thrown = |refused: Refused| Exit::Failed(refused.to_string());
    let mut reader = reader(options, &names).map_err(thrown)?;
    let properties = properties(options, &names).map_err(thrown)?;
    let client = Client::new(&properties).map_err(thrown)?;
    let topic = options.value("topic").map_err(Exit::Failed)?.unwrap_or_default();
    let mut sender = Sender::new(client, topic, &properties).map_err(thrown)?;
    let is_sync = options.has("sync");
    let prompts = io::stdin().is_terminal() && io::stdout().is_terminal();
    let mut lines = reader::Lines::start(prompts);
    loop {
        if prompts {
            console.put(b">");
            console.flush();
        }
        let Some(line) = lines.next(|| sender.flush(console)).transpose() else { break };
        let read = line.map_err(|error| Refused::own("java.io.IOException", error.to_string()));
        let message = match read.and_then(|line| reader.parse(&line)) {
            Ok(message) => message,
            Err(refused) => {
                // What was read before goes out all the same.
                sender.flush(console);
                return Err(thrown(refused));
            }
        };
        let sent = sender.take(message);
        if is_sync {
            sent.and_then(|()| sender.flush_strictly()).map_err(thrown)?;
        } else {
            if let Err(refused) = sent {
                sender.tell(&refused, console);
            }
            if sender.is_full() {
                sender.flush(console);
            }
        }
    }
    sender.flush(console);
    Ok(())
}

/// The deprecated options in the place of those that replace them.
struct Names {
    property: &'static str,
    config: &'static str,
    reader: &'static str,
}

fn check(options: &Options, console: &mut Console) -> Result<Names, Exit> {
    options.help_or_version("This tool helps to read data from standard input and publish it to Kafka.")?;
    options.require(&["topic"])?;
    let pairs = [
        ("command-config", "producer.config"),
        ("command-property", "producer-property"),
        ("reader-property", "property"),
    ];
    for (new, old) in pairs {
        if options.has(new) && options.has(old) {
            return Err(Exit::Usage(format!("Options --{new} and --{old} cannot be specified together.")));
        }
    }
    let mut chosen = |new: &'static str, old: &'static str| {
        if !options.has(old) {
            return new;
        }
        let told = "is deprecated and will be removed in a future version. Use";
        console.say(format_args!("Warning: --{old} {told} --{new} instead."));
        old
    };
    let names = Names {
        property: chosen("command-property", "producer-property"),
        config: chosen("command-config", "producer.config"),
        reader: chosen("reader-property", "property"),
    };
    if options.has("max-partition-memory-bytes") {
        console.say(
            "Warning: --max-partition-memory-bytes is deprecated and will be removed in Apache Kafka 5.0. Use \
             --batch-size instead.",
        );
    }
    super::check_bootstrap(options)?;
    Ok(names)
}

fn reader(options: &Options, names: &Names) -> Result<LineReader, Refused> {
    let class = options.value("line-reader").map_err(unread)?.unwrap_or(READER);
    if class != READER {
        return Err(Refused::own("java.lang.ClassNotFoundException", class));
    }
    let file = options.value("reader-config").map_err(unread)?;
    let mut properties = file.map_or_else(|| Ok(Properties::default()), Properties::load)?;
    properties.add(&options.values(names.reader));
    LineReader::new(&properties)
}

fn properties(options: &Options, names: &Names) -> Result<Properties, Refused> {
    let file = options.value(names.config).map_err(unread)?;
    let mut properties = file.map_or_else(|| Ok(Properties::default()), Properties::load)?;
    properties.add(&options.values(names.property));
    properties
        .set("bootstrap.servers", options.value("bootstrap-server").map_err(unread)?.unwrap_or_default());
    let codec = match options.has("compression-codec") {
        true => options.value("compression-codec").map_err(unread)?.unwrap_or("gzip"),
        false => "none",
    };
    properties.set("compression.type", codec);
    if properties.get("client.id").is_none() {
        properties.set("client.id", "console-producer");
    }
    for (option, property, default) in MERGED {
        match options.value(option).map_err(unread)? {
            Some(given) => properties.set(property, given),
            None if properties.get(property).is_none() => properties.set(property, default),
            None => {}
        }
    }
    Ok(properties)
}

fn unread(message: String) -> Refused {
    Refused::own("joptsimple.OptionException", message)
}
