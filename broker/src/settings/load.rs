//! Every source read, merged and judged: settings and notes, or all faults at once.
//!
//! Must never stop at the first fault, and never start a broker that is less safe or less than what was asked for.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};

use super::effective::{Given, Settings, Source};
use super::legacy::{Legacy, legacy};
use super::nearest::nearest;
use super::problem::{Note, Problem, SettingsError, may_be_secret};
use super::row::{Check, Effect, Kind, Row};
use super::source::{self, Pair};
use super::{cross, listeners, rows, start_topics, views};

/// Where to look for settings; later fields win over earlier ones.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    pub file: Option<PathBuf>,
    /// The environment, names and values.
    pub environment: Vec<(String, String)>,
    /// `name=value`.
    pub overrides: Vec<String>,
    /// Whether a container's values hold where nothing else was given (`source::container`).
    pub in_container: bool,
}

/// Settings that a broker can start with.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub settings: Settings,
    pub notes: Vec<Note>,
}

impl Sources {
    /// Reads and checks everything.
    pub fn load(&self) -> Result<Loaded, SettingsError> {
        let mut problems = Vec::new();
        let mut notes = Vec::new();
        let mut pairs = Vec::new();
        if let Some(path) = &self.file {
            take(source::read_file(path), &mut pairs, &mut problems);
            notes.extend(repetitions(&pairs));
        }
        let (mut from_environment, said) = source::environment::read(&self.environment);
        notes.extend(said);
        if self.in_container {
            problems.extend(source::secrets::resolve(&mut from_environment, Path::new(source::secrets::DIR)));
        }
        pairs.extend(from_environment.into_iter().filter(|pair| !is_empty_number(pair)));
        take(source::read_overrides(&self.overrides), &mut pairs, &mut problems);

        let (mut given, said) = merge(pairs);
        notes.extend(said);
        problems.extend(check_rows(&mut given));
        complete(&mut given);
        if self.in_container {
            source::container::complete(&mut given);
        }
        source::dev_security::complete(&mut given);
        let settings = Settings::from_given(given);
        // A value that does not parse counts as its default here, so that one fault does not hide another.
        problems.extend(check_together(&settings));
        problems.extend(check_supported(&settings));
        if !problems.is_empty() {
            problems.sort_by_key(|problem| match problem.source {
                Source::File { line, .. } => line,
                _ => usize::MAX,
            });
            problems.dedup();
            return Err(SettingsError { problems });
        }
        notes.extend(without_effect(&settings));
        Ok(Loaded { settings, notes })
    }
}

impl Settings {
    /// The listeners with their addresses, or everything that is wrong with them.
    pub fn checked_listeners(&self) -> Result<listeners::Listeners, SettingsError> {
        listeners::read(self, own_address()).map_err(|problems| SettingsError { problems })
    }
}

fn take(read: Result<Vec<Pair>, Vec<Problem>>, pairs: &mut Vec<Pair>, problems: &mut Vec<Problem>) {
    match read {
        Ok(read) => pairs.extend(read),
        Err(faults) => problems.extend(faults),
    }
}

/// A name that stands twice in a file is most often a mistake; Java silently takes the last.
fn repetitions(pairs: &[Pair]) -> Vec<Note> {
    let mut seen: BTreeMap<&str, &Source> = BTreeMap::new();
    let mut notes = Vec::new();
    for pair in pairs {
        if let Some(earlier) = seen.insert(&pair.name, &pair.source) {
            notes.push(Note::warning(format!(
                "{} is set twice, at {earlier} and {}: the last holds",
                pair.name, pair.source
            )));
        }
    }
    notes
}

/// Compose files pass on variables that nobody set; an empty text is no number, so it is no value.
fn is_empty_number(pair: &Pair) -> bool {
    let is_text = |kind| matches!(kind, Kind::String | Kind::List | Kind::Class | Kind::Password);
    pair.text.trim().is_empty() && rows::broker_row(&pair.name).is_some_and(|row| !is_text(row.kind))
}

/// Later pairs over earlier ones; old names under their new ones; a note for each name that nobody knows.
fn merge(pairs: Vec<Pair>) -> (BTreeMap<String, Given>, Vec<Note>) {
    let mut given = BTreeMap::new();
    let mut renamed = BTreeMap::new();
    let mut obsolete = Vec::new();
    let mut notes = Vec::new();
    for Pair { name, text, source } in pairs {
        match legacy(&name) {
            Some(Legacy::Obsolete) => obsolete.push(name),
            Some(Legacy::Renamed(new)) => {
                notes.push(Note::warning(format!(
                    "{name} ({source}) is called {new} today and taken as such"
                )));
                renamed.insert(new.to_owned(), Given { text, source });
            }
            None => {
                given.insert(name, Given { text, source });
            }
        }
    }
    for (name, value) in renamed {
        given.entry(name).or_insert(value);
    }
    if !obsolete.is_empty() {
        obsolete.sort();
        obsolete.dedup();
        notes.push(Note::warning(format!(
            "no longer settings of Kafka 4, left aside: {}",
            obsolete.join(", ")
        )));
    }
    notes.extend(given.iter().filter(|(name, _)| !is_known(name)).map(|(name, value)| unknown(name, value)));
    (given, notes)
}

fn unknown(name: &str, given: &Given) -> Note {
    let names = rows::broker_rows().map(|row| row.name);
    let hint = nearest(name, names).map(|near| format!(", did you mean {near}?")).unwrap_or_default();
    Note::warning(format!("{name} ({}) is no known setting and kept without effect{hint}", given.source))
}

/// Names that a row describes, or that belong to a plug-in or to one listener.
fn is_known(name: &str) -> bool {
    const PLUGINS: &[&str] = &["super.users", "allow.everyone.if.no.acl.found"];
    const PREFIXES: &[&str] = &["listener.name.", "config.providers.", "rsm.config.", "rlmm.config."];
    rows::broker_row(name).is_some()
        || PLUGINS.contains(&name)
        || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Checks each text against its row; a trailing comma in a list is forgiven here, and only here.
fn check_rows(given: &mut BTreeMap<String, Given>) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (name, value) in given {
        let Some(row) = rows::broker_row(name).or_else(|| listener_row(name)) else { continue };
        if row.kind == Kind::List {
            let trimmed = value.text.trim().trim_end_matches(',').trim_end();
            value.text = trimmed.to_owned();
        }
        if let Err(what) = row.parse(&value.text) {
            // The message repeats name and value, which stand before it anyway.
            let what = what
                .split_once(&format!(" for configuration {}: ", row.name))
                .map_or(what.as_str(), |(_, why)| why);
            problems.push(Problem::new(name, &value.text, &value.source, what).remedy(remedy(row)));
        }
    }
    problems
}

/// The row of a value that one listener has for itself, `listener.name.<name>.<setting>`.
fn listener_row(name: &str) -> Option<&'static Row> {
    const LIMITS: [&str; 2] = ["max.connections", "max.connection.creation.rate"];
    let (_, base) = name.strip_prefix("listener.name.")?.split_once('.')?;
    rows::broker_row(base).filter(|row| LIMITS.contains(&row.name) || row.name.starts_with("ssl."))
}

/// One thing to do about a value that its row refuses.
fn remedy(row: &Row) -> String {
    let default = row.default_for(true).filter(|default| !default.is_empty());
    let or_default = default.map(|default| format!(", or remove the line for {default}")).unwrap_or_default();
    let valid = super::reference::valid_values(row);
    let range = match row.check {
        Check::Range { min, max: None } => format!(" of at least {min}"),
        Check::Range { min, max: Some(max) } => format!(" between {min} and {max}"),
        _ => String::new(),
    };
    match row.kind {
        Kind::Boolean => format!("write true or false{or_default}"),
        Kind::Int | Kind::Short | Kind::Long => format!("write a whole number{range}{or_default}"),
        Kind::Double => format!("write a number{range}{or_default}"),
        Kind::List if valid.is_empty() => format!("write distinct values with commas between{or_default}"),
        _ if valid.is_empty() => format!("correct the value{or_default}"),
        _ => format!("choose from {valid}{or_default}"),
    }
}

/// `broker.id` and `node.id` are one (`AbstractKafkaConfig.populateSynonyms`).
fn complete(given: &mut BTreeMap<String, Given>) {
    for (from, to) in [("node.id", "broker.id"), ("broker.id", "node.id")] {
        if !given.contains_key(to)
            && let Some(value) = given.get(from).cloned()
        {
            given.insert(to.to_owned(), value);
        }
    }
}

fn check_together(settings: &Settings) -> Vec<Problem> {
    let mut problems: Vec<Problem> = cross::broken(settings)
        .into_iter()
        .map(|broken| at(settings, broken.key, broken.what).remedy("change one of the settings it names"))
        .collect();
    if settings.long("node.id") != settings.long("broker.id") {
        let what = "You must set `node.id` to the same value as `broker.id`.";
        problems.push(at(settings, "broker.id", what).remedy("remove broker.id"));
    }
    problems.extend(check_quorum(settings));
    problems.extend(check_start_topics(settings));
    if let Err(faults) = listeners::read(settings, own_address()) {
        problems.extend(faults);
    }
    problems
}

/// What Milena cannot do yet and must not pretend to do.
fn check_supported(settings: &Settings) -> Vec<Problem> {
    let mut problems = Vec::new();
    if settings.text("authorizer.class.name").is_some_and(|class| !class.is_empty()) {
        problems.push(
            at(
                settings,
                "authorizer.class.name",
                "authorization is not supported yet, and clients would not be held back",
            )
            .remedy("remove the line if every client may do everything"),
        );
    }
    if !settings.list("config.providers").is_empty() {
        problems.push(
            at(settings, "config.providers", "values from configuration providers are not supported yet")
                .remedy("write the values themselves, or give them as KAFKA_ variables"),
        );
    }
    problems
}

/// Roles, voters and the secret have to fit (`KafkaConfig.validateControllerQuorumVotersMustContainNodeId…`).
fn check_quorum(settings: &Settings) -> Vec<Problem> {
    let mut problems = Vec::new();
    let key = "controller.quorum.voters";
    let texts = settings.list(key);
    for text in texts.iter().filter(|text| views::voter(text).is_none()) {
        let what = format!("No voter in {text}: expected id@host:port");
        problems.push(at(settings, key, what).remedy("write id@host:port for each voter"));
    }
    let (node, quorum) = (settings.node(), settings.quorum());
    let ids: Vec<String> = quorum.voters.iter().map(|(id, _)| id.to_string()).collect();
    let votes = quorum.voters.iter().any(|(id, _)| *id == node.id.0);
    if problems.is_empty() && !texts.is_empty() && votes != node.is_controller {
        let (id, ids) = (node.id.0, ids.join(","));
        let what = if node.is_controller {
            format!(
                "If process.roles contains the 'controller' role, the node id {id} must be included in the set of \
                 voters controller.quorum.voters=Set({ids})"
            )
        } else {
            format!(
                "If process.roles contains just the 'broker' role, the node id {id} must not be included in the set \
                 of voters controller.quorum.voters=Set({ids})"
            )
        };
        problems
            .push(at(settings, key, what).remedy("name the nodes with the controller role, and no others"));
    }
    if !node.is_controller && texts.is_empty() && quorum.bootstrap.is_empty() {
        let what = "If using process.roles, either controller.quorum.bootstrap.servers must contain the set of bootstrap \
                    controllers or controller.quorum.voters must contain a parseable set of controllers.";
        problems.push(at(settings, "process.roles", what).remedy("name the controllers"));
    }
    if quorum.secret.is_none() && !quorum.is_local() && !settings.is_single_node() {
        let what = "nodes on other machines are named, and anybody there could say to be one of them";
        let remedy = "set milena.cluster.secret to the same long random text on every node";
        problems.push(at(settings, "milena.cluster.secret", what).remedy(remedy));
    }
    problems
}

/// Items that cannot be understood; they are quoted.
fn check_start_topics(settings: &Settings) -> Vec<Problem> {
    let text = settings.text(views::TOPICS).unwrap_or_default();
    let listed = start_topics::parse(&text).err().map(|what| {
        at(settings, views::TOPICS, what)
            .remedy("write name:partitions:replicas:cleanup.policy, with commas between")
    });
    let in_file = settings
        .topics_file()
        .and_then(Result::err)
        .map(|what| at(settings, views::TOPICS_FILE, what).remedy("correct the file, or remove the line"));
    listed.into_iter().chain(in_file).collect()
}

/// A fault of the value that holds for a key.
fn at(settings: &Settings, key: &str, what: impl Into<String>) -> Problem {
    let found = settings.find(key);
    Problem::new(
        key,
        found.map_or("", |found| found.text),
        found.map_or(&Source::Default, |found| found.source),
        what,
    )
}

/// What was set to something else than its default and does nothing here.
fn without_effect(settings: &Settings) -> Option<Note> {
    let names: Vec<&str> = settings
        .given()
        .iter()
        .filter(|(name, given)| {
            rows::broker_row(name).is_some_and(|row| {
                row.effect == Effect::Accepted
                    && row.parse(&given.text).ok() != row.default.and_then(|default| row.parse(default).ok())
            })
        })
        .map(|(name, _)| name.as_str())
        .collect();
    (!names.is_empty()).then(|| Note::info(format!("accepted without effect: {}", names.join(", "))))
}

/// The IPv4 address that other machines would see; loopback if there is no network.
///
/// Connecting a datagram socket chooses a route and sends nothing.
pub(super) fn own_address() -> Ipv4Addr {
    let routed = || {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
        // An address of the documentation range: it is only routed, never reached.
        socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
        match socket.local_addr().ok()? {
            SocketAddr::V4(address) if !address.ip().is_unspecified() => Some(*address.ip()),
            _ => None,
        }
    };
    routed().unwrap_or(Ipv4Addr::LOCALHOST)
}

/// A text for people: secrets hidden.
pub fn shown(name: &str, text: &str) -> String {
    let secret = rows::broker_row(name).map_or_else(|| may_be_secret(name), Row::is_secret);
    if secret { "[hidden]".to_owned() } else { text.to_owned() }
}

#[cfg(test)]
mod tests;
