//! What topics get: the defaults for new ones, and the values of one topic over the broker's.
//!
//! Must never read a topic's value past `topic_value`: it is the only place that knows the broker synonyms.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::Settings;
use super::super::row::Row;
use super::super::rows;
use super::super::value::Value;

const MINUTE_MS: i64 = 60 * 1000;
const HOUR_MS: i64 = 60 * MINUTE_MS;

/// How topics come into being and go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicDefaults {
    pub auto_create: bool,
    pub partitions: i32,
    pub replication_factor: i16,
    pub deletable: bool,
}

/// Fetch requests and what they may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchSettings {
    pub max_bytes: usize,
    pub session_slots: usize,
    /// Partitions that one DescribeTopicPartitions answer may hold (KIP-966).
    pub partitions_per_answer: usize,
    pub telemetry_max_bytes: usize,
    /// Consumers are sent to a replica in their rack (`replica.selector.class`).
    pub nearest_replica: bool,
}

/// All values of one topic.
#[derive(Clone, Debug, PartialEq)]
pub struct TopicSettings {
    pub compact: bool,
    pub delete: bool,
    /// `uncompressed`, `zstd`, `lz4`, `snappy`, `gzip` or `producer`.
    pub compression_type: String,
    pub gzip_level: i32,
    pub lz4_level: i32,
    pub zstd_level: i32,
    pub delete_retention_ms: i64,
    pub file_delete_delay_ms: i64,
    pub flush_messages: i64,
    pub flush_ms: i64,
    pub index_interval_bytes: i32,
    pub max_compaction_lag_ms: i64,
    pub max_message_bytes: i32,
    pub timestamp_after_max_ms: i64,
    pub timestamp_before_max_ms: i64,
    /// LogAppendTime rather than CreateTime.
    pub log_append_time: bool,
    pub min_cleanable_dirty_ratio: f64,
    pub min_compaction_lag_ms: i64,
    pub min_insync_replicas: i32,
    pub preallocate: bool,
    pub retention_bytes: i64,
    pub retention_ms: i64,
    pub segment_bytes: i32,
    pub segment_index_bytes: i32,
    pub segment_jitter_ms: i64,
    pub segment_ms: i64,
    pub unclean_leader_election: bool,
    /// Replicas whose bytes count for the leader's quota, as `partition:broker`, or `*`.
    pub leader_throttled: Vec<String>,
    pub follower_throttled: Vec<String>,
}

impl Settings {
    pub fn topic_defaults(&self) -> TopicDefaults {
        *self.asked_often.topic_defaults.get_or_init(|| TopicDefaults {
            auto_create: self.boolean("auto.create.topics.enable"),
            partitions: self.int("num.partitions"),
            // Kafka's type is INT although a factor is a short on the wire.
            replication_factor: i16::try_from(self.long("default.replication.factor")).unwrap_or(i16::MAX),
            deletable: self.boolean("delete.topic.enable"),
        })
    }

    pub fn fetch(&self) -> FetchSettings {
        *self.asked_often.fetch.get_or_init(|| FetchSettings {
            max_bytes: self.count("fetch.max.bytes"),
            session_slots: self.count("max.incremental.fetch.session.cache.slots"),
            partitions_per_answer: self.count("max.request.partition.size.limit"),
            telemetry_max_bytes: self.count("telemetry.max.bytes"),
            nearest_replica: self.text("replica.selector.class").as_deref() == Some(rows::RACK_AWARE),
        })
    }

    /// The values of a topic that has these overrides.
    pub fn topic(&self, overrides: &BTreeMap<String, String>) -> TopicSettings {
        let of = OneTopic { settings: self, overrides };
        let policies = of.list("cleanup.policy");
        TopicSettings {
            compact: policies.iter().any(|policy| policy == "compact"),
            delete: policies.iter().any(|policy| policy == "delete"),
            compression_type: of.text("compression.type"),
            gzip_level: of.int("compression.gzip.level"),
            lz4_level: of.int("compression.lz4.level"),
            zstd_level: of.int("compression.zstd.level"),
            delete_retention_ms: of.long("delete.retention.ms"),
            file_delete_delay_ms: of.long("file.delete.delay.ms"),
            flush_messages: of.long("flush.messages"),
            flush_ms: of.long("flush.ms"),
            index_interval_bytes: of.int("index.interval.bytes"),
            max_compaction_lag_ms: of.long("max.compaction.lag.ms"),
            max_message_bytes: of.int("max.message.bytes"),
            timestamp_after_max_ms: of.long("message.timestamp.after.max.ms"),
            timestamp_before_max_ms: of.long("message.timestamp.before.max.ms"),
            log_append_time: of.text("message.timestamp.type") == "LogAppendTime",
            min_cleanable_dirty_ratio: of.double("min.cleanable.dirty.ratio"),
            min_compaction_lag_ms: of.long("min.compaction.lag.ms"),
            min_insync_replicas: of.int("min.insync.replicas"),
            preallocate: of.boolean("preallocate"),
            retention_bytes: of.long("retention.bytes"),
            retention_ms: of.long("retention.ms"),
            // Kafka's own tests make tiny segments through the internal name.
            segment_bytes: of.segment_bytes(),
            segment_index_bytes: of.int("segment.index.bytes"),
            segment_jitter_ms: of.long("segment.jitter.ms"),
            segment_ms: of.long("segment.ms"),
            unclean_leader_election: of.boolean("unclean.leader.election.enable"),
            leader_throttled: of.list("leader.replication.throttled.replicas"),
            follower_throttled: of.list("follower.replication.throttled.replicas"),
        }
    }

    /// The value of one topic setting; `None` where it is null.
    pub fn topic_value(&self, row: &Row, overrides: &BTreeMap<String, String>) -> Option<Value> {
        let own = overrides.get(row.name).and_then(|text| row.parse(text).ok());
        own.or_else(|| self.topic_fallback(row)).or_else(|| row.default.and_then(|text| row.parse(text).ok()))
    }

    /// What the broker's settings make of a topic setting (`KafkaConfig.extractLogConfigMap`): times given in
    /// hours or minutes become milliseconds, and the finer unit wins.
    fn topic_fallback(&self, row: &Row) -> Option<Value> {
        let hours = |name: &str| self.optional_long(name).map(|hours| hours.saturating_mul(HOUR_MS));
        let millis = match row.name {
            "segment.ms" => self.optional_long("log.roll.ms").or_else(|| hours("log.roll.hours")),
            "segment.jitter.ms" => {
                self.optional_long("log.roll.jitter.ms").or_else(|| hours("log.roll.jitter.hours"))
            }
            "flush.ms" => self
                .optional_long("log.flush.interval.ms")
                .or_else(|| self.optional_long("log.flush.scheduler.interval.ms")),
            "retention.ms" => self
                .optional_long("log.retention.ms")
                .or_else(|| {
                    let minutes = self.optional_long("log.retention.minutes")?;
                    Some(minutes.saturating_mul(MINUTE_MS))
                })
                .or_else(|| hours("log.retention.hours"))
                .map(|millis| millis.max(-1)),
            _ => return self.value(row.synonym?),
        };
        millis.map(Value::Long)
    }
}

/// One topic's overrides over the broker's values.
struct OneTopic<'a> {
    settings: &'a Settings,
    overrides: &'a BTreeMap<String, String>,
}

impl OneTopic<'_> {
    fn value(&self, name: &str) -> Option<Value> {
        let row = rows::topic_row(name).expect("typed views read only names of the table");
        self.settings.topic_value(row, self.overrides)
    }

    fn long(&self, name: &str) -> i64 {
        match self.value(name) {
            Some(Value::Long(number)) => number,
            Some(Value::Int(number)) => i64::from(number),
            _ => 0,
        }
    }

    fn int(&self, name: &str) -> i32 {
        i32::try_from(self.long(name)).expect("the row is an int")
    }

    fn double(&self, name: &str) -> f64 {
        match self.value(name) {
            Some(Value::Double(number)) => number,
            _ => 0.0,
        }
    }

    fn boolean(&self, name: &str) -> bool {
        matches!(self.value(name), Some(Value::Boolean(true)))
    }

    fn text(&self, name: &str) -> String {
        self.value(name).map(|value| value.to_text()).unwrap_or_default()
    }

    fn list(&self, name: &str) -> Vec<String> {
        match self.value(name) {
            Some(Value::List(items)) => items,
            _ => Vec::new(),
        }
    }

    fn segment_bytes(&self) -> i32 {
        match self.value("internal.segment.bytes") {
            Some(Value::Int(bytes)) => bytes,
            _ => self.int("segment.bytes"),
        }
    }
}

impl TopicSettings {
    /// How long records are kept; `None` keeps them for ever.
    pub fn retention(&self) -> Option<Duration> {
        u64::try_from(self.retention_ms).ok().map(Duration::from_millis)
    }
}
