//! A registered broker as the image holds it.
//!
//! Must never hold what only that broker knows: the paths of its log directories and its settings are asked from it.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use milena_storage::ids::BrokerId;
use uuid::Uuid;

/// `/brokers/ids/<id>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerImage {
    pub id: BrokerId,
    /// The zxid that created the node: it grows with each start and fences earlier ones.
    pub epoch: i64,
    pub endpoints: Vec<Endpoint>,
    pub rack: Option<String>,
    /// A fenced broker leads nothing and is left out of Metadata.
    pub fenced: bool,
    /// It is fenced because its link has closed though its session is not over: it may be back at once, with all that it has.
    pub suspect: bool,
    /// The id of its metadata log directory, which only one process at a time can have open.
    pub directory: Option<Uuid>,
    /// The ids of its log directories that serve (KIP-858); none when it has only one, with which it would end.
    pub log_dirs: Vec<Uuid>,
    /// All of its log directories are cordoned, so that it gets no new partitions (KIP-1066).
    pub cordoned: bool,
    pub features: SupportedFeatures,
}

/// The levels of each feature that a broker can work with (KIP-584). Empty for one that an earlier version of this broker registered,
/// which told none.
pub type SupportedFeatures = BTreeMap<String, RangeInclusive<i16>>;

/// Where clients of one listener reach a broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    pub listener: String,
    pub host: String,
    pub port: u16,
    pub protocol: SecurityProtocol,
}

/// Kafka's security protocols.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SecurityProtocol {
    Plaintext,
    Ssl,
    SaslPlaintext,
    SaslSsl,
}

impl BrokerImage {
    /// Whether what lies in a log directory is served; where nothing is known of directories, it is
    /// (`BrokerRegistration.hasOnlineDir`).
    pub fn has_online_dir(&self, directory: Option<Uuid>) -> bool {
        self.log_dirs.is_empty() || directory.is_none_or(|directory| self.log_dirs.contains(&directory))
    }

    /// The endpoint of a listener, by name without regard to case.
    pub fn endpoint(&self, listener: &str) -> Option<&Endpoint> {
        self.endpoints.iter().find(|e| e.listener.eq_ignore_ascii_case(listener))
    }
}

impl SecurityProtocol {
    pub fn name(self) -> &'static str {
        match self {
            Self::Plaintext => "PLAINTEXT",
            Self::Ssl => "SSL",
            Self::SaslPlaintext => "SASL_PLAINTEXT",
            Self::SaslSsl => "SASL_SSL",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        [Self::Plaintext, Self::Ssl, Self::SaslPlaintext, Self::SaslSsl]
            .into_iter()
            .find(|p| p.name().eq_ignore_ascii_case(name))
    }
}
