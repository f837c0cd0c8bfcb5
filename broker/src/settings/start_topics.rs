//! Topics that are to be there before the broker says that it is ready: wurstmeister's list, or a file.
//!
//! Must never skip an item that it does not understand: the start stops, and the item is quoted.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

/// A topic as it is asked for; what is missing is the broker's default.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct StartTopic {
    pub name: String,
    /// `None` is `num.partitions`.
    pub partitions: Option<i32>,
    /// `None` is `default.replication.factor`.
    pub replication_factor: Option<i16>,
    #[serde(default)]
    pub configs: BTreeMap<String, String>,
    /// Written once, when the topic is made; a topic that is there already gets none.
    #[serde(default)]
    pub records: Vec<StartRecord>,
}

/// A record of a new topic. Text, since it comes from a file that people write.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct StartRecord {
    #[serde(default)]
    pub partition: i32,
    pub key: Option<String>,
    /// `None` is a tombstone.
    pub value: Option<String>,
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    topics: Vec<StartTopic>,
}

/// Reads `name[:partitions[:replicas[:cleanup.policy]]]`, items separated by commas or lines, as `KAFKA_CREATE_TOPICS` of
/// wurstmeister/kafka has them.
pub fn parse(text: &str) -> Result<Vec<StartTopic>, String> {
    text.split([',', '\n', ';']).map(str::trim).filter(|item| !item.is_empty()).map(item).collect()
}

/// Reads a file: TOML if its name ends in `.toml`, else JSON.
pub fn parse_file(path: &Path, text: &str) -> Result<Vec<StartTopic>, String> {
    let file: File = if path.extension().is_some_and(|end| end == "toml") {
        toml::from_str(text).map_err(|error| error.to_string())?
    } else {
        serde_json::from_str(text).map_err(|error| error.to_string())?
    };
    for topic in &file.topics {
        check(topic).map_err(|what| format!("topic '{}': {what}", topic.name))?;
    }
    Ok(file.topics)
}

fn item(item: &str) -> Result<StartTopic, String> {
    let wrong = |what: &str| format!("'{item}': {what}");
    let mut parts = item.split(':').map(str::trim);
    let name = parts.next().unwrap_or_default().to_owned();
    let partitions = number(parts.next()).map_err(|()| wrong("the partitions are no whole number"))?;
    let replication_factor = number(parts.next()).map_err(|()| wrong("the replicas are no whole number"))?;
    let policy = parts.next().filter(|policy| !policy.is_empty());
    let configs = policy.map(|policy| ("cleanup.policy".to_owned(), policy.replace('+', ","))).into_iter();
    if parts.next().is_some() {
        return Err(wrong("more than name:partitions:replicas:cleanup.policy"));
    }
    let configs = configs.collect();
    let topic = StartTopic { name, partitions, replication_factor, configs, records: Vec::new() };
    check(&topic).map_err(|what| wrong(&what))?;
    Ok(topic)
}

/// Nothing given is no number, and nothing wrong either.
fn number<T: std::str::FromStr>(text: Option<&str>) -> Result<Option<T>, ()> {
    text.filter(|text| !text.is_empty()).map(|text| text.parse().map_err(|_| ())).transpose()
}

fn check(topic: &StartTopic) -> Result<(), String> {
    if topic.name.is_empty() {
        return Err("a topic needs a name".to_owned());
    }
    if topic.partitions.is_some_and(|count| count < 1)
        || topic.replication_factor.is_some_and(|count| count < 1)
    {
        return Err("partitions and replicas are at least 1".to_owned());
    }
    let count = topic.partitions.unwrap_or(i32::MAX);
    match topic.records.iter().find(|record| !(0..count).contains(&record.partition)) {
        Some(record) => Err(format!("a record goes to partition {}, which is not there", record.partition)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_wurstmeisters_image_is_read() {
        let topics = parse("orders:3:1, state:1:1:compact\nplain,\n both:2::compact+delete").expect("a list");
        let shown: Vec<_> = topics
            .iter()
            .map(|topic| {
                let policy = topic.configs.get("cleanup.policy").map(String::as_str);
                (topic.name.as_str(), topic.partitions, topic.replication_factor, policy)
            })
            .collect();
        assert_eq!(
            shown,
            [
                ("orders", Some(3), Some(1), None),
                ("state", Some(1), Some(1), Some("compact")),
                ("plain", None, None, None),
                ("both", Some(2), None, Some("compact,delete")),
            ]
        );
        assert_eq!(parse(" , \n"), Ok(Vec::new()));
    }

    #[test]
    fn what_is_wrong_is_quoted() {
        for (text, quoted) in [
            ("a:x", "'a:x'"),
            ("ok, b:1:y", "'b:1:y'"),
            (":1:1", "':1:1'"),
            ("c:0:1", "'c:0:1'"),
            ("d:1:1:compact:more", "'d:1:1:compact:more'"),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.starts_with(quoted), "{error}");
        }
    }

    #[test]
    fn files_hold_configs_and_records() {
        let toml = "[[topics]]\nname = \"a\"\npartitions = 2\nreplication-factor = 1\nconfigs = { \"retention.ms\" = \"5\" }\n\
                    records = [{ key = \"k\", value = \"v\", partition = 1, headers = { h = \"x\" } }, { key = \"k\" }]\n";
        let from_toml = parse_file(Path::new("t.toml"), toml).expect("TOML");
        let json = r#"{"topics": [{"name": "a", "partitions": 2, "replication-factor": 1, "configs": {"retention.ms": "5"},
            "records": [{"key": "k", "value": "v", "partition": 1, "headers": {"h": "x"}}, {"key": "k", "value": null}]}]}"#;
        assert_eq!(parse_file(Path::new("t.json"), json).expect("JSON"), from_toml);
        assert_eq!(from_toml[0].records[1].value, None);
        let outside = toml.replace("partition = 1", "partition = 2");
        assert!(
            parse_file(Path::new("t.toml"), &outside).expect_err("no such partition").contains("topic 'a'")
        );
        assert!(parse_file(Path::new("t.toml"), "[[topics]]\nnome = \"a\"").is_err());
    }
}
