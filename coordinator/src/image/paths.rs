//! Kafka's classic paths: where in the tree each thing is kept.
//!
//! Must never be bypassed: a path is written or taken apart here and nowhere else.

use std::borrow::Cow;
use std::fmt::Write as _;

use milena_storage::ids::BrokerId;

use super::{ConfigKind, QuotaEntity};

pub const CLUSTER_ID: &str = "/cluster/id";
pub const BROKER_IDS: &str = "/brokers/ids";
pub const TOPICS: &str = "/brokers/topics";
pub const CONTROLLER: &str = "/controller";
pub const CONTROLLER_EPOCH: &str = "/controller_epoch";
pub const FEATURE: &str = "/feature";
pub const PRODUCER_IDS: &str = "/latest_producer_id_block";
/// What was taken over from an older cluster, as a mark of that cluster's metadata log.
pub const ADOPTED: &str = "/cluster/adopted";
pub const CONFIG: &str = "/config";
pub const USERS: &str = "/config/users";
pub const CLIENTS: &str = "/config/clients";
pub const IPS: &str = "/config/ips";

/// The nodes without content that everything else hangs on, parents first.
pub const FOLDERS: [&str; 12] = [
    "/cluster",
    "/brokers",
    BROKER_IDS,
    TOPICS,
    CONFIG,
    "/config/topics",
    "/config/brokers",
    "/config/groups",
    "/config/client-metrics",
    USERS,
    CLIENTS,
    IPS,
];

/// Node name of the entity with the empty name (`ZooKeeperInternals.DEFAULT_STRING`).
const DEFAULT_ENTITY: &str = "<default>";

/// What a path stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place<'a> {
    ClusterId,
    Controller,
    ControllerEpoch,
    Feature,
    ProducerIds,
    Broker(BrokerId),
    Topic(&'a str),
    Partition(&'a str, i32),
    Config(ConfigKind, Cow<'a, str>),
    /// Quotas; those of a user are among its configs.
    Quotas(QuotaEntity),
    /// The folder of a user's clients.
    ClientsOf(Cow<'a, str>),
    /// Folders, and nodes that the image does not read.
    Elsewhere,
}

pub fn broker(id: BrokerId) -> String {
    format!("{BROKER_IDS}/{id}")
}

pub fn topic(name: &str) -> String {
    format!("{TOPICS}/{name}")
}

pub fn partitions(topic: &str) -> String {
    format!("{TOPICS}/{topic}/partitions")
}

pub fn partition(topic: &str, index: i32) -> String {
    format!("{TOPICS}/{topic}/partitions/{index}")
}

pub fn partition_state(topic: &str, index: i32) -> String {
    format!("{TOPICS}/{topic}/partitions/{index}/state")
}

pub fn config_folder(kind: ConfigKind) -> String {
    format!("{CONFIG}/{}", kind.folder())
}

pub fn config(kind: ConfigKind, name: &str) -> String {
    format!("{CONFIG}/{}/{}", kind.folder(), encode(name))
}

/// Where an entity's quotas are.
pub fn quotas(entity: &QuotaEntity) -> String {
    match entity {
        QuotaEntity::User(user) => config(ConfigKind::User, user),
        QuotaEntity::UserClient(user, client) => format!("{}/{}", clients_of(user), encode(client)),
        QuotaEntity::Client(client) => format!("{CLIENTS}/{}", encode(client)),
        QuotaEntity::Ip(ip) => format!("{IPS}/{}", encode(ip)),
    }
}

/// The folder of the quotas that clients have as a user.
pub fn clients_of(user: &str) -> String {
    format!("{}/clients", config(ConfigKind::User, user))
}

/// Takes a path apart.
pub fn place(path: &str) -> Place<'_> {
    match path {
        CLUSTER_ID => return Place::ClusterId,
        CONTROLLER => return Place::Controller,
        CONTROLLER_EPOCH => return Place::ControllerEpoch,
        FEATURE => return Place::Feature,
        PRODUCER_IDS => return Place::ProducerIds,
        _ => {}
    }
    let mut parts = path.split('/').skip(1);
    let head = (parts.next(), parts.next(), parts.next());
    let rest = (parts.next(), parts.next(), parts.next(), parts.next());
    match (head, rest) {
        ((Some("brokers"), Some("ids"), Some(id)), (None, ..)) => {
            id.parse().map_or(Place::Elsewhere, |id| Place::Broker(BrokerId(id)))
        }
        ((Some("brokers"), Some("topics"), Some(topic)), (None, ..)) => Place::Topic(topic),
        (
            (Some("brokers"), Some("topics"), Some(topic)),
            (Some("partitions"), Some(index), Some("state"), None),
        ) => index.parse().map_or(Place::Elsewhere, |index| Place::Partition(topic, index)),
        ((Some("config"), Some("clients"), Some(name)), (None, ..)) => {
            Place::Quotas(QuotaEntity::Client(decode(name).into()))
        }
        ((Some("config"), Some("ips"), Some(name)), (None, ..)) => {
            Place::Quotas(QuotaEntity::Ip(decode(name).into()))
        }
        ((Some("config"), Some("users"), Some(user)), (Some("clients"), None, ..)) => {
            Place::ClientsOf(decode(user))
        }
        ((Some("config"), Some("users"), Some(user)), (Some("clients"), Some(client), None, _)) => {
            Place::Quotas(QuotaEntity::UserClient(decode(user).into(), decode(client).into()))
        }
        ((Some("config"), Some(folder), Some(name)), (None, ..)) => {
            ConfigKind::from_folder(folder).map_or(Place::Elsewhere, |kind| Place::Config(kind, decode(name)))
        }
        _ => Place::Elsewhere,
    }
}

/// A resource's name as a node name. Group ids may hold any character, also '/', so all but the safe ones are
/// percent-encoded, as Kafka's `Sanitizer` does for users and clients.
fn encode(name: &str) -> Cow<'_, str> {
    if name.is_empty() {
        return Cow::Borrowed(DEFAULT_ENTITY);
    }
    // "." and ".." are no node names, so their dots must not pass.
    let dots = name == "." || name == "..";
    let safe = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_' || (b == b'.' && !dots);
    if name.bytes().all(safe) {
        return Cow::Borrowed(name);
    }
    let mut out = String::with_capacity(name.len() * 3);
    for b in name.bytes() {
        if safe(b) {
            out.push(char::from(b));
        } else {
            write!(out, "%{b:02X}").expect("a String takes every write");
        }
    }
    Cow::Owned(out)
}

/// The inverse of [`encode`]; a node name that it never writes is taken as it is.
pub(super) fn decode(node: &str) -> Cow<'_, str> {
    if node == DEFAULT_ENTITY {
        return Cow::Borrowed("");
    }
    if !node.contains('%') {
        return Cow::Borrowed(node);
    }
    let mut bytes = Vec::with_capacity(node.len());
    let mut rest = node.bytes();
    while let Some(b) = rest.next() {
        if b != b'%' {
            bytes.push(b);
            continue;
        }
        let hex =
            |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16)).and_then(|d| u8::try_from(d).ok());
        match (hex(rest.next()), hex(rest.next())) {
            (Some(high), Some(low)) => bytes.push(high << 4 | low),
            _ => return Cow::Borrowed(node),
        }
    }
    String::from_utf8(bytes).map_or(Cow::Borrowed(node), Cow::Owned)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_written_path_is_taken_apart_again() {
        assert_eq!(place(&broker(BrokerId(7))), Place::Broker(BrokerId(7)));
        assert_eq!(place(&topic("a.b_c")), Place::Topic("a.b_c"));
        assert_eq!(place(&partition_state("t", 12)), Place::Partition("t", 12));
        assert_eq!(place(&config(ConfigKind::Broker, "")), Place::Config(ConfigKind::Broker, "".into()));
        let quotas_of = [
            QuotaEntity::Client("".into()),
            QuotaEntity::Ip("::1".into()),
            QuotaEntity::UserClient("a/b".into(), "".into()),
        ];
        for entity in quotas_of {
            assert_eq!(place(&quotas(&entity)), Place::Quotas(entity));
        }
        assert_eq!(
            quotas(&QuotaEntity::UserClient("".into(), "c d".into())),
            "/config/users/<default>/clients/c%20d"
        );
        assert_eq!(place(&clients_of("u")), Place::ClientsOf("u".into()));
        for other in [
            partitions("t"),
            partition("t", 1),
            "/".into(),
            "/brokers/ids/x".into(),
            "/config/changes/c".into(),
        ] {
            assert_eq!(place(&other), Place::Elsewhere, "{other}");
        }
    }

    proptest! {
        #[test]
        fn any_resource_name_survives_as_one_node_name(name in "\\PC{0,12}|[./%<>a]{0,6}") {
            let node = encode(&name);
            prop_assert!(!node.contains('/') && node != "." && node != ".." && !node.is_empty());
            let decoded = decode(&node).into_owned();
            prop_assert_eq!(decoded, name);
        }
    }
}
