//! What clients are told, next to what Apache Kafka 4.3.1 told them for the same settings.

use super::*;

fn configs(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

fn settings(pairs: &[(&str, &str)]) -> Settings {
    Settings::from_pairs(pairs).expect("texts of the right type")
}

/// One entry as `value|source|rw or ro|type|synonyms`.
fn line(entries: &[Entry], name: &str) -> String {
    let entry = entries.iter().find(|entry| entry.name == name).unwrap_or_else(|| panic!("no {name}"));
    let synonyms: Vec<String> = entry
        .synonyms
        .iter()
        .map(|one| format!("{}={}@{:?}", one.name, one.value.as_deref().unwrap_or("null"), one.source))
        .collect();
    let value = entry.value.as_deref().unwrap_or("null");
    let access = if entry.read_only { "ro" } else { "rw" };
    let kind = entry.kind.map_or("UNKNOWN", Kind::name);
    format!("{value}|{:?}|{access}|{kind}|{}", entry.source, synonyms.join(";"))
}

#[test]
fn a_broker_tells_each_place_that_gives_a_value() {
    let settings = settings(&[("log.retention.hours", "100"), ("my.unknown.key", "hello")]).with_dynamic(
        &configs(&[("log.retention.ms", "777"), ("num.io.threads", "9"), ("my.dynamic", "z")]),
        &configs(&[
            ("log.roll.ms", "888"),
            ("leader.replication.throttled.rate", "5"),
            ("listener.name.plaintext.ssl.keystore.type", "JKS"),
        ]),
    );
    let entries = settings.describe_broker();
    for (name, expected) in [
        (
            "log.retention.ms",
            "777|DynamicDefaultBroker|rw|LONG|log.retention.ms=777@DynamicDefaultBroker;\
             log.retention.hours=100@StaticBroker;log.retention.hours=168@Default",
        ),
        (
            "log.retention.hours",
            "168|StaticBroker|ro|INT|log.retention.hours=100@StaticBroker;log.retention.hours=168@Default",
        ),
        ("log.roll.ms", "888|DynamicBroker|rw|LONG|log.roll.ms=888@DynamicBroker;log.roll.hours=168@Default"),
        (
            "num.io.threads",
            "9|DynamicDefaultBroker|rw|INT|num.io.threads=9@DynamicDefaultBroker;num.io.threads=8@Default",
        ),
        (
            "leader.replication.throttled.rate",
            "5|DynamicBroker|rw|LONG|leader.replication.throttled.rate=5@DynamicBroker",
        ),
        (
            "listener.name.plaintext.ssl.keystore.type",
            "JKS|DynamicBroker|ro|STRING|listener.name.plaintext.ssl.keystore.type=JKS@DynamicBroker;\
             ssl.keystore.type=JKS@Default",
        ),
        ("my.dynamic", "null|DynamicDefaultBroker|ro|UNKNOWN|my.dynamic=null@DynamicDefaultBroker"),
        ("my.unknown.key", "null|StaticBroker|ro|UNKNOWN|my.unknown.key=null@StaticBroker"),
        ("log.dirs", "null|Default|ro|LIST|"),
        ("ssl.key.password", "null|Default|rw|PASSWORD|"),
        (
            "log.cleaner.io.max.bytes.per.second",
            "1.7976931348623157E308|Default|rw|DOUBLE|log.cleaner.io.max.bytes.per.second=1.7976931348623157E308@Default",
        ),
    ] {
        assert_eq!(line(&entries, name), expected, "{name}");
    }
    assert_eq!(entries.iter().filter(|entry| entry.name == "unstable.api.versions.enable").count(), 0);
}

#[test]
fn the_resource_without_a_name_has_only_what_holds_for_all_brokers() {
    let settings = settings(&[("num.io.threads", "4")])
        .with_dynamic(&configs(&[("num.io.threads", "9")]), &configs(&[("num.io.threads", "7")]));
    let entries = settings.describe_cluster_wide();
    assert_eq!(entries.len(), 1);
    assert_eq!(
        line(&entries, "num.io.threads"),
        "9|DynamicDefaultBroker|rw|INT|num.io.threads=9@DynamicDefaultBroker"
    );
}

#[test]
fn a_topic_tells_its_override_first_and_then_the_broker() {
    let settings = settings(&[("log.retention.hours", "100")]);
    let entries =
        settings.describe_topic(&configs(&[("retention.ms", "5000"), ("cleanup.policy", "compact, delete")]));
    for (name, expected) in [
        // A family whose first member is unset is not told, although it gives the value.
        ("retention.ms", "5000|Topic|rw|LONG|retention.ms=5000@Topic"),
        (
            "cleanup.policy",
            "compact,delete|Topic|rw|LIST|cleanup.policy=compact,delete@Topic;log.cleanup.policy=delete@Default",
        ),
        ("segment.ms", "604800000|Default|rw|LONG|"),
        ("flush.ms", "9223372036854775807|Default|rw|LONG|"),
        ("remote.storage.enable", "false|Default|rw|BOOLEAN|"),
    ] {
        assert_eq!(line(&entries, name), expected, "{name}");
    }
    assert_eq!(entries.len(), 33);
    assert_eq!(settings.describe_topic(&configs(&[("internal.segment.bytes", "9")])).len(), 34);
}

#[test]
fn a_group_falls_back_to_the_broker_and_a_subscription_to_nothing() {
    let settings = settings(&[("group.consumer.session.timeout.ms", "50000")]);
    let entries = settings.describe_group(&configs(&[("share.auto.offset.reset", "earliest")]));
    assert_eq!(
        line(&entries, "consumer.session.timeout.ms"),
        "50000|StaticBroker|rw|INT|group.consumer.session.timeout.ms=50000@StaticBroker;\
         group.consumer.session.timeout.ms=45000@Default"
    );
    assert_eq!(
        line(&entries, "share.auto.offset.reset"),
        "earliest|Group|rw|STRING|share.auto.offset.reset=earliest@Group;share.auto.offset.reset=latest@Default"
    );
    let entries = settings.describe_client_metrics(&configs(&[("interval.ms", "1000")]));
    assert_eq!(line(&entries, "interval.ms"), "1000|ClientMetrics|rw|INT|interval.ms=1000@ClientMetrics");
    assert_eq!(line(&entries, "metrics"), "|Default|rw|LIST|");
}
