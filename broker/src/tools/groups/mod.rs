//! `kafka-consumer-groups`: lists, describes, deletes and resets consumer groups (`ConsumerGroupCommand` of Kafka 4.3.1).
//!
//! Must never change an offset without `--execute`.

mod ask;
mod delete;
mod describe;
mod plan;
mod reset;

use regex::Regex;

use super::client::{Client, Properties, Refused};
use super::console::Console;
use super::options::{Exit, Options, Spec};

pub(super) const OPTIONS: &[Spec] = &[
    Spec::value("bootstrap-server", "server to connect to", "REQUIRED: The servers to connect to."),
    Spec::value("group", "consumer group", "The consumer group; may be given several times."),
    Spec::value("topic", "topic", "The topic, or topic:partition,partition."),
    Spec::flag("all-topics", "All topics that the group has offsets of."),
    Spec::flag("list", "List all consumer groups."),
    Spec::flag("describe", "Describe consumer groups, and how far they are behind."),
    Spec::flag("all-groups", "All consumer groups."),
    Spec::flag("delete", "Delete consumer groups that have no members."),
    Spec::value("timeout", "timeout (ms)", "The longest wait for brokers; 30000 if not given."),
    Spec::value("command-config", "command config property file", "Properties of the admin client."),
    Spec::flag("reset-offsets", "Reset offsets of groups that have no members."),
    Spec::flag("delete-offsets", "Delete offsets of a group."),
    Spec::flag("dry-run", "Only show what --reset-offsets would do."),
    Spec::flag("execute", "Do what --reset-offsets shows."),
    Spec::flag("export", "Show what --reset-offsets would do as CSV."),
    Spec::value("to-offset", "offset", "Reset to this offset."),
    Spec::value("from-file", "path to CSV file", "Reset to the offsets of this file."),
    Spec::value("to-datetime", "datetime", "Reset to the offsets of this time: YYYY-MM-DDThh:mm:ss.sss."),
    Spec::value("by-duration", "duration", "Reset to the offsets of so long ago: PnDTnHnMnS."),
    Spec::flag("to-earliest", "Reset to the earliest offsets."),
    Spec::flag("to-latest", "Reset to the latest offsets."),
    Spec::flag("to-current", "Reset to the committed offsets."),
    Spec::value("shift-by", "number-of-offsets", "Reset by so many offsets, ahead or back."),
    Spec::flag("members", "With --describe: the members."),
    Spec::flag("verbose", "With --describe: more."),
    Spec::flag("offsets", "With --describe: the offsets; the default."),
    Spec::perhaps(
        "state",
        "String",
        "With --describe: the state. With --list: the states, or groups in one of these.",
    ),
    Spec::perhaps("type", "String", "With --list: the types, or groups of one of these."),
    Spec::value("validate-regex", "regex", "Whether this is a regular expression that brokers take."),
];

const ACTIONS: [&str; 6] =
    ["list", "describe", "delete", "reset-offsets", "delete-offsets", "validate-regex"];
/// Where offsets are reset to.
const SCENARIOS: [&str; 8] = [
    "to-offset",
    "shift-by",
    "to-datetime",
    "by-duration",
    "to-earliest",
    "to-latest",
    "to-current",
    "from-file",
];
const STATES: [&str; 7] =
    ["PreparingRebalance", "CompletingRebalance", "Stable", "Dead", "Empty", "Assigning", "Reconciling"];
const DEFAULT_TIMEOUT_MS: u32 = 30_000;
/// Stands for what is not there.
const MISSING: &str = "-";

/// How a command ends other than well.
enum Failure {
    Refused(Refused),
    /// Told without its class: Java's tool throws this one itself.
    Plain(String),
    /// As Java's `IllegalArgumentException`: told with the usage.
    Usage(String),
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

pub(super) fn run(options: &Options, console: &mut Console) -> Result<(), Exit> {
    check(options, console)?;
    if ACTIONS.iter().filter(|action| options.has(action)).count() != 1 {
        let listed: Vec<String> = ACTIONS.iter().map(|action| format!("--{action}")).collect();
        return Err(Exit::Usage(format!("Command must include exactly one action: {}", listed.join(", "))));
    }
    if let Some(regex) = options.value("validate-regex").map_err(Exit::Usage)? {
        match Regex::new(regex) {
            Ok(_) => console.say(format_args!("The regular expression `{regex}` is valid.")),
            Err(error) => console.say(format_args!("The regular expression `{regex}` is invalid: {error}.")),
        }
        return Ok(());
    }
    match ask(options, console) {
        Ok(()) => Ok(()),
        Err(Failure::Usage(message)) => Err(Exit::Usage(message)),
        Err(Failure::Plain(message)) => {
            error(console, &format!("Executing consumer group command failed due to {message}"));
            Ok(())
        }
        Err(Failure::Refused(refused)) => {
            // Kafka's tool says so, and ends as if all were well.
            error(console, &format!("Executing consumer group command failed due to {refused}"));
            console.complain(&refused);
            Ok(())
        }
    }
}

/// A refusal of which only the message is told.
fn plain(refused: Refused) -> Failure {
    Failure::Plain(refused.message)
}

fn error(console: &mut Console, message: &str) {
    console.say(format_args!("\nError: {message}"));
}

fn ask(options: &Options, console: &mut Console) -> Result<(), Failure> {
    let file = options.value("command-config").map_err(Failure::Usage)?;
    let mut properties = file.map_or_else(|| Ok(Properties::default()), Properties::load)?;
    let address = options.value("bootstrap-server").map_err(Failure::Usage)?;
    properties.set("bootstrap.servers", address.unwrap_or_default());
    let timeout = options.number("timeout").map_err(Failure::Usage)?.unwrap_or(DEFAULT_TIMEOUT_MS);
    properties.set("default.api.timeout.ms", &timeout.to_string());
    let request = properties.number("request.timeout.ms", DEFAULT_TIMEOUT_MS)?;
    properties.set("request.timeout.ms", &request.min(timeout).to_string());
    let mut client = Client::new(&properties)?;
    if options.has("list") {
        list(options, &mut client, console)
    } else if options.has("describe") {
        describe::run(options, &mut client, console)
    } else if options.has("delete") {
        delete::groups(options, &mut client, console)
    } else if options.has("reset-offsets") {
        reset::run(options, &mut client, console)
    } else {
        delete::offsets(options, &mut client, console)
    }
}

/// `ConsumerGroupCommandOptions.checkArgs`.
fn check(options: &Options, console: &mut Console) -> Result<(), Exit> {
    let usage = |text: String| Err(Exit::Usage(text));
    for (name, with) in [
        ("members", &["describe"][..]),
        ("verbose", &["describe"]),
        ("offsets", &["describe"]),
        ("state", &["describe", "list"]),
        ("type", &["list"]),
    ] {
        if options.has(name) && !with.iter().any(|with| options.has(with)) {
            return usage(format!(
                "Option(s) [{name}] are unavailable given other options on the command line"
            ));
        }
    }
    options.help_or_version(
        "This tool helps to list all consumer groups, describe a consumer group, delete consumer group info, or reset \
         consumer group offsets.",
    )?;
    if !options.has("validate-regex") {
        options.require(&["bootstrap-server"])?;
    }
    let has_groups = options.has("group") || options.has("all-groups");
    for action in ["describe", "delete", "reset-offsets"] {
        if options.has(action) && !has_groups {
            return usage(format!("Option [{action}] takes one of these options: [group], [all-groups]"));
        }
    }
    if options.has("describe") {
        if ["members", "offsets", "state"].iter().filter(|name| options.has(name)).count() > 1 {
            let told = "takes at most one of these options: [members], [offsets], [state]";
            return usage(format!("Option [describe] {told}"));
        }
        if options.has("state") && options.value("state").map_err(Exit::Usage)?.is_some() {
            return usage("Option [describe] does not take a value for [state]".to_owned());
        }
    }
    if options.has("delete") && options.has("topic") {
        let told = "The consumer does not support topic-specific offset deletion from a consumer group.";
        return usage(told.to_owned());
    }
    if options.has("delete-offsets") && !(options.has("group") && options.has("topic")) {
        return usage("Option [delete-offsets] takes the following options: [group], [topic]".to_owned());
    }
    if options.has("reset-offsets") {
        check_reset(options, console)?;
    }
    options.refuse_with("group", &["all-groups", "list"])?;
    options.refuse_with("topic", &["list", "describe"])
}

fn check_reset(options: &Options, console: &mut Console) -> Result<(), Exit> {
    match (options.has("dry-run"), options.has("execute")) {
        (true, true) => {
            let told = "Option [reset-offsets] only accepts one of [execute] and [dry-run]";
            return Err(Exit::Usage(told.to_owned()));
        }
        (false, false) => console.complain(
            "WARN: No action will be performed as the --execute option is missing. In version 5.0, this command will \
             require either --dry-run or --execute to be specified. You should add the --dry-run option explicitly if \
             you are scripting this command and want to keep the current default behavior without prompting.",
        ),
        _ => {}
    }
    for scenario in SCENARIOS {
        let others: Vec<&str> = SCENARIOS.into_iter().filter(|other| *other != scenario).collect();
        options.refuse_with(scenario, &others)?;
    }
    Ok(())
}

/// The groups that are meant: those that were named, or all.
fn named(options: &Options, client: &mut Client) -> Result<Vec<String>, Refused> {
    if options.has("all-groups") {
        return Ok(ask::list(client, &[], &[])?.into_iter().map(|group| group.id).collect());
    }
    Ok(options.values("group").into_iter().map(str::to_owned).collect())
}

fn list(options: &Options, client: &mut Client, console: &mut Console) -> Result<(), Failure> {
    let (with_type, with_state) = (options.has("type"), options.has("state"));
    let states = options.value("state").map_err(Failure::Usage)?.unwrap_or_default();
    let wanted: Vec<&str> = states.split(',').map(str::trim).filter(|_| !states.is_empty()).collect();
    let known = |text: &str| STATES.into_iter().find(|state| state.eq_ignore_ascii_case(text));
    if wanted.iter().any(|state| known(state).is_none()) {
        let valid = STATES.join(", ");
        return Err(Failure::Usage(format!("Invalid state list '{states}'. Valid states are: {valid}")));
    }
    let wanted: Vec<&str> = wanted.into_iter().filter_map(known).collect();
    let types = options.value("type").map_err(Failure::Usage)?.unwrap_or_default();
    let kinds: Vec<String> =
        types.split(',').map(|kind| kind.trim().to_lowercase()).filter(|_| !types.is_empty()).collect();
    if kinds.iter().any(|kind| kind != "classic" && kind != "consumer") {
        return Err(Failure::Usage(format!(
            "Invalid types list '{types}'. Valid types are: Classic, Consumer"
        )));
    }
    let kinds: Vec<&str> =
        kinds.iter().map(|kind| if kind == "classic" { "Classic" } else { "Consumer" }).collect();
    let groups = ask::list(client, &wanted, &kinds)?;
    if !with_type && !with_state {
        groups.iter().for_each(|group| console.say(&group.id));
        return Ok(());
    }
    let width = groups.iter().map(|group| group.id.len().max(15)).max().unwrap_or(15) + 10;
    let row = |id: &str, kind: &str, state: &str| {
        let mut line = format!("{id:<width$}");
        if with_type {
            line.push_str(&format!(" {kind:<20}"));
        }
        if with_state {
            line.push_str(&format!(" {state:<20}"));
        }
        line
    };
    console.say(row("GROUP", "TYPE", "STATE"));
    groups.iter().for_each(|group| console.say(row(&group.id, &group.kind, &group.state)));
    Ok(())
}
