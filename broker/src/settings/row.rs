//! The shape of one setting: its name, type, default, check, how it may change, and what it is for.
//!
//! Must never read a file or hold a value that somebody set: a row is a constant.

use super::value::{self, Value};

/// One setting. The tables in `rows/` are made of these, everything else derives from them.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub name: &'static str,
    pub kind: Kind,
    /// Kafka's default as text; `None` is Java's null, or a key that Kafka demands and Milena does not.
    pub default: Option<&'static str>,
    /// Milena's default, where it differs from Kafka's.
    pub own_default: Option<&'static str>,
    /// Whether Milena's own default holds only while one node is the whole cluster.
    pub own_when_single: bool,
    pub check: Check,
    pub update: Update,
    pub importance: Importance,
    /// Internal in Kafka's sense: settable, but neither described to clients nor in the reference page.
    pub hidden: bool,
    /// For topic and group settings: the broker setting with the highest precedence that they fall back to.
    pub synonym: Option<&'static str>,
    pub effect: Effect,
    /// The Kafka improvement proposal to read for more; zero if there is none to name.
    pub kip: u16,
    pub doc: &'static str,
}

/// The type of a value, with Kafka's names and wire codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Boolean,
    String,
    Int,
    Short,
    Long,
    Double,
    List,
    Class,
    Password,
}

/// What a value must satisfy beyond its type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Check {
    Any,
    Range {
        min: f64,
        max: Option<f64>,
    },
    OneOf(&'static [&'static str]),
    OneOfIgnoringCase(&'static [&'static str]),
    /// A list without empty values; an empty `values` admits any.
    Items {
        values: &'static [&'static str],
        may_be_empty: bool,
    },
    NonEmptyText,
    NonEmptyList,
    /// A compression level, or −1 for the codec's own default.
    LevelOrDefault {
        min: i32,
        max: i32,
    },
    /// `*` or `partition:broker` pairs.
    ThrottledReplicas,
    /// `latest`, `earliest` or `by_duration:` and an ISO-8601 duration (KIP-932, KIP-1106).
    ShareOffsetReset,
}

/// How a setting of a broker changes while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Update {
    ReadOnly,
    PerBroker,
    ClusterWide,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Importance {
    High,
    Medium,
    Low,
}

/// Whether Milena acts on a setting, or takes it so that files and tools written for Kafka work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    Works,
    Accepted,
}

impl Row {
    const fn new(name: &'static str, kind: Kind, default: Option<&'static str>) -> Self {
        Self {
            name,
            kind,
            default,
            own_default: None,
            own_when_single: false,
            check: Check::Any,
            update: Update::ReadOnly,
            importance: Importance::Medium,
            hidden: false,
            synonym: None,
            effect: Effect::Works,
            kip: 0,
            doc: "",
        }
    }

    /// Whether Kafka does not have it.
    pub fn is_milenas(&self) -> bool {
        self.name == "cluster.id" || self.name.starts_with("zookeeper.") || self.name.starts_with("milena.")
    }

    pub(super) const fn boolean(name: &'static str, default: &'static str) -> Self {
        Self::new(name, Kind::Boolean, Some(default))
    }

    pub(super) const fn text(name: &'static str, default: &'static str) -> Self {
        Self::new(name, Kind::String, Some(default))
    }

    pub(super) const fn int(name: &'static str, default: &'static str) -> Self {
        Self::new(name, Kind::Int, Some(default))
    }

    pub(super) const fn short(name: &'static str, default: &'static str) -> Self {
        Self::new(name, Kind::Short, Some(default))
    }

    pub(super) const fn long(name: &'static str, default: &'static str) -> Self {
        Self::new(name, Kind::Long, Some(default))
    }

    pub(super) const fn double(name: &'static str, default: &'static str) -> Self {
        Self::new(name, Kind::Double, Some(default))
    }

    pub(super) const fn list(name: &'static str, default: &'static str) -> Self {
        Self::new(name, Kind::List, Some(default))
    }

    pub(super) const fn class(name: &'static str, default: &'static str) -> Self {
        Self::new(name, Kind::Class, Some(default))
    }

    /// A setting whose default is Java's null.
    pub(super) const fn unset(name: &'static str, kind: Kind) -> Self {
        Self::new(name, kind, None)
    }

    pub(super) const fn at_least(mut self, min: f64) -> Self {
        self.check = Check::Range { min, max: None };
        self
    }

    pub(super) const fn between(mut self, min: f64, max: f64) -> Self {
        self.check = Check::Range { min, max: Some(max) };
        self
    }

    pub(super) const fn check(mut self, check: Check) -> Self {
        self.check = check;
        self
    }

    pub(super) const fn one_of(self, values: &'static [&'static str]) -> Self {
        self.check(Check::OneOf(values))
    }

    /// Items that are each counted once, none of them empty.
    pub(super) const fn distinct(self, may_be_empty: bool) -> Self {
        self.check(Check::Items { values: &[], may_be_empty })
    }

    pub(super) const fn own(mut self, default: &'static str) -> Self {
        self.own_default = Some(default);
        self
    }

    pub(super) const fn own_when_single(mut self, default: &'static str) -> Self {
        self.own_when_single = true;
        self.own(default)
    }

    pub(super) const fn cluster_wide(mut self) -> Self {
        self.update = Update::ClusterWide;
        self
    }

    pub(super) const fn per_broker(mut self) -> Self {
        self.update = Update::PerBroker;
        self
    }

    pub(super) const fn high(mut self) -> Self {
        self.importance = Importance::High;
        self
    }

    pub(super) const fn low(mut self) -> Self {
        self.importance = Importance::Low;
        self
    }

    pub(super) const fn hidden(mut self) -> Self {
        self.hidden = true;
        self
    }

    pub(super) const fn synonym(mut self, broker_name: &'static str) -> Self {
        self.synonym = Some(broker_name);
        self
    }

    pub(super) const fn accepted(mut self) -> Self {
        self.effect = Effect::Accepted;
        self
    }

    pub(super) const fn kip(mut self, number: u16) -> Self {
        self.kip = number;
        self
    }

    pub(super) const fn doc(mut self, doc: &'static str) -> Self {
        self.doc = doc;
        self
    }

    /// The text parsed and checked, or Kafka's message about what is wrong with it.
    pub fn parse(&self, text: &str) -> Result<Value, String> {
        let mut parsed = value::parse(self.name, self.kind, text)?;
        if let (Check::Items { .. }, Value::List(items)) = (self.check, &mut parsed) {
            // `ConfigDef.parseValue` drops repetitions of checked lists before it looks at them (KIP-1161).
            let all = std::mem::take(items);
            all.into_iter().for_each(|item| {
                if !items.contains(&item) {
                    items.push(item)
                }
            });
        }
        value::check(self.name, &self.check, &parsed)?;
        Ok(parsed)
    }

    /// The default that a node of a cluster of this size starts with.
    pub fn default_for(&self, single_node: bool) -> Option<&'static str> {
        match self.own_default {
            Some(own) if single_node || !self.own_when_single => Some(own),
            _ => self.default,
        }
    }

    /// Whether the value is withheld from clients, logs and `milena config`.
    pub fn is_secret(&self) -> bool {
        self.kind == Kind::Password
    }

    pub fn is_dynamic(&self) -> bool {
        self.update != Update::ReadOnly
    }
}

impl Kind {
    /// `DescribeConfigsResponse.ConfigType`; zero is for settings of unknown type.
    pub fn code(self) -> i8 {
        match self {
            Self::Boolean => 1,
            Self::String => 2,
            Self::Int => 3,
            Self::Short => 4,
            Self::Long => 5,
            Self::Double => 6,
            Self::List => 7,
            Self::Class => 8,
            Self::Password => 9,
        }
    }

    /// The name that Kafka's messages and documentation use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Boolean => "BOOLEAN",
            Self::String => "STRING",
            Self::Int => "INT",
            Self::Short => "SHORT",
            Self::Long => "LONG",
            Self::Double => "DOUBLE",
            Self::List => "LIST",
            Self::Class => "CLASS",
            Self::Password => "PASSWORD",
        }
    }
}

impl Update {
    /// The words of Kafka's reference page.
    pub fn name(self) -> &'static str {
        match self {
            Self::ReadOnly => "read-only",
            Self::PerBroker => "per-broker",
            Self::ClusterWide => "cluster-wide",
        }
    }
}
