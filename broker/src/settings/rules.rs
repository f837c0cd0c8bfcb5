//! What clients may change: the checks behind AlterConfigs, IncrementalAlterConfigs and CreateTopics.
//!
//! Must never change a setting; it says yes, or no with Kafka's code and message (`LogConfig.validate`,
//! `DynamicBrokerConfig.validateConfigs`, `GroupConfig.validate`, `ClientMetricsConfigs.validate`).

use kafka_protocol::error::ResponseError;
use milena_coordinator::controller::{ConfigRules, EffectiveConfig, Refusal, ReplicationRules};
use milena_coordinator::image::{ConfigKind, Configs, MetadataImage};

use super::row::{Kind, Row, Update};
use super::value::Value;
use super::{ListenerLimits, Settings, cross, rows};

impl ConfigRules for Settings {
    fn check(&self, kind: ConfigKind, name: &str, new: &Configs, old: &Configs) -> Result<(), Refusal> {
        match kind {
            ConfigKind::Topic => self.check_topic(name, new, old),
            ConfigKind::Broker => self.check_broker(name, new, old),
            ConfigKind::Group => self.check_group(name, new),
            ConfigKind::ClientMetrics => check_client_metrics(name, new),
            // Never asked: credentials are checked where they are altered.
            ConfigKind::User => Ok(()),
        }
    }

    fn is_list(&self, kind: ConfigKind, key: &str) -> Option<bool> {
        row(kind, key).map(|row| row.kind == Kind::List)
    }

    fn default_text(&self, kind: ConfigKind, key: &str) -> Option<String> {
        row(kind, key).and_then(|row| row.default).map(str::to_owned)
    }

    fn topic_configs(&self, image: &MetadataImage, overrides: &Configs) -> Vec<EffectiveConfig> {
        let entries = self.with_image(image).describe_topic(overrides);
        entries
            .into_iter()
            .map(|entry| EffectiveConfig {
                name: entry.name,
                value: entry.value,
                read_only: entry.read_only,
                source: entry.source as i8,
                sensitive: entry.sensitive,
            })
            .collect()
    }

    fn default_partitions(&self) -> i32 {
        self.topic_defaults().partitions
    }

    fn default_replication_factor(&self) -> i16 {
        self.topic_defaults().replication_factor
    }

    fn replication(&self, image: &MetadataImage, topic: &str) -> ReplicationRules {
        let nothing = Configs::new();
        let overrides = image.topic_config(topic).unwrap_or(&nothing);
        let values = self.with_image(image).topic(overrides);
        ReplicationRules {
            min_in_sync: usize::try_from(values.min_insync_replicas).unwrap_or(1),
            unclean_election: values.unclean_leader_election,
        }
    }
}

impl Settings {
    /// These settings with what the image holds for all brokers and for this one.
    #[must_use]
    pub fn with_image(&self, image: &MetadataImage) -> Self {
        let empty = Configs::new();
        let of = |name: &str| image.config(ConfigKind::Broker, name).unwrap_or(&empty);
        self.with_dynamic(of(""), of(&self.node().id.0.to_string()))
    }

    fn check_topic(&self, name: &str, new: &Configs, old: &Configs) -> Result<(), Refusal> {
        if name.is_empty() {
            return Err(invalid_request("Default topic resources are not allowed."));
        }
        if let Some(unknown) = new.keys().find(|key| rows::topic_row(key).is_none()) {
            return Err(invalid_config(format!("Unknown topic config name: {unknown}")));
        }
        check_values(new, rows::topic_row)?;
        let topic = self.topic(new);
        if topic.min_compaction_lag_ms > topic.max_compaction_lag_ms {
            return Err(invalid_config(format!(
                "conflict topic config setting min.compaction.lag.ms ({}) > max.compaction.lag.ms ({})",
                topic.min_compaction_lag_ms, topic.max_compaction_lag_ms
            )));
        }
        let is_remote = |configs: &Configs| is_true(configs, "remote.storage.enable");
        if is_remote(new) {
            return Err(invalid_config(
                "Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote \
                 log storage.",
            ));
        }
        if is_remote(old) && !is_true(new, "remote.log.delete.on.disable") {
            return Err(invalid_config(
                "It is invalid to disable remote storage without deleting remote data. If you want to keep the \
                 remote data and turn to read only, please set \
                 `remote.storage.enable=true,remote.log.copy.disable=true`. If you want to disable remote storage \
                 and delete all remote data, please set \
                 `remote.storage.enable=false,remote.log.delete.on.disable=true`.",
            ));
        }
        Ok(())
    }

    /// Kafka answers these with INVALID_REQUEST although the request is well formed (KAFKA-13609).
    fn check_broker(&self, name: &str, new: &Configs, old: &Configs) -> Result<(), Refusal> {
        let per_broker = !name.is_empty();
        if per_broker {
            let id: i32 = name
                .parse()
                .map_err(|_| invalid_request("Unable to parse broker name as a base 10 number."))?;
            if id < 0 {
                return Err(invalid_request("Invalid negative broker ID."));
            }
        }
        let names = |wanted: &dyn Fn(&str) -> bool| {
            new.keys().map(String::as_str).filter(|key| wanted(key)).collect::<Vec<_>>()
        };
        refuse_any(
            "Cannot update these configs dynamically",
            &names(&|key| rows::broker_row(key).is_some_and(|row| !row.is_dynamic())),
        )?;
        refuse_any(
            "These security configs can be dynamically updated only per-listener using the listener prefix",
            &names(&|key| SECURITY.contains(&key)),
        )?;
        for (key, text) in new {
            let base = listener_base(key).unwrap_or(key);
            if let Some(row) = rows::broker_row(base).filter(|row| row.is_dynamic()) {
                row.parse(text).map_err(invalid_request)?;
            }
        }
        if !per_broker {
            refuse_any(
                "Cannot update these configs at default cluster level, broker id must be specified",
                &names(&is_per_broker),
            )?;
        }
        refuse_any(
            "Milena cannot update these configs while it runs yet",
            &names(&|key| ["listeners", "listener.security.protocol.map"].contains(&key)),
        )?;
        let with = |configs: &Configs| {
            if per_broker {
                self.with_dynamic(self.cluster_wide(), configs)
            } else {
                self.with_dynamic(configs, self.per_broker())
            }
        };
        let (changed, current) = (with(new), with(old));
        if let Some(broken) = cross::broken(&changed).into_iter().next() {
            // Scala's `require` puts its own words in front, and clients get to see them.
            return Err(invalid_request(format!("requirement failed: {}", broken.what)));
        }
        check_thread_counts(&current, &changed)?;
        check_connection_limits(&current, &changed)
    }

    fn check_group(&self, name: &str, new: &Configs) -> Result<(), Refusal> {
        if name.is_empty() {
            return Err(invalid_request("Default group resources are not allowed."));
        }
        if let Some(unknown) = new.keys().find(|key| rows::group_row(key).is_none()) {
            return Err(invalid_config(format!("Unknown group config name: {unknown}")));
        }
        check_values(new, rows::group_row)?;
        for (key, min, max) in GROUP_BOUNDS {
            let value = self.group_number(key, new);
            if let Some(min) = min.filter(|min| value < self.long(min)) {
                return Err(invalid_config(format!("{key} must be greater than or equal to {min}")));
            }
            if value > self.long(max) {
                return Err(invalid_config(format!("{key} must be less than or equal to {max}")));
            }
        }
        for kind in ["consumer", "share", "streams"] {
            let (session, heartbeat) =
                (format!("{kind}.session.timeout.ms"), format!("{kind}.heartbeat.interval.ms"));
            if self.group_number(&session, new) <= self.group_number(&heartbeat, new) {
                return Err(invalid_config(format!("{session} must be greater than {heartbeat}")));
            }
        }
        Ok(())
    }

    /// A number of a group: its own, else the broker's.
    fn group_number(&self, key: &str, overrides: &Configs) -> i64 {
        let row = rows::group_row(key).expect("a name of the table");
        match overrides.get(key).and_then(|text| row.parse(text).ok()) {
            Some(Value::Int(number)) => i64::from(number),
            _ => self.long(row.synonym.expect("numbers of groups have a broker setting")),
        }
    }
}

/// A pool grows to its double or shrinks to its half at a time (`DynamicThreadPool`); the odd message is Kafka's.
fn check_thread_counts(current: &Settings, changed: &Settings) -> Result<(), Refusal> {
    const POOLS: &[&str] = &[
        "num.io.threads",
        "num.replica.fetchers",
        "num.recovery.threads.per.data.dir",
        "background.threads",
        "num.network.threads",
    ];
    for pool in POOLS {
        let (old, new) = (current.long(pool), changed.long(pool));
        let why = match new {
            _ if new < old / 2 => format!("value should be at least half the current value {old}"),
            _ if new > old * 2 => format!("value should not be greater than double the current value {old}"),
            _ => continue,
        };
        return Err(invalid_request(format!(
            "Invalid value org.apache.kafka.common.config.ConfigException: Dynamic thread count update validation \
             failed for {pool}={new}, {why} for configuration Invalid dynamic configuration"
        )));
    }
    // `LogCleaner.validateReconfiguration`
    let (old, new) = (current.long("log.cleaner.threads"), changed.long("log.cleaner.threads"));
    let why = match new {
        _ if new < 1 => "should be at least 1".to_owned(),
        _ if new < old / 2 => format!("cannot be reduced to less than half the current value {old}"),
        _ if new > old * 2 => format!("cannot be increased to more than double the current value {old}"),
        _ => return Ok(()),
    };
    Err(invalid_request(format!(
        "Invalid value org.apache.kafka.common.config.ConfigException: Log cleaner threads {why} for configuration \
         Invalid dynamic configuration"
    )))
}

/// No listener can be shut by a limit of zero while it runs (`ListenerConnectionQuota.validateReconfiguration`).
fn check_connection_limits(current: &Settings, changed: &Settings) -> Result<(), Refusal> {
    let limits = |settings: &Settings| {
        let all = settings.connections();
        let broker = ListenerLimits { max: all.max, max_creation_rate: all.max_creation_rate };
        all.by_listener.into_values().chain([broker]).collect::<Vec<_>>()
    };
    let current = limits(current);
    for limit in limits(changed).into_iter().filter(|limit| !current.contains(limit)) {
        let name = match limit {
            ListenerLimits { max: 0, .. } => "max.connections",
            ListenerLimits { max_creation_rate: 0, .. } => "max.connection.creation.rate",
            _ => continue,
        };
        return Err(invalid_request(format!(
            "Invalid value org.apache.kafka.common.config.ConfigException: Invalid {name} 0 for configuration Invalid \
             dynamic configuration"
        )));
    }
    Ok(())
}

/// Changed through `listener.name.<name>.` only (`SslConfigs.RECONFIGURABLE_CONFIGS`).
const SECURITY: &[&str] = &[
    "ssl.key.password",
    "ssl.keystore.certificate.chain",
    "ssl.keystore.key",
    "ssl.keystore.location",
    "ssl.keystore.password",
    "ssl.keystore.type",
    "ssl.truststore.certificates",
    "ssl.truststore.location",
    "ssl.truststore.password",
    "ssl.truststore.type",
];

/// A group's number, and the broker's limits on it, in the order in which Kafka looks.
const GROUP_BOUNDS: &[(&str, Option<&str>, &str)] = &[
    (
        "consumer.heartbeat.interval.ms",
        Some("group.consumer.min.heartbeat.interval.ms"),
        "group.consumer.max.heartbeat.interval.ms",
    ),
    (
        "consumer.session.timeout.ms",
        Some("group.consumer.min.session.timeout.ms"),
        "group.consumer.max.session.timeout.ms",
    ),
    (
        "consumer.assignment.interval.ms",
        Some("group.consumer.min.assignment.interval.ms"),
        "group.consumer.max.assignment.interval.ms",
    ),
    (
        "share.heartbeat.interval.ms",
        Some("group.share.min.heartbeat.interval.ms"),
        "group.share.max.heartbeat.interval.ms",
    ),
    (
        "share.session.timeout.ms",
        Some("group.share.min.session.timeout.ms"),
        "group.share.max.session.timeout.ms",
    ),
    (
        "share.record.lock.duration.ms",
        Some("group.share.min.record.lock.duration.ms"),
        "group.share.max.record.lock.duration.ms",
    ),
    (
        "share.delivery.count.limit",
        Some("group.share.min.delivery.count.limit"),
        "group.share.max.delivery.count.limit",
    ),
    (
        "share.partition.max.record.locks",
        Some("group.share.min.partition.max.record.locks"),
        "group.share.max.partition.max.record.locks",
    ),
    (
        "share.assignment.interval.ms",
        Some("group.share.min.assignment.interval.ms"),
        "group.share.max.assignment.interval.ms",
    ),
    (
        "streams.heartbeat.interval.ms",
        Some("group.streams.min.heartbeat.interval.ms"),
        "group.streams.max.heartbeat.interval.ms",
    ),
    (
        "streams.session.timeout.ms",
        Some("group.streams.min.session.timeout.ms"),
        "group.streams.max.session.timeout.ms",
    ),
    ("streams.num.standby.replicas", None, "group.streams.max.standby.replicas"),
    (
        "streams.assignment.interval.ms",
        Some("group.streams.min.assignment.interval.ms"),
        "group.streams.max.assignment.interval.ms",
    ),
];

/// Longest and shortest push interval of a client-metrics subscription.
const PUSH_INTERVAL_MS: std::ops::RangeInclusive<i32> = 100..=3_600_000;

fn check_client_metrics(name: &str, new: &Configs) -> Result<(), Refusal> {
    const SELECTORS: &[&str] = &[
        "client_instance_id",
        "client_id",
        "client_software_name",
        "client_software_version",
        "client_source_address",
        "client_source_port",
    ];
    if name.is_empty() {
        return Err(invalid_request("Subscription name can't be empty"));
    }
    if let Some(unknown) = new.keys().find(|key| rows::client_metrics_row(key).is_none()) {
        return Err(invalid_request(format!("Unknown client metrics configuration: {unknown}")));
    }
    check_values(new, rows::client_metrics_row)?;
    let interval = new.get("interval.ms").and_then(|text| text.trim().parse::<i32>().ok());
    if let Some(interval) = interval.filter(|interval| !PUSH_INTERVAL_MS.contains(interval)) {
        return Err(invalid_request(format!(
            "Invalid value {interval} for interval.ms, interval must be between 100 and 3600000 (1 hour)"
        )));
    }
    let patterns = new.get("match").map_or("", |text| text.trim());
    for pattern in patterns.split(',').map(str::trim).filter(|_| !patterns.is_empty()) {
        let valid = pattern.split_once('=').is_some_and(|(selector, regex)| {
            SELECTORS.contains(&selector.trim()) && !regex.contains('=') && is_pattern(regex.trim())
        });
        if !valid {
            return Err(invalid_config(format!("Illegal client matching pattern: {pattern}")));
        }
    }
    Ok(())
}

/// Whether brackets close and quantifiers have something before them: the slips that Java's `Pattern` refuses.
fn is_pattern(regex: &str) -> bool {
    let (mut groups, mut in_class, mut escaped, mut may_repeat) = (0_u32, false, false, false);
    if regex.is_empty() {
        return false;
    }
    for c in regex.chars() {
        match c {
            _ if escaped => (escaped, may_repeat) = (false, true),
            '\\' => escaped = true,
            ']' if in_class => (in_class, may_repeat) = (false, true),
            _ if in_class => {}
            '[' => in_class = true,
            '(' => (groups, may_repeat) = (groups + 1, false),
            // `(?` begins a group of a special kind.
            '?' if !may_repeat && groups > 0 => {}
            ')' if groups == 0 => return false,
            ')' => (groups, may_repeat) = (groups - 1, true),
            '*' | '+' | '?' if !may_repeat => return false,
            '|' => may_repeat = false,
            _ => may_repeat = true,
        }
    }
    groups == 0 && !in_class && !escaped
}

fn row(kind: ConfigKind, key: &str) -> Option<&'static Row> {
    match kind {
        ConfigKind::Topic => rows::topic_row(key),
        ConfigKind::Broker => rows::broker_row(key),
        ConfigKind::Group => rows::group_row(key),
        ConfigKind::ClientMetrics => rows::client_metrics_row(key),
        ConfigKind::User => None,
    }
}

fn check_values(new: &Configs, row: fn(&str) -> Option<&'static Row>) -> Result<(), Refusal> {
    for (key, text) in new {
        if let Some(row) = row(key) {
            row.parse(text).map_err(invalid_config)?;
        }
    }
    Ok(())
}

fn is_true(configs: &Configs, key: &str) -> bool {
    configs.get(key).is_some_and(|text| text.trim().eq_ignore_ascii_case("true"))
}

/// What stands behind `listener.name.<name>.`.
fn listener_base(key: &str) -> Option<&str> {
    key.strip_prefix("listener.name.")?.split_once('.').map(|(_, base)| base)
}

/// Whether a setting makes no sense for all brokers at once (`DynamicBrokerConfig.perBrokerConfigs`).
fn is_per_broker(key: &str) -> bool {
    const CLUSTER_LEVEL: &[&str] =
        &["max.connections", "max.connection.creation.rate", "num.network.threads"];
    match listener_base(key) {
        Some(base) => !CLUSTER_LEVEL.contains(&base),
        None => rows::broker_row(key).is_some_and(|row| row.update == Update::PerBroker),
    }
}

fn refuse_any(what: &str, keys: &[&str]) -> Result<(), Refusal> {
    if keys.is_empty() { Ok(()) } else { Err(invalid_request(format!("{what}: [{}]", keys.join(", ")))) }
}

fn invalid_config(message: impl Into<String>) -> Refusal {
    Refusal::new(ResponseError::InvalidConfig, message)
}

fn invalid_request(message: impl Into<String>) -> Refusal {
    Refusal::new(ResponseError::InvalidRequest, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(kind: ConfigKind, name: &str, pairs: &[(&str, &str)]) -> Option<(i16, String)> {
        let new: Configs = pairs.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned())).collect();
        let result = Settings::default().check(kind, name, &new, &Configs::new());
        result.err().map(|refusal| (refusal.code.code(), refusal.message))
    }

    fn check_good(kind: ConfigKind, name: &str, pairs: &[(&str, &str)]) {
        assert_eq!(refusal(kind, name, pairs), None, "{pairs:?}");
    }

    fn check_bad(kind: ConfigKind, name: &str, pair: (&str, &str), code: i16, message: &str) {
        let (got, text) = refusal(kind, name, &[pair]).unwrap_or_else(|| panic!("{pair:?} was taken"));
        assert_eq!((got, text.as_str()), (code, message), "{pair:?}");
    }

    #[test]
    fn topic_overrides_are_refused_with_the_words_of_kafka() {
        let check = |key, text, message| check_bad(ConfigKind::Topic, "t", (key, text), 40, message);
        check("no.such", "1", "Unknown topic config name: no.such");
        check(
            "retention.ms",
            "x",
            "Invalid value x for configuration retention.ms: Not a number of type LONG",
        );
        check(
            "retention.ms",
            "-2",
            "Invalid value -2 for configuration retention.ms: Value must be at least -1",
        );
        check(
            "min.cleanable.dirty.ratio",
            "1.5",
            "Invalid value 1.5 for configuration min.cleanable.dirty.ratio: Value must be no more than 1",
        );
        check(
            "cleanup.policy",
            "shred",
            "Invalid value shred for configuration cleanup.policy: String must be one of: compact, delete",
        );
        check("cleanup.policy", "compact,", "Configuration 'cleanup.policy' values must not be empty.");
        check(
            "compression.gzip.level",
            "0",
            "Invalid value 0 for configuration compression.gzip.level: Value must be between 1 and 9 or equal to -1",
        );
        check(
            "leader.replication.throttled.replicas",
            "a:b,1:2",
            "Invalid value [a:b, 1:2] for configuration leader.replication.throttled.replicas: \
             leader.replication.throttled.replicas must be the literal '*' or a list of replicas in the following \
             format: [partitionId]:[brokerId],[partitionId]:[brokerId],...",
        );
    }

    #[test]
    fn good_topic_overrides_are_taken() {
        check_good(
            ConfigKind::Topic,
            "t",
            &[
                ("cleanup.policy", "compact, delete"),
                ("follower.replication.throttled.replicas", "*"),
                ("leader.replication.throttled.replicas", "0:1,1:2"),
                ("internal.segment.bytes", "100"),
                ("preallocate", "TRUE"),
            ],
        );
        check_good(ConfigKind::Topic, "t", &[("cleanup.policy", "")]);
        check_good(ConfigKind::Topic, "t", &[("cleanup.policy", "delete,delete")]);
    }

    #[test]
    fn a_group_stays_within_the_limits_of_the_broker() {
        let check = |key, text, message| check_bad(ConfigKind::Group, "g", (key, text), 40, message);
        check("nope", "1", "Unknown group config name: nope");
        check(
            "consumer.session.timeout.ms",
            "100",
            "consumer.session.timeout.ms must be greater than or equal to group.consumer.min.session.timeout.ms",
        );
        check(
            "share.delivery.count.limit",
            "11",
            "share.delivery.count.limit must be less than or equal to group.share.max.delivery.count.limit",
        );
        check_good(ConfigKind::Group, "g", &[("share.auto.offset.reset", "by_duration:PT1H30M")]);
        check_good(ConfigKind::Group, "g", &[("consumer.heartbeat.interval.ms", "6000")]);
        let reset = refusal(ConfigKind::Group, "g", &[("share.auto.offset.reset", "by_duration:1h")]);
        assert!(reset.expect("no duration").1.contains("by_duration:<PnDTnHnMn.nS>"));
    }

    #[test]
    fn broker_settings_change_only_where_they_may() {
        let check = |name, key, text, message| check_bad(ConfigKind::Broker, name, (key, text), 42, message);
        check("1", "node.id", "2", "Cannot update these configs dynamically: [node.id]");
        check(
            "",
            "cordoned.log.dirs",
            "/a",
            "Cannot update these configs at default cluster level, broker id must be specified: [cordoned.log.dirs]",
        );
        check(
            "1",
            "ssl.keystore.type",
            "PEM",
            "These security configs can be dynamically updated only per-listener using the listener prefix: \
             [ssl.keystore.type]",
        );
        check(
            "",
            "log.segment.bytes",
            "5",
            "Invalid value 5 for configuration log.segment.bytes: Value must be at least 1048576",
        );
        check("x", "log.retention.ms", "5", "Unable to parse broker name as a base 10 number.");
        check("-3", "log.retention.ms", "5", "Invalid negative broker ID.");
        check(
            "",
            "log.retention.ms",
            "0",
            "requirement failed: log.retention.ms must be unlimited (-1) or, greater than or equal to 1",
        );
        check(
            "",
            "num.io.threads",
            "17",
            "Invalid value org.apache.kafka.common.config.ConfigException: Dynamic thread count update validation \
             failed for num.io.threads=17, value should not be greater than double the current value 8 for \
             configuration Invalid dynamic configuration",
        );
        check_good(
            ConfigKind::Broker,
            "",
            &[("log.retention.ms", "5"), ("my.own", "x"), ("num.io.threads", "16")],
        );
        check_good(ConfigKind::Broker, "1", &[("leader.replication.throttled.rate", "1000")]);
        check_good(ConfigKind::Broker, "1", &[("listener.name.a.ssl.keystore.type", "PEM")]);
    }

    #[test]
    fn client_metrics_subscriptions_are_checked() {
        let kind = ConfigKind::ClientMetrics;
        check_bad(kind, "s", ("x", "1"), 42, "Unknown client metrics configuration: x");
        check_bad(
            kind,
            "s",
            ("interval.ms", "5"),
            42,
            "Invalid value 5 for interval.ms, interval must be between 100 and 3600000 (1 hour)",
        );
        for pattern in ["client_id", "nobody=x", "client_id=a=b", "client_id=(", "client_id=*", "client_id="]
        {
            check_bad(
                kind,
                "s",
                ("match", pattern),
                40,
                &format!("Illegal client matching pattern: {pattern}"),
            );
        }
        let good = "client_software_name = Java, client_software_version = 11.1.*,client_id=(?i)[a-z(]+";
        check_good(kind, "s", &[("match", good), ("metrics", "org.apache.kafka.")]);
    }

    #[test]
    fn lists_and_defaults_are_those_of_the_table() {
        let settings = Settings::default();
        assert_eq!(settings.is_list(ConfigKind::Topic, "cleanup.policy"), Some(true));
        assert_eq!(settings.is_list(ConfigKind::Topic, "retention.ms"), Some(false));
        assert_eq!(settings.is_list(ConfigKind::Topic, "x"), None);
        assert_eq!(settings.default_text(ConfigKind::Topic, "cleanup.policy").as_deref(), Some("delete"));
    }
}
