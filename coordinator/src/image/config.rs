//! Kinds of resources that carry dynamic configs.
//!
//! Must never know a config's name or meaning: those are in the broker's settings table.

use std::collections::BTreeMap;

/// Dynamic configs of one resource, by name.
pub type Configs = BTreeMap<String, String>;

/// A folder below `/config`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConfigKind {
    Topic = 0,
    /// The entity with the empty name holds the cluster-wide defaults (`<default>` in the tree).
    Broker = 1,
    Group = 2,
    ClientMetrics = 3,
    /// SCRAM credentials (KIP-554), which have requests of their own.
    User = 4,
}

/// `ConfigResource.Type.UNKNOWN`.
const NO_RESOURCE: i8 = 0;

/// A resource that configs are asked and altered for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConfigResource {
    pub kind: ConfigKind,
    pub name: String,
}

impl ConfigKind {
    pub const COUNT: usize = 5;
    pub const ALL: [Self; Self::COUNT] =
        [Self::Topic, Self::Broker, Self::Group, Self::ClientMetrics, Self::User];

    /// The folder's name; those of groups and client metrics did not exist with ZooKeeper.
    pub fn folder(self) -> &'static str {
        match self {
            Self::Topic => "topics",
            Self::Broker => "brokers",
            Self::Group => "groups",
            Self::ClientMetrics => "client-metrics",
            Self::User => "users",
        }
    }

    pub fn from_folder(folder: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.folder() == folder)
    }

    /// `ConfigResource.Type` on the wire; users are no such resource.
    pub fn code(self) -> i8 {
        match self {
            Self::Topic => 2,
            Self::Broker => 4,
            Self::ClientMetrics => 16,
            Self::Group => 32,
            Self::User => NO_RESOURCE,
        }
    }

    pub fn from_code(code: i8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code && code != NO_RESOURCE)
    }

    /// The name that Kafka's messages print, e.g. `TOPIC`.
    pub fn label(self) -> &'static str {
        match self {
            Self::Topic => "TOPIC",
            Self::Broker => "BROKER",
            Self::ClientMetrics => "CLIENT_METRICS",
            Self::Group => "GROUP",
            Self::User => "USER",
        }
    }
}

impl ConfigResource {
    pub fn new(kind: ConfigKind, name: impl Into<String>) -> Self {
        Self { kind, name: name.into() }
    }
}
