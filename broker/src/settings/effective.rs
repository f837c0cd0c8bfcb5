//! The values that hold now: what the sources gave, what clients changed, and the defaults below.
//!
//! Must never read a file or the environment itself; `load` does, and hands over the result.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use super::row::Row;
use super::rows;
use super::source::dev_security;
use super::value::Value;
use super::views::{FetchSettings, TopicDefaults};

/// All settings of one broker. Cheap to clone; a change makes a new one.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    given: Arc<BTreeMap<String, Given>>,
    cluster_wide: Arc<BTreeMap<String, String>>,
    per_broker: Arc<BTreeMap<String, String>>,
    pub(super) asked_often: Arc<AskedOften>,
}

/// Views that handlers ask for with every request; parsed once for each state of the settings.
#[derive(Debug, Default)]
pub(super) struct AskedOften {
    pub fetch: OnceLock<FetchSettings>,
    pub topic_defaults: OnceLock<TopicDefaults>,
}

/// A value that the operator gave, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    pub text: String,
    pub source: Source,
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    Default,
    File {
        path: PathBuf,
        line: usize,
    },
    Environment {
        variable: String,
    },
    Override,
    /// What a container has where nobody gave a value.
    Container,
    /// What `--dev-security` adds where nobody gave a value.
    DevSecurity,
    /// Set by a client for every broker.
    ClusterWide,
    /// Set by a client for this broker.
    PerBroker,
}

/// One value with its origin.
#[derive(Clone, Copy, Debug)]
pub struct Found<'a> {
    pub text: &'a str,
    pub source: &'a Source,
}

impl Settings {
    /// Settings from checked values.
    pub(super) fn from_given(given: BTreeMap<String, Given>) -> Self {
        Self { given: Arc::new(given), ..Self::default() }
    }

    /// Settings for programs that embed a broker and for tests: the defaults and these pairs, each checked.
    pub fn from_pairs(pairs: &[(&str, &str)]) -> Result<Self, String> {
        let mut given = BTreeMap::new();
        for (name, text) in pairs {
            if let Some(row) = rows::broker_row(name) {
                row.parse(text)?;
            }
            given.insert((*name).to_owned(), Given { text: (*text).to_owned(), source: Source::Override });
        }
        dev_security::complete(&mut given);
        Ok(Self::from_given(given))
    }

    /// These settings under the dynamic values that the image holds for all brokers and for this one.
    #[must_use]
    pub fn with_dynamic(
        &self,
        cluster_wide: &BTreeMap<String, String>,
        per_broker: &BTreeMap<String, String>,
    ) -> Self {
        Self {
            given: Arc::clone(&self.given),
            cluster_wide: Arc::new(cluster_wide.clone()),
            per_broker: Arc::new(per_broker.clone()),
            asked_often: Arc::default(),
        }
    }

    /// What the operator gave, including keys that no row knows.
    pub fn given(&self) -> &BTreeMap<String, Given> {
        &self.given
    }

    pub fn cluster_wide(&self) -> &BTreeMap<String, String> {
        &self.cluster_wide
    }

    pub fn per_broker(&self) -> &BTreeMap<String, String> {
        &self.per_broker
    }

    /// The value that holds for a name, known or not; `None` if it is neither set nor has a default.
    pub fn find(&self, name: &str) -> Option<Found<'_>> {
        if let Some(text) = self.per_broker.get(name) {
            return Some(Found { text, source: &Source::PerBroker });
        }
        if let Some(text) = self.cluster_wide.get(name) {
            return Some(Found { text, source: &Source::ClusterWide });
        }
        if let Some(given) = self.given.get(name) {
            return Some(Found { text: &given.text, source: &given.source });
        }
        let text = self.row_default(rows::broker_row(name)?)?;
        Some(Found { text, source: &Source::Default })
    }

    /// Whether anybody set this name, be it to its default.
    pub fn is_set(&self, name: &str) -> bool {
        self.per_broker.contains_key(name)
            || self.cluster_wide.contains_key(name)
            || self.given.contains_key(name)
    }

    /// A row's default on a cluster of this size.
    pub fn row_default(&self, row: &Row) -> Option<&'static str> {
        row.default_for(self.is_single_node())
    }

    /// Whether this node is its whole cluster: then internal topics have one replica unless the operator says otherwise.
    pub fn is_single_node(&self) -> bool {
        let voters = self.given.get("controller.quorum.voters").map_or("", |given| given.text.as_str());
        let servers =
            self.given.get("controller.quorum.bootstrap.servers").map_or("", |given| given.text.as_str());
        let is_broker_only =
            self.given.get("process.roles").is_some_and(|given| given.text.trim() == "broker");
        !voters.contains(',') && !servers.contains(',') && !is_broker_only
    }

    /// The parsed value of a row of the table; `None` where the value is Java's null.
    ///
    /// A dynamic value that does not parse was stored by another version; the one below it holds then.
    pub fn value(&self, name: &str) -> Option<Value> {
        let row = rows::broker_row(name).expect("typed views read only names of the table");
        let given = self.given.get(name).map(|given| given.text.as_str());
        [
            self.per_broker.get(name).map(String::as_str),
            self.cluster_wide.get(name).map(String::as_str),
            given,
        ]
        .into_iter()
        .flatten()
        .find_map(|text| row.parse(text).ok())
        .or_else(|| self.row_default(row).and_then(|text| row.parse(text).ok()))
    }

    pub(super) fn boolean(&self, name: &str) -> bool {
        matches!(self.value(name), Some(Value::Boolean(true)))
    }

    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.value(name).map(|value| value.to_text())
    }

    /// An integer of any width; zero where it is null.
    pub(super) fn long(&self, name: &str) -> i64 {
        self.optional_long(name).unwrap_or_default()
    }

    pub(super) fn optional_long(&self, name: &str) -> Option<i64> {
        match self.value(name)? {
            Value::Long(number) => Some(number),
            Value::Int(number) => Some(i64::from(number)),
            Value::Short(number) => Some(i64::from(number)),
            _ => None,
        }
    }

    pub(super) fn int(&self, name: &str) -> i32 {
        i32::try_from(self.long(name)).expect("the row is an int or a short")
    }

    pub(super) fn short(&self, name: &str) -> i16 {
        i16::try_from(self.long(name)).expect("the row is a short")
    }

    pub(super) fn double(&self, name: &str) -> f64 {
        match self.value(name) {
            Some(Value::Double(number)) => number,
            _ => 0.0,
        }
    }

    pub(super) fn list(&self, name: &str) -> Vec<String> {
        match self.value(name) {
            Some(Value::List(items)) => items,
            _ => Vec::new(),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Environment { variable } => write!(f, "environment variable {variable}"),
            Self::Override => f.write_str("command line"),
            Self::Container => f.write_str("container"),
            Self::DevSecurity => f.write_str("--dev-security"),
            Self::ClusterWide => f.write_str("dynamic, all brokers"),
            Self::PerBroker => f.write_str("dynamic, this broker"),
        }
    }
}
