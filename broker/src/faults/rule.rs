//! One rule: what it is meant for, when it strikes, what it does then, and how often it has.
//!
//! Must never draw from anything but its own seed, so that a test repeats.

use std::collections::BTreeSet;

use kafka_protocol::error::ResponseError;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::{Act, Asked, Counted, RuleError};
use crate::api;

/// Longest delay or throttle time: an hour, beyond every client's time-out.
const WAIT_MAX_MS: u64 = 3_600_000;
/// Silenced connections that are remembered; one that is forgotten has only its later requests served.
const SILENT_MAX: usize = 10_000;
/// Codes that are looked through for a name.
const CODES: std::ops::RangeInclusive<i16> = -1..=200;

/// What tests write. What is left out matches everything.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Names of APIs, as `Produce`, or their keys.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub api: Vec<String>,
    /// A client id; with `*` at its end, what it begins with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// So many requests that match go by first.
    #[serde(default)]
    pub skip: u64,
    /// It strikes so often at most; for ever if this is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u64>,
    /// With which it strikes, drawn from the seed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probability: Option<f64>,
    #[serde(default)]
    pub seed: u64,
    pub action: Action,
}

/// What happens to a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Action {
    Error { error: String },
    Delay { ms: u64 },
    Cut { when: When },
    Blackhole,
    Throttle { ms: u64 },
}

/// When a connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum When {
    Before,
    After,
}

/// A rule that stands.
#[derive(Debug)]
pub(super) struct Armed {
    rule: Rule,
    keys: Vec<i16>,
    act: Act,
    seen: u64,
    hits: u64,
    dice: Dice,
    silent: BTreeSet<u64>,
    gone: watch::Sender<()>,
}

impl Armed {
    pub(super) fn new(rule: Rule) -> Result<Self, RuleError> {
        let keys = rule.api.iter().map(|name| key(name)).collect::<Result<Vec<_>, _>>()?;
        let act = act(&rule.action)?;
        let named = || api::TABLE.iter().filter(|row| keys.contains(&row.key));
        if let Act::Error(_) = act
            && let Some(row) = named().find(|row| !api::can_refuse(row.key))
        {
            return Err(RuleError::NoError(row.name));
        }
        if let Act::Throttle(_) = act
            && let Some(row) = named().find(|row| !api::can_throttle(row.key))
        {
            return Err(RuleError::NoThrottle(row.name));
        }
        if let Some(probability) = rule.probability.filter(|value| !(0.0..=1.0).contains(value)) {
            return Err(RuleError::Probability(probability.to_string()));
        }
        if let Some(partition) = rule.partition.filter(|partition| *partition < 0) {
            return Err(RuleError::Partition(partition));
        }
        let dice = Dice(rule.seed);
        let (gone, _) = watch::channel(());
        Ok(Self { rule, keys, act, seen: 0, hits: 0, dice, silent: BTreeSet::new(), gone })
    }

    pub(super) fn counted(&self, id: u64) -> Counted {
        Counted { id, rule: self.rule.clone(), seen: self.seen, hits: self.hits }
    }

    pub(super) fn gone(&self) -> watch::Receiver<()> {
        self.gone.subscribe()
    }

    /// What it does to this request, and to which partitions; `None` if it lets it go by.
    pub(super) fn judge(&mut self, asked: &Asked<'_>) -> Option<(Act, Vec<(String, i32)>)> {
        // Whoever was silenced hears nothing more, whatever it asks.
        if self.silent.contains(&asked.connection) {
            return Some((self.act, Vec::new()));
        }
        let partitions = self.matches(asked)?;
        self.seen += 1;
        let is_over = self.rule.times.is_some_and(|times| self.hits >= times);
        if self.seen <= self.rule.skip || is_over || !self.strikes() {
            return None;
        }
        self.hits += 1;
        if self.act == Act::Silence && self.silent.len() < SILENT_MAX {
            self.silent.insert(asked.connection);
        }
        Some((self.act, partitions))
    }

    fn strikes(&mut self) -> bool {
        self.rule.probability.is_none_or(|probability| self.dice.roll() < probability)
    }

    /// The partitions that are meant; `None` if the request is not.
    fn matches(&self, asked: &Asked<'_>) -> Option<Vec<(String, i32)>> {
        let rule = &self.rule;
        let of_api = self.keys.is_empty() && can(self.act, asked.key) || self.keys.contains(&asked.key);
        let of_client = rule.client_id.as_deref().is_none_or(|wanted| match wanted.strip_suffix('*') {
            Some(start) => asked.client_id.starts_with(start),
            None => asked.client_id == wanted,
        });
        if !of_api || !of_client {
            return None;
        }
        if rule.topic.is_none()
            && rule.partition.is_none()
            && rule.group.is_none()
            && !self.needs_partitions(asked)
        {
            return Some(Vec::new());
        }
        let subjects = (asked.subjects)();
        if rule.group.as_ref().is_some_and(|group| !subjects.groups.contains(group)) {
            return None;
        }
        let is_meant = |(topic, partition): &&(String, Option<i32>)| {
            rule.topic.as_ref().is_none_or(|wanted| wanted == topic)
                && rule.partition.is_none_or(|wanted| *partition == Some(wanted))
        };
        let meant: Vec<_> = subjects.topics.iter().filter(is_meant).collect();
        if meant.is_empty() && (rule.topic.is_some() || rule.partition.is_some()) {
            return None;
        }
        let partitions =
            meant.into_iter().filter_map(|(topic, partition)| Some((topic.clone(), (*partition)?)));
        Some(partitions.collect())
    }

    /// An answer to Fetch tells of partitions of the session, which the request need not name.
    fn needs_partitions(&self, asked: &Asked<'_>) -> bool {
        matches!(self.act, Act::Error(_)) && asked.key == api::FETCH
    }
}

/// Whether an API can have this done to it, for rules that name none.
fn can(act: Act, key: i16) -> bool {
    match act {
        Act::Error(_) => api::can_refuse(key),
        Act::Throttle(_) => api::can_throttle(key),
        _ => true,
    }
}

fn key(name: &str) -> Result<i16, RuleError> {
    let number: Option<i16> = name.parse().ok();
    let is_it = |row: &&api::Row| number == Some(row.key) || row.name.eq_ignore_ascii_case(name);
    api::TABLE.iter().find(is_it).map(|row| row.key).ok_or_else(|| RuleError::Api(name.to_owned()))
}

fn act(action: &Action) -> Result<Act, RuleError> {
    let wait = |ms: u64| if ms > WAIT_MAX_MS { Err(RuleError::Long(ms, WAIT_MAX_MS)) } else { Ok(ms) };
    Ok(match action {
        Action::Error { error } => Act::Error(code(error)?),
        Action::Delay { ms } => Act::Delay(wait(*ms)?),
        Action::Cut { when: When::Before } => Act::CutBefore,
        Action::Cut { when: When::After } => Act::CutAfter,
        Action::Blackhole => Act::Silence,
        Action::Throttle { ms } => Act::Throttle(i32::try_from(wait(*ms)?).expect("an hour fits")),
    })
}

/// A code by its number or by Kafka's name of it, as `NOT_LEADER_OR_FOLLOWER`.
fn code(text: &str) -> Result<i16, RuleError> {
    let bare = |text: &str| text.replace('_', "").to_ascii_lowercase();
    let (number, name): (Option<i16>, _) = (text.parse().ok(), bare(text));
    let is_it = |code: &i16| match ResponseError::try_from_code(*code) {
        None | Some(ResponseError::Unknown(_)) => false,
        Some(error) => number == Some(*code) || bare(&format!("{error:?}")) == name,
    };
    CODES.into_iter().find(is_it).ok_or_else(|| RuleError::Code(text.to_owned()))
}

/// SplitMix64: a few lines, the same everywhere.
#[derive(Debug)]
struct Dice(u64);

impl Dice {
    /// From 0 up to 1.
    fn roll(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        (mixed >> 11) as f64 / (1u64 << 53) as f64
    }
}
