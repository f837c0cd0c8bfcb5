//! Listeners: where the broker listens, under which names, and which addresses it tells clients.
//!
//! Must never yield a listener whose security protocol this build cannot serve: plaintext in place of TLS would be a
//! silent breach. Messages are those of `AbstractKafkaConfig`, `SocketServerConfigs` and `KafkaConfig.validateValues`.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

pub use milena_coordinator::image::SecurityProtocol;

use super::problem::Problem;
use super::{Settings, Source};

/// Everything about addresses, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listeners {
    /// Those that clients and brokers connect to.
    pub broker: Vec<Listener>,
    /// Those named in `controller.listener.names`: links of the quorum and tools that ask the controller.
    pub controller: Vec<Listener>,
    /// The name of the listener that brokers use among themselves.
    pub inter_broker: String,
}

/// One listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// In upper case.
    pub name: String,
    pub protocol: SecurityProtocol,
    /// `None` listens on every interface.
    pub host: Option<String>,
    /// Zero chooses a free port.
    pub port: u16,
    /// What clients are told; `None` keeps a listener to those who know it.
    pub advertised: Option<Advertised>,
}

/// An address for clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advertised {
    pub host: String,
    /// Zero stands for the port that was bound.
    pub port: u16,
}

/// `NAME://host:port` as written.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Endpoint {
    name: String,
    host: Option<String>,
    port: u16,
}

type Protocols = BTreeMap<String, SecurityProtocol>;

const MAP: &str = "listener.security.protocol.map";
const LISTENERS: &str = "listeners";
const ADVERTISED: &str = "advertised.listeners";
const INTER_BROKER: &str = "inter.broker.listener.name";
const CONTROLLER_NAMES: &str = "controller.listener.names";

/// Parses and checks all listener settings; `own_address` is told to clients in place of a wildcard.
pub fn read(settings: &Settings, own_address: Ipv4Addr) -> Result<Listeners, Vec<Problem>> {
    let fault = |key: &str, what: String, remedy: &str| vec![problem(settings, key, what, remedy)];
    let controller_names: Vec<String> =
        settings.list(CONTROLLER_NAMES).iter().map(|name| name.to_uppercase()).collect();
    let protocols = protocols(settings, &controller_names)?;
    let endpoints = parse_endpoints(settings, LISTENERS, &protocols)?;
    check_ports(&endpoints).map_err(|what| {
        let what = format!("Error creating broker listeners from '{:?}': {what}", settings.list(LISTENERS));
        fault(LISTENERS, what, "give every listener a name and a port of its own")
    })?;
    let advertised = match settings.list(ADVERTISED).as_slice() {
        [] => None,
        _ => Some(parse_endpoints(settings, ADVERTISED, &protocols)?),
    };
    if let Some(advertised) = advertised.as_ref().filter(|_| settings.node().is_broker) {
        check_advertised(settings, advertised, &endpoints, &controller_names)?;
    }
    let told =
        |endpoint: &Endpoint| Advertised { host: reachable(endpoint, own_address), port: endpoint.port };
    let (mut broker, mut controller) = (Vec::new(), Vec::new());
    for endpoint in endpoints {
        let protocol = protocols[&endpoint.name];
        let advertised = match &advertised {
            Some(advertised) => advertised.iter().find(|other| other.name == endpoint.name).map(told),
            None => Some(told(&endpoint)),
        };
        let is_controller = controller_names.contains(&endpoint.name);
        if is_controller && protocol != SecurityProtocol::Plaintext {
            let what = format!(
                "listener {} wants {}, which is not supported yet for listeners of controllers",
                endpoint.name,
                protocol.name()
            );
            return Err(fault(LISTENERS, what, "use a PLAINTEXT listener inside a network that you trust"));
        }
        let Endpoint { name, host, port } = endpoint;
        let listener = Listener { name, protocol, host, port, advertised };
        if is_controller { controller.push(listener) } else { broker.push(listener) }
    }
    check_roles(settings, &broker, &controller)?;
    let is_broker = settings.node().is_broker;
    let inter_broker = if is_broker { inter_broker(settings, &broker, &protocols)? } else { String::new() };
    check_between_brokers(settings, &broker, &inter_broker)?;
    Ok(Listeners { broker, controller, inter_broker })
}

/// Brokers speak to each other in plaintext only; one that is alone speaks to nobody.
fn check_between_brokers(
    settings: &Settings,
    listeners: &[Listener],
    inter_broker: &str,
) -> Result<(), Vec<Problem>> {
    let chosen = listeners.iter().find(|listener| listener.name == inter_broker);
    match chosen.filter(|listener| listener.protocol != SecurityProtocol::Plaintext) {
        Some(listener) if !settings.is_single_node() => {
            let what = format!(
                "brokers would use listener {} among themselves, which wants {}; that is not supported yet",
                listener.name,
                listener.protocol.name()
            );
            Err(vec![problem(settings, INTER_BROKER, what, "name a PLAINTEXT listener for brokers")])
        }
        _ => Ok(()),
    }
}

/// Each role has its listeners, and none of another's (`KafkaConfig.validateValues`).
fn check_roles(
    settings: &Settings,
    broker: &[Listener],
    controller: &[Listener],
) -> Result<(), Vec<Problem>> {
    let node = settings.node();
    let fault =
        |key: &str, what: &str, remedy: &str| Err(vec![problem(settings, key, what.to_owned(), remedy)]);
    if !node.is_broker && (!broker.is_empty() || controller.is_empty()) {
        let what = "The listeners config must only contain KRaft controller listeners from controller.listener.names \
                    when process.roles=controller";
        return fault(
            LISTENERS,
            what,
            "name listeners of controllers only, and all in controller.listener.names",
        );
    }
    if !node.is_controller && !controller.is_empty() {
        let what = "controller.listener.names must not contain a value appearing in the 'listeners' configuration when \
                    running KRaft with just the broker role";
        return fault(CONTROLLER_NAMES, what, "remove the controller's listener from `listeners`");
    }
    if node.is_controller && controller.is_empty() && settings.quorum().voters.len() > 1 {
        let what = "controller.listener.names must contain at least one value appearing in the 'listeners' configuration \
                    when running the KRaft controller role";
        return fault(LISTENERS, what, "add the listener under which the other voters reach this one");
    }
    Ok(())
}

/// The host of a listener for its own clients: what was written, or a literal where every interface is meant.
///
/// Kafka takes the machine's host name for an empty host and refuses `0.0.0.0`; a literal is reached from the same
/// machine however its names resolve.
fn reachable(endpoint: &Endpoint, own_address: Ipv4Addr) -> String {
    match &endpoint.host {
        Some(host) if !is_wildcard(host) => host.clone(),
        _ => own_address.to_string(),
    }
}

fn is_wildcard(host: &str) -> bool {
    host.parse::<IpAddr>().is_ok_and(|address| address.is_unspecified())
}

/// `listener.security.protocol.map`; unless it is set, controller listeners are PLAINTEXT.
fn protocols(settings: &Settings, controller_names: &[String]) -> Result<Protocols, Vec<Problem>> {
    let mut protocols = Protocols::new();
    let mut problems = Vec::new();
    let text = settings.text(MAP).unwrap_or_default();
    for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let (name, protocol) = pair.rsplit_once(':').unwrap_or((pair, ""));
        match SecurityProtocol::parse(protocol.trim()) {
            Some(protocol) => {
                protocols.insert(name.trim().to_uppercase(), protocol);
            }
            None => {
                let what = format!("Invalid security protocol `{}` defined in {MAP}", protocol.trim());
                problems.push(problem(settings, MAP, what, "write NAME:PLAINTEXT for each listener name"));
            }
        }
    }
    if !settings.is_set(MAP) {
        for name in controller_names {
            protocols.entry(name.clone()).or_insert(SecurityProtocol::Plaintext);
        }
    }
    if problems.is_empty() { Ok(protocols) } else { Err(problems) }
}

fn parse_endpoints(
    settings: &Settings,
    key: &str,
    protocols: &Protocols,
) -> Result<Vec<Endpoint>, Vec<Problem>> {
    let mut endpoints = Vec::new();
    let mut problems = Vec::new();
    for text in settings.list(key) {
        match endpoint(&text) {
            Ok(endpoint) if protocols.contains_key(&endpoint.name) => endpoints.push(endpoint),
            Ok(Endpoint { name, .. }) => {
                let what = format!("No security protocol defined for listener {name}");
                problems.push(problem(settings, key, what, &format!("add {name}:PLAINTEXT to {MAP}")));
            }
            Err(what) => problems.push(problem(settings, key, what, "write NAME://host:port")),
        }
    }
    if problems.is_empty() { Ok(endpoints) } else { Err(problems) }
}

fn endpoint(text: &str) -> Result<Endpoint, String> {
    let unable = || format!("Unable to parse {text} to a broker endpoint");
    let (name, address) = text.rsplit_once("://").ok_or_else(unable)?;
    let (host, port) = address.rsplit_once(':').ok_or_else(unable)?;
    let host = host.strip_prefix('[').unwrap_or(host);
    let host = host.strip_suffix(']').unwrap_or(host);
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-%._:".contains(c);
    if !host.chars().all(allowed) || name.trim().is_empty() {
        return Err(unable());
    }
    let number: i64 = port.parse().map_err(|_| unable())?;
    let port =
        u16::try_from(number).map_err(|_| format!("port {number} of {text} is not between 0 and 65535"))?;
    let host = Some(host.to_owned()).filter(|host| !host.is_empty());
    Ok(Endpoint { name: name.trim().to_uppercase(), host, port })
}

/// Names are distinct, and so are ports, except between one IPv4 and one IPv6 literal.
fn check_ports(endpoints: &[Endpoint]) -> Result<(), String> {
    let shown = || endpoints.iter().map(show).collect::<Vec<_>>().join(",");
    for (index, endpoint) in endpoints.iter().enumerate() {
        if endpoints[..index].iter().any(|other| other.name == endpoint.name) {
            return Err(format!("Each listener must have a different name, listeners: {}", shown()));
        }
        let port = endpoint.port;
        let sharing: Vec<&Endpoint> =
            endpoints.iter().filter(|other| port != 0 && other.port == port).collect();
        if sharing.len() < 2 {
            continue;
        }
        let literals: Vec<IpAddr> =
            sharing.iter().filter_map(|other| other.host.as_deref()?.parse().ok()).collect();
        if literals.is_empty() {
            return Err(format!("Each listener must have a different port, listeners: {}", shown()));
        }
        let one_of_each = literals.len() == 2 && literals[0].is_ipv4() != literals[1].is_ipv4();
        if sharing.len() > 2 || !one_of_each {
            return Err(format!(
                "If you have two listeners on the same port then one needs to be IPv4 and the other IPv6, \
                 listeners: {}, port: {port}",
                shown()
            ));
        }
    }
    Ok(())
}

fn show(endpoint: &Endpoint) -> String {
    format!("{}://{}:{}", endpoint.name, endpoint.host.as_deref().unwrap_or_default(), endpoint.port)
}

fn check_advertised(
    settings: &Settings,
    advertised: &[Endpoint],
    listeners: &[Endpoint],
    controller_names: &[String],
) -> Result<(), Vec<Problem>> {
    let fault = |what: String, remedy: &str| Err(vec![problem(settings, ADVERTISED, what, remedy)]);
    if advertised.iter().any(|endpoint| endpoint.host.as_deref().is_some_and(is_wildcard)) {
        let what = format!(
            "{ADVERTISED} cannot use the nonroutable meta-address 0.0.0.0. Use a routable IP address."
        );
        return fault(what, "name the address that clients connect to, for example 127.0.0.1");
    }
    let names = |endpoints: &[Endpoint]| {
        let names = endpoints.iter().filter(|endpoint| !controller_names.contains(&endpoint.name));
        names.map(|endpoint| endpoint.name.clone()).collect::<Vec<_>>()
    };
    let (told, bound) = (names(advertised), names(listeners));
    if told.is_empty() {
        let what = "There must be at least one broker advertised listener. \
                    Perhaps all listeners appear in controller.listener.names?";
        return fault(what.to_owned(), "advertise a listener that is not the controller's");
    }
    if let Some(twice) = told.iter().enumerate().find(|(index, name)| told[..*index].contains(name)) {
        let what = format!("Each listener must have a different name, listeners: {}", twice.1);
        return fault(what, "advertise each listener once");
    }
    if told.iter().any(|name| !bound.contains(name)) {
        let what = format!(
            "{ADVERTISED} listener names must be equal to or a subset of the ones defined in {LISTENERS}. \
             Found {}. The valid options based on the current configuration are {}",
            told.join(","),
            bound.join(",")
        );
        return fault(what, "use the same names in both settings");
    }
    Ok(())
}

/// The listener for brokers; the first one if nobody chose and none is called after its protocol.
fn inter_broker(
    settings: &Settings,
    listeners: &[Listener],
    protocols: &Protocols,
) -> Result<String, Vec<Problem>> {
    let fault = |what: String, remedy: &str| Err(vec![problem(settings, INTER_BROKER, what, remedy)]);
    let advertised: Vec<&str> =
        listeners.iter().filter(|one| one.advertised.is_some()).map(|one| one.name.as_str()).collect();
    let Some(first) = advertised.first() else {
        let what = "There must be at least one broker advertised listener. \
                    Perhaps all listeners appear in controller.listener.names?";
        return Err(vec![problem(settings, LISTENERS, what.to_owned(), "add a listener for clients")]);
    };
    let by_protocol = "security.inter.broker.protocol";
    let chosen = settings.text(INTER_BROKER).filter(|name| !name.is_empty());
    let Some(name) = chosen.map(|name| name.to_uppercase()) else {
        let protocol = settings.text(by_protocol).unwrap_or_default().to_uppercase();
        let known = advertised.contains(&protocol.as_str());
        return Ok(if known { protocol } else { (*first).to_owned() });
    };
    if settings.is_set(by_protocol) {
        return fault(
            format!("Only one of {INTER_BROKER} and {by_protocol} should be set."),
            &format!("remove {by_protocol}"),
        );
    }
    if !protocols.contains_key(&name) {
        let what = format!("Listener with name {name} defined in {INTER_BROKER} not found in {MAP}.");
        return fault(what, &format!("add {name}:PLAINTEXT to {MAP}"));
    }
    if !advertised.contains(&name.as_str()) {
        let what = format!(
            "{INTER_BROKER} must be a listener name defined in {ADVERTISED}. The valid options based on currently \
             configured listeners are {}",
            advertised.join(",")
        );
        return fault(what, "name one of the advertised listeners");
    }
    Ok(name)
}

fn problem(settings: &Settings, key: &str, what: String, remedy: &str) -> Problem {
    let found = settings.find(key);
    let (text, source) = found.map_or(("", &Source::Default), |found| (found.text, found.source));
    Problem::new(key, text, source, what).remedy(remedy)
}

#[cfg(test)]
mod tests;
