//! Rules over several settings at once (`KafkaConfig.validateValues`, `GroupCoordinatorConfig`, `ShareGroupConfig`).
//!
//! Must never look at a value that its row refuses; `load` and `rules` check rows first.

use super::{Settings, rows};

/// A broken rule: the setting to blame and Kafka's message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Broken {
    pub key: &'static str,
    pub what: String,
}

/// Pairs that must not fall, with the words of Kafka: the first at least as large as the second.
const AT_LEAST: &[(&str, &str)] = &[
    ("group.consumer.max.heartbeat.interval.ms", "group.consumer.min.heartbeat.interval.ms"),
    ("group.consumer.heartbeat.interval.ms", "group.consumer.min.heartbeat.interval.ms"),
    ("group.consumer.max.session.timeout.ms", "group.consumer.min.session.timeout.ms"),
    ("group.consumer.session.timeout.ms", "group.consumer.min.session.timeout.ms"),
    ("group.consumer.max.assignment.interval.ms", "group.consumer.min.assignment.interval.ms"),
    ("group.consumer.assignment.interval.ms", "group.consumer.min.assignment.interval.ms"),
    ("group.share.max.heartbeat.interval.ms", "group.share.min.heartbeat.interval.ms"),
    ("group.share.heartbeat.interval.ms", "group.share.min.heartbeat.interval.ms"),
    ("group.share.max.session.timeout.ms", "group.share.min.session.timeout.ms"),
    ("group.share.session.timeout.ms", "group.share.min.session.timeout.ms"),
    ("group.share.max.assignment.interval.ms", "group.share.min.assignment.interval.ms"),
    ("group.share.assignment.interval.ms", "group.share.min.assignment.interval.ms"),
    ("group.share.max.delivery.count.limit", "group.share.delivery.count.limit"),
    ("group.share.delivery.count.limit", "group.share.min.delivery.count.limit"),
    ("group.share.max.partition.max.record.locks", "group.share.partition.max.record.locks"),
    ("group.share.partition.max.record.locks", "group.share.min.partition.max.record.locks"),
    ("group.share.record.lock.duration.ms", "group.share.min.record.lock.duration.ms"),
    ("group.share.max.record.lock.duration.ms", "group.share.record.lock.duration.ms"),
    ("group.share.max.share.sessions", "group.share.max.size"),
    ("group.streams.max.heartbeat.interval.ms", "group.streams.min.heartbeat.interval.ms"),
    ("group.streams.heartbeat.interval.ms", "group.streams.min.heartbeat.interval.ms"),
    ("group.streams.max.session.timeout.ms", "group.streams.min.session.timeout.ms"),
    ("group.streams.session.timeout.ms", "group.streams.min.session.timeout.ms"),
    ("group.streams.max.assignment.interval.ms", "group.streams.min.assignment.interval.ms"),
    ("group.streams.assignment.interval.ms", "group.streams.min.assignment.interval.ms"),
    ("zookeeper.max.session.timeout.ms", "zookeeper.min.session.timeout.ms"),
];

/// The first at most as large as the second.
const AT_MOST: &[(&str, &str)] = &[
    ("group.consumer.heartbeat.interval.ms", "group.consumer.max.heartbeat.interval.ms"),
    ("group.consumer.session.timeout.ms", "group.consumer.max.session.timeout.ms"),
    ("group.consumer.assignment.interval.ms", "group.consumer.max.assignment.interval.ms"),
    ("group.share.heartbeat.interval.ms", "group.share.max.heartbeat.interval.ms"),
    ("group.share.session.timeout.ms", "group.share.max.session.timeout.ms"),
    ("group.share.assignment.interval.ms", "group.share.max.assignment.interval.ms"),
    ("group.streams.heartbeat.interval.ms", "group.streams.max.heartbeat.interval.ms"),
    ("group.streams.session.timeout.ms", "group.streams.max.session.timeout.ms"),
    ("group.streams.assignment.interval.ms", "group.streams.max.assignment.interval.ms"),
    ("group.streams.num.standby.replicas", "group.streams.max.standby.replicas"),
];

/// The first smaller than the second.
const BELOW: &[(&str, &str)] = &[
    ("group.consumer.heartbeat.interval.ms", "group.consumer.session.timeout.ms"),
    ("group.share.heartbeat.interval.ms", "group.share.session.timeout.ms"),
    ("group.streams.heartbeat.interval.ms", "group.streams.session.timeout.ms"),
];

/// The smallest dedupe buffer per cleaner thread.
const DEDUPE_BYTES_PER_THREAD: i64 = 1024 * 1024;

/// Every broken rule.
pub(super) fn broken(settings: &Settings) -> Vec<Broken> {
    let mut broken = ordered(settings);
    broken.extend(log_rules(settings));
    broken.extend(replication_rules(settings));
    broken.extend(connection_rules(settings));
    broken.extend(zookeeper_rules(settings));
    broken.extend(http_rules(settings));
    broken.extend(selector_rules(settings));
    broken
}

/// Kafka loads the class; the two that it has are known here.
fn selector_rules(settings: &Settings) -> Vec<Broken> {
    let class = settings.text("replica.selector.class").unwrap_or_default();
    let is_known = class.is_empty() || [rows::LEADER, rows::RACK_AWARE].contains(&class.as_str());
    let what = format!("Class {class} could not be found: it is {} or {}", rows::RACK_AWARE, rows::LEADER);
    if is_known { Vec::new() } else { vec![Broken { key: "replica.selector.class", what }] }
}

/// A listener that cannot be read would silently not be there.
fn zookeeper_rules(settings: &Settings) -> Vec<Broken> {
    let text = settings.text("zookeeper.listener").unwrap_or_default();
    let is_bad = !text.trim().is_empty() && settings.zookeeper().listener.is_none();
    let what = format!("zookeeper.listener is {text:?}, which is not host:port");
    if is_bad { vec![Broken { key: "zookeeper.listener", what }] } else { Vec::new() }
}

fn http_rules(settings: &Settings) -> Vec<Broken> {
    let text = settings.text("milena.http.listener").unwrap_or_default();
    let is_bad = !text.trim().is_empty() && settings.http().listener.is_none();
    let what = format!("milena.http.listener is {text:?}, which is not host:port");
    if is_bad { vec![Broken { key: "milena.http.listener", what }] } else { Vec::new() }
}

fn ordered(settings: &Settings) -> Vec<Broken> {
    let mut broken = Vec::new();
    let mut compare = |pairs: &[(&'static str, &'static str)], holds: fn(i64, i64) -> bool, words: &str| {
        for (key, other) in pairs {
            if !holds(settings.long(key), settings.long(other)) {
                broken.push(Broken { key, what: format!("{key} must be {words} {other}") });
            }
        }
    };
    compare(AT_LEAST, |a, b| a >= b, "greater than or equal to");
    compare(AT_MOST, |a, b| a <= b, "less than or equal to");
    compare(BELOW, |a, b| a < b, "less than");
    let assignors = settings.list("group.share.assignors").len();
    if assignors != 1 {
        let key = "group.share.assignors";
        let what = format!("{key} must contain exactly one assignor, but found {assignors}");
        broken.push(Broken { key, what });
    }
    broken
}

fn log_rules(settings: &Settings) -> Vec<Broken> {
    let mut broken = Vec::new();
    let mut require = |holds: bool, key: &'static str, what: &str| {
        if !holds {
            broken.push(Broken { key, what: what.to_owned() });
        }
    };
    if let Some(millis) = settings.optional_long("log.roll.ms") {
        require(millis >= 1, "log.roll.ms", "log.roll.ms must be greater than or equal to 1");
    }
    if let Some(millis) = settings.optional_long("log.roll.jitter.ms") {
        require(millis >= 0, "log.roll.jitter.ms", "log.roll.jitter.ms must be greater than or equal to 0");
    }
    for key in ["log.retention.ms", "log.retention.minutes", "log.retention.hours"] {
        // Only zero is refused: every negative time means "for ever".
        let zero = settings.optional_long(key) == Some(0);
        require(!zero, key, "log.retention.ms must be unlimited (-1) or, greater than or equal to 1");
    }
    let threads = settings.long("log.cleaner.threads").max(1);
    require(
        settings.long("log.cleaner.dedupe.buffer.size") / threads > DEDUPE_BYTES_PER_THREAD,
        "log.cleaner.dedupe.buffer.size",
        "log.cleaner.dedupe.buffer.size must be at least 1MB per cleaner thread.",
    );
    let storage = settings.storage();
    let cordoned = settings.list("cordoned.log.dirs");
    if cordoned.iter().any(|dir| dir == "*") {
        let what = "When cordoned.log.dirs is set to *, it must not contain other values";
        require(cordoned.len() == 1, "cordoned.log.dirs", what);
    } else {
        let missing: Vec<String> = storage
            .cordoned_dirs
            .iter()
            .filter(|dir| !storage.dirs.contains(dir))
            .map(|dir| dir.display().to_string())
            .collect();
        let what = format!(
            "All entries in cordoned.log.dirs must be present in log.dirs or log.dir. Missing entries : {}",
            missing.join(", ")
        );
        require(missing.is_empty(), "cordoned.log.dirs", &what);
    }
    let lags = (
        settings.long("log.cleaner.min.compaction.lag.ms"),
        settings.long("log.cleaner.max.compaction.lag.ms"),
    );
    let what = format!(
        "conflict topic config setting min.compaction.lag.ms ({}) > max.compaction.lag.ms ({})",
        lags.0, lags.1
    );
    require(lags.0 <= lags.1, "log.cleaner.min.compaction.lag.ms", &what);
    broken
}

fn replication_rules(settings: &Settings) -> Vec<Broken> {
    let key = "replica.fetch.wait.max.ms";
    let wait = settings.long(key);
    let mut broken = Vec::new();
    if wait > settings.long("replica.socket.timeout.ms") {
        let what = "replica.socket.timeout.ms should always be at least replica.fetch.wait.max.ms to prevent \
                    unnecessary socket timeouts";
        broken.push(Broken { key, what: what.to_owned() });
    }
    if wait > settings.long("replica.lag.time.max.ms") {
        let what = "replica.fetch.wait.max.ms should always be less than or equal to replica.lag.time.max.ms to \
                    prevent frequent changes in ISR";
        broken.push(Broken { key, what: what.to_owned() });
    }
    broken
}

fn connection_rules(settings: &Settings) -> Vec<Broken> {
    let mut broken = Vec::new();
    let mut require = |holds: bool, key: &'static str, what: String| {
        if !holds {
            broken.push(Broken { key, what });
        }
    };
    let queued = settings.long("queued.max.request.bytes");
    require(
        queued <= 0 || queued >= settings.long("socket.request.max.bytes"),
        "queued.max.request.bytes",
        "queued.max.request.bytes must be larger or equal to socket.request.max.bytes".to_owned(),
    );
    let overrides = settings.text("max.connections.per.ip.overrides").unwrap_or_default();
    require(
        settings.long("max.connections.per.ip") > 0 || !overrides.is_empty(),
        "max.connections.per.ip",
        "max.connections.per.ip can be set to zero only if max.connections.per.ip.overrides property is set."
            .to_owned(),
    );
    let invalid: Vec<&str> = overrides
        .split(',')
        .map(str::trim)
        .filter(|pair| !pair.is_empty())
        .filter(|pair| {
            let parts = pair.rsplit_once(':');
            parts.is_none_or(|(host, limit)| host.is_empty() || limit.trim().parse::<u32>().is_err())
        })
        .collect();
    require(
        invalid.is_empty(),
        "max.connections.per.ip.overrides",
        format!("max.connections.per.ip.overrides contains invalid addresses : {}", invalid.join(",")),
    );
    let (idle, delay) = (
        settings.long("connections.max.idle.ms"),
        settings.long("connection.failed.authentication.delay.ms"),
    );
    require(
        idle < 0 || delay < idle,
        "connections.max.idle.ms",
        format!(
            "connection.failed.authentication.delay.ms={delay} should always be less than \
             connections.max.idle.ms={idle} to prevent failed authentication responses from timing out"
        ),
    );
    broken
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blamed(pairs: &[(&str, &str)]) -> Vec<&'static str> {
        let settings = Settings::from_pairs(pairs).expect("texts of the right type");
        broken(&settings).into_iter().map(|broken| broken.key).collect()
    }

    #[test]
    fn the_defaults_break_no_rule() {
        assert_eq!(broken(&Settings::default()), []);
    }

    #[test]
    fn bounds_are_kept_in_order() {
        let pairs =
            [("group.consumer.session.timeout.ms", "1000"), ("group.consumer.heartbeat.interval.ms", "5000")];
        assert_eq!(
            blamed(&pairs),
            ["group.consumer.session.timeout.ms", "group.consumer.heartbeat.interval.ms"]
        );
        assert_eq!(
            blamed(&[("group.streams.num.standby.replicas", "9")]),
            ["group.streams.num.standby.replicas"]
        );
    }

    #[test]
    fn times_and_buffers_make_sense_together() {
        assert_eq!(blamed(&[("log.retention.ms", "0")]), ["log.retention.ms"]);
        assert_eq!(blamed(&[("log.retention.ms", "-1")]), Vec::<&str>::new());
        assert_eq!(blamed(&[("log.roll.ms", "0")]), ["log.roll.ms"]);
        assert_eq!(blamed(&[("log.cleaner.threads", "200")]), ["log.cleaner.dedupe.buffer.size"]);
        assert_eq!(
            blamed(&[("replica.fetch.wait.max.ms", "40000")]),
            ["replica.fetch.wait.max.ms", "replica.fetch.wait.max.ms"]
        );
        assert_eq!(blamed(&[("cordoned.log.dirs", "/elsewhere")]), ["cordoned.log.dirs"]);
        assert_eq!(blamed(&[("queued.max.request.bytes", "5")]), ["queued.max.request.bytes"]);
        assert_eq!(blamed(&[("max.connections.per.ip", "0")]), ["max.connections.per.ip"]);
        assert_eq!(
            blamed(&[("max.connections.per.ip.overrides", "host")]),
            ["max.connections.per.ip.overrides"]
        );
    }
}
