//! What a client is told about settings: values with their sources, synonyms, types and documentation.
//!
//! Must never show a secret. Behaviours are those of Kafka's `ConfigHelper`; see each function.

use std::collections::BTreeMap;

use super::row::{Kind, Row};
use super::{Settings, rows};

/// Where a described value comes from (`DescribeConfigsResponse.ConfigSource`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub enum ConfigSource {
    Unknown = 0,
    Topic = 1,
    DynamicBroker = 2,
    DynamicDefaultBroker = 3,
    StaticBroker = 4,
    Default = 5,
    DynamicBrokerLogger = 6,
    ClientMetrics = 7,
    Group = 8,
}

/// One described setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub name: String,
    /// `None` for secrets, for settings of unknown type, and where the value is null.
    pub value: Option<String>,
    pub source: ConfigSource,
    pub read_only: bool,
    pub sensitive: bool,
    /// `None` for settings of unknown type.
    pub kind: Option<Kind>,
    /// Every place that could give the value, the one that does first.
    pub synonyms: Vec<Synonym>,
    pub documentation: Option<&'static str>,
}

/// One place that gives or could give a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Synonym {
    pub name: String,
    pub value: Option<String>,
    pub source: ConfigSource,
}

impl Entry {
    /// `DescribeConfigsResponse.ConfigType`.
    pub fn type_code(&self) -> i8 {
        self.kind.map_or(0, Kind::code)
    }
}

impl Settings {
    /// A topic with these overrides: all public settings, and hidden ones that are set.
    pub fn describe_topic(&self, overrides: &BTreeMap<String, String>) -> Vec<Entry> {
        let shown = |row: &&Row| !row.hidden || overrides.contains_key(row.name);
        rows::TOPIC_ROWS
            .iter()
            .filter(shown)
            .map(|row| {
                let value = self.topic_value(row, overrides).map(|value| value.to_text());
                let mut synonyms = row.synonym.map(|name| self.synonyms(name, false)).unwrap_or_default();
                if overrides.contains_key(row.name) {
                    let own = Synonym {
                        name: row.name.to_owned(),
                        value: value.clone(),
                        source: ConfigSource::Topic,
                    };
                    synonyms.insert(0, own);
                }
                entry(row, value, synonyms, false)
            })
            .collect()
    }

    /// A group with these overrides; a group that does not exist has the defaults, and that is no error.
    pub fn describe_group(&self, overrides: &BTreeMap<String, String>) -> Vec<Entry> {
        rows::GROUP_ROWS
            .iter()
            .map(|row| {
                let own = overrides.get(row.name).and_then(|text| row.parse(text).ok());
                let value = own
                    .or_else(|| row.synonym.and_then(|name| self.value(name)))
                    .map(|value| value.to_text())
                    .or_else(|| row.default.map(str::to_owned));
                let mut synonyms = match row.synonym {
                    Some(name) => self.synonyms(name, false),
                    None => vec![Synonym {
                        name: row.name.to_owned(),
                        value: row.default.map(str::to_owned),
                        source: ConfigSource::Default,
                    }],
                };
                if overrides.contains_key(row.name) {
                    let own = Synonym {
                        name: row.name.to_owned(),
                        value: value.clone(),
                        source: ConfigSource::Group,
                    };
                    synonyms.insert(0, own);
                }
                entry(row, value, synonyms, false)
            })
            .collect()
    }

    /// A client-metrics subscription with these overrides.
    pub fn describe_client_metrics(&self, overrides: &BTreeMap<String, String>) -> Vec<Entry> {
        rows::CLIENT_METRICS_ROWS
            .iter()
            .map(|row| {
                let own = overrides.get(row.name).and_then(|text| row.parse(text).ok());
                let value = own.map(|value| value.to_text()).or_else(|| row.default.map(str::to_owned));
                let synonyms = if overrides.contains_key(row.name) {
                    vec![Synonym {
                        name: row.name.to_owned(),
                        value: value.clone(),
                        source: ConfigSource::ClientMetrics,
                    }]
                } else {
                    Vec::new()
                };
                entry(row, value, synonyms, false)
            })
            .collect()
    }

    /// This broker: all public settings, and every key that was set, known or not.
    pub fn describe_broker(&self) -> Vec<Entry> {
        let mut entries: Vec<Entry> = rows::broker_rows()
            .filter(|row| !row.hidden)
            .map(|row| self.broker_entry(row.name, true))
            .collect();
        entries.extend(
            self.set_names()
                .filter(|name| rows::broker_row(name).is_none_or(|row| row.hidden))
                .map(|name| self.broker_entry(name, true)),
        );
        entries
    }

    /// The resource with the empty name: only what clients set for all brokers.
    pub fn describe_cluster_wide(&self) -> Vec<Entry> {
        self.cluster_wide().keys().map(|name| self.broker_entry(name, false)).collect()
    }

    fn broker_entry(&self, name: &str, per_broker: bool) -> Entry {
        let row =
            rows::broker_row(name).or_else(|| broker_family(name).into_iter().find_map(rows::broker_row));
        let sensitive = row.is_none_or(Row::is_secret);
        let value = if per_broker {
            self.described_text(name).map(str::to_owned)
        } else {
            self.cluster_wide().get(name).cloned()
        };
        let value = value.map(|text| match row.and_then(|row| row.parse(&text).ok()) {
            Some(value) => value.to_text(),
            None => text,
        });
        let mut synonyms = self.synonyms(name, sensitive);
        if !per_broker {
            synonyms.retain(|synonym| synonym.source == ConfigSource::DynamicDefaultBroker);
        }
        Entry {
            name: name.to_owned(),
            value: value.filter(|_| !sensitive),
            source: synonyms.first().map_or(ConfigSource::Default, |first| first.source),
            read_only: !rows::broker_row(name).is_some_and(Row::is_dynamic),
            sensitive,
            kind: row.map(|row| row.kind),
            synonyms,
            documentation: rows::broker_row(name).map(|row| row.doc),
        }
    }

    /// The value that holds, except that a changed member of a family takes the file's values away from the others
    /// (`DynamicBrokerConfig.overrideProps`): with log.retention.ms changed, log.retention.hours shows its default.
    fn described_text(&self, name: &str) -> Option<&str> {
        let is_changed =
            |name: &&str| self.per_broker().contains_key(*name) || self.cluster_wide().contains_key(*name);
        let family = broker_family(name);
        if !is_changed(&name) && family.len() > 1 && family.iter().any(is_changed) {
            return rows::broker_row(name).and_then(|row| self.row_default(row));
        }
        self.find(name).map(|found| found.text)
    }

    /// Every name that somebody set, once, in order.
    fn set_names(&self) -> impl Iterator<Item = &str> {
        let mut names: Vec<&str> = self
            .given()
            .keys()
            .chain(self.cluster_wide().keys())
            .chain(self.per_broker().keys())
            .map(String::as_str)
            .collect();
        names.sort_unstable();
        names.dedup();
        names.into_iter()
    }

    /// Each place that gives a value to this name or its family, strongest first (`ConfigHelper.configSynonyms`).
    fn synonyms(&self, name: &str, sensitive: bool) -> Vec<Synonym> {
        let family = broker_family(name);
        let mut all = Vec::new();
        let mut add = |name: &str, text: Option<&str>, source| {
            if let Some(text) = text {
                let value = (!sensitive).then(|| text.to_owned());
                all.push(Synonym { name: name.to_owned(), value, source });
            }
        };
        for name in &family {
            add(name, self.per_broker().get(*name).map(String::as_str), ConfigSource::DynamicBroker);
        }
        for name in &family {
            add(name, self.cluster_wide().get(*name).map(String::as_str), ConfigSource::DynamicDefaultBroker);
        }
        for name in &family {
            add(name, self.given().get(*name).map(|given| given.text.as_str()), ConfigSource::StaticBroker);
        }
        for name in &family {
            // Throttles live in the tree only; Kafka knows no default for them here.
            let row = rows::broker_row(name).filter(|row| !(row.hidden && row.is_dynamic()));
            let default = row.and_then(|row| self.row_default(row));
            add(name, default, ConfigSource::Default);
        }
        // A weaker member of the family does not hear of the stronger ones before it.
        let first = all.iter().position(|synonym| synonym.name == name).unwrap_or(all.len());
        all.split_off(first)
    }
}

fn entry(row: &Row, value: Option<String>, synonyms: Vec<Synonym>, read_only: bool) -> Entry {
    Entry {
        name: row.name.to_owned(),
        value: value.filter(|_| !row.is_secret()),
        source: synonyms.first().map_or(ConfigSource::Default, |first| first.source),
        read_only,
        sensitive: row.is_secret(),
        kind: Some(row.kind),
        synonyms,
        documentation: Some(row.doc),
    }
}

/// The names whose values stand in for one another, strongest first (`DynamicBrokerConfig.brokerConfigSynonyms`).
fn broker_family(name: &str) -> Vec<&str> {
    const FAMILIES: &[&[&str]] = &[
        &["log.roll.ms", "log.roll.hours"],
        &["log.roll.jitter.ms", "log.roll.jitter.hours"],
        &["log.retention.ms", "log.retention.minutes", "log.retention.hours"],
    ];
    /// Written behind the mechanism: `listener.name.<listener>.<mechanism>.<name>`.
    const BY_MECHANISM: &[&str] = &[
        "sasl.jaas.config",
        "sasl.login.callback.handler.class",
        "sasl.login.class",
        "sasl.server.callback.handler.class",
        "connections.max.reauth.ms",
    ];
    if let Some(family) = FAMILIES.iter().find(|family| family.contains(&name)) {
        return family.to_vec();
    }
    if name == "log.flush.interval.ms" {
        return vec![name, "log.flush.scheduler.interval.ms"];
    }
    match name.strip_prefix("listener.name.").and_then(|rest| rest.split_once('.')) {
        Some((_, base)) => {
            let by_mechanism = BY_MECHANISM.iter().find(|suffix| base.ends_with(**suffix));
            vec![name, by_mechanism.copied().unwrap_or(base)]
        }
        None => vec![name],
    }
}

#[cfg(test)]
mod tests;
